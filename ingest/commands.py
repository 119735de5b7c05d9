"""`Dispatcher`: sends the commands that are waiting in the database to the terminals that are here.

It looks when a command is inserted (NOTIFY), when a terminal speaks for the first time in a session, when one has answered, and when
one has timed out. What it finds it builds in the terminal's own edition, numbers from the session's counter, claims, and writes.
Commands longer than a frame go out in packages; those of the last few are kept for terminals that ask for some again (0x0005).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog

from ingest.links import NOBODY, Link, LinkTable, SessionTable
from protocols.errors import ProtocolError
from protocols.jt808 import messages
from protocols.jt808.frames import FrameBatch
from protocols.jt808.header import EDITIONS, V2011, V2013
from protocols.jt808.packages import PACKAGE_BODY_BYTES, Sent, packages
from storage.commands import CommandStore, Waiting
from storage.errors import StoreUnavailable
from tracks.spans import Index
from tracks.terminal import name_of
from tracks.verdict import Reject

log: Final = structlog.get_logger("dubhe.command")

RETRY_S: Final = 1.0
SWEEP_S: Final = 1.0
NEVER: Final = -1


class Dispatcher:
    """One for a worker; `run`, `listen` and `sweep` are its tasks."""

    def __init__(self, store: CommandStore, links: LinkTable, sessions: SessionTable) -> None:
        self.store = store
        self.links = links
        self.sessions = sessions
        self._edition = np.zeros(0, np.uint8)
        """Form of the header that each session slot speaks."""
        self._login = np.zeros(0, np.int64)
        """The login in which it was heard, per session slot; another one is another terminal, or a new session."""
        self._wanted: set[int] = set()
        self._some = asyncio.Event()
        self._sent = Sent()

    def look(self, terminals: Iterable[int]) -> None:
        """See soon what is waiting for those of these terminals that are here."""
        self._wanted |= self.sessions.of_terminal.keys() & set(terminals)
        if self._wanted:
            self._some.set()

    def notice(self, frames: FrameBatch, session: Index) -> set[int]:
        """Note in which form each session speaks; returns the terminals heard for the first time in theirs."""
        size = len(self.sessions.login)
        if len(self._login) < size:
            self._edition = np.concatenate((self._edition, np.zeros(size - len(self._edition), np.uint8)))
            self._login = np.concatenate((self._login, np.full(size - len(self._login), NEVER, np.int64)))
        rows = np.flatnonzero((session != NOBODY) & (frames.reject == Reject.NONE))
        slot = session[rows]
        self._edition[slot] = frames.edition[rows]
        new = slot[self._login[slot] != self.sessions.login[slot]]
        self._login[new] = self.sessions.login[new]
        return set(self.sessions.terminal_id[new].tolist())

    def say(self, terminal_id: int, message_id: int, fields: Mapping[str, Any]) -> None:
        """Say something that is no command and wants no answer, to a terminal that is here."""
        slot = self._speaks_jt808(terminal_id)
        if slot != NOBODY and (link := self._link(slot)) is not None:
            header = int(self._edition[slot])
            name = name_of(int(self.sessions.key_high[slot]), int(self.sessions.key_low[slot]))
            link.write(b"".join(self._frames(slot, name, message_id, messages.build(message_id, header, fields))[1]))

    def resend(self, terminal_id: int, first_serial: int, indexes: Sequence[int]) -> None:
        """Send packages of a command again, byte for byte as before; nothing of one that is not remembered."""
        link = self._link(self.sessions.of_terminal.get(terminal_id, NOBODY))
        if link is not None and (again := self._sent.again(terminal_id, first_serial, indexes)):
            link.write(b"".join(again))

    async def run(self) -> None:
        """Send, for ever."""
        while True:
            await self._some.wait()
            self._some.clear()
            wanted, self._wanted = self._wanted, set()
            try:
                await self._send(wanted)
            except StoreUnavailable as error:
                log.warning("commands wait: the database is away", why=str(error))
                await asyncio.sleep(RETRY_S)
                self.look(wanted)

    async def listen(self) -> None:
        """Hear of new commands, for ever; after each connect see what was missed."""
        async for terminal in self.store.notices():
            self.look(list(self.sessions.of_terminal) if terminal is None else [terminal])

    async def sweep(self) -> None:
        """End what has waited too long, whoever has sent it, for ever; that makes room for what waits behind it."""
        while True:
            await asyncio.sleep(SWEEP_S)
            with contextlib.suppress(StoreUnavailable):  # the next second tries again
                self.look(await self.store.sweep())

    async def _send(self, terminals: set[int]) -> None:
        here = {terminal: slot for terminal in terminals if (slot := self._speaks_jt808(terminal)) != NOBODY}
        if not here:
            return
        chosen: dict[int, tuple[int, int, list[bytes]]] = {}
        logins = {slot: int(self.sessions.login[slot]) for slot in here.values()}
        for waiting in await self.store.waiting(here):
            slot = here[waiting.terminal_id]
            try:
                serial, wire = self._wire(waiting, slot)
            except (ProtocolError, ValueError) as error:
                await self.store.fail(waiting.id, f"it cannot be built: {error}")
                continue
            chosen[waiting.id] = slot, serial, wire
        if not chosen:
            return
        ours = await self.store.claim([(number, logins[slot], serial) for number, (slot, serial, _) in chosen.items()])
        for number in sorted(ours):
            slot, serial, wire = chosen[number]
            link = self._link(slot)
            if link is None or self.sessions.login[slot] != logins[slot]:
                continue  # it has gone within these milliseconds: the command times out, and is never sent twice
            self._sent.keep(int(self.sessions.terminal_id[slot]), serial, wire, time.monotonic())
            link.write(b"".join(wire))
            log.info("command sent", command=number, peer=link.peer, serial=serial)

    def _speaks_jt808(self, terminal: int) -> int:
        """The session slot of a terminal that has spoken JT/T 808 in this session."""
        slot = self.sessions.of_terminal.get(terminal, NOBODY)
        heard = slot != NOBODY and slot < len(self._login) and self._login[slot] == self.sessions.login[slot]
        return slot if heard else NOBODY

    def _link(self, slot: int) -> Link | None:
        at = int(self.sessions.link[slot]) if slot != NOBODY else NOBODY
        return self.links.links[at] if at != NOBODY else None

    def _wire(self, waiting: Waiting, slot: int) -> tuple[int, list[bytes]]:
        """The serial of its first frame, and the frames. A header of 2013 may carry bodies of 2011: the registration says so."""
        header = int(self._edition[slot])
        edition = V2011 if header == V2013 and waiting.edition == EDITIONS[V2011] else header
        return self._frames(slot, waiting.terminal, waiting.message_id, messages.build(waiting.message_id, edition, waiting.fields))

    def _frames(self, slot: int, terminal: str, message_id: int, body: bytes) -> tuple[int, list[bytes]]:
        """The serial of the first frame, and the frames, in the form of header that the session speaks."""
        count = max(1, -(-len(body) // PACKAGE_BODY_BYTES))
        first = int(self.sessions.next_serials(np.full(count, slot, np.int64))[0])
        return first, packages(message_id, terminal, first, body, int(self._edition[slot]))
