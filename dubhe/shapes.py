"""Shapes on their way in and out: read from GeoJSON, compared with where vehicles have been, stored; and written as they were read.

What is entered anew gets an id. What is to replace says in its `id` which shape it takes the place of: that shape keeps its id, so what is
under way about it goes on, terminals that keep it are still known to, and whom it is meant for stays unless somebody says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dubhe.zones import zones_at_odds
from geofence import geojson
from geofence.corridors import Corridor, Detour
from geofence.datum import Datum
from geofence.fences import Fence, Stay, shape_of
from geofence.stops import Stop
from geofence.unread import unread
from storage.geometry import (
    EVERYONE,
    ShapeRow,
    Whom,
    add_shapes,
    list_shapes,
    meant_for,
    names_of,
    recent_positions,
    replace_shapes,
    standing_positions,
)

Document = dict[str, Any]
Thing = Fence | Corridor | Detour | Stop
Degrees = NDArray[np.float64]
Reader = Callable[[Document, Datum, Collection[int] | None], tuple[Sequence[Any], list[str]]]

READERS: Final[Mapping[str, Reader]] = {"fences": geojson.fences, "corridors": geojson.routes, "stops": geojson.stops}

FITTED_MIN: Final = 20
"""Fewer positions than that say nothing about a datum."""
MARGIN_DEG: Final = 0.01
EXPORT_DECIMALS: Final = 7
"""Of degrees: rounding moves a place by 8 mm at most, and hides what is left of the way from one datum to another and back."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file."""

    ids: list[int]
    problems: list[str]
    warnings: list[str]


def import_fences(url: str, document: Document, datum: Datum, whom: Whom | None = EVERYONE, *, replacing: bool = False) -> Taken:
    """Enter fences; the datum is compared with positions near them, for fences need not lie where vehicles go."""
    return _enter(url, "fences", document, datum, whom, replacing=replacing)


def import_corridors(url: str, document: Document, datum: Datum, whom: Whom | None = EVERYONE, *, replacing: bool = False) -> Taken:
    """Enter corridors and detours; each corridor is compared with where the vehicles have been near it."""
    return _enter(url, "corridors", document, datum, whom, replacing=replacing)


def import_stops(url: str, document: Document, datum: Datum, whom: Whom | None = EVERYONE, *, replacing: bool = False) -> Taken:
    """Enter stops; the datum is compared with where the vehicles have stood."""
    return _enter(url, "stops", document, datum, whom, replacing=replacing)


def export_shapes(url: str, table: str, ids: Collection[int], datum: Datum) -> tuple[Document, list[str]]:
    """Shapes as a document, or all of them without ids, and what is amiss; `for` says whom each is meant for.

    It reads back the same, places to a centimetre; what was drawn with no more decimals in the datum comes out as it was drawn.
    """
    stored = list_shapes(url, table)
    missing = sorted(set(ids) - {row.id for row in stored})
    made, problems = READERS[table](_collection(row.numbered for row in stored if not ids or row.id in ids), Datum.WGS84, None)
    document, names = geojson.document(made, datum, EXPORT_DECIMALS), names_of(url, table)
    for feature in document["features"]:
        properties = feature["properties"]
        if (whom := names.get(properties["id"])) is not None:
            properties["for"] = whom
    return document, problems + [f"there is no shape {number}; `list` shows ids 没有该编号" for number in missing]


def _enter(url: str, table: str, document: Document, datum: Datum, whom: Whom | None, *, replacing: bool) -> Taken:
    """Read, compare, store. Whom nobody names when a shape is replaced, it stays meant for."""
    ids = {row.id for row in list_shapes(url, table)} if replacing else None
    made, problems = READERS[table](document, datum, ids)
    if any(isinstance(each, Detour) for each in made):
        made, strange = _with_corridors(made, list_shapes(url, table))
        problems += strange
    strangers = unread(document, table)
    if not made:
        return Taken([], problems or ["there is no feature in it 文件中没有要素"], strangers)
    warnings = strangers + DOUBTS[table](url, made, datum, meant_for(url, whom or EVERYONE))
    features = geojson.document(made, Datum.WGS84)["features"]
    if replacing:
        taken = replace_shapes(url, table, {each.id: feature for each, feature in zip(made, features, strict=True)}, whom)
    else:
        taken = add_shapes(url, table, features, whom or EVERYONE)
    if any(isinstance(each, Fence) and each.stay == Stay.IN for each in made):
        warnings += zones_at_odds(list_shapes(url, table), taken)
    return Taken(taken, problems, warnings)


def _with_corridors(made: Sequence[Corridor | Detour], stored: Sequence[ShapeRow]) -> tuple[list[Corridor | Detour], list[str]]:
    """What was read without the detours of corridors that are neither stored nor read, and a sentence about each of those."""
    known, _ = geojson.corridors(_collection(row.numbered for row in stored), Datum.WGS84)
    known += [replace(each, id=0) for each in made if isinstance(each, Corridor)]  # by name only: their ids they may be yet to get
    strange = [geojson.unknown(each, known) if isinstance(each, Detour) else None for each in made]
    return [each for each, why in zip(made, strange, strict=True) if why is None], [why for why in strange if why]


def _doubts_about_fences(url: str, made: Sequence[Fence], datum: Datum, terminals: Sequence[int] | None) -> list[str]:
    lon, lat = _near(*recent_positions(url, terminals), [corner for fence in made for corner in _corners_of(fence)])
    fit = geojson.fit_of_fences(made, datum, lon, lat) if len(lon) >= FITTED_MIN else None
    return [fit.warning] if fit and fit.best != datum and fit.warning else []


def _doubts_about_corridors(url: str, made: Sequence[Corridor | Detour], datum: Datum, terminals: Sequence[int] | None) -> list[str]:
    lon, lat = recent_positions(url, terminals)
    said = []
    for corridor in made:
        if isinstance(corridor, Corridor) and len((near := _near(lon, lat, corridor.points))[0]) >= FITTED_MIN:
            fit = geojson.fit_of_corridor(corridor, datum, *near)
            said += [f"{corridor.name}: {fit.warning}"] if fit.warning else []
    return said


def _doubts_about_stops(url: str, made: Sequence[Stop], datum: Datum, terminals: Sequence[int] | None) -> list[str]:
    lon, lat = _near(*standing_positions(url, terminals), [(stop.lon, stop.lat) for stop in made])
    fit = geojson.fit_of_stops(made, datum, lon, lat) if len(lon) >= FITTED_MIN else None
    return [fit.warning] if fit and fit.best != datum and fit.warning else []


DOUBTS: Final[Mapping[str, Callable[[str, Sequence[Any], Datum, Sequence[int] | None], list[str]]]] = {
    "fences": _doubts_about_fences, "corridors": _doubts_about_corridors, "stops": _doubts_about_stops
}  # fmt: skip


def _corners_of(fence: Fence) -> list[tuple[float, float]]:
    """Two corners of the box around a fence."""
    west, south, east, north = shape_of(fence).bounds
    return [(west, south), (east, north)]


def _near(lon: Degrees, lat: Degrees, points: Sequence[tuple[float, float]]) -> tuple[Degrees, Degrees]:
    """The positions that lie in the box around the points, with a kilometre and more to spare: a datum's error stays inside."""
    if not points:
        return lon[:0], lat[:0]
    corner = np.array(points)[:, :2]
    west, south = corner.min(axis=0) - MARGIN_DEG
    east, north = corner.max(axis=0) + MARGIN_DEG
    near = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    return lon[near], lat[near]


def _collection(features: Iterable[Document]) -> Document:
    return {"type": "FeatureCollection", "features": list(features)}
