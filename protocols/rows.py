"""`Rows`: fixes and rejects that are read one by one, gathered into columns at the end.

NMEA and JSON come a report at a time, unlike JT/T 808, whose frames are read as whole columns.
Their readers put rows here, many terminals into one, and the caller takes the two batches once per tick.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tracks.batch import Batch
from tracks.fix import ABSENT, SOURCES, FixBatch, digest64
from tracks.reject import RejectBatch
from tracks.spans import Spans
from tracks.verdict import Reject

NAN: Final = float("nan")

POSITIONED, SOUTH, WEST = 1 << 1, 1 << 2, 1 << 3
"""JT/T 808 status bits that every door's fixes carry."""


class Rows:
    """Fixes and rejects in the order in which they were read. `terminal_id` and `vehicle_id` are for the caller to fill in."""

    __slots__ = ("_fixes", "_rejects", "source")

    def __init__(self, source: str) -> None:
        self.source: Final = SOURCES.index(source)
        self._fixes: list[tuple[Any, ...]] = []
        self._rejects: list[tuple[Any, ...]] = []

    def fix(
        self,
        *,
        frame: int,
        received_us: int,
        time_us: int | None,
        lat: float,
        lon: float,
        valid: bool,
        raw: bytes,
        altitude_m: float = NAN,
        speed_kmh: float = NAN,
        course_deg: float = NAN,
        alarm_bits: int = 0,
        status_bits: int = 0,
        mileage_km: float = NAN,
        satellites: int = ABSENT,
        signal: int = ABSENT,
        backfill: bool = False,
    ) -> None:
        """One position solution; `time_us` None where it is undated."""
        dated = time_us is not None
        time = (time_us if dated else received_us, dated)
        place = (lat, lon, altitude_m, speed_kmh, course_deg, valid)
        rest = (alarm_bits, status_bits, 0, 0, 0, mileage_km, satellites, signal, self.source, backfill, received_us)
        self._fixes.append((frame, ABSENT, ABSENT, *time, *place, *rest, raw))

    def reject(self, reason: Reject, raw: bytes, *, frame: int, received_us: int, message_id: int = ABSENT) -> None:
        """Bytes that became no fix, and why."""
        self._rejects.append((frame, received_us, ABSENT, message_id, reason, self.source, raw))

    def between(self, start: int, stop: int) -> Rows:
        """The rows whose frames lie in [start, stop)."""
        part = Rows(SOURCES[self.source])
        part._fixes = [row for row in self._fixes if start <= row[0] < stop]
        part._rejects = [row for row in self._rejects if start <= row[0] < stop]
        return part

    def evidence(self) -> list[bytes]:
        """The bytes of every row."""
        return [row[-1] for row in (*self._fixes, *self._rejects)]

    def fixes(self) -> FixBatch:
        """The fixes as columns."""
        if not self._fixes:
            return FixBatch.empty()
        *columns, raw = zip(*self._fixes, strict=True)
        spans = Spans.of(raw)
        named = _arrays(FixBatch, columns)
        return FixBatch(**named, quality=np.zeros(len(raw), np.uint16), digest=digest64(spans), raw=spans)

    def rejects(self) -> RejectBatch:
        """The rejects as columns."""
        if not self._rejects:
            return RejectBatch.empty()
        *columns, raw = zip(*self._rejects, strict=True)
        return RejectBatch(**_arrays(RejectBatch, columns), origin=Spans.blank(len(raw)), raw=Spans.of(raw))


def _arrays(kind: type[Batch], columns: list[tuple[Any, ...]]) -> dict[str, Any]:
    """The first of the batch's columns, in their declared order and type."""
    return {name: np.array(column, about.dtype) for (name, about), column in zip(kind.columns().items(), columns, strict=False)}
