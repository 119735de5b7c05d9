"""Zones to stay in, two at a time: which of them a vehicle can hardly be in at once, though it is asked for both.

Each fence with `stay` in is asked for by itself, as all rules are: so a zone of service within a county holds as well as the county. But
who draws two villages as two zones may mean either, and no vehicle can be in both.
"""

from __future__ import annotations

from typing import Final

import shapely

from geofence.fences import Fence, Stay, shape_of
from tracks.week import calendar

WITHIN: Final = 0.99
"""So much of the smaller zone lies in the larger one, where one is meant to lie in the other: borders are drawn twice, and differ."""


def at_odds(one: Fence, other: Fence) -> bool:
    """Whether two fences are both to stay in at some time, and neither lies in the other. A circle counts as its box."""
    if one.stay != Stay.IN or other.stay != Stay.IN or not _at_some_time(one, other):
        return False
    shapes = shape_of(one), shape_of(other)
    return bool(shapely.intersection(*shapes).area < WITHIN * min(shape.area for shape in shapes))


def _at_some_time(one: Fence, other: Fence) -> bool:
    (start, stop), (other_start, other_stop) = one.valid_us, other.valid_us
    return max(start, other_start) < min(stop, other_stop) and bool((calendar(one.windows) & calendar(other.windows)).any())
