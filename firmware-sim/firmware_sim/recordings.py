"""Recordings read back: CSV, GPX, NMEA logs and logs of frames in hex.

The first three give fixes, the last gives frames as they are. A file that cannot be read is refused with its place and the cure.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import reduce
from math import atan2, cos, degrees, radians
from operator import xor
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from firmware_sim.report import Fix
from firmware_sim.roads import DATA, distance_m
from tracks.week import BEIJING


class RecordingError(ValueError):
    """A recording that cannot be read: file, line or point, and what is wrong there."""

    def __init__(self, path: Path, place: str, why: str) -> None:
        super().__init__(f"{path}, {place}: {why}")


def seconds_of(text: str, zone: tzinfo = BEIJING) -> float:
    """UTC seconds since 1970 from ISO 8601 or from a number of seconds; a time without a zone is of this one."""
    try:
        return float(text)
    except ValueError:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=time.tzinfo or zone).timestamp()


NUMBERS: Final[Mapping[str, Callable[[str], float]]] = {
    "lat": float,
    "lon": float,
    "altitude_m": float,
    "speed_kmh": float,
    "course_deg": float,
    "mileage_km": float,
    "satellites": int,
    "signal": int,
    "alarm_bits": int,
    "status_bits": int,
}
"""Columns of a CSV besides `time` and `valid`, as `dubhe track --format csv` writes them; the others may be absent or empty."""


def read_csv(path: Path) -> Iterator[Fix]:
    """Fixes of a CSV with a heading; `time`, `lat` and `lon` must be there."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if missing := {"time", "lat", "lon"} - set(rows.fieldnames or ()):
            raise RecordingError(path, "line 1", f"the heading lacks {', '.join(sorted(missing))}; it names columns, such as time,lat,lon")
        for row in rows:
            try:
                told = {name: read(row[name]) for name, read in NUMBERS.items() if row.get(name)}
                valid = (row.get("valid") or "true").strip().lower() in {"true", "t", "1", "yes"}
                yield Fix(time=seconds_of(row["time"]), valid=valid, **told)  # type: ignore[arg-type] # satellites and the like are int
            except (TypeError, ValueError) as error:
                raise RecordingError(path, f"line {rows.line_num}", str(error)) from error


def read_gpx(path: Path) -> Iterator[Fix]:
    """Fixes of a GPX track; what speed and course it does not tell is taken from the way since the point before."""
    before: Fix | None = None
    count = 0
    try:
        for _, point in ET.iterparse(path):  # noqa: S314 - expat loads no external entities and, since 2.4.1, bounds their expansion
            if point.tag.rpartition("}")[2] != "trkpt":
                continue
            count += 1
            told = {each.tag.rpartition("}")[2]: (each.text or "").strip() for each in point.iter()}
            if not told.get("time"):
                raise RecordingError(path, f"point {count}", "no time; a track that was driven has one at every point")
            fix = Fix(
                time=seconds_of(told["time"], UTC),  # GPX knows no other
                lat=float(point.attrib["lat"]),
                lon=float(point.attrib["lon"]),
                altitude_m=float(told.get("ele") or 0),
            )
            fix = _moved(before, fix)
            if told.get("speed"):
                fix = replace(fix, speed_kmh=float(told["speed"]) * 3.6)
            if told.get("course"):
                fix = replace(fix, course_deg=float(told["course"]))
            yield fix
            before = fix
            point.clear()
    except ET.ParseError as error:
        raise RecordingError(path, f"line {error.position[0]}", f"not well-formed XML: {error}") from error
    except (KeyError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(path, f"point {count}", str(error)) from error


def _moved(before: Fix | None, fix: Fix) -> Fix:
    """The fix with the speed and course of the way from the one before."""
    if before is None or fix.time <= before.time:
        return fix
    course = degrees(atan2((fix.lon - before.lon) * cos(radians(fix.lat)), fix.lat - before.lat)) % 360
    return replace(fix, speed_kmh=distance_m(before, fix) / (fix.time - before.time) * 3.6, course_deg=course)


_RMC: Final = re.compile(r"\$(?P<text>(?:GP|GN|BD|GB|GL|GA|GQ)RMC,[^*]*)\*(?P<sum>[0-9A-Fa-f]{2})")


def read_nmea(path: Path) -> Iterator[Fix]:
    """Fixes of the RMC sentences of a log that have a date and a true checksum; all else is passed over."""
    with path.open(encoding="ascii", errors="replace") as file:
        for line in file:
            for found in _RMC.finditer(line):
                fields = found["text"].split(",")
                if reduce(xor, found["text"].encode(), 0) == int(found["sum"], 16) and (fix := _rmc(fields)):
                    yield fix


def _rmc(fields: list[str]) -> Fix | None:
    """RMC: time, status, lat, N or S, lon, E or W, knots, course, date."""
    try:
        time = datetime.strptime(f"{fields[9]}{fields[1][:6]}+0000", "%d%m%y%H%M%S%z")
        lat, lon = (_degrees(fields[at], fields[at + 1]) for at in (3, 5))
        return Fix(
            time=(time + timedelta(seconds=float(fields[1][6:] or 0))).timestamp(),
            lat=lat,
            lon=lon,
            speed_kmh=float(fields[7] or 0) * 1.852,
            course_deg=float(fields[8] or 0),
            valid=fields[2] == "A",
        )
    except (IndexError, ValueError):
        return None


def _degrees(text: str, side: str) -> float:
    """ddmm.mmmm or dddmm.mmmm with its hemisphere; nothing is 0, as receivers without a fix write it."""
    whole, minutes = divmod(float(text or 0), 100)
    return (whole + minutes / 60) * (-1 if side in {"S", "W"} else 1)


class RecordedFrame(NamedTuple):
    """A frame as it was logged, and its UTC time where the log has one."""

    time: float | None
    wire: bytes


_LINE: Final = re.compile(r"(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*)?.*?(?P<hex>7[eE](?:\s*[0-9a-fA-F]{2})*\s*7[eE])\s*")


def read_frames(path: Path) -> Iterator[RecordedFrame]:
    """Frames of a log: a line ends with 7E … 7E in hex, and may begin with an ISO time; empty lines and # are passed over."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            found = _LINE.fullmatch(text)
            if found is None:
                raise RecordingError(path, f"line {number}", "no frame in hex; a frame begins and ends with 7e, and so does the line's end")
            time = seconds_of(found["time"]) if found["time"] else None
            yield RecordedFrame(time, bytes.fromhex("".join(found["hex"].split())))


def captured_frames() -> list[bytes]:
    """What terminals sent, as public repositories carry it: logs of real ones and samples of test suites, broken frames included."""
    return [frame.wire for frame in read_frames(DATA / "captured.txt")]


FIX_READERS: Final = {".csv": read_csv, ".gpx": read_gpx, ".nmea": read_nmea, ".nme": read_nmea}
"""By suffix; every other file is a log of frames."""
