"""What the rules cost: µs of CPU per fix, alone and all together, and how that grows with the geometry and falls with the batch.

    PYTHONPATH=.:tests python tests/bench/bench_rules.py [--fences 10000] [--corridors 1000] [--fixes 5000] [--for-all]

Vehicles drive along corridors of their own (500 vertices, about 40 m apart) among fences of 64 vertices, one fix in ten seconds.
Every figure is the least of several runs, in CPU time of this thread, so that other work on the machine disturbs it little.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from compliance.driving import Driving, Limit, Limits
from fix_drives import NOON_US
from geofence.check import Atlas, begin, check
from geofence.corridors import Assignment, Corridor, CorridorIndex
from geofence.fences import Fence, FenceIndex, Polygon
from geofence.incidents import advance
from geofence.quality import faults, samples, sift
from geofence.stops import Stop, StopIndex
from tracks.event import together
from tracks.fix import FixBatch
from tracks.spans import Spans

WEST, SOUTH = 110.0, 30.0
VERTICES = 500


def fences(rng: np.random.Generator, count: int) -> FenceIndex:
    """Fences of 64 vertices and about 700 m radius, as dense as 10 000 in two degrees square."""
    side = 2.0 * np.sqrt(count / 10_000)
    angle = np.linspace(0, 2 * np.pi, 65)[:-1]
    made = []
    for number in range(1, count + 1):
        radius = rng.uniform(0.005, 0.01) * (1 + 0.1 * rng.random(64))
        x, y = WEST + rng.uniform(0, side) + radius * np.cos(angle), SOUTH + rng.uniform(0, side) + radius * np.sin(angle)
        ring = np.stack((x, y), axis=1)
        made.append(Fence(number, Polygon([np.concatenate((ring, ring[:1]))])))
    return FenceIndex.of(made)


def roads(rng: np.random.Generator, count: int) -> np.ndarray:
    """Winding roads within the fences' first two degrees: count, VERTICES, longitude and latitude."""
    heading = np.cumsum(rng.normal(0, 0.15, (count, VERTICES)), axis=1)
    x = WEST + rng.uniform(0.2, 1.8, (count, 1)) + np.cumsum(np.cos(heading), axis=1) * 40 / 96_000
    y = SOUTH + rng.uniform(0.2, 1.8, (count, 1)) + np.cumsum(np.sin(heading), axis=1) * 40 / 111_000
    return np.stack((x, y), axis=2)


def corridors(lines: np.ndarray, vehicles: int, *, for_all: bool) -> CorridorIndex:
    """Each vehicle is assigned to one of them, or to all."""
    roster = {vehicle: [("line", vehicle % len(lines))] for vehicle in range(vehicles)}
    made = [Corridor(number, line) for number, line in enumerate(lines, 1)]
    return CorridorIndex.of(
        made, [Assignment(number + 1, None if for_all else frozenset({("line", number)})) for number in range(len(lines))], roster
    )


def tick(rng: np.random.Generator, lines: np.ndarray, vehicles: int, number: int) -> FixBatch:
    """The fixes of one moment: three vertices further along than the last, with 5 m of noise."""
    line = lines[np.arange(vehicles) % len(lines)]
    at = (np.arange(vehicles) * 37 % 300) + 30 + 3 * number
    here, there = line[np.arange(vehicles), at], line[np.arange(vehicles), at + 1]
    course = np.degrees(np.arctan2((there - here)[:, 0] * 96_000, (there - here)[:, 1] * 111_000)) % 360
    noise = rng.normal(0, 5e-5, (2, vehicles))
    time_us = np.full(vehicles, NOON_US + 10_000_000 * number)
    zeros = np.zeros(vehicles, np.int64)
    return FixBatch(
        frame=zeros.astype(np.int32), terminal_id=np.arange(vehicles), vehicle_id=zeros, time_us=time_us, dated=np.ones(vehicles, np.bool_),
        lat=here[:, 1] + noise[1], lon=here[:, 0] + noise[0], altitude_m=np.zeros(vehicles, np.float32),
        speed_kmh=np.full(vehicles, 43, np.float32), course_deg=course.astype(np.float32), valid=np.ones(vehicles, np.bool_),
        alarm_bits=zeros, status_bits=zeros + 3, raised=zeros, cleared=zeros,
        place=zeros, mileage_km=np.zeros(vehicles), satellites=np.full(vehicles, 12, np.int16),
        signal=np.zeros(vehicles, np.int16), source=np.zeros(vehicles, np.uint8), backfill=np.zeros(vehicles, np.bool_),
        received_us=time_us + 1_000_000, quality=np.zeros(vehicles, np.uint16),
        digest=np.arange(vehicles) + number, raw=Spans.of([b""] * vehicles),
    )  # fmt: skip


def least_us(run: Callable[[], object], fixes: int, times: int = 9) -> float:
    """µs of CPU per fix, the best of several runs."""
    best = np.inf
    for _ in range(times):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return round(best / fixes * 1e6, 3)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("fences", 10_000), ("corridors", 1_000), ("fixes", 5_000)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--for-all", action="store_true", help="every corridor is for every vehicle")
    asked = parser.parse_args()
    rng = np.random.default_rng(7)
    lines, vehicles = roads(rng, asked.corridors), asked.fixes
    places = rng.uniform(0.2, 1.8, (5000, 2)) + np.array([WEST, SOUTH])
    atlas = Atlas(
        fences=fences(rng, asked.fences),
        corridors=corridors(lines, vehicles, for_all=asked.for_all),
        stops=StopIndex.of([Stop(number, x, y) for number, (x, y) in enumerate(places.tolist(), 1)]),
    )
    also = (Driving(Limits.of([], Limit(max_kmh=80))),)
    state = begin(atlas, also)
    for number in range(12):
        state.adopt(check(tick(rng, lines, vehicles, number), atlas, state, also).change)
    fixes = tick(rng, lines, vehicles, 12)
    rows = np.arange(vehicles)
    work, _ = state.arrange(fixes.terminal_id, samples(fixes, rows, faults(fixes)), rows)
    track = sift(work.sample, work.owner, work.terminal_id, work.memory["gate"].copy())
    standing = work.incidents.standing()
    rules = (*atlas.rules(), *also)
    signals = together(rule.judge(track, work.memory[rule.name].copy(), standing) for rule in rules)
    pairs = atlas.corridors.in_force(track.terminal_id, track.time_us, track.lon, track.lat)
    cost = {
        "arrange": least_us(lambda: state.arrange(fixes.terminal_id, samples(fixes, rows, faults(fixes)), rows), vehicles),
        "quality gate": least_us(lambda: sift(work.sample, work.owner, work.terminal_id, work.memory["gate"].copy()), vehicles),
        "fences: query": least_us(lambda: atlas.fences.inside(fixes.lon, fixes.lat), vehicles),
        "corridors: search": least_us(lambda: atlas.corridors.passages(track.lon[pairs[0]], track.lat[pairs[0]], pairs[1]), vehicles),
    }
    for rule in rules:
        cost[f"rule: {rule.name}"] = least_us(lambda rule=rule: rule.judge(track, work.memory[rule.name].copy(), standing), vehicles)
    enough = check.__globals__["thresholds"]()
    cost["incidents"] = least_us(lambda: advance(track, signals, work.incidents, enough, 0), vehicles)
    cost["check, all together"] = least_us(lambda: check(fixes, atlas, state, also), vehicles)
    inside = len(atlas.fences.inside(fixes.lon, fixes.lat)[0]) / vehicles
    print(json.dumps({"asked": vars(asked), "fences a fix is in": round(inside, 2), "µs per fix": cost}, indent=1, ensure_ascii=False))  # noqa: T201


if __name__ == "__main__":
    main()
