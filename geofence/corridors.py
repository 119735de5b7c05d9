"""Corridors: planned lines with a width, cut into segments and blocks of segments, and who is to drive along them when.

A `CorridorIndex` is immutable and has the vertices of all corridors end to end in a few columns, and over the segments of each corridor
a tree of boxes, a few to one. A fix looks only at those of its terminal's corridors, and of those for everyone (`everyone.py`), that
it is near, so their number does not matter, and comes down the tree of each, so their length hardly does.
What it finds are *passages*: places where the corridor comes by within its width.
A loop, a hairpin or an overlapping carriageway gives several; which of them the vehicle is on is for `following.py` to say.
Distances are taken in the plane at the fix, which is good to 1e-5 as far as a corridor is wide.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geofence.boxes import Level, descend, levels
from geofence.datum import Degrees, Metres, apart_deg, distance_m, metres_per_degree
from geofence.everyone import Everyone, boxes_along, boxes_around
from geofence.fences import FOREVER, Line, Points, Polygon, polygon_of
from geofence.roster import EVERYONE, Assigned, Audiences, Parties, Party
from tracks.batch import Batch, column
from tracks.spans import Index, Mask
from tracks.track import expand, least, rows_of
from tracks.week import WEEK_MINUTES, Window, calendars, minute_of_week

HALF_WIDTH_M: Final = 50.0
MARGIN_M: Final = 10.0
TURN_BACK_DEG: Final = 120.0
SHADOW_M: Final = 200.0
"""Who drives so near beside the edge of a corridor, and its way, may be meaning to follow it. Unmeasured."""
NEAR: Final = 0.8
"""Within this part of the half width a fix is back on the corridor."""


@dataclass(frozen=True, slots=True)
class Detour:
    """A way round that someone approved: off the corridor and inside the shape, nothing is amiss. WGS-84."""

    shape: Polygon | Line
    valid_us: tuple[int, int] = FOREVER
    approver: str = ""
    parties: Parties = None
    """Of those who are to drive along the corridor."""
    id: int = 0
    name: str = ""
    detour_of: Sequence[int | str] = ()
    """Ids or names of the corridors it stands in for, until it is among the detours of each."""


@dataclass(frozen=True, slots=True)
class Corridor:
    """One direction of a line as it is to be driven, in WGS-84. A loop ends where it begins."""

    id: int
    """1 or more."""
    points: Points
    name: str = ""
    half_width_m: float | Sequence[float] = HALF_WIDTH_M
    """On either side; one for all segments or one for each."""
    limit_kmh: float | Sequence[float] = np.inf
    """Speed limit of the road; one for all segments or one for each."""
    terminus_m: float = 200.0
    """Within this distance of either end a vehicle may be anywhere."""
    directed: bool = True
    detours: Sequence[Detour] = ()
    valid_us: tuple[int, int] = FOREVER
    """From, and until before."""
    windows: Sequence[Window] = ()
    """When in the week it is served; always, when there are none. Otherwise nobody is judged by it."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who is to drive along a corridor, and when: a line's vehicles for good, or one vehicle for the time of its trip."""

    corridor_id: int
    parties: Parties = None
    valid_us: tuple[int, int] = FOREVER


@dataclass(frozen=True, slots=True)
class Passages(Batch):
    """Places where a corridor comes by a fix within its width and margin; in order of pairs, then along the corridor."""

    pair: Index = column("int64", "", "which of the pairs asked about")
    segment: Index = column("int64", "", "row of the segment's first vertex")
    chainage_m: Metres = column("float64", "m", "along the corridor to the nearest point")
    away_m: Metres = column("float64", "m", "from the fix to there")
    near: Mask = column("bool", "", "well within the width")


@dataclass(frozen=True, slots=True)
class CorridorIndex:
    """Corridors as columns, in the order of their ids; a corridor's place in them is its `row`."""

    id: Index
    lon: Degrees
    """One element per vertex, corridor after corridor; so are the columns after it."""
    lat: Degrees
    chainage_m: Metres
    east: Degrees
    """Degrees to the next vertex: of the segment that begins here, and so are the columns after it."""
    north: Degrees
    half_width_m: Metres
    limit_kmh: NDArray[np.float64]
    course_deg: NDArray[np.float64]
    sharp: Mask
    """The corridor turns back at the vertex: what comes before and after it are two passages."""
    levels: Sequence[Level]
    """The tree's boxes, the largest first; each corridor has one box in the first level."""
    realm: NDArray[np.float64]
    """West, south, east, north of all places that each says something about, one row per corridor."""
    ends: NDArray[np.float64]
    """Longitude and latitude of first and last vertex."""
    terminus_m: Metres
    directed: Mask
    assigned: Assigned
    """Rows of `assignment_row`, by terminal; without those for everyone."""
    everyone: Everyone
    """These, by place."""
    for_all: Index
    """These, in the order of their corridors."""
    assignment_row: Index
    assignment_us: Index
    """When it is, as far as the corridor's own dates allow."""
    week: Index
    """Which row of `weeks` says when it is served."""
    weeks: NDArray[np.bool_]
    detour_row: Index
    detour_us: Index
    detour_shape: NDArray[np.object_]
    detour_audience: Index
    detour_audiences: Audiences
    version: int
    zone_s: int
    """Seconds that local time is ahead of UTC."""

    @classmethod
    def of(
        cls,
        corridors: Sequence[Corridor],
        assignments: Sequence[Assignment] = (),
        roster: Mapping[int, Collection[Party]] | None = None,
        *,
        version: int = 0,
        zone_s: int = 28800,
    ) -> Self:
        """Index the corridors. Raises ValueError for one that is no line, or for an assignment to one that is not there."""
        corridors = sorted(corridors, key=lambda corridor: corridor.id)
        ids = np.array([corridor.id for corridor in corridors], np.int64)
        parts, boxes = [_Part.of(corridor) for corridor in corridors], [_boxes(corridor) for corridor in corridors]
        asked = np.array([assignment.corridor_id for assignment in assignments], np.int64)
        if not np.isin(asked, ids).all() or len(np.unique(ids)) < len(ids) or (ids < 1).any():
            msg = "two corridors have the same id, or one has none above 0, or one is assigned that is not there"
            raise ValueError(msg)
        audiences, audience = Audiences.of([assignment.parties for assignment in assignments], roster or {})
        detours = [(row, detour) for row, corridor in enumerate(corridors) for detour in corridor.detours]
        detour_audiences, detour_audience = Audiences.of([detour.parties for _, detour in detours], roster or {})
        weeks, week = calendars([corridor.windows for corridor in corridors])
        row, for_all = np.searchsorted(ids, asked), np.flatnonzero(audience == EVERYONE)
        valid_us, assignment_us = (np.array([each.valid_us for each in some], np.int64).reshape(-1, 2) for some in (corridors, assignments))
        both_us = np.stack((np.maximum(valid_us[row, 0], assignment_us[:, 0]), np.minimum(valid_us[row, 1], assignment_us[:, 1])), axis=1)
        for_all = for_all[both_us[for_all, 0] < both_us[for_all, 1]]
        return cls(
            id=ids,
            lon=_joined([part.lon for part in parts]),
            lat=_joined([part.lat for part in parts]),
            chainage_m=_joined([part.chainage_m for part in parts]),
            east=_joined([np.append(np.diff(part.lon), 0.0) for part in parts]),
            north=_joined([np.append(np.diff(part.lat), 0.0) for part in parts]),
            half_width_m=_joined([part.half_width_m for part in parts]),
            limit_kmh=_joined([part.limit_kmh for part in parts]),
            course_deg=_joined([part.course_deg for part in parts]),
            sharp=_joined([_turns_back(part.course_deg) for part in parts], np.bool_),
            levels=levels([part.lon for part in parts], [part.lat for part in parts], [part.reach for part in parts]),
            realm=np.array([(*each[:, :2].min(axis=0), *each[:, 2:].max(axis=0)) for each in boxes]).reshape(-1, 4),
            ends=np.array([(*corridor.points[0][:2], *corridor.points[-1][:2]) for corridor in corridors]).reshape(-1, 4),
            terminus_m=np.array([corridor.terminus_m for corridor in corridors]),
            directed=np.array([corridor.directed for corridor in corridors], np.bool_),
            assigned=Assigned.of(np.flatnonzero(audience != EVERYONE), audience[audience != EVERYONE], audiences),
            everyone=Everyone.of(
                [(number, boxes[row[number]]) for number in for_all.tolist()], week[row[for_all]], weeks, both_us[for_all]
            ),
            for_all=for_all[np.argsort(row[for_all], kind="stable")],
            assignment_row=row,
            assignment_us=both_us,
            week=week,
            weeks=weeks,
            detour_row=np.array([row for row, _ in detours], np.int64),
            detour_us=np.array([detour.valid_us for _, detour in detours], np.int64).reshape(-1, 2),
            detour_shape=np.array([polygon_of(detour.shape) for _, detour in detours], object),
            detour_audience=detour_audience,
            detour_audiences=detour_audiences,
            version=version,
            zone_s=zone_s,
        )

    @classmethod
    def empty(cls) -> Self:
        """No corridors."""
        return cls.of([])

    def __len__(self) -> int:
        return len(self.id)

    def find(self, ids: Index) -> Index:
        """The rows of corridors by id; -1 for one that is not there."""
        return rows_of(ids, self.id)

    def in_force(self, terminal_id: Index, time_us: Index, lon: Degrees, lat: Degrees) -> tuple[Index, Index, Mask]:
        """Pairs of fix, ascending, and corridor (row) that its terminal is to drive along at that time; and which fixes have any such.

        Of the corridors for everyone a fix is paired only with those that are `near`.
        """
        fix, assignment = self.assigned.to(terminal_id)
        minute = minute_of_week(time_us, self.zone_s)
        if len(self.everyone.thing):
            place, near = self.everyone.near(lon, lat)
            fix, assignment = np.concatenate((fix, place)), np.concatenate((assignment, near))
            order = np.argsort(fix, kind="stable")
            fix, assignment = fix[order], assignment[order]
        row, now = self._now(assignment, time_us[fix], minute[fix])
        served = self.everyone.served(time_us, minute)
        served[fix[now]] = True
        return fix[now], row[now], served

    def drives(self, terminal_id: Index, corridor_id: Index, time_us: Index) -> Mask:
        """Whether each terminal is to drive along the corridor beside it at that time, however far away it is."""
        of = self.find(corridor_id)
        fix, assignment = self.assigned.to(terminal_id)
        first, last = (np.searchsorted(self.assignment_row[self.for_all], of, side) for side in ("left", "right"))
        which, nth = expand(last - first)
        fix, assignment = np.concatenate((fix, which)), np.concatenate((assignment, self.for_all[first[which] + nth]))
        row, now = self._now(assignment, time_us[fix], minute_of_week(time_us[fix], self.zone_s))
        drives = np.zeros(len(of), np.bool_)
        drives[fix[now & (row == of[fix])]] = True
        return drives

    def _now(self, assignment: Index, time_us: Index, minute: Index) -> tuple[Index, Mask]:
        """The corridor (row) of each assignment, and whether it is in force at the time beside it, which is that minute of the week."""
        row, valid_us = self.assignment_row[assignment], self.assignment_us.take(assignment, axis=0)
        now: Mask = (time_us >= valid_us[:, 0]) & (time_us < valid_us[:, 1]) & self.weeks.ravel()[self.week[row] * WEEK_MINUTES + minute]
        return row, now

    def near(self, lon: Degrees, lat: Degrees, row: Index) -> Mask:
        """Whether each fix may be on the corridor beside it, along it, at its end or on a detour of it: of others it says nothing."""
        west, south, east, north = self.realm.take(row, axis=0).T
        near: Mask = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
        return near

    def at_terminus(self, lon: Degrees, lat: Degrees, row: Index) -> Mask:
        """Whether each fix is close to either end of the corridor beside it."""
        ends, reach_m = self.ends.take(row, axis=0), self.terminus_m[row]
        near: Mask = (distance_m(lon, lat, ends[:, 0], ends[:, 1]) <= reach_m) | (distance_m(lon, lat, ends[:, 2], ends[:, 3]) <= reach_m)
        return near

    def passages(self, lon: Degrees, lat: Degrees, row: Index) -> Passages:
        """Where the corridors come by: `lon`, `lat` and `row` are pairs of fix and corridor."""

        def hits(pair: Index, box: NDArray[np.float64]) -> Mask:
            x, y = lon[pair], lat[pair]
            hit: Mask = (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])
            return hit

        pair, segment = descend(self.levels, row, hits)
        away2, part, begin2 = self._offset(lon, lat, pair, segment)
        within = np.flatnonzero(away2 <= (self.half_width_m[segment] + MARGIN_M) ** 2)
        pair, segment, away_m, part = pair[within], segment[within], np.sqrt(away2[within]), part[within]
        apart = (begin2[within] > (self.half_width_m[segment] + MARGIN_M) ** 2) | self.sharp[segment]
        apart[1:] |= (pair[1:] != pair[:-1]) | (segment[1:] != segment[:-1] + 1)
        best = least(away_m, np.cumsum(apart))
        pair, segment, away_m, part = pair[best], segment[best], away_m[best], part[best]
        return Passages(
            pair=pair,
            segment=segment,
            chainage_m=self.chainage_m[segment] + part * (self.chainage_m[segment + 1] - self.chainage_m[segment]),
            away_m=away_m,
            near=away_m <= NEAR * self.half_width_m[segment],
        )

    def beside(self, lon: Degrees, lat: Degrees, row: Index, beyond_m: float) -> tuple[Index, Index, Metres, Metres]:
        """Which pairs of fix and corridor are at most `beyond_m` from its edge apart; the segment nearest, chainage and distance."""
        east, north = metres_per_degree(lat)
        wide, high = beyond_m / east, beyond_m / north

        def hits(pair: Index, box: NDArray[np.float64]) -> Mask:
            x, y, dx, dy = lon[pair], lat[pair], wide[pair], high[pair]
            hit: Mask = (x >= box[0] - dx) & (x <= box[2] + dx) & (y >= box[1] - dy) & (y <= box[3] + dy)
            return hit

        pair, segment = descend(self.levels, row, hits)
        away2, part, _ = self._offset(lon, lat, pair, segment)
        best = least(away2, pair)
        best = best[away2[best] <= (self.half_width_m[segment[best]] + beyond_m) ** 2]
        segment = segment[best]
        chainage_m = self.chainage_m[segment] + part[best] * (self.chainage_m[segment + 1] - self.chainage_m[segment])
        return pair[best], segment, chainage_m, np.sqrt(away2[best])

    def distance(self, lon: Degrees, lat: Degrees, row: Index) -> tuple[Metres, Metres]:
        """Metres from each fix to the corridor beside it, however far, and the half width there. For few at a time: 10 µs each."""
        east_m, north_m = metres_per_degree(lat)

        def hits(pair: Index, box: NDArray[np.float64]) -> Mask:
            west, south, east, north = box
            x, y = lon[pair], lat[pair]
            low_x, low_y = np.maximum(np.maximum(west - x, x - east), 0), np.maximum(np.maximum(south - y, y - north), 0)
            high_x, high_y = np.maximum(np.abs(west - x), np.abs(x - east)), np.maximum(np.abs(south - y), np.abs(y - north))
            at_most = np.full(len(row), np.inf)
            np.minimum.at(at_most, pair, np.hypot(high_x * east_m[pair], high_y * north_m[pair]))
            hit: Mask = np.hypot(low_x * east_m[pair], low_y * north_m[pair]) <= at_most[pair]
            return hit

        pair, segment = descend(self.levels, row, hits)
        away2, _, _ = self._offset(lon, lat, pair, segment)
        best = least(away2, pair)
        return np.sqrt(away2[best]), self.half_width_m[segment[best]]

    def excused(self, lon: Degrees, lat: Degrees, row: Index, terminal_id: Index, time_us: Index) -> Mask:
        """Whether each fix lies in a detour of the corridor beside it that is approved for its terminal at that time."""
        excused = np.zeros(len(row), np.bool_)
        pair, detour = self._approved(row, terminal_id, time_us)
        excused[pair[shapely.intersects_xy(self.detour_shape[detour], lon[pair], lat[pair])]] = True
        return excused

    def approved(self, row: Index, terminal_id: Index, time_us: Index) -> Mask:
        """Whether any detour of the corridor beside it is approved for each terminal at that time, wherever it is."""
        approved = np.zeros(len(row), np.bool_)
        approved[self._approved(row, terminal_id, time_us)[0]] = True
        return approved

    def _approved(self, row: Index, terminal_id: Index, time_us: Index) -> tuple[Index, Index]:
        """Pairs of corridor (element of `row`) and detour that is approved for the terminal beside it at that time."""
        if len(self.detour_row) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        pair, detour = np.nonzero(row[:, None] == self.detour_row)
        now = (time_us[pair] >= self.detour_us[detour, 0]) & (time_us[pair] < self.detour_us[detour, 1])
        now &= self.detour_audiences.admit(self.detour_audience[detour], terminal_id[pair])
        return pair[now], detour[now]

    def _offset(self, lon: Degrees, lat: Degrees, pair: Index, segment: Index) -> tuple[Metres, Metres, Metres]:
        """From the place of each pair to the segment beside it: square metres, the part of the segment, square metres to its begin."""
        east, north = metres_per_degree(lat)
        lon, lat, east, north = lon[pair], lat[pair], east[pair], north[pair]
        ax, ay = (self.lon[segment] - lon) * east, (self.lat[segment] - lat) * north
        dx, dy = self.east[segment] * east, self.north[segment] * north
        length2 = np.maximum(dx * dx + dy * dy, 1e-12)
        part = np.minimum(np.maximum(-(ax * dx + ay * dy) / length2, 0.0), 1.0)
        return (ax + part * dx) ** 2 + (ay + part * dy) ** 2, part, ax * ax + ay * ay


def _boxes(corridor: Corridor) -> NDArray[np.float64]:
    """Boxes around all places that a corridor says something about."""
    at = np.array([point[:2] for point in corridor.points], np.float64)
    along = boxes_along(at[:, 0], at[:, 1], float(np.max(corridor.half_width_m)) + max(SHADOW_M, MARGIN_M))
    ends = boxes_around(at[[0, -1], 0], at[[0, -1], 1], np.full(2, corridor.terminus_m))
    detours = shapely.bounds([polygon_of(detour.shape) for detour in corridor.detours]).reshape(-1, 4)
    return np.concatenate((along, ends, detours))


@dataclass(frozen=True, slots=True)
class _Part:
    """One corridor's columns."""

    lon: Degrees
    lat: Degrees
    chainage_m: Metres
    half_width_m: Metres
    limit_kmh: NDArray[np.float64]
    course_deg: NDArray[np.float64]
    reach: tuple[float, float]
    """How far in degrees, east and north, its boxes reach beyond its vertices."""

    @classmethod
    def of(cls, corridor: Corridor) -> Self:
        """Cut a corridor into segments."""
        points = np.array([point[:2] for point in corridor.points], np.float64).reshape(-1, 2)
        lon, lat = points[:, 0], points[:, 1]
        length_m = distance_m(lon[:-1], lat[:-1], lon[1:], lat[1:])
        if len(points) < 2 or not length_m.sum() > 0:  # noqa: PLR2004 - a line has two ends
            msg = f"corridor {corridor.id} {corridor.name!r} is no line"
            raise ValueError(msg)
        half_m = np.append(np.broadcast_to(np.asarray(corridor.half_width_m, np.float64), len(length_m)), 0.0)
        east, north = metres_per_degree(lat)
        reach_m = (half_m.max() + MARGIN_M) * 1.001
        return cls(
            lon=lon,
            lat=lat,
            chainage_m=np.concatenate(([0.0], np.cumsum(length_m))),
            half_width_m=half_m,
            limit_kmh=np.append(np.broadcast_to(np.asarray(corridor.limit_kmh, np.float64), len(length_m)), np.inf),
            course_deg=np.append(np.degrees(np.arctan2(np.diff(lon) * east[:-1], np.diff(lat) * north[:-1])) % 360, 0.0),
            reach=(reach_m / east.min(), reach_m / north.min()),
        )


def _turns_back(course_deg: NDArray[np.float64]) -> Mask:
    return apart_deg(np.diff(course_deg, prepend=course_deg[0])) > TURN_BACK_DEG


def _joined(parts: Sequence[NDArray[Any]], dtype: type = np.float64) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts])
