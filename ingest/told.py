"""`Told`: what was read row by row at a door of its own, beside the packets of JT/T 808: NMEA sentences and JSON.

A door reads as bytes arrive, because what it reads leaves traces (an epoch waits for its next sentence); a batch can then be
settled again without anything being read twice. Rows name their *sender* by its place in `senders`; who that is in the
registry is asked when the batch is settled, once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from protocols.rows import Rows
from tracks.fix import ABSENT, FixBatch
from tracks.reject import RejectBatch
from tracks.spans import Index, Spans
from tracks.verdict import Reject

SOURCES_TOLD: Final = ("nmea", "mqtt")
"""Doors whose input is read row by row."""


class Sender(NamedTuple):
    """Who says something, and where it came from."""

    ticket: int
    """Of the link it came over, which may have closed since."""
    name: str
    """The terminal's canonical name; empty when it has not said one."""
    origin: str
    """A topic or an address, for the quarantine."""


@dataclass(slots=True)
class Told:
    """Rows and their senders, in order of arrival."""

    senders: list[Sender] = field(default_factory=list)
    rows: dict[str, Rows] = field(default_factory=lambda: {source: Rows(source) for source in SOURCES_TOLD})

    def __len__(self) -> int:
        return len(self.senders)

    def sender(self, ticket: int, name: str, origin: str) -> int:
        """A sender's number, which its rows carry as their frame. A sender without rows asks to be logged in."""
        self.senders.append(Sender(ticket, name, origin))
        return len(self.senders) - 1

    def halves(self) -> tuple[Told, Told]:
        """The same as two; senders keep their numbers."""
        middle, count = len(self) // 2, len(self)
        return self._between(0, middle), self._between(middle, count)

    def _between(self, start: int, stop: int) -> Told:
        nobody = Sender(-1, "", "")
        senders = [nobody] * start + self.senders[start:stop]
        return Told(senders, {source: rows.between(start, stop) for source, rows in self.rows.items()})

    def batches(self, terminal: Index, vehicle: Index) -> tuple[FixBatch, RejectBatch]:
        """Fixes and rejects, with the registry's ids of their senders; fixes of a sender that is not known are rejects."""
        fixes = FixBatch.concat([rows.fixes() for rows in self.rows.values()])
        rejects = RejectBatch.concat([rows.rejects() for rows in self.rows.values()])
        stranger = terminal[fixes.frame] == ABSENT
        if stranger.any():
            rejects = RejectBatch.concat([rejects, _refused(fixes.take(stranger))])
            fixes = fixes.take(~stranger)
        origin = Spans.of([self.senders[frame].origin.encode() for frame in rejects.frame.tolist()])
        return (
            replace(fixes, terminal_id=terminal[fixes.frame], vehicle_id=vehicle[fixes.frame]),
            replace(rejects, terminal_id=terminal[rejects.frame], origin=origin),
        )

    def cornered(self, now_us: int) -> RejectBatch:
        """Everything as bytes for the quarantine, when nothing else can be done with it."""
        rows = Rows("mqtt")
        for source in self.rows.values():
            for raw in source.evidence():
                rows.reject(Reject.UNSTORABLE, raw, frame=0, received_us=now_us)
        return rows.rejects()


def _refused(fixes: FixBatch) -> RejectBatch:
    """The evidence of fixes whose terminal the registry does not know."""
    return RejectBatch(
        frame=fixes.frame,
        received_us=fixes.received_us,
        terminal_id=np.full(len(fixes), ABSENT, np.int64),
        message_id=np.full(len(fixes), ABSENT, np.int32),
        reason=np.full(len(fixes), Reject.UNKNOWN_TERMINAL, np.uint8),
        source=fixes.source,
        origin=Spans.blank(len(fixes)),
        raw=fixes.raw,
    )


def resolved(known: Sequence[tuple[int, int]]) -> tuple[Index, Index]:
    """(terminal, vehicle) pairs as two columns."""
    pairs = np.array(known, np.int64).reshape(len(known), 2)
    return pairs[:, 0], pairs[:, 1]
