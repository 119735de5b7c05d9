"""The world of the scenes: a plain of metres, buses that drive straight legs over it, and the bytes that a terminal makes of it.

Nothing here is shared with the code that is tried: frames are put together by hand, and metres become degrees by the ellipsoid's own radii.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

BEIJING = timezone(timedelta(hours=8))
Metres = tuple[float, float]
"""East and north of the scene's origin."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Stand so long; a position wanders by `drift_m`."""

    seconds: float
    drift_m: float = 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Go on at this speed; legs begin at 10 m/s."""

    ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a terminal says of one moment: seconds since the scene began, metres, and the words of a 0x0200."""

    t: float
    east: float
    north: float
    speed_ms: float = 10.0
    course: float = 90.0
    status: int = 3
    satellites: int | None = None
    alarm: int = 0
    items: bytes = b""
    """Additional items behind the others."""
    clock: datetime | None = None
    """What the terminal believes the time to be, when it errs."""


def drive(*legs: Metres | Wait | Pace, every: float = 10.0, sigma: float = 0.0, seed: int = 71, start: float = 0.0) -> list[Report]:
    """Reports of a bus that goes from place to place in straight lines, one every so many seconds, with noise of so many metres."""
    rng = random.Random(seed)
    reports: list[Report] = []
    at: Metres | None = None
    pace, clock, due, course = 10.0, start, start, 90.0

    def report(east: float, north: float, speed: float, sigma: float) -> None:
        reports.append(Report(due, east + rng.gauss(0, sigma), north + rng.gauss(0, sigma), speed, course))

    for leg in legs:
        match leg:
            case Pace(ms):
                pace = ms
            case Wait(seconds, drift_m):
                assert at is not None
                clock += seconds
                while due < clock - 1e-9:
                    report(*at, 0.0, math.hypot(sigma, drift_m))
                    due += every
            case (east, north):
                if at is not None:
                    long = math.dist(at, leg)
                    course = math.degrees(math.atan2(east - at[0], north - at[1])) % 360
                    since, clock = clock, clock + long / pace
                    while due < clock - 1e-9:
                        part = (due - since) * pace / long
                        report(at[0] + part * (east - at[0]), at[1] + part * (north - at[1]), pace, sigma)
                        due += every
                at = leg
    assert at is not None
    report(*at, 0.0, sigma)
    return reports


def silent(reports: Iterable[Report], since: float, until: float) -> list[Report]:
    """Nothing is heard from `since` to `until`."""
    return [each for each in reports if not since <= each.t < until]


def altered(reports: Iterable[Report], times: Iterable[float], **changes: Any) -> list[Report]:
    """At these times the terminal says something else."""
    chosen = set(times)
    return [replace(each, **changes) if each.t in chosen else each for each in reports]


def thrown(reports: Iterable[Report], times: Iterable[float], north: float) -> list[Report]:
    """At these times the position lies so far north of the truth."""
    chosen = set(times)
    return [replace(each, north=each.north + north) if each.t in chosen else each for each in reports]


@dataclass(frozen=True, slots=True)
class Place:
    """Where on Earth a scene plays, and when its clock began."""

    lon: float
    lat: float
    began: datetime

    def degrees(self, at: Metres) -> tuple[float, float]:
        """Longitude and latitude, by the radii of WGS-84 at the origin."""
        a, e2 = 6_378_137.0, 0.00669437999014
        sine = math.sin(math.radians(self.lat))
        prime = a / math.sqrt(1 - e2 * sine * sine)
        meridian = a * (1 - e2) / (1 - e2 * sine * sine) ** 1.5
        east = math.degrees(at[0] / (prime * math.cos(math.radians(self.lat))))
        return self.lon + east, self.lat + math.degrees(at[1] / meridian)

    def feature(self, kind: str, points: Any, **properties: Any) -> dict[str, Any]:
        """A GeoJSON feature from metres."""

        def placed(points: Any) -> Any:
            return [placed(each) for each in points] if isinstance(points, list) else list(self.degrees(points))

        return {"type": "Feature", "geometry": {"type": kind, "coordinates": placed(points)}, "properties": properties}

    def body(self, report: Report) -> bytes:
        """A 0x0200."""
        lon, lat = self.degrees((report.east, report.north))
        clock = report.clock or self.began + timedelta(seconds=report.t)
        head = struct.pack(
            ">IIIIHHH",
            report.alarm,
            report.status,
            round(lat * 1e6),
            round(lon * 1e6),
            12,
            round(report.speed_ms * 36),
            round(report.course),
        )
        items = b"" if report.satellites is None else bytes([0x31, 1, report.satellites])
        return head + bytes.fromhex(clock.astimezone(BEIJING).strftime("%y%m%d%H%M%S")) + items + report.items


def bundle(bodies: Sequence[bytes], kind: int = 1) -> bytes:
    """A 0x0704: reports kept while offline (kind 1), or several at once (kind 0)."""
    return struct.pack(">HB", len(bodies), kind) + b"".join(struct.pack(">H", len(body)) + body for body in bodies)


def frame(message: int, phone: str, serial: int, body: bytes, *, edition: int = 2013) -> bytes:
    """A frame of JT/T 808."""
    if edition == 2019:
        head = struct.pack(">HHB", message, 0x4000 | len(body), 1) + bytes.fromhex(phone.rjust(20, "0"))
    else:
        head = struct.pack(">HH", message, len(body)) + bytes.fromhex(phone.rjust(12, "0"))
    plain = head + struct.pack(">H", serial & 0xFFFF) + body
    check = 0
    for byte in plain:
        check ^= byte
    escaped = (plain + bytes([check])).replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02")
    return b"\x7e" + escaped + b"\x7e"


def unframed(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Message id and body of each frame of a stream of the 2013 or 2019 edition."""
    for piece in stream.split(b"\x7e"):
        if piece:
            plain = piece.replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")
            message, attribute = struct.unpack_from(">HH", plain)
            yield message, plain[17 if attribute & 0x4000 else 12 : -1]


def last_monday(now: datetime) -> datetime:
    """Ten o'clock in Beijing on the Monday of last week."""
    today = now.astimezone(BEIJING).replace(hour=10, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=today.weekday() + 7)).astimezone(UTC)
