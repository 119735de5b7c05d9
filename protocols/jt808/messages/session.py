"""Responses, heartbeat, registration, authentication, time, missing packages: what is said before and between reports."""

from __future__ import annotations

import re
from typing import Final

from construct import If, Int8ub, Int16ub, Struct, this

from protocols.adapters import UtcBcdTime
from protocols.jt808.header import V2011, V2013, V2019
from protocols.jt808.messages.registry import declare
from protocols.parts import Count, Several
from protocols.text import CountedText, FixedText, RestText, decode
from tracks.plate import COLOURS

EMPTY = Struct()
GENERAL_RESPONSE = Struct("reply_serial" / Int16ub, "reply_id" / Int16ub, "result" / Int8ub)

declare(0x0001, GENERAL_RESPONSE)
declare(0x8001, GENERAL_RESPONSE)

RESEND: Final = {
    # 2013 counts in one byte, 2019 in two (quirk F5)
    V2013: Struct("first_serial" / Int16ub, "count" / Count(Int8ub, "indexes"), "indexes" / Several(Int16ub)),
    V2019: Struct("first_serial" / Int16ub, "count" / Count(Int16ub, "indexes"), "indexes" / Several(Int16ub)),
}
declare(0x8003, RESEND)
declare(0x0005, RESEND)

# some trackers put battery and signal here (quirk C14); it comes out as `rest`
declare(0x0002, EMPTY)
declare(0x0003, EMPTY)
declare(0x0004, EMPTY)
# the only time of the standard that is not GMT+8 (quirk D4)
declare(0x8004, Struct("time" / UtcBcdTime()))

_AREA: Final = ("province" / Int16ub, "city" / Int16ub)
_PLATE: Final = ("plate_colour" / Int8ub, "plate" / RestText())
REGISTER = {
    V2011: Struct(*_AREA, "maker" / FixedText(5), "model" / FixedText(8, pad=b" "), "terminal_id" / FixedText(7), *_PLATE),
    V2013: Struct(*_AREA, "maker" / FixedText(5), "model" / FixedText(20), "terminal_id" / FixedText(7), *_PLATE),
    V2019: Struct(
        *_AREA,
        "maker" / FixedText(11, front=True),
        "model" / FixedText(30, front=True),
        "terminal_id" / FixedText(30, front=True),
        *_PLATE,
    ),
}
REGISTER_BYTES: Final = {V2011: 25, V2013: 37, V2019: 76}
"""Everything before the plate."""

PLATE_COLOURS: Final = {number: words.english for number, words in COLOURS.items()} | {0: "none"}
"""JT/T 697.7; 0 says that the vehicle has no plate and the text is its VIN."""

_PLATE_LIKE: Final = re.compile(r"[\u4e00-\u9fff][0-9A-Z\u4e00-\u9fff]{5,9}|[0-9A-HJ-NPR-Z]{17}|")


def register_edition(edition: int, body: bytes) -> int:
    """The form of a 0x0100: by the header and by length; between 2011 and 2013 by what reads as colour and plate (quirks C1, C2)."""
    if edition == V2019 and len(body) >= REGISTER_BYTES[V2019]:
        return V2019
    if len(body) < REGISTER_BYTES[V2013]:
        return V2011
    return V2011 if _plated(V2011, body) and not _plated(V2013, body) else V2013


def _plated(form: int, body: bytes) -> bool:
    """Whether colour and plate make sense where this form has them."""
    at = REGISTER_BYTES[form]
    return body[at - 1] in PLATE_COLOURS and bool(_PLATE_LIKE.fullmatch(decode(body[at:].strip(b"\x00 "))))


declare(0x0100, REGISTER, register_edition)
declare(
    0x8100,
    Struct("reply_serial" / Int16ub, "result" / Int8ub, "auth_code" / If(this.result == 0, RestText())),
)

IMEI_BYTES: Final = 15
AUTHENTICATE = {
    V2011: Struct("auth_code" / RestText()),
    V2019: Struct("auth_code" / CountedText(), "imei" / FixedText(IMEI_BYTES), "software" / FixedText(20, last=True)),
}


def authenticate_edition(edition: int, body: bytes) -> int:
    """The form of a 0x0102: where the length byte does not fit the body, all of it is the code (quirk C9)."""
    fits = edition == V2019 and len(body) > 0 and 1 + body[0] + IMEI_BYTES <= len(body)
    return V2019 if fits else min(edition, V2013)


declare(0x0102, AUTHENTICATE, authenticate_edition)
