"""Stops: found on the way between fixes, passed or stopped, each direction by itself, in the order of the trip."""

from __future__ import annotations

import numpy as np
import pytest

from fix_drives import NOON_US, Drive, Ledger, grid, judged, line71, place, stops71, stretch
from geofence.check import Atlas, begin, check
from geofence.datum import distance_m
from geofence.stops import STOPPED_S, Stop, StopIndex, calls
from tracks.event import EventBatch, Kind, Phase

ROAD = grid((0, 0), (6000, 0))


def stop(number: int, east_m: float, north_m: float = 0.0, **properties: object) -> Stop:
    ((lon, lat),) = grid((east_m, north_m))
    return Stop(number, lon, lat, **properties)


def visits(stops: list[Stop], drive: Drive, seed: int = 1) -> Ledger:
    return judged([drive.fixes(np.random.default_rng(seed), 6.0)], Atlas(stops=StopIndex.of(stops)))


def test_a_stop_between_two_fixes_is_passed() -> None:
    drive = Drive(every_s=30, kmh=40).along(ROAD)
    between = [stop(number, 333.0 * number + 166) for number in range(1, 16)]
    ledger = visits(between, drive)

    assert list(range(1, 16)) == [row["subject"] for row in ledger.incidents()]
    assert all(row["total"] < STOPPED_S for row in ledger.incidents())
    assert [15, 15] == [ledger.words.count(word) for word in ("arrived", "departed")]


def test_arrival_and_departure_are_when_the_circle_was_crossed() -> None:
    drive = Drive(every_s=30, kmh=36).along(ROAD)
    (row,) = judged([drive.fixes()], Atlas(stops=StopIndex.of([stop(1, 3150, radius_m=60.0)]))).incidents()

    assert (309, 321) == pytest.approx(((row["start_us"] - NOON_US) / 1e6, (row["end_us"] - NOON_US) / 1e6), abs=1)
    assert row["peak"] == pytest.approx(0, abs=1)


def test_a_bus_that_stands_has_stopped_and_one_that_crawls_by_has_passed() -> None:
    stood = Drive().along(grid((0, 0), (3010, 0))).wait(30).along(grid((3000, 0), (6000, 0)))
    crawled = Drive(kmh=12).along(ROAD)

    assert visits([stop(1, 3000)], stood).incidents()[0]["total"] >= STOPPED_S
    assert visits([stop(1, 3000)], crawled).incidents()[0]["total"] < STOPPED_S


def test_a_long_rest_in_the_bus_station_is_one_visit() -> None:
    drive = Drive().along(grid((0, 0), (3010, 0))).wait(600).silence(3600).wait(600).along(grid((3000, 0), (3080, 0))).wait(300)
    drive.along(grid((3080, 0), (6000, 0)))
    (row,) = visits([stop(1, 3000)], drive).incidents()

    assert row["total"] > 3600


def test_coming_back_after_a_round_is_a_second_visit() -> None:
    drive = Drive().along(ROAD).along(list(reversed(ROAD)))

    assert 2 == len(visits([stop(1, 3000)], drive).incidents())


def test_a_way_that_nobody_saw_visits_nothing() -> None:
    drive = Drive().along(grid((0, 0), (2000, 0))).silence(300).along(grid((4000, 0), (6000, 0)))

    assert [] == visits([stop(1, 3000)], drive).incidents()


def test_the_stop_across_the_road_is_for_the_other_direction() -> None:
    pair = [stop(1, 3000, -10, course_deg=90.0), stop(2, 3000, 10, course_deg=270.0)]
    there = Drive().along(grid((0, 0), (3000, 0))).wait(60).along(grid((3000, 0), (6000, 0)))
    back = Drive().along(grid((6000, 0), (3000, 0))).wait(60).along(grid((3000, 0), (0, 0)))

    assert [1] == [row["subject"] for row in visits(pair, there).incidents()]
    assert [2] == [row["subject"] for row in visits(pair, back).incidents()]


def test_a_stop_is_only_for_the_lines_it_is_meant_for() -> None:
    index = StopIndex.of(
        [stop(1, 3000, parties=frozenset({("line", 71)})), stop(2, 3000, parties=frozenset({("line", 9)}))], {7: [("line", 9)]}
    )
    ledger = judged([Drive().along(ROAD).fixes()], Atlas(stops=index))

    assert [2] == [row["subject"] for row in ledger.incidents()]


def line71_stops() -> list[Stop]:
    made = []
    for way in (0, 1):
        road = line71(way)
        along = np.arange(0, 17_500, 5.0)
        lon, lat, course = place(road, along)
        for number, (name, x, y) in enumerate(stops71(way), 1):
            heading = float(course[np.argmin(distance_m(lon, lat, x, y))])
            made.append(Stop(100 * way + number, x, y, name, course_deg=heading, corridor_id=1 + way, sequence=number))
    return made


def test_every_stop_of_line_71_is_called_at_once_and_in_order() -> None:
    index = StopIndex.of(line71_stops())
    drive = Drive(kmh=30)
    for at_m in range(0, 17_500, 500):
        drive.along(stretch(line71(0), at_m, at_m + 500)).wait(10)
    state = begin(Atlas(stops=index))
    events = check(drive.fixes(np.random.default_rng(3), 6.0), Atlas(stops=index), state).events
    told = calls(events.take(events.phase == Phase.CLOSED), index)
    of_line = told.corridor_id == 1

    assert set(range(2, 24)) <= set(told.sequence[of_line].tolist())
    assert told.sequence[of_line].tolist() == sorted(set(told.sequence[of_line].tolist()))
    assert 0 == told.missed[of_line].sum()
    assert 1 == len(set(told.trip[of_line].tolist()))
    assert (~of_line).sum() <= 1, "only the last stop can be the first of the way back"


def test_a_stop_left_out_is_missed_and_a_new_round_is_a_new_trip() -> None:
    index = StopIndex.of([stop(number, 1000.0 * number, corridor_id=4, sequence=number) for number in range(1, 6)])
    drive = Drive().along(grid((0, 0), (1500, 0))).along(grid((1500, 400), (2500, 400))).along(grid((2500, 0), (6000, 0)))
    drive.along(grid((6000, 900), (0, 900))).along(ROAD)
    events = check(drive.fixes(), Atlas(stops=index), begin(Atlas(stops=index))).events
    told = calls(events.take(events.phase == Phase.CLOSED), index)

    assert [1, 3, 4, 5, 1, 2, 3, 4, 5] == told.sequence.tolist()
    assert [0, 1, 0, 0, 0, 0, 0, 0, 0] == told.missed.tolist()
    assert [0, 0, 0, 0, 1, 1, 1, 1, 1] == told.trip.tolist()


def test_no_visits_make_no_calls() -> None:
    assert 0 == len(calls(EventBatch.empty(), StopIndex.of([stop(1, 0)])))
    assert Kind.STOP_VISIT not in {row["kind"] for row in visits([], Drive().along(ROAD)).incidents()}
