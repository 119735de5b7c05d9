"""7E … 7E and 7D: where frames begin and end in a stream, and how their bytes travel (JT/T 808-2019 §4.4.2).

7E is a separator: a single one between two frames will do, and empty pieces mean nothing (quirk A11). Whatever lies between two
separators is a piece; whether it is a frame is decided in `frames.py`.
Escapes are undone in one pass. A 7D that is followed by neither 01 nor 02 stays as it is: some senders forget to escape it
(quirks A2, A4), and checksum and length tell whether this one did.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import Final

import numpy as np

from protocols.errors import Oversize
from tracks.spans import Bytes, Index, Mask, Spans

FLAG: Final = 0x7E
ESCAPE: Final = 0x7D
MASKED: Final = 0x7C
"""The second byte of an escape is the byte it stands for minus this: 7D 01 → 7D, 7D 02 → 7E."""

FRAME_BYTES_MAX: Final = 21 + 1023 + 1
"""The longest frame that a header can declare: 2019 header with package item, body, checksum."""

PADDING: Final = 24
"""Zero bytes behind unescaped frames, so that a header's width can be read at the start of the shortest piece."""


class Deframer:
    """The unfinished frame at the end of one stream.

    `feed` gives back whole pieces and keeps the rest. A caller whose tail is empty and whose data ends in a flag need not feed.
    """

    __slots__ = ("limit", "tail")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.limit = 2 * frame_bytes_max  # every byte of a frame may be escaped
        self.tail = b""

    def feed(self, data: bytes) -> bytes:
        """Everything up to and with the last flag, after the kept tail; raises Oversize when a frame does not end in time."""
        cut = data.rfind(b"\x7e") + 1
        if cut:
            whole, self.tail = self.tail + data[:cut], data[cut:]
        else:
            whole, self.tail = b"", self.tail + data
        longest = max(len(self.tail), max(map(len, whole.split(b"\x7e"))) if len(whole) > self.limit else 0)
        if longest > self.limit:
            self.tail = b""
            msg = f"{longest} bytes without a 7E; the longest frame takes {self.limit}"
            raise Oversize(msg)
        return whole


def closed(buffer: Bytes, chunk_stop: Index) -> tuple[Bytes, Index]:
    """The same chunks, each ending in a flag: a chunk that breaks off gets one, so that no frame spans two chunks."""
    chunk_start = np.empty_like(chunk_stop)
    chunk_start[:1] = 0
    chunk_start[1:] = chunk_stop[:-1]
    broken = chunk_stop > chunk_start
    broken[broken] = buffer[chunk_stop[broken] - 1] != FLAG
    if not broken.any():
        return buffer, chunk_stop
    return np.insert(buffer, chunk_stop[broken], FLAG), chunk_stop + np.cumsum(broken)


def unescape(pieces: Spans) -> tuple[Spans, Mask]:
    """The pieces as sent, over a new buffer with the flags still between them; and which of them have a 7D that escapes nothing."""
    buffer = pieces.buffer
    doubtful = np.zeros(len(pieces), np.bool_)
    clean = np.concatenate((buffer, np.zeros(PADDING, np.uint8)))
    at = np.flatnonzero(buffer == ESCAPE)
    if len(at) == 0:
        return Spans(clean, pieces.start, pieces.stop), doubtful
    code = clean[at + 1]
    good = (code == 1) | (code == 2)  # noqa: PLR2004 - the two escapes there are
    if not good.all():
        doubtful[np.searchsorted(pieces.start, at[~good], "right") - 1] = True
        at, code = at[good], code[good]
    clean[at] = code + np.uint8(MASKED)
    keep = np.ones(len(clean), np.bool_)
    keep[at + 1] = False
    return Spans(clean[keep], pieces.start - np.searchsorted(at, pieces.start), pieces.stop - np.searchsorted(at, pieces.stop)), doubtful


def escape(frames: Spans) -> Spans:
    """Frames whose first and last byte are zero to make room for the flags, with bytes escaped and flags set; changes their buffer."""
    buffer, start, stop = frames.buffer, frames.start, frames.stop
    at = np.flatnonzero((buffer == FLAG) | (buffer == ESCAPE))
    if len(at):
        code = buffer[at] - np.uint8(MASKED)
        times = np.ones(len(buffer), np.intp)
        times[at] = 2
        buffer = np.repeat(buffer, times)
        first = at + np.arange(len(at))
        buffer[first] = ESCAPE
        buffer[first + 1] = code
        start = start + np.searchsorted(at, start)
        stop = stop + np.searchsorted(at, stop)
    buffer[start] = FLAG
    buffer[stop - 1] = FLAG
    return Spans(buffer, start, stop)


def wrap(content: bytes) -> bytes:
    """Header and body as one frame on the wire: checksum, escapes, flags."""
    summed = content + bytes([reduce(xor, content, 0)])
    return b"\x7e" + summed.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02") + b"\x7e"


def unwrap(piece: bytes) -> tuple[bytes, bool]:
    """One piece with its escapes undone, and whether a 7D in it escaped nothing: the plain twin of `unescape`."""
    out = bytearray()
    doubtful = False
    at = 0
    while at < len(piece):
        if piece[at] == ESCAPE and piece[at + 1 : at + 2] in (b"\x01", b"\x02"):
            out.append(MASKED + piece[at + 1])
            at += 2
            continue
        doubtful |= piece[at] == ESCAPE
        out.append(piece[at])
        at += 1
    return bytes(out), doubtful
