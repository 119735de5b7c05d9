"""Buses on roads: seeded runs, and the position solutions that come of them, which look like the road.

On a run a bus accelerates, cruises, brakes into every stop and dwells there; it reports every 10 to 30 s, with about 5 m of noise, and has
no fix in tunnels, where it repeats the last position with the positioned bit off (quirk D7).
A bus that strays takes, on each run, a way off its line and back, so long that its reports show it. What it really did, without noise and
between reports too, is asked of the run: `truth.py`.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain, cycle, dropwhile, islice, pairwise
from math import cos, radians, sqrt
from random import Random
from typing import Final

import numpy as np

from firmware_sim.report import Fix
from firmware_sim.roads import METRES_PER_DEGREE, Detour, Road

LAYOVER_S: Final = 300
DETOUR_TRIES: Final = 100
"""Places looked at for a detour before a road is found to have none."""
DETOUR_M_PER_S: Final = 35.0
"""Length of a detour for each second between two reports: at 50 km/h two and a half reports fall into it, and those on the ways across."""
DETOUR_ASIDE_M: Final = (200.0, 300.0)
DETOUR_CLEAR_M: Final = 150.0
"""A detour keeps so far from all roads of the fleet."""
DETOUR_PLACES: Final = 25
"""Where along it that is looked at."""
DETOUR_END_M: Final = 2_000.0
"""And so far along its own from tunnels and from both termini, where a line may turn about before it is on its way."""
LEAD_INTERVALS: Final = 3
"""A bus that strays is found so many reports before it does."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a bus drives and reports; pairs are ranges that the seed picks from."""

    cruise_kmh: tuple[float, float] = (25, 50)
    acceleration: float = 0.9
    """m/s², both ways."""
    dwell_s: tuple[float, float] = (12, 40)
    interval_s: tuple[int, int] = (10, 30)
    """A bus keeps one interval for a whole run."""
    noise_m: float = 5.0
    """Standard deviation, north and east each."""


class Habit(Enum):
    """How a bus serves its line, and where it is found first."""

    SERVES = "somewhere on its way"
    DEPARTS = "at its terminus, about to leave"
    STRAYS = "shortly before it leaves its line; it does so once on every run"


@dataclass(frozen=True, slots=True)
class Leg:
    """From stop to stop: accelerate, cruise, brake, then stand. Seconds count from the begin of the run."""

    begin_s: float
    start_m: float
    length_m: float
    cruise: float
    """m/s."""
    acceleration: float
    dwell_s: float

    @property
    def ramp_s(self) -> float:
        """How long it takes to reach the cruising speed."""
        return self.cruise / self.acceleration

    @property
    def drive_s(self) -> float:
        """From standing to standing."""
        return self.length_m / self.cruise + self.ramp_s

    @property
    def end_s(self) -> float:
        """When the next leg begins."""
        return self.begin_s + self.drive_s + self.dwell_s

    def at(self, elapsed_s: float) -> tuple[float, float]:
        """Metres along the road and speed in m/s."""
        driven_s = elapsed_s - self.begin_s
        left_s = self.drive_s - driven_s
        if left_s <= 0:
            return self.start_m + self.length_m, 0.0
        if driven_s < self.ramp_s:
            return self.start_m + self.acceleration * driven_s**2 / 2, self.acceleration * driven_s
        if left_s < self.ramp_s:
            return self.start_m + self.length_m - self.acceleration * left_s**2 / 2, self.acceleration * left_s
        return self.start_m + self.cruise * (driven_s - self.ramp_s / 2), self.cruise


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a bus along a road, from UTC second `start` to the end of its layover."""

    road: Road
    start: int
    interval_s: int
    legs: tuple[Leg, ...]
    mileage_km: float
    """At the start."""

    @property
    def duration_s(self) -> float:
        """With the layover."""
        return self.legs[-1].end_s

    @property
    def reports(self) -> range:
        """The seconds, counted from its begin, at which it reports."""
        return range(0, int(self.duration_s) + 1, self.interval_s)

    def at(self, elapsed_s: float) -> tuple[float, float]:
        """Metres along the road and speed in m/s, so long after the start."""
        return self.legs[max(bisect(self.legs, elapsed_s, key=lambda leg: leg.begin_s) - 1, 0)].at(elapsed_s)

    def fixes(self, rng: Random, noise_m: float) -> Iterator[Fix]:
        """What its terminal reports."""
        last = self.road.at(0.0)[:2]
        for elapsed_s in self.reports:
            metres, speed = self.at(elapsed_s)
            lat, lon, course = self.road.at(metres)
            sky = not self.road.in_tunnel(metres)
            if sky:
                north, east = rng.gauss(0, noise_m), rng.gauss(0, noise_m)
                last = lat + north / METRES_PER_DEGREE, lon + east / METRES_PER_DEGREE / cos(radians(lat))
            yield Fix(
                time=self.start + elapsed_s,
                lat=last[0],
                lon=last[1],
                altitude_m=round(4 + rng.gauss(0, 2)),
                speed_kmh=round(speed * 3.6, 1),
                course_deg=int(course),
                valid=sky,
                mileage_km=self.mileage_km + metres / 1000,
                satellites=rng.randint(9, 24) if sky else 0,
                signal=rng.randint(14, 31),
            )


def run(road: Road, rng: Random, *, start: int, pace: Pace | None = None, mileage_km: float = 0.0, layover_s: float = 0.0) -> Run:
    """A run along the whole road, dwelling at the stops, and at its end for the layover."""
    pace = pace or Pace()
    return Run(road, start, rng.randint(*pace.interval_s), tuple(_legs(road, rng, pace, layover_s)), mileage_km)


def _legs(road: Road, rng: Random, pace: Pace, layover_s: float) -> Iterator[Leg]:
    begin_s = 0.0
    for number, (start, stop) in enumerate(pairwise([0.0, *(stop.at_m for stop in road.stops), road.length_m])):
        length = stop - start
        cruise = min(rng.uniform(*pace.cruise_kmh) / 3.6, sqrt(max(length, 0.01) * pace.acceleration))
        dwell_s = rng.uniform(*pace.dwell_s) + layover_s * (number == len(road.stops))
        leg = Leg(begin_s, start, length, cruise, pace.acceleration, dwell_s)
        yield leg
        begin_s = leg.end_s


def shuttle(
    roads: Sequence[Road], rng: Random, *, start: int, pace: Pace | None = None, habit: Habit = Habit.SERVES, layover_s: float = LAYOVER_S
) -> Iterator[Run]:
    """A bus that serves `roads` in turn for ever; its habit says where it is found at UTC second `start`."""
    turn, mileage_km = rng.randrange(len(roads)), float(rng.randrange(1_000, 300_000))
    at: int | None = None
    for line in islice(cycle(roads), turn, None):
        made = run(line, rng, start=0, pace=pace, mileage_km=mileage_km, layover_s=layover_s)
        detour = _detour(line, roads, rng, made.interval_s) if habit is Habit.STRAYS else None
        if detour is not None:
            legs = _legs(line.by(detour), rng, pace or Pace(), layover_s)
            made = replace(made, road=line.by(detour), legs=tuple(legs))
        made = replace(made, start=start - _found_s(made, habit, detour, rng) if at is None else at)
        yield made
        at, mileage_km = made.start + made.reports[-1] + made.interval_s, mileage_km + made.road.length_m / 1000


def _found_s(made: Run, habit: Habit, detour: Detour | None, rng: Random) -> int:
    """How long a bus has been on its first run when it is found."""
    if habit is Habit.DEPARTS:
        return 0
    if detour is not None:
        leaves_s = next(second for second in range(int(made.duration_s)) if made.at(second)[0] >= detour.from_m)
        return max(leaves_s - LEAD_INTERVALS * made.interval_s, 0)
    return rng.randrange(int(made.duration_s))


def _detour(road: Road, roads: Sequence[Road], rng: Random, interval_s: int) -> Detour | None:
    """Somewhere on the road, away from its ends and tunnels and from all other roads; None where there is no such place."""
    length_m = DETOUR_M_PER_S * interval_s
    busy = [(0.0, 0.0), (road.length_m, road.length_m), *road.tunnels_m]
    for _ in range(DETOUR_TRIES):
        from_m = rng.uniform(0, max(road.length_m - length_m, 0))
        detour = Detour(from_m, from_m + length_m, rng.choice([-1, 1]) * rng.uniform(*DETOUR_ASIDE_M))
        lat, lon = road.beside(np.linspace(from_m, detour.to_m, DETOUR_PLACES), detour.aside_m)
        clear = all((each.away_m(lat, lon) > DETOUR_CLEAR_M).all() for each in roads)
        if clear and all(stop < from_m - DETOUR_END_M or start > detour.to_m + DETOUR_END_M for start, stop in busy):
            return detour
    return None


def driven(runs: Iterator[Run], rng: Random, *, start: int, noise_m: float = Pace().noise_m) -> Iterator[Fix]:
    """What a bus reports on its runs from UTC second `start` on."""
    return dropwhile(lambda fix: fix.time < start, chain.from_iterable(each.fixes(rng, noise_m) for each in runs))
