"""`Epochs`: the sentences of one terminal, line by line, gathered into one fix per epoch.

A module sends a burst of sentences per solution. An epoch holds together by the time of day that RMC, GGA, GNS, GLL and ZDA carry;
the others belong to the burst that is open. A burst is taken to begin with a sentence that carries a time, as ordinary modules do.

**When an epoch closes:**

1. *A sentence of the next time arrives*: another time of day, or a timed sentence of which the epoch has one already, which also covers
   modules whose clock stands still or that send no time at all. Times less than half the usual step apart, at most half a second, are
   one epoch as long as no sentence repeats: some modules stamp RMC a little later than GGA.
2. *The sentence arrives with which epochs end.* When two epochs in a row have ended with the same sentence, the next that reaches it
   closes at once. A GSV counts when it is the last of its series, a GSA by its place among the GSAs.
   When RMC, GGA, GNS, GLL, VTG or GSA of an epoch come after it has closed so, the lesson is forgotten and takes four times as long.
3. *`flush`*: nothing more has come for `IDLE_US`. This bounds the wait of the first two epochs and of terminals that report seldom, and
   teaches the order as well.

So an ordinary module's fix waits for the silence after its burst twice, and from then on for nothing.
What is decided depends on the sentences alone (and on `flush`), never on how the bytes were cut.

Sentences that come between epochs (the end of a burst that began before the link did, a ZDA once every ten bursts) are put at the head of
the next. Nothing is dropped: every sentence ends up in the `raw` of a fix or in a reject.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from protocols.errors import ProtocolError
from protocols.nmea import shortmessages
from protocols.nmea.dates import DAY_US, Calendar
from protocols.nmea.fixes import Part, solve, write
from protocols.nmea.readings import Reading, read
from protocols.nmea.sentences import Sentence, parse
from protocols.rows import Rows
from tracks.verdict import Reject

IDLE_US: Final = 500_000
"""Silence after which an epoch is complete. At 9600 baud a burst of eight sentences takes 0.6 s, without such gaps in it. Unmeasured."""

STEP_US_MAX: Final = 1_000_000
"""Half of it is the most by which times within an epoch may differ."""

EPOCH_SENTENCES_MAX: Final = 64
"""Four systems in full view on two signals make about 40."""

AGREED: Final = 2
"""Epochs in a row that must have ended alike before the end is believed the first time."""

ESSENTIAL: Final = frozenset(("RMC", "GGA", "GNS", "GLL", "VTG", "GSA"))
"""Kinds that a fix is the poorer without."""

Mark = tuple[str, str | int]


@dataclass(slots=True)
class Epoch:
    """The burst that is open, or that has just closed."""

    parts: list[Part]
    head: frozenset[str]
    """Addresses of the parts that came before the burst's first timed sentence."""
    time_of_day: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    """Sentences by address, the head left out."""
    last: Mark | None = None
    """Which sentence came last; None for one that cannot be an end."""


class Epochs:
    """One terminal's sentences. Fixes and rejects are put into the `Rows` that each call is given."""

    __slots__ = ("_agreed", "_antenna", "_before", "_calendar", "_closed", "_end", "_epoch", "_head", "_heard_us", "_needed", "_step_us")

    def __init__(self) -> None:
        self._calendar = Calendar()
        self._antenna: str | None = None
        self._epoch: Epoch | None = None
        self._closed: Epoch | None = None
        """The epoch before, when it closed without its successor having come."""
        self._head: list[Part] = []
        self._heard_us = 0
        self._before: int | None = None
        self._step_us = STEP_US_MAX
        self._end: Mark | None = None
        self._agreed = 0
        self._needed = AGREED

    @property
    def oldest(self) -> int | None:
        """The smallest ticket of a sentence that is in no row yet; what carries smaller ones is settled once the rows are committed."""
        parts = self._head if self._epoch is None else self._epoch.parts
        return min((part.ticket for part in parts), default=None)

    def feed(self, line: bytes, rows: Rows, *, frame: int, received_us: int, ticket: int = 0) -> None:
        """Take one line. `frame` is the lineage of the rows that come of this call, `ticket` the caller's number for `oldest`."""
        try:
            sentence = parse(line)
            if shortmessages.is_short_message(sentence):
                self._short_message(sentence, rows, frame, received_us)
                return
            part = Part(sentence, read(sentence), ticket)
        except ProtocolError as error:
            rows.reject(error.reason, line, frame=frame, received_us=received_us)
            return
        self._take(part, rows, frame, received_us)

    def flush(self, rows: Rows, *, frame: int, now_us: int, idle_us: int = IDLE_US) -> None:
        """Close the epoch if nothing has come for `idle_us`."""
        if self._epoch is not None and now_us - self._heard_us >= idle_us:
            self._learn(self._epoch)
            self._closed = self._close(self._epoch, rows, frame)

    def finish(self, rows: Rows, *, frame: int) -> None:
        """The link, payload or file has ended: whatever is left becomes rows."""
        if self._epoch is not None:
            self._close(self._epoch, rows, frame)
        self._put_away(self._head, rows, frame)
        self._head = []
        self._closed = None

    def _take(self, part: Part, rows: Rows, frame: int, received_us: int) -> None:
        self._antenna = part.reading.antenna or self._antenna
        if self._epoch is not None and self._begins_another(self._epoch, part):
            self._learn(self._epoch)
            self._close(self._epoch, rows, frame)
        if self._epoch is None and self._closed is not None and self._is_late(self._closed, part):
            self._forget()
            part = Part(part.sentence, Reading(), part.ticket)
        if self._epoch is None and not self._opens(part):
            self._stash(part, rows, frame, received_us)
            return
        self._heard_us = received_us
        epoch = self._epoch or self._open(part)
        _add(epoch, part)
        if len(epoch.parts) >= EPOCH_SENTENCES_MAX or (self._agreed >= self._needed and epoch.last == self._end):
            self._closed = self._close(epoch, rows, frame)

    def _begins_another(self, epoch: Epoch, part: Part) -> bool:
        """The sentence belongs to a later burst than `epoch`."""
        if not part.reading.timed:
            return False
        if part.sentence.address in epoch.counts:
            return True
        if part.reading.time_of_day is None or epoch.time_of_day is None:
            return False
        apart = abs(part.reading.time_of_day - epoch.time_of_day)
        return 2 * min(apart, DAY_US - apart) >= self._step_us

    def _is_late(self, closed: Epoch, part: Part) -> bool:
        """The sentence belongs to an epoch that has closed, which is the poorer without it."""
        if part.sentence.kind not in ESSENTIAL:
            return False
        if part.reading.timed:
            return not self._begins_another(closed, part)
        return part.sentence.address not in closed.head

    def _opens(self, part: Part) -> bool:
        """The sentence begins a burst."""
        return part.reading.timed and not (self._closed is not None and not self._begins_another(self._closed, part))

    def _open(self, part: Part) -> Epoch:
        time, self._before = self._before, part.reading.time_of_day
        if time is not None and self._before is not None and self._before > time:
            self._step_us = min(self._before - time, STEP_US_MAX)
        self._epoch = Epoch(self._head, frozenset(each.sentence.address for each in self._head))
        self._head, self._closed = [], None
        return self._epoch

    def _close(self, epoch: Epoch, rows: Rows, frame: int) -> Epoch:
        self._epoch = None
        solution = solve(epoch.parts, self._calendar, self._heard_us, self._antenna)
        if solution is None:
            self._put_away(epoch.parts, rows, frame)
        else:
            write(solution, rows, raw=_raw(epoch.parts), frame=frame, received_us=self._heard_us)
        return epoch

    def _stash(self, part: Part, rows: Rows, frame: int, received_us: int) -> None:
        """Keep a sentence for the head of the next epoch."""
        self._heard_us = received_us
        self._head.append(part)
        if len(self._head) >= EPOCH_SENTENCES_MAX:
            self._put_away(self._head, rows, frame)
            self._head = []

    def _put_away(self, parts: Sequence[Part], rows: Rows, frame: int) -> None:
        """Sentences without a position among them are kept as they came."""
        if parts:
            rows.reject(Reject.UNSUPPORTED, _raw(parts), frame=frame, received_us=self._heard_us)

    def _short_message(self, sentence: Sentence, rows: Rows, frame: int, received_us: int) -> None:
        """A position of the unit itself is a fix of its own; what else a short-message unit says is kept as it came."""
        reading = shortmessages.own_position(sentence)
        if reading is None:
            rows.reject(Reject.UNSUPPORTED, sentence.raw, frame=frame, received_us=received_us)
            return
        solution = solve([Part(sentence, reading)], self._calendar, received_us, self._antenna)
        assert solution is not None
        write(solution, rows, raw=sentence.raw, frame=frame, received_us=received_us)

    def _learn(self, epoch: Epoch) -> None:
        """The epoch has ended, as its successor or a silence proved."""
        self._agreed = self._agreed + 1 if epoch.last == self._end else 1
        self._end = epoch.last
        if self._end is None:
            self._agreed = 0

    def _forget(self) -> None:
        """The end that was learnt was none."""
        self._end, self._agreed = None, 0
        self._needed *= 4


def _add(epoch: Epoch, part: Part) -> None:
    epoch.parts.append(part)
    if epoch.time_of_day is None:
        epoch.time_of_day = part.reading.time_of_day
    address = part.sentence.address
    epoch.counts[address] += 1
    number, total = part.reading.part
    if number != total:
        epoch.last = None
    else:
        epoch.last = (address, part.reading.signal_id if part.sentence.kind == "GSV" else epoch.counts[address])


def _raw(parts: Sequence[Part]) -> bytes:
    return b"\r\n".join(part.sentence.raw for part in parts)
