"""`Spans`: many byte strings in one buffer, each a half-open interval.

A batch of frames, of reports or of additional items is one `uint8` buffer with `start` and `stop`; nothing is copied until a
shape is known.
This is the only ragged thing in Dubhe: everything else is columns of equal length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spans:
    """`buffer[start[i]:stop[i]]` is the i-th byte string; spans may overlap, repeat and be empty."""

    buffer: Bytes
    start: Index
    stop: Index

    @classmethod
    def of(cls, pieces: Sequence[bytes]) -> Spans:
        """Lay `pieces` end to end in one buffer."""
        stop = np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)), dtype=np.int64)
        start = np.concatenate(([0], stop[:-1])).astype(np.int64) if len(pieces) else stop
        return cls(np.frombuffer(b"".join(pieces), np.uint8), start, stop)

    @classmethod
    def blank(cls, count: int) -> Spans:
        """So many byte strings, all empty."""
        return cls(np.empty(0, np.uint8), np.zeros(count, np.int64), np.zeros(count, np.int64))

    @classmethod
    def empty(cls) -> Spans:
        """No byte strings at all."""
        return cls.of([])

    def __len__(self) -> int:
        return len(self.start)

    @property
    def length(self) -> Index:
        """Bytes in each span."""
        return self.stop - self.start

    def take(self, rows: Index | Mask) -> Spans:
        """The spans at `rows` (indices or a mask), over the same buffer."""
        return Spans(self.buffer, self.start[rows], self.stop[rows])

    def bytes_at(self, row: int) -> bytes:
        """The i-th byte string, copied."""
        return self.buffer[self.start[row] : self.stop[row]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        return (self.bytes_at(row) for row in range(len(self)))

    def flat_index(self) -> Index:
        """Positions in `buffer` of every byte of every span, span after span."""
        length = self.length
        stop = np.cumsum(length)
        return np.arange(int(stop[-1]) if len(stop) else 0) + np.repeat(self.start - stop + length, length)

    def packed(self) -> Spans:
        """The same byte strings end to end in a buffer of their own (drops what no span covers)."""
        length = self.length
        stop = np.cumsum(length)
        return Spans(self.buffer[self.flat_index()], stop - length, stop)

    @staticmethod
    def concat(parts: Sequence[Spans]) -> Spans:
        """All spans of all parts, in order."""
        if not parts:
            return Spans.empty()
        shift = np.cumsum([0, *(len(part.buffer) for part in parts[:-1])])
        return Spans(
            np.concatenate([part.buffer for part in parts]),
            np.concatenate([part.start + by for part, by in zip(parts, shift, strict=True)]),
            np.concatenate([part.stop + by for part, by in zip(parts, shift, strict=True)]),
        )
