"""Parameters of the terminal: setting and asking them, and what each of them is.

A parameter is told as `{"id", "name", "value"}`. Its value is read by the form that has exactly its length; a whole number may come in
another width than printed (quirk G9) and then says its `width`. What fits no form has `raw` instead of `value`, and costs only itself.
Adding a parameter is adding a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import construct
from construct import (
    Array,
    BitsInteger,
    BitStruct,
    FormatField,
    GreedyBytes,
    Int8ub,
    Int16ub,
    Int32ub,
    Prefixed,
    SizeofError,
    Struct,
    Terminated,
)

from protocols.adapters import Bits, Scaled
from protocols.jt808.header import V2011, V2013
from protocols.jt808.messages import safety
from protocols.jt808.messages.control import GNSS_SYSTEMS
from protocols.jt808.messages.driver import CAN_ID
from protocols.jt808.messages.items import VIDEO_ALARMS
from protocols.jt808.messages.location import ALARMS
from protocols.jt808.messages.registry import declare, plain
from protocols.jt808.messages.session import EMPTY, PLATE_COLOURS
from protocols.parts import Bcd, Coded, Count, Numbered, Several, octets
from protocols.text import RestText


@dataclass(frozen=True, slots=True)
class Parameter:
    """One kind of parameter: its name, and the forms its value may have, the printed one first."""

    name: str
    forms: tuple[Any, ...]

    def parse(self, value: bytes) -> dict[str, Any]:
        """The value and, where it is not the printed one, its width; or the raw bytes."""
        for form in self.forms:
            if _size(form) in {len(value), None}:
                try:
                    read = plain(Struct("value" / form, Terminated).parse(value).value)
                except construct.ConstructError:
                    continue
                return {"value": read}
        width = len(value)
        if self._whole and width in _WIDTHS:
            return {"value": _WIDTHS[width].parse(value), "width": width}
        return {"raw": value}

    def build(self, value: Any, width: int | None) -> bytes:  # noqa: ANN401 - as Python or JSON has it
        """The bytes of a value; of several forms the first that takes it."""
        if width is not None:
            return bytes(_WIDTHS[width].build(int(value)))
        *others, last = self.forms
        for form in others:
            if isinstance(value, Mapping) and value.keys() - {field.name for field in form.subcons}:
                continue
            try:
                return bytes(form.build(value))
            except (construct.ConstructError, KeyError):
                continue
        return bytes(last.build(value))

    @property
    def _whole(self) -> bool:
        """Its printed form is one number."""
        form = self.forms[0]
        return isinstance(form.subcon if isinstance(form, Bits | Coded) else form, FormatField)


_WIDTHS: Final = {1: Int8ub, 2: Int16ub, 4: Int32ub}


def _size(form: Any) -> int | None:  # noqa: ANN401 - construct carries no types
    """Bytes of a form, None when they vary."""
    try:
        return int(form.sizeof())
    except SizeofError:
        return None


def _d(name: str) -> Parameter:
    return Parameter(name, (Int32ub,))


def _w(name: str) -> Parameter:
    return Parameter(name, (Int16ub,))


def _b(name: str, words: Mapping[int, str]) -> Parameter:
    return Parameter(name, (Coded(Int8ub, words),))


def _s(name: str) -> Parameter:
    return Parameter(name, (RestText(),))


_SHOTS: Final = BitStruct(
    "amount" / BitsInteger(15),
    # seconds or minutes, metres or kilometres
    "coarse" / BitsInteger(1),
    "reserved_1" / BitsInteger(3),
    "upload_channels" / BitsInteger(5),
    "reserved_2" / BitsInteger(3),
    "channels" / BitsInteger(5),
)
"""Bits, channel 1 the lowest: which channels take pictures, and which of them send instead of keeping."""

_CODING: Final = (
    "encoding" / Int8ub,
    "resolution" / Int8ub,
    "key_frame_interval" / Int16ub,
    "frames_per_s" / Int8ub,
    "kbit_per_s" / Int32ub,
)
_LIVE_AND_STORED: Final = ("live" / Struct(*_CODING), "stored" / Struct(*_CODING))
_ONE_CHANNEL: Final = Struct("channel" / Int8ub, *_LIVE_AND_STORED, "osd" / Int16ub)
_CHANNEL: Final = Struct(
    "physical" / Int8ub, "logical" / Int8ub, "kind" / Coded(Int8ub, {0: "audio_and_video", 1: "audio", 2: "video"}), "ptz" / Int8ub
)
_CAN: Final = Struct("sampling_ms" / Int32ub, "can" / CAN_ID)
_WAKING: Final = Struct("wake_hhmm" / Bcd(2), "sleep_hhmm" / Bcd(2))

REPORT_POLICIES: Final = {0: "time", 1: "distance", 2: "time_and_distance"}
GNSS_BAUDS: Final = {0: "4800", 1: "9600", 2: "19200", 3: "38400", 4: "57600", 5: "115200"}
GNSS_PERIODS: Final = {0: "500_ms", 1: "1_s", 2: "2_s", 3: "3_s", 4: "4_s"}
GNSS_UPLOADS: Final = {0: "keep", 1: "by_time", 2: "by_distance", 0x0B: "total_time", 0x0C: "total_distance", 0x0D: "total_records"}

PARAMETERS: Final = {
    0x0001: _d("heartbeat_s"),
    0x0002: _d("tcp_timeout_s"),
    0x0003: _d("tcp_repeats"),
    0x0004: _d("udp_timeout_s"),
    0x0005: _d("udp_repeats"),
    0x0006: _d("sms_timeout_s"),
    0x0007: _d("sms_repeats"),
    0x0010: _s("main_apn"),
    0x0011: _s("main_user"),
    0x0012: _s("main_password"),
    0x0013: _s("main_address"),
    0x0014: _s("backup_apn"),
    0x0015: _s("backup_user"),
    0x0016: _s("backup_password"),
    0x0017: _s("backup_address"),
    # 2019 writes the port into the address
    0x0018: _d("tcp_port"),
    0x0019: _d("udp_port"),
    0x001A: _s("card_main_address"),
    0x001B: _d("card_tcp_port"),
    0x001C: _d("card_udp_port"),
    0x001D: _s("card_backup_address"),
    0x0020: Parameter("report_policy", (Coded(Int32ub, REPORT_POLICIES),)),
    0x0021: Parameter("report_plan", (Coded(Int32ub, {0: "by_acc", 1: "by_login_then_acc"}),)),
    0x0022: _d("interval_no_driver_s"),
    0x0023: _s("slave_apn"),
    0x0024: _s("slave_user"),
    0x0025: _s("slave_password"),
    0x0026: _s("slave_address"),
    0x0027: _d("interval_asleep_s"),
    0x0028: _d("interval_alarm_s"),
    0x0029: _d("interval_s"),
    0x002C: _d("distance_m"),
    0x002D: _d("distance_no_driver_m"),
    0x002E: _d("distance_asleep_m"),
    0x002F: _d("distance_alarm_m"),
    0x0030: _d("corner_deg"),
    0x0031: _w("illegal_move_radius_m"),
    0x0032: Parameter(
        "forbidden_hours",
        (Struct("start_hour" / Int8ub, "start_minute" / Int8ub, "stop_hour" / Int8ub, "stop_minute" / Int8ub),),
    ),
    0x0040: _s("platform_number"),
    0x0041: _s("reset_number"),
    0x0042: _s("factory_settings_number"),
    0x0043: _s("sms_platform_number"),
    0x0044: _s("sms_alarm_number"),
    0x0045: Parameter("call_answering", (Coded(Int32ub, {0: "automatic", 1: "automatic_while_acc_on"}),)),
    0x0046: _d("longest_call_s"),
    0x0047: _d("calls_a_month_s"),
    0x0048: _s("listening_number"),
    0x0049: _s("privileged_sms_number"),
    0x0050: Parameter("alarm_mask", (Bits(Int32ub, ALARMS),)),
    0x0051: Parameter("alarm_sms", (Bits(Int32ub, ALARMS),)),
    0x0052: Parameter("alarm_shoot", (Bits(Int32ub, ALARMS),)),
    0x0053: Parameter("alarm_keep_shot", (Bits(Int32ub, ALARMS),)),
    0x0054: Parameter("alarm_key", (Bits(Int32ub, ALARMS),)),
    0x0055: _d("max_speed_kmh"),
    0x0056: _d("overspeed_s"),
    0x0057: _d("longest_drive_s"),
    0x0058: _d("longest_drive_a_day_s"),
    0x0059: _d("least_rest_s"),
    0x005A: _d("longest_parking_s"),
    0x005B: Parameter("overspeed_warning_kmh", (Scaled(Int16ub, 10),)),
    0x005C: _w("fatigue_warning_s"),
    # the time is in steps of 4 ms until 2013 and of 1 ms since 2019
    0x005D: Parameter("collision", (Struct("acceleration_g" / Scaled(Int8ub, 10), "time_steps" / Int8ub),)),
    0x005E: _w("rollover_deg"),
    0x0064: Parameter("shots_by_time", (_SHOTS,)),
    0x0065: Parameter("shots_by_distance", (_SHOTS,)),
    0x0070: _d("image_quality"),
    0x0071: _d("brightness"),
    0x0072: _d("contrast"),
    0x0073: _d("saturation"),
    0x0074: _d("chroma"),
    0x0075: Parameter("video", (Struct(*_LIVE_AND_STORED, "osd" / Int16ub, "audio_output" / Int8ub),)),
    0x0076: Parameter(
        "video_channels",
        (Struct("both" / Int8ub, "audio" / Int8ub, "video" / Int8ub, "channels" / Several(_CHANNEL)),),
    ),
    0x0077: Parameter(
        "video_by_channel",
        (Struct("count" / Count(Int8ub, "channels"), "channels" / Several(_ONE_CHANNEL)),),
    ),
    0x0079: Parameter("special_recording", (Struct("storage_percent" / Int8ub, "longest_min" / Int8ub, "before_min" / Int8ub),)),
    0x007A: Parameter("video_alarm_mask", (Bits(Int32ub, VIDEO_ALARMS),)),
    0x007B: Parameter("image_analysis", (Struct("seats" / Int8ub, "fatigue_degree" / Int8ub),)),
    0x007C: Parameter(
        "wake_up",
        (
            Struct(
                "modes" / Bits(Int8ub, ("by_condition", "by_time", "by_hand")),
                "conditions" / Bits(Int8ub, ("emergency", "collision", "door_open")),
                "days" / Bits(Int8ub, ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")),
                "times_in_use" / Bits(Int8ub, ("time_1", "time_2", "time_3", "time_4")),
                "times" / Array(4, _WAKING),
            ),
        ),
    ),
    0x0080: Parameter("odometer_km", (Scaled(Int32ub, 10),)),
    # 2011 prints four bytes for the next four
    0x0081: _w("province"),
    0x0082: _w("city"),
    0x0083: _s("plate"),
    0x0084: _b("plate_colour", PLATE_COLOURS),
    0x0090: Parameter("gnss_systems", (Bits(Int8ub, GNSS_SYSTEMS),)),
    0x0091: _b("gnss_baud", GNSS_BAUDS),
    0x0092: _b("gnss_period", GNSS_PERIODS),
    0x0093: _d("gnss_sampling_s"),
    0x0094: _b("gnss_upload", GNSS_UPLOADS),
    0x0095: _d("gnss_upload_amount"),
    0x0100: _d("can_1_sampling_ms"),
    0x0101: _w("can_1_upload_s"),
    0x0102: _d("can_2_sampling_ms"),
    0x0103: _w("can_2_upload_s"),
    **{number: Parameter(f"can_id_{number - 0x0110}", (_CAN,)) for number in range(0x0110, 0x0200)},
    # T/JSATL 12
    0xF364: Parameter("adas", safety.ADAS_PARAMETERS),
    0xF365: Parameter("dsm", safety.DSM_PARAMETERS),
    0xF366: Parameter("tyres", safety.TYRE_PARAMETERS),
    0xF367: Parameter("blind_zone", safety.BLIND_ZONE_PARAMETERS),
    # trackers take free text as commands through this one
    0xF030: _s("vendor_command"),
}
"""Parameters by id."""

_IDS: Final = {parameter.name: number for number, parameter in PARAMETERS.items()}


def _id_of(given: Any, path: str) -> int:  # noqa: ANN401 - as Python or JSON has it
    """The id of a parameter that is given by its id or its name."""
    if not isinstance(given, str):
        return int(given)
    if given in _IDS:
        return _IDS[given]
    try:
        return int(given, 0)
    except ValueError:
        msg = f"{given!r} is neither the name nor the id of a parameter"
        raise construct.MappingError(msg, path) from None


class ParameterId(Numbered):
    """The id of a parameter; built from its name, too."""

    def _encode(self, obj: int | str, _context: object, path: str) -> int:
        return _id_of(obj, path)


class ParameterItem(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """`id | length | value` as `{"id", "name", "value"}`. Building needs the id or the name."""

    def __init__(self) -> None:
        super().__init__(Struct("id" / Numbered(Int32ub), "value" / Prefixed(Int8ub, GreedyBytes)))

    def _decode(self, obj: Any, _context: object, _path: str) -> dict[str, Any]:  # noqa: ANN401 - construct carries no types
        known = PARAMETERS.get(obj.id)
        if known is None:
            return {"id": obj.id, "name": None, "raw": obj.value}
        return {"id": obj.id, "name": known.name} | known.parse(obj.value)

    def _encode(self, obj: Mapping[str, Any], _context: object, path: str) -> dict[str, Any]:
        number = _id_of(obj["name"] if obj.get("id") is None else obj["id"], path)
        if "raw" in obj:
            return {"id": number, "value": octets(obj["raw"])}
        known = PARAMETERS.get(number)
        return {"id": number, "value": known.build(obj["value"], obj.get("width")) if known else octets(obj["value"])}


_LIST: Final = ("count" / Count(Int8ub, "parameters"), "parameters" / Several(ParameterItem()))
_LIST_2011: Final = ("total" / Count(Int8ub, "parameters"), *_LIST)
"""2011 says how many there are in all before how many are in this message."""
_REPLY: Final = "reply_serial" / Int16ub

declare(0x8103, {V2011: Struct(*_LIST_2011), V2013: Struct(*_LIST)})
declare(0x8104, EMPTY)
declare(0x8106, Struct("count" / Count(Int8ub, "ids"), "ids" / Several(ParameterId(Int32ub))))
declare(0x0104, {V2011: Struct(_REPLY, *_LIST_2011), V2013: Struct(_REPLY, *_LIST)})
