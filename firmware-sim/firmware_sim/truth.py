"""What buses really did: second by second, without noise, whether they reported it or not, to hold against it what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_sim.roads import METRES_PER_DEGREE, Degrees, Stop
from firmware_sim.runs import Run

Mask = NDArray[np.bool_]
ASTRAY_M: Final = 50.0
"""A bus so far from its line has strayed: the half width that Dubhe gives a corridor unless told otherwise."""
STOP_M: Final = 60.0
"""A bus so near to a stop is there: the radius that Dubhe gives a stop unless told otherwise."""


class Spell(NamedTuple):
    """A while, in UTC seconds."""

    start: float
    stop: float


def spells(run: Run, holds: Callable[[Degrees, Degrees], Mask], *, since: float = 0.0) -> list[Spell]:
    """The whiles in which `holds` is true of where the bus is, from UTC second `since` on."""
    first = max(int(since) - run.start, 0)
    seconds = np.arange(first, int(run.duration_s) + 1)
    there = holds(*run.road.beside(np.array([run.at(second)[0] for second in seconds.tolist()])))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], there, [False]))))
    return [Spell(run.start + first + start, run.start + first + stop - 1) for start, stop in edges.reshape(-1, 2).tolist()]


def strays(run: Run, *, since: float = 0.0, half_width_m: float = ASTRAY_M) -> list[Spell]:
    """When the bus was off its line."""
    line = run.road.line
    return [] if line is None else spells(run, lambda lat, lon: line.away_m(lat, lon) > half_width_m, since=since)


def calls(run: Run, *, since: float = 0.0, radius_m: float = STOP_M) -> Iterator[tuple[Stop, Spell]]:
    """When it was at which stop of its line; also one near which a detour only passes."""
    for stop in (run.road.line or run.road).stops:
        for spell in spells(run, partial(_near, stop, radius_m), since=since):
            yield stop, spell


def within(ring: Sequence[Sequence[float]]) -> Callable[[Degrees, Degrees], Mask]:
    """Whether points lie in the ring of (longitude, latitude); by counting the edges to the east."""
    at = np.array([place[:2] for place in ring])
    (west, south), (east, north) = at[:-1].T, at[1:].T

    def inside(lat: Degrees, lon: Degrees) -> Mask:
        y, x = lat[:, None], lon[:, None]
        spans = (south > y) != (north > y)
        cross = west + (y - south) / np.where(north == south, 1.0, north - south) * (east - west)
        odd: Mask = (spans & (x < cross)).sum(axis=1) % 2 == 1
        return odd

    return inside


def _near(stop: Stop, radius_m: float, lat: Degrees, lon: Degrees) -> Mask:
    away_m = np.hypot(lat - stop.lat, (lon - stop.lon) * np.cos(np.radians(lat))) * METRES_PER_DEGREE
    return away_m <= radius_m
