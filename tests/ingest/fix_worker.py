"""A gateway worker in this process, on a real database, and a raw terminal to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import uvloop

from fix_db import rows
from ingest.settings import Settings
from ingest.worker import Worker
from protocols.jt808 import messages
from protocols.jt808.frames import Frame, frame_of
from protocols.jt808.header import V2013

PATIENCE_S = 60.0
"""Only what fails waits so long. On a machine with much else to do ten seconds were too few, once in many runs."""
SILENCE_S = 0.15
"""How long nothing must come for silence. Longer than a batch takes, by far."""


WRITERS: list[asyncio.StreamWriter] = []
"""Of every raw terminal, to be closed when the story ends."""


def play(story: Coroutine[Any, Any, None]) -> None:
    """Run one story on the loop that the gateway uses."""

    async def whole() -> None:
        try:
            await story
        finally:
            while WRITERS:
                writer = WRITERS.pop()
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())


@contextlib.asynccontextmanager
async def worker(url: str, name: str = "w1", *, singly: bool = False, **settings: Any) -> AsyncIterator[tuple[Worker, int]]:
    """A running worker and its port; drained in the end. `singly`: each connection reads and writes for itself."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = {"data_dir": folder, "tcp_listen": "127.0.0.1:0", "admission": "strict", "batch_age_ms_max": 0, **settings}
        running = Worker(Settings(**chosen), url, name, **({"aio": None} if singly else {}))
        await running.start()
        running.gather.taken_s = asyncio.get_running_loop().time()  # so that `batch_age_ms_max` gathers what a test sends first
        try:
            yield running, running.port
        finally:
            await running.drain()


@dataclass(slots=True)
class Raw:
    """A terminal that says exactly what the test says."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    name: str
    edition: int = V2013
    serial: int = 0
    _heard: list[Frame] = field(default_factory=list)
    _tail: bytes = b""

    @classmethod
    async def connect(cls, port: int, name: str = "13800138000", edition: int = V2013) -> Raw:
        """Open a link."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        WRITERS.append(writer)
        return cls(reader, writer, name, edition)

    def frame(self, message_id: int, body: bytes = b"", name: str | None = None) -> bytes:
        """The next frame."""
        self.serial += 1
        return messages.encode(message_id, name or self.name, self.serial, body, self.edition)

    async def ask(self, message_id: int, body: bytes = b"", name: str | None = None) -> Frame:
        """Say something and hear the answer."""
        self.writer.write(self.frame(message_id, body, name))
        return await self.hear()

    async def result(self, message_id: int, body: bytes = b"", name: str | None = None) -> int:
        """Say something and hear the result byte of its 0x8001."""
        answer = await self.ask(message_id, body, name)
        assert answer.message_id == 0x8001
        assert answer.body[2:4] == message_id.to_bytes(2, "big")
        assert answer.body[:2] == self.serial.to_bytes(2, "big")
        return answer.body[4]

    async def hear(self) -> Frame:
        """The next frame from the gateway."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._heard:
                data = await self.reader.read(65_536)
                if not data:
                    raise EOFError
                *pieces, self._tail = (self._tail + data).split(b"\x7e")
                self._heard += [frame_of(piece) for piece in pieces if piece]
        return self._heard.pop(0)

    async def silent(self) -> bool:
        """Whether nothing comes, the link staying open."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                await self.hear()
                return False
        return True

    async def closed(self) -> bool:
        """Whether the gateway closes the link."""
        with contextlib.suppress(EOFError, ConnectionError):
            await self.hear()
            return False
        return True

    async def log_in(self, code: str) -> int:
        """Authenticate as a 2013 terminal; the result."""
        return await self.result(0x0102, code.encode())


def report(second: int = 0, lat: int = 31_230_416, lon: int = 121_473_701) -> bytes:
    """A 0x0200 body: Shanghai, 2026-11-24, so many seconds after 08:00 Beijing time."""
    clock = bytes.fromhex(f"26112408{second // 60:02d}{second % 60:02d}")
    head = bytes(4) + (3).to_bytes(4, "big") + lat.to_bytes(4, "big") + lon.to_bytes(4, "big")
    return head + bytes.fromhex("000c01c80057") + clock


def batch(*reports: bytes, kind: int = 1) -> bytes:
    """A 0x0704 body."""
    return len(reports).to_bytes(2, "big") + bytes([kind]) + b"".join(len(each).to_bytes(2, "big") + each for each in reports)


async def until(true: Callable[[], Any]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


async def stored(url: str, query: str, expected: Any) -> None:
    """Wait until the database answers so."""
    found: Any = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (found := rows(url, query)) != expected:
                await asyncio.sleep(0.02)
    except TimeoutError:
        assert expected == found
