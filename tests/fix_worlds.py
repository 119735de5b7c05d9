"""A small world: five vehicles that follow line 71, stray, turn round, stand, fall silent and lie, and everything that judges them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from compliance.driving import Driving, Hours, Limit, Limits
from fix_drives import NOON_US, Drive, batch, line71, stops71, stretch
from geofence.check import Atlas
from geofence.corridors import Assignment, Corridor, CorridorIndex, Detour
from geofence.fences import Circle, Fence, FenceIndex, Line, MultiPolygon, Polygon, Stay
from geofence.stops import Stop, StopIndex
from tracks.fix import FixBatch

OUT, BACK = line71(0), line71(1)

RING: Final = [(121.44, 31.21), (121.47, 31.21), (121.47, 31.24), (121.44, 31.24), (121.44, 31.21)]
HOLE: Final = [(121.45, 31.22), (121.46, 31.22), (121.46, 31.23), (121.45, 31.23), (121.45, 31.22)]

FENCES: Final = [
    Fence(5, Circle(*OUT[60], 150.0)),
    Fence(6, Circle(*OUT[100], 200.0), day_kmh=30),
    Fence(7, Line(OUT[:80], 600), stay=Stay.IN),
    Fence(8, Polygon.rectangle(121.40, 31.19, 121.43, 31.23), dwell_s=120),
    Fence(9, Circle(*OUT[20], 90.0), stay=Stay.OUT),
    Fence(10, Polygon([RING, HOLE])),
    Fence(12, MultiPolygon([Polygon([RING, HOLE]), Polygon.rectangle(121.40, 31.19, 121.43, 31.23)]), stay=Stay.IN),
]
CORRIDORS: Final = [Corridor(1, OUT, limit_kmh=50), Corridor(2, BACK)]
STOPS: Final = [
    Stop(100 * way + number, lon, lat, name, course_deg=np.nan if number % 2 else 45 + 180 * way, corridor_id=1 + way, sequence=number)
    for way in (0, 1)
    for number, (name, lon, lat) in enumerate(stops71(way), 1)
]

OPEN_ATLAS: Final = Atlas(
    fences=FenceIndex.of(FENCES), corridors=CorridorIndex.of(CORRIDORS, [Assignment(1), Assignment(2)]), stops=StopIndex.of(STOPS)
)
"""Everything is meant for everyone: what `Plain` knows."""

LINE = frozenset({("line", 71)})
ROSTER: Final = {1: [("line", 71)], 2: [("line", 71)], 3: [("line", 71), ("vehicle", 3)], 4: [("vehicle", 4)], 5: [("line", 71)]}
ATLAS: Final = Atlas(
    fences=FenceIndex.of([*FENCES, Fence(11, Line(OUT[:80], 500), stay=Stay.IN, parties=frozenset({("vehicle", 3)}))], ROSTER),
    corridors=CorridorIndex.of(
        [Corridor(1, OUT, limit_kmh=50, detours=(Detour(Line(stretch(OUT, 2000, 3000, 150), 60)),)), Corridor(2, BACK)],
        [Assignment(1, LINE), Assignment(2, LINE), Assignment(1, frozenset({("vehicle", 4)}))],
        ROSTER,
    ),
    stops=StopIndex.of(STOPS),
)
DRIVING: Final = Driving(
    Limits.of(
        [],
        Limit(max_kmh=55, parked_max_s=300, offline_max_s=400, night_part=0.8, coach=True),
        hours=Hours(day_s=900, night_s=300, in_24h_s=1500, rest_s=200),
    )
)


def world(rng: np.random.Generator) -> FixBatch:
    """A few hundred fixes in the order they are received; one in a hundred is not to be trusted."""
    rows = [row for terminal_id in range(1, 6) for row in _drive(rng, terminal_id).rows]
    fixes = batch([_spoilt(rng, row) for row in rows], rng, 6.0)
    return fixes.take(np.argsort(fixes.received_us, kind="stable"))


def _drive(rng: np.random.Generator, terminal_id: int) -> Drive:
    begin_us = NOON_US + int(rng.integers(0, 20)) * 3_600_000_000
    drive = Drive(terminal_id=terminal_id, every_s=float(rng.choice([5, 10, 30])), kmh=float(rng.choice([25, 40, 60])), time_us=begin_us)
    at_m, road = float(rng.uniform(0, 3000)), OUT if rng.random() < 0.7 else BACK
    for _ in range(int(rng.integers(3, 8))):
        far_m = float(rng.uniform(200, 3000))
        match int(rng.integers(0, 7)):
            case 0 | 1:
                drive.along(stretch(road, at_m, at_m + far_m))
                at_m += far_m
            case 2:
                drive.along(stretch(road, at_m, at_m + far_m, float(rng.choice([-200, 80, 120, 300]))))
                at_m += far_m
            case 3:
                drive.along(stretch(road, at_m, max(at_m - far_m, 0)))
                at_m = max(at_m - far_m, 0)
            case 4 if drive.rows:
                drive.wait(float(rng.uniform(20, 600)))
            case 5:
                drive.silence(float(rng.choice([100, 200, 600, 2000])))
            case _:
                drive.along(stretch(road, at_m, at_m + 600), alarm_bits=int(rng.choice([2, 4, 1 << 23, 1 << 20, 1])))
                at_m += 600
    return drive


def _spoilt(rng: np.random.Generator, row: dict[str, Any]) -> dict[str, Any]:
    lot = rng.random()
    spoils: dict[str, Any] = {}
    if lot < 0.01:
        spoils = {"valid": False}
    elif lot < 0.02:
        spoils = {"lat": row["lat"] + 0.02}
    elif lot < 0.025:
        spoils = {"speed_kmh": 120.0}
    elif lot < 0.028:
        spoils = {"time_us": row["time_us"] + 86_400_000_000, "received_us": row["time_us"]}
    return row | spoils
