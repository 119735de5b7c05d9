"""Waybills, the driver's identity, the CAN bus."""

from __future__ import annotations

from typing import Final

from construct import BitsInteger, BitStruct, Int8ub, Int16ub, Int32ub, Optional, Struct

from protocols.adapters import BcdTime
from protocols.jt808.header import V2011, V2013, V2019
from protocols.jt808.messages.registry import declare
from protocols.jt808.messages.session import EMPTY
from protocols.parts import Bcd, BcdClock, Coded, Count, LengthOf, Octets, Several, ends_well
from protocols.text import CountedText, FixedText, RestText

_CONTENT: Final = RestText()
# what is in it is left to sender and receiver; trackers answer commands with it
declare(0x0701, Struct("length" / LengthOf(Int32ub, "content", _CONTENT), "content" / _CONTENT))

CARD: Final = {1: "in", 2: "out"}
CARD_RESULTS: Final = {0: "ok", 1: "key_not_accepted", 2: "card_locked", 3: "card_pulled_out", 4: "data_wrong"}

_DRIVER: Final = ("name" / CountedText(), "certificate" / FixedText(20), "office" / CountedText(), "expires_yyyymmdd" / Bcd(4))
_CARD: Final = (
    "card" / Coded(Int8ub, CARD),
    "time" / BcdTime(),
    # the standard ends after the time of a card that comes out, some terminals do not (quirk G7): what is there is read
    "result" / Optional(Coded(Int8ub, CARD_RESULTS)),
)
DRIVER_IDENTITY: Final = {
    V2011: Struct("name" / CountedText(), "id_card" / FixedText(20), "certificate" / FixedText(40), "office" / CountedText()),
    V2013: Struct(*_CARD, "driver" / Optional(Struct(*_DRIVER))),
    V2019: Struct(*_CARD, "driver" / Optional(Struct(*_DRIVER, "id_card" / FixedText(20)))),
}
_TIMED_BYTES: Final = 7


def identity_edition(edition: int, body: bytes) -> int:
    """The form of a 0x0702: 2011 opens with the length of a name, later ones with the card's state and a date.

    Of the later ones it is the one that reads to the end: terminals with the old header send 2019's identity card, too.
    """
    carded = len(body) >= _TIMED_BYTES and body[0] in CARD and body[1:_TIMED_BYTES].hex().isdecimal()
    if not carded and edition != V2019:
        return V2011
    mine = max(edition, V2013)
    return next((form for form in (mine, V2013 + V2019 - mine) if ends_well(DRIVER_IDENTITY[form], body)), mine)


declare(0x8702, EMPTY)
declare(0x0702, DRIVER_IDENTITY, identity_edition)

CAN_ID: Final = BitStruct("channel" / BitsInteger(1), "extended" / BitsInteger(1), "computed" / BitsInteger(1), "id" / BitsInteger(29))
declare(
    0x0705,
    Struct(
        "count" / Count(Int16ub, "messages"),
        "first_time" / BcdClock(),
        "messages" / Several(Struct("can" / CAN_ID, "data" / Octets(8))),
    ),
)
