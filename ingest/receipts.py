"""Verdicts become answers: one 0x8001 per answered frame, one write per link.

`REPLY_RESULT` in tracks is the only table from verdict to wire; a verdict that is not in it is answered by silence.
Messages with an answer of their own (0x8100, 0x8004) put it in `spoken` instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.links import NOBODY, LinkTable, SessionTable
from protocols.jt808.frames import FrameBatch
from protocols.jt808.replies import general_responses
from tracks.spans import Index, Spans
from tracks.verdict import REPLY_RESULT, Verdict

SILENCE: Final = -1
RESULT: Final = np.array([REPLY_RESULT.get(verdict, SILENCE) for verdict in Verdict], np.int16)


def send(
    frames: FrameBatch,
    *,
    link: Index,
    session: Index,
    verdict: NDArray[np.uint8],
    spoken: Mapping[int, bytes],
    links: LinkTable,
    sessions: SessionTable,
) -> Index:
    """Answer `frames` in order, one write per link; returns the rows answered.

    `link` and `session` are slots per frame as they are now, after the commit: who has gone meanwhile is not answered.
    """
    result = RESULT[verdict]
    general = (result != SILENCE) & (link != NOBODY)
    special = np.array([row for row in spoken if link[row] != NOBODY], np.int64)
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
        wire = Spans.concat([wire, Spans.of([spoken[int(row)] for row in special])])
    order = np.lexsort((rows, link[rows]))
    _write(links, link[rows[order]], wire.take(order).packed())
    return rows


def _write(links: LinkTable, link: Index, wire: Spans) -> None:
    """Write what belongs to one link, `link` being sorted and `wire` packed in its order, with one call."""
    if not len(link):
        return
    first = np.flatnonzero(np.concatenate(([True], link[1:] != link[:-1])))
    last = np.append(first[1:], len(link)) - 1
    text = wire.buffer.tobytes()
    at = links.links
    for slot, start, stop in zip(link[first].tolist(), wire.start[first].tolist(), wire.stop[last].tolist(), strict=True):
        if (to := at[slot]) is not None:
            to.write(text[start:stop])
