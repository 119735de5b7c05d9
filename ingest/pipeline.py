"""The life of a batch, from packets to answers, on one page: `Pipeline.read`, `commit`, `answer`.

Nothing is answered before its transaction has committed. Batches are committed in the order in which they were read; while one is being
committed the next is read already, and its commit starts before the first one's answers are written, so that the database never waits
for the gateway nor the gateway for it.
While the database is away nothing is read and nothing is answered, and the same batch is tried again until it is kept;
a repeat of what was kept after all is found by the store and answered like the first.
An exception that is our own fault costs one packet, not the batch: the batch is halved until the packet stands alone in quarantine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from ingest import receipts
from ingest.conversation import CONTROL, Conversation, Spoken
from ingest.desk import KEPT, MEDIA_DATA, RESEND_REQUEST, Desk, Heard
from ingest.gather import Gather, Gathered
from ingest.links import NOBODY, SLOT_MASK, LinkTable, SessionTable
from ingest.parts import Key, Parts
from ingest.rules import Rules
from ingest.told import Told, resolved
from protocols.jt808.fixes import CARRIERS, fixes
from protocols.jt808.frames import FrameBatch, split
from storage.errors import StoreUnavailable
from storage.writer import CommitReport, TrackWriter
from tracks.fix import ABSENT, SOURCES, FixBatch
from tracks.reject import RejectBatch
from tracks.spans import Index, Spans, as_bytes
from tracks.verdict import Reject, Verdict

log: Final = structlog.get_logger("dubhe.pipeline")

RETRY_PAUSE_S_MIN: Final = 0.1
RETRY_PAUSE_S_MAX: Final = 5.0
"""Pauses between two tries while the database is away, doubling. Unmeasured; short enough that nobody waits for the gateway."""

DAY_US: Final = 86_400_000_000
FUTURE_US_MAX: Final = 7 * DAY_US
"""How far a terminal's clock may run ahead before its time is not believed; the days up to there are made ahead."""

DATABASE_AWAY: Final = "database away"
"""The gather's hold while nothing can be committed."""

LINKS_PER_TURN: Final = 512
"""Links answered before the loop looks at its sockets again: about 3 ms (2-core VM, 2026-11)."""

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


Given = TypeVar("Given")
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch; the metrics are made of these."""

    packets: int
    frames: int
    answered: int
    stored: int
    duplicates: int
    rejects: NDArray[np.int64]
    """Count by `Reject`."""
    fixes: NDArray[np.int64]
    """Count by door, in the order of `SOURCES`."""
    receipt_age_s: NDArray[np.float64]
    """Seconds from the packet's arrival to its answer, per answered frame."""
    seconds: dict[str, float]
    """Time by stage: welcome, split, converse, decode, turn (waiting for the batch before), judge, commit, answer."""


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


@dataclass(slots=True)
class Pipeline:
    """Takes batches from the gather and settles them in order: while one is being committed the next is read already."""

    gather: Gather
    links: LinkTable
    sessions: SessionTable
    conversation: Conversation
    desk: Desk
    parts: Parts
    writer: TrackWriter
    rules: Rules
    report: Callable[[BatchReport], None]
    committed: list[Callable[[int], None]] = field(default_factory=list)
    """Told the number of each batch that is kept, in order: doors that acknowledge do so then."""
    broken_frames_max: int = 1_000
    """Broken frames in one batch before their connection is closed."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from the start of a commit to its end, in the order of reading."""
    _settling: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Settle until cancelled; `Worker.drain` cancels once the backlog is empty."""
        while True:
            gathered = await self.gather.take()
            self.links.hear(gathered.ticket, gathered.sizes(), gathered.received_us)
            try:
                read = await self._patiently(self.read, gathered)
            except Exception:  # noqa: BLE001 - our own fault; `settle` corners it
                read = None
            await self._turn.acquire()
            task = asyncio.create_task(self.settle(gathered, read))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def settle(self, gathered: Gathered, read: Read | None) -> None:
        """Commit in turn, then answer; the next batch's commit starts before this one's answers take their time."""
        try:
            committed = await self._kept(gathered, read)
            if read is not None and committed is not None:
                await asyncio.sleep(0)
                await self.answer(read, committed)
        except Exception:
            log.exception("answers failed; the terminals will send again", batch=gathered.number)
        finally:
            self.gather.settled(gathered)

    async def _kept(self, gathered: Gathered, read: Read | None) -> CommitReport | None:
        """Commit a batch, or corner what breaks us in it (then it is answered already); acknowledged at the doors when it is kept."""
        try:
            committed = None
            try:
                if read is not None:
                    committed = await self._patiently(self.commit, read)
            except Exception:  # noqa: BLE001, S110 - our own fault; cornering logs it with the packet
                pass
            if committed is None:
                await self._corner(gathered)
            for acknowledge in self.committed:
                acknowledge(gathered.number)
            return committed
        finally:
            self._turn.release()

    async def read(self, gathered: Gathered) -> Read:
        """Welcome who speaks at other doors, then split, converse, decode."""
        watch = Stopwatch()
        told_fixes, told_rejects = await self._welcome(gathered.told)
        watch.lap("welcome")

        frames = split(as_bytes(b"".join(gathered.packets)), np.cumsum(gathered.sizes()))
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
        verdict, reason = _judge(frames, terminal, spoken)
        joined.judge(verdict, reason)
        heard = await self.desk.hear(frames, terminal, verdict, reason, received_us)
        located = np.flatnonzero(IS_CARRIER[frames.message_id] & (verdict == Verdict.COMMITTED) & (frames.total <= 1))
        found, broken = fixes(frames, located, received_us)
        found = _not_ahead(found)
        source = self.links.source[gathered.ticket & SLOT_MASK][frames.chunk]
        found = replace(found, terminal_id=terminal[found.frame], vehicle_id=vehicle[found.frame], source=source[found.frame])
        refused = _refused(frames, reason, received_us)
        rejects = RejectBatch.concat([refused, broken]) if len(broken) else refused
        if len(rejects):
            origin = self._origins(link[rejects.frame])
            rejects = replace(rejects, terminal_id=terminal[rejects.frame], source=source[rejects.frame], origin=origin)
        every_fix, every_reject = FixBatch.concat([found, *told_fixes]), RejectBatch.concat([rejects, *told_rejects])
        watch.lap("decode")
        hollow = broken.frame.astype(np.int64)
        return Read(gathered, frames, verdict, every_fix, every_reject, len(found), hollow, spoken, heard, joined.wholes, watch)

    async def commit(self, read: Read) -> CommitReport:
        """One transaction; what the rules find in the fixes is stored with them, and becomes their state afterwards."""
        read.watch.lap("turn")
        judged = await self.rules.judge(read.fixes)
        read.watch.lap("judge")
        committed = await self.writer.commit(read.fixes, read.rejects, judged.told if judged else None)
        self.rules.adopt(judged)
        if not committed.told:
            log.error("the database refused events; the fixes are stored without", fixes=len(read.fixes))
        read.watch.lap("commit")
        return committed

    async def answer(self, read: Read, committed: CommitReport) -> None:
        """Verdicts to answers, a few hundred links at a time so that reading and the next commit go on meanwhile."""
        frames, gathered = read.frames, read.gathered
        self.parts.settled(read.wholes)
        _weigh(read, committed)
        ticket = gathered.ticket[frames.chunk]
        session = self.sessions.find(self.links.slots(ticket), frames.phone_high, frames.phone_low)
        come = self.desk.notice(frames, session)
        answers = receipts.compose(
            frames, ticket=ticket, session=session, verdict=read.verdict, spoken=read.spoken.answer, sessions=self.sessions
        )
        for first in range(0, len(answers), LINKS_PER_TURN):
            if first:
                await asyncio.sleep(0)
            answers.write(self.links, first, first + LINKS_PER_TURN)
        self.desk.settled(read.heard, come)
        self._see_off(read.spoken)
        read.watch.lap("answer")
        self.report(
            BatchReport(
                packets=len(gathered),
                frames=len(frames),
                answered=len(answers.rows),
                stored=committed.stored,
                duplicates=committed.duplicates,
                rejects=np.bincount(read.rejects.reason, minlength=len(Reject)),
                fixes=np.bincount(read.fixes.source, minlength=len(SOURCES)),
                receipt_age_s=time.time() - gathered.received_us[frames.chunk][answers.rows] / 1e6,
                seconds=read.watch.laps,
            )
        )

    async def _patiently(self, step: Callable[[Given], Awaitable[Got]], given: Given) -> Got:
        """Take a step; while the database is away take it again and again, and let nothing more be read meanwhile."""
        pause_s = RETRY_PAUSE_S_MIN
        while True:
            try:
                got = await step(given)
            except StoreUnavailable as error:
                if DATABASE_AWAY not in self.gather.holds:
                    log.error("database away: reading paused, nothing is answered until it is back", why=str(error))
                self.gather.hold(DATABASE_AWAY)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_S_MAX)
                continue
            if DATABASE_AWAY in self.gather.holds:
                self.gather.release(DATABASE_AWAY)
                log.info("database back: reading again")
            return got

    async def _corner(self, gathered: Gathered) -> None:
        """Settle a batch that breaks us by halves, until the one packet that does it stands alone; it goes to quarantine."""
        for part in gathered.halves() if len(gathered) > 1 else (gathered,):
            try:
                read = await self._patiently(self.read, part)
                await self.answer(read, await self._patiently(self.commit, read))
            except Exception:
                if len(part) > 1:
                    await self._corner(part)
                    continue
                log.exception("a packet broke the pipeline; it is in quarantine", packet=b"".join(part.packets).hex())
                await self._patiently(self._quarantine, part)

    async def _quarantine(self, gathered: Gathered) -> CommitReport:
        return await self.writer.commit(FixBatch.empty(), _cornered(gathered))

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

    def _see_off(self, spoken: Spoken) -> None:
        for terminal_id, login in spoken.leaving:
            if (link := self.sessions.supersede(terminal_id, login + 1)) is not None:
                link.close("log out")


def _at(column: Index, slot: Index) -> Index:
    return np.where(slot != NOBODY, column[slot], ABSENT) if len(column) else np.full(len(slot), ABSENT, np.int64)


def _judge(frames: FrameBatch, terminal: Index, spoken: Spoken) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
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


def _not_ahead(found: FixBatch) -> FixBatch:
    """A fix from the future takes the time of receipt, as one without a date does: no terminal's clock makes days without end.

    Old dates are taken as they are, for traces are replayed; what is older than the kept days goes with the next maintenance.
    """
    ahead = found.time_us > found.received_us + FUTURE_US_MAX
    if not ahead.any():
        return found
    return replace(found, time_us=np.where(ahead, found.received_us, found.time_us), dated=found.dated & ~ahead)


def _refused(frames: FrameBatch, reason: NDArray[np.uint8], received_us: Index) -> RejectBatch:
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


def _weigh(read: Read, committed: CommitReport) -> None:
    """A frame is as good as its worst fix; one of which nothing could be read is refused.

    A report inside a 0x0704 that was put in quarantine counts as kept, else one bad fix would be sent again for ever.
    """
    carrier = read.fixes.frame[: read.framed]
    np.maximum.at(read.verdict, carrier, committed.verdict[: read.framed])
    if len(read.hollow):
        kept = np.zeros(len(read.frames), np.bool_)
        kept[carrier] = True
        read.verdict[read.hollow[~kept[read.hollow]]] = Verdict.REJECTED


def _cornered(gathered: Gathered) -> RejectBatch:
    """The one packet that breaks us, as a quarantine row; or what one sender told."""
    if gathered.told:
        return gathered.told.cornered(time.time_ns() // 1_000)
    none = np.full(1, ABSENT, np.int64)
    return RejectBatch(
        frame=np.zeros(1, np.int32),
        received_us=gathered.received_us,
        terminal_id=none,
        message_id=none.astype(np.int32),
        reason=np.full(1, Reject.UNSTORABLE, np.uint8),
        source=np.full(1, SOURCES.index("jt808"), np.uint8),
        origin=Spans.blank(1),
        raw=Spans.of(gathered.packets),
    )


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
