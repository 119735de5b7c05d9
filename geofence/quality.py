"""The quality gate: which fixes may move the state of an alarm.

A fix that fails is stored and flagged, and judges nothing. What one report shows by itself (`faults`) is a few comparisons over the batch.
What only the road before it shows (`sift`) takes each terminal's fixes in turn: a jump that no vehicle can make, a change of speed that
no brake can make, and the wandering of a standing vehicle's position, which is held at the place where it stopped.
Three fixes in a row that agree with one another for ten seconds against the last good one are believed, so that one bad fix cannot lock
a vehicle out.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geofence.datum import distance_m
from tracks.fix import ABSENT, FixBatch
from tracks.spans import Index, Mask
from tracks.track import Memory, TrackBatch, changes, pick, put, steps


class Quality(IntFlag):
    """What is wrong with a fix; kept with it. DRIFT alone is no fault."""

    NOT_POSITIONED = 1
    OUTSIDE_CHINA = 2
    TOO_FAST = 4
    FUTURE = 8
    PAST = 16
    UNDATED = 32
    FEW_SATELLITES = 64
    ENCRYPTED = 128
    """Went through the national offset plug-in: its place is not WGS-84."""
    JUMP = 256
    LURCH = 512
    """Its speed differs from the one before by more than any brake explains."""
    DRIFT = 1024
    """The vehicle stands; its position is taken to be where it stopped."""
    STALE = 2048
    """Came later than the window of late fixes reaches, and is not judged yet; gone when it has been, with the stored track."""


CLOCK: Final = Quality.FUTURE | Quality.PAST | Quality.UNDATED
"""Faults that leave a fix without a place in time."""
FAULTS: Final = ~(Quality.DRIFT) & 0xFFFF

CHINA: Final = (73.55, 3.85, 135.083, 53.55)
"""West, south, east, north of a qualified record: 73°33'–135°05' E, 3°51'–53°33' N (交运发〔2016〕160号)."""
SPEED_KMH_MAX: Final = 160.0
AHEAD_US_MAX: Final = 120_000_000
YEAR_2010_US: Final = 1_262_304_000_000_000
SATELLITES_MIN: Final = 4
BRAKE_MS2_MAX: Final = 8.0
DRIFT_M_MAX: Final = 50.0
GAP_S: Final = 180.0
"""Longer silence is not bridged. The speed is that of a qualified record (as above); the other bounds are our own."""
NOISE_M: Final = 60.0
"""Two fixes of a 15 m receiver may be that far apart by noise alone (4 times 15 m): no speed is implied by it."""
BELIEVED, BELIEVED_S = 3, 10.0
"""So many jumps that agree, over that time, are no error: between houses, errors of one a second agree for some seconds. Unmeasured."""
STANDING_KMH: Final = 1.0
STANDING_OFF_KMH: Final = 10.0
"""Below it a vehicle whose ignition is off stands, whatever the receiver says. Unmeasured."""

ACC_ON, ENCRYPTED_BIT = 1 << 0, 1 << 5
"""Status bits (JT/T 808)."""

GATE: Final = np.dtype(
    [("us", "i8"), ("vehicle_id", "i8"), ("lat", "f8"), ("lon", "f8"), ("kmh", "f8"), ("course_deg", "f8"), ("heard_us", "i8"),
     ("stands", "?"), ("jumps", "u1"), ("jumped_us", "i8"), ("jump_us", "i8"), ("jump_lat", "f8"), ("jump_lon", "f8")]
)  # fmt: skip
"""What is remembered of a terminal: its last good fix (`us` 0: none yet) and vehicle (0: none yet); of the fixes that jumped away from
there and agree, how many they are, when the first was, and the last."""

SAMPLE: Final = np.dtype(
    [("time_us", "i8"), ("digest", "i8"), ("received_us", "i8"), ("vehicle_id", "i8"), ("lat", "f8"), ("lon", "f8"),
     ("speed_kmh", "f4"), ("course_deg", "f4"), ("alarm_bits", "u4"), ("status_bits", "u4"), ("raised", "i8"), ("cleared", "u4"),
     ("place", "u4"), ("quality", "u2")]
)  # fmt: skip
"""A fix as far as rules look at it, the way it is kept in the window of late fixes."""


def faults(fixes: FixBatch) -> NDArray[np.uint16]:
    """What each report shows by itself."""
    west, south, east, north = CHINA
    outside = ~((fixes.lon >= west) & (fixes.lon <= east) & (fixes.lat >= south) & (fixes.lat <= north))
    found = {
        Quality.NOT_POSITIONED: ~fixes.valid,
        Quality.OUTSIDE_CHINA: outside,
        Quality.TOO_FAST: ~(fixes.speed_kmh <= SPEED_KMH_MAX),
        Quality.FUTURE: fixes.time_us > fixes.received_us + AHEAD_US_MAX,
        Quality.PAST: fixes.time_us < YEAR_2010_US,
        Quality.UNDATED: ~fixes.dated,
        Quality.FEW_SATELLITES: (fixes.satellites != ABSENT) & (fixes.satellites < SATELLITES_MIN),
        Quality.ENCRYPTED: fixes.status_bits & ENCRYPTED_BIT != 0,
    }
    flags = np.zeros(len(fixes), np.uint16)
    for flag, where in found.items():
        flags |= where * np.uint16(flag)
    return flags


def samples(fixes: FixBatch, rows: Index, quality: NDArray[np.uint16]) -> NDArray[Any]:
    """The fixes at `rows` as the window keeps them."""
    made = np.empty(len(rows), SAMPLE)
    for name in SAMPLE.names or ():
        made[name] = (quality if name == "quality" else getattr(fixes, name))[rows]
    return made


def sift(sample: NDArray[Any], owner: Index, terminal_id: Index, memory: Memory) -> TrackBatch:
    """The samples, sorted by owner, time and digest, as a track batch; `memory` (one GATE per owner) moves on.

    `terminal_id` has one element per owner.
    """
    count = len(sample)
    track = TrackBatch(
        owner=owner,
        terminal_id=terminal_id[owner],
        vehicle_id=sample["vehicle_id"].copy(),
        time_us=sample["time_us"].copy(),
        digest=sample["digest"].copy(),
        lat=sample["lat"].copy(),
        lon=sample["lon"].copy(),
        speed_kmh=sample["speed_kmh"].astype(np.float64),
        course_deg=sample["course_deg"].astype(np.float64),
        alarm_bits=sample["alarm_bits"].astype(np.int64),
        status_bits=sample["status_bits"].astype(np.int64),
        raised=sample["raised"].copy(),
        cleared=sample["cleared"].astype(np.int64),
        place=sample["place"].astype(np.int64),
        quality=sample["quality"].copy(),
        good=np.empty(count, np.bool_),
        previous_us=np.full(count, ABSENT, np.int64),
        previous_lat=np.empty(count),
        previous_lon=np.empty(count),
        previous_kmh=np.empty(count),
        previous_course_deg=np.empty(count),
        moved_m=np.zeros(count),
        apart_m=np.zeros(count),
        gap=np.zeros(count, np.bool_),
        another=np.zeros(count, np.bool_),
        heard_us=sample["received_us"].copy(),
        limit_kmh=np.full(count, np.inf),
    )
    for rows in steps(owner):
        _sift_one_each(track, rows, memory)
    _tell_vehicles_apart(track, memory)
    return track


def _sift_one_each(track: TrackBatch, rows: Index | slice, memory: Memory) -> None:
    """The next fix of each of several terminals."""
    at = track.owner[rows]
    last = pick(memory, at)
    time_us, lat, lon, kmh = track.time_us[rows], track.lat[rows], track.lon[rows], track.speed_kmh[rows]
    sound = track.quality[rows] & FAULTS == 0
    known = last["us"] != 0
    lapse_s = np.where(known, (time_us - last["us"]) / 1e6, np.inf)
    away_m = np.where(known, distance_m(last["lon"], last["lat"], lon, lat), 0.0)

    stands = (kmh <= STANDING_KMH) | ((track.status_bits[rows] & ACC_ON == 0) & (kmh <= STANDING_OFF_KMH))
    jumps = sound & _impossible(away_m, lapse_s)
    lurches = sound & ~jumps & (lapse_s > 0) & (np.abs(kmh - last["kmh"]) > BRAKE_MS2_MAX * 3.6 * lapse_s)
    agrees = last["jumps"] > 0
    if agrees.any():
        from_jump_m = distance_m(last["jump_lon"], last["jump_lat"], lon, lat)
        agrees &= ~_impossible(from_jump_m, (time_us - last["jump_us"]) / 1e6)
    in_a_row = np.where(jumps, np.where(agrees, last["jumps"], 0) + 1, last["jumps"])
    jumped_us = np.where(agrees, last["jumped_us"], time_us)
    believed = jumps & (in_a_row >= BELIEVED) & (time_us - jumped_us >= BELIEVED_S * 1e6)
    astray = jumps & ~believed
    good = sound & ~lurches & ~astray
    held = good & ~jumps & known & stands & last["stands"] & (away_m < DRIFT_M_MAX)

    for flag, where in ((Quality.JUMP, astray), (Quality.LURCH, lurches), (Quality.DRIFT, held)):
        track.quality[rows] |= where * np.uint16(flag)
    track.good[rows] = good
    track.lat[rows] = lat = np.where(held, last["lat"], lat)
    track.lon[rows] = lon = np.where(held, last["lon"], lon)
    track.previous_us[rows] = np.where(known, last["us"], ABSENT)
    track.previous_lat[rows], track.previous_lon[rows] = last["lat"], last["lon"]
    track.previous_kmh[rows], track.previous_course_deg[rows] = last["kmh"], last["course_deg"]
    track.gap[rows] = gap = (lapse_s > GAP_S) | believed
    track.apart_m[rows] = apart_m = np.where(held, 0.0, away_m)
    track.moved_m[rows] = np.where(gap, 0.0, apart_m)
    track.heard_us[rows] = heard_us = np.maximum(last["heard_us"], track.heard_us[rows])

    last["us"], last["lat"], last["lon"], last["kmh"], last["stands"], last["jumps"] = time_us, lat, lon, kmh, stands, 0
    last["course_deg"] = track.course_deg[rows]
    stays = np.flatnonzero(~good)
    put(last, stays, pick(memory, at[stays]))
    last["heard_us"] = heard_us
    last["jumps"][astray], last["jumped_us"][astray] = np.minimum(in_a_row[astray], BELIEVED), jumped_us[astray]
    last["jump_us"][astray], last["jump_lat"][astray], last["jump_lon"][astray] = time_us[astray], lat[astray], lon[astray]
    put(memory, at, last)


def _tell_vehicles_apart(track: TrackBatch, memory: Memory) -> None:
    """Mark where a terminal reports for another vehicle: that was somewhere else, and what the one before did is not its doing."""
    told = np.flatnonzero(track.good & (track.vehicle_id != ABSENT))
    owner, vehicle_id = track.owner[told], track.vehicle_id[told]
    first = changes(owner)
    before = np.where(first, memory["vehicle_id"][owner], np.roll(vehicle_id, 1))
    another = told[(before != 0) & (before != vehicle_id)]
    track.another[another] = track.gap[another] = True
    track.moved_m[another] = 0.0
    memory["vehicle_id"][owner] = vehicle_id  # ascending in time, so the last one stays


def _impossible(away_m: NDArray[np.float64], lapse_s: NDArray[np.float64]) -> Mask:
    """Further than a vehicle at the highest speed can have come, noise granted."""
    too_far: Mask = away_m - NOISE_M > SPEED_KMH_MAX / 3.6 * lapse_s
    return too_far
