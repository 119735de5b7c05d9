"""Beidou short-message (RDSS) units: the text sentences of the "2.1" protocol and of Beidou-3.

They share the talker BD with positioning, but no kind; CC is the host's talker. Sources disagree on the last fields of several, so
names are given from the front as far as they are agreed, and all fields are kept in order.

Only a DWR of kind 1 is this terminal's own position. A kind 2 DWR and a WAA are another card's, received by a command unit:
they are taken apart for reading, and kept as they came.
"""

from __future__ import annotations

from typing import Any, Final

from protocols.nmea.dates import time_of_day_us
from protocols.nmea.readings import Reading, degrees, number
from protocols.nmea.sentences import HOST, Sentence, gb_text

UNIT: Final = "BD"

_POSITION: Final = ("time", "lat", "lat_dir", "lon", "lon_dir", "altitude_m", "altitude_unit")

FROM_UNIT: Final[dict[str, tuple[str, ...]]] = {
    "TXR": ("info_kind", "sender", "coding", "time", "content"),
    "TCI": ("sender", "receiver", "frequency", "time", "coding", "index", "content"),
    "DWR": ("info_kind", "address", *_POSITION, "geoid_m", "geoid_unit", "accuracy", "emergency", "multi_value", "terrain"),
    "WAA": ("info_kind", "interval_s", "address", *_POSITION),
    "FKI": ("command", "executed", "frequency_ok", "suppression", "wait_s"),
    "ICI": ("card", "serial", "broadcast", "feature", "service_interval_s", "level", "encrypted", "subordinates"),
    "BSI": ("response_beam", "difference_beam"),
    **dict.fromkeys(("BID", "EPI", "GXM", "HZR", "ICZ", "KLS", "LZM", "PMU", "PWI", "QRI", "RNS", "SBX", "XST", "ZHR", "ZJX"), ()),
}
FROM_HOST: Final[dict[str, tuple[str, ...]]] = {
    "TXA": ("receiver", "class", "coding", "content"),
    "TCQ": (),
    "ICA": ("info_kind", "frame"),
    "ICI": ("info_kind", "frame"),
    "DWA": ("receiver", "urgency", "height_kind", "height_m"),
    "RMO": ("sentence", "mode", "period_s"),
    **dict.fromkeys(("BSS", "CXA", "CXQ", "DSA", "GXM", "KLT", "LZM", "RNS", "WAA", "WBA"), ()),
}
OWN: Final = "1"
"""Information kind of a unit's own position."""
CHINESE, MIXED = "0", "2"
"""Codings of a content; mixed is ASCII and Chinese after a leading A4, and what is left (1) are codes."""


def is_short_message(sentence: Sentence) -> bool:
    """It belongs to a short-message unit, from it or to it."""
    return sentence.kind in {UNIT: FROM_UNIT, HOST: FROM_HOST}.get(sentence.talker, {})


def own_position(sentence: Sentence) -> Reading | None:
    """Where the unit itself is, by the system's centre; None when the sentence does not say."""
    if sentence.kind != "DWR" or sentence.talker != UNIT or sentence.fields[:1] != (OWN,):
        return None
    named = names(sentence)
    return Reading(
        timed=True,
        positioned=True,
        time_of_day=time_of_day_us(named.get("time", "")),
        lat=degrees(named.get("lat", ""), named.get("lat_dir", ""), "NS"),
        lon=degrees(named.get("lon", ""), named.get("lon_dir", ""), "EW"),
        valid=True,
        altitude_m=number(named.get("altitude_m", ""), "altitude"),
        system="beidou",
    )


def names(sentence: Sentence) -> dict[str, str]:
    """The fields whose meaning is agreed, by name."""
    table = FROM_HOST if sentence.talker == HOST else FROM_UNIT
    return dict(zip(table.get(sentence.kind, ()), sentence.fields, strict=False))


def describe(sentence: Sentence) -> dict[str, Any]:
    """All that a sentence says, its text decoded."""
    named: dict[str, Any] = {name: gb_text(value) for name, value in names(sentence).items()}
    if "content" in named:
        named["text"] = text_of(named["coding"], names(sentence)["content"])
    if sentence.kind == "BSI":
        named["beam_powers"] = list(sentence.fields[2:])
    return {**named, "fields": [gb_text(field) for field in sentence.fields]}


def text_of(coding: str, content: str) -> str | None:
    """The content as text: Chinese as it stands or in hexadecimal digits; None for codes, which only their users can read."""
    try:
        code = bytes.fromhex(content)
    except ValueError:
        return gb_text(content)
    if coding == MIXED:
        return code[1:].decode("gb18030", "replace") if code[:1] == b"\xa4" else None
    if coding != CHINESE:
        return None
    # plain digits may be a text of digits as well
    return gb_text(content) if code.isascii() else code.decode("gb18030", "replace")
