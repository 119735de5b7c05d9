"""`FixBatch`: position solutions as columns — the one list of track columns.

The table `fixes`, the COPY encoder, the history exports and the docs all follow this list.
A column that may be absent says so: integer columns use `ABSENT`, floats NaN; both become NULL in the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tracks.batch import Batch, column
from tracks.spans import Spans

ABSENT: Final = -1
"""Stands for NULL in the integer columns that may be absent."""

SOURCES: Final = ("jt808", "nmea", "mqtt", "json")
"""Which door a fix came through; the `source` column holds the position in this tuple."""


@dataclass(frozen=True, slots=True)
class FixBatch(Batch):
    """One row per position solution, as decoded; every row remembers the frame it came from."""

    frame: NDArray[np.int32] = column("int32", "", "row of the frame batch this fix came in (lineage, not stored)")
    terminal_id: NDArray[np.int64] = column("int64", "", "the registry's key of the terminal")
    vehicle_id: NDArray[np.int64] = column("int64", "", "the registry's key of the vehicle it was bound to, or absent")
    time_us: NDArray[np.int64] = column("int64", "µs since 1970 UTC", "time of the solution; of receipt where undated")
    dated: NDArray[np.bool_] = column("bool", "", "the terminal's own time was a real date")
    lat: NDArray[np.float64] = column("float64", "degrees WGS-84", "latitude as reported, north positive")
    lon: NDArray[np.float64] = column("float64", "degrees WGS-84", "longitude as reported, east positive")
    altitude_m: NDArray[np.float32] = column("float32", "m", "altitude")
    speed_kmh: NDArray[np.float32] = column("float32", "km/h", "speed over ground")
    course_deg: NDArray[np.float32] = column("float32", "degrees", "course, north 0, clockwise")
    valid: NDArray[np.bool_] = column("bool", "", "the receiver had a fix and the position lies on Earth")
    alarm_bits: NDArray[np.int64] = column("int64", "", "alarm word, JT/T 808 table of alarm bits")
    status_bits: NDArray[np.int64] = column("int64", "", "status word, JT/T 808 table of status bits")
    raised: NDArray[np.int64] = column("int64", "", "alarms that items raise, bits of tracks/alarms.py (read of raw, not stored)")
    cleared: NDArray[np.int64] = column("int64", "", "alarms that items end; what is in both was a moment (read of raw, not stored)")
    place: NDArray[np.int64] = column("int64", "", "area, route or segment they are about, 0 for none (read of raw, not stored)")
    mileage_km: NDArray[np.float64] = column("float64", "km", "odometer, or absent")
    satellites: NDArray[np.int16] = column("int16", "", "satellites used, or absent")
    signal: NDArray[np.int16] = column("int16", "", "radio signal strength as reported, or absent")
    source: NDArray[np.uint8] = column("uint8", "", "door it came through, position in SOURCES")
    backfill: NDArray[np.bool_] = column("bool", "", "stored by the terminal while offline and sent late")
    received_us: NDArray[np.int64] = column("int64", "µs since 1970 UTC", "when the bytes reached the gateway")
    quality: NDArray[np.uint16] = column("uint16", "", "flags of the quality gate; 0: good, as far as is known when it is stored")
    digest: NDArray[np.int64] = column("int64", "", "64-bit digest of raw; with terminal and time the identity of a report")
    raw: Spans = column(None, "", "the report's own bytes, kept as evidence")


def digest64(spans: Spans) -> NDArray[np.int64]:
    """Give each byte string a 64-bit digest, the same for the same bytes for ever (it is stored).

    A sum of little-endian 8-byte words times fixed odd multipliers by position, finished with a mixer: one pass of numpy over the batch.
    It tells reports of one terminal and one second apart; it is no defence against a forger, who could only hide his own report.
    """
    if len(spans) == 0:
        return np.empty(0, np.int64)
    length = spans.length
    count = (length + 7) >> 3
    stop = np.cumsum(count)
    place = np.arange(int(stop[-1])) - np.repeat(stop - count, count)
    buffer = np.concatenate((spans.buffer, np.zeros(8, np.uint8)))
    words = np.ndarray((len(buffer) - 7,), "<u8", buffer, strides=(1,))[np.repeat(spans.start, count) + 8 * place]
    tail = length & 7
    ragged = np.flatnonzero(tail)
    words[stop[ragged] - 1] &= (np.uint64(1) << (8 * tail[ragged]).astype(np.uint64)) - np.uint64(1)
    total = np.cumsum((words + np.uint64(1)) * _multipliers(int(count.max()))[place], dtype=np.uint64)
    before = np.concatenate((np.zeros(1, np.uint64), total))
    mixed: NDArray[np.uint64] = before[stop] - before[stop - count] + length.astype(np.uint64)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    return mixed.view(np.int64)


_MULTIPLIERS: NDArray[np.uint64] = np.empty(0, np.uint64)


def _multipliers(count: int) -> NDArray[np.uint64]:
    """Odd 64-bit numbers by word: splitmix64 of 1, 2, 3 …, so that the list only ever grows at its end."""
    global _MULTIPLIERS  # noqa: PLW0603 - a cache that only grows
    if len(_MULTIPLIERS) < count:
        z = np.arange(1, max(count, 2048) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        _MULTIPLIERS = (z ^ (z >> np.uint64(31))) | np.uint64(1)
    return _MULTIPLIERS
