"""Columns → COPY BINARY bytes, in numpy alone.

A COPY row without NULLs has a fixed width: the field count, then length and value of each field. So rows are grouped by shape
(which fields are NULL, which word stands in the word field), and each group is one structured big-endian array made from a
template and one assignment a column. The evidence `raw` is ragged and comes last: rows and raw bytes are laid into the output
as windows at computed offsets, one assignment per distinct length.

psycopg's own formatter is the oracle: same bytes, row by row (tests/storage/test_copyrows.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tracks.batch import Batch
from tracks.fix import ABSENT, SOURCES
from tracks.spans import Bytes, Index, Spans
from tracks.verdict import Reject

BLOCK_BYTES: Final = 128 * 1024
"""psycopg hands libpq at most this much at once; larger was slower there."""

POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 UTC, where a timestamptz counts from."""

_HEAD: Final = np.frombuffer(b"PGCOPY\n\xff\r\n\0" + bytes(8), np.uint8)
_TAIL: Final = np.frombuffer(b"\xff\xff", np.uint8)
_BYTES_PER_LENGTH: Final = 400
"""From so many bytes for each distinct length of raw, an assignment per length beats a gather of single bytes (measured here)."""


@dataclass(frozen=True, slots=True)
class Field:
    """How one column of a batch becomes one field of a COPY row; the last field of a row is always the bytea `raw`.

    A text that differs from row to row may stand before it (`wire` and `words` are empty for both).
    """

    name: str
    of: str
    wire: str
    """numpy dtype of the value as PostgreSQL receives it."""
    optional: bool = False
    words: tuple[str, ...] = ()
    """For a text field: the column holds positions in this tuple."""


Shape = int
"""A number for the shape of a row: a bit for each optional field that is NULL, and the position of each word."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The fixed part of a row of one shape: all bytes that are the same in every row, and the fields that are not."""

    template: NDArray[np.void]
    present: tuple[Field, ...]

    @property
    def width(self) -> int:
        """Bytes before `raw`."""
        return self.template.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its fields in COPY order, and the layouts met so far."""

    name: str
    fields: tuple[Field, ...]
    layouts: dict[Shape, Layout] = field(default_factory=dict)

    @property
    def fixed(self) -> tuple[Field, ...]:
        """The fields whose width follows from the shape."""
        return tuple(each for each in self.fields if each.wire or each.words)

    @property
    def columns(self) -> str:
        """The column list of a statement."""
        return ", ".join(each.name for each in self.fields)

    def layout(self, shape: Shape) -> Layout:
        """The layout of `shape`; there are at most as many as patterns of NULL and words."""
        known = self.layouts.get(shape)
        if known is None:
            known = self.layouts[shape] = _layout(self, shape)
        return known


FIXES: Final = Table(
    "fixes",
    (
        Field("time", "time_us", ">i8"),
        Field("terminal_id", "terminal_id", ">i8"),
        Field("vehicle_id", "vehicle_id", ">i8", optional=True),
        Field("received_at", "received_us", ">i8"),
        Field("digest", "digest", ">i8"),
        Field("lat", "lat", ">f8", optional=True),
        Field("lon", "lon", ">f8", optional=True),
        Field("alarm_bits", "alarm_bits", ">i8"),
        Field("status_bits", "status_bits", ">i8"),
        Field("mileage_km", "mileage_km", ">f8", optional=True),
        Field("altitude_m", "altitude_m", ">f4", optional=True),
        Field("speed_kmh", "speed_kmh", ">f4", optional=True),
        Field("course_deg", "course_deg", ">f4", optional=True),
        Field("satellites", "satellites", ">i2", optional=True),
        Field("signal", "signal", ">i2", optional=True),
        Field("valid", "valid", "?"),
        Field("dated", "dated", "?"),
        Field("backfill", "backfill", "?"),
        Field("quality", "quality", ">i4"),
        Field("source", "source", "", words=SOURCES),
        Field("raw", "raw", ""),
    ),
)
"""The fixes, in the table's own order. NaN and the infinities of a float column that may be absent are NULL."""

QUARANTINE: Final = Table(
    "quarantine",
    (
        Field("received_at", "received_us", ">i8"),
        Field("terminal_id", "terminal_id", ">i8", optional=True),
        Field("message_id", "message_id", ">i4", optional=True),
        Field("reason", "reason", "", words=tuple(each.word for each in Reject)),
        Field("source", "source", "", words=SOURCES),
        Field("origin", "origin", ""),
        Field("raw", "raw", ""),
    ),
)
"""The refused bytes; the table numbers its rows itself."""


def copy_bytes(batch: Batch, table: Table) -> list[bytes]:
    """All rows of `batch` as one COPY BINARY stream, in blocks; rows come grouped by shape."""
    ragged: list[Spans] = [getattr(batch, each.of) for each in table.fields if not each.wire and not each.words]
    told = ragged[0].length
    raw = ragged[0] if len(ragged) == 1 else _with_its_length(*ragged)
    raw_length = raw.length
    groups = [(table.layout(shape), rows) for shape, rows in _groups(batch, table, len(raw))]
    body = sum(layout.width * len(rows) for layout, rows in groups) + int(raw_length.sum())
    out = np.empty(len(_HEAD) + body + len(_TAIL), np.uint8)
    out[: len(_HEAD)] = _HEAD
    out[len(out) - len(_TAIL) :] = _TAIL
    offset = len(_HEAD)
    raw_at = np.empty(len(raw), np.int64)
    for layout, rows in groups:
        whole = len(rows) == len(raw)
        length = raw_length if whole else raw_length[rows]
        stop = np.cumsum(length + layout.width) + offset
        at = stop - length
        _windows(out, layout.width)[at - layout.width] = _fixed_part(batch, layout, None if whole else rows, told if whole else told[rows])
        raw_at[rows] = at
        offset = int(stop[-1])
    _lay(out, raw_at, raw, raw_length)
    return [out[at : at + BLOCK_BYTES].tobytes() for at in range(0, len(out), BLOCK_BYTES)]


def _groups(batch: Batch, table: Table, count: int) -> Iterator[tuple[Shape, Index]]:
    """Shape and rows of each group, shapes ascending, rows in their order."""
    if count == 0:
        return
    shape = np.zeros(count, np.int64)
    for each in table.fixed:
        values = getattr(batch, each.of)
        if each.words:
            assert int(values.max()) < len(each.words), f"{each.name} has a word we do not know"
            shape *= len(each.words)
            shape += values
        elif each.optional:
            shape += shape
            shape += values == ABSENT if each.wire[1] == "i" else ~np.isfinite(values)
    first = int(shape[0])
    if (shape == first).all():
        yield first, np.arange(count)
        return
    order = np.argsort(shape, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(shape[order])) + 1):
        yield int(shape[rows[0]]), rows


def _layout(table: Table, shape: Shape) -> Layout:
    """Take `shape` apart again, last field first."""
    kinds: list[tuple[str, str]] = []
    constants: dict[str, Any] = {"fields": len(table.fields)}
    present = []
    for each in reversed(table.fixed):
        length = f"{each.name} length"
        if each.words:
            shape, position = divmod(shape, len(each.words))
            word = each.words[position].encode()
            kinds += [(each.name, f"V{len(word)}"), (length, ">i4")]
            constants |= {length: len(word), each.name: np.void(word)}
            continue
        if each.optional:
            shape, absent = divmod(shape, 2)
            if absent:
                kinds.append((length, ">i4"))
                constants[length] = -1
                continue
        kinds += [(each.name, each.wire), (length, ">i4")]
        constants[length] = np.dtype(each.wire).itemsize
        present.append(each)
    assert shape == 0
    template = np.zeros(1, [("fields", ">i2"), *reversed(kinds), ("raw length", ">i4")])
    for name, constant in constants.items():
        template[name] = constant
    return Layout(template, tuple(present))


def _fixed_part(batch: Batch, layout: Layout, rows: Index | None, length: Index) -> NDArray[np.void]:
    """The rows without their `raw`; None stands for every row of the batch."""
    out = np.repeat(layout.template, len(length))
    for each in layout.present:
        values = getattr(batch, each.of)
        if rows is not None:
            values = values[rows]
        out[each.name] = values - POSTGRES_EPOCH_US if each.of.endswith("_us") else values
    out["raw length"] = length
    return out.view(f"V{layout.width}")


def _windows(buffer: Bytes, width: int) -> NDArray[np.void]:
    """Every stretch of `width` bytes of `buffer`, by where it starts; assigning to one writes into `buffer`."""
    return np.ndarray((max(len(buffer) - width + 1, 0),), f"V{width}", buffer, 0, (1,))


def _with_its_length(text: Spans, raw: Spans) -> Spans:
    """Each text, then the length of its row's `raw` and the bytes themselves, as they follow one another in a COPY row."""
    length = text.length + raw.length + 4
    stop = np.cumsum(length)
    out = np.empty(int(length.sum()), np.uint8)
    at = stop - raw.length
    _lay(out, stop - length, text, text.length)
    if len(at):
        _windows(out, 4)[at - 4] = raw.length.astype(">i4").view("V4")
    _lay(out, at, raw, raw.length)
    return Spans(out, stop - length, stop)


def _lay(out: Bytes, at: Index, raw: Spans, length: Index) -> None:
    """Copy each byte string of `raw` to its place in `out`."""
    if len(length) == 0:
        return
    order = np.argsort(length)
    cuts = (np.flatnonzero(np.diff(length[order])) + 1).tolist()
    if int(length.sum()) < len(cuts) * _BYTES_PER_LENGTH:
        out[Spans(out, at, at + length).flat_index()] = raw.buffer[raw.flat_index()]
        return
    at, start, length = at[order], raw.start[order], length[order]
    for begin, end in pairwise([0, *cuts, len(order)]):
        width = int(length[begin])
        if width:
            _windows(out, width)[at[begin:end]] = _windows(raw.buffer, width)[start[begin:end]]
