"""A platform without sockets for the terminal's tests: it reads frames, answers as told, and a driver carries bytes and time."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from firmware_sim.link import Machine
from protocols.jt808 import messages
from protocols.jt808.frames import Frame, frame_of
from tracks.verdict import Reject

CODE = "k-71"


def frames_in(data: bytes) -> list[Frame]:
    return [frame_of(piece) for piece in data.split(b"\x7e") if piece]


@dataclass
class Platform:
    """Answers every message it hears; `results` gives another result than 0 by message id, None is silence."""

    results: dict[int, int | None] = field(default_factory=dict)
    heard: list[Frame] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """Bodies of reports, in the order they came, singly or in batches."""

    def answer(self, data: bytes) -> bytes:
        return b"".join(self._answer(frame) for frame in frames_in(data))

    def _answer(self, frame: Frame) -> bytes:
        self.heard.append(frame)
        result = self.results.get(frame.message_id, 0) if frame.reject is Reject.NONE else None
        if result is None or frame.message_id == 0x0001:
            return b""
        if frame.message_id == 0x0200:
            self.bodies.append(frame.body)
        if frame.message_id == 0x0704:
            self.bodies += reports_of(frame.body)
        fields = {"reply_serial": frame.serial, "reply_id": frame.message_id, "result": result, "auth_code": CODE}
        answer_id = 0x8100 if frame.message_id == 0x0100 else 0x8001
        return say(frame, answer_id, messages.build(answer_id, frame.edition, fields))

    @property
    def ids(self) -> list[int]:
        return [frame.message_id for frame in self.heard]


def say(to: Frame, message_id: int, body: bytes) -> bytes:
    """A message to the terminal that sent `to`."""
    return messages.encode(message_id, to.phone, 0, body, to.edition)


def reports_of(batch: bytes) -> list[bytes]:
    """The reports of an 0x0704, cut by hand."""
    out, at = [], 3
    while at < len(batch):
        size = int.from_bytes(batch[at : at + 2], "big")
        out.append(batch[at + 2 : at + 2 + size])
        at += 2 + size
    return out


@dataclass
class Link:
    """Carries bytes between a machine and a platform that answers at once, and moves the virtual clock from event to event."""

    machine: Machine
    platform: Platform
    now: float = 0.0
    up: bool = False
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    """What the machine said, and when."""

    def connect(self) -> None:
        self.up = True
        self.carry(self.machine.connected(self.now))

    def cut(self) -> None:
        self.up = False
        self.machine.disconnected(self.now)

    def carry(self, out: bytes) -> None:
        while out:
            self.sent.append((self.now, out))
            if self.machine.hangup:
                break
            answer = self.platform.answer(out)
            out = self.machine.receive(answer, self.now) if answer else b""
        if self.machine.hangup and self.up:
            self.cut()

    def run(self, until: float) -> None:
        """Let time pass, from one alarm of the machine to the next."""
        while self.up and (at := self.machine.next_at()) <= until and at < inf:
            self.now = max(self.now, at)
            self.carry(self.machine.tick(self.now))
        self.now = until
