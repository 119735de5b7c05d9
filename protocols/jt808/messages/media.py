"""Pictures, sounds, films: events, uploads, searches, orders."""

from __future__ import annotations

from typing import Final

from construct import Default, Int8ub, Int16ub, Int32ub, Struct

from protocols.adapters import BcdTime
from protocols.jt808.header import V2011, V2013
from protocols.jt808.messages.location import LOCATION, LOCATION_LAYOUT, TIME_OFFSET
from protocols.jt808.messages.registry import declare
from protocols.parts import Coded, Count, Octets, Several, Tally

MEDIA_TYPES: Final = {0: "image", 1: "audio", 2: "video"}
MEDIA_FORMATS: Final = {0: "jpeg", 1: "tif", 2: "mp3", 3: "wav", 4: "wmv"}
MEDIA_EVENTS: Final = {
    0: "platform_command",
    1: "timed",
    2: "robbery",
    3: "collision",
    4: "door_open",
    5: "door_closed",
    6: "door_closed_while_moving",
    7: "distance",
}

_MEDIA_ID: Final = "media_id" / Int32ub
_TYPE: Final = "type" / Coded(Int8ub, MEDIA_TYPES)
_CHANNEL: Final = "channel" / Int8ub
_EVENT: Final = "event" / Coded(Int8ub, MEDIA_EVENTS)
MEDIA: Final = Struct(_MEDIA_ID, _TYPE, "format" / Coded(Int8ub, MEDIA_FORMATS), _EVENT, _CHANNEL)
declare(0x0800, MEDIA)

MEDIA_DATA: Final = {
    V2011: Struct(*MEDIA.subcons, "packages" / Int32ub, "package" / Int32ub, "data" / Octets()),
    V2013: Struct(*MEDIA.subcons, "location" / LOCATION, "data" / Octets()),
}
_DATE: Final = BcdTime()


def media_edition(edition: int, body: bytes) -> int:
    """The form of a 0x0801: 2011 has numbers of packages where later ones have a location; a date tells, or the numbers do."""
    at = MEDIA.sizeof()
    located = len(body) >= at + LOCATION_LAYOUT.itemsize and _DATE.parse(body[at + TIME_OFFSET :]) is not None
    packages, package = (int.from_bytes(body[start : start + 4], "big") for start in (at, at + 4))
    return V2011 if not located and 1 <= package <= packages else max(edition, V2013)


declare(0x0801, MEDIA_DATA, media_edition, bulk=True)

# no list: the media has arrived whole
_MISSING: Final = ("count" / Tally(Int8ub, "indexes", lambda _context: True), "indexes" / Default(Several(Int16ub), []))
declare(0x8800, {V2011: Struct("reply_serial" / Int16ub, _MEDIA_ID, *_MISSING), V2013: Struct(_MEDIA_ID, *_MISSING)})

SHOTS: Final = {0: "stop", 0xFFFF: "film"}
"""Other numbers are how many pictures to take."""
RESOLUTIONS: Final = {
    0: "lowest",
    1: "320x240",
    2: "640x480",
    3: "800x600",
    4: "1024x768",
    5: "176x144",
    6: "352x288",
    7: "704x288",
    8: "704x576",
    0xFF: "highest",
}
SAVE: Final = {0: "upload", 1: "keep"}
declare(
    0x8801,
    Struct(
        _CHANNEL,
        "shots" / Coded(Int16ub, SHOTS),
        "interval_s" / Int16ub,
        "save" / Coded(Int8ub, SAVE),
        "resolution" / Coded(Int8ub, RESOLUTIONS),
        "quality" / Int8ub,
        "brightness" / Int8ub,
        "contrast" / Int8ub,
        "saturation" / Int8ub,
        "chroma" / Int8ub,
    ),
)
SHOOT_RESULTS: Final = {0: "ok", 1: "failed", 2: "channel_not_supported"}
declare(
    0x0805,
    Struct(
        "reply_serial" / Int16ub,
        "result" / Coded(Int8ub, SHOOT_RESULTS),
        "count" / Tally(Int16ub, "media_ids", lambda context: context.result != 0),
        "media_ids" / Default(Several(Int32ub), []),
    ),
)

_WANTED: Final = (_TYPE, _CHANNEL, _EVENT, "start" / BcdTime(), "stop" / BcdTime())
DELETE: Final = {0: "keep", 1: "delete"}
# no times: of any time
declare(0x8802, Struct(*_WANTED))
declare(0x8803, Struct(*_WANTED, "delete" / Coded(Int8ub, DELETE)))
declare(0x8805, Struct(_MEDIA_ID, "delete" / Coded(Int8ub, DELETE)))

# 2019 says "a 0x0200 body": without its items, whose end nothing tells when another one follows (quirk G12)
_FOUND: Final = (_TYPE, _CHANNEL, _EVENT, "location" / LOCATION)
declare(
    0x0802,
    {
        V2011: Struct(
            "reply_serial" / Int16ub,
            "total" / Count(Int16ub, "found"),
            "count" / Count(Int16ub, "found"),
            "found" / Several(Struct(*_FOUND)),
        ),
        V2013: Struct("reply_serial" / Int16ub, "count" / Count(Int16ub, "found"), "found" / Several(Struct(_MEDIA_ID, *_FOUND))),
    },
)

RATES: Final = {0: "8_khz", 1: "11_khz", 2: "23_khz", 3: "32_khz"}
declare(
    0x8804,
    Struct(
        "command" / Coded(Int8ub, {0: "stop", 1: "start"}), "time_s" / Int16ub, "save" / Coded(Int8ub, SAVE), "rate" / Coded(Int8ub, RATES)
    ),
)
