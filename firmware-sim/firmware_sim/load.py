"""A load that counts from the client's side: how many reports were answered, how fast, and how old each report was when its receipt came.

One process, one thread, one epoll, one connection per terminal. To generate more than it measures, Python runs once per packet and numpy
once per hundreds: reports are built ahead as whole columns (`Waves`), and receipts are looked into many at a time.

Closed loop: every terminal keeps `window` reports in flight. Open loop (`rate`): the clock says how many reports are due and terminals take
turns; `behind_ms_max` says how late the generator itself was. `cpu_share` is this process's own share of a core, `starved_share` the time
it waited for one: near 1 together the result is the generator's limit and not the gateway's, and `limited_by` says so.
Receipts are counted in the order they come, which is the order of the reports; a receipt that never comes shows as unanswered.
No 0x0100/0x0102 is sent unless `login` is set, so the gateway must be lenient.

Against a server that only answers, on the same two cores: 92 000 to 102 000 reports/s one at a time from 1 000 to 10 000 terminals, about
10 µs of a core each; over 800 000/s with twenty in flight, when frames share packets (2-core EPYC, November 2026).
"""

from __future__ import annotations

import gc
import os
import select
import socket
import time
from array import array
from collections import deque
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from typing import Any, Final

import numpy as np

from firmware_sim.fleet import Plan, identity
from firmware_sim.link import Address, allow_files
from firmware_sim.manners import Manners
from firmware_sim.states import State
from firmware_sim.terminal import GENERAL_RESPONSE, Terminal
from firmware_sim.waves import Waves
from protocols.columnar import Layout
from protocols.jt808.frames import split
from protocols.jt808.framing import FLAG
from protocols.jt808.header import V2013
from protocols.jt808.messages import session

WINDOW_MAX: Final = 64
MESSAGES_MAX: Final = 20_000_000
STALL_S: Final = 20.0
"""Without any receipt for so long the run is over."""
ROUND_EVENTS: Final = 256
"""Packets taken from one poll, and read before they are looked into."""
READ_BYTES: Final = 65_536
CONNECT_TIMEOUT_S: Final = 20.0
PORTS_PER_ADDRESS: Final = 20_000
BUSY: Final = 0.9
"""A share of a core from which on the generator is the bottleneck."""
RECEIPT: Final = Layout.of(session.GENERAL_RESPONSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send; `messages` and `seconds_max` bound the run, whichever is reached first."""

    to: Address
    terminals: int = 1_000
    window: int = 1
    messages: int = 100_000
    rate: float = 0.0
    """Reports per second over all terminals; 0: as fast as the receipts come."""
    seconds_max: float = 600.0
    login: bool = False
    edition: int = V2013
    first_name: int = 13_900_000_001
    connects_per_second: float = 2_500.0

    @property
    def names(self) -> list[str]:
        """The terminals' phone numbers."""
        return [str(self.first_name + row) for row in range(self.terminals)]

    def __post_init__(self) -> None:
        for name, low, high in (("terminals", 1, 100_000), ("window", 1, WINDOW_MAX), ("messages", 1, MESSAGES_MAX)):
            if not low <= getattr(self, name) <= high:
                msg = f"{name}={getattr(self, name)}: from {low} to {high:,}"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What came of it, counted here and not at the gateway."""

    terminals: int
    window: int
    rate: float
    sent: int
    answered_ok: int
    refused: int
    unanswered: int
    closed: int
    """Connections that the gateway closed."""
    seconds: float
    per_second: float
    receipt_ms_p50: float
    receipt_ms_p99: float
    receipt_ms_max: float
    behind_ms_max: float
    cpu_share: float
    starved_share: float
    """Share of the time in which this process could have run, had the machine had a core for it."""
    limited_by: str
    """`generator` when this process had no time left to generate more, else `gateway` or, with a rate that was kept, `rate`."""

    def json(self) -> dict[str, Any]:
        """The report as JSON takes it: what was not measured is null."""
        return {name: None if value != value else value for name, value in asdict(self).items()}  # noqa: PLR0124 - NaN


def run(load: Load) -> LoadReport:
    """Connect, send, count, and stop by itself."""
    sockets = _connect(load)
    try:
        if load.login:
            _log_in(load, sockets)
        per_terminal = -(-load.messages // load.terminals)
        base_s = int(time.time()) - max(6 * 3600, 2 * per_terminal)
        waves = Waves(load.names, edition=load.edition, base_s=base_s, per_terminal=per_terminal)
        for each in sockets:
            each.settimeout(0)
        gc.collect()
        gc.disable()
        conversation = _Conversation(load, sockets, waves)
        with conversation.epoll:
            return conversation.hold()
    finally:
        gc.enable()
        for each in sockets:
            each.close()


class _Conversation:
    """The run itself. Rows are terminals."""

    def __init__(self, load: Load, sockets: list[socket.socket], waves: Waves) -> None:
        self.load = load
        self.waves = waves
        self.fds = [each.fileno() for each in sockets]
        self.row_of = {fd: row for row, fd in enumerate(self.fds)}
        self.epoll = select.epoll(len(self.fds))
        for fd in self.fds:
            self.epoll.register(fd, select.EPOLLIN)
        self.said = [0] * len(self.fds)
        self.in_flight: list[deque[float]] = [deque() for _ in self.fds]
        """When the reports in flight were sent; receipts come in the order of the reports."""
        self.open = [True] * len(self.fds)
        self.tails: dict[int, bytes] = {}
        self.unsent: dict[int, bytes] = {}
        self.unread: list[bytes] = []
        """Receipts that are not looked into yet; doing so costs numpy the same for one as for a hundred."""
        self.ages = array("d")
        self.sent = self.ok = self.refused = self.closed = 0
        self.behind = 0.0

    def hold(self) -> LoadReport:
        clock = time.perf_counter
        load = self.load
        start, cpu, starved = clock(), time.process_time(), _starved_s()
        last_heard = start
        if not load.rate:
            for row in range(load.terminals):
                self._say(row, load.window, clock())
        turn = 0
        while True:
            now = clock()
            done = len(self.ages) >= self.sent
            if (done and self.sent >= load.messages) or now - last_heard > STALL_S or self.closed == load.terminals:
                break
            if now - start > load.seconds_max and (done or now - start > load.seconds_max + STALL_S):
                break
            if load.rate and now - start <= load.seconds_max:
                turn = self._say_what_is_due(start, turn)
            if self._hear(0.001 if load.rate else 1.0):
                last_heard = clock()
        seconds = clock() - start
        return self._report(seconds, (time.process_time() - cpu) / seconds, (_starved_s() - starved) / seconds)

    def _hear(self, timeout: float) -> bool:
        """One round: read what came and, in the closed loop, answer each receipt with a report."""
        clock, read, row_of, in_flight, ages, window = time.perf_counter, os.read, self.row_of, self.in_flight, self.ages, self.load.window
        closed_loop = not self.load.rate
        heard = False
        for fd, event in self.epoll.poll(timeout, ROUND_EVENTS):
            row = row_of[fd]
            if event & select.EPOLLOUT:
                self._write(row, b"")
            if not event & ~select.EPOLLOUT:
                continue
            try:
                data = read(fd, READ_BYTES)
            except OSError:
                data = b""
            if not data:
                self._close(row)
                continue
            now = clock()
            count = data.count(b"\x7e")
            if count & 1 or data[-1] != FLAG or row in self.tails:
                data = self._whole(row, data)
                count = data.count(b"\x7e")
            self.unread.append(data)
            flight = in_flight[row]
            for _ in range(min(count >> 1, len(flight))):
                ages.append(now - flight.popleft())
            if closed_loop:
                self._say(row, window - len(flight), now)
            heard = True
        if len(self.unread) >= ROUND_EVENTS:
            self._look_into()
        return heard

    def _whole(self, row: int, data: bytes) -> bytes:
        """The whole frames of what came; an unfinished one waits for its rest."""
        data = self.tails.pop(row, b"") + data
        cut = data.rfind(b"\x7e")
        if data.count(b"\x7e") % 2 == 0:
            cut += 1
        if cut < len(data):
            self.tails[row] = data[cut:]
        return data[:cut]

    def _look_into(self) -> None:
        """Count the receipts by result."""
        if not self.unread:
            return
        stop = np.cumsum(np.fromiter(map(len, self.unread), np.int64, len(self.unread)))
        frames = split(np.frombuffer(b"".join(self.unread), np.uint8), stop)
        self.unread.clear()
        receipts = np.flatnonzero((frames.message_id == GENERAL_RESPONSE) & (frames.body.length >= RECEIPT.itemsize))
        result = RECEIPT.cast(frames.body.buffer, frames.body.start[receipts])["result"]
        ok = int(np.count_nonzero(result == 0))
        self.ok += ok
        self.refused += len(result) - ok

    def _say_what_is_due(self, start: float, turn: int) -> int:
        """Open loop: terminals take turns until nothing is due or nobody has room; returns whose turn is next."""
        load, in_flight = self.load, self.in_flight
        tries = load.terminals
        now = time.perf_counter()
        due = min(int((now - start) * load.rate), load.messages)
        while self.sent < due and tries:
            if self.open[turn] and len(in_flight[turn]) < load.window:
                self.behind = max(self.behind, now - start - self.sent / load.rate)
                self._say(turn, 1, now)
                now = time.perf_counter()
            else:
                tries -= 1
            turn = (turn + 1) % load.terminals
        return turn

    def _say(self, row: int, count: int, now: float) -> None:
        """Send the terminal's next reports."""
        count = min(count, self.load.messages - self.sent)
        if count <= 0 or not self.open[row]:
            return
        number = self.said[row]
        self.said[row] = number + count
        self.sent += count
        self.in_flight[row].extend([now] * count)
        self._write(row, self.waves.frames(row, number, count))

    def _write(self, row: int, data: bytes) -> None:
        """Write, and keep what the socket does not take."""
        fd = self.fds[row]
        waiting = row in self.unsent
        if waiting:
            data = self.unsent.pop(row) + data
        try:
            taken = os.write(fd, data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._close(row)
            return
        if taken < len(data):
            self.unsent[row] = data[taken:]
        if waiting != (taken < len(data)):
            self.epoll.modify(fd, select.EPOLLIN if waiting else select.EPOLLIN | select.EPOLLOUT)

    def _close(self, row: int) -> None:
        """The gateway has closed this one; it says nothing any more."""
        if self.open[row]:
            self.open[row] = False
            self.epoll.unregister(self.fds[row])
            self.closed += 1

    def _report(self, seconds: float, cpu_share: float, starved_share: float) -> LoadReport:
        load = self.load
        self._look_into()
        ages = np.array(self.ages) * 1e3
        p50, p99, top = np.percentile(ages, (50, 99, 100)).tolist() if len(ages) else (nan, nan, nan)
        kept = bool(load.rate) and self.sent >= 0.99 * min(load.rate * seconds, load.messages)
        return LoadReport(
            terminals=load.terminals,
            window=load.window,
            rate=load.rate,
            sent=self.sent,
            answered_ok=self.ok,
            refused=self.refused,
            unanswered=self.sent - self.ok - self.refused,
            closed=self.closed,
            seconds=round(seconds, 3),
            per_second=round(self.ok / seconds, 1),
            receipt_ms_p50=round(p50, 3),
            receipt_ms_p99=round(p99, 3),
            receipt_ms_max=round(top, 3),
            behind_ms_max=round(self.behind * 1e3, 3),
            cpu_share=round(cpu_share, 3),
            starved_share=round(starved_share, 3),
            limited_by="generator" if cpu_share + starved_share > BUSY else "rate" if kept else "gateway",
        )


def _starved_s() -> float:
    """Seconds that this process has been ready to run without a core to run on, where the kernel tells (Linux)."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _connect(load: Load) -> list[socket.socket]:
    """One connection per terminal, no faster than the gateway admits them."""
    allow_files(load.terminals)
    sockets: list[socket.socket] = []
    begin = time.monotonic()
    try:
        for row in range(load.terminals):
            time.sleep(max(0.0, begin + row / load.connects_per_second - time.monotonic()))
            # a loopback address has some 28 000 ports to connect from
            source = (
                (f"127.0.0.{1 + row // PORTS_PER_ADDRESS}", 0) if load.to.host.startswith("127.") and row >= PORTS_PER_ADDRESS else None
            )
            each = socket.create_connection((load.to.host, load.to.port), CONNECT_TIMEOUT_S, source)
            sockets.append(each)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def _log_in(load: Load, sockets: list[socket.socket]) -> None:
    """Register and authenticate every terminal; raises ConnectionError when one is refused."""
    plan = Plan(terminals=load.terminals, first_name=load.first_name, edition=load.edition)
    by_fd = {
        each.fileno(): (each, Terminal(identity(plan, row), manners=Manners(leave=False, answer_timeout_s=STALL_S)))
        for row, each in enumerate(sockets)
    }
    with select.epoll(len(by_fd)) as epoll:
        for fd, (each, terminal) in by_fd.items():
            epoll.register(fd, select.EPOLLIN)
            each.sendall(terminal.connected(time.monotonic()))
        while by_fd:
            ready = epoll.poll(STALL_S)
            if not ready:
                msg = f"{len(by_fd)} terminals wait for the answer to their login for {STALL_S:.0f} s"
                raise ConnectionError(msg)
            for fd, _ in ready:
                each, terminal = by_fd[fd]
                data = each.recv(READ_BYTES)
                each.sendall(terminal.receive(data, time.monotonic()))
                if not data or terminal.hangup:
                    msg = f"terminal {terminal.identity.name} was refused; strict admission takes only terminals that it knows"
                    raise ConnectionError(msg)
                if terminal.state is State.ONLINE:
                    epoll.unregister(fd)
                    del by_fd[fd]
