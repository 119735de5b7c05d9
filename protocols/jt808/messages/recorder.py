"""The driving recorder's data: blocks of GB/T 19056-2012, which have frames of their own.

A block whose lead, length or checksum is wrong stays bytes, and so does data whose layout is not known here.
Command 0x08 is written so, and 0x10 to 0x15 follow 0x09: the standard counts in decimal digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import reduce
from io import BytesIO
from operator import xor
from typing import Any, Final

import construct
from construct import Array, Default, GreedyBytes, Int8ub, Int16sb, Int16ub, Int32sb, Struct

from protocols.adapters import BcdTime
from protocols.jt808.header import V2011, V2013
from protocols.jt808.messages.registry import declare
from protocols.parts import Bcd, BcdNumber, Coded, LengthOf, Numbered, Octets, Several, octets
from protocols.text import FixedText

UP_LEAD, DOWN_LEAD = LEADS = (0x557A, 0xAA75)
"""As printed; senders use the first in both directions."""
FAILURES: Final = {0xFA: "query_failed", 0xFB: "setting_failed"}
"""Answers of the recorder that have neither length nor data."""
FAILURE_BYTES: Final = 5

_LICENCE: Final = "licence" / FixedText(18)
# the unit is the recorder's own, not the millionths of a degree of location reports: kept as it stands
_PLACE: Final = Struct("lon_raw" / Int32sb, "lat_raw" / Int32sb, "altitude_m" / Int16sb)
_SPEED_AND_STATE: Final = Struct("speed_kmh" / Int8ub, "state" / Int8ub)
_EVENT: Final = Struct("time" / BcdTime(), "event" / Int8ub)
_VEHICLE: Final = Struct("vin" / FixedText(17), "plate" / FixedText(12), "plate_class" / FixedText(12, last=True))
_PULSES: Final = Struct("time" / BcdTime(), "pulses_per_km" / Int16ub)
_MILEAGE: Final = Struct(
    "time" / BcdTime(),
    "installed" / BcdTime(),
    "initial_mileage_km" / BcdNumber(4, 10),
    "total_mileage_km" / BcdNumber(4, 10),
)
_SIGNALS: Final = Struct("time" / BcdTime(), "signals_in_use" / Int8ub, "names" / Several(FixedText(10)))
_NOW: Final = Struct("time" / BcdTime())


def _records(record: Struct) -> Struct:
    return Struct("records" / Several(record))


UP: Final = {
    0x00: Struct("year" / Bcd(1), "amendment" / Int8ub),
    0x01: Struct(_LICENCE),
    0x02: _NOW,
    0x03: _MILEAGE,
    0x04: _PULSES,
    0x05: _VEHICLE,
    0x06: _SIGNALS,
    0x07: Struct("ccc" / FixedText(7), "model" / FixedText(16), "made" / Bcd(3), "number" / FixedText(4), "reserved" / Octets(5)),
    0x08: _records(Struct("start" / BcdTime(), "seconds" / Array(60, _SPEED_AND_STATE))),
    0x09: _records(Struct("start" / BcdTime(), "minutes" / Array(60, Struct(*_PLACE.subcons, "speed_kmh" / Int8ub)))),
    0x10: _records(Struct("end" / BcdTime(), _LICENCE, "fifths_of_a_second" / Array(100, _SPEED_AND_STATE), "place" / _PLACE)),
    0x11: _records(Struct(_LICENCE, "start" / BcdTime(), "end" / BcdTime(), "start_place" / _PLACE, "end_place" / _PLACE)),
    0x12: _records(Struct("time" / BcdTime(), _LICENCE, "event" / Coded(Int8ub, {1: "log_in", 2: "log_out"}))),
    0x13: _records(Struct("time" / BcdTime(), "event" / Coded(Int8ub, {1: "power_on", 2: "power_off"}))),
    0x14: _records(_EVENT),
    0x15: _records(
        Struct(
            "state" / Coded(Int8ub, {1: "normal", 2: "abnormal"}),
            "start" / BcdTime(),
            "end" / BcdTime(),
            "seconds" / Array(60, Struct("recorded_kmh" / Int8ub, "reference_kmh" / Int8ub)),
        )
    ),
}
"""Data that the recorder sends, by command."""

QUERY: Final = Struct("start" / BcdTime(), "end" / BcdTime(), "most" / Int16ub)
QUERIES: Final = dict.fromkeys((0x08, 0x09, *range(0x10, 0x16)), QUERY)
"""Data of the commands that ask for records of a time; the others ask with none."""

SETTINGS: Final = {0x82: _VEHICLE, 0x83: _NOW, 0x84: _SIGNALS, 0xC2: _NOW, 0xC3: _PULSES, 0xC4: _MILEAGE}
"""Data that the recorder is sent, by command."""


_FAILURE: Final = Struct("lead" / Numbered(Int16ub), "command" / Numbered(Int8ub), "reserved" / Default(Int8ub, 0))
_FRAME: Final = Struct(
    *_FAILURE.subcons[:2], "length" / LengthOf(Int16ub, "data", GreedyBytes), *_FAILURE.subcons[2:], "data" / GreedyBytes
)


class Block(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """`lead | command | length | reserved | data | exclusive or`, its data by a table of layouts; bytes where it is none.

    Building needs the data only: `lead` is the usual one, and the command the message's own.
    """

    def __init__(self, layouts: Mapping[int, Struct], lead: int) -> None:
        super().__init__(GreedyBytes)
        self.flagbuildnone = True
        self.layouts, self.lead = layouts, lead

    def _decode(self, obj: bytes, _context: object, _path: str) -> Any:  # noqa: ANN401 - construct carries no types
        failure = obj[2:3] and obj[2] in FAILURES
        try:
            block = (_FAILURE if failure else _FRAME).parse(obj[:-1])
        except construct.ConstructError:
            return obj
        length = block.pop("length", 0)
        if block.lead not in LEADS or reduce(xor, obj) or length != len(block.get("data", b"")) or (failure and len(obj) > FAILURE_BYTES):
            return obj
        layout = self.layouts.get(block.command)
        if layout and block.data:
            stream = BytesIO(block.data)
            with suppress(construct.ConstructError):
                data = layout.parse_stream(stream)
                data.update({"rest": rest} if (rest := stream.read()) else {})
                block["data"] = data
        return block

    def _encode(self, obj: Any, context: Any, _path: str) -> bytes:  # noqa: ANN401 - as Python or JSON has it
        if isinstance(obj, bytes | str):
            return octets(obj)
        block = {"lead": self.lead, "command": context.command, "data": b""} | (obj or {})
        command = _number(block["command"])
        if command in self.layouts and isinstance(block["data"], Mapping):
            data = dict(block["data"])
            block["data"] = self.layouts[command].build(data) + octets(data.get("rest", b""))
        else:
            block["data"] = octets(block["data"])
        head: bytes = (_FAILURE if command in FAILURES else _FRAME).build(block)
        return head + bytes([reduce(xor, head)])


def _number(command: int | str) -> int:
    return int(command, 0) if isinstance(command, str) else command


_COMMAND: Final = "command" / Numbered(Int8ub)
_DATA: Final = Octets()
declare(0x8700, Struct(_COMMAND, "block" / Block(QUERIES, DOWN_LEAD)))
declare(0x8701, Struct(_COMMAND, "block" / Block(SETTINGS, DOWN_LEAD)))

RECORDER_DATA: Final = {
    V2011: Struct(_COMMAND, "total_length" / Int16ub, "length" / LengthOf(Int16ub, "data", _DATA), "data" / _DATA),
    V2013: Struct("reply_serial" / Int16ub, _COMMAND, "block" / Block(UP, UP_LEAD)),
}
_HEAD_2011_BYTES, _HEAD_2013_BYTES = 5, 3


def recorder_edition(edition: int, body: bytes) -> int:
    """The form of a 0x0700: 2011's when its two lengths are true and no block begins where a later edition has it."""
    block = body[_HEAD_2013_BYTES : _HEAD_2013_BYTES + 2]
    total, length = (int.from_bytes(body[at : at + 2], "big") for at in (1, 3))
    old = int.from_bytes(block or b"\0", "big") not in LEADS and total >= length == len(body) - _HEAD_2011_BYTES
    return V2011 if old else max(edition, V2013)


declare(0x0700, RECORDER_DATA, recorder_edition)
