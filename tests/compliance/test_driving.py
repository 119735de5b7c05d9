"""How vehicles are driven: each rule with its times, at its limits, and only where it applies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compliance.driving import Driving, Hours, Limit, Limits, silent
from fix_drives import NOON_US, Drive, Ledger, batch, grid, judged, story
from geofence.check import Atlas
from tracks.event import Ended, Kind, Level
from tracks.week import Window

HOUR_US = 3_600_000_000
LONG = grid((0, 0), (400_000, 0))


def drive(hours: float, every_s: float = 60.0, kmh: float = 60.0, **others: Any) -> Drive:
    return Drive(every_s=every_s, kmh=kmh, **others).along(grid((0, 0), (hours * kmh * 1000, 0), lat=25.0, lon=102.0))


def told(made: Drive, limit: Limit | None = None, **settings: Any) -> Ledger:
    return judged([made.fixes()], Atlas(), [Driving(Limits.of([], limit or Limit(), **settings))])


def hours(ledger: Ledger, kind: Kind) -> list[tuple[float, float]]:
    return [(start / 3600, end / 3600) for _, start, end in story(ledger, kind)]


# speed


def test_too_fast_for_more_than_30_s_is_one_incident_with_its_peak() -> None:
    made = Drive(kmh=70).along(grid((0, 0), (2000, 0)))
    made.kmh = 92.0
    made.along(grid((2000, 0), (4000, 0)))
    made.kmh = 70.0
    ledger = told(made.along(grid((4000, 0), (8000, 0))), Limit(max_kmh=80))
    (row,) = ledger.incidents(Kind.OVERSPEED)

    assert [(Kind.OVERSPEED, 110, 190)] == story(ledger)
    assert (92.0, Level.WARNING) == (row["peak"], row["level"])


def test_too_fast_for_20_s_is_nothing_and_a_breath_between_is_no_end() -> None:
    def paced(*pieces: tuple[float, float]) -> Drive:
        made, at = Drive(), 0.0
        for kmh, seconds in pieces:
            made.kmh = kmh
            made.along(grid((at, 0), (at + kmh / 3.6 * seconds - 1, 0)))
            at += kmh / 3.6 * seconds
        return made

    assert [] == story(told(paced((70, 60), (90, 20), (70, 120)), Limit(max_kmh=80)))
    assert 1 == len(story(told(paced((70, 60), (90, 60), (70, 30), (90, 60), (70, 120)), Limit(max_kmh=80))))
    assert 2 == len(story(told(paced((70, 60), (90, 60), (70, 90), (90, 60), (70, 120)), Limit(max_kmh=80))))


def test_at_night_a_coach_may_drive_four_fifths() -> None:
    coach = Limit(max_kmh=80, night_part=0.8)

    assert [] == story(told(drive(0.1, 10, 70), coach), Kind.OVERSPEED)
    assert 1 == len(story(told(drive(0.1, 10, 70, time_us=NOON_US + 11 * HOUR_US), coach), Kind.OVERSPEED))


def test_each_vehicle_has_its_own_limit() -> None:
    limits = Limits.of([Limit(terminal_id=7, max_kmh=50), Limit(terminal_id=3, max_kmh=90)], Limit(max_kmh=65))

    def count(terminal_id: int) -> int:
        return len(judged([drive(0.1, 10, 60, terminal_id=terminal_id).fixes()], Atlas(), [Driving(limits)]).incidents(Kind.OVERSPEED))

    assert [1, 0, 0] == [count(terminal_id) for terminal_id in (7, 3, 99)]


# hours


def test_four_hours_without_rest_are_fatigue() -> None:
    ledger = told(drive(4.5))

    assert [(pytest.approx(4.0, abs=0.05), np.inf)] == hours(ledger, Kind.FATIGUE)


def test_twenty_minutes_of_rest_begin_anew_and_nineteen_do_not() -> None:
    def with_rest(minutes: float) -> Ledger:
        made = drive(3.0)
        made.wait(minutes * 60)
        made.along(grid((180_000, 0), (300_000, 0), lat=25.0, lon=102.0))
        return told(made)

    assert [] == hours(with_rest(21), Kind.FATIGUE)
    assert 1 == len(hours(with_rest(18), Kind.FATIGUE))


def test_hours_of_driving_stay_with_the_vehicle_when_its_terminal_is_fitted_to_another() -> None:
    one = drive(3.5)
    other = Drive(every_s=60.0, kmh=60.0, time_us=one.time_us).along(grid((0, 9000), (90_000, 9000), lat=25.0, lon=102.0), vehicle_id=2)

    assert [] == judged([batch(one.rows + other.rows)], Atlas(), [Driving(Limits.of())]).incidents(Kind.FATIGUE, Kind.DAY_DRIVING)


def test_fatigue_ends_with_the_rest() -> None:
    made = drive(4.5)
    made.wait(1800)
    ((start, end),) = hours(told(made), Kind.FATIGUE)

    assert (4.0, 4.5 + 20 / 60) == pytest.approx((start, end), abs=0.05)


def test_silence_in_one_place_is_rest_and_silence_on_the_road_is_not() -> None:
    def after_silence(east_m: float) -> Ledger:
        made = drive(3.0)
        made.silence(1800)
        made.along(grid((180_000 + east_m, 0), (300_000, 0), lat=25.0, lon=102.0))
        return told(made)

    assert [] == hours(after_silence(0), Kind.FATIGUE)
    assert 1 == len(hours(after_silence(30_000), Kind.FATIGUE))


def test_two_hours_of_night_are_fatigue() -> None:
    ((start, _),) = hours(told(drive(3.0, time_us=NOON_US + 9 * HOUR_US)), Kind.FATIGUE)

    assert start == pytest.approx(10 + 2, abs=0.05), "22:00 and two hours"


def test_eight_hours_in_a_day_are_too_many_however_one_rests() -> None:
    made = Drive(every_s=120, kmh=60)
    at = 0.0
    for _ in range(3):
        made.along(grid((at, 0), (at + 180_000, 0), lat=25.0, lon=102.0))
        made.wait(3600)
        at += 180_000
    ledger = told(made)

    assert [] == hours(ledger, Kind.FATIGUE)
    assert [(pytest.approx(10.0, abs=0.1), np.inf)] == hours(ledger, Kind.DAY_DRIVING)


def test_a_county_may_set_its_own_hours() -> None:
    assert 1 == len(hours(told(drive(1.2), hours=Hours(day_s=3600)), Kind.FATIGUE))


def test_a_coach_on_the_road_between_two_and_five_is_told() -> None:
    late = drive(1.5, time_us=NOON_US + 13 * HOUR_US + HOUR_US // 2)

    assert [(pytest.approx(14.0, abs=0.02), np.inf)] == hours(told(late, Limit(coach=True)), Kind.NIGHT_COACH)
    assert [] == hours(told(late), Kind.NIGHT_COACH)


# standing and silence


def test_standing_too_long_is_told_from_when_it_stood_through_silence() -> None:
    made = Drive().along(grid((0, 0), (3000, 0))).wait(600).silence(3600).wait(600)
    stood_us = made.rows[30]["time_us"]
    (row,) = told(made, Limit(parked_max_s=3000)).incidents(Kind.PARKED)

    assert stood_us == row["start_us"]
    assert Ended.OPEN == row["ended"]


def test_standing_ends_when_it_drives() -> None:
    made = Drive().along(grid((0, 0), (3000, 0))).wait(1200).along(grid((3000, 0), (6000, 0)))
    ((start, end),) = hours(told(made, Limit(parked_max_s=600)), Kind.PARKED)

    assert (310, 1500) == pytest.approx((start * 3600, end * 3600), abs=10)


def test_silence_on_duty_is_offline_and_off_duty_is_not() -> None:
    made = Drive().along(grid((0, 0), (3000, 0))).silence(1200).along(grid((3000, 0), (6000, 0)))
    noon, evening = Window(frozenset(range(7)), 11 * 60, 14 * 60), Window(frozenset(range(7)), 18 * 60, 20 * 60)

    assert [(Kind.OFFLINE, 290, 1500)] == story(told(made, Limit(offline_max_s=600, duty=[noon])))
    assert [] == story(told(made, Limit(offline_max_s=600, duty=[evening])))
    assert [] == story(told(made, Limit(offline_max_s=1800, duty=[noon])))


def test_the_sweep_tells_of_silence_once_under_the_id_that_ends_it() -> None:
    made = Drive().along(grid((0, 0), (3000, 0))).silence(1200).along(grid((3000, 0), (6000, 0)))
    limits = Limits.of([], Limit(offline_max_s=600))
    heard = made.fixes().take(np.array([29, 29]))
    last = replace(heard, terminal_id=np.array([7, 8]), time_us=heard.time_us + np.array([0, 500_000_000]))
    sweeps = [
        silent(limits, last, now_us=NOON_US + second * 1_000_000, before_us=NOON_US + (second - 60) * 1_000_000)
        for second in range(840, 1080, 60)
    ]
    (ended,) = judged([made.fixes()], Atlas(), [Driving(limits)]).incidents(Kind.OFFLINE)

    assert [0, 1, 0, 0] == [len(sweep) for sweep in sweeps]
    assert [ended["id"]] == sweeps[1].id.tolist()
    assert ["offline"] == sweeps[1].words()
    assert [last.time_us[0]] == sweeps[1].start_us.tolist()


# the terminal's own alarms


def test_every_alarm_bit_opens_when_it_is_set_and_closes_when_it_is_not() -> None:
    made = Drive()
    for bit in range(32):
        made.along(grid((100 * bit, 0), (100 * bit + 250, 0)), alarm_bits=1 << bit)
    ledger = told(made.along(grid((3300, 0), (3600, 0))))

    assert list(range(32)) == sorted(row["subject"] for row in ledger.incidents(Kind.TERMINAL_ALARM))
    assert all(row["ended"] == Ended.RETURNED for row in ledger.incidents(Kind.TERMINAL_ALARM))
    assert Level.MAJOR == next(row["level"] for row in ledger.incidents() if row["subject"] == 0)


def test_an_alarm_of_a_terminal_without_a_position_is_told_all_the_same() -> None:
    made = Drive().along(grid((0, 0), (1000, 0)), alarm_bits=1 << 5, valid=False)

    assert [5] == [row["subject"] for row in told(made).incidents()]


def test_overspeed_found_by_both_is_one_incident() -> None:
    made = Drive(kmh=90).along(grid((0, 0), (2000, 0))).along(grid((2000, 0), (4000, 0)), alarm_bits=2)
    ledger = told(made, Limit(max_kmh=80))
    by_kind = {row["kind"]: row for row in ledger.incidents()}

    assert by_kind[Kind.OVERSPEED]["id"] == by_kind[Kind.TERMINAL_ALARM]["same_as"]


def test_all_hours_of_a_day_are_counted_and_older_ones_forgotten() -> None:
    """Against the plain sum: seconds driven in this hour and the 23 before it, of those in which it set off or stopped the half."""
    rng = np.random.default_rng(3)
    made = Drive(every_s=100, kmh=50)
    at = 0.0
    for _ in range(40):
        far = float(rng.uniform(5000, 40_000))
        made.along(grid((at, 0), (at + far, 0), lat=25.0, lon=102.0)).wait(float(rng.uniform(1300, 4000)))
        at = at + far if at < 300_000 else 0.0
    fixes = made.fixes()
    (row,) = judged([fixes], Atlas(), [Driving(Limits.of([], hours=Hours(in_24h_s=6 * 3600.0)))]).incidents(Kind.DAY_DRIVING)[:1]
    drives = np.append(False, (fixes.speed_kmh[1:] > 5) | (np.diff(fixes.lon) != 0)) & (np.append(0, np.diff(fixes.time_us)) <= 180_000_000)
    half = np.append(False, np.diff(fixes.speed_kmh > 5) != 0)
    driven = np.where(drives, np.append(0, np.diff(fixes.time_us)) / 1e6, 0.0) * np.where(half, 0.5, 1.0)
    hour = fixes.time_us // HOUR_US
    in_a_day = np.array([driven[: now + 1][hour[: now + 1] > hour[now] - 24].sum() for now in range(len(driven))])

    assert fixes.time_us[np.argmax(in_a_day > 6 * 3600)] == row["start_us"]
