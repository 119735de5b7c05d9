"""A Mosquitto of the suite's own, and a client that says exactly what the test says.

Where Mosquitto is missing its tests are skipped by name, or fail with DUBHE_REQUIRE_SERVICES=1.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.broker import Broker, mosquitto, running_broker
from firmware_sim.mqtt import CONNACK, PUBACK, PUBLISH, SUBACK, Packet, Packets, connect, message, publish, subscribe
from fix_worker import WRITERS

PATIENCE_S = 10.0


def require_mosquitto() -> None:
    """Skip the test, or fail it, where Mosquitto is not installed."""
    if mosquitto() is None:
        why = "no Mosquitto on this machine (make services)"
        if os.environ.get("DUBHE_REQUIRE_SERVICES") == "1":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker for this test alone."""
    require_mosquitto()
    with running_broker(tmp_path / "broker") as running:
        yield running


@dataclass(slots=True)
class Publisher:
    """A client of the broker."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    mid: int = 0
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    _packets: Packets = field(default_factory=Packets)
    _answers: int = 0

    @classmethod
    async def connect(cls, port: int, name: str = "test", *listen: str) -> Publisher:
        """Connect, and subscribe to `listen`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        WRITERS.append(writer)
        self = cls(reader, writer)
        writer.write(connect(name) + b"".join(subscribe(topic) for topic in listen))
        await self.until(lambda: self._answers == 1 + len(listen))
        return self

    async def publish(self, topic: str, *payloads: bytes, qos: int = 1) -> None:
        """Publish, and wait until the broker has it."""
        mids = []
        for payload in payloads:
            self.mid = self.mid % 0xFFFF + 1
            mids.append(self.mid)
            self.writer.write(publish(topic, payload, self.mid if qos else 0))
        if qos:
            await self.until(lambda: self.acknowledged.issuperset(mids))

    async def until(self, true: Callable[[], Any]) -> None:
        """Listen until it is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                data = await self.reader.read(65_536)
                if not data:
                    raise EOFError
                for got in self._packets.feed(data):
                    self._hear(got)

    async def hear(self) -> tuple[str, bytes]:
        """The next message from the broker."""
        await self.until(lambda: self.heard)
        return self.heard.pop(0)

    def _hear(self, got: Packet) -> None:
        match got.head & 0xF0:
            case kind if kind in {CONNACK, SUBACK}:
                assert got.body[-1] < 0x80
                self._answers += 1
            case kind if kind == PUBACK:
                self.acknowledged.add(int.from_bytes(got.body[:2]))
            case kind if kind == PUBLISH:
                topic, payload, mid = message(got)
                self.heard.append((topic, payload))
                if mid:
                    self.writer.write(bytes((PUBACK, 2)) + mid.to_bytes(2))
