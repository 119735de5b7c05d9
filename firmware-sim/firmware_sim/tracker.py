"""A simple tracker without sockets or clock: it names itself, then streams one burst of NMEA sentences per position solution.

Nothing is answered in NMEA, so it counts what it sent and nothing else; fixes that fall due while the link is down are lost, as such
units have no store.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from firmware_sim.manners import Counters, Identity
from firmware_sim.report import Due, Fix
from protocols.nmea.build import Position, burst
from protocols.nmea.stream import name_line
from protocols.rows import NAN

BURSTS_MAX: Final = 50
"""Bursts per call when they are due at once, so that a long recording does not become one write."""
LINGER_S: Final = 1.0
"""How long a unit on a connection of its own stays after its last word, to hear a complaint."""
GPS_SHARE: Final = 3
"""Of so many satellites one is of GPS, the others of Beidou."""


def sentences(fix: Fix) -> bytes:
    """The burst that a module of GPS and Beidou sends for `fix`."""
    count = fix.satellites or 0
    gps = count // GPS_SHARE
    used = {"gps": range(1, gps + 1), "beidou": range(1, count - gps + 1)} if fix.valid and count else {}
    return burst(
        Position(
            time_us=round(fix.time * 1_000_000),
            lat=fix.lat,
            lon=fix.lon,
            altitude_m=fix.altitude_m,
            speed_kmh=fix.speed_kmh,
            course_deg=fix.course_deg,
            valid=fix.valid,
            hdop=0.9 if fix.valid else NAN,
            used=used,
        )
    )


class Tracker:
    """One unit, driven like a `Terminal`. Without `announce` it does not say its name: where a topic says it."""

    silent = False

    def __init__(self, identity: Identity, reports: Iterable[Due] = (), *, announce: bool = True) -> None:
        self.identity = identity
        self.counters = Counters()
        self.hangup = False
        self.finished = False
        self.refused = b""
        """What the platform said: it only ever complains."""
        self._announce = announce
        self._reports = iter(reports)
        self._next = next(self._reports, None)
        self._hangup_at = inf

    def connected(self, now: float) -> bytes:
        """The link is up."""
        self.hangup = False
        return (name_line(self.identity.name) if self._announce else b"") + self.tick(now)

    def disconnected(self, now: float) -> None:
        """The link is down."""

    def receive(self, data: bytes, now: float) -> bytes:
        """The platform complains."""
        del now
        self.refused = (self.refused + data)[-1_000:]
        return b""

    def tick(self, now: float) -> bytes:
        """Say what is due."""
        out: list[bytes] = []
        while self._next is not None and self._next.at <= now and len(out) < BURSTS_MAX:
            out.append(sentences(self._next.fix))
            self._next = next(self._reports, None)
        self.counters.sent += len(out)
        if self._next is None and not self.finished:
            self.finished = True
            self._hangup_at = now + LINGER_S * self._announce
        self.hangup = now >= self._hangup_at
        return b"".join(out)

    def next_at(self) -> float:
        """When `tick` wants to be called."""
        return self._hangup_at if self._next is None else self._next.at
