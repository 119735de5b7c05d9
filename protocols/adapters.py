"""Our construct adapters: what a field means, once for one value (`_decode`, `_encode`) and once for a column (`column`), side by side.

`Layout.of` reads `wire` and `column`; the oracle test holds the two forms equal.
Text has no fixed-width form and stays scalar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final, Self

import construct
import numpy as np
from numpy.typing import NDArray

from protocols.columnar import Column

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock times of terminals carry no zone
GMT8: Final = timezone(timedelta(hours=8))
"""The zone in which the standard's wall clocks hang."""


class Adapter(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """A construct adapter over `subcon` whose bytes are also a field of dtype `wire`."""

    wire: np.dtype[Any]

    def __init__(self, subcon: Any, wire: Any) -> None:  # noqa: ANN401 - construct and numpy take many forms
        super().__init__(subcon)
        self.wire = np.dtype(wire)


class Flags(int):
    """A word of flags that knows its bits' names."""

    names: tuple[str | None, ...] = ()

    @classmethod
    def of(cls, value: int, names: tuple[str | None, ...]) -> Self:
        """The word `value` whose bits, from bit 0, have these names."""
        flags = cls(value)
        flags.names = names
        return flags

    @property
    def words(self) -> list[str]:
        """The names of the bits that are set; a bit without a name is `bit_n`."""
        named = dict(enumerate(self.names))
        return [named.get(bit) or f"bit_{bit}" for bit in range(self.bit_length()) if self >> bit & 1]


class Bits(Adapter):
    """An unsigned word of flags. Both forms are the number; one value also knows its words.

    Built from the number, from a list of words, or from what JSON has of either (`{"bits": …}`).
    """

    def __init__(self, subcon: Any, names: Sequence[str | None]) -> None:  # noqa: ANN401 - construct carries no types
        super().__init__(subcon, f">u{subcon.sizeof()}")
        self.names = tuple(names)

    def _decode(self, obj: int, _context: object, _path: str) -> Flags:
        return Flags.of(obj, self.names)

    def _encode(self, obj: Any, _context: object, path: str) -> int:  # noqa: ANN401 - as Python or JSON has it
        if isinstance(obj, Mapping):
            return int(obj["bits"])
        if isinstance(obj, list):
            unknown = set(obj).difference(self.names)
            if unknown:
                msg = f"{sorted(unknown)} are none of {[name for name in self.names if name]}"
                raise construct.MappingError(msg, path)
            return sum(1 << self.names.index(word) for word in set(obj))
        return int(obj)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> int:  # noqa: ANN401 - construct carries no types
        # what other fields see is the number, however it was given
        word = self._encode(obj, context, path)
        self.subcon._build(word, stream, context, path)  # noqa: SLF001 - how constructs call one another
        return word

    def column(self, raw: Column) -> NDArray[np.int64]:
        """The word as a signed 64-bit number, which holds any of 32 bits."""
        return raw.astype(np.int64)


class Scaled(Adapter):
    """An integer that counts parts of a unit: `Scaled(Int16ub, 10)` is tenths."""

    def __init__(self, subcon: Any, parts: int) -> None:  # noqa: ANN401 - construct carries no types
        super().__init__(subcon, f">{'i' if subcon.fmtstr[1].islower() else 'u'}{subcon.sizeof()}")
        self.parts = parts

    def _decode(self, obj: int, _context: object, _path: str) -> float:
        return obj / self.parts

    def _encode(self, obj: float, _context: object, _path: str) -> int:
        return round(obj * self.parts)

    def column(self, raw: Column) -> NDArray[np.float64]:
        """The quantity in its unit. Dividing rounds correctly where multiplying by 0.1 or 1e-6 does not."""
        return np.divide(raw, self.parts, dtype=np.float64)


def MicroDegrees() -> Scaled:  # noqa: N802 - used like a construct class
    """Degrees from millionths; read as signed, so that two's complement negatives come out negative (quirk D5)."""
    return Scaled(construct.Int32sb, 1_000_000)


class Phone(Adapter):
    """The terminal's phone number field of 6 or 10 bytes: digits as sent, or the two key columns of `tracks.terminal.key_of`."""

    def __init__(self, width: int) -> None:
        super().__init__(construct.Bytes(width), [("high", ">u2"), ("low", f">u{width - 2}")])

    def _decode(self, obj: bytes, _context: object, _path: str) -> str:
        return obj.hex()

    def _encode(self, obj: str, _context: object, _path: str) -> bytes:
        return bytes.fromhex(obj.zfill(2 * self.subcon.length))

    def column(self, raw: Column) -> NDArray[np.uint64]:
        """Two rows: the upper 16 bits and the lower 64 bits of the number."""
        low = raw["low"].astype(np.uint64)
        high = raw["high"].astype(np.uint64)
        if raw.dtype["low"].itemsize == 8:  # noqa: PLR2004 - ten bytes fill both columns
            return np.stack((high, low))
        return np.stack((np.zeros_like(low), high << np.uint64(32) | low))


def write_phone(field: Column, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> None:
    """Write key columns into a phone field of a structured array: the way back from `Phone.column`."""
    if field.dtype["low"].itemsize == 8:  # noqa: PLR2004 - ten bytes hold both columns
        field["high"], field["low"] = high, low
    else:
        field["high"], field["low"] = low >> np.uint64(32), low & np.uint64(0xFFFF_FFFF)


def _digits() -> NDArray[np.int64]:
    byte = np.arange(256)
    return np.where((byte >> 4 <= 9) & (byte & 15 <= 9), (byte >> 4) * 10 + (byte & 15), -1)  # noqa: PLR2004 - decimal digits


_TWO_DIGITS: Final = _digits()
_NEVER_S: Final = -(10**13)
_NEVER_DAYS: Final = -(10**9)
"""So far below every time that no sum with them becomes a date."""


def _month_table() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """By the two BCD bytes YYMM: days from 1970 to the month's first, and the days of the month (0 where there is no such month)."""
    first = np.full(65536, _NEVER_DAYS, np.int64)
    days = np.zeros(65536, np.int64)
    months = np.arange("2000-01", "2100-02", dtype="datetime64[M]")
    starts = months.astype("datetime64[D]").astype(np.int64)
    year, month = np.divmod(np.arange(1200), 12)
    code = (year // 10 << 12) | (year % 10 << 8) | ((month + 1) // 10 << 4) | (month + 1) % 10
    first[code] = starts[:-1]
    days[code] = np.diff(starts)
    return first, days


_MONTH_FIRST, _MONTH_DAYS = _month_table()


def _clock_table(limit: int, unit: int) -> NDArray[np.int64]:
    """By a BCD byte: its value in seconds, or never."""
    return np.where((_TWO_DIGITS >= 0) & (limit > _TWO_DIGITS), _TWO_DIGITS * unit, _NEVER_S)


_HOUR, _MINUTE, _SECOND = _clock_table(24, 3600), _clock_table(60, 60), _clock_table(60, 1)


class BcdTime(Adapter):
    """YYMMDDhhmmss as six BCD bytes, 2000 to 2099: a wall-clock `datetime`, or None where it is no real date (quirks D1, D2).

    The column is `datetime64[s]` with NaT. None is written as zeros. Which zone the wall clock hangs in is not the field's affair;
    only when an instant is to be written (a `datetime` or an ISO 8601 text with a zone) it is that of the standard.
    """

    zone: tzinfo = GMT8

    def __init__(self) -> None:
        super().__init__(construct.Bytes(6), [("month", ">u2"), ("day", "u1"), ("hour", "u1"), ("minute", "u1"), ("second", "u1")])

    def _decode(self, obj: bytes, _context: object, _path: str) -> datetime | None:
        digits = obj.hex()
        if not digits.isdecimal():
            return None
        year, month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(0, 12, 2))
        try:
            return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - a wall clock
        except ValueError:
            return None

    def _encode(self, obj: datetime | str | None, _context: object, _path: str) -> bytes:
        if isinstance(obj, str):
            obj = datetime.fromisoformat(obj)
        if obj is None:
            return bytes(6)
        wall = obj.astimezone(self.zone) if obj.tzinfo else obj
        return bytes.fromhex(f"{wall:%y%m%d%H%M%S}")

    def column(self, raw: Column) -> NDArray[np.datetime64]:
        """Table look-ups only: the month's first day, then days, hours, minutes and seconds on top of it."""
        month = raw["month"].astype(np.intp)
        day = _TWO_DIGITS[raw["day"]]
        seconds = (_MONTH_FIRST[month] + day - 1) * 86_400 + _HOUR[raw["hour"]] + _MINUTE[raw["minute"]] + _SECOND[raw["second"]]
        real = (day >= 1) & (day <= _MONTH_DAYS[month]) & (seconds >= 0)
        return np.where(real, seconds, np.iinfo(np.int64).min).view("datetime64[s]")


class UtcBcdTime(BcdTime):
    """The same bytes where the standard means UTC and says so: an aware `datetime`."""

    zone: tzinfo = UTC

    def _decode(self, obj: bytes, context: object, path: str) -> datetime | None:
        wall = super()._decode(obj, context, path)
        return wall.replace(tzinfo=UTC) if wall else None


def micros(wall: NDArray[np.datetime64], zone_s: int) -> NDArray[np.int64]:
    """UTC microseconds since 1970 of wall-clock times `zone_s` seconds ahead of UTC; meaningless where the time is NaT."""
    return (wall.view(np.int64) - zone_s) * 1_000_000


def wall_clock(time_us: int, zone_s: int) -> datetime:
    """The wall-clock time that a terminal `zone_s` ahead of UTC would write for `time_us`."""
    return EPOCH + timedelta(microseconds=time_us, seconds=zone_s)


class SignMagnitude(Adapter):
    """A 16-bit number whose top bit is the sign and the rest the amount (JT/T 808-2019 item 0x06; quirk D14)."""

    def __init__(self) -> None:
        super().__init__(construct.Int16ub, ">u2")

    def _decode(self, obj: int, _context: object, _path: str) -> int:
        return -(obj & 0x7FFF) if obj & 0x8000 else obj

    def _encode(self, obj: int, _context: object, _path: str) -> int:
        return -obj | 0x8000 if obj < 0 else obj

    def column(self, raw: Column) -> NDArray[np.int64]:
        """The signed number."""
        amount = (raw & 0x7FFF).astype(np.int64)
        return np.where(raw & 0x8000, -amount, amount)
