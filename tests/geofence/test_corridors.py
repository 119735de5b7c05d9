"""Corridors: the tree finds what looking at every segment finds; who drives which, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compliance.driving import Driving, Limits
from fix_drives import NOON_US, Drive, as_rows, chainage, grid, judged, line71, place, stretch
from geofence.check import Atlas, begin, check
from geofence.corridors import MARGIN_M, Assignment, Corridor, CorridorIndex, Detour
from geofence.datum import distance_m, metres_per_degree
from geofence.fences import Line
from tracks.event import Ended, Kind, Level
from tracks.week import Window

SPIRAL = [(110 + 0.0002 * turn * np.cos(turn / 3), 30 + 0.0002 * turn * np.sin(turn / 3)) for turn in range(1, 700)]
ROADS = [line71(0), SPIRAL, grid((0, 0), (900, 0)), line71(1)]


def every_segment(points: Any, lon: float, lat: float) -> np.ndarray:
    east, north = metres_per_degree(lat)
    at = (np.array(points) - [lon, lat]) * [east, north]
    begin, way = at[:-1], np.diff(at, axis=0)
    part = np.clip(-(begin * way).sum(1) / np.maximum((way**2).sum(1), 1e-12), 0, 1)
    return np.hypot(*(begin + part[:, None] * way).T)


@pytest.mark.parametrize("road", range(len(ROADS)))
def test_the_tree_finds_every_place_where_a_corridor_comes_by(road: int) -> None:
    index = CorridorIndex.of([Corridor(number, points) for number, points in enumerate(ROADS, 1)])
    rng = np.random.default_rng(road)
    lon, lat, _ = place(ROADS[road], rng.uniform(0, chainage(ROADS[road])[-1], 300), rng.normal(0, 60, 300))
    found = index.passages(lon, lat, np.full(300, road))
    nearest_m, _ = index.distance(lon, lat, np.full(300, road))
    true_m = np.array([every_segment(ROADS[road], x, y) for x, y in zip(lon, lat, strict=True)])

    assert np.allclose(true_m.min(1), nearest_m)
    assert sorted(set(found.pair.tolist())) == np.flatnonzero(true_m.min(1) <= 50 + MARGIN_M).tolist()
    least = np.full(300, np.inf)
    np.minimum.at(least, found.pair, found.away_m)
    assert np.allclose(least[np.isfinite(least)], true_m.min(1)[np.isfinite(least)])


def test_far_away_the_distance_is_still_right() -> None:
    index = CorridorIndex.of([Corridor(1, ROADS[0]), Corridor(2, ROADS[1])])
    lon, lat = np.array([121.2, 121.6, 110.3]), np.array([31.0, 31.5, 30.2])
    row = np.array([0, 0, 1])
    away_m, half_m = index.distance(lon, lat, row)

    assert np.allclose([every_segment(ROADS[r], x, y).min() for r, x, y in zip(row, lon, lat, strict=True)], away_m)
    assert [50, 50, 50] == half_m.tolist()


def test_chainage_runs_along_the_line() -> None:
    index = CorridorIndex.of([Corridor(1, ROADS[0])])
    at_m = np.arange(100, 17_000, 100.0)
    lon, lat, _ = place(ROADS[0], at_m)
    found = index.passages(lon, lat, np.zeros(len(at_m), np.int64))

    assert np.allclose(at_m[found.pair], found.chainage_m, atol=0.1)


def test_a_loop_a_hairpin_and_a_road_driven_twice_come_by_more_than_once() -> None:
    twice = grid((0, 0), (2000, 0), (2000, 1000), (2000, 0), (0, 0))
    index = CorridorIndex.of([Corridor(1, twice)])
    (lon,), (lat,) = zip(*grid((1000, 0)), strict=True)
    found = index.passages(np.array([lon]), np.array([lat]), np.array([0]))

    assert [1000, 5000] == pytest.approx(found.chainage_m.tolist(), abs=1)


def test_each_segment_has_its_own_width() -> None:
    index = CorridorIndex.of([Corridor(1, grid((0, 0), (1000, 0), (2000, 0)), half_width_m=[30.0, 120.0])])
    lon, lat = (np.array(each) for each in zip(*grid((500, 100), (1500, 100)), strict=True))

    assert [1] == index.passages(lon, lat, np.array([0, 0])).pair.tolist()


def test_a_corridor_is_in_force_for_its_line_and_its_time() -> None:
    corridors = [Corridor(1, ROADS[0]), Corridor(2, ROADS[3])]
    plans = [Assignment(1, frozenset({("line", 71)})), Assignment(2, frozenset({("vehicle", 5)}), (NOON_US, NOON_US + 10))]
    index = CorridorIndex.of(corridors, plans, {4: [("line", 71)], 5: [("line", 71), ("vehicle", 5)], 6: []})
    here = np.full(4, 110.0), np.full(4, 30.0)
    fix, row, served = index.in_force(np.array([4, 5, 5, 6]), np.array([NOON_US, NOON_US, NOON_US + 10, NOON_US]), *here)

    assert [(0, 0), (1, 0), (1, 1), (2, 0)] == sorted(zip(fix.tolist(), row.tolist(), strict=True))
    assert [True, True, True, False] == served.tolist()


def test_nobody_is_judged_by_a_corridor_outside_its_hours_and_dates() -> None:
    noon, midnight = Window(frozenset({2}), 12 * 60, 13 * 60), Window(frozenset({1}), 23 * 60, 2 * 60)
    corridors = [
        Corridor(1, ROADS[0], windows=[noon]),
        Corridor(2, ROADS[0], windows=[midnight]),
        Corridor(3, ROADS[0], valid_us=(NOON_US, NOON_US + 3_600_000_000)),
        Corridor(4, ROADS[0]),
    ]
    plans = [Assignment(each.id) for each in corridors]
    hours = NOON_US + np.array([-12, -1, 0, 1]) * 3_600_000_000
    beijing, greenwich = (CorridorIndex.of(corridors, plans, zone_s=zone_s) for zone_s in (28800, 0))

    def served(index: CorridorIndex, number: int) -> list[int]:
        lon, lat = np.full(4, ROADS[0][0][0]), np.full(4, ROADS[0][0][1])
        fix, row, _ = index.in_force(np.zeros(4, np.int64), hours, lon, lat)
        return fix[index.id[row] == number].tolist()

    assert [[2], [0], [2], [0, 1, 2, 3]] == [served(beijing, number) for number in (1, 2, 3, 4)]
    assert [[], [], [2], [0, 1, 2, 3]] == [served(greenwich, number) for number in (1, 2, 3, 4)]


def test_a_detour_approved_for_some_excuses_nobody_else() -> None:
    around = Detour(Line(grid((500, 0), (500, 400)), 120), parties=frozenset({("vehicle", 5)}))
    index = CorridorIndex.of([Corridor(1, grid((0, 0), (3000, 0)), detours=[around])], [Assignment(1)], {4: [], 5: [("vehicle", 5)]})
    ((lon, lat),) = grid((500, 300))
    lons, lats = np.full(2, lon), np.full(2, lat)

    assert [False, True] == index.excused(lons, lats, np.zeros(2, np.int64), np.array([4, 5]), np.full(2, NOON_US)).tolist()


@pytest.mark.parametrize(
    ("corridors", "plans"),
    [
        ([Corridor(1, [(110.0, 30.0)])], []),
        ([Corridor(1, [(110.0, 30.0), (110.0, 30.0)])], []),
        ([Corridor(1, ROADS[0])], [Assignment(2)]),
        ([Corridor(0, ROADS[0])], []),
    ],
)
def test_what_is_no_line_or_not_there_is_refused(corridors: list[Corridor], plans: list[Assignment]) -> None:
    with pytest.raises(ValueError, match=r"no line|not there"):
        CorridorIndex.of(corridors, plans)


def test_the_road_limit_is_known_where_the_road_is_followed() -> None:
    road = grid((0, 0), (3000, 0), (6000, 0))
    atlas = Atlas(corridors=CorridorIndex.of([Corridor(1, road, limit_kmh=[80.0, 30.0])], [Assignment(1)]))
    ledger = judged([Drive(kmh=50).along(road).fixes()], atlas, [Driving(Limits.of())])
    (row,) = ledger.incidents(Kind.OVERSPEED)

    assert 216 == pytest.approx((row["start_us"] - NOON_US) / 1e6, abs=10)
    assert (50.0, Level.MAJOR) == (row["peak"], row["level"])


def test_a_deviation_is_graver_the_further_and_the_longer_it_goes() -> None:
    road = ROADS[0]
    atlas = Atlas(corridors=CorridorIndex.of([Corridor(1, road)], [Assignment(1)]))

    def level(away_m: float, far_m: float) -> int:
        drive = (
            Drive()
            .along(stretch(road, 0, 5000))
            .along(stretch(road, 5000, 5000 + far_m, away_m))
            .along(stretch(road, 5000 + far_m, 17_000))
        )
        return int(judged([drive.fixes()], atlas).incidents(Kind.DEVIATION)[0]["level"])

    assert [Level.NOTICE, Level.WARNING, Level.MAJOR, Level.MAJOR] == [
        level(80, 2000),
        level(200, 2000),
        level(700, 2000),
        level(200, 8000),
    ]


def test_a_deviation_cut_off_by_silence_ends_at_the_last_fix() -> None:
    road = ROADS[0]
    atlas = Atlas(corridors=CorridorIndex.of([Corridor(1, road)], [Assignment(1)]))
    drive = Drive().along(stretch(road, 0, 5000)).along(stretch(road, 5000, 6000, 200))
    last_us = drive.rows[-1]["time_us"]
    drive.silence(400).along(stretch(road, 6000, 8000, 200))
    first, second = judged([drive.fixes()], atlas).incidents(Kind.DEVIATION)

    assert (Ended.GAP, last_us) == (first["ended"], first["end_us"])
    assert last_us < second["start_us"], "still astray after it, which is told anew"


ELSEWHERE = Corridor(2, grid((90_000, 0), (95_000, 0)))
ROSTER = {7: [("line", 1)]}


@pytest.mark.parametrize(
    "then",
    [
        CorridorIndex.empty(),
        CorridorIndex.of([ELSEWHERE], [Assignment(2)]),
        CorridorIndex.of([ELSEWHERE], [Assignment(2, frozenset({("line", 1)}))], ROSTER),
        CorridorIndex.of([Corridor(1, ROADS[0]), ELSEWHERE], [Assignment(1, frozenset({("line", 9)})), Assignment(2)], ROSTER),
        CorridorIndex.of([Corridor(1, ROADS[0], valid_us=(0, NOON_US)), ELSEWHERE], [Assignment(1), Assignment(2)]),
    ],
    ids=["none is left", "another is left for all", "another is left for it", "it is for others now", "it is over"],
)
def test_who_is_astray_when_a_corridor_is_taken_away_is_so_no_longer(then: CorridorIndex) -> None:
    """Whatever else there is to drive along."""
    road = ROADS[0]
    astray = Drive().along(stretch(road, 0, 5000)).along(stretch(road, 5000, 6000, 300))
    before, after = astray.fixes(), Drive(time_us=astray.time_us).along(stretch(road, 6000, 7000, 300)).fixes()
    atlas = Atlas(corridors=CorridorIndex.of([Corridor(1, road)], [Assignment(1)]))
    state = begin(atlas)
    state.adopt(check(before, atlas, state).change)
    (row,) = as_rows(check(after, Atlas(corridors=then), state).events)

    assert (Kind.DEVIATION, Ended.RULE, int(after.time_us[0])) == (row["kind"], row["ended"], row["end_us"])


def test_an_incident_that_lasts_is_told_again_only_every_ten_minutes_or_when_it_gets_worse() -> None:
    road = ROADS[0]
    atlas = Atlas(corridors=CorridorIndex.of([Corridor(1, road)], [Assignment(1)]))
    drive = Drive(kmh=18).along(stretch(road, 0, 3000)).along(stretch(road, 3000, 13_000, 200))
    ledger = judged([drive.fixes()], atlas)
    minutes = distance_m(*place(road, [3000])[:2], *place(road, [13_000])[:2])[0] / 5 / 60

    assert 1 == len(ledger.incidents(Kind.DEVIATION))
    assert minutes > 20
    assert ["strayed"] == ledger.words
