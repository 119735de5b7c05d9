"""What happens to a vehicle: kinds of incident, the signals that a rule gives about one fix, the events that are told and stored.

A *signal* is what one rule says of one fix and one subject (a fence, a corridor, a stop): it holds, it is over, or neither.
An *incident* is what enough signals amount to; it opens once and closes once. An *event* is a row that tells its state.
All events of one incident carry the same id, made of terminal, kind, subject and start, so that telling it again adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracks.batch import Batch, column
from tracks.code import plain
from tracks.fix import ABSENT
from tracks.spans import Index


class Kind(IntEnum):
    """What an incident is about; 1 to 4 are about fences. Numbers are kept in stored state: add, never renumber."""

    INSIDE = 1
    OUTSIDE = 2
    DWELT = 3
    OVERSPEED_INSIDE = 4
    DEVIATION = 5
    DETOUR = 6
    WRONG_DIRECTION = 7
    SHORTCUT = 8
    STOP_VISIT = 9
    OVERSPEED = 10
    FATIGUE = 11
    DAY_DRIVING = 12
    NIGHT_COACH = 13
    PARKED = 14
    OFFLINE = 15
    TERMINAL_ALARM = 16
    NON_COMPLIANT_RUNNING = 17


KIND: Final = plain(Kind)


class About(NamedTuple):
    """How people read the incidents of one kind."""

    opened: str
    closed: str
    subject: str
    peak: str
    total: str


KINDS: Final[Mapping[Kind, About]] = {
    Kind.INSIDE: About("entered", "left", "fence", "", ""),
    Kind.OUTSIDE: About("strayed", "returned", "fence", "m outside", "m driven outside"),
    Kind.DWELT: About("dwelt", "dwelt_over", "fence", "", ""),
    Kind.OVERSPEED_INSIDE: About("overspeed_inside", "overspeed_inside_over", "fence", "km/h", "m driven too fast"),
    Kind.DEVIATION: About("strayed", "returned", "corridor", "m from the corridor", "m driven off it"),
    Kind.DETOUR: About("detour", "detour_over", "corridor", "m from the corridor", "m driven off it"),
    Kind.WRONG_DIRECTION: About("wrong_direction", "wrong_direction_over", "corridor", "", "m driven backwards"),
    Kind.SHORTCUT: About("shortcut", "shortcut", "corridor", "m left out", ""),
    Kind.STOP_VISIT: About("arrived", "departed", "stop", "m at the nearest", "s standing"),
    Kind.OVERSPEED: About("overspeed", "overspeed_over", "", "km/h", "m driven too fast"),
    Kind.FATIGUE: About("fatigue", "fatigue_over", "", "s driven without rest", ""),
    Kind.DAY_DRIVING: About("day_driving", "day_driving_over", "", "s driven in 24 h", ""),
    Kind.NIGHT_COACH: About("night_coach", "night_coach_over", "", "km/h", "m driven"),
    Kind.PARKED: About("parked", "parked_over", "", "s standing", ""),
    Kind.OFFLINE: About("offline", "offline_over", "", "s silent", ""),
    Kind.TERMINAL_ALARM: About("alarm_raised", "alarm_cleared", "alarm", "", ""),
    Kind.NON_COMPLIANT_RUNNING: About("non_compliant_running", "non_compliant_running_over", "", "km/h", "m driven"),
}
"""Words and units. The events that open and close an incident are counted and filtered under these words."""


class Value(IntEnum):
    """What a signal says."""

    END = -2
    """The rule no longer applies (fence removed, trip over): close at once."""
    GOOD = -1
    NEUTRAL = 0
    """Evidence for neither: between the two thresholds, or a position that proves nothing."""
    BAD = 1
    HOLD = 2
    """Bad for an incident that has begun; it begins none."""
    MOMENT = 3
    """A whole incident by itself, over when it is found: `since_us` to `until_us`."""
    PASSED = 4
    """It held on the way to the fix, from `since_us` to `until_us`: BAD, before what else is said of the fix."""


VALUE: Final = plain(Value)


class Level(IntEnum):
    """Severity."""

    INFO = 0
    NOTICE = 1
    WARNING = 2
    MAJOR = 3


LEVEL: Final = plain(Level)


class Phase(IntEnum):
    """What an event tells of its incident."""

    OPENED = 1
    UPDATED = 2
    CLOSED = 3


PHASE: Final = plain(Phase)


class Ended(IntEnum):
    """Why an incident closed."""

    OPEN = 0
    RETURNED = 1
    GAP = 2
    """Nothing good was heard for too long: what happened after the last good fix is unknown."""
    RULE = 3
    """The rule ended first: its fence, corridor or time is over."""


ENDED: Final = plain(Ended)


@dataclass(frozen=True, slots=True)
class Signals(Batch):
    """One row per fix, kind and subject; at most one for each such three, and one PASSED. `row` is the row of the track batch."""

    row: Index = column("int64", "", "row of the track batch")
    kind: NDArray[np.uint8] = column("uint8", "", "Kind")
    subject: Index = column("int64", "", "fence, corridor, stop, alarm; 0 where there is none")
    value: NDArray[np.int8] = column("int8", "", "Value")
    weight: NDArray[np.uint8] = column("uint8", "", "how many fixes' worth of evidence it is; more for what noise cannot explain")
    measure: NDArray[np.float64] = column("float64", "as KINDS says", "how bad, for the peak")
    amount: NDArray[np.float64] = column("float64", "as KINDS says", "how much since the fix before, for the total")
    level: NDArray[np.uint8] = column("uint8", "", "Level")
    wait_s: NDArray[np.float64] = column("float64", "s", "how long it must last; NaN for the kind's own time")
    since_us: Index = column("int64", "µs since 1970 UTC", "when what it says began, if not at the fix; else ABSENT")
    until_us: Index = column("int64", "µs since 1970 UTC", "until when it held, if not at the fix; else ABSENT")

    @classmethod
    def of(cls, row: Index, kind: Any, subject: Any, value: Any, **others: Any) -> Signals:  # noqa: ANN401 - scalars or columns
        """Signals from scalars and columns; what is not given is weight 1, no measure, no amount, level INFO, the kind's own time."""
        if len(row) == 0:
            return NO_SIGNALS
        given = _UNSAID | {"kind": kind, "subject": subject, "value": value} | others
        count = len(row)
        made: dict[str, Any] = {"row": row}
        for name, about in cls.columns().items():
            if name != "row":
                value = np.asarray(given[name], about.dtype)
                made[name] = value if value.ndim else np.full(count, value)
        return cls(**made)


_UNSAID: Final[dict[str, Any]] = {
    "weight": 1, "measure": 0.0, "amount": 0.0, "level": Level.INFO, "wait_s": np.nan, "since_us": ABSENT, "until_us": ABSENT
}  # fmt: skip

NO_SIGNALS: Final = Signals.empty()


def together(parts: Iterable[Signals]) -> Signals:
    """All signals of all parts, in order; most parts are empty most of the time."""
    some = [part for part in parts if len(part)]
    return Signals.concat(some) if some else NO_SIGNALS


@dataclass(frozen=True, slots=True)
class EventBatch(Batch):
    """One row per thing told; rows of one incident follow one another in time, and the last is the truth about it."""

    id: Index = column("int64", "", "the incident: the same for ever and wherever it is found")
    kind: NDArray[np.uint8] = column("uint8", "", "Kind")
    phase: NDArray[np.uint8] = column("uint8", "", "Phase")
    ended: NDArray[np.uint8] = column("uint8", "", "Ended")
    level: NDArray[np.uint8] = column("uint8", "", "Level, the worst so far")
    terminal_id: Index = column("int64", "", "the registry's key of the terminal")
    vehicle_id: Index = column("int64", "", "the registry's key of the vehicle at the start, or absent")
    subject: Index = column("int64", "", "fence, corridor, stop, alarm; 0 where there is none")
    start_us: Index = column("int64", "µs since 1970 UTC", "when it began")
    end_us: Index = column("int64", "µs since 1970 UTC", "when it was over, or absent while it lasts")
    opened_us: Index = column("int64", "µs since 1970 UTC", "time of the fix that made it certain")
    last_us: Index = column("int64", "µs since 1970 UTC", "time of the last fix that showed it")
    lat: NDArray[np.float64] = column("float64", "degrees WGS-84", "where it began")
    lon: NDArray[np.float64] = column("float64", "degrees WGS-84", "where it began")
    peak: NDArray[np.float64] = column("float64", "as KINDS says", "the worst measure")
    total: NDArray[np.float64] = column("float64", "as KINDS says", "the sum of amounts")
    evidence: NDArray[np.int32] = column("int32", "", "fixes that showed it; they lie between start and last")
    digest: Index = column("int64", "", "digest of the fix it began with: with terminal and time, its key")
    retrospective: NDArray[np.bool_] = column("bool", "", "found only in late data: never a live alarm")
    same_as: Index = column("int64", "", "id of the incident that terminal or platform had found first, or absent")
    version: Index = column("int64", "", "version of the rules it was opened under")

    def words(self) -> list[str]:
        """The word of each opening and closing, for counters; updates have none and are left out."""
        return [
            KINDS[Kind(kind)].opened if phase == Phase.OPENED else KINDS[Kind(kind)].closed
            for kind, phase in zip(self.kind.tolist(), self.phase.tolist(), strict=True)
            if phase != Phase.UPDATED
        ]

    def latest(self) -> Index:
        """Rows to store: the last of each incident."""
        _, first_from_behind = np.unique(self.id[::-1], return_index=True)
        return np.sort(len(self) - 1 - first_from_behind)


def event_ids(terminal_id: Index, kind: Any, subject: Index, start_us: Index) -> Index:  # noqa: ANN401 - a Kind or a column of them
    """The id of the incident of that kind, about that subject, that began for the terminal at that time; positive."""
    mixed = _mix(terminal_id.astype(np.uint64))
    kinds = np.broadcast_to(np.asarray(kind, np.uint64), terminal_id.shape)
    for part in (kinds, subject.astype(np.uint64), start_us.astype(np.uint64)):
        mixed = _mix(mixed ^ _mix(part + np.uint64(0x9E3779B97F4A7C15)))
    return (mixed >> np.uint64(1)).astype(np.int64)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finisher of splitmix64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
