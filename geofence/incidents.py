"""From signals to incidents: one machine for every rule, driven by the tables of `evidence.py`.

Nothing opens on one doubtful fix and nothing closes on one; what began is told with the time it began, not the time it became certain.
All terminals take their first fix together, then their second, and so on: of one terminal everything happens in the order of time,
whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geofence.evidence import GAP, NEXT, STATE
from geofence.quality import Quality
from tracks.alarms import NUMBERS, WORD_BITS, column, number
from tracks.event import ENDED, KIND, LEVEL, PHASE, VALUE, Ended, EventBatch, Kind, Phase, Signals, event_ids
from tracks.fix import ABSENT
from tracks.spans import Index, Mask
from tracks.track import Standing, TrackBatch, among, distinct, pick, put, ranks

LIVE_US: Final = 120_000_000
"""An incident made certain by fixes that were received later than this is no live alarm."""

MERGE_US: Final = 120_000_000
"""Terminal and platform mean the same incident when theirs are no further apart than this."""

COOL_US: Final = 900_000_000
"""How long a closed incident is remembered for that: longer than the merged kinds take to become certain."""

FLICKER_US: Final = 60_000_000
"""A bit of the alarm word that is set again so soon goes on with its incident: several overspeeds within a minute are one, too
(交运发〔2016〕160号)."""

SAME: Final[Mapping[int, tuple[Kind, ...]]] = {
    1: (KIND.OVERSPEED, KIND.OVERSPEED_INSIDE),
    2: (KIND.FATIGUE,),
    18: (KIND.DAY_DRIVING,),
    19: (KIND.PARKED,),
    20: (KIND.INSIDE, KIND.OUTSIDE),
    21: (KIND.DEVIATION,),
    23: (KIND.DEVIATION,),
}
"""Alarm bits of the terminal (JT/T 808) that mean what the platform finds too: the two become one incident."""

CROSSING: Final = (20, 21)
"""Bits that tell of a way in or out: they mean an incident that begins or ends there, not one that lasts."""

MEANS: Final = np.where(np.arange(NUMBERS) < WORD_BITS, np.arange(NUMBERS), column("detail_of", "i8", usual=ABSENT))
"""What an alarm means to `SAME`, by number: a bit itself, an item's the alarm that it is a detail of."""
_KINDS: Final = sorted({kind for kinds in SAME.values() for kind in kinds})
MERGES_KIND: Final = np.isin(np.arange(max(Kind) + 1), _KINDS)
MERGES_ALARM: Final = np.isin(np.arange(NUMBERS), list(SAME)) | (np.arange(NUMBERS) >= WORD_BITS) & (MEANS != ABSENT)
"""Which kinds, and which alarms by number, terminal and platform may both find."""
_BITS: Final = {kind: [bit for bit, kinds in SAME.items() if kind in kinds] for kind in _KINDS}

INCIDENT: Final = np.dtype(
    [("kind", "u1"), ("state", "u1"), ("level", "u1"), ("told_level", "u1"), ("recovery", "u2"), ("retrospective", "?"),
     ("evidence", "i4"), ("proof", "i4"), ("subject", "i8"), ("id", "i8"), ("vehicle_id", "i8"), ("digest", "i8"), ("same_as", "i8"),
     ("version", "i8"), ("start_us", "i8"), ("opened_us", "i8"), ("last_us", "i8"), ("over_us", "i8"), ("told_us", "i8"),
     ("lat", "f8"), ("lon", "f8"), ("peak", "f8"), ("total", "f8")]
)  # fmt: skip
"""What is remembered of an incident. `id` is 0 until it opens; `evidence` counts the fixes that show it, `proof` their weight, `recovery`
that of the good ones since; `over_us` is the first good fix while it recovers, or the first
doubtful one since it was last shown, then its end."""

NO_EVENTS: Final = EventBatch.empty()

OWNER_BITS, KIND_BITS, SUBJECT_BITS = 18, 5, 40
SUBJECT_MAX: Final = 2**SUBJECT_BITS - 1
"""Ids of fences, corridors and stops fit in 40 bits, so that owner, kind and subject are one integer to sort by."""


@dataclass(frozen=True, slots=True)
class Incidents:
    """The incidents under way, sorted by owner, kind, subject."""

    owner: Index
    rows: NDArray[Any]

    @classmethod
    def none(cls) -> Incidents:
        """No incidents at all."""
        return cls(np.empty(0, np.int64), np.empty(0, INCIDENT))

    def standing(self) -> Standing:
        """As the rules see them: what has been closed is not shown."""
        shown = self.rows["state"] != STATE.COOLING
        kind, subject, number = (self.rows[name][shown] for name in ("kind", "subject", "id"))
        return Standing(self.owner[shown], kind, subject, number != 0)

    def take(self, rows: Index | Mask) -> Incidents:
        """The incidents at `rows`."""
        return Incidents(self.owner[rows], pick(self.rows, rows))


def advance(track: TrackBatch, signals: Signals, before: Incidents, enough: NDArray[Any], version: int) -> tuple[EventBatch, Incidents]:
    """Let the signals of a track batch do their work. `enough` is `evidence.thresholds()`; owners without signals stay as they are."""
    moments = signals.value == VALUE.MOMENT
    told = _moments(track, signals.take(moments), version) if moments.any() else []
    signals, keys, rows = _keyed(track, signals, before)
    key = np.searchsorted(keys, _key(track.owner[signals.row], signals.kind, signals.subject))
    passed = signals.value == VALUE.PASSED
    step = 2 * ranks(track.owner)[signals.row] + ~passed
    signals = replace(signals, value=np.where(passed, np.int8(VALUE.BAD), signals.value))
    by_step = np.argsort(step, kind="stable")
    owner = keys >> (KIND_BITS + SUBJECT_BITS)
    for at in np.split(by_step, np.flatnonzero(np.diff(step[by_step])) + 1):
        if len(at):
            told += _step(track, signals.take(at), _Affected(rows, key[at], owner, enough), version)
    if not told:
        return NO_EVENTS, _surviving(track, owner, rows)
    order = np.argsort(np.concatenate([part.row for part in told]), kind="stable")
    events = EventBatch.concat([part.events for part in told]).take(order)
    return events, _surviving(track, owner, rows)


def restated(incidents: Incidents, terminal_id: Index) -> EventBatch:
    """The open incidents as they stand; `terminal_id` has one element per owner."""
    rows = incidents.rows
    is_open = (rows["state"] == STATE.OPEN) | (rows["state"] == STATE.RECOVERING)
    return _events(pick(rows, is_open), terminal_id[incidents.owner[is_open]], PHASE.UPDATED)


@dataclass(frozen=True, slots=True)
class _Told:
    row: Index
    """Row of the track batch at which it was told."""
    events: EventBatch


@dataclass(frozen=True, slots=True)
class _Affected:
    """The incidents that the signals of one step are about: at most one signal for each."""

    rows: NDArray[Any]
    at: Index
    owner: Index
    enough: NDArray[Any]


def _key(owner: Index, kind: NDArray[np.uint8], subject: Index) -> Index:
    assert len(owner) == 0 or owner.max() < 2**OWNER_BITS, "more terminals in one batch than a key has room for"
    assert len(subject) == 0 or (subject.min() >= 0 and subject.max() <= SUBJECT_MAX), "the id of a subject has more than 40 bits"
    return (owner << (KIND_BITS + SUBJECT_BITS)) | (kind.astype(np.int64) << SUBJECT_BITS) | subject


def _keyed(track: TrackBatch, signals: Signals, before: Incidents) -> tuple[Signals, Index, NDArray[Any]]:
    """The signals that can matter, the keys of all incidents they are about or that stand, ascending, and those incidents."""
    known = _key(before.owner, before.rows["kind"], before.rows["subject"])
    owner = track.owner[signals.row]
    bad = (signals.value == VALUE.BAD) | (signals.value == VALUE.PASSED)
    busy = np.zeros(int(track.owner[-1]) + 1 if len(track) else 0, np.bool_)
    busy[before.owner[before.owner < len(busy)]] = True
    busy[owner[bad]] = True
    signals = signals.take(busy[owner] & (signals.value != VALUE.MOMENT))
    key = _key(track.owner[signals.row], signals.kind, signals.subject)
    starts = key[(signals.value == VALUE.BAD) | (signals.value == VALUE.PASSED)]
    new = distinct(starts[~among(starts, known)])
    signals = signals.take(among(key, known) | among(key, new))
    keys = np.concatenate((known, new))
    rows = np.zeros(len(keys), INCIDENT)
    put(rows, slice(len(known)), before.rows)
    rows["kind"][len(known) :] = (new >> SUBJECT_BITS) & (2**KIND_BITS - 1)
    rows["subject"][len(known) :] = new & SUBJECT_MAX
    order = np.argsort(keys, kind="stable")
    return signals, keys[order], pick(rows, order)


def _step(track: TrackBatch, signal: Signals, affected: _Affected, version: int) -> list[_Told]:
    """One signal for each incident it is about: a gap first, then the table, then the weighing."""
    rows, at, row = affected.rows, affected.at, signal.row
    enough = pick(affected.enough, signal.kind)
    time_us, gap = track.time_us[row], track.gap[row]
    told: list[_Told] = []

    def tell(which: Mask, phase: Phase, ended: Ended = ENDED.OPEN) -> None:
        if which.any():
            picked = pick(rows, at[which])
            end_us = np.where(enough["ends_at_last"][which], picked["last_us"], picked["over_us"]) if ended else ABSENT
            told.append(_Told(row[which], _events(picked, track.terminal_id[row[which]], phase, end_us, ended)))

    def close(which: Mask, ended: Ended) -> None:
        if which.any():
            tell(which, PHASE.CLOSED, ended)
            closed = pick(rows, at[which])
            rows["state"][at[which]] = np.where(_merges(closed) | _in_word(closed), STATE.COOLING, STATE.QUIET)

    lost = (_part(rows, at, enough, track, row) if gap.any() else gap) | _lapse(rows, at, enough, signal.value, time_us)
    close(lost, ENDED.GAP)
    close((signal.value == VALUE.BAD) & _settled(rows, at, enough, time_us), ENDED.RETURNED)  # no fix came between to close it
    resumed = _resume(rows, at, track.vehicle_id[row], signal.value, time_us)

    state = rows["state"][at]
    then = NEXT[state, signal.value - VALUE.END]
    doubted = (state == STATE.SUSPECT) & (signal.value == VALUE.NEUTRAL)
    then[doubted & (time_us - rows["last_us"][at] > enough["doubt_s"] * 1e6)] = STATE.QUIET
    idle = (state == STATE.QUIET) | (state == STATE.COOLING)
    bad = (signal.value == VALUE.BAD) | ((signal.value == VALUE.HOLD) & ~idle)
    rows["state"][at] = then
    began = bad & idle
    _begin(rows, at[began], track, signal.take(began), version)
    _gather(rows, at[bad], time_us[bad], signal.take(bad), pick(enough, bad))
    good = _recover(rows, at, time_us, signal, before=state, enough=enough)

    opens = (then == STATE.SUSPECT) & _is_enough(pick(rows, at), signal.wait_s, enough)
    rows["state"][at[opens]] = STATE.OPEN
    rows["opened_us"][at[opens]] = time_us[opens]
    rows["retrospective"][at[opens]] = track.heard_us[row[opens]] - time_us[opens] > LIVE_US
    _name(rows, at[opens], track.terminal_id[row[opens]], affected.owner)
    _escalate(rows, at, enough)
    worse = rows["level"][at] > rows["told_level"][at]
    due = time_us - rows["told_us"][at] >= enough["update_s"] * 1e6
    again = (rows["state"][at] == STATE.OPEN) & bad & ~opens & (worse | due | resumed)
    for which, phase in ((opens, PHASE.OPENED), (again, PHASE.UPDATED)):
        rows["told_us"][at[which]] = time_us[which]
        rows["told_level"][at[which]] = rows["level"][at[which]]
        tell(which, phase)

    over = (signal.value == VALUE.END) & good
    close(over, ENDED.RULE)
    close(good & ~over & _settled(rows, at, enough, time_us), ENDED.RETURNED)
    return told


def _settled(rows: NDArray[Any], at: Index, enough: NDArray[Any], time_us: Index) -> Mask:
    """What is over for enough good fixes and for long enough."""
    recovered = (rows["state"][at] == STATE.RECOVERING) & (rows["recovery"][at] >= enough["close_fixes"])
    settled: Mask = recovered & (time_us - rows["over_us"][at] >= enough["close_s"] * 1e6)
    return settled


def _part(rows: NDArray[Any], at: Index, enough: NDArray[Any], track: TrackBatch, row: Index) -> Mask:
    """Apply a gap: what is doubtful is void. Gives what it cuts off, with the time of its end filled in: all, if the vehicle is another."""
    state = rows["state"][at]
    gap, another, previous_us = track.gap[row], track.another[row], track.previous_us[row]
    stayed = (enough["gap"] == GAP.KEEP) & (track.quality[row] & Quality.DRIFT != 0)
    parted: Mask = gap & (enough["gap"] != GAP.BRIDGE) & ~stayed | another
    rows["state"][at[parted & (state == STATE.SUSPECT)]] = STATE.QUIET
    cut: Mask = parted & ((enough["gap"] == GAP.CLOSE) | another) & ((state == STATE.OPEN) | (state == STATE.RECOVERING))
    rows["state"][at[parted & ~cut & (state == STATE.RECOVERING)]] = STATE.OPEN
    rows["over_us"][at[parted & ~cut & (state >= STATE.OPEN) & (state != STATE.COOLING)]] = 0
    lost = cut & (state == STATE.OPEN)
    rows["over_us"][at[lost]] = np.maximum(previous_us[lost], rows["last_us"][at[lost]])
    return cut


def _lapse(rows: NDArray[Any], at: Index, enough: NDArray[Any], value: NDArray[np.int8], time_us: Index) -> Mask:
    """What has been open for too long without being shown again, with the time of its end filled in."""
    lapsed: Mask = (value == VALUE.NEUTRAL) & (rows["state"][at] == STATE.OPEN)
    lapsed &= time_us - rows["last_us"][at] > enough["lasts_s"] * 1e6
    rows["over_us"][at[lapsed]] = rows["last_us"][at[lapsed]]
    return lapsed


def _resume(rows: NDArray[Any], at: Index, vehicle_id: Index, value: NDArray[np.int8], time_us: Index) -> Mask:
    """Open again what flickers; gives what has been."""
    then = pick(rows, at)
    resumed: Mask = _flickers(then) & (value == VALUE.BAD) & (then["vehicle_id"] == vehicle_id) & (time_us - then["over_us"] < FLICKER_US)
    rows["state"][at[resumed]] = STATE.OPEN
    return resumed


def _begin(rows: NDArray[Any], at: Index, track: TrackBatch, signal: Signals, version: int) -> None:
    """A first bad signal: what was known of an older incident of that key gives way."""
    kind, subject = rows["kind"][at], rows["subject"][at]
    fresh = np.zeros(len(at), INCIDENT)
    fresh["kind"], fresh["subject"], fresh["state"], fresh["version"] = kind, subject, STATE.SUSPECT, version
    fresh["start_us"] = np.where(signal.since_us != ABSENT, signal.since_us, track.time_us[signal.row])
    fresh["vehicle_id"], fresh["digest"] = track.vehicle_id[signal.row], track.digest[signal.row]
    fresh["lat"], fresh["lon"] = track.lat[signal.row], track.lon[signal.row]
    fresh["peak"], fresh["same_as"], fresh["last_us"] = signal.measure, ABSENT, fresh["start_us"]
    put(rows, at, fresh)


def _gather(rows: NDArray[Any], at: Index, time_us: Index, signal: Signals, enough: NDArray[Any]) -> None:
    """Add what a bad signal shows."""
    peak = rows["peak"][at]
    rows["peak"][at] = np.where(enough["least"], np.minimum(peak, signal.measure), np.maximum(peak, signal.measure))
    rows["total"][at] += signal.amount
    rows["evidence"][at] += 1
    rows["proof"][at] += signal.weight
    rows["level"][at] = np.maximum(rows["level"][at], signal.level)
    rows["last_us"][at] = np.where(signal.until_us != ABSENT, signal.until_us, time_us)


def _recover(rows: NDArray[Any], at: Index, time_us: Index, signal: Signals, *, before: NDArray[np.uint8], enough: NDArray[Any]) -> Mask:
    """Date the end by the first good or doubtful signal, `before` being the states until then. Gives the incidents that recover."""
    then = rows["state"][at]
    good: Mask = (then == STATE.RECOVERING) & (signal.value < VALUE.NEUTRAL)
    first = good & (before == STATE.OPEN)
    over_us, last_us = rows["over_us"][at], rows["last_us"][at]
    doubtful = enough["ends_at_doubt"] & (before == STATE.OPEN) & (over_us >= last_us)
    doubts = enough["ends_at_doubt"] & (then == STATE.OPEN) & (signal.value == VALUE.NEUTRAL) & ~doubtful
    ends_us = np.where(signal.since_us != ABSENT, np.maximum(signal.since_us, last_us), np.where(doubtful, over_us, time_us))
    dated = first | doubts
    rows["over_us"][at[dated]] = ends_us[dated]
    rows["recovery"][at[first]] = 0
    rows["recovery"][at[good]] += signal.weight[good]
    return good


def _is_enough(rows: NDArray[Any], wait_s: NDArray[np.float64], enough: NDArray[Any]) -> Mask:
    lasted_s = (rows["last_us"] - rows["start_us"]) / 1e6
    patient = (rows["proof"] >= enough["fixes"]) & (lasted_s >= np.where(np.isnan(wait_s), enough["seconds"], wait_s))
    plain: Mask = patient | (rows["proof"] >= enough["or_fixes"]) & (rows["total"] >= enough["or_total"])
    return plain


def _escalate(rows: NDArray[Any], at: Index, enough: NDArray[Any]) -> None:
    long = (rows["last_us"][at] - rows["start_us"][at]) / 1e6 > enough["major_s"]
    rows["level"][at[long]] = LEVEL.MAJOR


def _in_word(rows: NDArray[Any]) -> Mask:
    """Whether it is a bit of the alarm word; each alarm of an item is one of its own, however soon the next."""
    in_word: Mask = (rows["kind"] == KIND.TERMINAL_ALARM) & (rows["subject"] < WORD_BITS)
    return in_word


def _flickers(rows: NDArray[Any]) -> Mask:
    """Whether it is over because its bit was not set, and may go on."""
    flickers: Mask = _in_word(rows) & (rows["state"] == STATE.COOLING) & (rows["recovery"] > 0)
    return flickers


def _merges(rows: NDArray[Any]) -> Mask:
    """Whether terminal and platform may both find it."""
    merges: Mask = MERGES_KIND[rows["kind"]] | (rows["kind"] == KIND.TERMINAL_ALARM) & MERGES_ALARM[number(rows["subject"])]
    return merges


def _name(rows: NDArray[Any], at: Index, terminal_id: Index, owner: Index) -> None:
    """Give incidents that open their ids, and find the ones that the other side opened before."""
    rows["id"][at] = event_ids(terminal_id, rows["kind"][at], rows["subject"][at], rows["start_us"][at])
    merge = at[_merges(pick(rows, at))]
    merge = merge[among(owner[merge], owner[rows["kind"] == KIND.TERMINAL_ALARM])]  # of any two that merge, one is the terminal's
    for this in merge.tolist():
        first, last = np.searchsorted(owner, [owner[this], owner[this] + 1])
        others = rows[first:last]
        terminals, means = others["kind"] == KIND.TERMINAL_ALARM, MEANS[number(others["subject"])]
        mine = rows[this]
        if mine["kind"] == KIND.TERMINAL_ALARM:
            meant = int(MEANS[number(mine["subject"])])
            match = ~terminals & np.isin(others["kind"], SAME.get(meant, ()))
            if meant in CROSSING:
                ends = (others["state"] == STATE.RECOVERING) | (others["state"] == STATE.COOLING)
                match &= _near(others["start_us"], mine) | ends & _near(others["over_us"], mine)
            match |= terminals & (others["subject"] == meant) & (mine["subject"] != meant)
        else:
            match = terminals & np.isin(means, _BITS[Kind(mine["kind"])]) & (others["opened_us"] < mine["opened_us"])
            match &= ~np.isin(means, CROSSING) | _near(others["start_us"], mine)
        closed = others["state"] == STATE.COOLING
        near = (others["over_us"] >= mine["start_us"] - MERGE_US) & (mine["opened_us"] - others["over_us"] <= COOL_US)
        match &= (others["id"] != 0) & (~closed | near)
        if match.any():
            first_found = others[match][np.argmin(others["opened_us"][match])]
            rows["same_as"][this] = first_found["id"] if first_found["same_as"] == ABSENT else first_found["same_as"]


def _near(time_us: Index, incident: Any) -> Mask:  # noqa: ANN401 - an element of a structured array
    """Which times are close to the begin of an incident."""
    near: Mask = np.abs(time_us - incident["start_us"]) <= MERGE_US
    return near


def _moments(track: TrackBatch, signals: Signals, version: int) -> list[_Told]:
    """Incidents that are over when they are found; an alarm is raised and cleared, which are two words."""
    rows = np.zeros(len(signals), INCIDENT)
    row = signals.row
    for name in ("kind", "subject", "level"):
        rows[name] = getattr(signals, name)
    for name in ("vehicle_id", "digest", "lat", "lon"):
        rows[name] = getattr(track, name)[row]
    rows["start_us"], rows["last_us"], rows["opened_us"] = signals.since_us, signals.until_us, track.time_us[row]
    rows["peak"], rows["total"], rows["evidence"] = signals.measure, signals.amount, signals.weight
    rows["same_as"], rows["version"] = ABSENT, version
    rows["retrospective"] = track.heard_us[row] - track.time_us[row] > LIVE_US
    rows["id"] = event_ids(track.terminal_id[row], rows["kind"], rows["subject"], rows["start_us"])
    closed = _Told(row, _events(rows, track.terminal_id[row], PHASE.CLOSED, signals.until_us, ENDED.RETURNED))
    alarms = np.flatnonzero(rows["kind"] == KIND.TERMINAL_ALARM)
    return [_Told(row[alarms], _events(pick(rows, alarms), track.terminal_id[row[alarms]], PHASE.OPENED)), closed]


def _events(rows: NDArray[Any], terminal_id: Index, phase: Phase, end_us: Index | int = ABSENT, ended: Ended = Ended.OPEN) -> EventBatch:
    count = len(rows)
    same = {name: rows[name].copy() for name in EventBatch.columns() if name in (INCIDENT.names or ())}
    return EventBatch(
        **same,
        phase=np.full(count, phase, np.uint8),
        ended=np.full(count, ended, np.uint8),
        terminal_id=terminal_id,
        end_us=np.broadcast_to(np.asarray(end_us, np.int64), (count,)),
    )


def _surviving(track: TrackBatch, owner: Index, rows: NDArray[Any]) -> Incidents:
    """What is worth remembering."""
    latest = np.zeros(int(max(owner.max(initial=-1), track.owner.max(initial=-1))) + 1, np.int64)
    latest[track.owner] = track.time_us  # ascending in time, so the last one stays
    cold = (rows["state"] == STATE.COOLING) & (latest[owner] - rows["over_us"] > COOL_US)
    return Incidents(owner, rows).take((rows["state"] != STATE.QUIET) & ~cold)
