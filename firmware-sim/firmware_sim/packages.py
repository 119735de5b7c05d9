"""Messages longer than a frame, on the terminal's side: cut on the way up and kept until they have arrived, joined on the way down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from protocols.jt808 import messages
from protocols.jt808.frames import Frame
from protocols.jt808.header import V2013, V2019

PACKAGE_BYTES: Final = 1_000
KEPT_MAX: Final = 8
"""Messages whose packages are kept for repetition, and messages down that are not whole yet; the oldest makes room."""


class Packages:
    """Of one terminal."""

    def __init__(self) -> None:
        self._sent: dict[int, list[bytes]] = {}
        """By the serial of the first package."""
        self._media: dict[int, int] = {}
        """Media id → that serial."""
        self._unanswered: set[int] = set()
        self._coming: dict[tuple[int, int, int], dict[int, bytes]] = {}
        self.repeated = 0
        """Packages sent again because the platform asked."""

    def cut(self, message_id: int, name: str, serial: int, body: bytes, edition: int, *, media_id: int | None) -> list[bytes]:
        """The frames of a long message, `serial` being the first one's."""
        pieces = [body[at : at + PACKAGE_BYTES] for at in range(0, len(body), PACKAGE_BYTES)]
        form = V2019 if edition == V2019 else V2013
        frames = [
            messages.encode(message_id, name, (serial + number) & 0xFFFF, piece, form, total=len(pieces), index=number + 1)
            for number, piece in enumerate(pieces)
        ]
        self._unanswered.update((serial + number) & 0xFFFF for number in range(len(pieces)))
        self._sent[serial] = frames
        if media_id is not None:
            self._media[media_id] = serial
        while len(self._sent) > KEPT_MAX:
            del self._sent[next(iter(self._sent))]
        return frames

    def answered(self, serial: int) -> bool:
        """Whether a general response with this serial answers one of our packages."""
        if serial not in self._unanswered:
            return False
        self._unanswered.discard(serial)
        return True

    def wanted(self, message_id: int, body: Mapping[str, Any]) -> list[bytes]:
        """The packages that a 0x8003 or 0x8800 asks for again, byte for byte as before."""
        serial = body["first_serial"] if message_id == 0x8003 else self._media.get(body["media_id"], -1)  # noqa: PLR2004
        frames = self._sent.get(serial, [])
        again = [frames[index - 1] for index in body["indexes"] if 0 < index <= len(frames)]
        self.repeated += len(again)
        return again

    def join(self, frame: Frame) -> tuple[int, int, bytes] | None:
        """Message id, serial of the first package and body of what has come whole; None while packages are missing."""
        if frame.total <= 1:
            return frame.message_id, frame.serial, frame.body
        first = (frame.serial - frame.index + 1) & 0xFFFF
        key = frame.message_id, frame.total, first
        parts = self._coming.setdefault(key, {})
        parts[frame.index] = frame.body
        if len(parts) < frame.total:
            while len(self._coming) > KEPT_MAX:
                del self._coming[next(iter(self._coming))]
            return None
        del self._coming[key]
        return frame.message_id, first, b"".join(parts[index] for index in sorted(parts))
