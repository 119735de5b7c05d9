"""Items of trackers, locks and OBD dongles that tell themselves apart by length and content (quirks D12, D13, D21).

From what public servers read out of such terminals. An id that several makers use has a form for each of them; the first that fits is it.
Before an engine's values some put an item 0x80 whose length byte means nothing (quirk D15); what is behind it is items all the same.
"""

from __future__ import annotations

from typing import Any, Final

from construct import Array, Check, Const, ExprAdapter, GreedyBytes, Int8sb, Int8ub, Int16ub, Int24ub, Int32ub, Prefixed, Struct, this

from protocols.adapters import Bits, Scaled, SignMagnitude
from protocols.jt808.messages.items import Item
from protocols.parts import Bcd, Coded, Count, Numbered, Octets, Several
from protocols.text import FixedText, RestText

_NO_TEMPERATURE: Final = 0xFFFF
_HOME_NETWORKS: Final = 200
"""Mobile country codes begin here."""
_LAST_CONTROL, _DELETE = 0x1F, 0x7F


def _offset(subcon: Any, by: int, parts: int = 1) -> Any:  # noqa: ANN401 - construct carries no types
    """A quantity that is counted from `-by` on, in `parts` of its unit."""
    return ExprAdapter(subcon, lambda raw, _context: raw / parts - by, lambda value, _context: round((value + by) * parts))


_TENTHS: Final = ExprAdapter(
    Int16ub,
    lambda raw, _context: None if raw == _NO_TEMPERATURE else SignMagnitude().parse(Int16ub.build(raw)) / 10,
    lambda degrees, _context: _NO_TEMPERATURE if degrees is None else Int16ub.parse(SignMagnitude().build(round(degrees * 10))),
)
"""Degrees with their sign in the top bit, None where no sensor answers."""

_BATTERY: Final = "battery_percent" / Coded(Int8ub, {0xFF: "charging"})
_POWER: Final = Struct("power_v" / Scaled(Int16ub, 10))
_ACCESS_POINTS: Final = Several(Struct("mac" / Bcd(6), "signal_dbm" / Int8sb))
_OBD_RECORDS: Final = Several(Struct("id" / Numbered(Int16ub), "value" / Prefixed(Int8ub, GreedyBytes)))


def _printable(text: str) -> bool:
    """Whether nothing in a text is a control character."""
    return bool(text) and all(_LAST_CONTROL < ord(letter) < _DELETE for letter in text)


_PLAIN_TEXT: Final = Struct("text" / RestText(), Check(lambda context: _printable(context.text)))

TRACKERS: Final = {
    0x06: Item("battery", (Struct(_BATTERY),)),
    0x0B: Item(
        "lock",
        (
            Struct("command" / Int8ub),
            Struct("command" / Int8ub, "result" / Int8ub),
            Struct("command" / Int8ub, "card" / Int32ub),
            Struct("command" / Int8ub, "card" / Int32ub, "result" / Int8ub),
            Struct("command" / Int8ub, "password" / FixedText(6)),
            Struct("command" / Int8ub, "password" / FixedText(6), "result" / Int8ub),
        ),
    ),
    0x33: Item("mode", (Struct("mode" / Int8ub), _PLAIN_TEXT)),
    0x51: Item("temperatures_c", (Array(1, _TENTHS), Array(8, _TENTHS))),
    0x56: Item("battery", (Struct("battery_tenths" / Int8ub, "charging" / Int8ub),)),
    0x57: Item(
        "driving_alarms",
        (
            Struct(
                "alarms" / Bits(Int16ub, (*(None,) * 8, "acceleration", "braking", "cornering")),
                "switches" / Int16ub,
                "more" / Int32ub,
            ),
        ),
    ),
    0x60: Item("event", (Struct("event" / Numbered(Int16ub)), Struct("event" / Numbered(Int16ub), "lock" / Bcd(6), "card" / FixedText(8)))),
    0x61: Item("power", (Struct("power_v" / Scaled(Int16ub, 100)),)),
    0x63: Item(
        "locks",
        (
            Several(
                Struct("lock" / Bcd(6), "battery_v" / Scaled(Int16ub, 1000), "seal" / Int8ub, "state" / Int8ub, "signal" / Int8ub),
            ),
        ),
    ),
    0x67: Item("password", (FixedText(8),)),
    0x68: Item("battery", (Struct("battery_percent" / Scaled(Int16ub, 100)),)),
    0x69: Item("battery", (Struct("battery_v" / Scaled(Int16ub, 100)),)),
    0x70: Item(
        "driving_behaviour",
        (
            Struct(
                "alarm_id" / Int32ub,
                "flag" / Int8ub,
                "type" / Coded(Int8ub, {1: "acceleration", 2: "braking", 3: "cornering", 0x16: "accident"}),
                "more" / Octets(),
            ),
        ),
    ),
    0x77: Item(
        "tyres",
        (
            Several(
                Struct(
                    "tyre" / Int8ub,
                    "sensor" / Bcd(3),
                    "pressure_raw" / Int16ub,
                    "temperature_c" / _offset(Int8ub, 50),
                    "state" / Int8ub,
                ),
            ),
        ),
    ),
    0x80: Item("obd_speed", (Struct("speed_kmh" / Int8ub),)),
    0x81: Item("rpm", (Struct("rpm" / Int16ub),)),
    0x82: Item("power", (_POWER,)),
    0x83: Item("load", (Struct("load_percent" / Int8ub),)),
    0x84: Item("coolant", (Struct("coolant_c" / _offset(Int8ub, 40)),)),
    0x85: Item("consumption", (Struct("consumption_raw" / Int16ub),)),
    0x86: Item("intake_temperature", (Struct("intake_c" / _offset(Int8ub, 40)),)),
    0x87: Item("intake_flow", (Struct("intake_flow_raw" / Int16ub),)),
    0x88: Item("intake_pressure", (Struct("intake_kpa" / Int8ub),)),
    0x89: Item("throttle", (Struct("throttle_percent" / Int8ub),)),
    0x8B: Item("vin", (FixedText(17),)),
    0x8C: Item("obd_odometer", (Struct("odometer_km" / Scaled(Int32ub, 10)),)),
    0x8D: Item("trip", (Struct("trip_km" / Int16ub),)),
    0x8E: Item("fuel", (Struct("fuel_percent" / Int8ub),)),
    0x91: Item(
        "obd",
        (
            Struct(
                "battery_v" / Scaled(Int16ub, 10),
                "rpm" / Int16ub,
                "speed_kmh" / Int8ub,
                "throttle_255ths" / Int8ub,
                "load_255ths" / Int8ub,
                "coolant_c" / _offset(Int8ub, 40),
                "unknown_1" / Octets(2),
                "consumption_l" / Scaled(Int16ub, 100),
                "unknown_2" / Octets(8),
                "fuel_used_l" / Scaled(Int16ub, 100),
            ),
        ),
    ),
    0x94: Item("vin", (_PLAIN_TEXT,)),
    0xA0: Item("fault_codes", (_PLAIN_TEXT,)),
    0xA7: Item("adc", (Struct("adc_1" / Scaled(Int16ub, 100), "adc_2" / Scaled(Int16ub, 100)),)),
    0xAC: Item("odometer", (Struct("odometer_m" / Int32ub),)),
    0xBC: Item("driver", (_PLAIN_TEXT,)),
    0xBD: Item("driver_id", (_PLAIN_TEXT,)),
    0xCC: Item("iccid", (FixedText(20),)),
    0xD0: Item("user_state", (Bits(Int32ub, (None, None, None, "vibration")),)),
    0xD3: Item("power", (_POWER,)),
    0xD4: Item("battery_or_driver", (Struct(_BATTERY), Struct("driver_id" / Int32ub))),
    0xD5: Item(
        "lock_battery",
        (
            Struct("battery_v" / Scaled(Int16ub, 100)),
            Struct(
                "count" / Count(Int8ub, "locks"),
                "locks" / Several(Struct("lock" / Bcd(5), "card" / Bcd(5), "battery_percent" / Int8ub, "state" / Int16ub)),
            ),
        ),
    ),
    0xDA: Item("string_lock", (Struct("cuts" / Int16ub, "state" / Bits(Int8ub, ("string", None, "motion", "cover"))),)),
    0xE1: Item(
        "battery_or_cells",
        (
            Struct(_BATTERY),
            _POWER,
            Struct("driver_id" / Int32ub),
            Struct(
                "mcc" / Int16ub,
                "mnc" / Int16ub,
                "cells" / Several(Struct("area" / Int24ub, "cell" / Int32ub, "signal" / Int8ub)),
            ),
        ),
    ),
    0xE2: Item("fuel", (Struct("fuel_l" / Scaled(Int32ub, 10)),)),
    0xE3: Item("battery", (Struct("reserved" / Octets(1), "battery_percent" / Int8ub, "battery_v" / Scaled(Int16ub, 100)),)),
    0xE4: Item("charge", (Struct("charging" / Coded(Int8ub, {0: "yes"}), "battery_percent" / Int8ub),)),
    0xE5: Item("motion", (Struct("moving" / Int8ub),)),
    0xE6: Item(
        "sensors",
        (
            Several(Struct("sensor" / Int8ub, "mac" / Bcd(6), "temperature_raw" / Octets(2), "humidity_raw" / Octets(2))),
            # live values of an engine, separated by commas
            Struct("lead" / Const(b"$OBD-RT"), "text" / RestText()),
        ),
    ),
    0xE7: Item("alarms", (Struct("alarms" / Bits(Int16ub, ("vibration", "sos", "sos", "sos")), "more" / Octets(6)),)),
    0xE9: Item("battery_or_driver", (Struct(_BATTERY), Struct("driver_id" / Int32ub))),
    0xEA: Item(
        "extensions",
        (Struct("kind" / Int8ub, "records" / Several(Struct("id" / Numbered(Int8ub), "value" / Prefixed(Int8ub, GreedyBytes)))),),
    ),
    0xEB: Item(
        "extensions",
        (
            Struct(
                "mcc" / Int16ub,
                Check(this.mcc > _HOME_NETWORKS),
                "mnc" / Int8ub,
                "cells" / Several(Struct("area" / Int16ub, "cell" / Int16ub, "signal" / Int8ub)),
            ),
            # the terminal's zone, by name
            _PLAIN_TEXT,
            Struct("records" / Several(Prefixed(Int16ub, Struct("id" / Numbered(Int16ub), "value" / GreedyBytes)))),
        ),
    ),
    0xEC: Item("access_points", (_ACCESS_POINTS,)),
    0xED: Item("card", (_PLAIN_TEXT,)),
    0xEE: Item(
        "power",
        (
            Struct(
                "signal" / Int8ub,
                "power_v" / Scaled(Int16ub, 1000),
                "battery_v" / Scaled(Int16ub, 1000),
                "satellites" / Int8ub,
            ),
        ),
    ),
    0xF0: Item(
        "cells",
        (Several(Struct("mcc" / Int16ub, "mnc" / Int16ub, "cell" / Int32ub, "area" / Int32ub, "signal" / Int8ub)),),
    ),
    0xF1: Item("power", (Struct("power_v" / Scaled(Int32ub, 1000)),)),
    0xF2: Item("firmware", (_PLAIN_TEXT,)),
    0xF3: Item("obd_records", (_OBD_RECORDS,)),
    0xF4: Item("access_points", (_ACCESS_POINTS,)),
    0xF5: Item("light", (Struct("illuminance" / Int16ub),)),
    0xF6: Item("air_pressure_or_imei", (Struct("air_pressure" / Int16ub), Struct("imei" / Bcd(8)))),
    0xF7: Item(
        "humidity_or_battery",
        (
            Struct("humidity_percent" / Scaled(Int16ub, 10)),
            Struct("battery_v" / Scaled(Int32ub, 1000)),
            Struct("battery_v" / Scaled(Int32ub, 1000), "state" / Int8ub),
            Struct("battery_v" / Scaled(Int32ub, 1000), "state" / Int8ub, "battery_percent" / Int8ub),
        ),
    ),
    0xF8: Item("temperature", (Struct("temperature_c" / _offset(Int16ub, 50, 10)),)),
    0xFB: Item("container", (_PLAIN_TEXT,)),
    0xFC: Item("geofence", (Struct("geofence" / Int8ub),)),
    0xFE: Item(
        "battery_power_or_odometer",
        (
            Struct(_BATTERY),
            _POWER,
            Struct("odometer_m" / Int32ub),
        ),
    ),
}
"""Items by id."""
