"""GeoJSON there and back in every datum; the doubt that a shifted import raises; sentences about what cannot be read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fix_drives import NOON_US, Drive, judged, line71, story, stretch
from geofence import geojson
from geofence.check import Atlas
from geofence.corridors import Assignment, Corridor, CorridorIndex
from geofence.datum import Datum
from geofence.fences import FOREVER, Circle, Fence, Line, Polygon, Stay
from geofence.stops import Stop
from tracks.event import Kind
from tracks.week import Window

ROAD = line71()
TRIANGLE = [(121.4, 31.2), (121.5, 31.2), (121.5, 31.3), (121.4, 31.2)]
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
]
CORRIDORS = [Corridor(1, ROAD, "71", half_width_m=80.0, limit_kmh=60.0, directed=False), Corridor(2, ROAD[:3], half_width_m=[30.0, 40.0])]
STOPS = [Stop(9, 121.4, 31.2, "外滩", radius_m=100.0, course_deg=90.0, corridor_id=1, sequence=3, parties=frozenset({("line", 71)}))]


@pytest.mark.parametrize("datum", Datum)
@pytest.mark.parametrize(("things", "read"), [(FENCES, geojson.fences), (CORRIDORS, geojson.corridors), (STOPS, geojson.stops)])
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
        ({"type": "MultiPolygon", "coordinates": []}, {}, "feature 1: a fence is a Point, a LineString or a Polygon, not a MultiPolygon"),
        ({"type": "Point", "coordinates": [31, 121]}, {"radius_m": 5}, "feature 1: a position is longitude, then latitude, in degrees"),
        ({"type": "Polygon", "coordinates": [[[1, 1], [2, 2], [3, 3], [1, 1]]]}, {}, "encloses no area"),
        (None, {}, "feature 1: 'NoneType'"),
    ],
)
def test_a_feature_that_cannot_be_read_says_why_and_spoils_no_other(geometry: Any, properties: Any, sentence: str) -> None:
    features = [{"type": "Feature", "geometry": geometry, "properties": properties}, *geojson.document(FENCES, Datum.WGS84)["features"]]
    made, (problem,) = geojson.fences({"type": "FeatureCollection", "features": features}, Datum.WGS84)

    assert 3 == len(made)
    assert sentence in problem


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


def test_shifted_fences_are_found_out_by_the_vehicles_that_stand_in_them() -> None:
    rng = np.random.default_rng(2)
    depots = [Fence(number, Circle(*ROAD[40 * number], 120.0)) for number in range(1, 5)]
    document = geojson.document(depots, Datum.GCJ02)
    del document["datum"]
    wrong, _ = geojson.fences(document, Datum.WGS84)
    lon = np.repeat([fence.shape.lon for fence in depots], 50) + rng.normal(0, 1e-4, 200)
    lat = np.repeat([fence.shape.lat for fence in depots], 50) + rng.normal(0, 1e-4, 200)

    assert Datum.GCJ02 == geojson.fit_of_fences(wrong, Datum.WGS84, lon, lat).best
    assert geojson.fit_of_fences(depots, Datum.WGS84, lon, lat).warning is None


def test_a_corridor_imported_in_the_datum_it_was_drawn_in_finds_exactly_what_was_planted() -> None:
    ((corridor,), _) = geojson.corridors(drawn_on(Datum.GCJ02), Datum.GCJ02)
    atlas = Atlas(corridors=CorridorIndex.of([corridor], [Assignment(corridor.id)]))
    drive = Drive().along(stretch(ROAD, 0, 6000)).along(stretch(ROAD, 6000, 6600, 200)).along(stretch(ROAD, 6600, 12_000))
    ((kind, start, end),) = story(judged([drive.fixes(np.random.default_rng(3), 6.0)], atlas))

    assert Kind.DEVIATION == kind
    assert (600, 660) == pytest.approx((start, end), abs=20)
