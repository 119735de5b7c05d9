"""Five verbs over `Spans`, and `Layout`: a construct declaration read as columns.

| verb   | from → to                                    | used for                                        |
|--------|----------------------------------------------|-------------------------------------------------|
| split  | buffer → spans                               | what lies between flags                         |
| xor    | spans → bytes                                | checksums                                       |
| walk   | length-prefixed runs → spans and parent row  | the reports of 0x0704, additional items         |
| cast   | fixed-width rows → columns                   | headers, location bodies, items                 |
| spread | some items → one column with gaps            | optional items                                  |

Nothing here knows a protocol, and nothing raises for a bad row.
`Layout.of(struct)` walks a construct `Struct` of fixed-width integers, bytes and our adapters and gives a big-endian packed dtype with
one column function per field; what it does not know it refuses with `NotFixedWidth`.
construct's format codes are `struct` codes (">L" is 4 bytes there and 8 in numpy), so dtypes come from kind and length, and the sizes
are asserted to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import construct
import numpy as np
from numpy.typing import NDArray

from protocols.errors import NotFixedWidth
from tracks.spans import Bytes, Index, Spans

Column = NDArray[Any]
"""One value per row; the dtype depends on the field."""

_KINDS: Final = {**dict.fromkeys("BHILQ", "u"), **dict.fromkeys("bhilq", "i")}

FEW_ROWS: Final = 24
"""Below so many unfinished rows `walk` goes byte by byte in Python: a step of numpy costs as much as about 24 items (2-core EPYC)."""


def split(buffer: Bytes, flag: int) -> Spans:
    """What lies between flags (and before the first), without the empty pieces; what follows the last flag is not ended and left out."""
    stop = np.flatnonzero(buffer == flag)
    start = np.empty_like(stop)
    start[:1] = 0
    np.add(stop[:-1], 1, out=start[1:])
    full = stop > start
    return Spans(buffer, start[full], stop[full])


def xor(spans: Spans) -> Bytes:
    """The exclusive or of each span's bytes; 0 for an empty one."""
    if len(spans) == 0:
        return np.empty(0, np.uint8)
    buffer = spans.buffer
    if int(spans.stop.max()) >= len(buffer):
        buffer = np.append(buffer, np.uint8(0))
    edges = np.empty(2 * len(spans), np.int64)
    edges[0::2] = spans.start
    edges[1::2] = spans.stop
    sums = np.bitwise_xor.reduceat(buffer, edges)[::2]
    # reduceat gives the element at the start of an empty span
    return np.where(spans.stop > spans.start, sums, 0).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Walked:
    """Items found by `walk`: their values as spans, the row each belongs to, where each begins, and where each row's walk ended."""

    values: Spans
    parent: Index
    begin: Index
    end: Index


def walk(spans: Spans, *, id_bytes: int, length_bytes: int) -> Walked:
    """Cut each span into items `id | length | value` until it ends or an item does not fit.

    Items come in rounds: all first items, then all second ones. Work and memory are linear in bytes whatever the bytes say.
    """
    head = id_bytes + length_bytes
    buffer, last = spans.buffer, spans.stop
    end = spans.start.copy()
    row = np.flatnonzero(end + head <= last)
    at = end[row]
    begins: list[Index] = []
    stops: list[Index] = []
    parents: list[Index] = []
    while len(row) > FEW_ROWS:
        length = buffer[at + (head - 1)].astype(np.int64)
        if length_bytes == 2:  # noqa: PLR2004 - the only other width
            length += buffer[at + (head - 2)].astype(np.int64) << 8
        stop = at + head + length
        fits = stop <= last[row]
        if not fits.all():
            row, at, stop = row[fits], at[fits], stop[fits]
        begins.append(at)
        stops.append(stop)
        parents.append(row)
        end[row] = stop
        more = stop + head <= last[row]
        row, at = (row, stop) if more.all() else (row[more], stop[more])
    if len(row):
        begin, stop, row = _walk_slowly(spans, row, end, head, length_bytes)
        begins.append(begin)
        stops.append(stop)
        parents.append(row)
    begin = _joined(begins)
    return Walked(Spans(buffer, begin + head, _joined(stops)), _joined(parents), begin, end)


def _walk_slowly(spans: Spans, rows: Index, end: Index, head: int, length_bytes: int) -> tuple[Index, Index, Index]:
    """Finish a few rows from where they stand; moves their `end` on."""
    begins: list[int] = []
    stops: list[int] = []
    parents: list[int] = []
    for row in rows.tolist():
        begin, last = int(end[row]), int(spans.stop[row])
        data = spans.buffer[begin:last].tobytes()
        at, size = 0, len(data)
        while at + head <= size:
            stop = at + head + int.from_bytes(data[at + head - length_bytes : at + head], "big")
            if stop > size:
                break
            begins.append(begin + at)
            stops.append(begin + stop)
            parents.append(row)
            at = stop
        end[row] = begin + at
    return np.array(begins, np.int64), np.array(stops, np.int64), np.array(parents, np.int64)


def _joined(parts: list[Index]) -> Index:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def spread(values: Column, parent: Index, into: Column) -> None:
    """Write each value into its parent's row of `into`; of several the first stays (what follows an odd item may be noise)."""
    into[parent[::-1]] = values[::-1]


@runtime_checkable
class Columnar(Protocol):
    """What an adapter offers besides its scalar form: the dtype of its bytes, and the column they become."""

    wire: np.dtype[Any]

    def column(self, raw: Column) -> Column:
        """The native column of a field of dtype `wire`."""


def _native(raw: Column) -> Column:
    return raw.astype(raw.dtype.newbyteorder("="))


@dataclass(frozen=True, slots=True)
class Layout:
    """A fixed-width declaration as columns."""

    dtype: np.dtype[Any]
    column_of: Mapping[str, Callable[[Column], Column]]

    @classmethod
    def of(cls, struct: Any) -> Layout:  # noqa: ANN401 - construct carries no types
        """Derive the layout of a construct `Struct`; raises NotFixedWidth for what has no fixed width or is not known here."""
        wires: list[tuple[str, np.dtype[Any]]] = []
        column_of: dict[str, Callable[[Column], Column]] = {}
        for field in struct.subcons:
            if not isinstance(field, construct.Renamed) or not field.name:
                msg = f"a field without a name cannot become a column: {field!r}"
                raise NotFixedWidth(msg)
            wire, column_of[field.name] = _field(field.name, field.subcon)
            wires.append((field.name, wire))
        layout = cls(np.dtype(wires), column_of)
        assert layout.dtype.itemsize == struct.sizeof()
        return layout

    @property
    def itemsize(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize

    def records(self, buffer: Bytes, start: Index) -> Column:
        """One structured big-endian row for each `start`; each must have `itemsize` bytes of `buffer` before it ends."""
        if len(start) == 0:
            return np.empty(0, self.dtype)
        width = self.itemsize
        every = np.ndarray((len(buffer) - width + 1,), f"V{width}", buffer, strides=(1,))
        return every[start].view(self.dtype)

    def cast(self, buffer: Bytes, start: Index) -> dict[str, Column]:
        """The native columns of the rows that begin at `start`."""
        records = self.records(buffer, start)
        return {name: column(records[name]) for name, column in self.column_of.items()}

    def describe(self) -> str:
        """Offset, bytes and column dtype of each field, one a line: the derived facts for a reviewer."""
        probe = np.zeros(1, self.dtype)
        fields: Mapping[str, Any] = self.dtype.fields or {}
        lines = []
        for name, column in self.column_of.items():
            wire, offset = fields[name][:2]
            lines.append(f"{offset:3d} {wire.itemsize:2d}  {name:<16} {np.asarray(column(probe[name])).dtype}")
        return "\n".join(lines)


def _field(name: str, subcon: Any) -> tuple[np.dtype[Any], Callable[[Column], Column]]:  # noqa: ANN401 - construct carries no types
    if isinstance(subcon, Columnar):
        return subcon.wire, subcon.column
    if isinstance(subcon, construct.FormatField) and subcon.fmtstr[0] == ">" and subcon.fmtstr[1] in _KINDS:
        return np.dtype(f">{_KINDS[subcon.fmtstr[1]]}{subcon.length}"), _native
    if isinstance(subcon, construct.Bytes) and isinstance(subcon.length, int):
        return np.dtype(("u1", (subcon.length,))), np.ascontiguousarray
    msg = f"{name}: {type(subcon).__name__} has no fixed width that columns know"
    raise NotFixedWidth(msg)
