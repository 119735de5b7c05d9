"""Fences: circles, rectangles, polygons with holes, several polygons as one, lines with a width; for whom, when, and what holds inside.

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
from geofence.edges import Edges
from geofence.roster import Assigned, Audiences, Parties, Party
from tracks.code import plain
from tracks.event import KIND
from tracks.spans import Index, Mask
from tracks.track import rows_of
from tracks.week import WEEK_MINUTES, Window, calendars

FOREVER: Final = (np.iinfo(np.int64).min, np.iinfo(np.int64).max)
DEEP_M: Final = 30.0
"""So far inside, or beyond the margin outside, one fix is proof: 15 m noise (JT/T 794, 2 σ) does not reach there."""
ARC_STEPS: Final = 16
"""Chords per quarter of a circle where a line's buffer turns: it falls short by 0.12 % of half the width."""

BORDER_DEG: Final = 1e-9
"""Polygons no further apart than 0.1 mm touch: a common border comes out of another datum twice, and not quite the same."""
METRES_PER_DEGREE_MAX: Final = 111_700.0
"""Of latitude, at the poles."""

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


@dataclass(frozen=True, slots=True)
class MultiPolygon:
    """All that lies in any of its polygons, which may touch and overlap: borders between them are none.

    What lies between them is outside, as a hole is. Who is inside at one fix and at the next has not left, whether both lie in one
    polygon or not: a way between fixes may prove that a fence was passed, never that it was left. Fixes between two polygons prove it as
    fixes anywhere outside do, and so not in a gap narrower than twice the margin.
    """

    polygons: Sequence[Polygon]


Shape = Circle | Line | Polygon | MultiPolygon


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
    asks: NDArray[np.bool_]
    """Of each kind of incident, 0 to OVERSPEED_INSIDE, and each fence whether the fence asks for it; the last column is no fence."""
    dwell_s: NDArray[np.float64]
    margin_m: NDArray[np.float64]
    audience: Index
    audiences: Audiences
    valid_us: Index
    week: Index
    """Which row of `weeks` says when it is in force."""
    weeks: NDArray[np.bool_]
    core: NDArray[np.float64]
    """Longitude, latitude and radius, in degrees, of a circle that lies within the shape: who is there need not be tested.

    Then the radius within which all lies deep inside, and that beyond which nothing is inside."""
    edges: Edges
    """Of the shapes; of a circle those of its box."""
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
        box = shapely.bounds(shapes).reshape(-1, 4)
        stay = np.array([fence.stay for fence in fences], np.int8)
        ids = _column(fences, "id", np.int64)
        dwell_s, day_kmh, night_kmh = (_column(fences, name) for name in ("dwell_s", "day_kmh", "night_kmh"))
        centre = np.array([(s.lon, s.lat, s.radius_m) if isinstance(s := fence.shape, Circle) else (np.nan,) * 3 for fence in fences])
        centre = centre.reshape(-1, 3)
        if len(np.unique(ids)) < len(ids):
            msg = "two fences have the same id"
            raise ValueError(msg)
        return cls(
            id=ids,
            stay=stay,
            centre=centre,
            day_kmh=day_kmh,
            night_kmh=np.where(np.isnan(night_kmh), day_kmh, night_kmh),
            asks=_asks(stay, limited=np.isfinite(day_kmh) | np.isfinite(night_kmh), dwells=np.isfinite(dwell_s)),
            dwell_s=dwell_s,
            margin_m=_column(fences, "margin_m"),
            audience=audience,
            audiences=audiences,
            valid_us=_column(fences, "valid_us", np.int64).reshape(-1, 2),
            week=week,
            weeks=weeks,
            core=_core(shapes, centre),
            edges=Edges.of(shapes),
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
        core = self.core.take(row, axis=0)
        away2 = (lon - core[:, 0]) ** 2 + (lat - core[:, 1]) ** 2
        holds: Mask = away2 < core[:, 2] ** 2
        ask = np.flatnonzero(~holds & (away2 <= core[:, 4] ** 2))
        centre = self.centre.take(row[ask], axis=0)
        from_centre = distance_m(centre[:, 0], centre[:, 1], lon[ask], lat[ask])
        holds[ask] = from_centre <= centre[:, 2]
        ask = ask[np.isnan(from_centre)]
        holds[ask] = self.edges.holds(row[ask], lon[ask], lat[ask])
        return holds

    def depth(self, row: Index, lon: Degrees, lat: Degrees) -> NDArray[np.uint8]:
        """How deep in the fence beside it each position lies: 0 outside, 1 inside, 2 DEEP_M inside."""
        depth = self.holds(row, lon, lat).astype(np.uint8)
        core = self.core.take(row, axis=0)
        deep = (lon - core[:, 0]) ** 2 + (lat - core[:, 1]) ** 2 < core[:, 3] ** 2
        ask = np.flatnonzero((depth > 0) & ~deep)
        deep[ask] = self.edge_m(row[ask], lon[ask], lat[ask], DEEP_M) > DEEP_M
        return depth + deep

    def may_cross(self, row: Index, begin: tuple[Degrees, Degrees], end: tuple[Degrees, Degrees]) -> Mask:
        """Which straight ways may lead deep into the fence beside them without an end deep inside, by the circles in it and around it."""
        core = self.core.take(row, axis=0)
        (x, y), (end_x, end_y) = ((lon - core[:, 0], lat - core[:, 1]) for lon, lat in (begin, end))
        dx, dy = end_x - x, end_y - y
        part = np.minimum(np.maximum(-(x * dx + y * dy) / np.maximum(dx * dx + dy * dy, 1e-30), 0.0), 1.0)
        deep2, nearest2 = core[:, 3] ** 2, (x + part * dx) ** 2 + (y + part * dy) ** 2
        reach = np.maximum(core[:, 4] - DEEP_M / METRES_PER_DEGREE_MAX, 0.0)
        may: Mask = (nearest2 < reach * reach) & (x * x + y * y >= deep2) & (end_x * end_x + end_y * end_y >= deep2)
        return may

    def box_m(self, row: Index, lon: Degrees, lat: Degrees) -> Metres:
        """Metres from each position to the box around the fence beside it, 0 within: no more than to its edge, and cheap."""
        box = self.cells.box.take(row, axis=0)
        east, north = metres_per_degree(lat)
        wide = np.maximum(np.maximum(box[:, 0] - lon, lon - box[:, 2]), 0.0)
        high = np.maximum(np.maximum(box[:, 1] - lat, lat - box[:, 3]), 0.0)
        away_m: Metres = np.hypot(wide * east, high * north)
        return away_m

    def edge_m(self, row: Index, lon: Degrees, lat: Degrees, reach_m: float | Metres | None = None) -> Metres:
        """Metres from each position to the edge of the fence beside it, on either side; beyond `reach_m` only that it is further."""
        away_m = self.edges.nearest_m(row, lon, lat) if reach_m is None else self.edges.away_m(row, lon, lat, reach_m)
        centre = self.centre.take(row, axis=0)
        from_centre = np.abs(distance_m(centre[:, 0], centre[:, 1], lon, lat) - centre[:, 2])
        return np.where(np.isnan(from_centre), away_m, from_centre)

    def in_force(self, row: Index, terminal_id: Index, time_us: Index, minute: Index) -> Mask:
        """Whether the fence is in force for that terminal at that time; `minute` is the minute of the local week."""
        force: Mask = self.audiences.admit(self.audience[row], terminal_id)
        valid_us = self.valid_us.take(row, axis=0)
        force &= (time_us >= valid_us[:, 0]) & (time_us < valid_us[:, 1])
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
    """The polygon that stands for the shape of something. Raises ValueError for one that encloses nothing, or has a part that does not."""
    for number, polygon in enumerate(shape.polygons if isinstance(shape, MultiPolygon) else (), 1):
        enclosed(polygon, f"{what}, part {number},")
    made = polygon_of(shape)
    if made.is_empty or not made.is_valid or made.area == 0:
        why = shapely.is_valid_reason(made)
        msg = f"{what} encloses no area that could be told from what is outside: {why} 边界自相交或面积为零"
        raise ValueError(msg)
    return made


def _asks(stay: NDArray[np.int8], *, limited: Mask, dwells: Mask) -> NDArray[np.bool_]:
    asks = np.zeros((KIND.OVERSPEED_INSIDE + 1, len(stay) + 1), np.bool_)
    kinds = [KIND.INSIDE, KIND.OUTSIDE, KIND.DWELT, KIND.OVERSPEED_INSIDE]
    asks[kinds, :-1] = stay != STAY.IN, stay == STAY.IN, dwells, limited
    return asks


def _core(shapes: NDArray[np.object_], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = shapely.point_on_surface(shapes)
    east, north = metres_per_degree(shapely.get_y(middle))
    round_ = np.isfinite(centre[:, 2])
    radius = 0.999 * np.where(round_, centre[:, 2] / np.maximum(east, north), shapely.distance(middle, shapely.boundary(shapes)))
    deep = np.maximum(radius - DEEP_M / east, 0.0)
    reach = 1.001 * shapely.hausdorff_distance(middle, shapes)
    return np.stack((shapely.get_x(middle), shapely.get_y(middle), radius, deep, reach), axis=1).reshape(-1, 5)


def _deep_box(box: Boxes) -> Boxes:
    east, north = metres_per_degree((box[:, 1] + box[:, 3]) / 2)
    deep = np.stack((DEEP_M / east, DEEP_M / north), axis=1)
    return np.concatenate((box[:, :2] + deep, box[:, 2:] - deep), axis=1)


def polygon_of(shape: Shape) -> Any:  # noqa: ANN401 - shapely has no types
    """The polygon that stands for a shape: itself, a line's buffer, a circle's box; several polygons where parts lie apart."""
    match shape:
        case Circle(lon, lat, radius_m):
            east, north = metres_per_degree(lat)
            wide, high = radius_m / east * 1.01, radius_m / north * 1.01
            return shapely.box(lon - wide, lat - high, lon + wide, lat + high)
        case Line(points, width_m):
            return _buffered(np.array(points), width_m / 2)
        case Polygon(rings):
            outline, *holes = (shapely.linearrings(np.asarray(ring)) for ring in rings)
            return shapely.polygons(outline, holes or None)
        case MultiPolygon(polygons):
            return shapely.union_all([polygon_of(polygon) for polygon in polygons], grid_size=BORDER_DEG)


def _buffered(points: NDArray[np.float64], half_width_m: float) -> Any:  # noqa: ANN401 - shapely has no types
    """A line's buffer, made where its degrees are metres and brought back."""
    scale = np.array(metres_per_degree(points[:, 1].mean()))
    flat = shapely.LineString((points - points[0]) * scale).buffer(half_width_m, quad_segs=ARC_STEPS)
    return shapely.transform(flat, lambda at: at / scale + points[0])
