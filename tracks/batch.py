"""`Batch`: a frozen dataclass whose fields are columns of equal length.

Subclasses declare one annotated field per column; `COLUMNS` lists them with dtype, unit and meaning, and everything that needs to
know the columns (the COPY encoder, the migrations' test, the docs) reads that list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import Any, Self

import numpy as np

from tracks.spans import Index, Mask, Spans


@dataclass(frozen=True, slots=True)
class Column:
    """What one column holds: numpy dtype (None for byte strings), unit, meaning."""

    dtype: str | None
    unit: str
    meaning: str


def column(dtype: str | None, unit: str, meaning: str) -> Any:  # noqa: ANN401 - dataclasses.field is typed as the field's own type
    """Declare a column of a `Batch`."""
    return field(metadata={"column": Column(dtype, unit, meaning)})


@dataclass(frozen=True, slots=True)
class Batch:
    """Equal-length columns. Fields are numpy arrays or `Spans`."""

    def __post_init__(self) -> None:
        if len(set(map(len, self._values()))) > 1:
            lengths = {name: len(getattr(self, name)) for name in self.columns()}
            msg = f"columns of {type(self).__name__} differ in length: {lengths}"
            raise ValueError(msg)

    @classmethod
    def columns(cls) -> Mapping[str, Column]:
        """Name → description, in declaration order."""
        return _columns(cls)  # type: ignore[arg-type] # a class is hashable whatever its instances are

    def _values(self) -> tuple[Any, ...]:
        """The columns, in declaration order."""
        return _getter(type(self))(self)  # type: ignore[arg-type,no-any-return] # as for `columns`

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.columns()))))

    def take(self, rows: Index | Mask) -> Self:
        """The batch of `rows` (indices or a mask)."""
        return type(self)(*(each.take(rows) if isinstance(each, Spans) else each[rows] for each in self._values()))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """All rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        return cls(
            **{
                name: (Spans.concat if about.dtype is None else np.concatenate)([getattr(part, name) for part in parts])
                for name, about in cls.columns().items()
            }
        )

    @classmethod
    def empty(cls) -> Self:
        """A batch of no rows, with every column's dtype."""
        return cls(**{name: Spans.empty() if about.dtype is None else np.empty(0, about.dtype) for name, about in cls.columns().items()})


@cache
def _getter(batch: type[Batch]) -> attrgetter[Any]:
    return attrgetter(*(each.name for each in fields(batch)))


@cache
def _columns(batch: type[Batch]) -> Mapping[str, Column]:
    return {each.name: each.metadata["column"] for each in fields(batch)}
