"""The stream of an alarm's attachments (T/JSATL 12-2017): JT/T 808 frames and file data mixed on one link, told apart by how they begin.

File data opens with 30 31 63 64, a name of 50 bytes, offset and length, is not escaped and not answered; a frame opens with 7E. Whatever
else is between them is skipped up to the next beginning of either. No clock, no socket; memory is bounded by one piece of data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from construct import Bytes, Const, Int32ub, Struct

from protocols.errors import Oversize
from protocols.jt808.framing import FLAG, FRAME_BYTES_MAX
from protocols.text import FixedText, Text

FLAG_BYTE: Final = bytes([FLAG])
MAGIC: Final = b"\x30\x31\x63\x64"
NAME_BYTES: Final = 50
HEAD: Final = Struct("magic" / Const(MAGIC, Bytes(len(MAGIC))), "name" / FixedText(NAME_BYTES), "offset" / Int32ub, "length" / Int32ub)
HEAD_BYTES: Final = HEAD.sizeof()
PIECE_BYTES_MAX: Final = 1 << 20
"""The standard's own pieces have 64 KiB."""
_WIRE_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX + 2


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file. The name is the terminal's word for it, never a path."""

    name: Text
    offset: int
    data: bytes


def piece_bytes(name: str, offset: int, data: bytes) -> bytes:
    """A piece of a file as it travels."""
    head: bytes = HEAD.build({"name": name, "offset": offset, "length": len(data)})
    return head + data


class Attachments:
    """What comes over one link of an attachment server."""

    __slots__ = ("_flagged", "_piece_bytes_max", "_tail", "skipped")

    def __init__(self, piece_bytes_max: int = PIECE_BYTES_MAX) -> None:
        self._piece_bytes_max = piece_bytes_max
        self._tail = b""
        # whether a flag stands before the tail: the end of one frame may be the beginning of the next
        self._flagged = False
        self.skipped = 0
        """Bytes that were neither frame nor file."""

    def feed(self, data: bytes) -> list[bytes | Piece]:
        """Whole frames (from flag to flag, still escaped) and pieces, in order; raises Oversize when one is longer than any may be."""
        self._tail += data
        found: list[bytes | Piece] = []
        while True:
            tail = self._tail.lstrip(FLAG_BYTE)
            self._flagged |= len(tail) < len(self._tail)
            self._tail = tail
            if tail.startswith(MAGIC):
                taken: bytes | Piece | None = self._piece()
            elif MAGIC.startswith(tail):
                return found
            elif self._flagged:
                taken = self._frame()
            else:
                self._skip()
                continue
            if taken is None:
                return found
            found.append(taken)

    def _skip(self) -> None:
        """Go on to where the next frame or piece begins, or may: a magic that is not whole yet is kept."""
        begun = [at for at in (self._tail.find(FLAG_BYTE), self._tail.find(MAGIC)) if at >= 0]
        short = next((count for count in range(len(MAGIC) - 1, 0, -1) if self._tail.endswith(MAGIC[:count])), 0)
        at = min(begun) if begun else len(self._tail) - short
        self.skipped += at
        self._tail = self._tail[at:]

    def _piece(self) -> Piece | None:
        """The piece at the beginning, when it is here whole."""
        if len(self._tail) < HEAD_BYTES:
            return None
        head = HEAD.parse(self._tail)
        if head.length > self._piece_bytes_max:
            msg = f"a piece of {head.length} bytes; {self._piece_bytes_max} are taken at once"
            raise Oversize(msg)
        end = HEAD_BYTES + head.length
        if len(self._tail) < end:
            return None
        data, self._tail, self._flagged = self._tail[HEAD_BYTES:end], self._tail[end:], False
        return Piece(head.name, head.offset, data)

    def _frame(self) -> bytes | None:
        """The frame at the beginning, when it has ended."""
        end = self._tail.find(FLAG_BYTE)
        if end < 0:
            if len(self._tail) > _WIRE_BYTES_MAX:
                msg = f"{len(self._tail)} bytes without a 7E; the longest frame takes {_WIRE_BYTES_MAX}"
                raise Oversize(msg)
            return None
        frame, self._tail = FLAG_BYTE + self._tail[: end + 1], self._tail[end:]
        return frame
