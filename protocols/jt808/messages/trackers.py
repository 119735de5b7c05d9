"""Messages of trackers' makers that no standard has (from what they send to public servers)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import construct
from construct import Int8ub, Int16ub, Int32ub, Prefixed, Select, Struct, Terminated

from protocols.adapters import BcdTime, SignMagnitude, UtcBcdTime
from protocols.jt808.messages.location import ITEM, REPORT
from protocols.jt808.messages.registry import declare
from protocols.jt808.messages.session import EMPTY
from protocols.parts import Bcd, Coded, Count, Numbered, Octets, Several
from protocols.text import RestText, WideText


class YearTime(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """Year in two bytes, then month to second in one each: an aware `datetime` in UTC, None where it is no date."""

    def __init__(self) -> None:
        super().__init__(construct.Sequence(Int16ub, *(Int8ub,) * 5))

    def _decode(self, obj: Any, _context: object, _path: str) -> datetime | None:  # noqa: ANN401 - construct carries no types
        year, month, day, hour, minute, second = obj
        try:
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return None

    def _encode(self, obj: datetime | str | None, _context: object, _path: str) -> tuple[int, ...]:
        if obj is None:
            return (0,) * 6
        moment = datetime.fromisoformat(obj) if isinstance(obj, str) else obj
        return moment.astimezone(UTC).timetuple()[:6]


declare(0x0109, EMPTY)
declare(0x8109, Struct("time" / YearTime(), "result" / Int8ub))

# a battery report has just seven bytes, less than any report behind its length (quirk D20)
declare(
    0x0210,
    Select(
        Struct("battery_percent" / Int8ub, "time" / BcdTime(), "end" / Terminated),
        Struct("reports" / Several(Prefixed(Int8ub, Select(REPORT, construct.GreedyBytes)))),
    ),
)

SETTINGS: Final = {0x06: "interval", 0x23: "restart", 0x24: "arm"}
_SETTING: Final = Struct("setting" / Coded(Int8ub, SETTINGS), "value" / Prefixed(Int8ub, Octets()))
declare(0x0310, Struct("count" / Count(Int8ub, "settings"), "settings" / Several(_SETTING)))

declare(0x0506, EMPTY)
declare(0x1007, Struct("data" / Octets()))
declare(0x1300, Struct("reply_serial" / Int16ub, "text" / WideText()))
_ACCELERATION: Final = Struct("time" / BcdTime(), "x" / SignMagnitude(), "y" / SignMagnitude(), "z" / SignMagnitude())
declare(0x2070, Struct("accelerations" / Several(_ACCELERATION)))
declare(0x6006, Struct("encoding" / Int8ub, "text" / RestText()))
declare(0x8888, Struct("data" / Octets()), bulk=True)
declare(0xA006, Struct("state" / Int8ub, "time" / BcdTime()))

declare(0x4401, Struct("reply_id" / Numbered(Int16ub), "result" / Int8ub))


class DayFirstTime(UtcBcdTime):
    """DDMMYYhhmmss as six BCD bytes, in UTC."""

    def _decode(self, obj: bytes, context: object, path: str) -> datetime | None:
        return super()._decode(obj[2:3] + obj[1:2] + obj[:1] + obj[3:], context, path)

    def _encode(self, obj: datetime | str | None, context: object, path: str) -> bytes:
        raw = super()._encode(obj, context, path)
        return raw[2:3] + raw[1:2] + raw[:1] + raw[3:]


POSITIONED, NORTH, EAST = 1, 2, 4


class DegreesAndMinutes(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """Latitude DDMMmmmm and longitude DDDMMmmmm in BCD, and four flags behind them, as signed degrees."""

    def __init__(self) -> None:
        super().__init__(Struct("lat" / Bcd(4), "lon" / Bcd(5)))

    def _decode(self, obj: Any, _context: object, path: str) -> dict[str, Any]:  # noqa: ANN401 - construct carries no types
        flags = int(obj.lon[-1], 16)
        lat, lon = obj.lat, obj.lon[:-1]
        if not (lat + lon).isdecimal() or max(lat[-6:-4], lon[-6:-4]) >= "60":
            msg = f"{lat} {lon} are no degrees and minutes"
            raise construct.MappingError(msg, path)
        return {
            "lat": _degrees(lat, flags & NORTH),
            "lon": _degrees(lon, flags & EAST),
            "flags": flags,
        }

    def _encode(self, obj: Any, _context: object, _path: str) -> dict[str, str]:  # noqa: ANN401 - construct carries no types
        flags = obj["flags"]
        for name, bit in (("lat", NORTH), ("lon", EAST)):
            if obj[name]:
                flags = flags | bit if obj[name] > 0 else flags & ~bit
        return {"lat": f"{_minutes(obj['lat']):08d}", "lon": f"{_minutes(obj['lon']):09d}{flags:x}"}


def _degrees(digits: str, positive: int) -> float:
    whole, minutes = divmod(int(digits), 1_000_000)
    degrees = round(whole + minutes / 600_000, 7)
    return degrees if positive or not degrees else -degrees


def _minutes(degrees: float) -> int:
    """Degrees and ten-thousandths of a minute, one behind the other as decimal digits."""
    whole, minutes = divmod(round(abs(degrees) * 600_000), 600_000)
    return whole * 1_000_000 + minutes


SHORT_LOCATION: Final = Struct(
    "time" / DayFirstTime(),
    "position" / DegreesAndMinutes(),
    "speed_knots" / Bcd(1),
    "course_two_deg" / Int8ub,
    "signal" / Int8ub,
    "satellites" / Int8ub,
    "odometer_km" / Int32ub,
    "battery_percent" / Coded(Int8ub, {0xAA: "charging", 0xAB: "charged"}),
    "cell" / Int32ub,
    "area" / Int16ub,
    "product" / Int8ub,
    "state" / Int16ub,
    "alarms" / Int16ub,
    "parts" / Several(ITEM),
)
declare(0x5501, SHORT_LOCATION)
declare(0x5502, SHORT_LOCATION)
