"""Stops: where vehicles call, found on the way between fixes, and the order of calls on a trip.

At one fix in thirty seconds a bus is seen every 300 m, and a stop of 60 m radius would be missed more often than not; so it is the straight
way from the fix before that has to come near. Arrival and departure are where that way enters and leaves the circle.
A vehicle that stood there for ten seconds has stopped; otherwise it has passed. The two are told apart, since some stops are served
by passing. Stops of the two directions lie across the road from each other: a stop that knows its course ignores the other way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from geofence.cells import Cells
from geofence.datum import Degrees, Metres, apart_deg, metres_per_degree
from geofence.roster import Audiences, Parties, Party
from tracks.batch import Batch, column
from tracks.event import KIND, NO_SIGNALS, VALUE, EventBatch, Signals, together
from tracks.fix import ABSENT
from tracks.spans import Index, Mask
from tracks.track import Memory, Standing, TrackBatch, changes, distinct, expand, rows_of

RADIUS_M: Final = 60.0
"""15 m of noise, the survey's error and the road's width; 100 m in valleys."""
LEFT_RADII: Final = 3.0
"""A visit is over at this many radii: shunting in a bus station is one visit."""
SLOW_KMH: Final = 5.0
STILL_M: Final = 30.0
STOPPED_S: Final = 10.0
"""A visit with so much time standing has stopped."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop of one line and direction, in WGS-84."""

    id: int
    lon: float
    lat: float
    name: str = ""
    radius_m: float = RADIUS_M
    course_deg: float = np.nan
    """The way the line passes it; NaN where any way counts."""
    parties: Parties = None
    corridor_id: int = 0
    """The line and direction it belongs to, and its place there, for the order of calls; 0 for a stop without order."""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class StopIndex:
    """Stops as columns, in the order of their ids; a stop's place in them is its `row`."""

    id: Index
    lon: Degrees
    lat: Degrees
    radius_m: Metres
    course_deg: NDArray[np.float64]
    corridor_id: Index
    sequence: Index
    audience: Index
    audiences: Audiences
    cells: Cells
    """Of the boxes around their circles."""
    version: int

    @classmethod
    def of(cls, stops: Sequence[Stop], roster: Mapping[int, Collection[Party]] | None = None, *, version: int = 0) -> Self:
        """Index the stops. Raises ValueError when two have the same id."""
        stops = sorted(stops, key=lambda stop: stop.id)
        ids = np.array([stop.id for stop in stops], np.int64)
        if len(np.unique(ids)) < len(ids):
            msg = "two stops have the same id"
            raise ValueError(msg)
        audiences, audience = Audiences.of([stop.parties for stop in stops], roster or {})
        lon, lat, radius_m, course_deg = (
            np.array([getattr(stop, name) for stop in stops], np.float64) for name in ("lon", "lat", "radius_m", "course_deg")
        )
        east, north = metres_per_degree(lat)
        wide, high = radius_m / east * 1.001, radius_m / north * 1.001
        return cls(
            id=ids,
            lon=lon,
            lat=lat,
            radius_m=radius_m,
            course_deg=course_deg,
            corridor_id=np.array([stop.corridor_id for stop in stops], np.int64),
            sequence=np.array([stop.sequence for stop in stops], np.int64),
            audience=audience,
            audiences=audiences,
            cells=Cells.of(np.stack((lon - wide, lat - high, lon + wide, lat + high), axis=1)),
            version=version,
        )

    @classmethod
    def empty(cls) -> Self:
        """No stops."""
        return cls.of([])

    def __len__(self) -> int:
        return len(self.id)

    def find(self, ids: Index) -> Index:
        """The rows of stops by id; -1 for one that is not there."""
        return rows_of(ids, self.id)

    def beside(self, track: TrackBatch, fix: Index) -> tuple[Index, Index]:
        """Pairs of fix and stop (row) such that the way to the fix may come near the stop, and the stop is meant for the terminal."""
        lon, lat = track.lon[fix], track.lat[fix]
        there = ~track.gap[fix]
        from_lon, from_lat = np.where(there, track.previous_lon[fix], lon), np.where(there, track.previous_lat[fix], lat)
        ways = np.minimum(lon, from_lon), np.minimum(lat, from_lat), np.maximum(lon, from_lon), np.maximum(lat, from_lat)
        place, row = self.cells.meeting(*ways)
        near = fix[place]
        meant = self.audiences.admit(self.audience[row], track.terminal_id[near])
        return near[meant], row[meant]


@dataclass(frozen=True, slots=True)
class Calling:
    """Judges by the stops of an index."""

    index: StopIndex
    name = "calling"
    memory = np.dtype([])
    """Nothing: the incidents under way say who is at which stop."""

    def judge(self, track: TrackBatch, memory: Memory, standing: Standing) -> Signals:  # noqa: ARG002 - it remembers nothing
        """Signals about STOP_VISIT: at the stop, still about, or gone."""
        index, mine = self.index, standing.take(standing.kind == KIND.STOP_VISIT)
        if len(index) == 0 and len(mine) == 0:
            return NO_SIGNALS
        good = np.flatnonzero(track.good)
        fix, row = index.beside(track, good)
        calls = _Way.of(index, track, fix, row).value == VALUE.BAD
        known = index.find(mine.subject)
        stays = known >= 0
        several = max(len(index), 1)
        watched = distinct(np.concatenate((track.owner[fix[calls]] * several + row[calls], mine.owner[stays] * several + known[stays])))
        fix, row = _of_owners(track, good, watched // several, watched % several)
        way = _Way.of(index, track, fix, row)
        times = {"since_us": way.since_us, "until_us": way.until_us}
        visits = Signals.of(fix, KIND.STOP_VISIT, index.id[row], way.value, measure=way.nearest_m, amount=way.standing_s, **times)
        gone, subject = _of_owners(track, good, mine.owner[~stays], mine.subject[~stays])
        return together((visits, Signals.of(gone, KIND.STOP_VISIT, subject, VALUE.END)))


@dataclass(frozen=True, slots=True)
class CallBatch(Batch):
    """Visits in the order of trips; `calls` makes it."""

    visit: Index = column("int64", "", "row of the visits asked about")
    corridor_id: Index = column("int64", "", "line and direction")
    sequence: Index = column("int64", "", "place of the stop in it")
    trip: Index = column("int64", "", "number of the trip, from 0; every terminal and corridor begin new ones")
    missed: Index = column("int64", "", "stops between the call before, on the same trip, and this one")
    stopped: Mask = column("bool", "", "stood there, not only passed")


def calls(visits: EventBatch, index: StopIndex) -> CallBatch:
    """Put the visits of any terminals in order, and tell trips apart: a trip of a corridor goes on while its stops come in sequence."""
    row = index.find(visits.subject)
    ordered = np.flatnonzero((visits.kind == KIND.STOP_VISIT) & (row >= 0))
    ordered = ordered[index.corridor_id[row[ordered]] != 0]
    row = row[ordered]
    order = np.lexsort((visits.start_us[ordered], index.corridor_id[row], visits.terminal_id[ordered]))
    ordered, row = ordered[order], row[order]
    corridor_id, sequence, terminal_id = index.corridor_id[row], index.sequence[row], visits.terminal_id[ordered]
    first = changes(terminal_id) | changes(corridor_id)
    step = np.diff(sequence, prepend=0)
    first |= step <= 0
    return CallBatch(
        visit=ordered,
        corridor_id=corridor_id,
        sequence=sequence,
        trip=np.cumsum(first) - 1,
        missed=np.where(first, 0, step - 1),
        stopped=visits.total[ordered] >= STOPPED_S,
    )


def _of_owners(track: TrackBatch, good: Index, owner: Index, thing: Index) -> tuple[Index, Index]:
    """Pairs of good fix and thing, for every fix of the thing's owner."""
    first = np.searchsorted(track.owner[good], owner)
    which, nth = expand(np.searchsorted(track.owner[good], owner, side="right") - first)
    return good[first[which] + nth], thing[which]


@dataclass(frozen=True, slots=True)
class _Way:
    """The straight ways to fixes, and how they run past stops."""

    value: NDArray[np.int8]
    nearest_m: Metres
    since_us: Index
    """When it entered the circle, and left it."""
    until_us: Index
    standing_s: NDArray[np.float64]

    @classmethod
    def of(cls, index: StopIndex, track: TrackBatch, fix: Index, row: Index) -> Self:
        """Of pairs of fix and stop. A gap has no way, unless the vehicle is where it was."""
        east, north = metres_per_degree(index.lat[row])
        bx, by = (track.lon[fix] - index.lon[row]) * east, (track.lat[fix] - index.lat[row]) * north
        ax, ay = (track.previous_lon[fix] - index.lon[row]) * east, (track.previous_lat[fix] - index.lat[row]) * north
        known = (track.previous_us[fix] != ABSENT) & (~track.gap[fix] | (np.hypot(bx - ax, by - ay) < STILL_M))
        ax, ay = np.where(known, ax, bx), np.where(known, ay, by)
        dx, dy = bx - ax, by - ay
        length2 = np.maximum(dx * dx + dy * dy, 1e-9)
        middle = -(ax * dx + ay * dy) / length2
        nearest = np.clip(middle, 0, 1)
        nearest_m, radius_m = np.hypot(ax + nearest * dx, ay + nearest * dy), index.radius_m[row]
        aside2 = np.maximum(ax * ax + ay * ay - middle**2 * length2, 0)
        half = np.sqrt(np.maximum(radius_m**2 - aside2, 0) / length2)
        enters, leaves = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
        lapse_us = np.where(known, track.time_us[fix] - track.previous_us[fix], 0)
        start_us = track.time_us[fix] - lapse_us

        speed_kmh, still = track.speed_kmh[fix], np.hypot(dx, dy) < STILL_M
        slow = np.where(still, 1.0, (speed_kmh <= SLOW_KMH) / 2 + (track.previous_kmh[fix] <= SLOW_KMH) / 2)
        course_deg = np.where(still, track.course_deg[fix], np.degrees(np.arctan2(dx, dy)))
        turn_deg = apart_deg(course_deg - index.course_deg[row])
        any_way, moves = np.isnan(turn_deg), ~still | (speed_kmh > SLOW_KMH)
        close = nearest_m <= radius_m
        calls = close & (any_way | (moves & (turn_deg <= 90)))  # noqa: PLR2004 - a right angle
        about = np.hypot(bx, by) <= LEFT_RADII * radius_m
        return cls(
            value=np.select([calls, close & ~moves, about], [VALUE.BAD, VALUE.HOLD, VALUE.NEUTRAL], VALUE.GOOD),
            nearest_m=nearest_m,
            since_us=start_us + (enters * lapse_us).astype(np.int64),
            until_us=start_us + (leaves * lapse_us).astype(np.int64),
            standing_s=(leaves - enters) * lapse_us / 1e6 * slow,
        )
