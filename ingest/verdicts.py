"""What a frame is worth, as columns: its verdict before its fixes are stored, and what of it goes to quarantine.

Its last verdict, after the commit, is `reading.Read.weigh`'s.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.conversation import CONTROL, Spoken
from ingest.desk import KEPT, MEDIA_DATA, RESEND_REQUEST
from protocols.jt808.fixes import CARRIERS
from protocols.jt808.frames import FrameBatch
from tracks.fix import ABSENT, SOURCES
from tracks.reject import RejectBatch
from tracks.spans import Index, Spans
from tracks.verdict import Reject, Verdict

VERDICT_OF_ID: Final = np.full(0x10000, Verdict.UNSUPPORTED, np.uint8)
"""What a good frame of a believed terminal gets, by message id, unless its content says otherwise."""
VERDICT_OF_ID[[*CARRIERS, *CONTROL, *KEPT, MEDIA_DATA, RESEND_REQUEST, 0x0002]] = Verdict.COMMITTED
VERDICT_OF_ID[0x0001] = Verdict.SILENT  # an answer takes no answer

IS_CARRIER: Final = np.zeros(0x10000, np.bool_)
IS_CARRIER[list(CARRIERS)] = True
IS_CONTROL: Final = np.zeros(0x10000, np.bool_)
IS_CONTROL[list(CONTROL)] = True

NO_SERIAL: Final = (Reject.CHECKSUM, Reject.TRUNCATED, Reject.BAD_ESCAPE, Reject.OVERSIZE)
"""Faults after which a frame's own header cannot be trusted: no answer."""


def judge(frames: FrameBatch, terminal: Index, spoken: Spoken) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Verdict and reason of each frame, before its content is looked at and stored."""
    verdict = VERDICT_OF_ID[frames.message_id]
    reason = frames.reject.copy()
    stranger = (reason == Reject.NONE) & (terminal == ABSENT) & ~IS_CONTROL[frames.message_id]
    verdict[stranger] = Verdict.FAILED  # result 1 makes a terminal log in (quirk C6)
    reason[stranger] = Reject.NOT_AUTHENTICATED
    verdict[(frames.total > 1) & (reason == Reject.NONE)] = Verdict.UNSUPPORTED
    unsupported = (verdict == Verdict.UNSUPPORTED) & (reason == Reject.NONE)
    reason[unsupported] = Reject.UNSUPPORTED
    verdict[frames.reject != Reject.NONE] = Verdict.REJECTED
    verdict[np.isin(frames.reject, NO_SERIAL)] = Verdict.SILENT
    for row, better in spoken.verdict.items():
        verdict[row] = better
    return verdict, reason


def refused(frames: FrameBatch, reason: NDArray[np.uint8], received_us: Index) -> RejectBatch:
    """The frames that are not kept as fixes, whole, for the quarantine.

    Truncated neighbours of one packet are one row: noise full of flags would otherwise become a row for every other byte.
    """
    rows = np.flatnonzero(reason != Reject.NONE)
    start, stop, chunk = frames.raw.start[rows], frames.raw.stop[rows], frames.chunk[rows]
    noise = reason[rows] == Reject.TRUNCATED
    opens = np.ones(len(rows), np.bool_)
    opens[1:] = ~(noise[1:] & noise[:-1] & (chunk[1:] == chunk[:-1]) & (start[1:] == stop[:-1] + 1))
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(rows))[: len(first)] - 1
    raw = Spans(frames.raw.buffer, start[first], stop[last])
    rows = rows[first]
    return RejectBatch(
        frame=rows.astype(np.int32),
        received_us=received_us[rows],
        terminal_id=np.full(len(rows), ABSENT, np.int64),
        message_id=frames.message_id[rows].astype(np.int32),
        reason=reason[rows],
        source=np.full(len(rows), SOURCES.index("jt808"), np.uint8),
        origin=Spans.blank(len(rows)),
        raw=raw,
    )
