"""Two zones to stay in are at odds when a vehicle is asked for both at once and neither lies in the other."""

from __future__ import annotations

from typing import Any

import pytest

from geofence.fences import Circle, Fence, MultiPolygon, Polygon, Stay
from geofence.zones import at_odds
from tracks.week import windows_of

WEST, EAST = Polygon.rectangle(104.0, 30.0, 104.1, 30.1), Polygon.rectangle(104.1, 30.0, 104.2, 30.1)
COUNTY = MultiPolygon([WEST, EAST])


AT_ODDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"shape": WEST}, {"shape": EAST}),
    ({"shape": WEST}, {"shape": Polygon.rectangle(104.05, 30.0, 104.15, 30.1)}),
    ({"shape": WEST, "windows": windows_of("06:00-12:01")}, {"shape": EAST, "windows": windows_of("12:00-18:00")}),
    ({"shape": WEST, "valid_us": (0, 5)}, {"shape": EAST, "valid_us": (4, 9)}),
]
AT_PEACE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"shape": WEST}, {"shape": EAST, "stay": Stay.OUT}),
    ({"shape": WEST}, {"shape": COUNTY}),
    ({"shape": Polygon.rectangle(104.05, 29.9999, 104.15, 30.05)}, {"shape": COUNTY}),
    ({"shape": COUNTY}, {"shape": Circle(104.1, 30.05, 900.0)}),
    ({"shape": WEST, "windows": windows_of("06:00-12:00")}, {"shape": EAST, "windows": windows_of("12:00-18:00")}),
    ({"shape": WEST, "valid_us": (0, 5)}, {"shape": EAST, "valid_us": (5, 9)}),
]


@pytest.mark.parametrize(("one", "other"), AT_ODDS + AT_PEACE)
def test_two_zones_are_at_odds_unless_one_lies_in_the_other_or_they_take_turns(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (Fence(number, **{"stay": Stay.IN} | said) for number, said in ((1, one), (2, other)))

    assert ((one, other) in AT_ODDS) == at_odds(first, second) == at_odds(second, first)
