"""The edges of many polygons, found from beside them: how far it is to the nearest, in metres, without a look at the others.

Each polygon is cut into strips from south to north, and each strip lists the edges that touch it; the strips that a place reaches follow
one another, and so do their lists. However far away the nearest edge is, only strips are looked into that may have it.
Distances are taken in the plane at the place, which is good to 1e-5 as far as 10 km.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geofence.datum import Degrees, Metres, metres_per_degree
from tracks.spans import Index, Mask
from tracks.track import changes, expand, least

STRIPS_PER_ROOT: Final = 2
"""Strips of a polygon: so many times the root of its edges, that edges which touch all of them still have room."""
AT_ONCE: Final = 1 << 16
"""So many edges, or strips, are looked at together, or those of one place: a border may have 10 000 edges, a batch 5 000 places."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges by polygon and strip."""

    lon: Degrees
    """Of all vertices, ring after ring; an edge is a vertex and the next one."""
    lat: Degrees
    south: Degrees
    """Of each polygon: where its strips begin."""
    scale: NDArray[np.float64]
    """Of each polygon: strips in a degree."""
    strips: Index
    """Of each polygon: its first strip, and one more."""
    first: Index
    """Of each strip: the begin of its list, and one more."""
    edge: NDArray[np.int32]
    """The lists, end to end."""
    west: NDArray[np.int32]
    """Of each strip: the westernmost vertex of its edges, and the easternmost; where it has none, the one before it has."""
    east: NDArray[np.int32]

    @classmethod
    def of(cls, polygons: NDArray[np.object_]) -> Self:
        """The edges of polygons, whose holes and parts have edges too."""
        parts, whole = shapely.get_parts(polygons, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        ends, ring = shapely.get_coordinates(rings, return_index=True)
        edge = np.flatnonzero(ring[1:] == ring[:-1])
        polygon = whole[part[ring[edge]]]
        _, south, _, north = shapely.bounds(polygons).reshape(-1, 4).T
        count = np.ceil(STRIPS_PER_ROOT * np.sqrt(np.bincount(polygon, minlength=len(polygons)))).astype(np.int64)
        scale, strips = count / (north - south), np.append(0, np.cumsum(count))
        lon, lat = ends.T.copy()
        none = np.empty(0, np.int32)
        made = cls(lon, lat, south, scale, strips, none.astype(np.int64), none, none, none)
        begin, end = made._strip(polygon, lat[edge]), made._strip(polygon, lat[edge + 1])
        which, nth = expand(np.abs(end - begin) + 1)
        strip = np.minimum(begin, end)[which] + nth
        first = np.append(0, np.cumsum(np.bincount(strip, minlength=strips[-1])))
        listed = edge[which[np.argsort(strip, kind="stable")]].astype(np.int32)
        nth = np.searchsorted(filled := np.flatnonzero(np.diff(first)), np.arange(strips[-1]), side="right") - 1
        of_strip = np.repeat(np.arange(len(filled)), np.diff(first)[filled])
        west, east = (
            (vertex := np.where(way * lon[listed] <= way * lon[listed + 1], listed, listed + 1))[least(way * lon[vertex], of_strip)][nth]
            for way in (1.0, -1.0)
        )
        return replace(made, first=first, edge=listed, west=west, east=east)

    def holds(self, polygon: Index, lon: Degrees, lat: Degrees) -> Mask:
        """Whether each place lies in the polygon beside it: edges pass east of it an odd number of times, or one passes through it."""
        strip = self._strip(polygon, lat)
        which, edge, _ = self._listed(strip, strip)
        here = lat.take(which)
        y, end_y = self.lat.take(edge) - here, self.lat.take(edge + 1) - here
        level = np.flatnonzero(y * end_y <= 0)
        which, edge, y, end_y = which[level], edge[level], y[level], end_y[level]
        here = lon.take(which)
        x, end_x = self.lon.take(edge) - here, self.lon.take(edge + 1) - here
        side = x * end_y - end_x * y
        odd: Mask = np.bincount(which[((y > 0) != (end_y > 0)) & ((side > 0) == (end_y > y))], minlength=len(polygon)) % 2 == 1
        odd[which[(side == 0) & (x * end_x <= 0)]] = True
        return odd

    def away_m(self, polygon: Index, lon: Degrees, lat: Degrees, reach_m: float | Metres) -> Metres:
        """Metres from each place to the nearest edge of the polygon beside it; where that is further than `reach_m`, something further."""
        reach_deg = reach_m / metres_per_degree(lat)[1]
        low, high = self._strip(polygon, lat - reach_deg), self._strip(polygon, lat + reach_deg)
        return self._between_m(low, high, lon, lat)

    def nearest_m(self, polygon: Index, lon: Degrees, lat: Degrees) -> Metres:
        """The same however far it is: a strip is not looked into if all of it is further away than an outer vertex of another."""
        many = self.strips[polygon + 1] - self.strips[polygon]
        return np.concatenate([np.empty(0), *(self._nearest_of_m(polygon[some], lon[some], lat[some]) for some in _portions(many))])

    def _nearest_of_m(self, polygon: Index, lon: Degrees, lat: Degrees) -> Metres:
        which, nth = expand(count := self.strips[polygon + 1] - self.strips[polygon])
        strip, high = self.strips[polygon][which] + nth, 1 / self.scale[polygon][which]
        south = self.south[polygon][which] + nth * high
        here_lon, here_lat, (east_m, north_m) = lon[which], lat[which], metres_per_degree(lat)
        east_m, north_m, west, east = east_m[which], north_m[which], self.west[strip], self.east[strip]
        far_m = np.minimum(
            *(np.hypot((self.lon[each] - here_lon) * east_m, (self.lat[each] - here_lat) * north_m) for each in (west, east))
        )
        # all of a strip lies between its outer vertices, and between its south and its north
        near_m = np.hypot(_apart(here_lon, self.lon[west], self.lon[east]) * east_m, _apart(here_lat, south, south + high) * north_m)
        reach_m = np.minimum.reduceat(far_m, np.cumsum(count) - count)
        chosen = np.flatnonzero(near_m <= reach_m[which] + 1e-3)
        which, strip = which[chosen], strip[chosen]
        return np.minimum.reduceat(self._between_m(strip, strip, lon[which], lat[which]), np.flatnonzero(changes(which)))

    def _between_m(self, low: Index, high: Index, lon: Degrees, lat: Degrees) -> Metres:
        """Metres from each place to the nearest edge in the strips `low` to `high`; infinite where they have none."""
        some = _portions(self.first[high + 1] - self.first[low])
        return np.concatenate([np.empty(0), *(self._nearest_m(low[each], high[each], lon[each], lat[each]) for each in some)])

    def _nearest_m(self, low: Index, high: Index, lon: Degrees, lat: Degrees) -> Metres:
        east, north = metres_per_degree(lat)
        which, edge, count = self._listed(low, high)
        here_lon, here_lat, east, north = (each.take(which) for each in (lon, lat, east, north))
        x, y = (self.lon.take(edge) - here_lon) * east, (self.lat.take(edge) - here_lat) * north
        end_x, end_y = (self.lon.take(edge + 1) - here_lon) * east, (self.lat.take(edge + 1) - here_lat) * north
        dx, dy = end_x - x, end_y - y
        part = np.minimum(np.maximum(-(x * dx + y * dy) / np.maximum(dx * dx + dy * dy, 1e-12), 0.0), 1.0)
        away2 = (x + part * dx) ** 2 + (y + part * dy) ** 2
        nearest_m, some = np.full(len(lon), np.inf), np.flatnonzero(count)
        if len(some):
            nearest_m[some] = np.sqrt(np.minimum.reduceat(away2, (np.cumsum(count) - count)[some]))
        return nearest_m

    def _listed(self, low: Index, high: Index) -> tuple[Index, NDArray[np.int32], Index]:
        """The edges in the strips `low` to `high`, and which element of those each is for; and how many there are for each."""
        first = self.first[low]
        which, nth = expand(count := self.first[high + 1] - first)
        return which, self.edge.take(first.take(which) + nth), count

    def _strip(self, polygon: Index, lat: Degrees) -> Index:
        """The strip of the polygon that the latitude lies in, or the last on its side. Only between parts is one without edges."""
        last: Index = self.strips[polygon + 1] - self.strips[polygon] - 1
        nth = np.minimum(np.maximum((lat - self.south[polygon]) * self.scale[polygon], 0), last)
        return self.strips[polygon] + nth.astype(np.int64)


def _portions(count: Index) -> Iterator[slice]:
    """Rows to look at together, which have AT_ONCE parts or so, if each has `count`."""
    cuts = [0, *(np.flatnonzero(np.diff(np.cumsum(count) // AT_ONCE)) + 1).tolist(), len(count)]
    return (slice(start, stop) for start, stop in pairwise(cuts) if start < stop)


def _apart(here: Degrees, low: Degrees, high: Degrees) -> Degrees:
    """Degrees to what lies between two, along one axis."""
    return np.maximum(np.maximum(low - here, here - high), 0.0)
