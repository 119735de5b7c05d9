"""One line of NMEA → the objects of `dubhe decode --json`, one per sentence in it. Never raises on any input.

Names of fields are pynmea2's, except where it is wrong (see `readings.py`): GSA and GSV list satellites by system, and short-message
sentences have names of their own. Field values stand as sent; `fixes` has what a fix would be made of, from this sentence alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from protocols.errors import ProtocolError
from protocols.nmea import shortmessages
from protocols.nmea.dates import DAY_US, day_number
from protocols.nmea.fixes import status_bits
from protocols.nmea.readings import GSA_IDS, Reading, degrees, message_of, read, views
from protocols.nmea.sentences import PROPRIETARY, Sentence, gb_text, parse, pieces
from protocols.nmea.stream import name_in
from protocols.nmea.systems import SYSTEM_OF_TALKER, satellite, signal_name
from tracks.verdict import Reject

_EMPTY: Final[dict[str, Any]] = {
    "ok": True,
    "reject": None,
    "protocol": "nmea",
    "version": None,
    "message_id": None,
    "message": None,
    "terminal": None,
    "serial": None,
    "subpackage": None,
    "encrypted": False,
    "body": {},
    "fixes": [],
}


_ADDRESS: Final = re.compile(rb"[$!]([A-Za-z0-9]{4,12}),")
"""What can be told of a sentence even when it is broken."""

FIRST_DAY: Final = day_number(2000, 1, 1)
"""A clock without a position that shows an earlier day was never set."""


def describe(line: str | bytes) -> list[dict[str, Any]]:
    """The sentences in `line`; one object for a line that holds none."""
    raw = line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape" if _escaped(line) else "surrogatepass")
    raw = raw.strip()
    return [_describe(piece) for piece in pieces(raw)] or [_describe(raw)]


def iso(time_us: int) -> str:
    """Microseconds since 1970 as ISO 8601 with Z; fractions of a second only where there are any."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    fraction = "auto" if moment.microsecond % 1000 or not moment.microsecond else "milliseconds"
    return moment.isoformat(timespec=fraction).replace("+00:00", "Z")


def _escaped(text: str) -> bool:
    """Its surrogates all stand for bytes that were not UTF-8."""
    return all(not "\ud800" <= each <= "\udfff" or "\udc80" <= each <= "\udcff" for each in text)


def _describe(raw: bytes) -> dict[str, Any]:
    told = dict(_EMPTY)
    if found := _ADDRESS.search(raw):
        told["message"] = found[1].decode("latin-1").upper()
    try:
        told["terminal"] = name_in(raw)
        if told["terminal"] is not None and b"*" not in raw:
            return {**told, "message": "name"}
        sentence = parse(raw)
        told["message"] = sentence.address
        told["body"] = {"fields": [gb_text(field) for field in sentence.fields]}
        told["body"], told["fixes"] = _content(sentence)
    except ProtocolError as error:
        return {**told, "ok": False, "reject": error.reason.word, "why": error.why}
    return told


def _content(sentence: Sentence) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Body and fixes; raises ProtocolError for what we do not know."""
    if shortmessages.is_short_message(sentence):
        return _short_message(sentence)
    if sentence.talker == PROPRIETARY:
        return {"maker": sentence.kind[:3], "fields": [gb_text(field) for field in sentence.fields]}, []
    try:
        reading = read(sentence)
    except ProtocolError as error:
        if error.reason != Reject.UNSUPPORTED:
            raise
        # nothing a fix is made of, but pynmea2 may know the names
        return _named(sentence), []
    body = _BODIES.get(sentence.kind, lambda each, _: _named(each))(sentence, reading)
    return body, [_fix(sentence, reading)] if reading.positioned else []


def _named(sentence: Sentence) -> dict[str, Any]:
    """Every field by pynmea2's name for it; what it has no name for in order."""
    try:
        fields = message_of(sentence).fields
    except KeyError:
        return {"fields": [gb_text(field) for field in sentence.fields]}
    names = [field[1] for field in fields]
    body: dict[str, Any] = {name: gb_text(text) for name, text in zip(names, sentence.fields, strict=False)}
    if len(sentence.fields) > len(names):
        body["more"] = [gb_text(text) for text in sentence.fields[len(names) :]]
    return body


def _gsa(sentence: Sentence, reading: Reading) -> dict[str, Any]:
    named = _named(sentence)
    dops = {name: named[name] for name in ("pdop", "hdop", "vdop")}
    ids = [{"system": system, "number": number} for system, number in (satellite(reading.system, each) for each in reading.used)]
    sent = [each for each in sentence.fields[GSA_IDS] if each]
    return {"mode": named["mode"], "fix_type": named["mode_fix_type"], "system": reading.system, "sent": sent, "used": ids, **dops}


def _gsv(sentence: Sentence, reading: Reading) -> dict[str, Any]:
    number, total = reading.part
    signal = {"signal_id": reading.signal_id or None, "signal": signal_name(reading.system, reading.signal_id)}
    seen = [_view(reading.system, row) for row in views(sentence)[0] if row[0]]
    return {"number": number, "total": total, "system": reading.system, **signal, "in_view": reading.in_view, "satellites": seen}


def _view(system: str | None, fields: Sequence[str]) -> dict[str, Any]:
    """One satellite in view, with its number as sent and within its system."""
    whose, number = satellite(system, int(fields[0]))
    values = [int(text) if text.isdecimal() else text or None for text in fields[1:]]
    return {"system": whose, "number": number, "sent": fields[0], **dict(zip(_VIEW, values, strict=False))}


def _txt(sentence: Sentence, reading: Reading) -> dict[str, Any]:
    number, total = reading.part
    text = gb_text(",".join(sentence.fields[3:]))
    return {"number": number, "total": total, "text_kind": sentence.fields[2], "text": text, "antenna": reading.antenna}


_VIEW: Final = ("elevation_deg", "azimuth_deg", "signal_db")
_BODIES: Final = {"GSA": _gsa, "GSV": _gsv, "TXT": _txt}


def _short_message(sentence: Sentence) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    body = shortmessages.describe(sentence)
    if body.get("lat_dir"):
        body["lat_deg"] = _number(degrees(body["lat"], body["lat_dir"], "NS"))
        body["lon_deg"] = _number(degrees(body.get("lon", ""), body.get("lon_dir", ""), "EW"))
    reading = shortmessages.own_position(sentence)
    return body, [] if reading is None else [_fix(sentence, reading)]


def _fix(sentence: Sentence, reading: Reading) -> dict[str, Any]:
    """A fix of one sentence. Its date is as told, as roll-overs can only be seen beside a time of receipt; without a date no time."""
    on_earth = abs(reading.lat) <= 90 and abs(reading.lon) <= 180  # noqa: PLR2004 - Earth
    valid = bool(reading.valid) and on_earth
    system = SYSTEM_OF_TALKER.get(sentence.talker)
    time = None
    if reading.day is not None and reading.time_of_day is not None and (valid or reading.day >= FIRST_DAY):
        time = iso(reading.day * DAY_US + reading.time_of_day)
    items = {"satellites": reading.satellites, "quality": reading.quality, "hdop": _number(reading.hdop)}
    return {
        "time": time,
        "lat": _number(reading.lat),
        "lon": _number(reading.lon),
        "altitude_m": _number(reading.altitude_m),
        "speed_kmh": _number(reading.speed_kmh, 3),
        "course_deg": _number(reading.course_deg),
        "valid": valid,
        "alarms": [],
        "alarm_bits": 0,
        "status_bits": status_bits(reading.lat, reading.lon, [system] if system and valid else [], valid=valid),
        "mileage_km": None,
        "items": {name: value for name, value in items.items() if value is not None},
    }


def _number(value: float, digits: int = 9) -> float | None:
    """A number for JSON; None where it is absent."""
    return None if math.isnan(value) else round(value, digits)
