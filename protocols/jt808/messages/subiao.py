"""Active safety: alarms inside location reports and the upload of their evidence (T/JSATL 12-2017, "Su-biao", and its relatives).

Provinces have written the standard anew with other widths of the terminal's id and of the mark that names an alarm. Which ones a message
has is found by what adds up; building takes `mark_bytes`, Jiangsu's 16 if nothing is said.
"""

from __future__ import annotations

from typing import Any, Final

from construct import Array, Bytes, Default, Int8ub, Int16sb, Int16ub, Int32ub, Struct, Switch, this

from protocols.adapters import BcdTime, Bits, MicroDegrees, Scaled
from protocols.jt808.messages.control import UPGRADED
from protocols.jt808.messages.registry import declare
from protocols.parts import Coded, Count, Octets, Several, Solved
from protocols.text import CountedText, FixedText

VEHICLE_STATE: Final = ("acc_on", "left_turn", "right_turn", "wiper", "brake", "card_in", None, None, None, None, "positioned")
TYRE_ALARMS: Final = ("periodic", "high_pressure", "low_pressure", "hot", "sensor", "unbalanced", "slow_leak", "battery_low")
FLAGS: Final = {0: "instant", 1: "start", 2: "end"}
ADAS_TYPES: Final = {
    1: "forward_collision",
    2: "lane_departure",
    3: "too_close",
    4: "pedestrian",
    5: "lane_changes",
    6: "sign_limit",
    7: "obstacle",
    0x10: "sign_seen",
    0x11: "snapshot",
}
DSM_TYPES: Final = {
    1: "fatigue",
    2: "phone",
    3: "smoking",
    4: "distraction",
    5: "driver_abnormal",
    0x10: "snapshot",
    0x11: "driver_change",
}
BLIND_ZONES: Final = {1: "rear", 2: "left", 3: "right"}
SIDES: Final = {1: "left", 2: "right"}


def _mark(terminal_id: int, reserved: int) -> Struct:
    """What names an alarm for good."""
    return Struct(
        "terminal_id" / FixedText(terminal_id),
        "time" / BcdTime(),
        "sequence" / Int8ub,
        "attachments" / Int8ub,
        "reserved" / Default(Octets(reserved), bytes(reserved)),
    )


JIANGSU, GUANGDONG, HEILONGJIANG, HUNAN, SICHUAN = 16, 40, 38, 32, 39
MARKS: Final = {
    JIANGSU: _mark(7, 1),
    GUANGDONG: _mark(30, 2),
    HEILONGJIANG: _mark(30, 0),
    HUNAN: _mark(7, 17),
    SICHUAN: _mark(30, 1),
}
"""The mark by its width."""
TERMINAL_ID_BYTES: Final = {JIANGSU: 7, GUANGDONG: 30, HEILONGJIANG: 0, HUNAN: 7, SICHUAN: 30}
"""The id that opens a 0x1210, by the width of the mark behind it."""
assert all(mark.sizeof() == width for width, mark in MARKS.items())

_PLACE: Final = ("speed_kmh" / Int8ub, "altitude_m" / Int16sb, "lat" / MicroDegrees(), "lon" / MicroDegrees(), "time" / BcdTime())
_HEAD: Final = ("alarm_id" / Int32ub, "flag" / Coded(Int8ub, FLAGS))
_STATE: Final = "vehicle_state" / Bits(Int16ub, VEHICLE_STATE)
_IN_REPORTS: Final = (MARKS[JIANGSU], MARKS[GUANGDONG])


def _alarm(*middle: Any) -> tuple[Any, ...]:  # noqa: ANN401 - construct carries no types
    """An alarm with the short mark of Jiangsu and the long one of Guangdong."""
    return tuple(Struct(*_HEAD, *middle, *_PLACE, _STATE, "mark" / mark) for mark in _IN_REPORTS)


def _tyre_alarm(mark: Struct, position: Any) -> Struct:  # noqa: ANN401 - construct carries no types
    tyre = Struct(
        "position" / position,
        "alarms" / Bits(Int16ub, TYRE_ALARMS),
        "pressure_kpa" / Int16ub,
        "temperature_c" / Int16sb,
        "battery_percent" / Int16ub,
    )
    return Struct(*_HEAD, *_PLACE, _STATE, "mark" / mark, "count" / Int8ub, "tyres" / Array(this.count, tyre))


ADAS: Final = _alarm(
    "type" / Coded(Int8ub, ADAS_TYPES),
    "level" / Int8ub,
    "front_speed_kmh" / Int8ub,
    "front_distance_s" / Scaled(Int8ub, 10),
    "departure" / Coded(Int8ub, SIDES),
    "sign_kind" / Int8ub,
    "sign_value" / Int8ub,
)
DSM: Final = _alarm("type" / Coded(Int8ub, DSM_TYPES), "level" / Int8ub, "fatigue_degree" / Int8ub, "reserved" / Bytes(4))
# printed offsets are off by one; Guangdong writes the position in two bytes
TYRES: Final = (_tyre_alarm(MARKS[JIANGSU], Int8ub), _tyre_alarm(MARKS[GUANGDONG], Int16ub))
BLIND_ZONE: Final = _alarm("type" / Coded(Int8ub, BLIND_ZONES))

ALARM_NUMBER_BYTES: Final = 32
RESERVED_BYTES: Final = 16
_ALARM_NUMBER: Final = "alarm_number" / FixedText(ALARM_NUMBER_BYTES)
_MARK: Final = "mark" / Switch(this.mark_bytes, MARKS)


def _mark_of_order(behind_ports: bytes) -> int:
    """The width of the mark in a 0x9208, from what follows the ports."""
    width = len(behind_ports) - ALARM_NUMBER_BYTES - RESERVED_BYTES
    return width if width in MARKS else JIANGSU


declare(
    0x9208,
    Struct(
        "address" / CountedText(),
        "tcp_port" / Int16ub,
        "udp_port" / Int16ub,
        "mark_bytes" / Solved(JIANGSU, _mark_of_order),
        _MARK,
        _ALARM_NUMBER,
        "reserved" / Default(Octets(RESERVED_BYTES), bytes(RESERVED_BYTES)),
    ),
)


def _mark_of_announcement(body: bytes) -> int:
    """The width of the mark in a 0x1210: that behind which as many files follow as are counted, to the end."""
    return next((width for width in MARKS if _files_add_up(body, TERMINAL_ID_BYTES[width] + width + ALARM_NUMBER_BYTES + 1)), JIANGSU)


def _files_add_up(body: bytes, at: int) -> bool:
    """Whether from the count at `at` on there is nothing but files."""
    left = body[at] if at < len(body) else -1
    at += 1
    while left > 0 and at < len(body):
        at += 1 + body[at] + 4
        left -= 1
    return left == 0 and at == len(body)


declare(
    0x1210,
    Struct(
        "mark_bytes" / Solved(JIANGSU, _mark_of_announcement),
        "terminal_id" / Switch(this.mark_bytes, {width: FixedText(size) for width, size in TERMINAL_ID_BYTES.items() if size}),
        _MARK,
        _ALARM_NUMBER,
        "info" / Coded(Int8ub, {0: "normal", 1: "resend"}),
        "count" / Count(Int8ub, "files"),
        "files" / Several(Struct("name" / CountedText(), "bytes" / Int32ub)),
    ),
)

FILE_TYPES: Final = {0: "picture", 1: "audio", 2: "video", 3: "text", 4: "other"}
FILE: Final = Struct("name" / CountedText(), "type" / Coded(Int8ub, FILE_TYPES), "bytes" / Int32ub)
declare(0x1211, FILE)
declare(0x1212, FILE)
declare(
    0x9212,
    Struct(
        "name" / CountedText(),
        "type" / Coded(Int8ub, FILE_TYPES),
        "result" / Coded(Int8ub, {0: "done", 1: "resend"}),
        "count" / Count(Int8ub, "missing"),
        "missing" / Default(Several(Struct("offset" / Int32ub, "length" / Int32ub)), []),
    ),
)

# Guangdong's: how far an upgrade over the air has come
declare(
    0x1FC4, Struct("reply_serial" / Int16ub, "upgraded" / Coded(Int8ub, UPGRADED), "state" / Int8ub, "percent" / Int8ub, "error" / Int8ub)
)
