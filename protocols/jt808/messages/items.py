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
    Int16ub,
    Int32ub,
    SizeofError,
    Struct,
    Terminated,
)

from protocols.adapters import Bits, Scaled, SignMagnitude
from protocols.jt808.messages.registry import plain
from protocols.jt808.messages.subiao import ADAS, BLIND_ZONE, DSM, TYRES


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
STORES: Final = (*(f"main_{number}" for number in range(1, 13)), *(f"backup_{number}" for number in range(1, 5)))
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
NO_READING: Final = 0xFF
CHANNELS: Final = tuple(f"channel_{number}" for number in range(1, 33))

_PRESSURE: Final = ExprAdapter(
    Int8ub,
    decoder=lambda byte, _context: None if byte == NO_READING else byte,
    encoder=lambda pressure, _context: NO_READING if pressure is None else pressure,
)


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
    # one byte of it from some (quirk D12)
    0x17: Item("storage_faults", (Bits(Int16ub, STORES), Bits(Int8ub, STORES))),
    0x18: Item(
        "abnormal_driving",
        (
            # the table of items prints two bytes, the table of fields three
            Struct("behaviours" / Bits(Int16ub, ABNORMAL_DRIVING), "fatigue_degree" / Int8ub),
            Struct("behaviours" / Bits(Int16ub, ABNORMAL_DRIVING)),
            # and one terminal sends four (quirk D12)
            Struct("behaviours" / Bits(Int16ub, ABNORMAL_DRIVING), "fatigue_degree" / Int8ub, "reserved" / Bytes(1)),
        ),
    ),
    0x25: Item("vehicle_signals", (Bits(Int32ub, VEHICLE_SIGNALS),)),
    0x2A: Item("io", (Bits(Int16ub, ("deep_sleep", "sleep")),)),
    0x2B: Item("analogue", (Struct("ad1" / Int16ub, "ad0" / Int16ub),)),
    0x30: Item("signal", (Int8ub,)),
    0x31: Item("satellites", (Int8ub,)),
    0x64: Item("adas_alarm", ADAS),
    0x65: Item("dsm_alarm", DSM),
    0x66: Item("tyre_alarm", TYRES),
    0x67: Item("blind_zone_alarm", BLIND_ZONE),
}
