"""Roads with their stops and tunnels, and ways that leave them; `runs.py` puts buses on them.

Roads come from GeoJSON in WGS-84: each LineString is a road, each Point that names it in `line` or `linename` is a stop of it; the
property `tunnels_m` of a LineString lists tunnels as [from, to] in metres along it.
Points are taken by their geometry, never by properties: why is said in tests/traces/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import atan2, cos, degrees, hypot, radians
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_sim.report import Fix

Metres = NDArray[np.float64]
Degrees = NDArray[np.float64]

METRES_PER_DEGREE: Final = 111_195.0
"""Of latitude, on a sphere of 6 371 km; a city's roads are short enough to be flat."""
DETOUR_STEP_M: Final = 50.0
"""From vertex to vertex beside the road."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop: its name, where it is, and how far along the road that lies."""

    name: str
    lat: float
    lon: float
    at_m: float


@dataclass(frozen=True, slots=True)
class Detour:
    """A way off a road: straight across, beside it from `from_m` to `to_m` along it, and straight back."""

    from_m: float
    to_m: float
    aside_m: float
    """To the right; negative is to the left."""


@dataclass(frozen=True, slots=True)
class Road:
    """A polyline in WGS-84 with its stops and tunnels in order; `along_m` is the distance from the start to each vertex."""

    name: str
    lat: Degrees
    lon: Degrees
    along_m: Metres
    stops: tuple[Stop, ...] = ()
    tunnels_m: tuple[tuple[float, float], ...] = ()
    line: Road | None = None
    """The road that this one strays from; None for a road that was planned."""

    @classmethod
    def through(cls, name: str, lat: Degrees, lon: Degrees) -> Road:
        """A road without stops and tunnels; two vertices of one place are one, for between them there is no direction."""
        differs = np.concatenate(([True], (np.diff(lat) != 0) | (np.diff(lon) != 0)))
        lat, lon = lat[differs], lon[differs]
        shrink = np.cos(np.radians((lat[1:] + lat[:-1]) / 2))
        steps = np.hypot(np.diff(lon) * shrink, np.diff(lat)) * METRES_PER_DEGREE
        return cls(name, lat, lon, np.concatenate(([0.0], np.cumsum(steps))))

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

    def beside(self, metres: Metres, aside_m: float = 0.0) -> tuple[Degrees, Degrees]:
        """Latitudes and longitudes of the points so far along the road, `aside_m` to its right."""
        leg = np.clip(np.searchsorted(self.along_m, metres, "right") - 1, 0, len(self.along_m) - 2)
        lat, lon = np.interp(metres, self.along_m, self.lat), np.interp(metres, self.along_m, self.lon)
        shrink = np.cos(np.radians(lat))
        north, east = np.diff(self.lat)[leg], np.diff(self.lon)[leg] * shrink
        aside = aside_m / METRES_PER_DEGREE / np.hypot(north, east)
        return lat - east * aside, lon + north * aside / shrink

    def nearest(self, lat: float, lon: float) -> tuple[float, float]:
        """How far along the road the nearest point to (lat, lon) lies, and how far away it is."""
        along, away = self._nearest(np.array([lat]), np.array([lon]))
        return float(along[0]), float(away[0])

    def away_m(self, lat: Degrees, lon: Degrees) -> Metres:
        """How far away each of the points is."""
        return self._nearest(lat, lon)[1]

    def _nearest(self, lat: Degrees, lon: Degrees) -> tuple[Metres, Metres]:
        shrink = np.cos(np.radians(lat))[:, None]
        x, y = (self.lon - lon[:, None]) * shrink * METRES_PER_DEGREE, (self.lat - lat[:, None]) * METRES_PER_DEGREE
        dx, dy = np.diff(x), np.diff(y)
        share = np.clip(-(x[:, :-1] * dx + y[:, :-1] * dy) / (dx * dx + dy * dy), 0, 1)
        away = np.hypot(x[:, :-1] + share * dx, y[:, :-1] + share * dy)
        leg, row = np.argmin(away, axis=1), np.arange(len(lat))
        return self.along_m[leg] + share[row, leg] * np.diff(self.along_m)[leg], away[row, leg]

    def by(self, detour: Detour) -> Road:
        """The way along this road that takes the detour; the stops and tunnels between are left out."""
        before, after = self.along_m < detour.from_m, self.along_m > detour.to_m
        ends = np.array([detour.from_m, detour.to_m])
        (leave_lat, join_lat), (leave_lon, join_lon) = self.beside(ends)
        lat, lon = self.beside(np.append(np.arange(detour.from_m, detour.to_m, DETOUR_STEP_M), detour.to_m), detour.aside_m)
        way = Road.through(
            self.name,
            np.concatenate((self.lat[before], [leave_lat], lat, [join_lat], self.lat[after])),
            np.concatenate((self.lon[before], [leave_lon], lon, [join_lon], self.lon[after])),
        )
        longer_m = way.length_m - self.length_m

        def kept(from_m: float, to_m: float) -> float | None:
            """By how much what lies there comes later; None for what is left out."""
            return 0.0 if to_m <= detour.from_m else longer_m if from_m >= detour.to_m else None

        stops = [(stop, kept(stop.at_m, stop.at_m)) for stop in self.stops]
        tunnels = [(start, stop, kept(start, stop)) for start, stop in self.tunnels_m]
        return replace(
            way,
            stops=tuple(replace(stop, at_m=stop.at_m + later) for stop, later in stops if later is not None),
            tunnels_m=tuple((start + later, stop + later) for start, stop, later in tunnels if later is not None),
            line=self,
        )

    def in_tunnel(self, metres: float) -> bool:
        """Whether there is no sky at `metres`."""
        return any(start <= metres <= stop for start, stop in self.tunnels_m)


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
    road = Road.through(name, places[:, 1].copy(), places[:, 0].copy())
    stops = []
    for point in points:
        said = point["properties"] or {}
        if name and name in {said.get("line"), said.get("linename")}:
            lon, lat = point["geometry"]["coordinates"][:2]
            stops.append(Stop(str(said.get("name", said.get("stopname", ""))), lat, lon, road.nearest(lat, lon)[0]))
    tunnels = tuple((float(start), float(stop)) for start, stop in about.get("tunnels_m", ()))
    return replace(road, stops=tuple(sorted(stops, key=lambda stop: stop.at_m)), tunnels_m=tunnels)


def distance_m(a: Fix, b: Fix) -> float:
    """Between two fixes that lie not far apart."""
    return hypot((a.lat - b.lat), (a.lon - b.lon) * cos(radians(a.lat))) * METRES_PER_DEGREE
