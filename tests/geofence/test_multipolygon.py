"""A fence of several polygons is one fence: inside of it is who is inside of any, and the borders between them are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from fix_drives import Drive, grid, judged, story
from geofence.check import Atlas
from geofence.datum import Datum, convert, metres_per_degree
from geofence.fences import DEEP_M, Fence, FenceIndex, MultiPolygon, Polygon, Stay, polygon_of, shape_of
from tracks.event import Kind


def index(*shapes: Any) -> FenceIndex:
    return FenceIndex.of([Fence(number, shape) for number, shape in enumerate(shapes, 1)])


def rectangle(west: int, south: int, wide: int, high: int) -> Polygon:
    """On the raster, from 110° E and 30° N."""
    east, north = west + wide, south + high
    return Polygon.rectangle((1_100_000 + west) / 1e4, (300_000 + south) / 1e4, (1_100_000 + east) / 1e4, (300_000 + north) / 1e4)


@st.composite
def parts(draw: st.DrawFn) -> list[Polygon]:
    """Rectangles, some with a hole, that lie apart, touch, overlap, or lie in one another's holes."""
    made = []
    for _ in range(draw(st.integers(1, 5))):
        west, south, wide, high = (draw(st.integers(least, 300)) for least in (0, 0, 4, 4))
        hole = rectangle(west + 1, south + 1, wide // 2, high // 2)
        made.append(Polygon([*rectangle(west, south, wide, high).rings, *(hole.rings if draw(st.booleans()) else ())]))
    return made


@settings(deadline=None)
@given(parts(), st.lists(st.tuples(st.integers(-10, 610), st.integers(-10, 610)), min_size=1, max_size=60))
def test_inside_is_who_is_inside_of_any_part_and_how_deep_their_common_outline_says(
    polygons: list[Polygon], places: list[tuple[int, int]]
) -> None:
    """Many places lie on borders, some where two parts share one."""
    lon, lat = np.add(places, (1_100_000, 300_000)).T / 1e4
    plain = np.any([shapely.intersects_xy(polygon_of(each), lon, lat) for each in polygons], axis=0)
    outline = shapely.union_all([polygon_of(each) for each in polygons]).boundary
    plain_m = np.array([_away_m(outline, *here) for here in zip(lon, lat, strict=True)])
    fences, row = index(MultiPolygon(polygons)), np.zeros(len(lon), np.int64)

    assert np.flatnonzero(plain).tolist() == fences.inside(lon, lat)[0].tolist()
    assert plain_m == pytest.approx(fences.edge_m(row, lon, lat), abs=1e-3)
    assert (plain.astype(int) + (plain & (plain_m > DEEP_M))).tolist() == fences.depth(row, lon, lat).tolist()


def _away_m(outline: Any, lon: float, lat: float) -> float:
    flat = shapely.transform(outline, lambda at: (at - (lon, lat)) * metres_per_degree(lat))
    return float(flat.distance(shapely.Point(0, 0)))


@settings(deadline=None)
@given(parts(), st.lists(st.tuples(*[st.floats(-0.01, 0.07)] * 2), min_size=1))
def test_a_part_alone_is_that_polygon(polygons: list[Polygon], places: list[tuple[float, float]]) -> None:
    one, (lon, lat) = polygons[0], np.add((110, 30), places).T
    fences, row = index(one, MultiPolygon([one])), np.zeros(len(lon), np.int64)

    assert fences.holds(row, lon, lat).tolist() == fences.holds(row + 1, lon, lat).tolist()
    assert fences.edge_m(row, lon, lat) == pytest.approx(fences.edge_m(row + 1, lon, lat), abs=1e-3)


@pytest.mark.parametrize("datum", Datum)
def test_a_common_border_is_none_whatever_datum_it_was_drawn_in(datum: Datum) -> None:
    """It slants, and where no datum bends it only one of the two has a corner half-way."""
    border = [(104.1, 30.63), (104.05, 30.615), (104.0, 30.6)]
    rings = [[(104.0, 30.5), (104.1, 30.5), *border], [(104.0, 30.7), (104.1, 30.7), *(border[::2] if datum == Datum.WGS84 else border)]]
    drawn = [np.array([*ring, ring[0]]).T for ring in rings]
    made = [np.stack(convert(*each, datum, Datum.WGS84), axis=1).tolist() for each in drawn]
    shape = MultiPolygon([Polygon([ring]) for ring in made])
    lon, lat = convert(np.array([104.02, 104.05]), np.array([30.606, 30.615]), datum, Datum.WGS84)

    assert [2, 2] == index(shape).depth(np.array([0, 0]), lon, lat).tolist()


def square(west_m: float) -> Polygon:
    east_m = west_m + 1000
    return Polygon([grid((west_m, -500), (east_m, -500), (east_m, 500), (west_m, 500), (west_m, -500))])


def towns(apart_m: float) -> MultiPolygon:
    """Two squares of a kilometre, so far apart; the first one's eastern border is where metres east are counted from."""
    return MultiPolygon([square(-1000), square(apart_m)])


def told(fence: Fence, drive: Drive) -> list[tuple[Kind, float, float]]:
    return story(judged([drive.fixes(np.random.default_rng(4), 6.0)], Atlas(fences=FenceIndex.of([fence]))))


ACROSS = ((-500, 0), (1500, 0))
"""At 36 km/h, 200 s; the border of the first one after 50 s."""


def test_what_lies_between_the_parts_is_outside() -> None:
    (first, second), (strayed,) = (told(Fence(1, towns(900), stay=stay), Drive().along(grid(*ACROSS))) for stay in (Stay.FREE, Stay.IN))

    assert [(Kind.INSIDE, 0, 50), (Kind.INSIDE, 140, np.inf)] == [pytest.approx(first, abs=10), pytest.approx(second, abs=10)]
    assert (Kind.OUTSIDE, 50, 140) == pytest.approx(strayed, abs=15)


@pytest.mark.parametrize(("apart_m", "silent_s"), [(0, 0), (50, 0), (900, 95), (900, 1000)])
def test_from_part_to_part_without_a_report_beyond_the_margin_is_no_leaving(apart_m: float, silent_s: float) -> None:
    """Neither where the gap is narrow nor where nobody reported in it, be the silence a minute or a quarter of an hour."""
    drive = Drive().along(grid((-900, 0), (-100, 0))).silence(silent_s)
    drive = drive.along(grid((apart_m + 100 if silent_s else -100, 0), (apart_m + 900, 0)))
    free, zone = (told(Fence(1, towns(apart_m), stay=stay), drive) for stay in (Stay.FREE, Stay.IN))

    assert [(Kind.INSIDE, 0, np.inf)] == free
    assert [] == zone


def test_two_zones_are_each_to_stay_in_and_two_parts_of_one_are_not() -> None:
    drive = Drive().along(grid((-900, 0), (-100, 0))).wait(600)
    both = [Fence(number, square(west_m), stay=Stay.IN) for number, west_m in ((1, -1000), (2, 900))]
    apart = story(judged([drive.fixes()], Atlas(fences=FenceIndex.of(both))))

    assert [(Kind.OUTSIDE, 0, np.inf)] == apart
    assert [] == told(Fence(1, towns(900), stay=Stay.IN), drive)


def test_a_part_that_encloses_nothing_is_named() -> None:
    bow = Polygon([[(110, 30), (110.1, 30.1), (110.1, 30), (110, 30.1), (110, 30)]])

    with pytest.raises(ValueError, match="fence 3 '甲', part 2, encloses no area"):
        shape_of(Fence(3, MultiPolygon([rectangle(0, 0, 10, 10), bow]), "甲"))
