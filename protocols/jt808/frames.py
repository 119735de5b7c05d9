"""Frames: every piece between flags becomes a row with its header as columns and, where it is no good, the reason.

`split` reads a whole batch of chunks (what connections delivered, end to end) with numpy; `frame_of` reads one piece plainly and is the
oracle that `split` is held against. Neither ever raises for bytes.

- The header's form is said by bit 14; where the declared length fits only the other form, the other form it is (quirks B1, B2).
- The body is what the header declares, or what is there if that is less; if the two differ the frame is refused as LENGTH_MISMATCH but
  still readable (quirk B7).
- The serial number of three messages of a vendor has one byte (quirk B6).
- Reasons in order: TRUNCATED (no whole header), BAD_ESCAPE (a stray 7D, and checksum or length do not bear it out), CHECKSUM,
  LENGTH_MISMATCH, BAD_SUBPACKAGE (quirk F3).
- A raw 7E inside a body cuts a frame into bad pieces (quirk A5): when the first declares a length that ends exactly where a later piece of
  the same chunk ends, and the checksum over all of it is right, and none of the pieces is good by itself, they are one frame.
- Encryption bits are reported, not acted on: bodies often come in clear all the same (quirk B4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.columnar import Column, xor
from protocols.columnar import split as pieces_of
from protocols.jt808.framing import FLAG, closed, unescape, unwrap
from protocols.jt808.header import (
    BYTES_2013,
    BYTES_2019,
    ENCRYPTION_BITS,
    ENCRYPTION_SHIFT,
    HEADER_2013,
    HEADER_2013_LAYOUT,
    HEADER_2019,
    HEADER_2019_LAYOUT,
    LEAD_LAYOUT,
    LENGTH_BITS,
    PACKAGE,
    PACKAGE_BYTES,
    PACKAGE_LAYOUT,
    PACKAGED_BIT,
    RESERVED_BIT,
    SHORT_SERIAL_IDS,
    V2013,
    V2019,
    VERSION_BIT,
    VERSION_BYTES,
)
from tracks.batch import Batch, column
from tracks.fix import ABSENT
from tracks.spans import Bytes, Index, Mask, Spans
from tracks.terminal import key_of
from tracks.verdict import Reject


@dataclass(frozen=True, slots=True)
class FrameBatch(Batch):
    """One row per piece between flags. A truncated one has zeros where its header breaks off, and message id ABSENT."""

    chunk: NDArray[np.int32] = column("int32", "", "row of the chunk it came in")
    message_id: NDArray[np.int32] = column("int32", "", "message id, or absent")
    edition: NDArray[np.uint8] = column("uint8", "", "form of the header: position of 2013 or 2019 in EDITIONS")
    protocol_version: NDArray[np.uint8] = column("uint8", "", "version byte of a 2019 header, 0 before")
    phone_high: NDArray[np.uint64] = column("uint64", "", "upper 16 bits of the 20 digits")
    phone_low: NDArray[np.uint64] = column("uint64", "", "lower 64 bits of the 20 digits")
    serial: NDArray[np.uint16] = column("uint16", "", "serial number of the sender")
    total: NDArray[np.uint16] = column("uint16", "", "packages of the message, 0 when it is not sub-packaged")
    index: NDArray[np.uint16] = column("uint16", "", "which of them, from 1; 0 when it is not sub-packaged")
    encryption: NDArray[np.uint8] = column("uint8", "", "bits 10 to 12 of the attributes")
    reserved15: NDArray[np.bool_] = column("bool", "", "bit 15 of the attributes (quirk B5)")
    declared: NDArray[np.int32] = column("int32", "bytes", "length of the body as the header declares it")
    actual: NDArray[np.int32] = column("int32", "bytes", "length of the body as it is; negative when the header is cut")
    reject: NDArray[np.uint8] = column("uint8", "", "Reject; NONE when the frame is good")
    body: Spans = column(None, "", "the body, unescaped")
    raw: Spans = column(None, "", "the piece as it came, escaped, without flags")


def split(buffer: Bytes, chunk_stop: Index) -> FrameBatch:
    """Read every frame of `buffer`, whose chunks end at `chunk_stop`; pieces do not cross chunks."""
    buffer, chunk_stop = closed(buffer, chunk_stop)
    raw = pieces_of(buffer, FLAG)
    if len(raw) == 0:
        return FrameBatch.empty()
    clean, doubtful = unescape(raw)
    pieces = _Pieces(raw, clean, doubtful, np.searchsorted(chunk_stop, raw.start, "right"))
    frames = _read(pieces)
    bad = frames.reject != Reject.NONE
    if bad.any():
        first, last = _torn(pieces, bad)
        if len(first):
            frames = _read(pieces.mended(first, last))
    return frames


@dataclass(frozen=True, slots=True)
class _Pieces:
    """What lies between flags, as it came and as it was meant; which have a stray 7D; the chunk each came in."""

    raw: Spans
    clean: Spans
    doubtful: Mask
    chunk: Index

    def mended(self, first: Index, last: Index) -> _Pieces:
        """The same pieces with each run `first`..`last` as one."""
        edge = np.zeros(len(self.raw) + 1, np.int64)
        edge[first + 1] += 1
        edge[last + 1] -= 1
        keep = np.cumsum(edge)[:-1] == 0
        raw_stop, clean_stop = self.raw.stop.copy(), self.clean.stop.copy()
        raw_stop[first], clean_stop[first] = self.raw.stop[last], self.clean.stop[last]
        return _Pieces(
            Spans(self.raw.buffer, self.raw.start[keep], raw_stop[keep]),
            Spans(self.clean.buffer, self.clean.start[keep], clean_stop[keep]),
            np.logical_or.reduceat(self.doubtful, np.flatnonzero(keep)),
            self.chunk[keep],
        )


def _read(pieces: _Pieces) -> FrameBatch:
    """The rows of these pieces: checksum, header, reason."""
    clean, start = pieces.clean, pieces.clean.start
    buffer = clean.buffer
    length = clean.length
    lead = LEAD_LAYOUT.cast(buffer, start)
    attributes = lead["attributes"]
    tiny = length < LEAD_LAYOUT.itemsize
    if tiny.any():
        # what was read there belongs to the flag and the next piece, but for one byte of three
        attributes &= np.where(tiny, np.where(length == LEAD_LAYOUT.itemsize - 1, 0xFF00, 0), 0xFFFF).astype(np.uint16)
    declared = (attributes & LENGTH_BITS).astype(np.int64)
    packaged = (attributes & PACKAGED_BIT) != 0
    modern = (attributes & VERSION_BIT) != 0
    short = _short_serials(lead["message_id"])
    header = BYTES_2013 + VERSION_BYTES * modern + PACKAGE_BYTES * packaged - short
    actual = length - header - 1
    misfit = actual != declared
    if misfit.any():
        other = np.where(modern, VERSION_BYTES, -VERSION_BYTES)
        swap = misfit & (actual + other == declared)
        modern ^= swap
        header -= other * swap
        actual += other * swap
        misfit ^= swap
    reject = np.where(misfit, Reject.LENGTH_MISMATCH, Reject.NONE).astype(np.uint8)
    reject[xor(clean) != 0] = Reject.CHECKSUM
    head = _headers(buffer, start, modern)
    total = index = np.zeros(len(start), np.uint16)
    if packaged.any():
        package = PACKAGE_LAYOUT.cast(buffer, start + header - PACKAGE_BYTES * packaged)
        total, index = package["total"] * packaged, package["index"] * packaged
        nonsense = packaged & ((index == 0) | (index > total))
        reject[nonsense & (reject == Reject.NONE)] = Reject.BAD_SUBPACKAGE
    reject[pieces.doubtful & (reject != Reject.NONE)] = Reject.BAD_ESCAPE
    message_id, version, serial = head["message_id"].astype(np.int32), head["protocol_version"], head["serial"]
    high, low = head["phone"]
    if short.any():
        serial = np.where(short, serial >> 8, serial)
    cut = actual < 0
    if cut.any():
        reject[cut] = Reject.TRUNCATED
        message_id[tiny] = ABSENT
        version[length <= LEAD_LAYOUT.itemsize] = 0
        unread = length < header - PACKAGE_BYTES * packaged
        high, low, serial = high * ~unread, low * ~unread, serial * ~unread
        total, index = total * ~cut, index * ~cut
    begin = start + np.minimum(header, length)
    return FrameBatch(
        chunk=pieces.chunk.astype(np.int32),
        message_id=message_id,
        edition=np.where(modern, V2019, V2013).astype(np.uint8),
        protocol_version=version,
        phone_high=high,
        phone_low=low,
        serial=serial,
        total=total,
        index=index,
        encryption=(attributes >> ENCRYPTION_SHIFT & ENCRYPTION_BITS).astype(np.uint8),
        reserved15=(attributes & RESERVED_BIT) != 0,
        declared=declared.astype(np.int32),
        actual=actual.astype(np.int32),
        reject=reject,
        body=Spans(buffer, begin, begin + np.maximum(np.minimum(declared, actual), 0)),
        raw=pieces.raw,
    )


def _short_serials(message_id: Column) -> Mask:
    """Which rows have a serial number of one byte."""
    first, *others = SHORT_SERIAL_IDS
    short: Mask = message_id == first
    for other in others:
        short |= message_id == other
    return short


def _headers(buffer: Bytes, start: Index, modern: Mask) -> dict[str, Column]:
    """The header columns, each row by its own form."""
    if modern.all():
        return HEADER_2019_LAYOUT.cast(buffer, start)
    old = HEADER_2013_LAYOUT.cast(buffer, start)
    old["protocol_version"] = np.zeros(len(start), np.uint8)
    if not modern.any():
        return old
    new = HEADER_2019_LAYOUT.cast(buffer, start)
    return {name: np.where(modern, new[name], old[name]) for name in old}


def _torn(pieces: _Pieces, bad: Mask) -> tuple[Index, Index]:
    """Runs of pieces, first and last of each, that a raw 7E has cut from one frame."""
    clean, chunk = pieces.clean, pieces.chunk
    rows = np.flatnonzero(bad)
    attributes = LEAD_LAYOUT.cast(clean.buffer, clean.start[rows])["attributes"]
    header = BYTES_2013 + VERSION_BYTES * ((attributes & VERSION_BIT) != 0) + PACKAGE_BYTES * ((attributes & PACKAGED_BIT) != 0)
    goal = clean.start[rows] + header + (attributes & LENGTH_BITS) + 1
    last = np.minimum(np.searchsorted(clean.stop, goal), len(clean) - 1)
    good_before = np.concatenate(([0], np.cumsum(~bad)))
    alike = (clean.stop[last] == goal) & (last > rows) & (chunk[last] == chunk[rows])
    alike &= good_before[last + 1] == good_before[rows]
    rows, last, goal = rows[alike], last[alike], goal[alike]
    sound = xor(Spans(clean.buffer, clean.start[rows], goal)) == 0
    first: list[int] = []
    final: list[int] = []
    for row, end in zip(rows[sound].tolist(), last[sound].tolist(), strict=True):
        if not final or row > final[-1]:
            first.append(row)
            final.append(end)
    return np.array(first, np.int64), np.array(final, np.int64)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, read plainly; the fields mean what the columns of `FrameBatch` mean, `phone` is the digits as sent."""

    message_id: int
    edition: int
    protocol_version: int
    phone: str
    serial: int
    total: int
    index: int
    encryption: int
    reserved15: bool
    declared: int
    actual: int
    reject: Reject
    body: bytes

    @property
    def key(self) -> tuple[int, int]:
        """The phone number as the two key columns."""
        return key_of(self.phone or "0")


CHECKSUM_BYTES: Final = 1


def frame_of(wire: bytes) -> Frame:
    """Read one piece, with or without its flags. Never raises; `reject` says what is wrong."""
    data, doubtful = unwrap(wire.strip(b"\x7e"))
    padded = data + bytes(BYTES_2019 + PACKAGE_BYTES)
    attributes = int.from_bytes(padded[2:4], "big")
    declared = attributes & LENGTH_BITS
    packaged = bool(attributes & PACKAGED_BIT)
    modern = bool(attributes & VERSION_BIT)
    short = int.from_bytes(padded[:2], "big") in SHORT_SERIAL_IDS

    def actual_of(form: bool) -> int:  # noqa: FBT001 - the form is the version bit
        return len(data) - (BYTES_2019 if form else BYTES_2013) + short - PACKAGE_BYTES * packaged - CHECKSUM_BYTES

    if actual_of(modern) != declared and actual_of(not modern) == declared:
        modern = not modern
    actual = actual_of(modern)
    struct = HEADER_2019 if modern else HEADER_2013
    head = struct.parse(padded)
    package = PACKAGE.parse(padded[struct.sizeof() - short :]) if packaged else None
    total, index = (package.total, package.index) if package and actual >= 0 else (0, 0)
    checksum = 0
    for byte in data:
        checksum ^= byte
    reject = Reject.NONE
    if actual < 0:
        reject = Reject.TRUNCATED
    elif doubtful and (checksum or actual != declared or (packaged and not 1 <= index <= total)):
        reject = Reject.BAD_ESCAPE
    elif checksum:
        reject = Reject.CHECKSUM
    elif actual != declared:
        reject = Reject.LENGTH_MISMATCH
    elif packaged and not 1 <= index <= total:
        reject = Reject.BAD_SUBPACKAGE
    whole = len(data) >= struct.sizeof() - short
    begin = min(struct.sizeof() - short + PACKAGE_BYTES * packaged, len(data))
    return Frame(
        message_id=head.message_id if len(data) >= LEAD_LAYOUT.itemsize else ABSENT,
        edition=V2019 if modern else V2013,
        protocol_version=head.protocol_version if modern else 0,
        phone=head.phone if whole else "",
        serial=head.serial >> 8 * short if whole else 0,
        total=total,
        index=index,
        encryption=attributes >> ENCRYPTION_SHIFT & ENCRYPTION_BITS,
        reserved15=bool(attributes & RESERVED_BIT),
        declared=declared,
        actual=actual,
        reject=reject,
        body=data[begin : begin + max(min(declared, actual), 0)],
    )
