"""Corridors that are meant for everyone: which of them may concern a fix is asked by where it is, for there may be thousands.

A corridor says something of a fix that is on it, runs beside it, stands at one of its ends or is on one of its detours; elsewhere it only
says that there is a corridor to drive along. So a fix is paired with those near it alone, and that one is in force is said for all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from geofence.cells import Boxes, Cells
from geofence.datum import Degrees, Metres, metres_per_degree
from tracks.spans import Index, Mask
from tracks.track import distinct

RUN: Final = 8
"""Segments in a box."""


@dataclass(frozen=True, slots=True)
class Everyone:
    """The things for everyone, each in several boxes, and when there is any at all."""

    thing: Index
    """Of each box."""
    cells: Cells
    weeks: NDArray[np.bool_]
    """Minutes of the week, one row for each kind of week."""
    turns_us: Sequence[Index]
    """For each kind of week: times at which things begin and end to be in force in turn, ascending."""

    @classmethod
    def of(cls, boxes: Sequence[tuple[int, Boxes]], week: Index, weeks: NDArray[np.bool_], valid_us: Index) -> Self:
        """Of boxes and their things; and of each thing its kind of week and its validity."""
        box = np.concatenate([np.empty((0, 4)), *(each for _, each in boxes)])
        return cls(
            thing=np.repeat(np.array([thing for thing, _ in boxes], np.int64), [len(each) for _, each in boxes]),
            cells=Cells.of(box),
            weeks=weeks,
            turns_us=[_turns(valid_us[week == kind]) for kind in range(len(weeks))],
        )

    def near(self, lon: Degrees, lat: Degrees) -> tuple[Index, Index]:
        """Pairs of position, ascending, and thing that it may concern, ascending, each once."""
        place, box = self.cells.meeting(lon, lat, lon, lat)
        several = int(self.thing.max(initial=0)) + 1
        pairs = distinct(place * several + self.thing[box])
        return pairs // several, pairs % several

    def served(self, time_us: Index, minute: Index) -> Mask:
        """Whether any thing is in force at each time; `minute` is the minute of the local week."""
        served = np.zeros(len(time_us), np.bool_)
        for turns_us, week in zip(self.turns_us, self.weeks, strict=True):
            if len(turns_us):
                served |= (np.searchsorted(turns_us, time_us, side="right") % 2 == 1) & week[minute]
        return served


def _turns(valid_us: Index) -> Index:
    """Begin and end of every stretch of time that these intervals cover together, in turn."""
    if len(valid_us) == 0:
        return np.empty(0, np.int64)
    start_us, stop_us = valid_us[np.argsort(valid_us[:, 0])].T
    reached_us = np.maximum.accumulate(stop_us)
    apart = start_us[1:] > reached_us[:-1]
    return np.stack((start_us[np.append(True, apart)], reached_us[np.append(apart, True)]), axis=1).ravel()


def boxes_along(lon: Degrees, lat: Degrees, reach_m: float) -> Boxes:
    """Boxes over a line, RUN segments in each, that have in them all that is no further away than that."""
    first = np.arange(0, len(lon) - 1, RUN)
    west, south = (np.minimum.reduceat(np.minimum(each[:-1], each[1:]), first) for each in (lon, lat))
    east, north = (np.maximum.reduceat(np.maximum(each[:-1], each[1:]), first) for each in (lon, lat))
    return _wider(np.stack((west, south, east, north), axis=1), np.full(len(first), reach_m))


def boxes_around(lon: Degrees, lat: Degrees, reach_m: Metres) -> Boxes:
    """A box around each place."""
    return _wider(np.stack((lon, lat, lon, lat), axis=1), reach_m)


def _wider(box: Boxes, reach_m: Metres) -> Boxes:
    high = reach_m / metres_per_degree(0.0)[1] * 1.01
    furthest = np.minimum(np.maximum(np.abs(box[:, 1]), np.abs(box[:, 3])) + high, 89.0)
    wide = reach_m / metres_per_degree(furthest)[0] * 1.01
    wider: Boxes = box + np.stack((-wide, -high, wide, high), axis=1)
    return wider
