"""Edges say what lies inside and how far it is to them as the plain way does, which looks at all of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import shapely
from shapely import affinity

from geofence.datum import metres_per_degree
from geofence.edges import Edges


def polygons(rng: np.random.Generator) -> np.ndarray:
    """Stars, some with a hole, some with corners on a raster, some two in one; a thin one that lies along a parallel, and a triangle."""
    made = [shapely.box(109.9, 30.0, 110.1, 30.0001), shapely.Polygon([(110, 30), (110.01, 30), (110, 30.01)])]
    while len(made) < 60:
        count, angle = int(rng.integers(5, 80)), 0.0
        angle = np.sort(rng.uniform(0, 2 * np.pi, count))
        spokes = np.stack((np.cos(angle), np.sin(angle)), axis=1) * rng.uniform(0.004, 0.01, (count, 1))
        outer = (110.0, 30.0) + (np.round(spokes, 4) if rng.random() < 0.5 else spokes)
        star = shapely.Polygon(outer, [(110.0, 30.0) + spokes * 0.3] if rng.random() < 0.5 else [])
        if star.is_valid and star.area > 0:
            made.append(star.union(affinity.translate(star, 0.0, rng.uniform(0.01, 0.03))) if rng.random() < 0.3 else star)
    return np.array(made, object)


def test_what_lies_inside_is_what_shapely_says_on_corners_and_edges_too() -> None:
    rng = np.random.default_rng(6)
    shapes = polygons(rng)
    corners, corner_of = shapely.get_coordinates(shapes, return_index=True)
    middles = (corners[1:] + corners[:-1])[corner_of[1:] == corner_of[:-1]] / 2
    anywhere = rng.uniform((109.985, 29.985), (110.015, 30.015), (20_000, 2))
    polygon = np.concatenate((corner_of, corner_of[1:][corner_of[1:] == corner_of[:-1]], rng.integers(0, len(shapes), 40_000)))
    lon, lat = np.concatenate((corners, middles, anywhere, np.round(anywhere, 4))).T
    inside = shapely.intersects_xy(shapes[polygon], lon, lat)

    assert 0.1 < inside.mean() < 0.9
    assert inside.tolist() == Edges.of(shapes).holds(polygon, lon, lat).tolist()


@pytest.mark.parametrize("reach_m", [30.0, 200.0, np.inf])
def test_the_nearest_edge_is_so_far_away_and_beyond_the_reach_it_is_beyond_the_reach(reach_m: float) -> None:
    rng = np.random.default_rng(7)
    shapes = polygons(rng)
    polygon, (lon, lat) = rng.integers(0, len(shapes), 1000), rng.uniform((109.98, 29.98), (110.02, 30.02), (1000, 2)).T
    plain_m = np.array([_plain_m(shapes[which], *at) for which, *at in zip(polygon, lon, lat, strict=True)])
    edges = Edges.of(shapes)
    away_m = edges.away_m(polygon, lon, lat, reach_m)
    near = plain_m <= reach_m

    assert plain_m == pytest.approx(edges.nearest_m(polygon, lon, lat), abs=1e-6)

    assert near.sum() > 20
    assert plain_m[near] == pytest.approx(away_m[near], abs=1e-6)
    assert (away_m[~near] > reach_m).all()


def _plain_m(shape: shapely.Polygon, lon: float, lat: float) -> float:
    flat = shapely.transform(shape.boundary, lambda at: (at - (lon, lat)) * metres_per_degree(lat))
    return float(flat.distance(shapely.Point(0, 0)))


def test_nothing_is_asked_of_no_polygons() -> None:
    edges, none = Edges.of(np.empty(0, object)), np.empty(0, np.int64)

    assert [] == edges.holds(none, np.empty(0), np.empty(0)).tolist()
    assert [] == edges.nearest_m(none, np.empty(0), np.empty(0)).tolist()
    assert [] == edges.away_m(none, np.empty(0), np.empty(0), 30.0).tolist()


def test_how_far_it_is_to_a_border_of_ten_thousand_edges_takes_no_more_room_for_many_places_than_for_one() -> None:
    angle = np.linspace(0, 2 * np.pi, 10_000, endpoint=False)
    zone = np.array([shapely.Polygon(np.stack((110 + np.cos(angle), 30 + np.sin(angle)), axis=1))])
    edges, lon, lat = Edges.of(zone), np.full(300, 112.0), np.linspace(29, 31, 300)
    tracemalloc.start()
    away_m = edges.away_m(np.zeros(300, np.int64), lon, lat, np.inf)
    nearest_m = edges.nearest_m(np.zeros(300, np.int64), lon, lat)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert away_m.tolist() == nearest_m.tolist()
    assert peak_bytes < 20_000_000  # a column of all edges for all places is 24 MB
    assert _plain_m(zone[0], 112.0, 29.0) == pytest.approx(away_m[0], abs=1e-3)
    assert _plain_m(zone[0], 112.0, 31.0) == pytest.approx(away_m[-1], abs=1e-3)
