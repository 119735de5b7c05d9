"""Verdicts become answers: one 0x8001 per answered frame, one write per link.

`REPLY_RESULT` in tracks is the only table from verdict to wire; a verdict that is not in it is answered by silence.
Messages with an answer of their own (0x8100, 0x8004) put it in `spoken` instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.aio import Aio
from ingest.links import NOBODY, LinkTable, SessionTable
from protocols.jt808.frames import FrameBatch
from protocols.jt808.replies import general_responses
from tracks.spans import Index, Spans
from tracks.verdict import REPLY_RESULT, Verdict

MANY: Final = 16
"""Answers to so many links are written by one call."""
SILENCE: Final = -1
RESULT: Final = np.array([REPLY_RESULT.get(verdict, SILENCE) for verdict in Verdict], np.int16)


@dataclass(frozen=True, slots=True)
class Receipts:
    """Answers ready to be written: one stretch of `text` per link."""

    rows: Index
    """The frames answered."""
    ticket: Index
    start: Index
    stop: Index
    text: bytes

    def __len__(self) -> int:
        return len(self.ticket)

    def write(self, links: LinkTable, aio: Aio | None, first: int, last: int) -> None:
        """Write to the links `first`..`last`, those that are still there: together, and then each for itself what is left."""
        chosen = slice(first, last)
        slot, start, stop = links.slots(self.ticket[chosen]), self.start[chosen], self.stop[chosen]
        if aio is not None and len(slot) >= MANY:
            descriptor = np.where(slot == NOBODY, NOBODY, links.descriptor[slot])
            together = np.flatnonzero(descriptor != NOBODY)
            taken = aio.write(descriptor[together], start[together], stop[together], self.text)
            start = start.copy()
            start[together] += np.maximum(taken, 0)
        left = np.flatnonzero((slot != NOBODY) & (start < stop))
        for at, begin, end in zip(slot[left].tolist(), start[left].tolist(), stop[left].tolist(), strict=True):
            if (link := links.links[at]) is not None:
                link.write(self.text[begin:end])


def compose(
    frames: FrameBatch,
    *,
    ticket: Index,
    session: Index,
    verdict: NDArray[np.uint8],
    spoken: Mapping[int, bytes],
    sessions: SessionTable,
) -> Receipts:
    """The answers to `frames` in order, link by link. `ticket` and `session` are each frame's link and who is logged in on it now."""
    result = RESULT[verdict]
    general = result != SILENCE
    special = np.fromiter(spoken, np.int64, len(spoken))
    general[special] = False
    rows = np.flatnonzero(general)
    wire = general_responses(
        edition=frames.edition[rows],
        phone_high=frames.phone_high[rows],
        phone_low=frames.phone_low[rows],
        serial=sessions.next_serials(session[rows]),
        reply_serial=frames.serial[rows],
        reply_id=frames.message_id[rows],
        result=result[rows].astype(np.uint8),
        protocol_version=frames.protocol_version[rows],
    )
    if len(special):
        rows = np.concatenate((rows, special))
        wire = Spans.concat([wire, Spans.of(list(spoken.values()))])
    order = np.lexsort((rows, ticket[rows]))
    rows, wire = rows[order], wire.take(order).packed()
    to = ticket[rows]
    first = np.flatnonzero(np.concatenate(([True], to[1:] != to[:-1]))) if len(to) else to
    last = np.append(first[1:], len(to))[: len(first)] - 1
    return Receipts(rows, to[first], wire.start[first], wire.stop[last], wire.buffer.tobytes())
