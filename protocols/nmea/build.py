"""A position solution → the sentences a module would send for it: for the simulator and for `dubhe replay`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Final, TypeVar

from protocols.nmea.readings import KMH_PER_KNOT
from protocols.nmea.sentences import checksum
from protocols.nmea.systems import SYSTEMS
from protocols.rows import NAN

TALKERS: Final = {"gps": "GP", "glonass": "GL", "galileo": "GA", "beidou": "GB", "qzss": "GQ", "navic": "GI"}
"""Talkers of GSV since NMEA 4.10; an older module says BD for Beidou."""

MINUTE_PARTS: Final = 100_000
"""Five decimals of minutes: 2 cm."""
GSA_IDS_MAX: Final = 12
GSV_SATELLITES_MAX: Final = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View:
    """One satellite in view, numbered within its system."""

    number: int
    elevation_deg: int
    azimuth_deg: int
    signal_db: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """What a module knows at one moment; NaN is what it does not."""

    time_us: int
    lat: float
    lon: float
    altitude_m: float = NAN
    speed_kmh: float = NAN
    course_deg: float = NAN
    valid: bool = True
    hdop: float = 0.9
    used: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Satellites used, by system."""
    in_view: Mapping[str, Sequence[View]] = field(default_factory=dict)
    """Satellites in view, by system."""


def sentence(address: str, *fields: str | int) -> bytes:
    """One sentence with checksum and line end; text in the coding of Chinese modules."""
    content = ",".join([address, *map(str, fields)]).encode("gb18030")
    return b"$%s*%02X\r\n" % (content, checksum(content))


def burst(position: Position, talker: str = "GN") -> bytes:
    """All of an epoch: GGA, GSA, GSV, RMC."""
    return b"".join([gga(position, talker), *gsa(position, talker), *gsv(position), rmc(position, talker)])


def rmc(position: Position, talker: str = "GN") -> bytes:
    """Time, position, speed, course, date."""
    moment = _moment(position)
    knots = _decimal(position.speed_kmh / KMH_PER_KNOT, 3)
    place = (_clock(moment), "AV"[not position.valid], *_place(position))
    return sentence(f"{talker}RMC", *place, knots, _decimal(position.course_deg, 2), f"{moment:%d%m%y}", "", "", "NA"[position.valid])


def gga(position: Position, talker: str = "GN") -> bytes:
    """Time, position, quality, satellites, altitude."""
    count = sum(map(len, position.used.values()))
    quality = (int(position.valid), f"{count:02}", _decimal(position.hdop, 2))
    altitude = (_decimal(position.altitude_m, 1), "M", "", "M", "", "")
    return sentence(f"{talker}GGA", _clock(_moment(position)), *_place(position), *quality, *altitude)


def gsa(position: Position, talker: str = "GN") -> Iterator[bytes]:
    """The satellites used, a sentence for twelve of a system; one empty sentence where none are."""
    dops = [_decimal(position.hdop * factor, 2) for factor in (1.7, 1.0, 1.4)]
    fix_type = "13"[position.valid]
    if not any(position.used.values()):
        yield sentence(f"{talker}GSA", "A", fix_type, *[""] * GSA_IDS_MAX, *dops)
    for system, numbers in position.used.items():
        for some in _slices(numbers, GSA_IDS_MAX):
            ids = [f"{number:02}" for number in some] + [""] * (GSA_IDS_MAX - len(some))
            yield sentence(f"{talker}GSA", "A", fix_type, *ids, *dops, SYSTEMS.index(system))


def gsv(position: Position) -> Iterator[bytes]:
    """The satellites in view, a sentence for four of a system."""
    for system, views in position.in_view.items():
        parts = _slices(views, GSV_SATELLITES_MAX) or [()]
        for place, some in enumerate(parts, 1):
            each = [text for view in some for text in _view(view)]
            yield sentence(f"{TALKERS[system]}GSV", len(parts), place, f"{len(views):02}", *each, 0)


def _slices(items: Sequence[T], count: int) -> list[Sequence[T]]:
    return [items[at : at + count] for at in range(0, len(items), count)]


def _view(view: View) -> tuple[str, ...]:
    signal = "" if view.signal_db is None else f"{view.signal_db:02}"
    return f"{view.number:02}", f"{view.elevation_deg:02}", f"{view.azimuth_deg:03}", signal


def _moment(position: Position) -> datetime:
    """The time to the millisecond, as sentences carry it."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=round(position.time_us / 1000))


def _clock(moment: datetime) -> str:
    return f"{moment:%H%M%S}.{moment.microsecond // 1000:03}"


def _place(position: Position) -> tuple[str, str, str, str]:
    return *_degrees(position.lat, 2, "NS"), *_degrees(position.lon, 3, "EW")


def _degrees(value: float, width: int, letters: str) -> tuple[str, str]:
    """Degrees and minutes in one number, and the hemisphere."""
    if isnan(value):
        return "", ""
    parts = round(abs(value) * 60 * MINUTE_PARTS)
    degrees, parts = divmod(parts, 60 * MINUTE_PARTS)
    minutes, parts = divmod(parts, MINUTE_PARTS)
    return f"{degrees:0{width}}{minutes:02}.{parts:05}", letters[value < 0]


def _decimal(value: float, digits: int) -> str:
    return "" if isnan(value) else f"{value:.{digits}f}"
