"""Shapes with fewer points, for those who can hold only so many: nothing is moved by more than a tolerance in metres.

Points are only left out (Douglas-Peucker, Cartogr. 10 (1973) 112), never moved or added, and none is as long as all of them fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from geofence.datum import metres_per_degree
from geofence.fences import Line, MultiPolygon, Points, Polygon, polygon_of
from tracks.spans import Index


class Holed(ValueError):  # noqa: N818 - an answer, not a mistake
    """The shape has holes: one ring cannot say it."""


class Parted(ValueError):  # noqa: N818 - likewise
    """The shape has parts that lie apart: one ring cannot say it."""


def outline(shape: Polygon | MultiPolygon | Line, points_max: int, tolerance_m: float) -> Points:
    """The ring around a shape, without its first point again at the end.

    More than `points_max` are thinned out as far as `tolerance_m` allows; the ring then still does not cross itself.
    Raises `Parted` and `Holed`.
    """
    polygon = polygon_of(shape)
    if shapely.get_num_geometries(polygon) > 1:
        raise Parted
    if len(polygon.interiors):
        raise Holed
    at = shapely.get_coordinates(polygon.exterior)
    if len(at) - 1 > points_max:
        scale = _metres(at)
        at = shapely.get_coordinates(shapely.Polygon((at - at[0]) * scale).simplify(tolerance_m)) / scale + at[0]
    return _pairs(at[:-1])


def bends(points: Points, changes: Sequence[int], points_max: int, tolerance_m: float) -> Index:
    """Which points of a line are needed; both ends are, and those where something `changes`.

    As `outline`: all of them when they are not more than `points_max`.
    """
    if len(points) <= points_max:
        return np.arange(len(points))
    at = np.array([point[:2] for point in points], np.float64)
    numbered = np.column_stack(((at - at[0]) * _metres(at), np.arange(len(at))))
    ends = sorted({0, *changes, len(at) - 1})
    runs = [shapely.LineString(numbered[start : stop + 1]).simplify(tolerance_m, preserve_topology=False) for start, stop in pairwise(ends)]
    # the height of each point is its number, and comes through unchanged
    return np.unique(shapely.get_coordinates(runs, include_z=True)[:, 2].astype(np.int64))


def _metres(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metres per degree, east and north, where they are most: what is within a tolerance by them is within it everywhere."""
    most: NDArray[np.float64] = np.max(metres_per_degree(at[:, 1]), axis=1)
    return most


def _pairs(at: NDArray[np.float64]) -> Points:
    return [(lon, lat) for lon, lat in at.tolist()]
