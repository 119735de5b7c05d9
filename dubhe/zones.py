"""What is said when a zone to stay in is entered for vehicles that have to stay in another one as well.

They have to be in both at once. Where that was not meant there is an alarm that never ends, so it is said at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain, combinations, islice, product
from typing import Final

from geofence import geojson
from geofence.datum import Datum
from geofence.zones import at_odds
from storage.geometry import ShapeRow

PAIRS_MAX: Final = 3
"""So many pairs are named."""
Audience = tuple[frozenset[int] | None, frozenset[str]]
"""Terminals now, None for all; and parties."""


def zones_at_odds(rows: Iterable[ShapeRow], ids: Collection[int]) -> list[str]:
    """The sentence about fences of these ids that are at odds with others among the rows, or with one another; none when none is."""
    zones = {row.id: row for row in rows if (row.feature.get("properties") or {}).get("stay") == "in"}
    features = [row.numbered for row in zones.values()]
    fences = {each.id: each for each in geojson.fences({"type": "FeatureCollection", "features": features}, Datum.WGS84)[0]}
    new = [number for number in fences if number in ids]
    pairs = chain(combinations(new, 2), product(new, [number for number in fences if number not in ids]))
    for_whom = {number: _for_whom(zones[number]) for number in fences}
    odd = ((one, other) for one, other in pairs if _share(for_whom[one], for_whom[other]) and at_odds(fences[one], fences[other]))
    if not (named := [f"{_called(zones[one])} and {_called(zones[other])}" for one, other in islice(odd, PAIRS_MAX + 1)]):
        return []
    listed = ", ".join(named[:PAIRS_MAX] + ["and more"] * (len(named) > PAIRS_MAX))
    said = (
        f"the same vehicles are to stay in several zones, and have to be in all of them at once: {listed}; one feature with several parts"
        " (MultiPolygon) is what you want if either will do 同一车辆须同时在多个区域内；若任一区域即可，请画为一个含多块的 MultiPolygon"
    )
    return [said]


def _called(row: ShapeRow) -> str:
    return f"{row.name} ({row.id})" if row.name else str(row.id)


def _for_whom(row: ShapeRow) -> Audience:
    return None if row.terminals is None else frozenset(row.terminals), frozenset(row.parties)


def _share(one: Audience, other: Audience) -> bool:
    """Whether both are meant for one vehicle, or will be: a line may be without vehicles yet."""
    if one[0] is None or other[0] is None:
        return True
    return not (one[0].isdisjoint(other[0]) and one[1].isdisjoint(other[1]))
