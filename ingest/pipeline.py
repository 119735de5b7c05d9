"""The life of a batch, from packets to answers, on one page: `Reader.read` (reading.py), `Pipeline.commit`, `answer`.

Nothing is answered before its transaction has committed. Batches are committed in the order in which they were read. While one is being
committed the next fills, and the answers of the one before are written; once it is half full it is read and judged meanwhile, so that
neither the database nor the gateway waits for the other when there is most to do.
While the database is away nothing is read and nothing is answered, and the same batch is tried again until it is kept;
a repeat of what was kept after all is found by the store and answered like the first.
An exception that is our own fault costs one packet, not the batch: the batch is halved until the packet stands alone in quarantine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, ParamSpec, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from geofence.quality import faults
from ingest import receipts
from ingest.aio import LIST_MAX, Aio
from ingest.conversation import Spoken
from ingest.gather import Gather, Gathered, now_us
from ingest.reading import Read, Reader
from ingest.rules import Judged, Rules
from storage.errors import StoreUnavailable
from storage.writer import CommitReport, TrackWriter
from tracks.fix import ABSENT, SOURCES, FixBatch
from tracks.reject import RejectBatch
from tracks.spans import Spans
from tracks.verdict import Reject

log: Final = structlog.get_logger("dubhe.pipeline")

RETRY_PAUSE_S_MIN: Final = 0.1
RETRY_PAUSE_S_MAX: Final = 5.0
"""Pauses between two tries while the database is away, doubling. Unmeasured; short enough that nobody waits for the gateway."""

DATABASE_AWAY: Final = "database away"
"""The gather's hold while nothing can be committed."""

LINKS_PER_TURN: Final = 512
"""Links answered before the loop looks at its sockets again: about 3 ms (2-core VM, 2026-11)."""
assert LINKS_PER_TURN <= LIST_MAX, "they are answered by one system call"

Given = ParamSpec("Given")
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
    """Time by stage: welcome, split, converse, decode, judge, turn (waiting for the batch before), commit, answer."""


@dataclass(slots=True)
class Pipeline:
    """Takes batches from the gather and settles them in order; one half full is read and judged while the one before is committed."""

    gather: Gather
    reader: Reader
    writer: TrackWriter
    rules: Rules
    report: Callable[[BatchReport], None]
    aio: Aio | None = None
    """Writes answers to many links together, where the system can."""
    committed: list[Callable[[int], None]] = field(default_factory=list)
    """Told the number of each batch that is kept, in order: doors that acknowledge do so then."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from the start of a commit to its end, in the order of reading."""
    _judging: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a batch is judged, in the same order; who holds both takes the turn first."""
    _settling: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Settle until cancelled; `Worker.drain` cancels once the backlog is empty."""
        while True:
            gathered = await self.gather.take()
            self.reader.links.hear(gathered.ticket, gathered.packets.length, gathered.received_us)
            read = judged = None
            try:
                read = await self._patiently(self.reader.read, gathered)
                async with self._judging:
                    judged = await self._patiently(self.rules.judge, read.fixes)
                read.watch.lap("judge")
            except Exception:  # noqa: BLE001, S110 - our own fault; `settle` corners it
                pass
            await self._turn.acquire()
            self.gather.let_fill()
            task = asyncio.create_task(self.settle(gathered, read, judged))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
            await asyncio.sleep(0)  # so that its commit begins before the next is read

    async def settle(self, gathered: Gathered, read: Read | None, judged: Judged | None) -> None:
        """Commit in turn, then answer; the next batch's commit starts before this one's answers take their time."""
        try:
            committed = await self._kept(gathered, read, judged)
            if read is not None and committed is not None:
                await asyncio.sleep(0)
                await self.answer(read, committed)
        except Exception:
            log.exception("answers failed; the terminals will send again", batch=gathered.number)
        finally:
            self.gather.settled(gathered)

    async def _kept(self, gathered: Gathered, read: Read | None, judged: Judged | None) -> CommitReport | None:
        """Commit a batch, or corner what breaks us in it (then it is answered already); acknowledged at the doors when it is kept."""
        try:
            committed = None
            try:
                if read is not None:
                    read.watch.lap("turn")
                    if not self.rules.stands(judged):
                        async with self._alone():
                            judged = await self._patiently(self.rules.judge, read.fixes)
                    committed = await self.commit(read, judged)
            except Exception:  # noqa: BLE001, S110 - our own fault; cornering logs it with the packet
                pass
            if committed is None:
                async with self._alone():
                    await self._corner(gathered)
            for acknowledge in self.committed:
                acknowledge(gathered.number)
            return committed
        finally:
            self._turn.release()
            self.gather.serve()

    async def commit(self, read: Read, judged: Judged | None) -> CommitReport:
        """One transaction; what the rules find in the fixes is stored with them."""
        fixes = judged.fixes if judged else replace(read.fixes, quality=faults(read.fixes))
        committed = await self._patiently(self.writer.commit, fixes, read.rejects, judged.told if judged else None)
        self.rules.settle(judged)
        if not committed.told:
            log.error("the database refused events; the fixes are stored without", fixes=len(read.fixes))
        read.watch.lap("commit")
        return committed

    async def answer(self, read: Read, committed: CommitReport) -> None:
        """Verdicts to answers, a few hundred links at a time so that reading and the next commit go on meanwhile."""
        frames, gathered = read.frames, read.gathered
        links, sessions, desk = self.reader.links, self.reader.sessions, self.reader.desk
        self.reader.parts.settled(read.wholes)
        read.weigh(committed.verdict)
        ticket = gathered.ticket[frames.chunk]
        session = sessions.find(links.slots(ticket), frames.phone_high, frames.phone_low)
        come = desk.notice(frames, session)
        answers = receipts.compose(
            frames, ticket=ticket, session=session, verdict=read.verdict, spoken=read.spoken.answer, sessions=sessions
        )
        for first in range(0, len(answers), LINKS_PER_TURN):
            if first:
                await asyncio.sleep(0)
            answers.write(links, self.aio, first, first + LINKS_PER_TURN)
        desk.settled(read.heard, come)
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

    @asynccontextmanager
    async def still(self) -> AsyncGenerator[None, None]:
        """For a moment nothing is committed and nothing judged; one batch may be judged already."""
        async with self._turn, self._judging:
            yield

    @asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None, None]:
        """In one's turn: what is judged and not committed counts no more, and nobody else judges."""
        self.rules.undo()  # first, since the batch that is being judged may wait for what is under way
        async with self._judging:
            self.rules.undo()
            yield

    async def _patiently(self, step: Callable[Given, Awaitable[Got]], *given: Given.args, **named: Given.kwargs) -> Got:
        """Take a step; while the database is away take it again and again, and let nothing more be read meanwhile."""
        pause_s = RETRY_PAUSE_S_MIN
        while True:
            try:
                got = await step(*given, **named)
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
                read = await self._patiently(self.reader.read, part)
                judged = await self._patiently(self.rules.judge, read.fixes)
                await self.answer(read, await self.commit(read, judged))
            except Exception:
                self.rules.undo()
                if len(part) > 1:
                    await self._corner(part)
                    continue
                log.exception("a packet broke the pipeline; it is in quarantine", packet=part.packets.buffer.tobytes().hex())
                await self._patiently(self._quarantine, part)

    async def _quarantine(self, gathered: Gathered) -> CommitReport:
        return await self.writer.commit(FixBatch.empty(), _cornered(gathered))

    def _see_off(self, spoken: Spoken) -> None:
        for terminal_id, login in spoken.leaving:
            if (link := self.reader.sessions.supersede(terminal_id, login + 1)) is not None:
                link.close("log out")


def _cornered(gathered: Gathered) -> RejectBatch:
    """The one packet that breaks us, as a quarantine row; or what one sender told."""
    if gathered.told:
        return gathered.told.cornered(now_us())
    none = np.full(1, ABSENT, np.int64)
    return RejectBatch(
        frame=np.zeros(1, np.int32),
        received_us=gathered.received_us,
        terminal_id=none,
        message_id=none.astype(np.int32),
        reason=np.full(1, Reject.UNSTORABLE, np.uint8),
        source=np.full(1, SOURCES.index("jt808"), np.uint8),
        origin=Spans.blank(1),
        raw=gathered.packets,
    )
