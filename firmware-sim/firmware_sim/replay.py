"""Recordings driven as a terminal: fixes become reports of a `Terminal`, frames go out as they are through a `Player`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from firmware_sim.fleet import total
from firmware_sim.link import Address, Machine, hold
from firmware_sim.manners import SUCCESS, Counters, Identity, Manners
from firmware_sim.mqtt import OverMqtt, Target
from firmware_sim.recordings import FIX_READERS, RecordedFrame, RecordingError, read_frames
from firmware_sim.report import AT_ONCE, paced
from firmware_sim.terminal import GENERAL_RESPONSE, REGISTER, REGISTER_RESPONSE, Terminal
from firmware_sim.tracker import Tracker
from protocols.errors import ProtocolError
from protocols.jt808 import messages
from protocols.jt808.frames import frame_of
from protocols.jt808.framing import Deframer
from protocols.jt808.header import V2013
from tracks.plate import COLOURS
from tracks.verdict import Reject

WINDOW: Final = 8
"""Frames without a time of their own that are in flight at once."""


class DueFrame(NamedTuple):
    """A frame and when to send it."""

    at: float
    wire: bytes


def paced_frames(frames: Iterable[RecordedFrame], *, begin: float, speed: float = 1.0) -> Iterator[DueFrame]:
    """Frames at their own pace × `speed`; those without a time, and all with speed 0, as fast as the answers come."""
    first: float | None = None
    for frame in frames:
        if frame.time is None or not speed:
            yield DueFrame(AT_ONCE, frame.wire)
        else:
            first = frame.time if first is None else first
            yield DueFrame(begin + (frame.time - first) / speed, frame.wire)


class Player:
    """Sends recorded frames byte for byte and counts the answers; driven like a `Terminal`.

    A frame that is not answered in time is not sent again: it is what it is. `acknowledged` holds frames answered with success.
    """

    silent = False

    def __init__(self, frames: Iterable[DueFrame], *, window: int = WINDOW, answer_timeout_s: float = 10.0) -> None:
        self.counters = Counters()
        self.acknowledged: set[bytes] = set()
        self.hangup = False
        self.finished = False
        self._frames = iter(frames)
        self._next = next(self._frames, None)
        self._window = window
        self._timeout_s = answer_timeout_s
        self._flight: dict[tuple[int, int], DueFrame] = {}
        self._deframer = Deframer()

    def connected(self, now: float) -> bytes:
        """The link is up."""
        self.hangup = False
        self._deframer = Deframer()
        return self.tick(now)

    def disconnected(self, now: float) -> None:
        """The link is down: what was in flight stays unanswered."""
        del now
        self.counters.given_up += len(self._flight)
        self._flight.clear()

    def receive(self, data: bytes, now: float) -> bytes:
        """Bytes from the platform, cut anywhere."""
        try:
            whole = self._deframer.feed(data)
        except ProtocolError:
            self.counters.unreadable += 1
            self.hangup = True
            return b""
        for piece in whole.split(b"\x7e"):
            if piece:
                self._hear(piece)
        return self.tick(now)

    def tick(self, now: float) -> bytes:
        """Time has passed."""
        for key in [key for key, sent in self._flight.items() if sent.at + self._timeout_s <= now]:
            del self._flight[key]
            self.counters.given_up += 1
        out = []
        while self._next is not None and self._next.at <= now and (self._next.at != AT_ONCE or len(self._flight) < self._window):
            frame = frame_of(self._next.wire)
            self._flight[frame.serial, frame.message_id] = DueFrame(now, self._next.wire)
            self.counters.sent += 1
            out.append(self._next.wire)
            self._next = next(self._frames, None)
        self.finished = self.hangup = self._next is None and not self._flight
        return b"".join(out)

    def next_at(self) -> float:
        """When `tick` wants to be called."""
        overdue = min((sent.at + self._timeout_s for sent in self._flight.values()), default=inf)
        return overdue if self._next is None or self._next.at == AT_ONCE else min(overdue, self._next.at)

    def _hear(self, piece: bytes) -> None:
        frame = frame_of(piece)
        try:
            body = messages.parse(frame.message_id, frame.edition, frame.body) if frame.reject is Reject.NONE else {}
        except ProtocolError:
            body = {}
        if frame.message_id not in {GENERAL_RESPONSE, REGISTER_RESPONSE} or not body:
            self.counters.unreadable += 1
            return
        sent = self._flight.pop((body["reply_serial"], body.get("reply_id", REGISTER)), None)
        if sent is None:
            self.counters.unexpected += 1
            return
        self.counters.answered[body["result"]] += 1
        if body["result"] in SUCCESS:
            self.acknowledged.add(sent.wire)


async def replay(
    path: Path,
    to: Address | Target,
    *,
    terminal: str = "13900000001",
    plate: str = "沪A00001",
    plate_colour: int = 2,
    speed: float = 1.0,
    edition: int | None = V2013,
    login: bool = True,
) -> dict[str, Any]:
    """Drive the recording at `path` to its end, at a gateway or through a broker, and return the counters. Without an edition: as NMEA.

    The terminal registers as fitted to the vehicle of this plate and plate colour (JT/T 697.7).

    Raises RecordingError at a line that cannot be read, and OSError when the gateway does not listen or refuses the terminal.
    """
    begin = time.monotonic()
    machine: Terminal | Player | Tracker
    read = FIX_READERS.get(path.suffix.lower())
    if edition is None:
        if read is None:
            raise RecordingError(path, "as a whole", "frames of JT/T 808 are no NMEA; only positions can be sent as sentences")
        announced = isinstance(to, Address)
        machine = Tracker(Identity(name=terminal), paced(read(path), begin=begin, speed=speed), announce=announced)
    elif read is not None:
        identity = Identity(name=terminal, edition=edition, plate=plate, plate_colour=plate_colour)
        manners = Manners(window=WINDOW, login=login, insist=False)
        machine = Terminal(identity, paced(read(path), begin=begin, speed=speed), manners)
    else:
        machine = Player(paced_frames(read_frames(path), begin=begin, speed=speed))
    kind = "nmea" if edition is None else "jt808"
    link: Machine = OverMqtt(machine, terminal, to, kind) if isinstance(to, Target) else machine
    at = to.to if isinstance(to, Target) else to
    await hold(link, at, rng=Random(terminal), clock=time.monotonic, patient=False)  # noqa: S311 - a simulation
    if isinstance(machine, Tracker) and machine.refused:
        msg = f"the gateway refused terminal {terminal}; `dubhe terminal add {terminal}` enters it"
        raise ConnectionRefusedError(msg)
    if machine.counters.login_refusals:
        entry = f"`dubhe terminal add {terminal} --plate {plate} --colour {COLOURS[plate_colour].english}` enters both"
        cure = f"{entry}; if it serves another, name that with --plate and --colour"
        msg = f"the gateway refused terminal {terminal} of vehicle {plate}; {cure}"
        raise ConnectionRefusedError(msg)
    return total([machine.counters])
