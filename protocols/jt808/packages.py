"""Messages that go in packages: cut, numbered, and kept for a while so that a terminal may ask for some of them again (0x0005).

What is sent again is the same to the last byte, as the standard wants. No clock, no socket.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from protocols.jt808.header import LENGTH_BITS, encode

PACKAGE_BODY_BYTES: Final = 1000
"""A header could say 1023; terminals' buffers are often round. Unmeasured."""
PACKAGES_MAX: Final = 0xFFFF
SERIALS: Final = 0x10000


def packages(
    message_id: int,
    terminal: str,
    first_serial: int,
    body: bytes,
    edition: int,
    *,
    protocol_version: int = 1,
    body_bytes_max: int = PACKAGE_BODY_BYTES,
) -> list[bytes]:
    """The frames of a message with consecutive serial numbers from `first_serial` on; just one where the body fits.

    Raises ValueError for a body that takes more packages than there are numbers for, or a terminal whose name the header cannot carry.
    """
    if len(body) <= min(LENGTH_BITS, body_bytes_max):
        return [encode(message_id, terminal, first_serial, body, edition, protocol_version=protocol_version)]
    parts = [body[at : at + body_bytes_max] for at in range(0, len(body), body_bytes_max)]
    if len(parts) > PACKAGES_MAX:
        msg = f"a body of {len(body)} bytes takes {len(parts)} packages, a message has {PACKAGES_MAX} at most"
        raise ValueError(msg)
    return [
        encode(
            message_id,
            terminal,
            (first_serial + number) % SERIALS,
            part,
            edition,
            total=len(parts),
            index=number + 1,
            protocol_version=protocol_version,
        )
        for number, part in enumerate(parts)
    ]


@dataclass(slots=True)
class _Sent:
    frames: Sequence[bytes]
    size: int
    sent_s: float


class Sent:
    """What has been sent in packages, newest last; bounded in bytes and age."""

    __slots__ = ("_age_s_max", "_bytes_max", "_messages", "held_bytes")

    def __init__(self, bytes_max: int = 64 << 20, age_s_max: float = 600.0) -> None:
        self._bytes_max, self._age_s_max = bytes_max, age_s_max
        self._messages: dict[tuple[Hashable, int], _Sent] = {}
        self.held_bytes = 0

    def __len__(self) -> int:
        """Messages that can be sent again."""
        return len(self._messages)

    def keep(self, terminal: Hashable, first_serial: int, frames: Sequence[bytes], now_s: float) -> None:
        """Remember the frames of a message; a single frame needs no memory, for nobody can ask for it."""
        self.expire(now_s)
        self._drop((terminal, first_serial))
        if len(frames) > 1:
            size = sum(map(len, frames))
            self._messages[terminal, first_serial] = _Sent(frames, size, now_s)
            self.held_bytes += size
            while self.held_bytes > self._bytes_max:
                self._drop(next(iter(self._messages)))

    def again(self, terminal: Hashable, first_serial: int, indexes: Sequence[int]) -> list[bytes]:
        """The frames that a 0x0005 asks for, each once, in the order of their indexes; what is not known any more is left out."""
        sent = self._messages.get((terminal, first_serial))
        if sent is None:
            return []
        return [sent.frames[index - 1] for index in sorted(set(indexes)) if 1 <= index <= len(sent.frames)]

    def forget(self, terminal: Hashable) -> None:
        """Drop what was sent to a terminal that is gone."""
        for key in [key for key in self._messages if key[0] == terminal]:
            self._drop(key)

    def expire(self, now_s: float) -> None:
        """Drop what is too old to be asked for."""
        while self._messages:
            oldest = next(iter(self._messages))
            if now_s - self._messages[oldest].sent_s < self._age_s_max:
                break
            self._drop(oldest)

    def _drop(self, key: tuple[Hashable, int]) -> None:
        sent = self._messages.pop(key, None)
        if sent is not None:
            self.held_bytes -= sent.size
