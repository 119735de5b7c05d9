"""A terminal in your hand: a `Terminal` on a plain blocking TCP socket, for tests and interactive sessions.

    with Handset(Terminal(Identity(name="13900000001"), manners=Manners(leave=False)), to) as handset:
        handset.report(Fix(time=1_700_000_000, lat=31.23, lon=121.48))

Every call returns when the gateway has answered, or raises TimeoutError with what was counted so far.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Final, Self

from firmware_sim.link import Address
from firmware_sim.report import AT_ONCE, Due, Fix
from firmware_sim.states import State
from firmware_sim.terminal import Terminal

PATIENCE_S: Final = 20.0


class Handset:
    """One terminal and at most one connection of it."""

    def __init__(self, terminal: Terminal, to: Address) -> None:
        self.terminal = terminal
        self._to = to
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def connect(self, timeout_s: float = PATIENCE_S) -> None:
        """Open the link and log in; raises ConnectionError when the gateway refuses the terminal."""
        self._socket = socket.create_connection((self._to.host, self._to.port), timeout_s)
        self._say(self.terminal.connected(time.monotonic()))
        self.until(lambda: self.terminal.state is State.ONLINE or self._socket is None, timeout_s)
        if self._socket is None and not self.terminal.finished:
            msg = f"terminal {self.terminal.identity.name} was refused"
            raise ConnectionError(msg)

    def report(self, *fixes: Fix, timeout_s: float = PATIENCE_S) -> None:
        """Report and wait until the gateway has answered each; connects first when there is no link."""
        counters = self.terminal.counters
        wanted = sum(counters.answered.values()) + len(fixes)
        self.terminal.add(Due(AT_ONCE, fix) for fix in fixes)
        if self._socket is None:
            self.connect(timeout_s)
        self._say(self.terminal.tick(time.monotonic()))
        self.until(lambda: sum(counters.answered.values()) >= wanted, timeout_s)

    def send(self, data: bytes) -> None:
        """Put bytes on the wire as they are, past the terminal."""
        assert self._socket is not None
        self._socket.sendall(data)

    def cut(self) -> None:
        """Break the link; the terminal stores what it cannot send."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self.terminal.disconnected(time.monotonic())

    def until(self, done: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Carry bytes and time until `done()`."""
        end = time.monotonic() + timeout_s
        while not done():
            now = time.monotonic()
            if now >= end or self._socket is None:
                msg = f"not within {timeout_s} s, {self.terminal.state.name}: {self.terminal.counters}"
                raise TimeoutError(msg)
            ready, _, _ = select.select([self._socket], [], [], max(min(end, self.terminal.next_at()) - now, 0))
            if not ready:
                self._say(self.terminal.tick(time.monotonic()))
            elif data := self._socket.recv(65_536):
                self._say(self.terminal.receive(data, time.monotonic()))
            else:
                self.cut()

    def _say(self, out: bytes) -> None:
        if out and self._socket is not None:
            self._socket.sendall(out)
        if self.terminal.hangup:
            self.cut()
