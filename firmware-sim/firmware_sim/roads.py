"""Roads and buses on them: a line with stops becomes an endless, seeded sequence of position solutions that looks like the road.

A drive accelerates, cruises, brakes into every stop and dwells there; it reports every 10 to 30 s, with about 5 m of noise, and has no
fix in tunnels, where it repeats the last position with the positioned bit off (quirk D7).
Roads come from GeoJSON in WGS-84: each LineString is a road, each Point that names it in `line` or `linename` is a stop of it; the
property `tunnels_m` of a LineString lists tunnels as [from, to] in metres along it.
Points are taken by their geometry, never by properties: why is said in tests/traces/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, dropwhile, islice, pairwise
from math import atan2, cos, degrees, hypot, radians, sqrt
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_sim.report import Fix

METRES_PER_DEGREE: Final = 111_195.0
"""Of latitude, on a sphere of 6 371 km; a city's roads are short enough to be flat."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop: its name and how far along the road it lies."""

    name: str
    at_m: float


@dataclass(frozen=True, slots=True)
class Road:
    """A polyline in WGS-84 with its stops and tunnels in order; `along_m` is the distance from the start to each vertex."""

    name: str
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    along_m: NDArray[np.float64]
    stops: tuple[Stop, ...]
    tunnels_m: tuple[tuple[float, float], ...] = ()

    @property
    def length_m(self) -> float:
        """From end to end."""
        return float(self.along_m[-1])

    def at(self, metres: float) -> tuple[float, float, float]:
        """Latitude, longitude and course of the point `metres` along the road."""
        leg = min(max(int(np.searchsorted(self.along_m, metres, "right")) - 1, 0), len(self.along_m) - 2)
        share = (metres - self.along_m[leg]) / (self.along_m[leg + 1] - self.along_m[leg])
        north, east = self.lat[leg + 1] - self.lat[leg], self.lon[leg + 1] - self.lon[leg]
        lat, lon = self.lat[leg] + share * north, self.lon[leg] + share * east
        course = degrees(atan2(east * cos(radians(lat)), north)) % 360
        return float(lat), float(lon), course

    def nearest(self, lat: float, lon: float) -> tuple[float, float]:
        """How far along the road the nearest point to (lat, lon) lies, and how far away it is."""
        shrink = cos(radians(lat))
        x, y = (self.lon - lon) * shrink * METRES_PER_DEGREE, (self.lat - lat) * METRES_PER_DEGREE
        dx, dy = np.diff(x), np.diff(y)
        share = np.clip(-(x[:-1] * dx + y[:-1] * dy) / (dx * dx + dy * dy), 0, 1)
        away = np.hypot(x[:-1] + share * dx, y[:-1] + share * dy)
        leg = int(np.argmin(away))
        return float(self.along_m[leg] + share[leg] * (self.along_m[leg + 1] - self.along_m[leg])), float(away[leg])

    def in_tunnel(self, metres: float) -> bool:
        """Whether there is no sky at `metres`."""
        return any(start <= metres <= stop for start, stop in self.tunnels_m)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a bus drives and reports; pairs are ranges that the seed picks from."""

    cruise_kmh: tuple[float, float] = (25, 50)
    acceleration: float = 0.9
    """m/s², both ways."""
    dwell_s: tuple[float, float] = (12, 40)
    interval_s: tuple[int, int] = (10, 30)
    """A bus keeps one interval for a whole drive."""
    noise_m: float = 5.0
    """Standard deviation, north and east each."""


DATA: Final = Path(__file__).parent / "data"


def line_71() -> list[Road]:
    """Shanghai's bus line 71, both directions (source and licence stand beside the data); its one tunnel is made up."""
    return read_roads(DATA / "shanghai_71.geojson")


def read_roads(path: Path) -> list[Road]:
    """The roads of a GeoJSON file in WGS-84; raises ValueError when there is none."""
    found = _read(json.loads(path.read_text(encoding="utf-8")))
    if not found:
        msg = f"{path}: no LineString of two or more different points; a road is drawn as one"
        raise ValueError(msg)
    return found


def _read(collection: Mapping[str, Any]) -> list[Road]:
    features: Sequence[Mapping[str, Any]] = collection.get("features", ())
    points = [each for each in features if each["geometry"]["type"] == "Point"]
    return [
        _road(each, points)
        for each in features
        if each["geometry"]["type"] == "LineString" and len({tuple(place[:2]) for place in each["geometry"]["coordinates"]}) > 1
    ]


def _road(line: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> Road:
    about = line["properties"] or {}
    name = str(about.get("name", ""))
    places = np.array([place[:2] for place in line["geometry"]["coordinates"]], np.float64)
    # a vertex that repeats the one before has no direction
    places = places[np.concatenate(([True], (np.diff(places, axis=0) != 0).any(axis=1)))]
    lon, lat = places[:, 0].copy(), places[:, 1].copy()
    shrink = np.cos(np.radians((lat[1:] + lat[:-1]) / 2))
    steps = np.hypot(np.diff(lon) * shrink, np.diff(lat)) * METRES_PER_DEGREE
    road = Road(name, lat, lon, np.concatenate(([0.0], np.cumsum(steps))), ())
    stops = []
    for point in points:
        said = point["properties"] or {}
        if name and name in {said.get("line"), said.get("linename")}:
            east, north = point["geometry"]["coordinates"][:2]
            stops.append(Stop(str(said.get("name", said.get("stopname", ""))), road.nearest(north, east)[0]))
    tunnels = tuple((float(start), float(stop)) for start, stop in about.get("tunnels_m", ()))
    return Road(name, lat, lon, road.along_m, tuple(sorted(stops, key=lambda stop: stop.at_m)), tunnels)


@dataclass(frozen=True, slots=True)
class _Leg:
    """From stop to stop: accelerate, cruise, brake, then stand."""

    start_m: float
    length_m: float
    cruise: float
    acceleration: float
    dwell_s: float

    @property
    def ramp_s(self) -> float:
        return self.cruise / self.acceleration

    @property
    def drive_s(self) -> float:
        return self.length_m / self.cruise + self.ramp_s

    def at(self, elapsed_s: float) -> tuple[float, float]:
        """Metres along the road and speed in m/s."""
        left_s = self.drive_s - elapsed_s
        if left_s <= 0:
            return self.start_m + self.length_m, 0.0
        if elapsed_s < self.ramp_s:
            return self.start_m + self.acceleration * elapsed_s**2 / 2, self.acceleration * elapsed_s
        if left_s < self.ramp_s:
            return self.start_m + self.length_m - self.acceleration * left_s**2 / 2, self.acceleration * left_s
        return self.start_m + self.cruise * (elapsed_s - self.ramp_s / 2), self.cruise


def _legs(road: Road, rng: Random, pace: Pace) -> Iterator[_Leg]:
    between = [0.0, *(stop.at_m for stop in road.stops), road.length_m]
    for start, stop in pairwise(between):
        length = stop - start
        cruise = min(rng.uniform(*pace.cruise_kmh) / 3.6, sqrt(max(length, 0.01) * pace.acceleration))
        yield _Leg(start, length, cruise, pace.acceleration, rng.uniform(*pace.dwell_s))


def drive(road: Road, rng: Random, *, start: int, pace: Pace | None = None, mileage_km: float = 0.0) -> Iterator[Fix]:
    """One run along the road from UTC second `start`, dwelling at the stops."""
    pace = pace or Pace()
    interval = rng.randint(*pace.interval_s)
    elapsed, leg_begin = 0, 0.0
    last = road.at(0.0)[:2]
    for leg in _legs(road, rng, pace):
        leg_end = leg_begin + leg.drive_s + leg.dwell_s
        while elapsed < leg_end:
            metres, speed = leg.at(elapsed - leg_begin)
            lat, lon, course = road.at(metres)
            sky = not road.in_tunnel(metres)
            if sky:
                north, east = rng.gauss(0, pace.noise_m), rng.gauss(0, pace.noise_m)
                last = lat + north / METRES_PER_DEGREE, lon + east / METRES_PER_DEGREE / cos(radians(lat))
            yield Fix(
                time=start + elapsed,
                lat=last[0],
                lon=last[1],
                altitude_m=round(4 + rng.gauss(0, 2)),
                speed_kmh=round(speed * 3.6, 1),
                course_deg=int(course),
                valid=sky,
                mileage_km=mileage_km + metres / 1000,
                satellites=rng.randint(9, 24) if sky else 0,
                signal=rng.randint(14, 31),
            )
            elapsed += interval
        leg_begin = leg_end


def shuttle(roads: Sequence[Road], rng: Random, *, start: int, pace: Pace | None = None, layover_s: int = 300) -> Iterator[Fix]:
    """A bus that serves `roads` in turn for ever, found somewhere on its way at UTC second `start`."""
    turn = rng.randrange(len(roads))
    # with its stops a bus makes some 6 m/s
    begin = start - rng.randrange(int(roads[turn].length_m / 6) + 1)

    def runs() -> Iterator[Fix]:
        at, mileage_km = begin, float(rng.randrange(1_000, 300_000))
        for road in islice(cycle(roads), turn, None):
            for fix in drive(road, rng, start=at, pace=pace, mileage_km=mileage_km):
                yield fix
                at = int(fix.time)
            at, mileage_km = at + layover_s, mileage_km + road.length_m / 1000

    return dropwhile(lambda fix: fix.time < start, runs())


def distance_m(a: Fix, b: Fix) -> float:
    """Between two fixes that lie not far apart."""
    return hypot((a.lat - b.lat), (a.lon - b.lon) * cos(radians(a.lat))) * METRES_PER_DEGREE
