"""Location reports and what their bits mean (JT/T 808-2013 §8.18; 2019 adds bits); tracking, alarm confirmation, link check."""

from __future__ import annotations

from typing import Final

import numpy as np
from construct import (
    Default,
    GreedyBytes,
    Int8ub,
    Int16sb,
    Int16ub,
    Int32ub,
    Prefixed,
    Select,
    Struct,
    this,
)

from protocols.adapters import BcdTime, Bits, MicroDegrees, Scaled
from protocols.columnar import Layout
from protocols.jt808.header import V2011, V2013
from protocols.jt808.messages.registry import declare
from protocols.jt808.messages.session import EMPTY
from protocols.parts import Count, Several, When
from tracks.alarms import WORD
from tracks.spans import Mask, Spans

ALARMS: Final = tuple(alarm.word for alarm in WORD)
"""Alarm bits from bit 0: 2019's where it has one, else 2013's."""

STATUS: Final = (
    "acc_on",
    "positioned",
    "south",
    "west",
    "out_of_service",
    "offset_coordinates",
    "forward_collision_warning",
    "lane_departure_warning",
    "load_bit_0",
    "load_bit_1",
    "fuel_line_cut",
    "circuit_cut",
    "doors_locked",
    "door_1_open",
    "door_2_open",
    "door_3_open",
    "door_4_open",
    "door_5_open",
    "gps_used",
    "beidou_used",
    "glonass_used",
    "galileo_used",
    "moving",
)
"""Status bits from bit 0. Bit 5: the coordinates went through the national offset (GCJ-02); they are reported as they came (quirk D18)."""

POSITIONED, SOUTH, WEST = (1 << STATUS.index(word) for word in ("positioned", "south", "west"))

LOCATION = Struct(
    "alarm" / Bits(Int32ub, ALARMS),
    "status" / Bits(Int32ub, STATUS),
    "lat" / MicroDegrees(),
    "lon" / MicroDegrees(),
    # the text gives no sign; below the sea it is two's complement (quirk D6)
    "altitude_m" / Int16sb,
    "speed_kmh" / Scaled(Int16ub, 10),
    "course_deg" / Int16ub,
    # printed with offset 21 in the standard, a slip: the course before it ends at 22
    "time" / BcdTime(),
)
LOCATION_LAYOUT = Layout.of(LOCATION)

TIME_LAYOUT = Layout.of(Struct("time" / BcdTime()))
TIME_OFFSET: Final = LOCATION_LAYOUT.itemsize - TIME_LAYOUT.itemsize
SERIAL_BYTES: Final = 2


def replies_with_serial(bodies: Spans) -> Mask:
    """Which 0x0201 bodies open with the serial number of the query, as all do since 2013, and which are a bare report as in 2011.

    Headers do not tell (2011 and 2013 share one), so the date does: where there is one, the report is.
    """
    serial = bodies.length >= SERIAL_BYTES + LOCATION_LAYOUT.itemsize
    rows = np.flatnonzero(serial)
    start = bodies.start[rows] + TIME_OFFSET
    bare, behind = (TIME_LAYOUT.cast(bodies.buffer, at)["time"] for at in (start, start + SERIAL_BYTES))
    serial[rows] = np.isnat(bare) | ~np.isnat(behind)
    return serial


ITEM = Struct("id" / Int8ub, "value" / Prefixed(Int8ub, GreedyBytes))
REPORT = Struct(
    *LOCATION.subcons,
    # up to the end, or to what is no whole item (quirks D9, D10); `items.py` says what they mean
    "items" / Default(Several(ITEM), []),
    "rest" / Default(GreedyBytes, b""),
)
REPLY = Struct("reply_serial" / Int16ub, *REPORT.subcons)
BATCH = Struct(
    "count" / Count(Int16ub, "reports"),
    "kind" / Int8ub,
    # a report that is none stays bytes; the others stand (quirk D19)
    "reports" / Several(Prefixed(Int16ub, Select(REPORT, GreedyBytes))),
    "rest" / Default(GreedyBytes, b""),
)


def reply_edition(_edition: int, body: bytes) -> int:
    """The form of a 0x0201."""
    return V2013 if replies_with_serial(Spans.of([body]))[0] else V2011


declare(0x0200, REPORT, columns=True)
declare(0x8201, EMPTY)
declare(0x0201, {V2011: REPORT, V2013: REPLY}, reply_edition, columns=True)
declare(0x0500, REPLY, columns=True)
declare(0x0704, BATCH, columns=True)
# an interval of 0 stops the tracking, and nothing follows it
declare(0x8202, Struct("interval_s" / Int16ub, "valid_s" / When(this.interval_s != 0, Int32ub)))
declare(0x8203, Struct("alarm_serial" / Int16ub, "kinds" / Bits(Int32ub, ALARMS)))
declare(0x8204, EMPTY)
