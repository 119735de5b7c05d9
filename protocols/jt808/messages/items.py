"""Additional items of a location report: id → name and forms, one table (JT/T 808-2019 table 27, JT/T 1078-2016, T/JSATL 12-2017).

An item is read by the form that has exactly its length: lengths differ from the print, and vendors reuse ids (quirks D12, D13, D17). What
fits no form keeps its bytes. Units end the names. Adding an item is adding a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from construct import (
    Array,
    Bytes,
    ConstructError,
    ExprAdapter,
    Int8ub,
    Int16sb,
    Int16ub,
    Int32ub,
    SizeofError,
    Struct,
    Terminated,
    this,
)

from protocols.adapters import BcdTime, Bits, MicroDegrees, Scaled, SignMagnitude
from protocols.jt808.messages.registry import plain


@dataclass(frozen=True, slots=True)
class Item:
    """One kind of item: its name, and the forms its value may have."""

    name: str
    forms: tuple[Any, ...]

    def parse(self, value: bytes) -> Any:  # noqa: ANN401 - items are of many kinds
        """The value; None when it fits no form that we know."""
        for form in self.forms:
            if _size(form) in {len(value), None}:
                try:
                    return plain(Struct("value" / form, Terminated).parse(value).value)
                except ConstructError:
                    continue
        return None


def _size(form: Any) -> int | None:  # noqa: ANN401 - construct carries no types
    """Bytes of a form, None when they vary."""
    try:
        return int(form.sizeof())
    except SizeofError:
        return None


VIDEO_ALARMS: Final = ("signal_lost", "signal_covered", "storage_fault", "other_fault", "overcrowded", "abnormal_driving", "recording_full")
ABNORMAL_DRIVING: Final = ("fatigue", "phone", "smoking")
VEHICLE_SIGNALS: Final = (
    "low_beam",
    "high_beam",
    "right_turn",
    "left_turn",
    "brake",
    "reverse",
    "fog_lamp",
    "clearance_lamp",
    "horn",
    "air_conditioner",
    "neutral",
    "retarder",
    "abs",
    "heater",
    "clutch",
)
VEHICLE_STATE: Final = ("acc_on", "left_turn", "right_turn", "wiper", "brake", "card_in", None, None, None, None, "positioned")
TYRE_ALARMS: Final = ("periodic", "high_pressure", "low_pressure", "hot", "sensor", "unbalanced", "slow_leak", "battery_low")
NO_READING: Final = 0xFF
CHANNELS: Final = tuple(f"channel_{number}" for number in range(1, 33))

_MARK: Final = ("terminal_id" / Bytes(7), "time" / BcdTime(), "sequence" / Int8ub, "attachments" / Int8ub, "reserved" / Bytes(1))
_LONG_MARK: Final = ("terminal_id" / Bytes(30), *_MARK[1:4], "reserved" / Bytes(2))
_PLACE: Final = ("speed_kmh" / Int8ub, "altitude_m" / Int16sb, "lat" / MicroDegrees(), "lon" / MicroDegrees(), "time" / BcdTime())


def _alarm(*middle: Any) -> tuple[Any, ...]:  # noqa: ANN401 - construct carries no types
    """An active-safety alarm with the short mark of Jiangsu and the long one of Guangdong."""
    state = "vehicle_state" / Bits(Int16ub, VEHICLE_STATE)
    return tuple(
        Struct("alarm_id" / Int32ub, "flag" / Int8ub, *middle, *_PLACE, state, "mark" / Struct(*mark)) for mark in (_MARK, _LONG_MARK)
    )


_KIND_AND_LEVEL: Final = ("type" / Int8ub, "level" / Int8ub)


_PRESSURE: Final = ExprAdapter(
    Int8ub,
    decoder=lambda byte, _context: None if byte == NO_READING else byte,
    encoder=lambda pressure, _context: NO_READING if pressure is None else pressure,
)


def _tyre_alarm(mark: tuple[Any, ...], position: Any) -> Struct:  # noqa: ANN401 - construct carries no types
    tyre = Struct(
        "position" / position,
        "alarms" / Bits(Int16ub, TYRE_ALARMS),
        "pressure_kpa" / Int16ub,
        "temperature_c" / Int16sb,
        "battery_percent" / Int16ub,
    )
    head = ("alarm_id" / Int32ub, "flag" / Int8ub, *_PLACE, "vehicle_state" / Bits(Int16ub, VEHICLE_STATE), "mark" / Struct(*mark))
    return Struct(*head, "count" / Int8ub, "tyres" / Array(this.count, tyre))


ITEMS: Final = {
    0x01: Item("mileage_km", (Scaled(Int32ub, 10),)),
    0x02: Item("fuel_l", (Scaled(Int16ub, 10),)),
    0x03: Item("recorder_speed_kmh", (Scaled(Int16ub, 10),)),
    0x04: Item("alarm_event_id", (Int16ub,)),
    0x05: Item("tyre_pressures_pa", (Array(30, _PRESSURE),)),
    0x06: Item("carriage_temp_c", (SignMagnitude(),)),
    0x11: Item("overspeed", (Struct("place_kind" / Int8ub), Struct("place_kind" / Int8ub, "place_id" / Int32ub))),
    0x12: Item("area_in_out", (Struct("place_kind" / Int8ub, "place_id" / Int32ub, "direction" / Int8ub),)),
    0x13: Item(
        "segment_time",
        (
            Struct("segment_id" / Int32ub, "time_s" / Int16ub, "result" / Int8ub),
            # 2011's form (quirk D17)
            Struct("segment_id" / Int32ub, "time_s" / Int16ub, "result" / Int16ub),
        ),
    ),
    0x14: Item("video_alarms", (Bits(Int32ub, VIDEO_ALARMS),)),
    0x15: Item("video_lost", (Bits(Int32ub, CHANNELS),)),
    0x16: Item("video_covered", (Bits(Int32ub, CHANNELS),)),
    0x17: Item("storage_faults", (Bits(Int16ub, [*(f"main_{n}" for n in range(1, 13)), *(f"backup_{n}" for n in range(1, 5))]),)),
    0x18: Item(
        "abnormal_driving",
        (
            # the table of items prints two bytes, the table of fields three
            Struct("behaviours" / Bits(Int16ub, ABNORMAL_DRIVING), "fatigue_degree" / Int8ub),
            Struct("behaviours" / Bits(Int16ub, ABNORMAL_DRIVING)),
        ),
    ),
    0x25: Item("vehicle_signals", (Bits(Int32ub, VEHICLE_SIGNALS),)),
    0x2A: Item("io", (Bits(Int16ub, ("deep_sleep", "sleep")),)),
    0x2B: Item("analogue", (Struct("ad1" / Int16ub, "ad0" / Int16ub),)),
    0x30: Item("signal", (Int8ub,)),
    0x31: Item("satellites", (Int8ub,)),
    0x64: Item(
        "adas_alarm",
        _alarm(
            *_KIND_AND_LEVEL,
            "front_speed_kmh" / Int8ub,
            "front_distance_s" / Scaled(Int8ub, 10),
            "departure" / Int8ub,
            "sign_kind" / Int8ub,
            "sign_value" / Int8ub,
        ),
    ),
    0x65: Item("dsm_alarm", _alarm(*_KIND_AND_LEVEL, "fatigue_degree" / Int8ub, "reserved" / Bytes(4))),
    # printed offsets are off by one; Guangdong writes the position in two bytes
    0x66: Item("tyre_alarm", (_tyre_alarm(_MARK, Int8ub), _tyre_alarm(_LONG_MARK, Int16ub))),
    0x67: Item("blind_zone_alarm", _alarm("type" / Int8ub)),
}
