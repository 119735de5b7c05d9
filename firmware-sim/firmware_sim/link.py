"""Sockets for a terminal: an asyncio skin over TCP or UDP that opens the link, keeps the clock, and tries again with back-off.

Everything a terminal decides it decides in `Terminal`; here bytes are only carried.
A link that the machine leaves `silent` is neither read nor closed: to the other side it looks half-open, as when a bus drives into a
tunnel with its connection up.
"""

from __future__ import annotations

import asyncio
import resource
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import inf
from random import Random
from typing import Any, Final, Protocol


class Machine(Protocol):
    """What a link drives: a `Terminal`, or something that behaves like one. Each is described there."""

    @property
    def hangup(self) -> bool: ...  # noqa: D102 - described in Terminal
    @property
    def finished(self) -> bool: ...  # noqa: D102
    @property
    def silent(self) -> bool: ...  # noqa: D102
    def connected(self, now: float) -> bytes: ...  # noqa: D102
    def disconnected(self, now: float) -> None: ...  # noqa: D102
    def receive(self, data: bytes, now: float) -> bytes: ...  # noqa: D102
    def tick(self, now: float) -> bytes: ...  # noqa: D102
    def next_at(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class BackOff:
    """Pauses between two tries of one terminal: doubling from `first_s` to `last_s`, each shortened by up to half, by seed."""

    first_s: float = 1.0
    last_s: float = 60.0

    def pauses(self, rng: Random) -> Iterator[float]:
        """The pauses after the first, second, third … failure in a row."""
        pause = self.first_s
        while True:
            yield pause * rng.uniform(0.5, 1.0)
            pause = min(2 * pause, self.last_s)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the gateway listens."""

    host: str
    port: int
    udp: bool = False
    tls: bool = False

    @classmethod
    def of(cls, text: str, *, udp: bool = False) -> Address:
        """Read HOST:PORT, the host in brackets when it has colons itself."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65536:  # noqa: PLR2004 - the ports there are
            msg = f"{text!r} is not HOST:PORT, such as 127.0.0.1:6808 or [::1]:6808"
            raise ValueError(msg)
        return cls(host.strip("[]") or "127.0.0.1", int(port), udp)


class _Link(asyncio.Protocol, asyncio.DatagramProtocol):
    """One link of one machine, TCP or UDP; `over` is done when it has ended, and carries the machine's exception if there was one."""

    def __init__(self, machine: Machine, clock: Callable[[], float], *, udp: bool) -> None:
        self._machine = machine
        self._clock = clock
        self._udp = udp
        self._timer: asyncio.TimerHandle | None = None
        # of TCP or of UDP
        self._transport: Any = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._do(self._machine.connected)

    def data_received(self, data: bytes) -> None:
        self._do(partial(self._machine.receive, data))

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        self.data_received(data)

    def error_received(self, exc: Exception) -> None:
        """A datagram found nobody; the terminal's own repeats deal with that."""

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._end()

    def close(self) -> None:
        """Close the socket, whatever the machine thinks of it."""
        if self._transport is not None:
            self._transport.abort()

    def _do(self, call: Callable[[float], bytes]) -> None:
        """Let the machine speak, send what it says and set the alarm it wants; or end the link when it wants no more of it."""
        if self.over.done():
            return
        try:
            self._write(call(self._clock()))
        except Exception as error:  # noqa: BLE001 - asyncio would only log it, and the run would wait for ever
            self.over.set_exception(error)
            self._transport.abort()
            return
        if self._timer is not None:
            self._timer.cancel()
        if not self._machine.hangup:
            at = self._machine.next_at()
            if at < inf:
                self._timer = asyncio.get_running_loop().call_later(max(at - self._clock(), 0), self._do, self._machine.tick)
            return
        if not self._machine.silent:
            self._transport.close()
        elif not self._udp:
            self._transport.pause_reading()
        self._end()

    def _write(self, out: bytes) -> None:
        if not self._udp:
            self._transport.write(out)
            return
        for piece in out.split(b"\x7e"):
            if piece:
                self._transport.sendto(b"\x7e" + piece + b"\x7e")

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.over.done():
            self._machine.disconnected(self._clock())
            self.over.set_result(None)


LEFT_MAX: Final = 4
"""Half-open links that one machine leaves behind; the oldest is closed when there is one more."""


async def hold(
    machine: Machine,
    to: Address,
    *,
    rng: Random,
    back_off: BackOff | None = None,
    clock: Callable[[], float] | None = None,
    patient: bool = True,
) -> None:
    """Keep `machine` connected until it has finished; cancel to stop it earlier. `rng` sets the pauses between tries.

    Without `patient` the first link must open; the OSError of one that does not is raised.
    """
    back_off = back_off or BackOff()
    loop = asyncio.get_running_loop()
    clock = clock or loop.time
    links: list[_Link] = []
    pauses, pause = back_off.pauses(rng), 0.0
    try:
        while not machine.finished:
            began = loop.time()
            try:
                links.append(link := _Link(machine, clock, udp=to.udp))
                await _open(link, to)
                patient = True
                await link.over
            except OSError:
                if not patient:
                    raise
                machine.disconnected(clock())
            if not machine.silent:
                links.pop()
            elif len(links) > LEFT_MAX:
                links.pop(0).close()
            if machine.finished:
                break
            if loop.time() - began > pause:
                # the link lived longer than the pause before it: it was no mere try
                pauses = back_off.pauses(rng)
            pause = next(pauses)
            await asyncio.sleep(pause)
    finally:
        for each in links:
            each.close()


async def _open(link: _Link, to: Address) -> None:
    loop = asyncio.get_running_loop()
    if to.udp:
        await loop.create_datagram_endpoint(lambda: link, remote_addr=(to.host, to.port))
    else:
        await loop.create_connection(lambda: link, to.host, to.port, ssl=ssl.create_default_context() if to.tls else None)


OTHER_FILES: Final = 100


def allow_files(sockets: int) -> None:
    """Raise this process's own limit on open files so that it can hold so many sockets, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
