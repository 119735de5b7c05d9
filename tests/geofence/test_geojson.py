"""GeoJSON there and back in every datum; the doubt that a shifted import raises; sentences about what cannot be read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fix_drives import NOON_US, Drive, judged, line71, story, stretch
from geofence import geojson
from geofence.check import Atlas
from geofence.corridors import Assignment, Corridor, CorridorIndex, Detour
from geofence.datum import Datum
from geofence.fences import FOREVER, Circle, Fence, Line, MultiPolygon, Polygon, Stay
from geofence.stops import Stop
from tracks.event import Kind
from tracks.week import Window

ROAD = line71()
TRIANGLE = [(121.4, 31.2), (121.5, 31.2), (121.5, 31.3), (121.4, 31.2)]
BOW = [(110, 30), (110.01, 30.01), (110.01, 30), (110, 30.01), (110, 30)]
DATE_LINE = [(179.9, 10), (-179.9, 10), (-179.9, 10.1), (179.9, 10.1), (179.9, 10)]
"""Across the antimeridian; read as it stands, it would be all the rest of the world."""
HOLE = [(121.45, 31.21), (121.46, 31.21), (121.46, 31.22), (121.45, 31.21)]
FENCES = [
    Fence(
        4,
        Circle(121.4, 31.2, 100.0),
        name="车场",
        stay=Stay.IN,
        parties=frozenset({("line", 71), ("vehicle", 2)}),
        day_kmh=30.0,
        night_kmh=20.0,
        windows=[Window(frozenset({0, 4}), 420, 1140)],
        valid_us=(NOON_US, FOREVER[1]),
        dwell_s=600.0,
        margin_m=12.0,
    ),
    Fence(5, Line([(121.4, 31.2), (121.5, 31.3)], 40.0)),
    Fence(6, Polygon([TRIANGLE, HOLE])),
    Fence(7, MultiPolygon([Polygon([TRIANGLE, HOLE]), Polygon.rectangle(121.5, 31.2, 121.6, 31.3)]), stay=Stay.IN),
]
SHOPPING = [Window(frozenset(range(7)), 330, 1350)]
CORRIDORS = [
    Corridor(1, ROAD, "71", half_width_m=80.0, limit_kmh=60.0, directed=False, windows=SHOPPING, valid_us=(FOREVER[0], NOON_US)),
    Corridor(2, ROAD[:3], half_width_m=[30.0, 40.0]),
]
DETOURS = [
    Detour(Line(ROAD[:4], 90.0), (NOON_US, NOON_US + 1_000_000), "王调度", id=3, name="绕行", detour_of=[1, "71"]),
    Detour(Polygon([TRIANGLE, HOLE]), id=4, detour_of=["71"]),
]
STOPS = [Stop(9, 121.4, 31.2, "外滩", radius_m=100.0, course_deg=90.0, corridor_id=1, sequence=3, parties=frozenset({("line", 71)}))]


@pytest.mark.parametrize("datum", Datum)
@pytest.mark.parametrize(
    ("things", "read"), [(FENCES, geojson.fences), (CORRIDORS, geojson.corridors), (DETOURS, geojson.routes), (STOPS, geojson.stops)]
)
def test_what_is_written_is_read_again(things: Any, read: Any, datum: Datum) -> None:
    text = json.dumps(geojson.document(things, datum))
    again, problems = read(json.loads(text), datum)

    assert [] == problems
    assert [_rounded(thing) for thing in things] == [_rounded(thing) for thing in again]


def _rounded(thing: Any) -> Any:
    """Its fields with coordinates to 1e-9 degrees; lists and tuples alike, NaN as itself."""
    fields = {name: getattr(thing, name) for name in thing.__dataclass_fields__}
    return json.loads(json.dumps(fields, default=_plain), parse_float=lambda text: round(float(text), 9))


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else {name: getattr(value, name) for name in value.__dataclass_fields__}


def test_a_file_that_names_another_datum_is_refused() -> None:
    assert ([], ["the file says that it is in gcj02, the import says wgs84"]) == geojson.fences(
        geojson.document(FENCES, Datum.GCJ02), Datum.WGS84
    )


@pytest.mark.parametrize(
    ("geometry", "properties", "sentence"),
    [
        ({"type": "Point", "coordinates": [121, 31]}, {"name": "x"}, "feature 1 x: it has no 'radius_m'"),
        ({"type": "MultiPolygon", "coordinates": []}, {}, "feature 1: a MultiPolygon is a list of polygons"),
        ({"type": "MultiPolygon", "coordinates": [[TRIANGLE], []]}, {}, "a Polygon is a list of rings"),
        ({"type": "MultiPolygon", "coordinates": [TRIANGLE]}, {}, "a position is"),
        ({"type": "MultiPolygon", "coordinates": [[TRIANGLE], [BOW]]}, {}, "part 2, encloses no area"),
        ({"type": "MultiLineString", "coordinates": []}, {}, "not a MultiLineString, cut into features of its own; where either"),
        ({"type": "Point", "coordinates": [31, 121]}, {"radius_m": 5}, "feature 1: a position is longitude, then latitude, in degrees"),
        ({"type": "Polygon", "coordinates": [[[1, 1], [2, 2], [3, 3], [1, 1]]]}, {}, "encloses no area"),
        ({"type": "Polygon", "coordinates": [BOW]}, {}, "Self-intersection"),
        ({"type": "Polygon", "coordinates": [DATE_LINE]}, {}, "crosses the antimeridian: cut it in two"),
        ({"type": "Point", "coordinates": [179.999, 10]}, {"radius_m": 900}, "crosses the antimeridian"),
        ({"type": "Point", "coordinates": [110, 90]}, {"radius_m": 900}, "a position is longitude, then latitude"),
        ({"type": "Polygon", "coordinates": []}, {}, "a list of rings"),
        ({"type": "Polygon", "coordinates": [[]]}, {}, "a position is"),
        ({"type": "Polygon", "coordinates": [[[1, 1], [2], [3, 3], [1, 1]]]}, {}, "a position is"),
        ({"type": "Polygon", "coordinates": [[["a", "b"]] * 4]}, {}, "a position is"),
        ({"type": "Point", "coordinates": [float("nan"), 31]}, {"radius_m": 5}, "a position is"),
        ({"type": "Point", "coordinates": [10**400, 31]}, {"radius_m": 5}, "a position is"),
        (None, {}, "feature 1: it has no geometry: a fence is a Point, a LineString, a Polygon or a MultiPolygon"),
        ([1], {}, "it has no geometry"),
        ({"type": "Polygon", "coordinates": [TRIANGLE]}, [1], "its properties are no object"),
    ],
)
def test_a_feature_that_cannot_be_read_says_why_and_spoils_no_other(geometry: Any, properties: Any, sentence: str) -> None:
    """What is no geometry, no place, or no shape that fixes could be tested against."""
    features = [{"type": "Feature", "geometry": geometry, "properties": properties}, *geojson.document(FENCES, Datum.WGS84)["features"]]
    made, (problem,) = geojson.fences({"type": "FeatureCollection", "features": features}, Datum.WGS84)

    assert len(FENCES) == len(made)
    assert sentence in problem


def test_a_multipolygon_of_one_part_is_that_polygon() -> None:
    said = {"id": 6, "stay": "in"}
    features = [
        {"type": "Feature", "geometry": {"type": kind, "coordinates": at}, "properties": said}
        for kind, at in (("Polygon", [TRIANGLE, HOLE]), ("MultiPolygon", [[TRIANGLE, HOLE]]))
    ]
    (plain, one), problems = geojson.fences({"type": "FeatureCollection", "features": features}, Datum.GCJ02)

    assert [] == problems
    assert plain == one


def test_a_detour_is_one_of_the_corridors_it_names_and_one_of_nobody_is_said() -> None:
    stray = Detour(Polygon([TRIANGLE]), id=5, name="东门", detour_of=["71", "27路", 9])
    made, problems = geojson.corridors(geojson.document([*DETOURS, *CORRIDORS, stray], Datum.WGS84), Datum.WGS84)

    assert [(1, [3, 4, 5]), (2, [])] == [(corridor.id, [detour.id for detour in corridor.detours]) for corridor in made]
    assert ["detour 东门: no corridor is called 27路, 9; `dubhe corridor list` shows ids and names 没有该线路"] == problems


NAN, HUGE = float("nan"), 10**400
AMISS: list[tuple[str, list[Any]]] = [
    ("radius_m", [0, -5, NAN, float("inf"), 1e12, HUGE, "big", [], True]),
    ("half_width_m", [-50, 0, NAN, 1e9, ["a", "b"], [50] * 5, {}]),
    ("limit_kmh", [0, -1, NAN, [NAN]]),
    ("terminus_m", [-1, NAN, "near"]),
    ("day_kmh", [-4, NAN, "fast", 0]),
    ("margin_m", [-50, NAN, 1e9]),
    ("dwell_s", [-1, NAN, "long"]),
    ("stay", ["inside", 1, []]),
    ("windows", [7, [7], [{"days": [9], "from": "07:00", "to": "19:00"}], [{"days": [0], "from": "27:00", "to": "19:99"}], "noon"]),
    ("valid_from", ["tomorrow", 5, "0001-01-01T00:00:00", "9999-12-31T23:59:59-08:00"]),
    ("course_deg", ["north", NAN, 1000]),
    ("corridor_id", ["71路", -1, 10**30, 1.5, NAN]),
    ("sequence", [-1, HUGE, "first"]),
    ("directed", ["sometimes", 2]),
    ("detour_of", [0, -3, 1.5, True, "", [], [[1]], {"id": 1}]),
    ("name", [["a"], "n" * 1000]),
]
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "radius_m": (geojson.fences, {"type": "Point", "coordinates": [121, 31]}),
    **dict.fromkeys(
        ("half_width_m", "limit_kmh", "terminus_m", "directed", "detour_of"),
        (geojson.corridors, {"type": "LineString", "coordinates": ROAD[:3]}),
    ),
    **dict.fromkeys(("course_deg", "corridor_id", "sequence"), (geojson.stops, {"type": "Point", "coordinates": [121, 31]})),
}
"""Property → what reads it, and of what; of a fence where nothing is said."""


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in AMISS for value in values], ids=lambda each: f"{each!r:.30}")
def test_a_property_that_cannot_be_meant_is_refused_with_what_is_allowed(name: str, value: Any) -> None:
    read, geometry = KINDS.get(name, (geojson.fences, {"type": "Polygon", "coordinates": [TRIANGLE]}))
    made, (problem,) = read({"type": "Feature", "geometry": geometry, "properties": {name: value}}, Datum.WGS84)

    assert [] == made
    assert f"{name} " in problem
    assert "allowed is" in problem or "segments" in problem
    assert len(problem) < 300


@pytest.mark.parametrize("number", ["way/123", 10**30, -4, 0, 1.5, None, [1], True])
def test_an_id_that_is_another_programs_is_not_read(number: Any) -> None:
    feature = {"type": "Feature", "id": number, "geometry": {"type": "Polygon", "coordinates": [TRIANGLE]}, "properties": {"id": number}}
    ((fence,), problems) = geojson.fences({"type": "FeatureCollection", "features": [feature]}, Datum.WGS84)

    assert (1, []) == (fence.id, problems)


@pytest.mark.parametrize(
    "document", [{"features": 5}, {"type": "FeatureCollection", "features": 5}, {"type": "Polygon"}, {"type": ["x"]}, {}]
)
def test_what_is_no_geojson_is_one_sentence(document: Any) -> None:
    made, (problem,) = geojson.fences(document, Datum.WGS84)

    assert [] == made
    assert "a FeatureCollection or one Feature is read" in problem


def test_times_without_a_zone_are_beijings_and_hours_may_be_written_as_in_the_settings() -> None:
    said = {"valid_from": "2026-01-01T08:00:00", "windows": "mon-fri 07:00-19:00, sat 22:00-06:00"}
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [TRIANGLE]}, "properties": said}
    ((fence,), _) = geojson.fences(feature, Datum.WGS84)

    assert (1_767_225_600_000_000, FOREVER[1]) == fence.valid_us
    assert [Window(frozenset(range(5)), 420, 1140), Window(frozenset({5}), 1320, 360)] == fence.windows


@pytest.mark.parametrize(("until", "end"), [("2026-12-31", "2027-01-01"), ("2026-12-31T00:00:00", "2026-12-31")])
def test_a_day_as_an_end_is_the_last_day(until: str, end: str) -> None:
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [TRIANGLE]}, "properties": {"valid_until": until}}
    ((fence,), _) = geojson.fences(feature, Datum.WGS84)

    assert int(np.datetime64(f"{end}T00:00:00").astype("datetime64[us]").astype(np.int64)) - 8 * 3_600_000_000 == fence.valid_us[1]


def drawn_on(datum: Datum) -> dict[str, Any]:
    """Line 71 as drawn on a map, with nothing to say which."""
    document = geojson.document([Corridor(1, ROAD)], datum)
    del document["datum"]
    return document


@pytest.mark.parametrize("drawn", Datum)
@pytest.mark.parametrize("said", Datum)
def test_a_shifted_import_is_found_out_by_the_tracks(drawn: Datum, said: Datum) -> None:
    ((corridor,), _) = geojson.corridors(drawn_on(drawn), said)
    tracks = Drive().along(ROAD).fixes(np.random.default_rng(1), 6.0)
    fit = geojson.fit_of_corridor(corridor, said, tracks.lon, tracks.lat)

    assert drawn == fit.best
    assert (drawn == said) == (fit.warning is None)
    assert fit.warning is None or f"were they drawn on a {drawn} map" in fit.warning


def test_tracks_that_fit_no_datum_are_doubted_too() -> None:
    tracks = Drive().along(line71(1)[:5]).along([(lon, lat + 0.3) for lon, lat in ROAD]).fixes()

    assert "no better" in str(geojson.fit_of_corridor(Corridor(1, ROAD), Datum.WGS84, tracks.lon, tracks.lat).warning)


DEPOTS = [ROAD[40 * number] for number in range(1, 5)]
YARDS = MultiPolygon([Polygon.rectangle(lon - 0.001, lat - 0.001, lon + 0.001, lat + 0.001) for lon, lat in DEPOTS])


@pytest.mark.parametrize("shapes", [[Circle(*at, 120.0) for at in DEPOTS], [YARDS]], ids=["circles", "one of several parts"])
def test_shifted_fences_are_found_out_by_the_vehicles_that_stand_in_them(shapes: list[Any]) -> None:
    rng = np.random.default_rng(2)
    depots = [Fence(number, shape) for number, shape in enumerate(shapes, 1)]
    document = geojson.document(depots, Datum.GCJ02)
    del document["datum"]
    wrong, _ = geojson.fences(document, Datum.WGS84)
    lon, lat = np.repeat(DEPOTS, 50, axis=0).T + rng.normal(0, 1e-4, (2, 200))

    assert Datum.GCJ02 == geojson.fit_of_fences(wrong, Datum.WGS84, lon, lat).best
    assert geojson.fit_of_fences(depots, Datum.WGS84, lon, lat).warning is None


def test_a_corridor_imported_in_the_datum_it_was_drawn_in_finds_exactly_what_was_planted() -> None:
    ((corridor,), _) = geojson.corridors(drawn_on(Datum.GCJ02), Datum.GCJ02)
    atlas = Atlas(corridors=CorridorIndex.of([corridor], [Assignment(corridor.id)]))
    drive = Drive().along(stretch(ROAD, 0, 6000)).along(stretch(ROAD, 6000, 6600, 200)).along(stretch(ROAD, 6600, 12_000))
    ((kind, start, end),) = story(judged([drive.fixes(np.random.default_rng(3), 6.0)], atlas))

    assert Kind.DEVIATION == kind
    assert (600, 660) == pytest.approx((start, end), abs=20)
