"""The parameters of active safety, 0xF364 to 0xF367 (T/JSATL 12-2017); Guangdong adds to them."""

from __future__ import annotations

from typing import Any, Final

from construct import Int8ub, Int16ub, Int32ub, Struct

from protocols.parts import Octets
from protocols.text import FixedText

_RESERVED: Final = "reserved" / Octets()

_ALWAYS: Final = (
    "speed_kmh" / Int8ub,
    "volume" / Int8ub,
    "photo_strategy" / Int8ub,
    "photo_interval_s" / Int16ub,
    "photo_distance_m" / Int16ub,
    "photos" / Int8ub,
    "photo_interval_tenths" / Int8ub,
    "photo_resolution" / Int8ub,
    "film_resolution" / Int8ub,
    "alarms" / Int32ub,
    "events" / Int32ub,
)
_EVIDENCE: Final = ("film_s" / Int8ub, "photos" / Int8ub, "photo_interval_tenths" / Int8ub)
_BY_SPEED: Final = ("speed_kmh" / Int8ub, *_EVIDENCE)
"""From which speed on an alarm is of the second level, and what is recorded of it."""


def _graded(*before: Any) -> Struct:  # noqa: ANN401 - construct carries no types
    return Struct(*before, *_BY_SPEED)


_ADAS: Final = (
    *_ALWAYS,
    "reserved_1" / Octets(1),
    "obstacle" / _graded("distance_tenths_s" / Int8ub),
    "lane_changes" / _graded("period_s" / Int8ub, "times" / Int8ub),
    "lane_departure" / _graded(),
    "forward_collision" / _graded("time_tenths_s" / Int8ub),
    "pedestrian" / _graded("time_tenths_s" / Int8ub),
    "too_close" / _graded("distance_tenths_s" / Int8ub),
    "sign" / Struct(*_EVIDENCE[1:]),
)
_ADAS_GUANGDONG: Final = ("solid_line" / _graded(), "aisle" / _graded())

_DSM_BEGIN: Final = (
    *_ALWAYS,
    "smoking_interval_s" / Int16ub,
    "phone_interval_s" / Int16ub,
    "reserved_1" / Octets(3),
    "fatigue" / _graded(),
    "phone" / _graded(),
    "smoking" / _graded(),
)
_IDENTIFY: Final = "identify_driver" / Int8ub
_DSM: Final = (*_DSM_BEGIN, "distraction" / _graded(), "abnormal" / _graded(), _IDENTIFY)
# one library leaves out a film and a speed
_DSM_SHORT: Final = (*_DSM_BEGIN, "distraction" / Struct(*_BY_SPEED[:1], *_BY_SPEED[2:]), "abnormal" / Struct(*_EVIDENCE), _IDENTIFY)
_DSM_GUANGDONG: Final = (
    "camera_covered_speed_kmh" / Int8ub,
    "seat_belt" / _graded(),
    "sunglasses" / _graded(),
    "hands_off" / _graded(),
    "playing_with_phone" / _graded(),
)


def _wide(width: int, *fields: Any) -> Struct:  # noqa: ANN401 - construct carries no types
    """A form of exactly `width` bytes, what is left of them reserved."""
    form = Struct(*fields, "reserved" / Octets(width - Struct(*fields).sizeof()))
    assert form.sizeof() == width
    return form


ADAS_PARAMETERS: Final = (_wide(56, *_ADAS), _wide(64, *_ADAS, *_ADAS_GUANGDONG), Struct(*_ADAS, _RESERVED))
DSM_PARAMETERS: Final = (_wide(49, *_DSM), _wide(47, *_DSM_SHORT), Struct(*_DSM, *_DSM_GUANGDONG, _RESERVED))
"""The standard's form, and those met beside it."""
TYRE_PARAMETERS: Final = (
    Struct(
        "tyre" / FixedText(12),
        "pressure_unit" / Int16ub,
        "pressure" / Int16ub,
        "unbalance_percent" / Int16ub,
        "slow_leak_percent" / Int16ub,
        "low_pressure" / Int16ub,
        "high_pressure" / Int16ub,
        "high_temperature_c" / Int16ub,
        "battery_percent" / Int16ub,
        "report_interval_s" / Int16ub,
        "reserved" / Octets(6),
    ),
)
BLIND_ZONE_PARAMETERS: Final = (Struct("rear_s" / Int8ub, "side_s" / Int8ub),)
