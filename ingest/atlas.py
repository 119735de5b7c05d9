"""The shapes in the database as the rules judge by them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import structlog

from geofence import geojson
from geofence.check import Atlas
from geofence.corridors import Assignment, CorridorIndex
from geofence.datum import Datum
from geofence.fences import FenceIndex
from geofence.stops import StopIndex
from storage.geometry import Geometry, GeometryStore, ShapeRow

log: Final = structlog.get_logger("dubhe.rules")

PARTY: Final = "terminal"


async def atlas_now(store: GeometryStore, zone_s: int) -> Atlas:
    """The shapes as they are now, made beside the loop."""
    return await asyncio.to_thread(atlas_of, await store.load(), zone_s)


def atlas_of(geometry: Geometry, zone_s: int) -> Atlas:
    """The shapes as the rules judge by them, `zone_s` ahead of UTC. A row that cannot be read is left out, and said."""
    fences, problems = geojson.fences(_document(geometry.shapes["fences"]), Datum.WGS84)
    corridors, more = geojson.corridors(_document(geometry.shapes["corridors"]), Datum.WGS84)
    stops, most = geojson.stops(_document(geometry.shapes["stops"]), Datum.WGS84)
    for problem in [*problems, *more, *most]:
        log.error("a shape is left out", why=problem)
    meant_for = {row.id: row.terminals for row in geometry.shapes["corridors"]}
    assignments = [Assignment(corridor.id, _parties(meant_for[corridor.id])) for corridor in corridors]
    everyone = {each for rows in geometry.shapes.values() for row in rows for each in row.terminals or ()}
    roster = {each: [(PARTY, each)] for each in everyone}
    version = geometry.version
    return Atlas(
        fences=FenceIndex.of(fences, roster, version=version, zone_s=zone_s),
        corridors=CorridorIndex.of(corridors, assignments, roster, version=version, zone_s=zone_s),
        stops=StopIndex.of(stops, roster, version=version),
        version=version,
    )


def _document(rows: Iterable[ShapeRow]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": [_feature(row) for row in rows]}


def _feature(row: ShapeRow) -> dict[str, Any]:
    parties = None if row.terminals is None else [[PARTY, each] for each in row.terminals]
    return {**row.feature, "properties": (row.feature.get("properties") or {}) | {"id": row.id, "parties": parties}}


def _parties(terminals: list[int] | None) -> frozenset[tuple[str, int]] | None:
    return None if terminals is None else frozenset((PARTY, each) for each in terminals)
