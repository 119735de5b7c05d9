"""The rule of corridors: where along its corridor a vehicle is, and what that says about deviation, direction and skipped sections.

Each fix is one of a few things (`Seen`); the table `NEXT` says what follows from it. While a vehicle follows a corridor, only the stretch
that it can have reached since the fix before counts, so that loops, hairpins and carriageways driven twice are told apart. Once it is
off, any stretch that runs the way it drives will do, but only two fixes that agree put it there: a crossing proves nothing.

    LOST       not on a trip, at a terminus, or silent for half an hour: it may be anywhere, nothing is judged;
               but who runs beside a corridor and along it for a while is on a trip, and has been OFF from there
    FOLLOWING  on the corridor, at a known chainage
    OFF        was on it, and is not now
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from geofence.corridors import CorridorIndex
from geofence.datum import Metres
from geofence.quality import GAP_S, SPEED_KMH_MAX
from geofence.sight import Sight
from tracks.code import plain
from tracks.event import KIND, LEVEL, NO_SIGNALS, VALUE, Signals, Value, together
from tracks.fix import ABSENT
from tracks.spans import Index, Mask
from tracks.track import Memory, Standing, TrackBatch, expand, least, pick, put, steps, telling

LOST_S: Final = 1800.0
"""After so long a silence nobody can say that the trip goes on. Unmeasured."""
SLACK_M: Final = 200.0
"""Of the reachable stretch, beyond what the highest speed allows. Unmeasured, like what follows."""
SKIPPED_M: Final = 500.0
"""A vehicle that is so much further along than it drove left out a section."""
SHADOWED_M: Final = 300.0
"""A vehicle that has run so far along a corridor and beside it is on a trip: as far as makes a deviation certain."""
MAJOR_M: Final = 500.0
"""Further away than that is MAJOR."""
BACKWARD_M, JUMP_PART, JUMP_FREE_M, JUMP_M_MAX = 40.0, 0.2, 100.0, 60.0
"""Which of several passages: the nearest, where running against it counts as 40 m, and every metre by which the chainage disagrees with
the way driven, after the first hundred, as a fifth of one, up to 60. Unmeasured; the tests of loop and hairpin need both."""


class Course(IntEnum):
    """How a vehicle stands to its corridor. Numbers are kept in stored state."""

    LOST = 0
    FOLLOWING = 1
    OFF = 2


COURSE: Final = plain(Course)


class Seen(IntEnum):
    """What one fix is."""

    IDLE = 0
    """No corridor is in force for it, or no longer the one that it strayed from; or that was another vehicle."""
    TERMINUS = 1
    FOLLOWED = 2
    """On the stretch that the vehicle can have reached."""
    BESIDE = 3
    """On another stretch, or another corridor in force, and running along it."""
    CONFIRMED = 4
    """The same, and so was the fix before."""
    CROSSING = 5
    """Within the width of a corridor, but not running along it."""
    NOWHERE = 6


SEEN: Final = plain(Seen)


def _next() -> NDArray[np.uint8]:
    lost, following, off = Course
    table = {
        #           IDLE  TERMINUS FOLLOWED   BESIDE CONFIRMED  CROSSING NOWHERE
        lost: (lost, lost, following, lost, following, lost, lost),
        following: (lost, lost, following, off, following, off, off),
        off: (lost, lost, following, off, following, off, off),
    }
    return np.array([table[course] for course in Course], np.uint8)


NEXT: Final = _next()
"""NEXT[course, seen]."""

END, GOOD, NEUTRAL, BAD = (np.int8(value) for value in (Value.END, Value.GOOD, Value.NEUTRAL, Value.BAD))
#                             IDLE TERMINUS FOLLOWED BESIDE   CONFIRMED CROSSING NOWHERE
DEVIATION: Final = np.array([END, GOOD, GOOD, GOOD, GOOD, NEUTRAL, BAD])
"""What a fix says about deviation; not if the vehicle is LOST (GOOD) or the fix only just within the width (NEUTRAL)."""
DIRECTION: Final = np.array([END, GOOD, NEUTRAL, NEUTRAL, NEUTRAL, NEUTRAL, NEUTRAL])
"""What it says about direction, unless it shows one."""

FOLLOW: Final = np.dtype(
    [("course", "u1"), ("nowhere", "?"), ("excused", "?"), ("corridor", "i8"), ("chainage_m", "f8"), ("seen_us", "i8"),
     ("driven_m", "f8"), ("back_us", "i8"), ("maybe", "i8"), ("maybe_m", "f8"), ("maybe_us", "i8"),
     ("shadow", "i8"), ("shadow_m", "f8"), ("shadow_us", "i8"), ("beside_m", "f8")]
)  # fmt: skip
"""`corridor`: the one last followed (0: none), `chainage_m` and `seen_us`: where and when (0: unknown), `driven_m`: the way since.
`nowhere`: the fix before was; `excused`: some fix since then was, by a detour. `back_us`: well within some corridor since then
(0: it is not). `maybe…`: where the fix before may have been. `shadow`: the corridor that
it runs along outside, `shadow_m`: where, `shadow_us`: since when, `beside_m`: how far it has come so."""


@dataclass(frozen=True, slots=True)
class Following:
    """Judges by the corridors of an index."""

    index: CorridorIndex
    name = "following"
    memory = FOLLOW

    def judge(self, track: TrackBatch, memory: Memory, standing: Standing) -> Signals:
        """Signals about DEVIATION, DETOUR, WRONG_DIRECTION and SHORTCUT; writes the road's speed limit."""
        good = np.flatnonzero(track.good)
        place, row, served = self.index.in_force(track.terminal_id[good], track.time_us[good], track.lon[good], track.lat[good])
        near = self.index.near(track.lon[good[place]], track.lat[good[place]], row)
        place, row, owner = place[near], row[near], track.owner[good]
        concerned = served | (memory["corridor"][owner] != 0)
        roams = memory["course"] == COURSE.LOST
        roams[owner[place]] = roams[owner[(concerned & ~served) | track.another[good]]] = False
        roams[standing.owner[(standing.kind >= KIND.DEVIATION) & (standing.kind <= KIND.WRONG_DIRECTION)]] = False
        looks = concerned & ~roams[owner]
        _roam(track, good[concerned & ~looks], memory)
        fix = good[looks]
        if len(fix) == 0:
            return NO_SIGNALS
        sight = Sight.of(self.index, track, fix, (good[place], row), served[looks])
        found = _Found.blank(len(fix))
        for at in steps(track.owner[fix]):
            _follow(track, fix[at], at, memory, index=self.index, sight=sight, found=found)
        placed = found.passage >= 0
        track.limit_kmh[fix[placed]] = sight.limit_kmh[found.passage[placed]]
        return self._signals(track, fix, found, standing)

    def _signals(self, track: TrackBatch, fix: Index, found: _Found, standing: Standing) -> Signals:
        """What was found, as signals."""
        told = np.flatnonzero(found.subject != 0)
        fix, found = fix[told], found.take(told)
        return together(
            (
                self._deviations(track, fix, found, standing),
                self._detours(track, fix, found, standing),
                _directions(track, fix, found, standing),
                _shortcuts(fix, found),
            )
        )

    def _deviations(self, track: TrackBatch, fix: Index, found: _Found, standing: Standing) -> Signals:
        some = telling(track, fix, found.deviation, KIND.DEVIATION, standing)
        if len(some) == 0:
            return NO_SIGNALS
        value, subject = found.deviation[some], found.subject[some]
        away_m, half_m = self._away(track, fix[some], subject, value == BAD)
        level = np.select([away_m < 2 * half_m, away_m <= MAJOR_M], [LEVEL.NOTICE, LEVEL.WARNING], LEVEL.MAJOR)
        amount = _driven_off(track, fix[some], found.long[some], away_m - half_m)
        since_us = np.select([value == GOOD, value == BAD], [found.back_us[some], found.begun_us[some]], ABSENT)
        return Signals.of(fix[some], KIND.DEVIATION, subject, value, measure=away_m, amount=amount, level=level, since_us=since_us)

    def _detours(self, track: TrackBatch, fix: Index, found: _Found, standing: Standing) -> Signals:
        some = telling(track, fix, found.detour, KIND.DETOUR, standing)
        if len(some) == 0:
            return NO_SIGNALS
        value, subject = found.detour[some], found.subject[some]
        over = (value == NEUTRAL) & ~self.index.approved(self.index.find(subject), track.terminal_id[fix[some]], track.time_us[fix[some]])
        value = np.where(over, END, value)
        away_m, half_m = self._away(track, fix[some], subject, value == BAD)
        amount = _driven_off(track, fix[some], found.long[some], away_m - half_m)
        since_us = np.where(value == GOOD, found.back_us[some], ABSENT)
        return Signals.of(fix[some], KIND.DETOUR, subject, value, measure=away_m, amount=amount, since_us=since_us)

    def _away(self, track: TrackBatch, fix: Index, subject: Index, asked: Mask) -> tuple[Metres, Metres]:
        """How far the fixes asked about are from their corridors, and half the width there."""
        row = self.index.find(subject)
        some = np.flatnonzero(asked & (row >= 0))
        away_m, half_m = np.zeros(len(fix)), np.zeros(len(fix))
        away_m[some], half_m[some] = self.index.distance(track.lon[fix[some]], track.lat[fix[some]], row[some])
        return away_m, half_m


def _driven_off(track: TrackBatch, fix: Index, long: Mask, outside_m: Metres) -> Metres:
    """Metres driven off the corridor since the fix before: at the first fix off it, at least as far as that lies outside."""
    return np.where(long, track.moved_m[fix], np.where(track.gap[fix], 0.0, np.maximum(outside_m, 0.0)))


def _directions(track: TrackBatch, fix: Index, found: _Found, standing: Standing) -> Signals:
    some = telling(track, fix, found.direction, KIND.WRONG_DIRECTION, standing)
    back = {"amount": found.back_m[some], "since_us": found.since_us[some], "level": LEVEL.WARNING}
    return Signals.of(fix[some], KIND.WRONG_DIRECTION, found.subject[some], found.direction[some], **back)


def _shortcuts(fix: Index, found: _Found) -> Signals:
    some = np.flatnonzero(found.skipped_m > SKIPPED_M)
    times = {"since_us": found.left_us[some], "until_us": found.joined_us[some], "measure": found.skipped_m[some]}
    return Signals.of(fix[some], KIND.SHORTCUT, found.subject[some], VALUE.MOMENT, level=LEVEL.WARNING, **times)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is found out about each fix, filled in step by step."""

    seen: NDArray[np.uint8]
    passage: Index
    subject: Index
    """The corridor it was found out about; 0 for nothing."""
    deviation: NDArray[np.int8]
    detour: NDArray[np.int8]
    direction: NDArray[np.int8]
    long: Mask
    """The fix before was nowhere too, so the way between was driven off the corridor."""
    back_m: Metres
    since_us: Index
    back_us: Index
    begun_us: Index
    """Since when it is off, if not since this fix; else ABSENT."""
    skipped_m: Metres
    left_us: Index
    joined_us: Index

    @classmethod
    def blank(cls, count: int) -> Self:
        """Columns to fill."""
        special = {"seen": "u1", "deviation": "i1", "detour": "i1", "direction": "i1", "long": "?", "back_m": "f8", "skipped_m": "f8"}
        return cls(**{name: np.zeros(count, special.get(name, "i8")) for name in cls.__dataclass_fields__})

    def take(self, rows: Index) -> _Found:
        """Those of some fixes."""
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in self.__dataclass_fields__}
        return _Found(**columns)


def _roam(track: TrackBatch, fix: Index, memory: Memory) -> None:
    """All fixes of those that are on no trip, with nothing to see anywhere: what `_follow` would remember of them, and at once."""
    owner = track.owner[fix]
    for at in steps(owner):
        memory["driven_m"][owner[at]] += track.moved_m[fix[at]]
    memory["shadow_us"][owner] = track.time_us[fix]
    memory["seen_us"][owner[track.gap[fix]]] = 0
    for name in ("back_us", "maybe", "shadow", "shadow_m", "beside_m"):
        memory[name][owner] = 0
    memory["nowhere"][owner] = True


def _follow(track: TrackBatch, fix: Index, at: Index | slice, memory: Memory, *, index: CorridorIndex, sight: Sight, found: _Found) -> None:
    """The next fix of each of several terminals: `fix` is its row of the track batch, `at` its element of `sight` and `found`."""
    mine = _after_silence(track, fix, pick(memory, track.owner[fix]))
    here, there = _choose(at, sight, mine, _reach_m(track.time_us[fix] - mine["seen_us"]))
    agrees = sight.corridor[there] == mine["maybe"]
    agrees &= np.abs(sight.chainage_m[there] - mine["maybe_m"]) <= _reach_m(track.time_us[fix] - mine["maybe_us"])
    seen = np.where(sight.count[at] > 0, SEEN.CROSSING, SEEN.NOWHERE)
    seen[there >= 0] = SEEN.BESIDE
    seen[here >= 0] = SEEN.FOLLOWED
    seen[sight.places[there] & agrees] = SEEN.CONFIRMED
    seen[sight.terminus[at]] = SEEN.TERMINUS
    seen[~sight.driven[at] | track.another[fix]] = SEEN.IDLE
    astray = np.flatnonzero((seen >= SEEN.BESIDE) & (seen != SEEN.CONFIRMED) & (mine["course"] != COURSE.LOST))
    if len(astray):
        still = index.drives(track.terminal_id[fix[astray]], mine["corridor"][astray], track.time_us[fix[astray]])
        seen[astray[~still]] = SEEN.IDLE
    placed = np.where(seen == SEEN.FOLLOWED, here, np.where(seen == SEEN.CONFIRMED, there, -1))
    found.seen[at], found.passage[at] = seen, placed
    joins = _shadow(at, sight, mine, seen, time_us=track.time_us[fix], moved_m=track.moved_m[fix])
    mine["back_us"] = np.where(sight.covered[at], np.where(mine["back_us"] != 0, mine["back_us"], track.time_us[fix]), 0)
    mine["course"][joins] = COURSE.OFF
    mine["corridor"] = np.where(joins, mine["shadow"], mine["corridor"])
    found.begun_us[at] = np.where(joins, mine["shadow_us"], ABSENT)
    _tell(at, sight, found, mine, here=here, there=there)
    _remember(at, sight, found, mine, time_us=track.time_us[fix], there=there)
    put(memory, track.owner[fix], mine)


def _after_silence(track: TrackBatch, fix: Index, mine: Memory) -> Memory:
    """What is still known at a fix: after a gap not where the vehicle was, after a long one not even that it is on a trip."""
    gap = track.gap[fix]
    long = gap & (track.lapse_s[fix] > LOST_S)
    mine["course"][gap & (mine["course"] == COURSE.FOLLOWING)] = COURSE.OFF
    mine["course"][long] = COURSE.LOST
    for name in ("seen_us", "back_us", "maybe", "nowhere", "shadow"):
        mine[name][gap] = 0
    mine["driven_m"] += track.moved_m[fix]
    return mine


def _shadow(at: Index | slice, sight: Sight, mine: Memory, seen: NDArray[np.uint8], *, time_us: Index, moved_m: Metres) -> Mask:
    """Keep count of those that run along a corridor outside of it; gives those that have done so for long enough to be on a trip."""
    beside = (mine["course"] == COURSE.LOST) & (seen == SEEN.NOWHERE) & (sight.shadow[at] != 0)
    ahead_m = np.abs(sight.shadow_m[at] - mine["shadow_m"])
    on = beside & (sight.shadow[at] == mine["shadow"]) & (ahead_m <= moved_m + SLACK_M)
    mine["beside_m"] = np.where(on, mine["beside_m"] + ahead_m, 0.0)
    mine["shadow_us"] = np.where(on, mine["shadow_us"], time_us)
    mine["shadow"], mine["shadow_m"] = np.where(beside, sight.shadow[at], 0), sight.shadow_m[at]
    joins: Mask = on & (mine["beside_m"] >= SHADOWED_M)
    return joins


def _choose(at: Index | slice, sight: Sight, mine: Memory, reach_m: Metres) -> tuple[Index, Index]:
    """Of each fix the passage it is followed to, and the one it may be at instead; -1 for none.

    Where it is followed against its direction, the other is one that runs with it: a vehicle may have turned round.
    """
    which, nth = expand(sight.count[at])
    passage = sight.first[at][which] + nth
    ahead_m = sight.chainage_m[passage] - mine["chainage_m"][which]
    known = (sight.corridor[passage] == mine["corridor"][which]) & (mine["seen_us"][which] != 0)
    jump_m = np.abs(np.abs(ahead_m) - mine["driven_m"][which]) - JUMP_FREE_M
    doubt_m = np.where(known, np.clip(JUMP_PART * jump_m, 0.0, JUMP_M_MAX), JUMP_M_MAX)
    cost = sight.away_m[passage] + doubt_m + BACKWARD_M * sight.backward[passage]
    within_reach = known & (mine["course"] == COURSE.FOLLOWING)[which] & (np.abs(ahead_m) <= reach_m[which])
    here = _cheapest(passage, which, cost, within_reach, len(mine))
    turned = sight.forward[passage] & sight.backward[here][which]
    other = np.where((here >= 0)[which], turned, sight.parallel[passage])
    return here, _cheapest(passage, which, cost, other, len(mine))


def _cheapest(passage: Index, which: Index, cost: Metres, asked: Mask, count: int) -> Index:
    """The passage of least cost of each, of those asked for; -1 where there is none."""
    best = np.full(count, -1)
    some = np.flatnonzero(asked)
    some = some[least(cost[some], which[some])]
    best[which[some]] = passage[some]
    return best


def _reach_m(lapse_us: Index) -> Metres:
    """How far along a vehicle may be after that time."""
    return SLACK_M + SPEED_KMH_MAX / 3.6 * np.minimum(lapse_us / 1e6, GAP_S)


def _tell(at: Index | slice, sight: Sight, found: _Found, mine: Memory, *, here: Index, there: Index) -> None:
    """Fill in what the fixes say."""
    seen, placed = found.seen[at], found.passage[at]
    followed, confirmed, nowhere = seen == SEEN.FOLLOWED, seen == SEEN.CONFIRMED, seen == SEEN.NOWHERE
    corridor, chainage_m = sight.corridor[placed], sight.chainage_m[placed]
    judged = (mine["course"] != COURSE.LOST) | (seen == SEEN.IDLE)
    excused = nowhere & sight.excused[at]
    only_just = (followed & ~sight.near[here]) | ((seen == SEEN.BESIDE) & ~sight.near[there])
    subject = np.where(mine["corridor"] != 0, mine["corridor"], corridor)
    same = corridor == subject

    deviation = np.where(only_just, NEUTRAL, DEVIATION[seen])
    deviation = np.where(judged & ~excused, deviation, GOOD)
    detour = np.where(excused & judged, BAD, np.minimum(deviation, NEUTRAL))
    ahead_m = chainage_m - mine["chainage_m"]
    back = followed & sight.backward[here] & (there < 0) & (ahead_m < 0)
    from_start = confirmed & same & sight.backward[there]
    direction = np.where(judged, DIRECTION[seen], GOOD)
    direction = np.where(followed, np.where(sight.forward[here] & (ahead_m > 0), GOOD, NEUTRAL), direction)

    found.subject[at] = subject
    found.deviation[at] = deviation
    found.detour[at] = np.where(confirmed & ~same, END, detour)
    found.direction[at] = np.where(confirmed & ~same, END, np.where(back | from_start, BAD, direction))
    found.back_m[at] = np.where(back, -ahead_m, np.where(from_start, np.abs(chainage_m - mine["maybe_m"]), 0.0))
    found.back_us[at] = np.where(mine["back_us"] != 0, mine["back_us"], ABSENT)
    found.since_us[at] = np.where(from_start, mine["maybe_us"], ABSENT)
    found.long[at] = nowhere & mine["nowhere"]
    left_out = confirmed & same & (mine["seen_us"] != 0) & ~mine["excused"] & ~sight.backward[there]
    found.skipped_m[at] = np.where(left_out, ahead_m - mine["driven_m"], 0.0)
    found.left_us[at], found.joined_us[at] = mine["seen_us"], mine["maybe_us"]


def _remember(at: Index | slice, sight: Sight, found: _Found, mine: Memory, *, time_us: Index, there: Index) -> None:
    """What is known after the fixes."""
    seen, placed = found.seen[at], found.passage[at]
    nowhere, apart = seen == SEEN.NOWHERE, (seen == SEEN.TERMINUS) | (seen == SEEN.IDLE)
    known = placed >= 0
    candidate = sight.near[there] & (seen != SEEN.CONFIRMED)
    mine["course"] = NEXT[mine["course"], seen]
    mine["corridor"] = np.where(known, sight.corridor[placed], np.where(seen == SEEN.IDLE, 0, mine["corridor"]))
    mine["chainage_m"] = np.where(known, sight.chainage_m[placed], mine["chainage_m"])
    mine["seen_us"] = np.where(known, time_us, np.where(apart, 0, mine["seen_us"]))
    mine["driven_m"] = np.where(known | apart, 0.0, mine["driven_m"])
    mine["nowhere"] = nowhere
    mine["excused"] = ~known & ~apart & (mine["excused"] | (nowhere & sight.excused[at]))
    kept = np.where(seen == SEEN.BESIDE, mine["maybe"], 0)
    mine["maybe"] = np.where(candidate, sight.corridor[there], kept)
    mine["maybe_m"] = np.where(candidate, sight.chainage_m[there], mine["maybe_m"])
    mine["maybe_us"] = np.where(candidate, time_us, mine["maybe_us"])
