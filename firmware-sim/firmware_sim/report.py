"""What a terminal has to say: one position solution, when it is due, and its bytes on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, Final, NamedTuple

from protocols.adapters import wall_clock
from protocols.jt808 import messages
from protocols.jt808.messages.items import ITEMS
from protocols.jt808.messages.location import POSITIONED, SOUTH, WEST

LOCATION_REPORT: Final = 0x0200
ITEMS_TOLD: Final = (0x01, 0x30, 0x31)
"""Additional items that a fix may carry; their names are fields of `Fix`."""
ACC_ON: Final = 1
BEIDOU_USED: Final = 1 << 19
BEIJING_S: Final = 8 * 3600
"""JT/T 808 writes wall-clock times of GMT+8."""


@dataclass(frozen=True, slots=True)
class Fix:
    """One position solution. `time` is UTC seconds since 1970; the wire carries whole ones."""

    time: float
    lat: float
    lon: float
    altitude_m: float = 0
    speed_kmh: float = 0
    course_deg: float = 0
    valid: bool = True
    alarm_bits: int = 0
    status_bits: int = ACC_ON | BEIDOU_USED
    """Positioned, south and west are set from `valid`, `lat` and `lon`."""
    mileage_km: float | None = None
    satellites: int | None = None
    signal: int | None = None


class Due(NamedTuple):
    """A fix and when it is to be reported, on the clock that the terminal is driven by."""

    at: float
    fix: Fix


AT_ONCE: Final = -inf
"""A report due AT_ONCE waits for room in the window instead of for the clock."""


def paced(fixes: Iterator[Fix], *, begin: float, speed: float = 1.0, now: float | None = None) -> Iterator[Due]:
    """Make the first fix due at `begin` and the others after it at their own pace × `speed`; speed 0 is as fast as the answers come.

    With `now`, the UTC second of `begin`, none is due before its own time: once the past is told, the rest comes as it happens.
    """
    first: float | None = None
    for fix in fixes:
        first = fix.time if first is None else first
        at = begin + (fix.time - first) / speed if speed else AT_ONCE
        yield Due(at if now is None else max(at, begin + fix.time - now), fix)


def report_body(fix: Fix, edition: int) -> bytes:
    """The body of 0x0200 for `fix`."""
    return messages.build(LOCATION_REPORT, edition, location_fields(fix))


def location_fields(fix: Fix) -> dict[str, Any]:
    """The fields of 0x0200 for `fix`, and of what else tells a position."""
    place = POSITIONED * fix.valid | SOUTH * (fix.lat < 0) | WEST * (fix.lon < 0)
    told = ((number, getattr(fix, ITEMS[number].name)) for number in ITEMS_TOLD)
    return {
        "alarm": fix.alarm_bits,
        "status": fix.status_bits & ~(POSITIONED | SOUTH | WEST) | place,
        "lat": abs(fix.lat),
        "lon": abs(fix.lon),
        "altitude_m": round(fix.altitude_m),
        "speed_kmh": fix.speed_kmh,
        "course_deg": round(fix.course_deg) % 360,
        "time": wall_clock(int(fix.time) * 1_000_000, BEIJING_S),
        "items": [{"id": number, "value": ITEMS[number].forms[0].build(value)} for number, value in told if value is not None],
    }
