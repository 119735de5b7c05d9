"""What goes wrong on the road, on purpose: cuts, half-open links, duplicates, spoiled frames, clocks that jump.

`Faulty` stands between a terminal and its link and is driven like the terminal itself; `jumping` stands between the reports and the
terminal. Every fault is drawn from the terminal's own random numbers, so the same seed spoils the same frames in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from firmware_sim.link import Machine
from firmware_sim.mqtt import frames
from firmware_sim.report import Due
from protocols.jt808.framing import ESCAPE, FLAG, MASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often each fault strikes, from 0 (never) to 1; per frame sent, or per report for the clock."""

    cut: float = 0.0
    """The link breaks in the middle of the frame."""
    half_open: float = 0.0
    """From this frame on nothing passes in either direction, and nobody closes the link."""
    duplicate: float = 0.0
    """The frame is sent twice."""
    spoiled: float = 0.0
    """One byte of the frame changes on its way; its checksum then fails."""
    clock_jump: float = 0.0
    """The terminal's clock is wrong for the next few reports."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name}={getattr(self, name)} is no rate; it lies between 0 and 1"
                raise ValueError(msg)


class Faulty:
    """A machine whose frames, or with `lines` its sentences, meet with faults; `struck` counts them by name."""

    def __init__(self, machine: Machine, rates: Rates, rng: Random, *, lines: bool = False) -> None:
        self.struck: Counter[str] = Counter()
        self._machine = machine
        self._rates = rates
        self._rng = rng
        self._pieces: Callable[[bytes], list[bytes]] = _lines if lines else frames
        self._spoil: Callable[[bytes, Random], bytes] = spoil_line if lines else spoil
        self._cut = False
        self.silent = False

    @property
    def hangup(self) -> bool:
        """Set by a cut, or by the machine itself."""
        return self._cut or self._machine.hangup

    @property
    def finished(self) -> bool:
        """As the machine says."""
        return self._machine.finished

    def connected(self, now: float) -> bytes:
        """A new link, sound so far."""
        self._cut = self.silent = False
        return self._sent(self._machine.connected(now))

    def disconnected(self, now: float) -> None:
        """The link is down."""
        self._machine.disconnected(now)

    def receive(self, data: bytes, now: float) -> bytes:
        """Bytes from the platform; on a half-open link they never arrive."""
        return b"" if self.silent else self._sent(self._machine.receive(data, now))

    def tick(self, now: float) -> bytes:
        """Time has passed."""
        return self._sent(self._machine.tick(now))

    def next_at(self) -> float:
        """As the machine says."""
        return self._machine.next_at()

    def _sent(self, out: bytes) -> bytes:
        """What of `out` reaches the wire."""
        wire = bytearray()
        for frame in self._pieces(out):
            if self.silent or self._cut:
                continue
            if self._strikes("half_open"):
                self.silent = True
            elif self._strikes("cut"):
                self._cut = True
                wire += frame[: self._rng.randrange(len(frame))]
            else:
                wire += self._spoil(frame, self._rng) if self._strikes("spoiled") else frame
                wire += frame if self._strikes("duplicate") else b""
        return bytes(wire)

    def _strikes(self, fault: str) -> bool:
        rate: float = getattr(self._rates, fault)
        struck = self._rng.random() < rate
        self.struck[fault] += struck
        return struck


def _lines(out: bytes) -> list[bytes]:
    return out.splitlines(keepends=True)


def spoil_line(line: bytes, rng: Random) -> bytes:
    """The sentence with one character changed so that its checksum fails."""
    at = rng.randrange(1, line.index(b"*"))
    return line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]


def spoil(frame: bytes, rng: Random) -> bytes:
    """The frame with one byte changed so that it is still one frame, but its checksum fails."""
    plain = [at for at in range(1, len(frame) - 1) if not {frame[at], frame[at] ^ 1} & _SPECIAL and frame[at - 1] != ESCAPE]
    at = rng.choice(plain)
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


_SPECIAL: Final = frozenset({FLAG, ESCAPE, MASKED})

JUMPS_S: Final = (-365 * 86_400, -86_400, -8 * 3600, 8 * 3600, 365 * 86_400)
"""How far clocks are off in the field: a year, a day, the time zone."""
JUMPED_REPORTS: Final = 5
"""How many reports a jump lasts."""


def jumping(reports: Iterable[Due], rate: float, rng: Random) -> Iterator[Due]:
    """The same reports, due at the same moments, some with a wrong clock."""
    left, off_s = 0, 0
    for due in reports:
        if left == 0 and rng.random() < rate:
            left, off_s = JUMPED_REPORTS, rng.choice(JUMPS_S)
        if left:
            left -= 1
            yield due._replace(fix=replace(due.fix, time=due.fix.time + off_s))
        else:
            yield due
