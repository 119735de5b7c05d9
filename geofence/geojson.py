"""Fences, corridors and stops from GeoJSON and back, with the datum said, and a check against real tracks that it was said rightly.

GeoJSON has no word for a circle, a width or a rule: they stand in a feature's `properties`, named as the fields of `Fence`, `Corridor` and
`Stop`. Shapes are converted to WGS-84 once, here. What cannot be read is a sentence about its feature; the other features stand.
A wrong datum puts everything 250–700 m away. Nobody sees that in the numbers, but the tracks of the vehicles do: `fit_of_corridor` and
`fit_of_fences` say how well they agree with the shapes in the datum said, and in the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import numpy as np

from geofence.corridors import Corridor, CorridorIndex
from geofence.datum import Datum, Degrees, convert
from geofence.fences import FOREVER, Circle, Fence, FenceIndex, Line, Points, Polygon, Shape, Stay, shape_of
from geofence.stops import Stop
from tracks.week import Window

Thing = TypeVar("Thing", Fence, Corridor, Stop)
Feature = Mapping[str, Any]

FITS_M: Final = 50.0
"""Half the tracks of a corridor's own vehicles lie nearer to it than that, or something is wrong."""


def fences(document: Mapping[str, Any], datum: Datum) -> tuple[list[Fence], list[str]]:
    """Fences, and what could not be read: a Point with `radius_m` is a circle, a LineString with `width_m` a line."""
    return _read(document, datum, _fence)


def corridors(document: Mapping[str, Any], datum: Datum) -> tuple[list[Corridor], list[str]]:
    """Corridors from LineStrings, and what could not be read."""
    return _read(document, datum, _corridor)


def stops(document: Mapping[str, Any], datum: Datum) -> tuple[list[Stop], list[str]]:
    """Stops from Points, and what could not be read."""
    return _read(document, datum, _stop)


def document(things: Iterable[Fence | Corridor | Stop], datum: Datum) -> dict[str, Any]:
    """A FeatureCollection in the datum, which stands beside the features."""
    return {"type": "FeatureCollection", "datum": datum.value, "features": [_feature(thing, datum) for thing in things]}


@dataclass(frozen=True, slots=True)
class Fit:
    """How well shapes agree with tracks, by the datum that their coordinates are taken to be in; higher is better."""

    said: Datum
    score: Mapping[Datum, float]
    unit: str

    @property
    def best(self) -> Datum:
        """The datum in which they agree best; the one said, unless another is clearly better."""
        best = max(self.score, key=self.score.__getitem__)
        clearly = self.score[best] > CLEARLY * self.score[self.said]
        return best if clearly else self.said

    @property
    def warning(self) -> str | None:
        """The sentence for whoever imports them; None when there is nothing to say."""
        fits = f"{self.score[self.said]:.0%} {self.unit} as {self.said}"
        if self.best != self.said:
            better = f"{self.score[self.best]:.0%} as {self.best}: were they drawn on a {self.best} map?"
            return f"these shapes do not fit the tracks: {fits}, {better} (图形与实际轨迹不符，坐标系可能是 {self.best})"
        if self.score[self.said] < HALF:
            return f"these shapes do not fit the tracks: {fits}, and no better in another datum (图形与实际轨迹不符)"
        return None


CLEARLY: Final = 1.5
"""A datum is not doubted for less; the right one scores several times higher."""
HALF: Final = 0.5


def fit_of_corridor(corridor: Corridor, said: Datum, lon: Degrees, lat: Degrees) -> Fit:
    """Of a corridor and fixes of vehicles that drove it (WGS-84): the share of fixes within FITS_M of it."""

    def share(points: Points) -> float:
        index = CorridorIndex.of([replace(corridor, points=points, half_width_m=FITS_M, limit_kmh=np.inf)])
        away_m, _ = index.distance(lon, lat, np.zeros(len(lon), np.int64))
        return float(np.mean(away_m <= FITS_M)) if len(lon) else 0.0

    return Fit(said, {datum: share(_as_if(corridor.points, said, datum)) for datum in Datum}, "of the fixes on it")


def fit_of_fences(shapes: Sequence[Fence], said: Datum, lon: Degrees, lat: Degrees) -> Fit:
    """Of fences and fixes of vehicles that stand in them (WGS-84): the share of fixes inside."""

    def share(datum: Datum) -> float:
        index = FenceIndex.of(
            [replace(fence, shape=_each_point(fence.shape, lambda points: _as_if(points, said, datum))) for fence in shapes]
        )
        return len(np.unique(index.inside(lon, lat)[0])) / max(len(lon), 1)

    return Fit(said, {datum: share(datum) for datum in Datum}, "of the fixes inside")


def _as_if(points: Points, said: Datum, datum: Datum) -> Points:
    """Points that were read as `said`, read as `datum` instead."""
    return _converted(_converted(points, Datum.WGS84, said), datum, Datum.WGS84)


def _converted(points: Points, source: Datum, target: Datum) -> Points:
    if source == target:
        return points
    at = np.array([point[:2] for point in points], np.float64).reshape(-1, 2)
    lon, lat = convert(at[:, 0], at[:, 1], source, target)
    return list(zip(lon.tolist(), lat.tolist(), strict=True))


def _each_point(shape: Shape, change: Callable[[Points], Points]) -> Shape:
    match shape:
        case Circle(lon, lat, radius_m):
            ((lon, lat),) = change([(lon, lat)])
            return Circle(lon, lat, radius_m)
        case Line(points, width_m):
            return Line(change(points), width_m)
        case Polygon(rings):
            return Polygon([change(ring) for ring in rings])


def _read(document: Mapping[str, Any], datum: Datum, make: Callable[[Feature, Datum, int], Thing]) -> tuple[list[Thing], list[str]]:
    said = document.get("datum", datum)
    if said != datum:
        return [], [f"the file says that it is in {said}, the import says {datum}"]
    features = document.get("features") if document.get("type") == "FeatureCollection" else [document]
    made: list[Thing] = []
    problems: list[str] = []
    for number, feature in enumerate(features or [], 1):
        try:
            made.append(make(feature, datum, number))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            name = (feature.get("properties") or {}).get("name", "") if isinstance(feature, Mapping) else ""
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            problems.append(f"feature {number} {name}: {what}".replace(" :", ":"))
    return made, problems


def _fence(feature: Feature, datum: Datum, number: int) -> Fence:
    geometry, properties = feature["geometry"], feature.get("properties") or {}
    coordinates = geometry["coordinates"]
    match geometry["type"]:
        case "Point":
            ((lon, lat),) = _points([coordinates], datum)
            shape: Shape = Circle(lon, lat, float(properties["radius_m"]))
        case "LineString":
            shape = Line(_points(coordinates, datum), float(properties["width_m"]))
        case "Polygon":
            shape = Polygon([_points(ring, datum) for ring in coordinates])
        case other:
            msg = f"a fence is a Point, a LineString or a Polygon, not a {other}"
            raise ValueError(msg)
    fence = Fence(id=number, shape=shape)
    made = replace(fence, **_given(properties, fence), stay=Stay[properties.get("stay", "free").upper()], windows=_windows(properties))
    shape_of(made)
    return made


def _corridor(feature: Feature, datum: Datum, number: int) -> Corridor:
    if (kind := feature["geometry"]["type"]) != "LineString":
        msg = f"a corridor is a LineString, not a {kind}"
        raise ValueError(msg)
    corridor = Corridor(id=number, points=_points(feature["geometry"]["coordinates"], datum))
    made = replace(corridor, **_given(feature.get("properties") or {}, corridor))
    CorridorIndex.of([made])
    return made


def _stop(feature: Feature, datum: Datum, number: int) -> Stop:
    if (kind := feature["geometry"]["type"]) != "Point":
        msg = f"a stop is a Point, not a {kind}"
        raise ValueError(msg)
    ((lon, lat),) = _points([feature["geometry"]["coordinates"]], datum)
    stop = Stop(id=number, lon=lon, lat=lat)
    return replace(stop, **_given(feature.get("properties") or {}, stop))


def _points(coordinates: Sequence[Sequence[float]], datum: Datum) -> Points:
    """Positions in WGS-84; their height, if they have one, is dropped."""
    at = np.array([position[:2] for position in coordinates], np.float64).reshape(-1, 2)
    if not (np.abs(at) <= [180, 90]).all():
        msg = "a position is longitude, then latitude, in degrees"
        raise ValueError(msg)
    return _converted([(lon, lat) for lon, lat in at.tolist()], datum, Datum.WGS84)


def _given(properties: Mapping[str, Any], thing: Fence | Corridor | Stop) -> dict[str, Any]:
    """The properties that are plain fields of the thing, and its parties and validity; whom a corridor is for, its assignments say."""
    given: dict[str, Any] = {}
    for each in fields(thing):
        value = properties.get(each.name)
        if value is not None and isinstance(getattr(thing, each.name), str | float | int) and each.name != "stay":
            given[each.name] = value if isinstance(value, list) else type(getattr(thing, each.name))(value)
    if "parties" in properties and not isinstance(thing, Corridor):
        given["parties"] = frozenset((str(kind), int(number)) for kind, number in properties["parties"])
    if "valid_from" in properties or "valid_until" in properties:
        ends = (properties.get("valid_from"), properties.get("valid_until"))
        given["valid_us"] = tuple(_micros(end) if end else ever for end, ever in zip(ends, FOREVER, strict=True))
    return given


def _windows(properties: Mapping[str, Any]) -> list[Window]:
    return [
        Window(frozenset(int(day) for day in window["days"]), _minute(window["from"]), _minute(window["to"]))
        for window in properties.get("windows", ())
    ]


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _micros(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * 1_000_000


def _feature(thing: Fence | Corridor | Stop, datum: Datum) -> dict[str, Any]:
    def back(points: Points) -> list[list[float]]:
        return [list(point) for point in _converted(points, Datum.WGS84, datum)]

    properties = dict(_properties(thing))
    match thing:
        case Fence(shape=Circle(lon, lat, radius_m)):
            geometry, properties["radius_m"] = {"type": "Point", "coordinates": back([(lon, lat)])[0]}, radius_m
        case Fence(shape=Line(points, width_m)):
            geometry, properties["width_m"] = {"type": "LineString", "coordinates": back(points)}, width_m
        case Fence(shape=Polygon(rings)):
            geometry = {"type": "Polygon", "coordinates": [back(ring) for ring in rings]}
        case Corridor(points=points):
            geometry = {"type": "LineString", "coordinates": back(points)}
        case Stop(lon=lon, lat=lat):
            geometry = {"type": "Point", "coordinates": back([(lon, lat)])[0]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _properties(thing: Fence | Corridor | Stop) -> Iterator[tuple[str, Any]]:
    """What `_given` reads back; fields at their defaults are left out."""
    defaults = {each.name: each.default for each in fields(thing)}
    for name, default in defaults.items():
        value = getattr(thing, name)
        if value == default or value != value:  # noqa: PLR0124 - NaN
            continue
        match name, value:
            case ("shape" | "points" | "lon" | "lat" | "detours", _):
                continue
            case "stay", _:
                yield name, Stay(value).name.lower()
            case "parties", _:
                yield name, [list(party) for party in sorted(value)]
            case "valid_us", (start, stop):
                ends = (("valid_from", start, FOREVER[0]), ("valid_until", stop, FOREVER[1]))
                yield from ((word, _text(end)) for word, end, ever in ends if end != ever)
            case "windows", _:
                yield name, [{"days": sorted(w.days), "from": _clock(w.start_minute), "to": _clock(w.stop_minute)} for w in value]
            case _:
                yield name, list(value) if isinstance(value, list | tuple) else value


def _text(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
