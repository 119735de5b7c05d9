"""Fences: circles, rectangles, polygons with holes, lines with a width; whom they are meant for, when, and what holds inside.

A `FenceIndex` is immutable and has the fences as columns. Its one hard question, which fix lies in which fence, is one look into the
cells that their boxes touch, for a whole batch, and an exact test of the few it finds; a circle is tested by its distance on the ellipsoid.
A position exactly on an edge is inside. Edges are straight in longitude and latitude, as GeoJSON has them (RFC 7946 §3.1.1).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geofence.cells import Boxes, Cells
from geofence.datum import Degrees, Metres, distance_m, metres_per_degree
from geofence.roster import Assigned, Audiences, Parties, Party
from tracks.code import plain
from tracks.spans import Index, Mask
from tracks.track import rows_of
from tracks.week import WEEK_MINUTES, Window, calendars

FOREVER: Final = (np.iinfo(np.int64).min, np.iinfo(np.int64).max)
DEEP_M: Final = 30.0
"""So far inside, or beyond the margin outside, one fix is proof: 15 m noise (JT/T 794, 2 σ) does not reach there."""
ARC_STEPS: Final = 16
"""Chords per quarter of a circle where a line's buffer turns: it falls short by 0.12 % of half the width."""

Points = Sequence[tuple[float, float]]
"""Longitude and latitude of each."""


class Stay(IntEnum):
    """What a fence asks of a vehicle."""

    FREE = 0
    """Coming and going is told, nothing more."""
    OUT = 1
    """Being inside is a violation."""
    IN = 2
    """Being outside is a violation: the zone of a zone service."""


STAY: Final = plain(Stay)


@dataclass(frozen=True, slots=True)
class Circle:
    """All places no further from the centre than the radius."""

    lon: float
    lat: float
    radius_m: float


@dataclass(frozen=True, slots=True)
class Line:
    """All places no further from the line than half its width."""

    points: Points
    width_m: float


@dataclass(frozen=True, slots=True)
class Polygon:
    """The first ring without the other rings."""

    rings: Sequence[Points]

    @classmethod
    def rectangle(cls, west: float, south: float, east: float, north: float) -> Self:
        """The rectangle of JT/T 808's 0x8602."""
        return cls([[(west, south), (east, south), (east, north), (west, north), (west, south)]])


Shape = Circle | Line | Polygon


@dataclass(frozen=True, slots=True)
class Fence:
    """One fence, in WGS-84."""

    id: int
    shape: Shape
    name: str = ""
    stay: Stay = Stay.FREE
    parties: Parties = None
    valid_us: tuple[int, int] = FOREVER
    """From, and until before."""
    windows: Sequence[Window] = ()
    """When in the week it is in force; always, when there are none."""
    day_kmh: float = np.inf
    night_kmh: float = np.nan
    """As by day, when it is not given."""
    dwell_s: float = np.inf
    margin_m: float = 30.0
    """How far outside a position must lie to count as outside; nearer it counts for nothing: twice the 15 m of a receiver (JT/T 794)."""


@dataclass(frozen=True, slots=True)
class FenceIndex:
    """Fences as columns, in the order of their ids; a fence's place in them is its `row`."""

    id: Index
    stay: NDArray[np.int8]
    centre: NDArray[np.float64]
    """Longitude, latitude and radius of circles; NaN elsewhere."""
    day_kmh: NDArray[np.float64]
    night_kmh: NDArray[np.float64]
    limited: Mask
    """Has a speed limit."""
    dwell_s: NDArray[np.float64]
    margin_m: NDArray[np.float64]
    audience: Index
    audiences: Audiences
    valid_us: Index
    week: Index
    """Which row of `weeks` says when it is in force."""
    weeks: NDArray[np.bool_]
    shapes: NDArray[np.object_]
    """Prepared shapely polygons; of a circle its box."""
    core: NDArray[np.float64]
    """Longitude, latitude and radius, in degrees, of a circle that lies within the shape: who is there need not be tested.

    Then the radius within which all lies deep inside, and that beyond which nothing is inside."""
    holed: Mask
    cells: Cells
    """The boxes around the shapes, and where they lie."""
    deep_box: Boxes
    """The boxes DEEP_M within those: nothing else lies so deep inside."""
    zones: Assigned
    """The fences to stay in, by terminal."""
    version: int
    zone_s: int
    """Seconds that local time is ahead of UTC."""

    @classmethod
    def of(
        cls, fences: Sequence[Fence], roster: Mapping[int, Collection[Party]] | None = None, *, version: int = 0, zone_s: int = 28800
    ) -> Self:
        """Index the fences; `roster` gives the parties of each terminal. Raises ValueError for a shape that encloses nothing."""
        fences = sorted(fences, key=lambda fence: fence.id)
        audiences, audience = Audiences.of([fence.parties for fence in fences], roster or {})
        weeks, week = calendars([fence.windows for fence in fences])
        shapes = np.array([shape_of(fence) for fence in fences], object)
        shapely.prepare(shapes)
        box = shapely.bounds(shapes).reshape(-1, 4)
        stay = np.array([fence.stay for fence in fences], np.int8)
        ids, day_kmh, night_kmh = _column(fences, "id", np.int64), _column(fences, "day_kmh"), _column(fences, "night_kmh")
        if len(np.unique(ids)) < len(ids):
            msg = "two fences have the same id"
            raise ValueError(msg)
        return cls(
            id=ids,
            stay=stay,
            centre=np.array(
                [(s.lon, s.lat, s.radius_m) if isinstance(s := fence.shape, Circle) else (np.nan,) * 3 for fence in fences]
            ).reshape(-1, 3),
            day_kmh=day_kmh,
            night_kmh=np.where(np.isnan(night_kmh), day_kmh, night_kmh),
            limited=np.isfinite(day_kmh) | np.isfinite(night_kmh),
            dwell_s=_column(fences, "dwell_s"),
            margin_m=_column(fences, "margin_m"),
            audience=audience,
            audiences=audiences,
            valid_us=_column(fences, "valid_us", np.int64).reshape(-1, 2),
            week=week,
            weeks=weeks,
            shapes=shapes,
            core=_core(shapes),
            holed=shapely.get_num_interior_rings(shapes) > 0,
            cells=Cells.of(box),
            deep_box=_deep_box(box),
            zones=Assigned.of(np.flatnonzero(stay == STAY.IN), audience[stay == STAY.IN], audiences),
            version=version,
            zone_s=zone_s,
        )

    @classmethod
    def empty(cls) -> Self:
        """No fences."""
        return cls.of([])

    def __len__(self) -> int:
        return len(self.id)

    def inside(self, lon: Degrees, lat: Degrees) -> tuple[Index, Index]:
        """Pairs of position and fence (row) where the position lies in the fence, whoever it is meant for."""
        place, row = self.near((lon, lat), (lon, lat))
        holds = self.holds(row, lon[place], lat[place])
        return place[holds], row[holds]

    def near(self, begin: tuple[Degrees, Degrees], end: tuple[Degrees, Degrees]) -> tuple[Index, Index]:
        """Pairs of straight way and fence (row) where the boxes of the two meet, for all at once. Each end is longitude and latitude."""
        return self.cells.meeting(*np.minimum(begin, end), *np.maximum(begin, end))

    def holds(self, row: Index, lon: Degrees, lat: Degrees) -> Mask:
        """Whether each position lies in the fence beside it."""
        if len(row) == 0:
            return np.zeros(0, np.bool_)
        core = self.core.take(row, axis=0)
        away2 = (lon - core[:, 0]) ** 2 + (lat - core[:, 1]) ** 2
        holds: Mask = away2 < core[:, 2] ** 2
        ask = np.flatnonzero(~holds & (away2 <= core[:, 4] ** 2))
        holds[ask] = shapely.intersects_xy(self.shapes[row[ask]], lon[ask], lat[ask])
        circles = np.flatnonzero(~np.isnan(self.centre[row, 2]))
        if len(circles):
            centre = self.centre[row[circles]]
            holds[circles] = distance_m(centre[:, 0], centre[:, 1], lon[circles], lat[circles]) <= centre[:, 2]
        return holds

    def deep_core(self, row: Index, lon: Degrees, lat: Degrees) -> Mask:
        """Which positions lie so near the middle of the fence beside them that they are DEEP_M inside; not all that are."""
        core = self.core.take(row, axis=0)
        deep: Mask = (lon - core[:, 0]) ** 2 + (lat - core[:, 1]) ** 2 < core[:, 3] ** 2
        return deep

    def box_m(self, row: Index, lon: Degrees, lat: Degrees) -> Metres:
        """Metres from each position to the box around the fence beside it, 0 within: no more than to its edge, and cheap."""
        box = self.cells.box.take(row, axis=0)
        east, north = metres_per_degree(lat)
        wide = np.maximum(np.maximum(box[:, 0] - lon, lon - box[:, 2]), 0.0)
        high = np.maximum(np.maximum(box[:, 1] - lat, lat - box[:, 3]), 0.0)
        away_m: Metres = np.hypot(wide * east, high * north)
        return away_m

    def edge_m(self, row: Index, lon: Degrees, lat: Degrees) -> Metres:
        """Metres from each position to the edge of the fence beside it, whichever side it is on. For few at a time: 2 µs each."""
        if len(row) == 0:
            return np.empty(0)
        rings, whose = self.shapes[row], np.arange(len(row))
        if self.holed[row].any():
            rings, whose = shapely.get_rings(rings, return_index=True)
        coordinates, ring = shapely.get_coordinates(rings, return_index=True)
        east, north = metres_per_degree(lat)
        which = whose[ring]
        x, y = (coordinates[:, 0] - lon[which]) * east[which], (coordinates[:, 1] - lat[which]) * north[which]
        dx, dy = np.diff(x), np.diff(y)
        part = np.minimum(np.maximum(-(x[:-1] * dx + y[:-1] * dy) / np.maximum(dx * dx + dy * dy, 1e-12), 0.0), 1.0)
        away2 = (x[:-1] + part * dx) ** 2 + (y[:-1] + part * dy) ** 2
        away2[ring[1:] != ring[:-1]] = np.inf  # not an edge: from the end of a ring to the begin of the next
        away_m = np.sqrt(np.minimum.reduceat(away2, np.searchsorted(which, np.arange(len(row)))))
        centre = self.centre[row]
        from_centre = np.abs(distance_m(centre[:, 0], centre[:, 1], lon, lat) - centre[:, 2])
        return np.where(np.isnan(from_centre), away_m, from_centre)

    def in_force(self, row: Index, terminal_id: Index, time_us: Index, minute: Index) -> Mask:
        """Whether the fence is in force for that terminal at that time; `minute` is the minute of the local week."""
        force: Mask = self.audiences.admit(self.audience[row], terminal_id)
        force &= (time_us >= self.valid_us[row, 0]) & (time_us < self.valid_us[row, 1])
        force &= self.weeks.ravel()[self.week[row] * WEEK_MINUTES + minute]
        return force

    def find(self, ids: Index) -> Index:
        """The rows of fences by id; -1 for one that is not there."""
        return rows_of(ids, self.id)


def _column(fences: Sequence[Fence], name: str, dtype: Any = np.float64) -> NDArray[Any]:  # noqa: ANN401 - what numpy takes for a dtype
    return np.array([getattr(fence, name) for fence in fences], dtype)


def shape_of(fence: Fence) -> Any:  # noqa: ANN401 - shapely has no types
    """The polygon that stands for a fence. Raises ValueError for one that encloses nothing."""
    return enclosed(fence.shape, f"fence {fence.id} {fence.name!r}")


def enclosed(shape: Shape, what: str) -> Any:  # noqa: ANN401 - shapely has no types
    """The polygon that stands for the shape of something. Raises ValueError for one that encloses nothing."""
    made = polygon_of(shape)
    if made.is_empty or not made.is_valid or made.area == 0:
        why = shapely.is_valid_reason(made)
        msg = f"{what} encloses no area that could be told from what is outside: {why} 边界自相交或面积为零"
        raise ValueError(msg)
    return made


def _core(shapes: NDArray[np.object_]) -> NDArray[np.float64]:
    middle = shapely.point_on_surface(shapes)
    radius = 0.999 * shapely.distance(middle, shapely.boundary(shapes))
    east, _ = metres_per_degree(shapely.get_y(middle))
    deep = np.maximum(radius - DEEP_M / east, 0.0)
    reach = 1.001 * shapely.hausdorff_distance(middle, shapes)
    return np.stack((shapely.get_x(middle), shapely.get_y(middle), radius, deep, reach), axis=1).reshape(-1, 5)


def _deep_box(box: Boxes) -> Boxes:
    east, north = metres_per_degree((box[:, 1] + box[:, 3]) / 2)
    deep = np.stack((DEEP_M / east, DEEP_M / north), axis=1)
    return np.concatenate((box[:, :2] + deep, box[:, 2:] - deep), axis=1)


def polygon_of(shape: Shape) -> Any:  # noqa: ANN401 - shapely has no types
    """The polygon that stands for a shape: itself, a line's buffer, a circle's box."""
    match shape:
        case Circle(lon, lat, radius_m):
            east, north = metres_per_degree(lat)
            wide, high = radius_m / east * 1.01, radius_m / north * 1.01
            return shapely.box(lon - wide, lat - high, lon + wide, lat + high)
        case Line(points, width_m):
            return _buffered(np.array(points), width_m / 2)
        case Polygon(rings):
            return shapely.Polygon(rings[0], rings[1:])


def _buffered(points: NDArray[np.float64], half_width_m: float) -> Any:  # noqa: ANN401 - shapely has no types
    """A line's buffer, made where its degrees are metres and brought back."""
    scale = np.array(metres_per_degree(points[:, 1].mean()))
    flat = shapely.LineString((points - points[0]) * scale).buffer(half_width_m, quad_segs=ARC_STEPS)
    return shapely.transform(flat, lambda at: at / scale + points[0])
