"""Packets that are read together are those that each connection would have read for itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fix_worker import PATIENCE_S, WRITERS, play
from ingest.aio import ROOM_BYTES, Aio
from ingest.gather import Gather
from ingest.inbox import Inbox
from ingest.links import LinkTable
from ingest.tcp import Porter, TcpLink

FRAME_BYTES_MAX = 2_000


class Door:
    """A TCP door with nothing behind it but the gather."""

    def __init__(self, *, together: bool, backlog_bytes_max: int = 1 << 24, rows_max: int = 100) -> None:
        self.links = LinkTable(100)
        self.gather = Gather(rows_max=rows_max, bytes_max=1 << 20, age_ms_max=0, backlog_bytes_max=backlog_bytes_max)
        self.porter = Porter(self.links, self.gather, FRAME_BYTES_MAX, 100, 10_000, on_close=self.links.close)
        self.together = together
        self.told: list[tuple[int, bytes]] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        aio = Aio.open() if self.together else None
        if aio:
            self.porter.inbox = Inbox(self.links, self.gather, aio, 2 * FRAME_BYTES_MAX)
        server = await asyncio.get_running_loop().create_server(lambda: TcpLink(self.porter), "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for link in self.links.open_links():
                link.close("end")
            if aio and self.porter.inbox:
                self.porter.inbox.close()
                aio.close()

    async def take(self, enough: Callable[[], bool]) -> None:
        """Take batches until what was handed on is enough."""
        async with asyncio.timeout(PATIENCE_S):
            while not enough():
                batch = await self.gather.take()
                self.told += zip(batch.ticket.tolist(), batch.packets, strict=True)

    def said(self) -> dict[int, bytes]:
        """All bytes that were handed on, by link."""
        said: dict[int, bytes] = {}
        for ticket, packet in self.told:
            assert packet.endswith(b"\x7e")
            said[ticket] = said.get(ticket, b"") + packet
        return said


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    WRITERS.append(writer)
    return reader, writer


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.001)


pieces = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=80), st.just(b"\x7e"), st.just(b"\x7eabc\x7e"), st.just(b"\x7e" + b"x" * ROOM_BYTES + b"\x7e")
    ),
    min_size=1,
    max_size=6,
)


@given(st.lists(pieces, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_sent_in_whatever_pieces_arrives_up_to_its_last_flag(streams: list[list[bytes]]) -> None:
    async def story() -> None:
        for together in (True, False):
            door = Door(together=together)
            async with door.open() as port:
                writers = [(await connect(port))[1] for _ in streams]
                await until(lambda door=door: len(door.links) == len(streams))
                for turn in range(max(map(len, streams))):
                    for writer, stream in zip(writers, streams, strict=True):
                        writer.write(b"".join(stream[turn : turn + 1]))
                    await asyncio.sleep(0)
                for writer in writers:
                    writer.write(b"\x7e")
                expected = sorted(b"".join(stream) + b"\x7e" for stream in streams)
                size = sum(map(len, expected))
                await door.take(lambda door=door, size=size: sum(len(packet) for _, packet in door.told) == size)
                assert sorted(door.said().values()) == expected
                for writer in writers:
                    writer.close()
                await until(lambda door=door: len(door.links) == 0)

    play(story())


@pytest.mark.parametrize("together", [True, False])
def test_a_peer_that_resets_or_hangs_up_is_gone_and_what_it_said_before_is_kept(*, together: bool) -> None:
    async def story() -> None:
        door = Door(together=together)
        async with door.open() as port:
            gone, reset = [await connect(port) for _ in range(2)]
            for _, writer in (gone, reset):
                writer.write(b"\x7ekept\x7e\x7elost")
            await door.take(lambda: len(door.told) == 2)
            gone[1].close()
            reset[1].transport.abort()
            await until(lambda: len(door.links) == 0)
            assert [packet for _, packet in door.told] == [b"\x7ekept\x7e\x7e"] * 2
            assert sum(door.porter.closed.values()) == 2

    play(story())


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("size", [1, ROOM_BYTES - 2, ROOM_BYTES, ROOM_BYTES + 1000])
def test_who_hangs_up_at_once_after_what_it_says_is_heard_and_gone(*, together: bool, size: int) -> None:
    async def story() -> None:
        door = Door(together=together)
        async with door.open() as port:
            reader, writer = await connect(port)
            await until(lambda: len(door.links) == 1)
            peer = writer.get_extra_info("socket").dup()
            peer.setblocking(True)  # noqa: FBT003
            said = b"\x7e" + b"x" * size + b"\x7e"
            peer.sendall(said)
            peer.shutdown(socket.SHUT_WR)  # both are there before anyone looks
            peer.close()
            await door.take(lambda: sum(len(packet) for _, packet in door.told) == len(said))
            await until(lambda: len(door.links) == 0)
            assert await reader.read() == b""

    play(story())


@pytest.mark.parametrize("together", [True, False])
def test_who_sends_more_than_the_backlog_holds_is_paused_and_loses_nothing(*, together: bool) -> None:
    async def story() -> None:
        door = Door(together=together, backlog_bytes_max=2_000, rows_max=7)
        async with door.open() as port:
            writers = [(await connect(port))[1] for _ in range(20)]
            sent = 0
            for turn in range(40):
                for number, writer in enumerate(writers):
                    sent += 1
                    writer.write(b"\x7e%02d %03d\x7e" % (number, turn))
                await asyncio.sleep(0)
            told: list[bytes] = []
            async with asyncio.timeout(PATIENCE_S):
                while len(told) < sent:
                    batch = await door.gather.take()
                    assert len(batch) <= 7
                    told += [frame for packet in batch.packets for frame in packet.split(b"\x7e") if frame]
                    assert door.gather.backlog_bytes <= 2_000 + 20 * 40 * 8
                    door.gather.settled(batch)
            for number in range(20):
                assert [each for each in told if each.startswith(b"%02d " % number)] == [
                    b"%02d %03d" % (number, turn) for turn in range(40)
                ]

    play(story())


def test_a_frame_that_never_ends_closes_its_link_and_no_other() -> None:
    async def story() -> None:
        door = Door(together=True)
        async with door.open() as port:
            bad, good = [await connect(port) for _ in range(2)]
            bad[1].write(b"\x7e" + b"x" * 20_000)
            await until(lambda: door.porter.closed == {"oversize": 1})
            good[1].write(b"\x7egood\x7e")
            await door.take(lambda: [packet for _, packet in door.told] == [b"\x7e", b"\x7egood\x7e"])

    play(story())


@pytest.mark.parametrize("together", [True, False])
def test_a_connection_that_broke_is_counted_as_the_networks_doing(*, together: bool) -> None:
    async def story() -> None:
        door = Door(together=together)
        async with door.open() as port:
            _, writer = await connect(port)
            writer.write(b"\x7ekept\x7e")
            await door.take(lambda: len(door.told) == 1)
            linger = struct.pack("ii", 1, 0)  # close by a reset
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            await until(lambda: len(door.links) == 0)
            assert door.porter.closed == {"network": 1}

    play(story())


def test_more_connections_than_one_call_reads_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.aio.LIST_MAX", 3)

    async def story() -> None:
        door = Door(together=True)
        async with door.open() as port:
            writers = [(await connect(port))[1] for _ in range(40)]
            for turn in range(20):
                for writer in writers:
                    writer.write(b"\x7e%02d\x7e" % turn)
                await asyncio.sleep(0)
            await door.take(lambda: sum(len(packet) for _, packet in door.told) == 40 * 20 * 4)
            assert list(door.said().values()) == [b"".join(b"\x7e%02d\x7e" % turn for turn in range(20))] * 40

    play(story())


@pytest.mark.parametrize("together", [True, False])
def test_what_follows_a_byte_that_is_marked_as_urgent_is_read(*, together: bool) -> None:
    async def story() -> None:
        door = Door(together=together)
        async with door.open() as port:
            _, writer = await connect(port)
            await until(lambda: len(door.links) == 1)
            peer = writer.get_extra_info("socket").dup()
            for said, flags in ((b"\x7ebefore\x7e", 0), (b"!", socket.MSG_OOB), (b"\x7eafter\x7e", 0)):
                peer.send(said, flags)  # all of it before anyone looks; a read ends at the mark
            peer.close()
            await door.take(lambda: b"".join(packet for _, packet in door.told) == b"\x7ebefore\x7e\x7eafter\x7e")

    play(story())


def test_a_system_without_epoll_can_run_the_gateway() -> None:
    hide = "import select; [delattr(select, each) for each in dir(select) if 'epoll' in each.lower()]"
    code = f"{hide}; import ingest.worker"
    subprocess.run([sys.executable, "-c", code], check=True)
