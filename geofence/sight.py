"""What fixes show of the corridors around them, before anyone asks where the vehicles were: the half of `following.py` without a memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from geofence.corridors import SHADOW_M, CorridorIndex
from geofence.datum import Metres, apart_deg
from tracks.spans import Index, Mask
from tracks.track import TrackBatch, least

MOVING_KMH: Final = 10.0
"""Below it the course says nothing."""
PARALLEL_DEG: Final = 60.0
"""A course within this of the segment's, or of its reverse, runs along it."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be said of fixes without knowing what came before: one element per fix, then one per passage and a last one for none."""

    driven: Mask
    """A corridor is in force."""
    terminus: Mask
    excused: Mask
    first: Index
    """The first passage of each fix."""
    count: Index
    corridor: Index
    chainage_m: Metres
    away_m: Metres
    near: Mask
    places: Mask
    """Well within, and the corridor comes by only there or the vehicle moves: one that stands where it comes by twice may be on either."""
    covered: Mask
    """One per fix: well within the width of some corridor in force, whichever way it drives."""
    forward: Mask
    backward: Mask
    parallel: Mask
    limit_kmh: NDArray[np.float64]
    shadow: Index
    """One per fix: the corridor that it runs along outside of its width; 0 for none."""
    shadow_m: Metres
    """Where along it."""

    @classmethod
    def of(cls, index: CorridorIndex, track: TrackBatch, fix: Index, pairs: tuple[Index, Index], served: Mask) -> Self:
        """Of the fixes `fix`; in `pairs` are fix and corridor (row) in force that may be near it, `served` says of each if there is any."""
        driven, row = pairs
        lon, lat = track.lon[driven], track.lat[driven]
        passages = index.passages(lon, lat, row)
        at = np.searchsorted(fix, driven)
        whose, segment, corridor = at[passages.pair], passages.segment, row[passages.pair]
        count = np.bincount(whose, minlength=len(fix))
        turn_deg = apart_deg(track.course_deg[fix[whose]] - index.course_deg[segment])
        moving = track.speed_kmh[fix[whose]] >= MOVING_KMH
        alone = np.bincount(passages.pair, minlength=len(row))[passages.pair] == 1
        excused = (count[at] == 0) & index.excused(lon, lat, row, track.terminal_id[driven], track.time_us[driven])
        terminus = _any(at[index.at_terminus(lon, lat, row)], len(fix))
        apart = np.flatnonzero((count[at] == 0) & ~excused & ~terminus[at] & (track.speed_kmh[driven] >= MOVING_KMH))
        shadow, shadow_m = _shadows(index, track, driven[apart], row[apart], at[apart], count=len(fix))
        return cls(
            driven=served,
            terminus=terminus,
            excused=_any(at[excused], len(fix)),
            first=np.cumsum(count) - count,
            count=count,
            corridor=np.append(index.id[corridor], 0),
            chainage_m=np.append(passages.chainage_m, 0.0),
            away_m=np.append(passages.away_m, np.inf),
            near=np.append(passages.near, False),
            places=np.append(passages.near & (moving | alone), False),
            covered=_any(whose[passages.near], len(fix)),
            forward=np.append(moving & (turn_deg <= PARALLEL_DEG), False),
            backward=np.append(moving & (turn_deg >= 180 - PARALLEL_DEG) & index.directed[corridor], False),
            parallel=np.append(~moving | (np.abs(turn_deg - 90) >= 90 - PARALLEL_DEG), False),
            limit_kmh=np.append(index.limit_kmh[segment], np.inf),
            shadow=shadow,
            shadow_m=shadow_m,
        )


def _shadows(index: CorridorIndex, track: TrackBatch, driven: Index, row: Index, at: Index, *, count: int) -> tuple[Index, Metres]:
    """Which corridor each of `count` fixes runs along outside of its width, the nearest one, and where; pairs as in `Sight.of`."""
    shadow, shadow_m = np.zeros(count, np.int64), np.zeros(count)
    pair, segment, chainage_m, away_m = index.beside(track.lon[driven], track.lat[driven], row, SHADOW_M)
    turn_deg = apart_deg(track.course_deg[driven[pair]] - index.course_deg[segment])
    along = (turn_deg <= PARALLEL_DEG) | (~index.directed[row[pair]] & (turn_deg >= 180 - PARALLEL_DEG))
    pair, chainage_m = pair[along], chainage_m[along]
    nearest = least(away_m[along], at[pair])
    shadow[at[pair[nearest]]], shadow_m[at[pair[nearest]]] = index.id[row[pair[nearest]]], chainage_m[nearest]
    return shadow, shadow_m


def _any(rows: Index, count: int) -> Mask:
    """Which of `count` are among `rows`."""
    chosen = np.zeros(count, np.bool_)
    chosen[rows] = True
    return chosen
