"""The sentences of one epoch → one position solution.

RMC leads: it has time, date, position, speed and course, and says whether they hold. GGA (or GNS) adds altitude, quality, HDOP and the
number of satellites, GSA the systems used, GSV what is in view, VTG the speed where RMC has none, ZDA the date.
Time and position come from one sentence, so that they belong together where a module's sentences are a little apart.
A solution is valid only when no sentence of the epoch that can tell denies it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from protocols.nmea.dates import Calendar
from protocols.nmea.readings import Reading
from protocols.nmea.sentences import Sentence
from protocols.nmea.systems import ANTENNA_ALARM, STATUS_BIT, SYSTEM_OF_TALKER, satellite
from protocols.rows import NAN, POSITIONED, SOUTH, WEST, Rows
from tracks.fix import ABSENT

COMBINED: Final = "GN"

POSITION_KINDS: Final = ("RMC", "GGA", "GNS", "GLL", "DWR")
"""Where a solution's time and position come from, best first."""


@dataclass(frozen=True, slots=True)
class Part:
    """One sentence of an epoch, with what it says."""

    sentence: Sentence
    reading: Reading
    ticket: int = 0


@dataclass(frozen=True, slots=True)
class Solution:
    """One position solution. What a fix has no column for is here for `dubhe decode` and for tests."""

    time_us: int | None
    lat: float
    lon: float
    valid: bool
    altitude_m: float
    speed_kmh: float
    course_deg: float
    alarm_bits: int
    status_bits: int
    satellites: int | None
    quality: int | None = None
    hdop: float = NAN
    used: dict[str, int] = field(default_factory=dict)
    """Satellites used, by system."""
    in_view: dict[str, int] = field(default_factory=dict)
    """Satellites in view, by system."""


def solve(parts: Sequence[Part], calendar: Calendar, received_us: int, antenna: str | None) -> Solution | None:
    """What the sentences say together; None when no kind among them has a position."""
    best = {kind: _best(parts, kind) for kind in (*POSITION_KINDS, "ZDA")}
    told = [reading for kind in POSITION_KINDS if (reading := best[kind]) is not None]
    if not told:
        return None
    place = next((each for each in told if each.lat == each.lat), None)
    place = place or next((each for each in told if each.time_of_day is not None), told[0])
    valid = all(each.valid for each in told) and abs(place.lat) <= 90 and abs(place.lon) <= 180  # noqa: PLR2004 - Earth
    used = _used(parts)
    systems = used or (_of_the_talker(parts) if valid else ())
    return Solution(
        time_us=calendar.time_us(place.time_of_day, _date(best), received_us, valid=valid),
        lat=place.lat,
        lon=place.lon,
        valid=valid,
        altitude_m=_first(each.altitude_m for each in told),
        speed_kmh=_first(part.reading.speed_kmh for part in _leading_first(parts)),
        course_deg=_first(part.reading.course_deg for part in _leading_first(parts)),
        alarm_bits=ANTENNA_ALARM.get(antenna or "", 0),
        status_bits=status_bits(place.lat, place.lon, systems, valid=valid),
        satellites=next((each.satellites for each in told if each.satellites is not None), sum(used.values()) or None),
        quality=next((each.quality for each in told if each.quality is not None), None),
        hdop=_first(each.hdop for each in [*told, *(part.reading for part in parts)]),
        used=used,
        in_view=_in_view(parts),
    )


def write(solution: Solution, rows: Rows, *, raw: bytes, frame: int, received_us: int) -> None:
    """The solution as a row of fixes."""
    rows.fix(
        frame=frame,
        received_us=received_us,
        time_us=solution.time_us,
        lat=solution.lat,
        lon=solution.lon,
        valid=solution.valid,
        altitude_m=solution.altitude_m,
        speed_kmh=solution.speed_kmh,
        course_deg=solution.course_deg,
        alarm_bits=solution.alarm_bits,
        status_bits=solution.status_bits,
        satellites=ABSENT if solution.satellites is None else solution.satellites,
        raw=raw,
    )


def status_bits(lat: float, lon: float, systems: Iterable[str], *, valid: bool) -> int:
    """The JT/T 808 status word of a solution."""
    bits = POSITIONED * valid | SOUTH * (lat < 0) | WEST * (lon < 0)
    for system in systems:
        bits |= STATUS_BIT.get(system, 0)
    return bits


def _best(parts: Sequence[Part], kind: str) -> Reading | None:
    """The reading of a kind that comes under several talkers: valid, filled in, the combined solution rather than one system's."""
    found = [part for part in parts if part.sentence.kind == kind]
    if len(found) > 1:
        found.sort(key=lambda part: (not part.reading.valid, part.reading.time_of_day is None, part.sentence.talker != COMBINED))
    return found[0].reading if found else None


def _leading_first(parts: Sequence[Part]) -> Iterator[Part]:
    """RMC before VTG, the later of a kind first."""
    for kind in ("RMC", "VTG"):
        yield from (part for part in reversed(parts) if part.sentence.kind == kind)


def _first(values: Iterable[float]) -> float:
    """The first that is a number."""
    return next((value for value in values if value == value), NAN)  # noqa: PLR0124 - not NaN


def _date(best: dict[str, Reading | None]) -> tuple[int, int] | None:
    """The day that was told, with the time of day it was told with."""
    for kind in ("RMC", "ZDA"):
        reading = best[kind]
        if reading is not None and reading.day is not None and reading.time_of_day is not None:
            return reading.day, reading.time_of_day
    return None


def _used(parts: Sequence[Part]) -> dict[str, int]:
    """Satellites used, by system.

    A GN GSA without system id is resolved by what the systems' GSV have in view; what stays in doubt is left out.
    """
    views: dict[int, set[str]] = {}
    for part in parts:
        if part.reading.system is not None:
            for sent in part.reading.seen:
                views.setdefault(sent, set()).add(part.reading.system)
    found: set[tuple[str, int]] = set()
    for part in parts:
        for sent in part.reading.used:
            system = part.reading.system
            if system is None and len(views.get(sent, ())) == 1:
                (system,) = views[sent]
            system, number = satellite(system, sent)
            if system is not None:
                found.add((system, number))
    return dict(Counter(system for system, _ in sorted(found)))


def _of_the_talker(parts: Sequence[Part]) -> set[str]:
    """Without GSA: the one system whose talker gave the position."""
    systems = {SYSTEM_OF_TALKER.get(part.sentence.talker) for part in parts if part.reading.positioned}
    return {system for system in systems if system is not None} if len(systems) == 1 else set()


def _in_view(parts: Sequence[Part]) -> dict[str, int]:
    """Satellites in view by system: the largest number told, as each signal has a count of its own."""
    view: dict[str, int] = {}
    for part in parts:
        reading = part.reading
        if reading.system is not None and reading.in_view is not None:
            view[reading.system] = max(view.get(reading.system, 0), reading.in_view)
    return view
