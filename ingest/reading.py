"""From the packets of a batch to its fixes, verdicts and rejects: `Reader.read`, the first third of a batch's life.

It asks the registry who speaks, and changes nothing that a second reading of the same batch would not change again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from ingest.conversation import Conversation, Spoken
from ingest.desk import Desk, Heard
from ingest.gather import Gathered
from ingest.links import NOBODY, SLOT_MASK, LinkTable, SessionTable
from ingest.parts import Key, Parts
from ingest.told import Told, resolved
from ingest.verdicts import IS_CARRIER, IS_CONTROL, NO_SERIAL, judge, refused
from protocols.jt808.fixes import fixes
from protocols.jt808.frames import FrameBatch, split
from tracks.fix import ABSENT, FixBatch
from tracks.reject import RejectBatch
from tracks.spans import Index, Spans
from tracks.verdict import Reject, Verdict
from tracks.week import DAY_US

log: Final = structlog.get_logger("dubhe.pipeline")

FUTURE_US_MAX: Final = 7 * DAY_US
"""How far a terminal's clock may run ahead before its time is not believed; the days up to there are made ahead."""


class Stopwatch:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Note the time since the last lap under `stage`."""
        now = time.perf_counter()
        self.laps[stage] = now - self._last
        self._last = now


@dataclass(frozen=True, slots=True)
class Read:
    """A batch that is read and judged, and waits for its commit."""

    gathered: Gathered
    frames: FrameBatch
    verdict: NDArray[np.uint8]
    fixes: FixBatch
    """Those of `frames` first, then what other doors told."""
    rejects: RejectBatch
    framed: int
    """How many of `fixes` came in frames."""
    hollow: Index
    """Frames of which a part was refused."""
    spoken: Spoken
    heard: Heard
    wholes: list[Key]
    """Messages in packages that are whole with this batch."""
    watch: Stopwatch

    def weigh(self, stored: NDArray[np.uint8]) -> None:
        """Give every frame its last verdict, from those of its fixes: it is as good as its worst fix; one without any is refused.

        A report inside a 0x0704 that was put in quarantine counts as kept, else one bad fix would be sent again for ever.
        """
        carrier = self.fixes.frame[: self.framed]
        np.maximum.at(self.verdict, carrier, stored[: self.framed])
        if len(self.hollow):
            kept = np.zeros(len(self.frames), np.bool_)
            kept[carrier] = True
            self.verdict[self.hollow[~kept[self.hollow]]] = Verdict.REJECTED


@dataclass(slots=True)
class Reader:
    """Reads the batches of one worker."""

    links: LinkTable
    sessions: SessionTable
    conversation: Conversation
    desk: Desk
    parts: Parts
    broken_frames_max: int = 1_000
    """Broken frames in one batch before their connection is closed."""

    async def read(self, gathered: Gathered) -> Read:
        """Welcome who speaks at other doors, then split, converse, decode."""
        watch = Stopwatch()
        told_fixes, told_rejects = await self._welcome(gathered.told)
        watch.lap("welcome")

        frames = split(gathered.packets.buffer, gathered.packets.stop)
        link = self.links.slots(gathered.ticket)[frames.chunk]
        received_us = gathered.received_us[frames.chunk]
        session = self.sessions.find(link, frames.phone_high, frames.phone_low)
        terminal, vehicle = self._terminal(session), self._vehicle(session)
        good = frames.reject == Reject.NONE
        watch.lap("split")

        self._close_noisy(frames, link)
        control = np.flatnonzero(good & IS_CONTROL[frames.message_id] & (frames.total <= 1))
        spoken = await self.conversation.hold(frames, link, session, control, int(received_us[-1]) if len(frames) else 0)
        if spoken.opened:  # slots may be others' by now; who was believed when it spoke stays believed
            link = self.links.slots(gathered.ticket)[frames.chunk]
            session = self.sessions.find(link, frames.phone_high, frames.phone_low)
            new = terminal == ABSENT
            terminal = np.where(new, self._terminal(session), terminal)
            vehicle = np.where(new, self._vehicle(session), vehicle)
        watch.lap("converse")

        joined = self.parts.join(frames, terminal)
        frames, row = joined.frames, joined.row
        link, received_us, terminal, vehicle = link[row], received_us[row], terminal[row], vehicle[row]
        verdict, reason = judge(frames, terminal, spoken)
        joined.judge(verdict, reason)
        heard = await self.desk.hear(frames, terminal, verdict, reason, received_us)
        located = np.flatnonzero(IS_CARRIER[frames.message_id] & (verdict == Verdict.COMMITTED) & (frames.total <= 1))
        found, broken = fixes(frames, located, received_us)
        found = _not_ahead(found)
        source = self.links.source[gathered.ticket & SLOT_MASK][frames.chunk]
        found = replace(found, terminal_id=terminal[found.frame], vehicle_id=vehicle[found.frame], source=source[found.frame])
        unkept = refused(frames, reason, received_us)
        rejects = RejectBatch.concat([unkept, broken]) if len(broken) else unkept
        if len(rejects):
            origin = self._origins(link[rejects.frame])
            rejects = replace(rejects, terminal_id=terminal[rejects.frame], source=source[rejects.frame], origin=origin)
        every_fix, every_reject = FixBatch.concat([found, *told_fixes]), RejectBatch.concat([rejects, *told_rejects])
        watch.lap("decode")
        hollow = broken.frame.astype(np.int64)
        return Read(gathered, frames, verdict, every_fix, every_reject, len(found), hollow, spoken, heard, joined.wholes, watch)

    async def _welcome(self, told: Told | None) -> tuple[list[FixBatch], list[RejectBatch]]:
        """What other doors have read, under the ids of those who said it; no batches where nothing was."""
        if not told:
            return [], []
        found, refused = told.batches(*resolved(await self.conversation.welcome(told.senders)))
        return [found], [refused]

    def _origins(self, link: Index) -> Spans:
        """The address, or topic, of each link slot; empty where it has closed."""
        at = self.links.links
        peers = (each.peer if slot != NOBODY and (each := at[slot]) else "" for slot in link.tolist())
        return Spans.of([peer.encode() for peer in peers])

    def _close_noisy(self, frames: FrameBatch, link: Index) -> None:
        """Close the connections that send nothing but broken frames."""
        broken = link[np.isin(frames.reject, NO_SERIAL) & (link != NOBODY)]
        if len(broken) <= self.broken_frames_max:
            return
        count = np.bincount(broken)
        for slot in np.flatnonzero(count > self.broken_frames_max):
            if (at := self.links.links[slot]) is not None:
                log.warning("connection closed", peer=at.peer, reason="broken frames", count=int(count[slot]))
                at.close("broken frames")

    def _terminal(self, session: Index) -> Index:
        """The terminal of each session slot; ABSENT where there is none."""
        return _at(self.sessions.terminal_id, session)

    def _vehicle(self, session: Index) -> Index:
        return _at(self.sessions.vehicle_id, session)


def _at(column: Index, slot: Index) -> Index:
    return np.where(slot != NOBODY, column[slot], ABSENT) if len(column) else np.full(len(slot), ABSENT, np.int64)


def _not_ahead(found: FixBatch) -> FixBatch:
    """A fix from the future takes the time of receipt, as one without a date does: no terminal's clock makes days without end.

    Old dates are taken as they are, for traces are replayed; what is older than the kept days goes with the next maintenance.
    """
    ahead = found.time_us > found.received_us + FUTURE_US_MAX
    if not ahead.any():
        return found
    return replace(found, time_us=np.where(ahead, found.received_us, found.time_us), dated=found.dated & ~ahead)
