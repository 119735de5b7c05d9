"""Columns → COPY BINARY bytes, in numpy alone.

A COPY row without NULLs has a fixed width: the field count, then length and value of each field. So rows are grouped by shape
(which fields are NULL, which word stands in the word field), and each group is one structured big-endian array made from a
template and one assignment a column. The evidence `raw` is ragged and comes last: rows and raw bytes are laid into the output
as windows at computed offsets, one assignment per distinct length.

psycopg's own formatter is the oracle: same bytes, row by row (tests/storage/test_copyrows.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
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

_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL: Final = b"\xff\xff"
_BYTES_PER_LENGTH: Final = 400
"""From so many bytes for each distinct length of raw, an assignment per length beats a gather of single bytes (measured here)."""


@dataclass(frozen=True, slots=True)
class Field:
    """How one column of a batch becomes one field of a COPY row; the last field of a row is always the bytea `raw`."""

    name: str
    of: str
    wire: str
    """numpy dtype of the value as PostgreSQL receives it."""
    optional: bool = False
    words: tuple[str, ...] = ()
    """For a text field: the column holds positions in this tuple."""


FIXES: Final = (
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
    Field("source", "source", "", words=SOURCES),
    Field("raw", "raw", ""),
)
"""The table `fixes`, in its own order."""

QUARANTINE: Final = (
    Field("received_at", "received_us", ">i8"),
    Field("terminal_id", "terminal_id", ">i8", optional=True),
    Field("message_id", "message_id", ">i4", optional=True),
    Field("reason", "reason", "", words=tuple(each.word for each in Reject)),
    Field("source", "source", "", words=SOURCES),
    Field("raw", "raw", ""),
)
"""The table `quarantine`, but for its own id."""


def copy_bytes(batch: Batch, fields: tuple[Field, ...]) -> list[bytes]:
    """All rows of `batch` as one COPY BINARY stream, in blocks; rows come grouped by shape."""
    raw: Spans = getattr(batch, fields[-1].of)
    raw_length = raw.length
    groups = list(_groups(batch, fields))
    widths = [_layout(fields, shape).dtype.itemsize for shape, _ in groups]
    body = sum(width * len(rows) for width, (_, rows) in zip(widths, groups, strict=True)) + int(raw_length.sum())
    out = np.empty(len(_HEAD) + body + len(_TAIL), np.uint8)
    out[: len(_HEAD)] = np.frombuffer(_HEAD, np.uint8)
    out[len(out) - len(_TAIL) :] = np.frombuffer(_TAIL, np.uint8)
    offset = len(_HEAD)
    raw_at = np.empty(len(batch), np.int64)
    for width, (shape, rows) in zip(widths, groups, strict=True):
        length = raw_length[rows]
        stop = np.cumsum(length + width) + offset
        start = stop - length
        start -= width
        _windows(out, width)[start] = _fixed_part(batch, fields, shape, rows, length).view(f"V{width}")
        raw_at[rows] = start + width
        offset = int(stop[-1])
    _lay(out, raw_at, raw, raw_length)
    return [out[at : at + BLOCK_BYTES].tobytes() for at in range(0, len(out), BLOCK_BYTES)]


Shape = int
"""A number for the shape of a row: a bit for each optional field that is NULL, and the position of each word."""


def _groups(batch: Batch, fields: tuple[Field, ...]) -> Iterator[tuple[Shape, Index]]:
    """Shape and rows of each group, shapes ascending, rows in their order."""
    if len(batch) == 0:
        return
    shape = np.zeros(len(batch), np.int64)
    for field in fields[:-1]:
        values = getattr(batch, field.of)
        if field.words:
            assert int(values.max()) < len(field.words)
            shape *= len(field.words)
            shape += values
        elif field.optional:
            shape += shape
            shape += ~np.isfinite(values) if field.wire[1] == "f" else values == ABSENT
    if (shape == shape[0]).all():
        yield int(shape[0]), np.arange(len(batch))
        return
    order = np.argsort(shape, kind="stable")
    edges = np.flatnonzero(np.diff(shape[order])) + 1
    for rows in np.split(order, edges):
        yield int(shape[rows[0]]), rows


@dataclass(frozen=True, slots=True)
class _Layout:
    """The fixed part of a row of one shape: dtype, all bytes that are the same in every row, and the fields that are not."""

    dtype: np.dtype[np.void]
    template: NDArray[np.void]
    present: tuple[Field, ...]


@lru_cache(maxsize=4096)
def _layout(fields: tuple[Field, ...], shape: Shape) -> _Layout:
    names: list[tuple[str, Any]] = [("fields", ">i2")]
    constants: dict[str, Any] = {"fields": len(fields)}
    present = []
    for field in reversed(fields[:-1]):
        length, value = f"{field.name} length", field.name
        if field.words:
            shape, position = divmod(shape, len(field.words))
            word = field.words[position].encode()
            names[1:1] = [(length, ">i4"), (value, f"V{len(word)}")]
            constants |= {length: len(word), value: np.void(word)}
            continue
        if field.optional:
            shape, absent = divmod(shape, 2)
            if absent:
                names[1:1] = [(length, ">i4")]
                constants[length] = -1
                continue
        names[1:1] = [(length, ">i4"), (value, field.wire)]
        constants[length] = np.dtype(field.wire).itemsize
        present.append(field)
    names.append(("raw length", ">i4"))
    template = np.zeros(1, np.dtype(names))
    for name, constant in constants.items():
        template[name] = constant
    return _Layout(template.dtype, template, tuple(present))


def _fixed_part(batch: Batch, fields: Sequence[Field], shape: Shape, rows: Index, length: Index) -> NDArray[np.void]:
    layout = _layout(tuple(fields), shape)
    whole = len(rows) == len(batch)
    out = np.empty(len(rows), layout.dtype)
    out.view(f"V{layout.dtype.itemsize}")[:] = layout.template.view(f"V{layout.dtype.itemsize}")
    for field in layout.present:
        values = getattr(batch, field.of)
        if not whole:
            values = values[rows]
        if field.of.endswith("_us"):
            values = values - POSTGRES_EPOCH_US
        out[field.name] = values
    out["raw length"] = length
    return out


def _windows(buffer: Bytes, width: int) -> NDArray[np.void]:
    """Every stretch of `width` bytes of `buffer`, by where it starts; assigning to one writes into `buffer`."""
    return np.ndarray((max(len(buffer) - width + 1, 0),), f"V{width}", buffer, 0, (1,))


def _lay(out: Bytes, at: Index, raw: Spans, length: Index) -> None:
    """Copy each byte string of `raw` to its place in `out`."""
    if len(length) == 0:
        return
    ends = np.flatnonzero(np.bincount(length))
    if len(ends) > 1 and int(length.sum()) < len(ends) * _BYTES_PER_LENGTH:
        out[Spans(out, at, at + length).flat_index()] = raw.buffer[raw.flat_index()]
        return
    for each in ends[ends > 0]:
        rows = length == each
        _windows(out, int(each))[at[rows]] = _windows(raw.buffer, int(each))[raw.start[rows]]
