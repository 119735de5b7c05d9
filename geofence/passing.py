"""Fences passed between two fixes: at one report in thirty seconds, a fence of 60 m lies between two of them more often than not.

Nobody has seen the vehicle there, so a passage counts only where it can hardly be otherwise: the straight way between two good fixes that
no gap parts leads as deep into the fence as one fix would have to lie to prove it, and deeper by as much as the way may bend. How much
that is, the courses at its ends say: a vehicle that leaves and arrives along the straight way has hardly driven another, unless it was
so fast that it must have driven further. A fence in which no place lies 30 m from the edge is never passed so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from geofence.datum import Degrees, Metres, apart_deg, metres_per_degree
from geofence.fences import DEEP_M, FenceIndex
from geofence.sight import MOVING_KMH
from tracks.event import KIND
from tracks.spans import Index
from tracks.track import TrackBatch, changes, distinct, expand, least

WAY_M_MAX: Final = 1000.0
"""Of a longer way nobody knows where it led. Unmeasured."""
LONGER: Final = 1.2
"""Who drove, by the speeds at both ends, so many times the straight way drove another one. Unmeasured."""
COURSE_DEG: Final = 2.0
"""Courses are no truer than that. Unmeasured."""
STEP_M: Final = 10.0
"""So finely a way is looked at where it may be a passage; begin and end are good to half of it."""


@dataclass(frozen=True, slots=True)
class Ways:
    """The straight ways to fixes, one element for each; where there is none that proves anything, it begins where it ends."""

    fix: Index
    """Row of the track batch."""
    lon: Degrees
    """Where it begins."""
    lat: Degrees
    long_m: Metres
    """0 where there is none."""

    @classmethod
    def to(cls, track: TrackBatch, fix: Index) -> Self:
        """The ways to the fixes `fix` from the good ones before them."""
        moved_m, speed_kmh, previous_kmh = track.moved_m[fix], track.speed_kmh[fix], track.previous_kmh[fix]
        driven_m = (speed_kmh + previous_kmh) / 7.2 * track.lapse_s[fix]
        proves = (moved_m > 2 * DEEP_M) & (moved_m <= WAY_M_MAX) & (driven_m <= LONGER * moved_m + 2 * DEEP_M)
        proves &= np.maximum(speed_kmh, previous_kmh) >= MOVING_KMH
        lon = np.where(proves, track.previous_lon[fix], track.lon[fix])
        lat = np.where(proves, track.previous_lat[fix], track.lat[fix])
        return cls(fix, lon, lat, np.where(proves, moved_m, 0.0))

    def take(self, rows: Index) -> Ways:
        """The ways at `rows`."""
        return Ways(self.fix[rows], self.lon[rows], self.lat[rows], self.long_m[rows])


def aside_m(track: TrackBatch, fix: Index) -> Metres:
    """How far aside of the straight way to it the vehicle may have been: the rise of an arc; infinite where it went somewhere else."""
    lon, lat = track.lon[fix], track.lat[fix]
    east, north = metres_per_degree(lat)
    way_deg = np.degrees(np.arctan2((lon - track.previous_lon[fix]) * east, (lat - track.previous_lat[fix]) * north))
    turn_deg = COURSE_DEG + np.maximum(
        _turn_deg(track.course_deg[fix], way_deg, track.speed_kmh[fix]),
        _turn_deg(track.previous_course_deg[fix], way_deg, track.previous_kmh[fix]),
    )
    rise_m = track.moved_m[fix] / 2 * np.tan(np.radians(turn_deg) / 2)
    return np.where(turn_deg < 90, rise_m, np.inf)  # noqa: PLR2004 - a right angle


def _turn_deg(course_deg: NDArray[np.float64], way_deg: NDArray[np.float64], speed_kmh: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much a course differs from the way's; the course of a vehicle that stands says nothing."""
    return np.where(speed_kmh >= MOVING_KMH, apart_deg(course_deg - way_deg), 0.0)


@dataclass(frozen=True, slots=True)
class Passed:
    """Ways that led through fences."""

    pair: Index
    """Which of the pairs asked about."""
    enters: NDArray[np.float64]
    """The part of the way at which it entered, and at which it left."""
    leaves: NDArray[np.float64]


def passed(index: FenceIndex, track: TrackBatch, ways: Ways, row: Index, depth: NDArray[np.uint8]) -> Passed:
    """Of pairs of way and fence (row), side by side, those that are passages; `depth` is how deep inside the way ends.

    An end that lies deep inside is proof by itself, and so are two that lie inside: such ways are not told.
    """
    lon, lat = track.lon[ways.fix], track.lat[ways.fix]

    def at(pair: Index, part: float | NDArray[np.float64]) -> tuple[Degrees, Degrees]:
        return ways.lon[pair] + part * (lon[pair] - ways.lon[pair]), ways.lat[pair] + part * (lat[pair] - ways.lat[pair])

    pair = np.flatnonzero((ways.long_m > 0) & (depth <= 1) & index.asks[KIND.INSIDE, row])
    pair = pair[index.may_cross(row[pair], at(pair, 0.0), at(pair, 1.0))]
    first, last = _within(index.deep_box.take(row[pair], axis=0), at(pair, 0.0), at(pair, 1.0))
    meets = last > first
    pair, first, last = pair[meets], first[meets], last[meets]
    one_end = depth[pair] + index.depth(row[pair], *at(pair, 0.0)) <= 1
    pair, first, last = pair[one_end], first[one_end], last[one_end]
    if len(pair) == 0:
        return Passed(pair, first, last)

    which, nth = expand(count := np.ceil((last - first) * ways.long_m[pair] / (2 * DEEP_M)).astype(np.int64))
    sample = first[which] + (nth + 0.5) / count[which] * (last - first)[which]  # whatever is deep inside is within DEEP_M of one
    pair = pair[distinct(which[index.holds(row[pair[which]], *at(pair[which], sample))])]
    enough_m = DEEP_M + aside_m(track, ways.fix[pair])
    pair, enough_m = pair[np.isfinite(enough_m)], enough_m[np.isfinite(enough_m)]

    which, nth = expand(count := np.ceil(ways.long_m[pair] / STEP_M).astype(np.int64))
    held_by = np.where(index.holds(row[pair[which]], *at(pair[which], (nth + 0.5) / count[which])), which, -1)
    edges = np.flatnonzero(changes(held_by))
    size, runs = np.diff(edges, append=len(which)), held_by[edges] >= 0
    size, begins = size[runs], edges[runs]
    longest = least(-size, held_by[begins])
    whose, size, begins = held_by[begins][longest], size[longest], nth[begins][longest]
    enters, leaves, pair, enough_m = begins / count[whose], (begins + size) / count[whose], pair[whose], enough_m[whose]
    through = index.edge_m(row[pair], *at(pair, (enters + leaves) / 2), enough_m) > enough_m
    return Passed(pair[through], enters[through], leaves[through])


def _within(
    box: NDArray[np.float64], begin: tuple[Degrees, Degrees], end: tuple[Degrees, Degrees]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The parts of straight ways at which each comes into the box beside it and goes out again; the second is less where it misses."""
    first, last = np.zeros(len(box)), np.ones(len(box))
    for axis in (0, 1):
        along = end[axis] - begin[axis]
        along = np.where(along == 0, 1e-15, along)
        low, high = (box[:, axis] - begin[axis]) / along, (box[:, axis + 2] - begin[axis]) / along
        first, last = np.maximum(first, np.minimum(low, high)), np.minimum(last, np.maximum(low, high))
    empty = (box[:, 0] > box[:, 2]) | (box[:, 1] > box[:, 3])
    return first, np.where(empty, -1.0, last)
