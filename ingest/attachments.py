"""`AttachmentDoor`: where terminals upload the evidence of active-safety alarms (T/JSATL 12), on a port of its own.

Only what was asked for is taken: the announcement (0x1210) must name a terminal of the registry and the alarm number of a 0x9208 that
was sent to it within a day. Its files come in pieces between frames; pieces are put at their offsets in a nameless file on disk, and at
0x1212 either all of it is there, and is kept before it is answered, or the answer lists what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import structlog

from protocols.errors import ProtocolError
from protocols.jt808 import messages
from protocols.jt808.attachments import Attachments, Piece
from protocols.jt808.frames import Frame, frame_of
from storage.errors import StoreError
from storage.media import Attachment, MediaStore
from tracks.terminal import canonical
from tracks.verdict import Reject

log: Final = structlog.get_logger("dubhe.attachments")

ANNOUNCED, FILE, FINISHED, FINISHED_RESPONSE, GENERAL_RESPONSE = 0x1210, 0x1211, 0x1212, 0x9212, 0x8001
OK, FAILED, BAD, UNSUPPORTED = range(4)
"""Results of 0x8001."""
DONE, RESEND = 0, 1
"""Results of 0x9212."""
VISITS_MAX: Final = 256
"""Connections at once, per worker; more are closed at once."""
READ_BYTES: Final = 65_536
VISIT_BYTES_MAX: Final = 1 << 30
"""Of all files that one announcement names."""
INTERVALS_MAX: Final = 1_024
"""Separate stretches of one file that are here; a piece that would make one more is taken for lost."""
MISSING_MAX: Final = 100
"""Gaps named in one answer; it must fit into a frame."""


@dataclass(slots=True)
class _File:
    """A file on its way."""

    size: int
    kind: int
    body: IO[bytes]
    have: list[tuple[int, int]] = field(default_factory=list)
    """What is here, as sorted intervals that do not touch."""

    def put(self, offset: int, data: bytes) -> None:
        """Take a piece; what would lie outside the file is left out."""
        data = data[: max(0, self.size - offset)]
        if not data or len(self.have) >= INTERVALS_MAX:
            return
        self.body.seek(offset)
        self.body.write(data)
        joined: list[tuple[int, int]] = []
        for start, stop in sorted((*self.have, (offset, offset + len(data)))):
            if joined and start <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(stop, joined[-1][1])
            else:
                joined.append((start, stop))
        self.have = joined

    def missing(self) -> list[tuple[int, int]]:
        """(offset, length) of what is not here."""
        ends = [0, *(stop for _, stop in self.have)]
        starts = [*(start for start, _ in self.have), self.size]
        return [(end, start - end) for end, start in zip(ends, starts, strict=True) if start > end]

    def whole(self) -> bytes:
        """All of it."""
        self.body.seek(0)
        return self.body.read()


@dataclass(slots=True)
class _Visit:
    """One connection: at most one alarm's announcement at a time."""

    store: MediaStore
    folder: Path
    bytes_max: int
    ordered: tuple[int, int] | None = None
    alarm_number: str = ""
    announced: dict[str, int] = field(default_factory=dict)
    files: dict[str, _File] = field(default_factory=dict)
    serial: int = 0

    async def hear(self, frame: Frame) -> bytes:
        """The answer to a frame."""
        if frame.reject is not Reject.NONE:
            return b""
        try:
            fields = messages.parse(frame.message_id, frame.edition, frame.body)
        except ProtocolError:
            return self._general(frame, BAD)
        match frame.message_id:
            case 0x1210:
                return self._general(frame, await self._announced(canonical(frame.phone), fields))
            case 0x1211:
                return self._general(frame, self._begin(fields))
            case 0x1212:
                return await self._finished(frame, fields)
            case _:
                return self._general(frame, UNSUPPORTED)

    def take(self, piece: Piece) -> None:
        """Put a piece where it belongs; one of a file that was not announced is nobody's."""
        if (file := self.files.get(piece.name)) is not None:
            file.put(piece.offset, piece.data)

    def close(self) -> None:
        """Forget what is not whole."""
        for file in self.files.values():
            file.body.close()
        self.files.clear()

    async def _announced(self, terminal: str, fields: dict[str, Any]) -> int:
        self.close()
        self.alarm_number = fields["alarm_number"]
        self.ordered = await self.store.ordered(terminal, self.alarm_number)
        self.announced = {each["name"]: each["bytes"] for each in fields["files"]}
        if self.ordered is None:
            log.warning("attachments that nobody asked for", terminal=terminal, alarm_number=self.alarm_number)
        sizes = self.announced.values()
        return OK if self.ordered and max(sizes, default=0) <= self.bytes_max and sum(sizes) <= VISIT_BYTES_MAX else FAILED

    def _begin(self, fields: dict[str, Any]) -> int:
        name, size = fields["name"], fields["bytes"]
        if self.ordered is None or name not in self.announced or size > self.bytes_max:
            return FAILED
        if name not in self.files:
            self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            body = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - closed with the visit
            self.files[name] = _File(size, int(fields["type"]), body)
        return OK

    async def _finished(self, frame: Frame, fields: dict[str, Any]) -> bytes:
        """Keep a file that is whole; ask for the rest of one that is not."""
        file = self.files.get(fields["name"])
        if file is None or self.ordered is None:
            return self._general(frame, FAILED)
        missing = file.missing()
        if not missing:
            terminal_id, command_id = self.ordered
            data = await asyncio.to_thread(file.whole)
            await self.store.attach(Attachment(terminal_id, command_id, self.alarm_number, fields["name"], file.kind, data))
            file.body.close()
            del self.files[fields["name"]]
        gaps = [{"offset": offset, "length": length} for offset, length in missing[:MISSING_MAX]]
        answer = {"name": fields["name"], "type": fields["type"], "result": RESEND if missing else DONE, "missing": gaps}
        return self._say(frame, FINISHED_RESPONSE, answer)

    def _general(self, frame: Frame, result: int) -> bytes:
        return self._say(frame, GENERAL_RESPONSE, {"reply_serial": frame.serial, "reply_id": frame.message_id, "result": result})

    def _say(self, frame: Frame, message_id: int, fields: dict[str, Any]) -> bytes:
        serial, self.serial = self.serial, (self.serial + 1) & 0xFFFF
        return messages.encode(message_id, frame.phone, serial, messages.build(message_id, frame.edition, fields), frame.edition)


@dataclass(slots=True)
class AttachmentDoor:
    """One for a worker; `visit` serves a connection."""

    store: MediaStore
    folder: Path
    bytes_max: int
    idle_timeout_s: float
    _visits: set[asyncio.Task[Any]] = field(default_factory=set)

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection to its end."""
        task = asyncio.current_task()
        assert task is not None, "a server runs this in a task"
        self._visits.add(task)
        visit = _Visit(self.store, self.folder, self.bytes_max)
        peer = writer.get_extra_info("peername")
        try:
            if len(self._visits) <= VISITS_MAX:
                await self._serve(visit, reader, writer)
        except (ProtocolError, StoreError, OSError, TimeoutError) as error:
            log.warning("attachment connection closed", peer=peer, why=str(error) or type(error).__name__)
        except asyncio.CancelledError:
            log.info("attachment connection closed", peer=peer, why="drain")
        finally:
            visit.close()
            self._visits.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def close(self) -> None:
        """End what is going on; terminals upload again what was not answered."""
        visits = list(self._visits)
        for task in visits:
            task.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    async def _serve(self, visit: _Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = Attachments()
        while data := await asyncio.wait_for(reader.read(READ_BYTES), self.idle_timeout_s):
            for found in stream.feed(data):
                if isinstance(found, Piece):
                    visit.take(found)
                else:
                    writer.write(await visit.hear(frame_of(found.strip(b"\x7e"))))
            await writer.drain()
