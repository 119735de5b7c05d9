"""Fences, corridors and stops from GeoJSON and back, with the datum said, and a check against real tracks that it was said rightly.

GeoJSON has no word for a circle, a width or a rule: they stand in a feature's `properties`, named as the fields of `Fence`, `Corridor` and
`Stop`. Shapes are converted to WGS-84 once, here. What cannot be read is a sentence about its feature; the other features stand.
A wrong datum puts everything 250–700 m away. Nobody sees that in the numbers, but the tracks of the vehicles do: `fit_of_corridor`,
`fit_of_fences` and `fit_of_stops` say how well they agree with the shapes in the datum said, and in the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import numpy as np

from geofence import properties as properties_of
from geofence.corridors import HALF_WIDTH_M, Corridor, CorridorIndex, Detour
from geofence.datum import Datum, Degrees, convert, distance_m
from geofence.fences import FOREVER, Circle, Fence, FenceIndex, Line, MultiPolygon, Points, Polygon, Shape, Stay, enclosed, shape_of
from geofence.stops import Stop, StopIndex

Thing = TypeVar("Thing", Fence, Corridor | Detour, Stop)
Feature = Mapping[str, Any]

FITS_M: Final = 50.0
"""Half the tracks of a corridor's own vehicles lie nearer to it than that, or something is wrong."""


def fences(document: Mapping[str, Any], datum: Datum, ids: Collection[int] | None = None) -> tuple[list[Fence], list[str]]:
    """Fences, and what could not be read: a Point with `radius_m` is a circle, a LineString with `width_m` a line.

    A MultiPolygon is one fence: what lies in any of its parts is inside. One of a single part is that Polygon.
    Each has to have one of the `ids`, if these are given, and no two the same; so it is with the others.
    """
    return _read(document, datum, _fence, ids)


def corridors(document: Mapping[str, Any], datum: Datum) -> tuple[list[Corridor], list[str]]:
    """Corridors from LineStrings, each with its detours in the document, and what could not be read."""
    made, problems = routes(document, datum)
    detours = [each for each in made if isinstance(each, Detour)]
    found = [each for each in made if isinstance(each, Corridor)]
    problems += [strange for each in detours if (strange := unknown(each, found))]
    return [
        replace(each, detours=[detour for detour in detours if {each.id, each.name} & set(detour.detour_of)]) for each in found
    ], problems


def routes(document: Mapping[str, Any], datum: Datum, ids: Collection[int] | None = None) -> tuple[list[Corridor | Detour], list[str]]:
    """Corridors and, each by itself, detours: LineStrings and Polygons that say which corridor they stand in for."""
    return _read(document, datum, _route, ids)


def unknown(detour: Detour, among: Iterable[Corridor]) -> str | None:
    """The sentence about a detour of a corridor that is not among these; None when all are."""
    known = {said for corridor in among for said in (corridor.id, corridor.name)}
    missing = [str(each) for each in detour.detour_of if each not in known]
    called = f"detour {detour.name or detour.id}: no corridor is called {', '.join(missing)}"
    return f"{called}; `dubhe corridor list` shows ids and names 没有该线路" if missing else None


def stops(document: Mapping[str, Any], datum: Datum, ids: Collection[int] | None = None) -> tuple[list[Stop], list[str]]:
    """Stops from Points, and what could not be read."""
    return _read(document, datum, _stop, ids)


def document(things: Iterable[Fence | Corridor | Detour | Stop], datum: Datum, decimals: int | None = None) -> dict[str, Any]:
    """A FeatureCollection in the datum, which stands beside the features; degrees are rounded to so many decimals, if any are given."""
    return {"type": "FeatureCollection", "datum": datum.value, "features": [_feature(thing, datum, decimals) for thing in things]}


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


def fit_of_stops(shapes: Sequence[Stop], said: Datum, lon: Degrees, lat: Degrees) -> Fit:
    """Of stops and fixes of vehicles that stand (WGS-84): the share of fixes that stand at one of them."""

    def share(datum: Datum) -> float:
        points = _as_if([(stop.lon, stop.lat) for stop in shapes], said, datum)
        index = StopIndex.of(
            [Stop(number, *at, radius_m=stop.radius_m) for number, (stop, at) in enumerate(zip(shapes, points, strict=True))]
        )
        place, row = index.cells.meeting(lon, lat, lon, lat)
        at = distance_m(index.lon[row], index.lat[row], lon[place], lat[place]) <= index.radius_m[row]
        return len(np.unique(place[at])) / max(len(lon), 1)

    return Fit(said, {datum: share(datum) for datum in Datum}, "of the standing fixes at them")


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
        case MultiPolygon(polygons):
            return MultiPolygon([Polygon([change(ring) for ring in polygon.rings]) for polygon in polygons])


def _read(
    document: Mapping[str, Any], datum: Datum, make: Callable[[Feature, Datum, int], Thing], ids: Collection[int] | None
) -> tuple[list[Thing], list[str]]:
    said = document.get("datum", datum)
    if said != datum:
        return [], [f"the file says that it is in {said}, the import says {datum}"]
    features = features_of(document)
    made: list[Thing] = []
    problems = ["a FeatureCollection or one Feature is read, and this is neither 不是 GeoJSON 要素"] if features is None else []
    for number, feature in enumerate(features or [], 1):
        try:
            thing = make(feature, datum, number)
            if ids is not None:
                _check_id(feature["properties"], ids, {each.id for each in made})
            made.append(thing)
        except (KeyError, ValueError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            problems.append(f"feature {number} {named(feature)}: {what}".replace(" :", ":"))
    return made, problems


def _check_id(properties: Mapping[str, Any] | None, ids: Collection[int], taken: Collection[int]) -> None:
    """Raises ValueError for a feature that takes the place of nothing, or of what another one has taken."""
    said = (properties or {}).get("id")
    if type(said) is not int or said not in ids:
        lacks = "it has no id" if said is None else f"there is none with the id {said!r:.{properties_of.SHOWN_MAX}}"
        msg = f"{lacks} to take the place of: `list` shows ids, and without --replace it is entered as new 没有该编号"
        raise ValueError(msg)
    if said in taken:
        msg = f"the id {said} stands twice in the file 编号重复"
        raise ValueError(msg)


def features_of(document: Mapping[str, Any]) -> list[Any] | None:
    """The features of a FeatureCollection, or the one that a document is; None for one that is neither."""
    match document:
        case {"type": "FeatureCollection", "features": list(features)}:
            return features
        case {"type": "Feature"}:
            return [document]
    return None


def named(feature: Any) -> str:  # noqa: ANN401 - whatever stands in a list of features
    """What a feature is called, for a sentence about it."""
    properties = feature.get("properties") if isinstance(feature, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    return " ".join(str(name or "").split())[: properties_of.SHOWN_MAX]


def _parts(feature: Any, what: str, *kinds: str) -> tuple[str, Any, Mapping[str, Any]]:  # noqa: ANN401 - whatever stands in a list of features
    """Kind and coordinates of the geometry, and the properties. Raises ValueError with a sentence."""
    allowed = f"{what} is {' or '.join(', '.join(f'a {kind}' for kind in kinds).rsplit(', ', 1))}"
    feature = feature if isinstance(feature, Mapping) else {}
    geometry, properties = feature.get("geometry"), feature.get("properties") or {}
    if not isinstance(geometry, Mapping):
        msg = f"it has no geometry: {allowed} 缺少几何图形"
        raise ValueError(msg)  # noqa: TRY004 - what a file says, not what we hand over
    if (kind := geometry.get("type")) not in kinds:
        cure = ", cut into features of its own" if str(kind).startswith("Multi") else ""
        either = "; where either part will do (stay in), draw them as one MultiPolygon 多块区域请画为一个 MultiPolygon"
        msg = f"{allowed}, not a {kind}{cure}{either if cure and 'MultiPolygon' in kinds else ''}"
        raise ValueError(msg)
    if not isinstance(properties, Mapping):
        msg = "its properties are no object of names and values"
        raise ValueError(msg)  # noqa: TRY004 - likewise
    return str(kind), geometry.get("coordinates"), properties


def _fence(feature: Feature, datum: Datum, number: int) -> Fence:
    kind, coordinates, properties = _parts(feature, "a fence", "Point", "LineString", "Polygon", "MultiPolygon")
    match kind:
        case "Point":
            ((lon, lat),) = _points([coordinates], datum)
            shape: Shape = Circle(lon, lat, properties_of.read(properties, "radius_m"))
        case "LineString":
            shape = Line(_points(coordinates, datum), properties_of.read(properties, "width_m"))
        case "MultiPolygon":
            shape = _multipolygon(coordinates, datum)
        case _:
            shape = _polygon(coordinates, datum)
    fence = Fence(id=properties_of.id_of(properties, number), shape=shape)
    made = replace(fence, **_given(properties, fence))
    west, _, east, _ = shape_of(made).bounds
    if west < -180 or east > 180:  # noqa: PLR2004 - the antimeridian
        raise ValueError(ANTIMERIDIAN)
    return made


def _route(feature: Feature, datum: Datum, number: int) -> Corridor | Detour:
    properties = feature.get("properties") if isinstance(feature, Mapping) else None
    stands_in = isinstance(properties, Mapping) and properties.get("detour_of") is not None
    return _detour(feature, datum, number) if stands_in else _corridor(feature, datum, number)


def _detour(feature: Feature, datum: Datum, number: int) -> Detour:
    kind, coordinates, properties = _parts(feature, "a detour", "LineString", "Polygon")
    shape: Line | Polygon
    if kind == "Polygon":
        shape = _polygon(coordinates, datum)
    else:
        half_m = properties_of.read({"half_width_m": HALF_WIDTH_M} | {**properties}, "half_width_m")
        if isinstance(half_m, list):
            msg = "half_width_m of a detour is one number 绕行只能有一个宽度"
            raise ValueError(msg)
        shape = Line(_points(coordinates, datum), 2 * half_m)
    detour = Detour(shape, id=properties_of.id_of(properties, number))
    enclosed(shape, "it")
    return replace(detour, **_given(properties, detour))


def _polygon(coordinates: Any, datum: Datum) -> Polygon:  # noqa: ANN401 - whatever stands in the file
    if not isinstance(coordinates, list) or not coordinates:
        msg = "a Polygon is a list of rings, its outline first"
        raise ValueError(msg)
    return Polygon([_points(ring, datum) for ring in coordinates])


def _multipolygon(coordinates: Any, datum: Datum) -> MultiPolygon | Polygon:  # noqa: ANN401 - likewise
    if not isinstance(coordinates, list) or not coordinates:
        msg = "a MultiPolygon is a list of polygons, each a list of rings"
        raise ValueError(msg)
    polygons = [_polygon(part, datum) for part in coordinates]
    return MultiPolygon(polygons) if len(polygons) > 1 else polygons[0]


def _corridor(feature: Feature, datum: Datum, number: int) -> Corridor:
    _, coordinates, properties = _parts(feature, "a corridor", "LineString")
    corridor = Corridor(id=properties_of.id_of(properties, number), points=_points(coordinates, datum))
    made = replace(corridor, **_given(properties, corridor))
    segments = len(corridor.points) - 1
    if wrong := [name for name in ("half_width_m", "limit_kmh") if isinstance(each := getattr(made, name), list) and len(each) != segments]:
        msg = f"{wrong[0]} has another length than the corridor has segments: {segments} 与线段数不一致"
        raise ValueError(msg)
    CorridorIndex.of([made])
    return made


def _stop(feature: Feature, datum: Datum, number: int) -> Stop:
    _, coordinates, properties = _parts(feature, "a stop", "Point")
    ((lon, lat),) = _points([coordinates], datum)
    stop = Stop(id=properties_of.id_of(properties, number), lon=lon, lat=lat)
    return replace(stop, **_given(properties, stop))


ANTIMERIDIAN: Final = "it crosses the antimeridian: cut it in two at 180° (RFC 7946 §3.1.9) 跨越180°经线，请拆分"
LAT_MAX: Final = 85.0
"""Nearer to a pole a degree of longitude has no length to speak of."""


def _points(coordinates: Any, datum: Datum) -> Points:  # noqa: ANN401 - whatever stands in the file
    """Positions in WGS-84; their height, if they have one, is dropped. Raises ValueError with a sentence."""
    try:
        at = np.array([position[:2] for position in coordinates])
    except (TypeError, ValueError, LookupError):
        at = np.empty(0, object)
    if at.ndim != 2 or at.shape[1] != 2 or at.dtype.kind not in "iuf" or not (np.abs(at) <= [180, LAT_MAX]).all():  # noqa: PLR2004 - lon, lat
        msg = f"a position is longitude, then latitude, in degrees, no further from the equator than {LAT_MAX:g} 应为经度在前、纬度在后"
        raise ValueError(msg)
    if (np.abs(np.diff(at[:, 0])) > 180).any():  # noqa: PLR2004 - half way round
        raise ValueError(ANTIMERIDIAN)
    return _converted([(float(lon), float(lat)) for lon, lat in at.tolist()], datum, Datum.WGS84)


def _given(properties: Mapping[str, Any], thing: Fence | Corridor | Detour | Stop) -> dict[str, Any]:
    """The properties that are fields of the thing, and its validity; whom a corridor is for, its assignments say."""
    shape = {"radius_m"} if isinstance(thing, Fence) else {"parties"} if isinstance(thing, Corridor) else set()
    given = properties_of.given(properties, [each.name for each in fields(thing) if each.name not in shape])
    validity = properties_of.validity(properties)
    if validity and isinstance(thing, Stop):
        msg = "valid_from and valid_until are for fences, corridors and detours 有效期不适用于站点"
        raise ValueError(msg)
    return given | validity


def _feature(thing: Fence | Corridor | Detour | Stop, datum: Datum, decimals: int | None) -> dict[str, Any]:
    def back(points: Points) -> list[list[float]]:
        at = _converted(points, Datum.WGS84, datum)
        return [list(point) if decimals is None else [round(degrees, decimals) for degrees in point] for point in at]

    properties = dict(_properties(thing))
    match thing:
        case Fence(shape=Circle(lon, lat, radius_m)):
            geometry, properties["radius_m"] = {"type": "Point", "coordinates": back([(lon, lat)])[0]}, radius_m
        case Fence(shape=Line(points, width_m)):
            geometry, properties["width_m"] = {"type": "LineString", "coordinates": back(points)}, width_m
        case Detour(shape=Line(points, width_m)):
            geometry, properties["half_width_m"] = {"type": "LineString", "coordinates": back(points)}, width_m / 2
        case Fence(shape=Polygon(rings)) | Detour(shape=Polygon(rings)):
            geometry = {"type": "Polygon", "coordinates": [back(ring) for ring in rings]}
        case Fence(shape=MultiPolygon(polygons)):
            geometry = {"type": "MultiPolygon", "coordinates": [[back(ring) for ring in polygon.rings] for polygon in polygons]}
        case Corridor(points=points):
            geometry = {"type": "LineString", "coordinates": back(points)}
        case Stop(lon=lon, lat=lat):
            geometry = {"type": "Point", "coordinates": back([(lon, lat)])[0]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _properties(thing: Fence | Corridor | Detour | Stop) -> Iterator[tuple[str, Any]]:
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
