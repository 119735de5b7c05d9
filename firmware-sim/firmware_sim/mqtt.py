"""MQTT for simulated terminals, sans-IO: the few packets a terminal needs, and a machine that publishes what another machine says.

Version 3.1.1. Everything goes up with QoS 1 and is sent again after a reconnect until the broker has acknowledged it; what comes down
on `dubhe/v1/{terminal}/down` is the platform's answer, to a machine that waits for answers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from firmware_sim.link import Address, Machine

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 0x10, 0x20, 0x30, 0x40, 0x82, 0x90, 0xC0, 0xE0
QOS1, DUP = 0x02, 0x08
KEEPALIVE_S: Final = 60
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
MIDS: Final = 0xFFFF


class Packet(NamedTuple):
    """One packet: its first byte, and what follows its length."""

    head: int
    body: bytes


class Packets:
    """A stream → packets."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that `data` completes."""
        data, at = self._tail + data, 0
        while (found := _size(data, at)) is not None and found[0] + found[1] <= len(data):
            begin, size = found
            yield Packet(data[at], data[begin : begin + size])
            at = begin + size
        self._tail = data[at:]


def _size(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the packet at `at` begins and how long it is; None while that cannot be told."""
    size = 0
    for place, octet in enumerate(data[at + 1 : at + 5]):
        size |= (octet & 0x7F) << (7 * place)
        if octet < 0x80:  # noqa: PLR2004 - the last byte of a length
            return at + 2 + place, size
    return None


def packet(head: int, body: bytes) -> bytes:
    """One packet."""
    size, length = len(body), bytearray()
    while True:
        size, bits = divmod(size, 0x80)
        length.append(bits | (0x80 if size else 0))
        if not size:
            return bytes((head, *length)) + body


def text(value: str | bytes) -> bytes:
    """A string with its length before it."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def connect(client: str, user: str | None = None, password: str | None = None, *, clean: bool = True) -> bytes:
    """CONNECT of 3.1.1."""
    flags = 0x02 * clean | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    credentials = b"".join(text(each) for each in (user, password) if each is not None)
    return packet(CONNECT, text("MQTT") + struct.pack("!BBH", 4, flags, KEEPALIVE_S) + text(client) + credentials)


def publish(topic: str, payload: bytes, mid: int, *, again: bool = False) -> bytes:
    """PUBLISH with QoS 1, or with QoS 0 where `mid` is 0."""
    if not mid:
        return packet(PUBLISH, text(topic) + payload)
    return packet(PUBLISH | QOS1 | DUP * again, text(topic) + struct.pack("!H", mid) + payload)


def subscribe(topic: str, mid: int = 1, qos: int = 1) -> bytes:
    """SUBSCRIBE to one filter."""
    return packet(SUBSCRIBE, struct.pack("!H", mid) + text(topic) + bytes((qos,)))


def message(got: Packet) -> tuple[str, bytes, int]:
    """Topic, payload and id (0 with QoS 0) of a PUBLISH."""
    size = int.from_bytes(got.body[:2])
    topic, rest = got.body[2 : 2 + size].decode(), got.body[2 + size :]
    if got.head & 0x06:
        return topic, rest[2:], int.from_bytes(rest[:2])
    return topic, rest, 0


@dataclass(frozen=True, slots=True)
class Target:
    """A broker as terminals know it."""

    to: Address
    user: str | None = None
    password: str | None = None

    @classmethod
    def of(cls, url: str) -> Target:
        """Read mqtt://USER:PASSWORD@HOST:PORT; mqtts takes the system's certificates, or those of SSL_CERT_FILE."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            msg = f"{url!r} is not mqtt://USER:PASSWORD@HOST:PORT or mqtts://…"
            raise ValueError(msg)
        to = Address(parts.hostname, parts.port or PORTS[parts.scheme], tls=parts.scheme == "mqtts")
        return cls(to, *(unquote(each) if each else None for each in (parts.username, parts.password)))


def frames(out: bytes) -> list[bytes]:
    """JT/T 808: one message a frame."""
    return [b"\x7e" + piece + b"\x7e" for piece in out.split(b"\x7e") if piece]


def bursts(out: bytes) -> list[bytes]:
    """NMEA: one message a burst, which in these simulations ends with RMC."""
    lines = out.splitlines(keepends=True)
    found, at = [], 0
    for stop, line in enumerate(lines, 1):
        if line[3:6] == b"RMC" or stop == len(lines):
            found.append(b"".join(lines[at:stop]))
            at = stop
    return found


PIECES: Final[Mapping[str, Callable[[bytes], list[bytes]]]] = {"jt808": frames, "nmea": bursts}


class OverMqtt:
    """A machine whose link is a broker: what `machine` says is published on `dubhe/v1/{terminal}/{kind}`."""

    def __init__(self, machine: Machine, terminal: str, target: Target, kind: str = "jt808") -> None:
        self.acknowledged = 0
        """Messages that the broker has."""
        self._machine = machine
        self._terminal = terminal
        self._target = target
        self._kind = kind
        self._packets = Packets()
        self._outbox: dict[int, bytes] = {}
        self._mid = 0
        self._up = False
        self._left = False
        self._ping_at = inf

    @property
    def silent(self) -> bool:
        """As the machine said of the link at hand; before the broker's welcome it knows nothing of it."""
        return self._machine.silent if self._up else self._left

    @property
    def hangup(self) -> bool:
        """The machine wants it, and what it said for good has been acknowledged."""
        return self._up and self._machine.hangup and not (self._machine.finished and self._outbox)

    @property
    def finished(self) -> bool:
        """The machine has, and the broker has everything."""
        return self._machine.finished and not self._outbox

    def connected(self, now: float) -> bytes:
        """The broker's socket is open."""
        del now
        self._packets, self._up, self._left = Packets(), False, False
        return connect(f"{self._kind}-{self._terminal}", self._target.user, self._target.password)

    def disconnected(self, now: float) -> None:
        """The link is down."""
        self._ping_at = inf
        if self._up:
            self._up, self._left = False, self._machine.silent
            self._machine.disconnected(now)

    def receive(self, data: bytes, now: float) -> bytes:
        """Bytes from the broker."""
        return b"".join(self._heard(got, now) for got in self._packets.feed(data))

    def tick(self, now: float) -> bytes:
        """Time has passed."""
        if not self._up:
            return b""
        ping = b""
        if now >= self._ping_at:
            self._ping_at, ping = now + KEEPALIVE_S / 2, packet(PINGREQ, b"")
        return ping + self._published(self._machine.tick(now))

    def next_at(self) -> float:
        """When `tick` wants to be called."""
        return min(self._machine.next_at(), self._ping_at) if self._up else inf

    def _heard(self, got: Packet, now: float) -> bytes:
        match got.head & 0xF0:
            case 0x20:  # CONNACK
                if got.body[1]:
                    msg = f"the broker refuses {self._terminal}: CONNACK {got.body[1]}, which is about name and password if it is 4 or 5"
                    raise ValueError(msg)
                return self._welcomed(now)
            case 0x40:  # PUBACK
                self.acknowledged += self._outbox.pop(int.from_bytes(got.body[:2]), None) is not None
                return b""
            case 0x30:  # PUBLISH
                _, payload, mid = message(got)
                answer = packet(PUBACK, struct.pack("!H", mid)) if mid else b""
                return answer + self._published(self._machine.receive(payload, now))
        return b""

    def _welcomed(self, now: float) -> bytes:
        """Listen for answers, say again what the broker did not acknowledge, then let the machine speak."""
        self._up, self._ping_at = True, now + KEEPALIVE_S / 2
        topic = f"dubhe/v1/{self._terminal}/{self._kind}"
        again = [publish(topic, payload, mid, again=True) for mid, payload in self._outbox.items()]
        return b"".join([subscribe(f"dubhe/v1/{self._terminal}/down"), *again, self._published(self._machine.connected(now))])

    def _published(self, out: bytes) -> bytes:
        said = []
        for payload in PIECES[self._kind](out):
            self._mid = self._mid % MIDS + 1
            self._outbox[self._mid] = payload
            said.append(publish(f"dubhe/v1/{self._terminal}/{self._kind}", payload, self._mid))
        return b"".join(said)
