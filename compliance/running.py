"""Who may not run, and runs all the same: a rule about vehicles that are not compliant at the time of the fix.

More than 500 m, or five minutes, in service hours are an incident; it is over when the vehicle has become compliant, when service hours
end, or when it has stood for ten minutes, so that a journey is one incident whatever its stops. Events of such a vehicle that other rules
find are for the record only (`Kind` and reasons say which; the table `events` derives it). A terminal that is bound to no vehicle has
no verdict: nobody has said what it is in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from compliance.driving import DRIVING_KMH, SAME_PLACE_M
from compliance.vehicles import Reasons, Standings, compliant
from tracks.event import KIND, LEVEL, NO_SIGNALS, VALUE, Signals
from tracks.fix import ABSENT
from tracks.spans import Index, Mask
from tracks.track import Memory, Standing, TrackBatch, changes, telling
from tracks.week import minute_of_week

STOOD_US: Final = 600_000_000
"""Standing for so long ends a journey. Our own."""


def reasons_against(standings: Standings, vehicle_id: Index, time_us: Index) -> Reasons:
    """As `compliant`; 0 also where there is no vehicle."""
    reasons = np.zeros(len(vehicle_id), np.uint32)
    some = np.flatnonzero(vehicle_id != ABSENT)
    reasons[some] = compliant(standings, vehicle_id[some], time_us[some])
    return reasons


@dataclass(frozen=True, slots=True)
class Running:
    """Finds running while not compliant."""

    standings: Standings
    service: NDArray[np.bool_]
    """Whether each minute of the week is in service hours (`tracks.week.calendar`)."""
    zone_s: int = 28800
    name = "running"
    memory = np.dtype([("drove_us", "i8")])
    """The last good fix at which it did not rest, of those at which it was not compliant."""

    def judge(self, track: TrackBatch, memory: Memory, standing: Standing) -> Signals:
        """Signals about vehicles that should not be on the road."""
        fix = np.flatnonzero(track.good)
        reasons = reasons_against(self.standings, track.vehicle_id[fix], track.time_us[fix])
        barred = reasons != 0
        if not barred.any() and not (standing.kind == KIND.NON_COMPLIANT_RUNNING).any():
            return NO_SIGNALS
        moves, rests = _moves(track, fix), _rests(track, fix)
        drove_us = _drove_us(track.owner[fix], np.where(barred & ~rests, track.time_us[fix], 0), memory)
        stood = rests & (track.time_us[fix] - drove_us >= STOOD_US)
        served = self.service[minute_of_week(track.time_us[fix], self.zone_s)]
        value = np.select([~barred | ~served | stood, moves], [VALUE.GOOD, VALUE.BAD], VALUE.NEUTRAL).astype(np.int8)
        some = telling(track, fix, value, KIND.NON_COMPLIANT_RUNNING, standing)
        at = fix[some]
        return Signals.of(
            at,
            KIND.NON_COMPLIANT_RUNNING,
            0,
            value[some],
            measure=track.speed_kmh[at],
            amount=track.moved_m[at],
            level=LEVEL.MAJOR,
            since_us=np.where(stood & barred, drove_us, ABSENT)[some],
        )


def _moves(track: TrackBatch, fix: Index) -> Mask:
    moves: Mask = (track.speed_kmh[fix] > DRIVING_KMH) | (track.moved_m[fix] * 3.6 > DRIVING_KMH * track.lapse_s[fix])
    return moves


def _rests(track: TrackBatch, fix: Index) -> Mask:
    """Whether it has not moved since the fix before, be it long ago."""
    gap, known = track.gap[fix], track.previous_us[fix] != ABSENT
    rests: Mask = known & np.where(gap, track.apart_m[fix] <= SAME_PLACE_M, ~_moves(track, fix))
    return rests


def _drove_us(owner: Index, drives_us: Index, memory: Memory) -> Index:
    """When each last drove, at each fix; `drives_us` is the time of a fix at which it did, else 0. `memory` moves on."""
    if len(owner) == 0:
        return drives_us
    first = np.flatnonzero(changes(owner))
    last = np.append(first[1:], len(owner)) - 1
    row = np.where(drives_us != 0, np.arange(len(owner)), -1)
    row = np.maximum.accumulate(row)
    own = row >= np.repeat(first, last - first + 1)
    drove_us: Index = np.where(own, drives_us[row], memory["drove_us"][owner])
    memory["drove_us"][owner[last]] = drove_us[last]
    return drove_us
