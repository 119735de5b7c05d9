"""The quality gate: what is flagged, what it keeps from moving, and that it locks nobody out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fix_drives import NOON_US, Drive, batch, grid, judged
from geofence.check import Atlas, begin, check
from geofence.fences import Circle, Fence, FenceIndex
from geofence.quality import Quality, faults
from tracks.event import Kind
from tracks.fix import FixBatch

GOOD = {"time_us": NOON_US, "lon": 121.4, "lat": 31.2, "speed_kmh": 30.0}


@pytest.mark.parametrize(
    ("spoilt", "flag"),
    [
        ({}, Quality(0)),
        ({"valid": False}, Quality.NOT_POSITIONED),
        ({"lon": 12.0}, Quality.OUTSIDE_CHINA),
        ({"lat": float("nan")}, Quality.OUTSIDE_CHINA),
        ({"speed_kmh": 160.5}, Quality.TOO_FAST),
        ({"received_us": NOON_US - 121_000_000}, Quality.FUTURE),
        ({"time_us": 0, "received_us": NOON_US}, Quality.PAST),
        ({"dated": False}, Quality.UNDATED),
        ({"satellites": 3}, Quality.FEW_SATELLITES),
        ({"satellites": -1}, Quality(0)),
        ({"status_bits": 3 | 1 << 5}, Quality.ENCRYPTED),
    ],
)
def test_what_a_report_shows_by_itself(spoilt: dict[str, Any], flag: Quality) -> None:
    assert [flag] == faults(batch([GOOD | spoilt])).tolist()


def flags(fixes: FixBatch) -> list[Quality]:
    atlas = Atlas()
    return [Quality(value) for value in check(fixes, atlas, begin(atlas)).quality.tolist()]


def test_a_jump_is_flagged_and_the_way_back_is_not() -> None:
    drive = Drive().along(grid((0, 0), (1000, 0)))
    for row in (4, 5):
        drive.rows[row]["lat"] += 0.05

    assert [4, 5] == [row for row, flag in enumerate(flags(drive.fixes())) if flag]


def test_three_fixes_that_agree_are_believed() -> None:
    drive = Drive().along(grid((0, 0), (500, 0))).along(grid((0, 9000), (1000, 9000)))

    assert [5, 6] == [row for row, flag in enumerate(flags(drive.fixes())) if flag & Quality.JUMP]


def test_what_lasts_for_seconds_only_is_not_believed_however_many_agree() -> None:
    drive = Drive(every_s=1).along(grid((0, 0), (1000, 0)))
    for row in range(40, 49):
        drive.rows[row]["lat"] += 0.05

    assert [*range(40, 49)] == [row for row, flag in enumerate(flags(drive.fixes())) if flag]


def test_wild_jumps_that_do_not_agree_are_never_believed() -> None:
    drive = Drive().along(grid((0, 0), (1000, 0)))
    for row, away in ((3, 0.1), (4, -0.1), (5, 0.2), (6, -0.2)):
        drive.rows[row]["lat"] += away

    assert [3, 4, 5, 6] == [row for row, flag in enumerate(flags(drive.fixes())) if flag & Quality.JUMP]


def test_a_speed_that_no_brake_explains_is_flagged() -> None:
    drive = Drive(every_s=1).along(grid((0, 0), (100, 0)))
    drive.rows[5]["speed_kmh"] = 100.0

    assert [5] == [row for row, flag in enumerate(flags(drive.fixes())) if flag & Quality.LURCH]


def test_a_standing_vehicle_is_held_where_it_stopped() -> None:
    drive = Drive().along(grid((0, 0), (1000, 0))).wait(3000)
    fixes = drive.fixes(np.random.default_rng(1), 10.0)
    told = flags(fixes)

    assert all(flag == Quality.DRIFT for flag in told[11:])
    fence = Fence(1, Circle(float(fixes.lon[10]), float(fixes.lat[10]), 30.0))
    ledger = judged([fixes], Atlas(fences=FenceIndex.of([fence])))
    assert 1 == len(ledger.incidents(Kind.INSIDE)), "its wandering does not come and go"


def test_a_flagged_fix_moves_no_alarm() -> None:
    drive = Drive().along(grid((0, 0), (3000, 0)))
    there = grid((1500, 3000))[0]
    bad = [{"valid": False}, {"satellites": 2}, {"status_bits": 3 | 1 << 5}, {"speed_kmh": 161.0}]
    for row, spoilt in enumerate(bad * 4, 5):
        drive.rows[row] |= spoilt | {"lon": there[0], "lat": there[1]}
    fences = FenceIndex.of([Fence(1, Circle(*there, 500.0))])

    assert [] == judged([drive.fixes()], Atlas(fences=fences)).incidents()


def test_a_clock_that_is_wrong_does_not_hold_up_the_fixes_that_follow() -> None:
    drive = Drive().along(grid((0, 0), (3000, 0)))
    ahead = drive.rows[5] | {"time_us": drive.rows[5]["time_us"] + 10**14, "received_us": drive.rows[5]["time_us"]}
    fences = FenceIndex.of([Fence(1, Circle(*grid((2000, 0))[0], 300.0))])
    atlas = Atlas(fences=fences)
    state = begin(atlas)
    checked = check(batch([*drive.rows[:5], ahead, *drive.rows[5:]]), atlas, state)
    state.adopt(checked.change)
    again = check(Drive(time_us=drive.time_us).along(grid((3000, 0), (3500, 0))).fixes(), atlas, state)

    assert ["entered", "left"] == checked.events.words()
    assert 0 == len(again.rewound)
