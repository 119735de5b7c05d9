"""`Parts`: messages that come in packages. Each package is answered; the whole goes through the batch like any other message.

The package that makes a message whole is followed by a row with all of the body, and that row is answered in its place, so what is
answered last is in the table. A crash forgets what was begun; the packages that come then find the others missing, and those are asked
for. A whole is remembered until its batch is settled: a batch that is read again finds it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from ingest.commands import Dispatcher
from protocols.jt808.frames import FrameBatch
from protocols.jt808.reassembly import SERIALS, Limits, Lost, Outcome, Reassembly, Whole
from storage.errors import StoreUnavailable
from storage.said import SaidStore
from tracks.fix import ABSENT
from tracks.spans import Index, Spans
from tracks.verdict import Reject, Verdict

log: Final = structlog.get_logger("dubhe.parts")

Key = tuple[int, int, int, int]
"""Terminal, message id, packages, serial of the first."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of a batch's packages."""

    frames: FrameBatch
    """The batch, and behind it one row for each message that is whole."""
    row: Index
    """Where each row of `frames` came from."""
    outcome: dict[int, tuple[Verdict, Reject]] = field(default_factory=dict)
    """Of rows that are packages."""
    wholes: list[Key] = field(default_factory=list)

    def judge(self, verdict: NDArray[np.uint8], reason: NDArray[np.uint8]) -> None:
        """Write the verdicts and reasons of packages into the batch's."""
        for row, (better, why) in self.outcome.items():
            verdict[row], reason[row] = better, why


class Parts:
    """One for a worker; `run` is its task."""

    def __init__(self, limits: Limits, dispatcher: Dispatcher, store: SaidStore, every_s: float = 1.0) -> None:
        self.reassembly = Reassembly(limits)
        self.dispatcher = dispatcher
        self.store = store
        self.every_s = every_s
        self._unsettled: dict[Key, Whole] = {}
        self._lost: list[Lost] = []

    def join(self, frames: FrameBatch, terminal: Index) -> Joined:
        """Put packages to the others of their message; `terminal` is who sent each frame, ABSENT for who is not logged in."""
        every = np.arange(len(frames))
        rows = np.flatnonzero((frames.total > 1) & (frames.reject == Reject.NONE) & (terminal != ABSENT))
        if not len(rows):
            return Joined(frames, every)
        outcome: dict[int, tuple[Verdict, Reject]] = {}
        wholes: list[tuple[int, Whole]] = []
        now_s = time.monotonic()
        for row in rows.tolist():
            added = self.reassembly.add(
                int(terminal[row]),
                edition=int(frames.edition[row]),
                message_id=int(frames.message_id[row]),
                serial=int(frames.serial[row]),
                total=int(frames.total[row]),
                index=int(frames.index[row]),
                body=frames.body.bytes_at(row),
                now_s=now_s,
            )
            whole = added.whole or (self._unsettled.get(_key(frames, terminal, row)) if added.outcome is Outcome.REPEATED else None)
            if added.outcome is Outcome.REFUSED:
                outcome[row] = Verdict.REJECTED, added.reason
            elif whole is None:
                outcome[row] = Verdict.COMMITTED, Reject.NONE
            else:
                outcome[row] = Verdict.SILENT, Reject.NONE  # the row of the whole is answered instead
                wholes.append((row, whole))
        if not wholes:
            return Joined(frames, every, outcome)
        origin = np.array([row for row, _ in wholes], np.int64)
        body = Spans.of([whole.body for _, whole in wholes])
        none = np.zeros(len(origin), np.uint16)
        behind = replace(frames.take(origin), total=none, index=none, body=body, raw=body)
        keys = [(int(terminal[row]), whole.message_id, whole.packages, whole.first_serial) for row, whole in wholes]
        self._unsettled.update(zip(keys, (whole for _, whole in wholes), strict=True))
        return Joined(FrameBatch.concat([frames, behind]), np.concatenate((every, origin)), outcome, keys)

    def settled(self, keys: Collection[Key]) -> None:
        """The batch with these wholes is answered."""
        for key in keys:
            self._unsettled.pop(key, None)

    async def run(self) -> None:
        """Ask for what is missing and put aside what is given up, for ever."""
        while True:
            await asyncio.sleep(self.every_s)
            due = self.reassembly.due(time.monotonic())
            for request in due.requests:
                self.dispatcher.say(int(str(request.terminal)), *request.message)
            self._lost += due.lost
            if self._lost:
                await self._bury()

    async def _bury(self) -> None:
        """What came of messages that are given up is evidence."""
        try:
            await self.store.bury([(int(str(each.terminal)), each.message_id, _bytes_of(each)) for each in self._lost])
        except StoreUnavailable:
            return  # the next look tries again; `Reassembly` bounds what is lost at once
        for each in self._lost:
            log.warning("message given up", terminal_id=each.terminal, message_id=hex(each.message_id), why=each.why.name.lower())
        self._lost.clear()


def _key(frames: FrameBatch, terminal: Index, row: int) -> Key:
    first = (int(frames.serial[row]) - int(frames.index[row]) + 1) % SERIALS
    return int(terminal[row]), int(frames.message_id[row]), int(frames.total[row]), first


def _bytes_of(lost: Lost) -> bytes:
    return b"".join(lost.parts[index] for index in sorted(lost.parts))
