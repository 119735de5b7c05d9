"""The shapes of `dubhe bench --fences N --corridors N`: entered by the imports that operators use, and where the load drives.

A fence lies for all across the way of one terminal, which enters and leaves it. A corridor is meant for ten terminals that begin near one
another, and leads along the way of each in turn: the same ten rows of the load in every run, for the runs differ in names only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dubhe.shapes import Document, Taken, import_corridors, import_fences
from firmware_sim.waves import REPORT_M, REPORTS_PER_LAP, places
from geofence.datum import Datum, metres_per_degree
from storage.enrol import enter_rows
from storage.geometry import whom_of

FENCE_VERTICES: Final = 64
FENCE_RADIUS_M_MAX: Final = 100.0
FENCE_OF_WAY: Final = 1 / 6
"""A fence's radius is this part of the way of its terminal, or less: so there is way before it and behind it that proves it left."""
CORRIDOR_VERTICES: Final = 500
TERMINALS_PER_CORRIDOR: Final = 10
LEG_REPORTS_MIN: Final = 200
"""A corridor goes at least so far along the way of each of its terminals, 1.1 km, however short the run."""


def plant(url: str, *, fences: int, corridors: int, terminals: int, reports: int, first_names: Sequence[int]) -> dict[str, Any]:
    """Enter shapes for a load of `reports` of each of so many terminals, whose runs begin at these names; says what was entered."""
    if fences:
        _whole(import_fences(url, fences_among(terminals, reports, fences), Datum.WGS84))
    for rows in _groups(terminals, corridors):
        names = [str(first + row) for first in first_names for row in rows.tolist()]
        enter_rows(url, ((0, {"terminal": name}) for name in names))
        whom = whom_of(url, [f"terminal:{name}" for name in names])
        _whole(import_corridors(url, corridor_along(rows, reports), Datum.WGS84, whom))
    return {
        "fences": fences,
        "vertices_per_fence": FENCE_VERTICES,
        "corridors": corridors,
        "vertices_per_corridor": CORRIDOR_VERTICES,
        "terminals_per_corridor": min(TERMINALS_PER_CORRIDOR, terminals),
    }


def fences_among(terminals: int, reports: int, count: int) -> Document:
    """Polygons, one after the other on the way of each terminal in turn."""
    number = np.arange(count)
    each_has = -(-count // terminals)
    lon, lat = _degrees(number % terminals, reports * (number // terminals + 1) // (each_has + 1))
    east_m, north_m = metres_per_degree(lat)
    radius_m = min(FENCE_OF_WAY * reports * REPORT_M, FENCE_RADIUS_M_MAX)
    angle = np.linspace(0, 2 * np.pi, FENCE_VERTICES + 1)
    angle[-1] = 0  # a ring ends where it begins
    ring = np.stack(
        [
            lon[:, None] + np.cos(angle) * radius_m / east_m[:, None],
            lat[:, None] + np.sin(angle) * radius_m / north_m[:, None],
        ],
        axis=-1,
    )
    return _collection([{"type": "Polygon", "coordinates": [each]} for each in ring.tolist()])


def corridor_along(rows: NDArray[np.int64], reports: int) -> Document:
    """One line along the ways of these terminals, from the end of each straight to the beginning of the next."""
    leg = np.arange(CORRIDOR_VERTICES) * len(rows) // CORRIDOR_VERTICES
    within = np.arange(CORRIDOR_VERTICES) - np.searchsorted(leg, leg)
    share = within / (np.bincount(leg)[leg] - 1)
    lon, lat = _degrees(rows[leg], share * min(max(reports, LEG_REPORTS_MIN), REPORTS_PER_LAP - 1))
    return _collection([{"type": "LineString", "coordinates": np.stack([lon, lat], axis=-1).tolist()}])


def _groups(terminals: int, count: int) -> list[NDArray[np.int64]]:
    """Rows of terminals that begin near one another, for each corridor; the same again when there are more corridors than that."""
    lon, lat = _degrees(np.arange(terminals), np.zeros(terminals))
    strip = np.floor(lat * np.sqrt(terminals) / 2)
    order = np.lexsort((np.where(strip % 2, -lon, lon), strip))  # to and fro, so that the next is near also where a strip ends
    begins = range(0, max(terminals - TERMINALS_PER_CORRIDOR, 0) + 1, TERMINALS_PER_CORRIDOR)
    return [order[begin : begin + TERMINALS_PER_CORRIDOR] for begin in islice(cycle(begins), count)]


def _degrees(row: NDArray[Any], k: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of report `k` of the terminal `row`."""
    lat, lon = places(row, k)
    return lon / 1e6, lat / 1e6


def _collection(geometries: list[Document]) -> Document:
    features = [
        {"type": "Feature", "geometry": each, "properties": {"name": f"bench {number}"}} for number, each in enumerate(geometries, 1)
    ]
    return {"type": "FeatureCollection", "features": features}


def _whole(taken: Taken) -> None:
    assert not taken.problems, taken.problems
