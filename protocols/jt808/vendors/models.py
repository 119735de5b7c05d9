"""Items that mean something else, or something at all, with certain models only."""

from __future__ import annotations

from typing import Any, Final

from construct import GreedyBytes, If, Int8sb, Int8ub, Int16sb, Int16ub, Int32ub, Prefixed, Struct, Switch, this

from protocols.adapters import BcdTime, Scaled
from protocols.jt808.messages.items import Item
from protocols.parts import Bcd, Coded, Numbered, Octets, Several
from protocols.text import FixedText, RestText

AOVX_MODELS: Final = frozenset({"AL300", "GL100"})


def _if(bit: int, part: Any, mask: Any = this.mask) -> Any:  # noqa: ANN401 - construct carries no types
    """A part that is there when a bit of the mask is set."""
    return If(mask & 1 << bit, part)


_TAG_MASK: Final = this._.mask
_TAG: Final = Struct(
    "mac" / Bcd(6),
    "signal_dbm" / Int8sb,
    "name" / _if(0, FixedText(10), _TAG_MASK),
    "firmware" / _if(1, Octets(2), _TAG_MASK),
    "battery_v" / _if(2, Scaled(Int16ub, 1000), _TAG_MASK),
    "temperature_c" / _if(3, Scaled(Int16sb, 10), _TAG_MASK),
    "humidity_percent" / _if(4, Scaled(Int16sb, 10), _TAG_MASK),
    "acceleration" / _if(5, Octets(6), _TAG_MASK),
    "reserved_1" / _if(6, Octets(2), _TAG_MASK),
    "reserved_2" / _if(7, Octets(2), _TAG_MASK),
)

AOVX: Final = {
    0xF3: Item("tags", (Struct("mask" / Int8ub, "tags" / Several(_TAG)),)),
    0xF6: Item(
        "sensors",
        (
            Struct(
                "event" / Coded(Int8ub, {2: "motion"}),
                "mask" / Int8ub,
                "illuminance" / _if(0, Int16ub),
                "temperature_c" / _if(1, Scaled(Int16sb, 10)),
                "humidity_percent" / _if(2, Scaled(Int16sb, 10)),
                "acceleration" / _if(3, Int16sb[3]),
                "thresholds" / _if(4, Octets(10)),
                "air_pressure" / _if(5, Int16ub),
            ),
        ),
    ),
    0xF8: Item("identity", (Struct("mode" / Int8ub, "imei" / Bcd(8), "iccid" / Bcd(10), "hardware" / RestText()),)),
    0xF9: Item(
        "status",
        (
            Struct(
                "mask" / Int16ub,
                "gnss_age_s" / _if(0, Int32ub),
                "acc_on_s" / _if(1, Int32ub),
                "hdop" / _if(2, Scaled(Int16ub, 10)),
                "gnss_time" / _if(3, BcdTime()),
                "intervals" / _if(5, Octets(8)),
                "external_temperature_c" / _if(6, Scaled(Int16sb, 10)),
                "external_thresholds" / _if(6, Octets(4)),
            ),
        ),
    ),
}
"""Trackers of assets and cold chains, with sensors and Bluetooth tags."""

JIMI_MODELS: Final = frozenset({"JC371", "JC181", "JC182", "JC450", "JC451"})
_EVENTS: Final = {
    0x0001: "fault",
    0x0400: "acceleration",
    0x0401: "braking",
    0x0402: "cornering",
    0x0403: "overspeed",
    0x0405: "accident",
    0x0406: "vibration",
    0x0407: "tow",
    0x0408: "geofence_entered",
    0x0409: "geofence_left",
    0x040C: "door",
    0x0415: "lane_change",
    0x0C01: "sos",
    0x0C02: "low_power",
    0x0C03: "ignition_on",
    0x0C04: "ignition_off",
    0x0C0E: "power_cut",
    0x0C0F: "low_battery",
    0x0C10: "power_off",
    0x0C12: "tampering",
    0x2002: "upload",
    0x2003: "power",
    0x2005: "states",
}
_GROUPS: Final = {
    0x2002: Prefixed(Int8ub, Struct("upload_mode" / Int8ub, "buffered" / Int8ub)),
    0x2003: Prefixed(
        Int8ub,
        Struct(
            "charging" / Int8ub,
            "battery_sixths" / Int8ub,
            "battery_v" / Scaled(Int16ub, 100),
            "signal" / Int8ub,
            "power_v" / Scaled(Int16ub, 100),
        ),
    ),
    0x2005: Prefixed(Int8ub, Several(Struct("id" / Numbered(Int16ub), "value" / Prefixed(Int8ub, GreedyBytes)))),
}
JIMI: Final = {
    0xE8: Item("group", (Struct("group" / Coded(Int16ub, _EVENTS), "value" / Switch(this.group, _GROUPS, default=GreedyBytes)),))
}
"""Cameras; one item for events and for states."""

STEP_COUNTER_MODELS: Final = frozenset({"C5", "C5L"})
STEP_COUNTERS: Final = {0xF8: Item("steps", (Int16ub,))}
