"""Messages that come in packages: put together in any order, asked for what is missing, bounded whatever is sent. No clock, no socket.

A message is known by its terminal, id, number of packages and the serial number of its first package (serial − index + 1), so that two
messages of one kind may interleave (quirk F1). A terminal whose packages do not have consecutive serial numbers is read with `loose`, which
leaves the serial number out; then two messages of one kind and length must not interleave (quirk F2).
A package that comes again is dropped; one that contradicts what is there belongs to a newer message, and the older one is lost.
After a silence the missing packages are asked for, a few times with growing pauses; after that, or when it takes too long altogether, the
message is given up. `Limits` hold for whatever is sent: a message that announces or reaches too much is refused, and where a terminal, or
all of them together, keep too much waiting, what has waited longest without a package is given up first.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final
from zlib import crc32

from protocols.jt808.header import V2013
from tracks.verdict import Reject

SERIALS: Final = 0x10000
ANY_SERIAL: Final = -1
MEDIA_DATA, MEDIA_DATA_RESPONSE, RESEND_REQUEST = 0x0801, 0x8800, 0x8003
MEDIA_ID_BYTES: Final = 4
PACKAGE_OVERHEAD_BYTES: Final = 160
"""What a package takes in memory beside its bytes: the object and its place in a dict (CPython 3.11)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and pauses. Unmeasured in the field; a picture of 5 MB in packages of 200 bytes fits."""

    message_bytes_max: int = 10 << 20
    terminal_bytes_max: int = 16 << 20
    terminal_messages_max: int = 8
    bytes_max: int = 128 << 20
    messages_max: int = 4096
    finished_packages_max: int = 1 << 17
    finished_s_max: float = 120.0
    """How many packages of finished messages are still known when they come again, and how long."""
    pause_s: float = 3.0
    """Silence after which missing packages are asked for; the second time it is twice as long, the third three times."""
    requests_max: int = 5
    """Requests in vain after which a message is given up."""
    indexes_max: int = 200
    """Packages in one request; 2013 counts them in one byte."""
    life_s_max: float = 1800.0
    """No message waits longer, however steadily its packages drop in."""


class Outcome(Enum):
    """What became of a package."""

    KEPT = auto()
    """It waits for the others."""
    REPEATED = auto()
    """It is here already, or was part of a message that is finished."""
    COMPLETE = auto()
    """It was the last one missing."""
    REFUSED = auto()
    """It is no package, or part of a message that is too large."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A message with all its packages."""

    terminal: Hashable
    edition: int
    message_id: int
    first_serial: int
    packages: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Added:
    """A package's outcome; the message that it made whole; why it was refused."""

    outcome: Outcome
    whole: Whole | None = None
    reason: Reject = Reject.NONE


class Why(Enum):
    """Why a message was given up."""

    SILENCE = auto()
    """Its terminal did not send what was missing."""
    AGE = auto()
    """It took too long altogether."""
    CONTRADICTED = auto()
    """A newer message began under its number."""
    TOO_LARGE = auto()
    NO_ROOM = auto()
    """Others needed its place."""
    FORGOTTEN = auto()
    """Its terminal is gone."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A message that was given up, with the packages that had come; they are left out when too much is lost at once."""

    terminal: Hashable
    edition: int
    message_id: int
    first_serial: int
    packages: int
    why: Why
    parts: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """Missing packages to ask a terminal for."""

    terminal: Hashable
    edition: int
    message_id: int
    first_serial: int
    indexes: tuple[int, ...]
    media_id: int | None = None
    """Of a 0x0801 whose first package is here."""

    @property
    def message(self) -> tuple[int, dict[str, Any]]:
        """Id and fields of the message that asks: 0x8800 for media, whose list is meant for this, otherwise 0x8003."""
        if self.media_id is not None:
            return MEDIA_DATA_RESPONSE, {"media_id": self.media_id, "indexes": list(self.indexes)}
        return RESEND_REQUEST, {"first_serial": self.first_serial, "indexes": list(self.indexes)}


@dataclass(frozen=True, slots=True)
class Due:
    """What time has brought: requests to send, and messages given up since the last time."""

    requests: list[Request]
    lost: list[Lost]


Key = tuple[Hashable, int, int, int]
"""Terminal, message id, packages, serial number of the first."""


@dataclass(slots=True)
class _Partial:
    """A message that waits for packages."""

    key: Key
    edition: int
    first_serial: int
    opened_s: float
    asked_s: float
    """When the last package came or the last request went."""
    parts: dict[int, bytes] = field(default_factory=dict)
    size: int = 0
    requests: int = 0

    def missing(self, most: int) -> tuple[int, ...]:
        """The first `most` indexes that are not here."""
        found: list[int] = []
        for index in range(1, self.key[2] + 1):
            if index not in self.parts:
                found.append(index)
                if len(found) == most:
                    break
        return tuple(found)

    @property
    def media_id(self) -> int | None:
        """The media's id, when it is here."""
        first = self.parts.get(1, b"")
        return int.from_bytes(first[:MEDIA_ID_BYTES], "big") if self.key[1] == MEDIA_DATA and len(first) >= MEDIA_ID_BYTES else None


class Reassembly:
    """All messages that wait for packages. Times are seconds of any clock that does not go back."""

    __slots__ = ("_finished", "_finished_packages", "_limits", "_lost", "_lost_bytes", "_partials", "_terminals", "held_bytes")

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        # both in the order of their last package: what has waited longest comes first
        self._partials: dict[Key, _Partial] = {}
        self._terminals: dict[Hashable, dict[Key, None]] = {}
        self._finished: dict[Key, tuple[float, array[int]]] = {}
        self._finished_packages = 0
        self._lost: list[Lost] = []
        self._lost_bytes = 0
        self.held_bytes = 0
        """Memory that waiting packages take."""

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._partials)

    def add(
        self,
        terminal: Hashable,
        *,
        edition: int,
        message_id: int,
        serial: int,
        total: int,
        index: int,
        body: bytes,
        now_s: float,
        loose: bool = False,
    ) -> Added:
        """Take package `index` of `total`; packages of one message may come in any order."""
        if not 1 <= index <= total:
            return Added(Outcome.REFUSED, reason=Reject.BAD_SUBPACKAGE)
        first_serial = (serial - index + 1) % SERIALS
        if total == 1:
            return Added(Outcome.COMPLETE, Whole(terminal, edition, message_id, first_serial, 1, body))
        key: Key = (terminal, message_id, total, ANY_SERIAL if loose else first_serial)
        if self._known(key, index, body, now_s):
            return Added(Outcome.REPEATED)
        size = len(body) + PACKAGE_OVERHEAD_BYTES
        partial = self._partials.get(key) or _Partial(key, edition, first_serial, now_s, now_s)
        # all packages but the last are of one size
        announced = total * size if index < total else 0
        if max(announced, partial.size + size) > self._limits.message_bytes_max:
            self._drop(key, Why.TOO_LARGE)
            return Added(Outcome.REFUSED, reason=Reject.OVERSIZE)
        self._touch(partial, now_s)
        partial.parts[index] = body
        partial.size += size
        self.held_bytes += size
        if len(partial.parts) == total:
            return Added(Outcome.COMPLETE, self._finish(partial, now_s))
        self._make_room(key)
        return Added(Outcome.KEPT)

    def due(self, now_s: float) -> Due:
        """What is to be asked for and what is given up at this time; to be called every second or so."""
        requests: list[Request] = []
        for partial in list(self._partials.values()):
            if now_s - partial.opened_s >= self._limits.life_s_max:
                self._drop(partial.key, Why.AGE)
            elif now_s - partial.asked_s >= self._limits.pause_s * (partial.requests + 1):
                if partial.requests >= self._limits.requests_max:
                    self._drop(partial.key, Why.SILENCE)
                    continue
                partial.requests += 1
                partial.asked_s = now_s
                if partial.edition >= V2013:  # 2011 knows no such request
                    requests.append(self._request(partial))
        lost, self._lost, self._lost_bytes = self._lost, [], 0
        return Due(requests, lost)

    def forget(self, terminal: Hashable) -> None:
        """Give up what a terminal has begun: it has logged out, or another one has its name now."""
        for key in list(self._terminals.get(terminal, ())):
            self._drop(key, Why.FORGOTTEN)

    def _known(self, key: Key, index: int, body: bytes, now_s: float) -> bool:
        """Whether this very package is here or was; one that contradicts it ends the older message."""
        partial = self._partials.get(key)
        if partial is not None:
            if index in partial.parts and partial.parts[index] != body:
                self._drop(key, Why.CONTRADICTED)
            return partial.parts.get(index) == body
        finished_s, sums = self._finished.get(key, (now_s, None))
        if sums is None:
            return False
        if sums[index - 1] == crc32(body) and now_s - finished_s < self._limits.finished_s_max:
            return True
        self._forget_finished(key)
        return False

    def _request(self, partial: _Partial) -> Request:
        return Request(
            partial.key[0],
            partial.edition,
            partial.key[1],
            partial.first_serial,
            partial.missing(self._limits.indexes_max),
            partial.media_id,
        )

    def _touch(self, partial: _Partial, now_s: float) -> None:
        """Put it behind all others: it has just had a package."""
        key = partial.key
        self._partials.pop(key, None)
        self._partials[key] = partial
        mine = self._terminals.setdefault(key[0], {})
        mine.pop(key, None)
        mine[key] = None
        partial.asked_s = now_s
        partial.requests = 0

    def _finish(self, partial: _Partial, now_s: float) -> Whole:
        terminal, message_id, total, mark = key = partial.key
        self._remove(key)
        parts = [partial.parts[index] for index in range(1, total + 1)]
        if mark != ANY_SERIAL:  # else the next message of the kind would be taken for this one
            self._finished[key] = now_s, array("I", map(crc32, parts))
            self._finished_packages += total
            while self._finished_packages > self._limits.finished_packages_max:
                self._forget_finished(next(iter(self._finished)))
        return Whole(terminal, partial.edition, message_id, partial.first_serial, total, b"".join(parts))

    def _forget_finished(self, key: Key) -> None:
        self._finished_packages -= len(self._finished.pop(key)[1])

    def _remove(self, key: Key) -> _Partial | None:
        partial = self._partials.pop(key, None)
        if partial is not None:
            self.held_bytes -= partial.size
            mine = self._terminals[key[0]]
            del mine[key]
            if not mine:
                del self._terminals[key[0]]
        return partial

    def _drop(self, key: Key, why: Why) -> None:
        """Give a message up; its packages are handed out with the next `due` unless too much is lost at once."""
        partial = self._remove(key)
        if partial is None or len(self._lost) >= self._limits.messages_max:
            return
        kept = self._lost_bytes + partial.size <= self._limits.terminal_bytes_max
        self._lost_bytes += partial.size if kept else 0
        terminal, message_id, total, _ = key
        parts = partial.parts if kept else {}
        self._lost.append(Lost(terminal, partial.edition, message_id, partial.first_serial, total, why, parts))

    def _make_room(self, newest: Key) -> None:
        """Give up what has waited longest, the terminal's own first, until all bounds hold; never the newest."""
        limits = self._limits
        mine = self._terminals[newest[0]]
        while len(mine) > limits.terminal_messages_max or (
            len(mine) > 1 and sum(self._partials[key].size for key in mine) > limits.terminal_bytes_max
        ):
            self._drop(next(iter(mine)), Why.NO_ROOM)
        while len(self._partials) > limits.messages_max or (len(self._partials) > 1 and self.held_bytes > limits.bytes_max):
            self._drop(next(iter(self._partials)), Why.NO_ROOM)
