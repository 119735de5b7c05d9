"""The rule of fences: what the fixes of a batch say about the fences they are in, and about those they have left.

One look finds what is inside, and what the way to a fix may have passed (`passing.py`). Of every fence that a terminal is in, or was in,
each of its fixes is a signal: inside, it holds; beyond the margin, it is over; between the two it proves nothing. A fence to stay in is
turned round: it is bad to be outside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from geofence.datum import Metres
from geofence.fences import DEEP_M, STAY, FenceIndex
from geofence.passing import Ways, passed
from tracks.event import KIND, LEVEL, NO_SIGNALS, VALUE, Kind, Signals, together
from tracks.fix import ABSENT
from tracks.spans import Index, Mask
from tracks.track import Memory, Standing, TrackBatch, among, distinct, expand
from tracks.week import NIGHT, minute_of_week, within_day

PROOF: Final = np.uint8(4)
"""What a position deep inside is worth, or a passage: as many fixes as prove it whatever the interval (`evidence.py`)."""
MAJOR_M: Final = 500.0
"""Further than that out of a zone is MAJOR (our own)."""


@dataclass(frozen=True, slots=True)
class Fencing:
    """Judges by the fences of an index."""

    index: FenceIndex
    name = "fencing"
    memory = np.dtype([])
    """Nothing: the incidents under way say who is inside what."""

    def judge(self, track: TrackBatch, memory: Memory, standing: Standing) -> Signals:  # noqa: ARG002 - it remembers nothing
        """Signals about INSIDE, DWELT, OVERSPEED_INSIDE and OUTSIDE."""
        mine = standing.take(standing.kind <= KIND.OVERSPEED_INSIDE)
        if len(self.index) == 0 and len(mine) == 0:
            return NO_SIGNALS
        row = self.index.find(mine.subject)
        stays = self.index.asks[mine.kind, row]
        look = _Look.at(self.index, track, mine.take(stays), row[stays])
        return together((*_within(look), *_without(look), look.end(mine.take(~stays))))


def _within(look: _Look) -> list[Signals]:
    """Being inside: INSIDE, DWELT, OVERSPEED_INSIDE."""
    index, track, inside = look.index, look.track, look.inside
    about = look.standing.kind != KIND.OUTSIDE
    through = look.through
    outside = look.left(
        inside,
        np.concatenate((look.standing.owner[about], track.owner[through.fix])),
        np.concatenate((look.row[about], through.row)),
    )
    value, weight = _outside(look, outside)
    pairs = inside.and_then(outside)
    value = np.concatenate((np.full(len(inside.fix), VALUE.BAD, np.int8), value))
    weight = np.concatenate((np.where(look.deep, PROOF, np.uint8(1)), weight))
    held = np.arange(len(value)) < len(inside.fix)
    made = []
    if (tells := index.asks[KIND.INSIDE, pairs.row]).any():
        told, since_us = pairs.take(tells), look.left_us(pairs.take(tells))
        made.append(look.signals(KIND.INSIDE, told, value[tells], weight=weight[tells], level=look.level(told), since_us=since_us))
        times = {"since_us": look.passed_us[:, 0], "until_us": look.passed_us[:, 1]}
        made.append(look.signals(KIND.INSIDE, through, VALUE.PASSED, weight=PROOF, level=look.level(through), **times))
    if (dwells := index.asks[KIND.DWELT, pairs.row]).any():
        wait_s = index.dwell_s[pairs.row[dwells]]
        made.append(look.signals(KIND.DWELT, pairs.take(dwells), value[dwells], wait_s=wait_s, level=LEVEL.NOTICE))
    if (limited := index.asks[KIND.OVERSPEED_INSIDE, pairs.row]).any():
        fix, row = pairs.fix[limited], pairs.row[limited]
        limit_kmh = np.where(within_day(look.minute[fix], NIGHT), index.night_kmh[row], index.day_kmh[row])
        speed_kmh = track.speed_kmh[fix]
        pace = np.where(held[limited], np.where(speed_kmh > limit_kmh, VALUE.BAD, VALUE.GOOD), VALUE.END)
        some = {"measure": speed_kmh, "amount": track.moved_m[fix], "level": LEVEL.WARNING}
        made.append(look.signals(KIND.OVERSPEED_INSIDE, pairs.take(limited), pace, **some))
    return made


def _outside(look: _Look, pairs: _Pairs) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """What a position that is not inside says, and how strongly."""
    index, track, force = look.index, look.track, look.in_force(pairs)
    margin_m = index.margin_m[pairs.row]
    away_m = np.where(force, index.box_m(pairs.row, track.lon[pairs.fix], track.lat[pairs.fix]), 0.0)
    ask = np.flatnonzero(force & (away_m <= margin_m + DEEP_M))  # further from its box nobody need look at its edge
    away_m[ask] = look.edge_m(pairs.take(ask), margin_m[ask] + DEEP_M)
    value = np.where(away_m > margin_m, np.int8(VALUE.GOOD), np.int8(VALUE.NEUTRAL))
    value[~force] = VALUE.END
    return value, np.where(away_m > margin_m + DEEP_M, np.uint8(2), np.uint8(1))


def _without(look: _Look) -> list[Signals]:
    """Being outside of what one should stay in: OUTSIDE."""
    index, track = look.index, look.track
    about = look.standing.kind == KIND.OUTSIDE
    if not about.any() and not index.asks[KIND.OUTSIDE].any():
        return []
    place, row = index.zones.to(track.terminal_id[look.good])
    asked = _Pairs(look.good[place], row)
    asked = asked.take(look.in_force(asked))
    over = look.left(asked, look.standing.owner[about], look.row[about])
    out = np.flatnonzero(~among(look.fix_keys(asked), np.sort(look.fix_keys(look.inside))))
    away_m = np.zeros(len(asked.fix))
    away_m[out] = look.edge_m(asked.take(out))
    value = np.full(len(asked.fix), VALUE.GOOD, np.int8)
    value[out] = np.where(away_m[out] > index.margin_m[asked.row[out]], VALUE.BAD, VALUE.NEUTRAL)
    level = np.where(away_m > MAJOR_M, LEVEL.MAJOR, LEVEL.WARNING)
    return [
        look.signals(KIND.OUTSIDE, asked, value, measure=away_m, amount=track.moved_m[asked.fix], level=level),
        look.signals(KIND.OUTSIDE, over, VALUE.END),
    ]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Fix (row of the track batch) and fence (row of the index), side by side."""

    fix: Index
    row: Index

    def take(self, rows: Index | Mask) -> _Pairs:
        """The pairs at `rows`."""
        return _Pairs(self.fix[rows], self.row[rows])

    def and_then(self, more: _Pairs) -> _Pairs:
        """All pairs of both."""
        return _Pairs(np.concatenate((self.fix, more.fix)), np.concatenate((self.row, more.row)))


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a track batch: its good fixes, what they are inside, and what their owners were inside before."""

    index: FenceIndex
    track: TrackBatch
    good: Index
    minute: Index
    """Of the local week, one per row of the track batch."""
    inside: _Pairs
    """Inside a fence that is in force for them."""
    deep: Mask
    """So far inside that one fix is proof."""
    through: _Pairs
    """Fixes, and fences that the way to them has passed."""
    passed_us: Index
    """When it came in, and when it went out."""
    standing: Standing
    row: Index
    """The fence of each standing incident."""

    @classmethod
    def at(cls, index: FenceIndex, track: TrackBatch, standing: Standing, row: Index) -> Self:
        """Ask the index."""
        good, minute = np.flatnonzero(track.good), minute_of_week(track.time_us, index.zone_s)
        ways = Ways.to(track, good)
        place, found = index.near((ways.lon, ways.lat), (track.lon[good], track.lat[good]))
        near = _Pairs(good[place], found)
        look = cls(index, track, good, minute, near, np.empty(0, np.bool_), near, np.empty((0, 2), np.int64), standing, row)
        force = look.in_force(near)
        near, ways = near.take(force), ways.take(place[force])
        depth = index.depth(near.row, track.lon[near.fix], track.lat[near.fix])
        through, passed_us = look.passed(near, ways, depth)
        return replace(look, inside=near.take(depth > 0), deep=depth[depth > 0] > 1, through=through, passed_us=passed_us)

    def passed(self, pairs: _Pairs, ways: Ways, depth: NDArray[np.uint8]) -> tuple[_Pairs, Index]:
        """Those of the pairs whose way has passed the fence while it was in force, and when it came in and went out."""
        found = passed(self.index, self.track, ways, pairs.row, depth)
        through = pairs.take(found.pair)
        fix, start_us = through.fix, self.track.previous_us[through.fix]
        lapse_us = (self.track.time_us[fix] - start_us)[:, None]
        times_us = start_us[:, None] + (np.stack((found.enters, found.leaves), axis=1) * lapse_us).astype(np.int64)
        minute = minute_of_week(times_us[:, 0], self.index.zone_s)
        force = self.index.in_force(through.row, self.track.terminal_id[fix], times_us[:, 0], minute)
        return through.take(force), times_us[force]

    def left_us(self, pairs: _Pairs) -> Index:
        """When the fences that the ways to fixes have passed were left; ABSENT for others."""
        since_us = np.full(len(pairs.fix), ABSENT, np.int64)
        if len(self.through.fix):
            keys = self.fix_keys(self.through)
            order = np.argsort(keys)
            place = np.minimum(np.searchsorted(keys[order], mine := self.fix_keys(pairs)), len(keys) - 1)
            since_us = np.where(keys[order][place] == mine, self.passed_us[order[place], 1], since_us)
        return since_us

    def level(self, pairs: _Pairs) -> NDArray[np.int64]:
        """How bad it is to be inside."""
        return np.where(self.index.stay[pairs.row] == STAY.OUT, LEVEL.WARNING, LEVEL.INFO)

    def in_force(self, pairs: _Pairs) -> Mask:
        """Which fences are in force for the fix beside them."""
        fix = pairs.fix
        return self.index.in_force(pairs.row, self.track.terminal_id[fix], self.track.time_us[fix], self.minute[fix])

    def edge_m(self, pairs: _Pairs, reach_m: float | Metres | None = None) -> Metres:
        """Metres from fixes to the edges of fences; beyond the reach only that it is further."""
        return self.index.edge_m(pairs.row, self.track.lon[pairs.fix], self.track.lat[pairs.fix], reach_m)

    def owner_keys(self, pairs: _Pairs) -> Index:
        """Owner and fence as one integer."""
        return self.track.owner[pairs.fix] * len(self.index) + pairs.row

    def fix_keys(self, pairs: _Pairs) -> Index:
        """Fix and fence as one integer."""
        return pairs.fix * len(self.index) + pairs.row

    def left(self, pairs: _Pairs, owner: Index, row: Index) -> _Pairs:
        """The fixes that have no pair with a fence that another fix of their owner has, or that stood (`owner`, `row`) before."""
        watched = distinct(np.concatenate((self.owner_keys(pairs), owner * len(self.index) + row)))
        fix, row = self._good_of(watched // max(len(self.index), 1), watched % max(len(self.index), 1))
        every = _Pairs(fix, row)
        return every.take(~among(self.fix_keys(every), np.sort(self.fix_keys(pairs))))

    def signals(self, kind: Kind, pairs: _Pairs, value: Any, **columns: Any) -> Signals:  # noqa: ANN401 - scalars or columns
        """Signals of one kind."""
        return Signals.of(pairs.fix, kind, self.index.id[pairs.row], value, **columns)

    def end(self, gone: Standing) -> Signals:
        """An end for incidents whose fence is gone, at every good fix of their owners."""
        fix, nth = self._good_of(gone.owner, np.arange(len(gone)))
        return Signals.of(fix, gone.kind[nth], gone.subject[nth], VALUE.END)

    def _good_of(self, owner: Index, thing: Index) -> tuple[Index, Index]:
        """Pairs of every good fix of the owners and the thing beside its owner."""
        count = np.bincount(self.track.owner[self.good], minlength=owner.max(initial=-1) + 1)
        first = np.cumsum(count) - count
        which, nth = expand(count[owner])
        return self.good[first[owner[which]] + nth], thing[which]
