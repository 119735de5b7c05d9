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
from geofence.fences import DEEP_M, STAY, FenceIndex
from geofence.sight import MOVING_KMH
from tracks.spans import Index, Mask
from tracks.track import TrackBatch, expand, least

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

    lon: Degrees
    """Where it begins."""
    lat: Degrees
    long_m: Metres
    """0 where there is none."""
    aside_m: Metres
    """How far aside of it the vehicle may have been."""

    @classmethod
    def to(cls, track: TrackBatch, fix: Index) -> Self:
        """The ways to the fixes `fix` from the good ones before them."""
        lon, lat, long_m, aside_m = track.lon[fix].copy(), track.lat[fix].copy(), np.zeros(len(fix)), np.zeros(len(fix))
        moved_m, speed_kmh, previous_kmh = track.moved_m[fix], track.speed_kmh[fix], track.previous_kmh[fix]
        driven_m = (speed_kmh + previous_kmh) / 7.2 * track.lapse_s[fix]
        proves = (moved_m > 2 * DEEP_M) & (moved_m <= WAY_M_MAX) & (driven_m <= LONGER * moved_m + 2 * DEEP_M)
        at = np.flatnonzero(proves & (np.maximum(speed_kmh, previous_kmh) >= MOVING_KMH))
        some = fix[at]
        east, north = metres_per_degree(track.lat[some])
        way_deg = np.degrees(
            np.arctan2((track.lon[some] - track.previous_lon[some]) * east, (track.lat[some] - track.previous_lat[some]) * north)
        )
        turn_deg = np.maximum(
            _turn_deg(track.course_deg[some], way_deg, track.speed_kmh[some]),
            _turn_deg(track.previous_course_deg[some], way_deg, track.previous_kmh[some]),
        )
        straight = turn_deg + COURSE_DEG < 90  # noqa: PLR2004 - beyond a right angle it went somewhere else
        at, some = at[straight], some[straight]
        lon[at], lat[at], long_m[at] = track.previous_lon[some], track.previous_lat[some], moved_m[at]
        aside_m[at] = moved_m[at] / 2 * np.tan(np.radians(turn_deg[straight] + COURSE_DEG) / 2)  # the rise of the arc
        return cls(lon, lat, long_m, aside_m)

    def take(self, rows: Index) -> Ways:
        """The ways at `rows`."""
        return Ways(self.lon[rows], self.lat[rows], self.long_m[rows], self.aside_m[rows])


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


def passed(index: FenceIndex, here: tuple[Degrees, Degrees], ways: Ways, row: Index, held: Mask) -> Passed:
    """Of pairs of way and fence (row), side by side, those that are passages; `here` is where ways end, `held` whether that lies inside.

    An end that lies deep inside is proof by itself, and so are two that lie inside: such ways are not told.
    """
    lon, lat = here
    pair = np.flatnonzero((ways.long_m > 0) & (index.stay[row] != STAY.IN))
    pair = pair[~index.deep_core(row[pair], lon[pair], lat[pair]) & ~index.deep_core(row[pair], ways.lon[pair], ways.lat[pair])]
    first, last = _within(index.deep_box[row[pair]], (ways.lon[pair], ways.lat[pair]), (lon[pair], lat[pair]))
    meets = last > first
    pair, first, last = pair[meets], first[meets], last[meets]
    begun = index.holds(row[pair], ways.lon[pair], ways.lat[pair])
    one_end = ~(held[pair] & begun)
    pair, first, last, begun = pair[one_end], first[one_end], last[one_end], begun[one_end]
    if len(pair) == 0:
        return Passed(pair, first, last)

    def at(pair: Index, part: NDArray[np.float64]) -> tuple[Degrees, Degrees]:
        return ways.lon[pair] + part * (lon[pair] - ways.lon[pair]), ways.lat[pair] + part * (lat[pair] - ways.lat[pair])

    which, nth = expand(count := np.ceil((last - first) * ways.long_m[pair] / (2 * DEEP_M)).astype(np.int64))
    sample = first[which] + (nth + 0.5) / count[which] * (last - first)[which]  # whatever is deep inside is within DEEP_M of one
    touched = np.zeros(len(pair), np.bool_)
    touched[which[index.holds(row[pair[which]], *at(pair[which], sample))]] = True
    pair, begun = pair[touched], begun[touched]
    inside_end = np.flatnonzero(begun | held[pair])
    end_m = index.edge_m(row[pair[inside_end]], *at(pair[inside_end], np.where(begun[inside_end], 0.0, 1.0)))
    pair = np.delete(pair, inside_end[end_m > DEEP_M])

    which, nth = expand(count := np.ceil(ways.long_m[pair] / STEP_M).astype(np.int64))
    held_by = np.where(index.holds(row[pair[which]], *at(pair[which], (nth + 0.5) / count[which])), which, -1)
    edges = np.flatnonzero(np.diff(held_by, prepend=-2) != 0)
    size, runs = np.diff(edges, append=len(which)), held_by[edges] >= 0
    size, begins = size[runs], edges[runs]
    longest = least(-size, held_by[begins])
    whose, size, begins = held_by[begins][longest], size[longest], nth[begins][longest]
    enters, leaves, pair = begins / count[whose], (begins + size) / count[whose], pair[whose]
    deep = index.edge_m(row[pair], *at(pair, (enters + leaves) / 2)) > DEEP_M + ways.aside_m[pair]
    return Passed(pair[deep], enters[deep], leaves[deep])


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
