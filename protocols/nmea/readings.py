"""What one sentence says, as a `Reading` of typed values.

Which field stands where is pynmea2's table. What it makes of the fields is not used:

- its converters give back the raw text where it is no number, and Python's `float` takes "nan" and "1_0": here a field is held
  against `_NUMBER`, and a bad one refuses the sentence;
- `RMC.is_valid` is False for a navigational status of V, which ordinary modules send with a good fix, and `GGA.is_valid` is False for
  dead reckoning and for quality 9: validity is judged here by status, mode and quality alone;
- `latitude` is 0.0 for an empty field and fails on minutes without a decimal point; `timestamp` knows no leap second; `datestamp`
  of an empty date raises TypeError: degrees are read here, times in `dates.py`;
- GSA has no field for the system id and GSV none for the signal id, which shows up as one more satellite: both are read here;
- TXT is cut at the first comma of its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pynmea2  # type: ignore[import-untyped]

from protocols.errors import ProtocolError
from protocols.nmea.dates import day_number, day_of, time_of_day_us
from protocols.nmea.sentences import PROPRIETARY, Sentence
from protocols.nmea.systems import TALKERS, system_of
from protocols.rows import NAN
from tracks.verdict import Reject

KMH_PER_KNOT: Final = 1.852
GSA_IDS: Final = slice(2, 14)
"""The twelve places for satellites in a GSA."""
GSV_FIELDS: Final = 4
"""Fields of a satellite in a GSV: number, elevation, azimuth, carrier to noise."""

ALIVE_MODES: Final = frozenset("ADEFPR")
"""Mode letters of a measured position: not M manual, N none, S simulator."""
ALIVE_QUALITIES: Final = frozenset((1, 2, 3, 4, 5, 6, 9))
"""GGA qualities of a measured position; 9 is a few receivers' word for corrections from a satellite."""

EVIDENCE: Final = frozenset("DHV DTM GBS GFA GRS GST HDT ROT THS VLW".split())  # noqa: SIM905 - reads as the list it is
"""Sentences of GNSS modules that belong to an epoch and tell nothing that a fix has a column for."""

_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,9}(?:\.\d{0,15})?|\.\d{1,15})", re.ASCII)
_DEGREES: Final = re.compile(r"(\d{0,3}?)(\d{1,2}(?:\.\d{0,15})?)", re.ASCII)
_ANTENNA: Final = re.compile(r"ANT(?:ENNA|STATUS)?[ =:_]+(OK|OPEN|SHORT)\b", re.IGNORECASE)


@dataclass(slots=True)
class Reading:
    """What a sentence says; None, NaN or empty is what it leaves unsaid."""

    timed: bool = False
    """Its kind has a time, filled in or not: such sentences hold an epoch together."""
    positioned: bool = False
    """Its kind has a position, filled in or not."""
    time_of_day: int | None = None
    """Microseconds since midnight."""
    day: int | None = None
    """Days since 1970, as told."""
    lat: float = NAN
    lon: float = NAN
    valid: bool | None = None
    altitude_m: float = NAN
    speed_kmh: float = NAN
    course_deg: float = NAN
    quality: int | None = None
    satellites: int | None = None
    hdop: float = NAN
    system: str | None = None
    """Of a GSA or GSV."""
    used: tuple[int, ...] = ()
    """Numbers of the satellites a GSA says were used, as sent."""
    part: tuple[int, int] = (1, 1)
    """Number and total of a GSV or TXT."""
    in_view: int | None = None
    signal_id: str = ""
    seen: tuple[int, ...] = ()
    """Numbers of the satellites a GSV has in view, as sent."""
    antenna: str | None = None
    """OK, OPEN or SHORT."""


def read(sentence: Sentence) -> Reading:
    """The reading of a sentence that belongs to an epoch; raises ProtocolError for every other and for a bad field."""
    if sentence.talker not in TALKERS:
        whose = "a maker's own" if sentence.talker == PROPRIETARY else f"talker {sentence.talker}'s"
        raise ProtocolError(Reject.UNSUPPORTED, f"{sentence.address} is {whose} sentence: nothing in it is kept as a fix")
    if (known := READERS.get(sentence.kind)) is not None:
        fields_min, reader = known
        if len(sentence.fields) < fields_min:
            msg = f"{sentence.address} has {len(sentence.fields)} fields, at least {fields_min} are needed"
            raise ProtocolError(Reject.BAD_FIELD, msg)
        return reader(sentence)
    if sentence.kind in EVIDENCE:
        return Reading()
    if sentence.kind in pynmea2.TalkerSentence.sentence_types:
        raise ProtocolError(Reject.UNSUPPORTED, f"{sentence.address} says nothing of a position")
    raise ProtocolError(Reject.UNKNOWN_MESSAGE, f"{sentence.address} is not a sentence we know")


def degrees(text: str, hemisphere: str, letters: str) -> float:
    """`dddmm.mmmm` and a letter as signed degrees; NaN when both are empty."""
    if not text and not hemisphere:
        return NAN
    found = _DEGREES.fullmatch(text)
    sign = letters.find(hemisphere.upper()) if hemisphere else -1
    if found is None or sign < 0 or float(found[2]) >= 60:  # noqa: PLR2004 - minutes in a degree
        raise ProtocolError(Reject.BAD_FIELD, f"{text!r} {hemisphere!r} is not degrees and minutes with one of {letters}")
    value = float(found[1] or 0) + float(found[2]) / 60
    return -value if sign else value


def message_of(sentence: Sentence) -> Any:  # noqa: ANN401 - pynmea2 carries no types
    """pynmea2's object for a kind it knows, made of our own fields."""
    return pynmea2.TalkerSentence.sentence_types[sentence.kind](sentence.talker, sentence.kind, sentence.fields)


def number(text: str, what: str) -> float:
    """A decimal number; NaN when empty."""
    if not text:
        return NAN
    if not _NUMBER.fullmatch(text):
        raise ProtocolError(Reject.BAD_FIELD, f"{what} {text!r} is not a number")
    return float(text)


def _number(message: Any, name: str) -> float:  # noqa: ANN401 - pynmea2 carries no types
    return number(_text(message, name), name)


def _count(text: str, what: str) -> int | None:
    """A field of few digits; None when empty."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):  # noqa: PLR2004 - fits every column
        raise ProtocolError(Reject.BAD_FIELD, f"{what} {text!r} is not a count")
    return int(text)


def _text(message: Any, name: str) -> str:  # noqa: ANN401 - pynmea2 carries no types
    place = message.name_to_idx[name]
    return message.data[place] if place < len(message.data) else ""


def _place(message: Any) -> dict[str, Any]:  # noqa: ANN401 - pynmea2 carries no types
    """Time and position, which all position sentences name alike."""
    return {
        "timed": True,
        "positioned": True,
        "time_of_day": time_of_day_us(_text(message, "timestamp")),
        "lat": degrees(_text(message, "lat"), _text(message, "lat_dir"), "NS"),
        "lon": degrees(_text(message, "lon"), _text(message, "lon_dir"), "EW"),
    }


def _alive(status: str, mode: str) -> bool:
    """A position was measured: status A, and a mode that says so where there is one."""
    return status.upper() == "A" and (not mode or mode.upper() in ALIVE_MODES)


def _rmc(sentence: Sentence) -> Reading:
    message = message_of(sentence)
    return Reading(
        **_place(message),
        day=day_of(_text(message, "datestamp")),
        valid=_alive(message.status, message.mode_indicator),
        speed_kmh=_number(message, "spd_over_grnd") * KMH_PER_KNOT,
        course_deg=_number(message, "true_course"),
    )


def _gga(sentence: Sentence) -> Reading:
    message = message_of(sentence)
    quality = _count(_text(message, "gps_qual"), "quality")
    return Reading(
        **_place(message),
        valid=quality in ALIVE_QUALITIES,
        quality=quality,
        satellites=_count(message.num_sats, "satellites"),
        hdop=_number(message, "horizontal_dil"),
        altitude_m=_number(message, "altitude"),
    )


def _gns(sentence: Sentence) -> Reading:
    message = message_of(sentence)
    return Reading(
        **_place(message),
        valid=not ALIVE_MODES.isdisjoint(message.mode_indicator.upper()),
        satellites=_count(message.num_sats, "satellites"),
        hdop=_number(message, "hdop"),
        altitude_m=_number(message, "altitude"),
    )


def _gll(sentence: Sentence) -> Reading:
    message = message_of(sentence)
    return Reading(**_place(message), valid=_alive(message.status, message.faa_mode))


def _vtg(sentence: Sentence) -> Reading:
    message = message_of(sentence)
    kmh = _number(message, "spd_over_grnd_kmph")
    if kmh != kmh:  # noqa: PLR0124 - NaN
        kmh = _number(message, "spd_over_grnd_kts") * KMH_PER_KNOT
    return Reading(speed_kmh=kmh, course_deg=_number(message, "true_track"))


def _zda(sentence: Sentence) -> Reading:
    message = message_of(sentence)
    told = [_count(_text(message, name), name) for name in ("year", "month", "day")]
    year, month, day = (each or 0 for each in told)
    return Reading(
        timed=True,
        time_of_day=time_of_day_us(_text(message, "timestamp")),
        day=None if told == [None] * 3 else day_number(year, month, day),
    )


def _gsa(sentence: Sentence) -> Reading:
    fields = sentence.fields
    ids = [prn for each in fields[GSA_IDS] if (prn := _count(each, "satellite")) is not None]
    message = message_of(sentence)
    return Reading(
        system=system_of(sentence.talker, fields[17] if len(fields) > 17 else ""),  # noqa: PLR2004 - behind the three DOPs
        used=() if fields[1] == "1" else tuple(ids),
        hdop=_number(message, "hdop"),
    )


def _gsv(sentence: Sentence) -> Reading:
    total, place, in_view = sentence.fields[:3]
    rows, signal_id, system_id = views(sentence)
    return Reading(
        system=system_of(sentence.talker, system_id),
        part=(_count(place, "number") or 1, _count(total, "total") or 1),
        in_view=_count(in_view, "satellites in view"),
        signal_id=signal_id,
        seen=tuple(prn for row in rows if (prn := _count(row[0], "satellite")) is not None),
    )


def views(sentence: Sentence) -> tuple[list[Sequence[str]], str, str]:
    """The satellites of a GSV as fields, its signal id and its system id; both are empty where it has none."""
    fields = sentence.fields[3:]
    # one field more than satellites take is the signal id; two are signal and system id (GPS.js issue 38)
    odd = len(fields) % GSV_FIELDS
    stop = len(fields) - odd if odd in {1, 2} else len(fields)
    ids = (*fields[stop:], "", "")
    return [fields[at : at + GSV_FIELDS] for at in range(0, stop, GSV_FIELDS)], ids[0], ids[1]


def _txt(sentence: Sentence) -> Reading:
    total, place = (_count(each, "number") or 1 for each in sentence.fields[:2])
    found = _ANTENNA.search(",".join(sentence.fields[3:]))
    return Reading(part=(place, total), antenna=found[1].upper() if found else None)


READERS: Final[dict[str, tuple[int, Callable[[Sentence], Reading]]]] = {
    "RMC": (9, _rmc),
    "GGA": (9, _gga),
    "GNS": (9, _gns),
    "GLL": (6, _gll),
    "VTG": (8, _vtg),
    "ZDA": (4, _zda),
    "GSA": (17, _gsa),
    "GSV": (3, _gsv),
    "TXT": (4, _txt),
}
"""Kinds that tell something a fix is made of, with the fields they must have."""
