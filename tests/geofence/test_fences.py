"""Fences: what is inside, for whom, when, and what is told of coming and going."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely

from fix_drives import NOON_US, Drive, batch, cut, grid, judged, line71, place, restarted, story
from geofence.check import Atlas, begin, check
from geofence.corridors import Corridor, CorridorIndex
from geofence.datum import distance_m, metres_per_degree
from geofence.fences import FOREVER, Circle, Fence, FenceIndex, Line, Polygon, Stay, polygon_of
from tracks.event import Ended, Kind, Level
from tracks.week import Window

HOME = (110.0, 30.0)


def index(*shapes: Any, **properties: Any) -> FenceIndex:
    return FenceIndex.of([Fence(number, shape, **properties) for number, shape in enumerate(shapes, 1)])


def at(east_m: float, north_m: float) -> tuple[np.ndarray, np.ndarray]:
    ((lon, lat),) = grid((east_m, north_m), lon=HOME[0], lat=HOME[1])
    return np.array([lon]), np.array([lat])


def inside(fences: FenceIndex, east_m: float, north_m: float) -> list[int]:
    return fences.inside(*at(east_m, north_m))[1].tolist()


def test_a_position_on_the_edge_is_inside() -> None:
    box = index(Polygon.rectangle(110.0, 30.0, 110.01, 30.01))
    lon, lat = np.array([110.0, 110.01, 110.005, 110.0100001]), np.array([30.0, 30.005, 30.01, 30.005])

    assert [0, 1, 2] == box.inside(lon, lat)[0].tolist()


def test_a_hole_is_outside_and_its_edge_is_an_edge() -> None:
    outer = [(110.0, 30.0), (110.02, 30.0), (110.02, 30.02), (110.0, 30.02), (110.0, 30.0)]
    hole = [(110.008, 30.008), (110.012, 30.008), (110.012, 30.012), (110.008, 30.012), (110.008, 30.008)]
    fences = index(Polygon([outer, hole]))
    lon, lat = np.array([110.01]), np.array([30.01])

    assert 0 == len(fences.inside(lon, lat)[0])
    assert fences.edge_m(np.array([0]), lon, lat)[0] == pytest.approx(0.002 * metres_per_degree(30.0)[0], rel=0.01)


def test_shapes_of_any_form_hold_what_shapely_says_they_hold() -> None:
    rng = np.random.default_rng(4)
    shapes: list[Any] = [Line(grid(*rng.uniform(-3000, 3000, (6, 2)).tolist()), 400.0) for _ in range(5)]
    for _ in range(30):
        middle, angle = HOME + rng.uniform(-0.05, 0.05, 2), np.sort(rng.uniform(0, 2 * np.pi, 12))
        ring = middle + (rng.uniform(0.001, 0.02, 12) * np.array([np.cos(angle), np.sin(angle)])).T
        shapes.append(Polygon([[*ring.tolist(), ring[0].tolist()]]))
    fences = index(*shapes)
    lon, lat = HOME[0] + rng.uniform(-0.07, 0.07, 3000), HOME[1] + rng.uniform(-0.07, 0.07, 3000)
    row, place = np.nonzero([shapely.intersects_xy(polygon_of(shape), lon, lat) for shape in shapes])

    found, which = fences.inside(lon, lat)

    assert len(place) > 1000
    assert sorted(zip(place.tolist(), row.tolist(), strict=True)) == sorted(zip(found.tolist(), which.tolist(), strict=True))


@pytest.mark.parametrize("lat", [5.0, 30.0, 52.0])
def test_a_circle_is_round_on_the_ground(lat: float) -> None:
    fences = index(Circle(110.0, lat, 5000.0))
    rng = np.random.default_rng(1)
    lon, there = 110 + rng.uniform(-0.1, 0.1, 4000), lat + rng.uniform(-0.06, 0.06, 4000)

    assert np.flatnonzero(distance_m(110.0, lat, lon, there) <= 5000).tolist() == sorted(fences.inside(lon, there)[0].tolist())


def test_a_line_has_its_width() -> None:
    fences = index(Line(grid((0, 0), (5000, 0)), 100.0))

    assert [[0], [0], []] == [inside(fences, 2500, away_m) for away_m in (0, 49, 51)]


def test_the_distance_to_an_edge_is_in_metres_on_either_side() -> None:
    fences = index(Polygon([grid((0, 0), (1000, 0), (1000, 1000), (0, 1000), (0, 0))]), Circle(*HOME, 500.0))

    assert [300, 200, 100] == pytest.approx(
        [fences.edge_m(np.array([0]), *at(*place))[0] for place in ((300, 500), (1200, 500), (500, 1100))], abs=0.3
    )
    assert [400, 100] == pytest.approx([fences.edge_m(np.array([1]), *at(*place))[0] for place in ((100, 0), (600, 0))], abs=0.3)


@pytest.mark.parametrize("radius_m", [100.0, 600.0, 2000.0, 20_000.0])
@pytest.mark.parametrize("lat", [5.0, 30.0, 52.0])
def test_deep_inside_a_circle_is_thirty_metres_from_its_edge_however_large_it_is(lat: float, radius_m: float) -> None:
    east, north = metres_per_degree(lat)
    angle, away_m = np.meshgrid(np.arange(0.0, 2 * np.pi, 0.1), radius_m - np.array([28.0, 32.0]))
    lon, there = 110.0 + (np.cos(angle) * away_m).ravel() / east, lat + (np.sin(angle) * away_m).ravel() / north
    deep_m = radius_m - distance_m(110.0, lat, lon, there)

    assert (1 + (deep_m > 30)).tolist() == index(Circle(110.0, lat, radius_m)).depth(np.zeros(len(lon), np.int64), lon, there).tolist()


@pytest.mark.parametrize(
    "shape",
    [
        Polygon([[(110, 30), (110.1, 30.1), (110.1, 30), (110, 30.1), (110, 30)]]),
        Polygon([[(110, 30), (110.1, 30), (110.2, 30), (110, 30)]]),
        Circle(110, 30, 0.0),
    ],
)
def test_a_shape_that_encloses_nothing_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match="encloses no area"):
        index(shape)


def test_two_fences_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        FenceIndex.of([Fence(1, Circle(*HOME, 100.0)), Fence(1, Circle(*HOME, 200.0))])


# what is told

PLACE = Circle(*grid((3000, 0))[0], 500.0)


def through(drive: Drive | None = None) -> Drive:
    return (drive or Drive()).along(grid((0, 0), (6000, 0)))


def told(fences: list[Fence], drive: Drive, roster: dict[int, Any] | None = None, *kinds: Kind) -> list[tuple[Kind, float, float]]:
    return story(judged([drive.fixes(np.random.default_rng(4), 6.0)], Atlas(fences=FenceIndex.of(fences, roster))), *kinds)


def test_coming_and_going_is_told_with_its_times() -> None:
    ((kind, start, end),) = told([Fence(1, PLACE)], through())

    assert Kind.INSIDE == kind
    assert (250, 353) == pytest.approx((start, end), abs=10)


def test_the_words_of_coming_and_going_are_entered_and_left() -> None:
    ledger = judged([through().fixes()], Atlas(fences=FenceIndex.of([Fence(1, PLACE)])))

    assert ["entered", "left"] == ledger.words


def test_one_fix_deep_inside_is_enough_for_one_that_reports_rarely() -> None:
    assert 1 == len(told([Fence(1, Circle(*grid((3000, 0))[0], 80.0))], through(Drive(every_s=20, kmh=36))))


def test_a_fence_between_two_fixes_is_entered_and_left_when_the_way_crossed_its_edge() -> None:
    drive = Drive(every_s=30).along(grid((0, 0), (6000, 0)))
    small = [
        Fence(1, Circle(*grid((3150, 0))[0], 60.0)),
        Fence(2, Polygon([grid((1600, -50), (1700, -50), (1700, 50), (1600, 50), (1600, -50))])),
    ]
    ledger = judged([drive.fixes()], Atlas(fences=FenceIndex.of(small)))

    assert ["entered", "left", "entered", "left"] == ledger.words
    assert [
        (Kind.INSIDE, pytest.approx(160, abs=1), pytest.approx(170, abs=1)),
        (Kind.INSIDE, pytest.approx(309, abs=1), pytest.approx(321, abs=1)),
    ] == story(ledger)


def test_a_way_that_ends_just_within_a_large_circle_has_passed_it_when_it_led_deep_inside_before() -> None:
    drive = Drive(every_s=60, kmh=57.24).along(grid((1486, 0), (8000, 0)))  # 954 m: at 2440 m not yet inside, at 3394 m no longer deep
    ledger = judged([drive.fixes()], Atlas(fences=FenceIndex.of([Fence(1, Circle(*grid((3000, -2440))[0], 2500.0))])))

    assert ["entered", "left"] == ledger.words


SQUARE = ((3060, 0), (3060, 160), (3240, 160), (3240, 0))


@pytest.mark.parametrize(
    ("why", "at_m", "radius_m", "drive"),
    [
        ("grazed", (3150, 31), 60.0, Drive(every_s=30).along(grid((0, 0), (6000, 0)))),
        ("too small", (3150, 0), 30.0, Drive(every_s=30).along(grid((0, 0), (6000, 0)))),
        ("a gap", (3150, 0), 60.0, Drive().along(grid((0, 0), (3000, 0))).silence(200).along(grid((3300, 0), (6000, 0)))),
        ("round three sides of a square", (3150, 0), 60.0, Drive(every_s=59).along(grid((2410, 0), *SQUARE, (6000, 0)))),
    ],
)  # fmt: skip
def test_what_may_not_have_been_passed_is_not_told(why: str, at_m: tuple[float, float], radius_m: float, drive: Drive) -> None:
    assert [] == told([Fence(1, Circle(*grid(at_m)[0], radius_m))], drive), why


def test_a_passage_counts_only_while_the_fence_is_in_force() -> None:
    drive, small = Drive(every_s=30).along(grid((0, 0), (6000, 0))), Circle(*grid((3150, 0))[0], 60.0)
    noon, crossed = NOON_US, NOON_US + 315_000_000

    assert [] == told(
        [Fence(1, small, valid_us=(noon + 322_000_000, FOREVER[1])), Fence(2, small, valid_us=(noon, noon + 305_000_000))], drive
    )
    assert 1 == len(told([Fence(1, small, valid_us=(noon, crossed + 30_000_000))], drive))


def test_a_shallow_fix_and_a_way_that_went_deep_are_one_visit() -> None:
    drive = Drive(every_s=30, kmh=36).along(grid((-10, 0), (6000, 0)))
    before, after = (told([Fence(1, Circle(*grid((at_m, 0))[0], 60.0))], drive)[0] for at_m in (3043, 2937))

    assert (Kind.INSIDE, 299, 311) == pytest.approx(before, abs=2)
    assert (Kind.INSIDE, 289, 330) == pytest.approx(after, abs=2)


def test_a_hundred_thousand_noisy_fixes_beside_small_fences_pass_none() -> None:
    rng = np.random.default_rng(8)
    road = line71()
    lon, lat, _ = place(road, np.arange(100.0, 17_000, 150), np.resize([90.0, -90.0], 113))
    away_m, _ = CorridorIndex.of([Corridor(1, road)]).distance(lon, lat, np.zeros(len(lon), np.int64))
    beside = [Fence(number, Circle(x, y, 70.0)) for number, (x, y) in enumerate(zip(lon[away_m > 88], lat[away_m > 88], strict=True), 1)]
    drives = [Drive(terminal_id=number, every_s=30, kmh=rng.uniform(20, 60)).along(road) for number in range(2000)]
    fixes = Drive(rows=[row for drive in drives for row in drive.rows]).fixes(rng, 6.0)

    assert (len(beside) > 80, len(fixes) > 100_000) == (True, True)
    assert [] == judged(cut(fixes.take(np.argsort(fixes.time_us, kind="stable")), 25_000), Atlas(fences=FenceIndex.of(beside))).words


def test_standing_at_the_edge_with_noise_is_one_visit() -> None:
    drive = Drive().along(grid((0, 0), (2500, 0)))
    for _ in range(300):
        drive.wait(10)
    assert 1 == len(told([Fence(1, Circle(*grid((3000, 0))[0], 502.0))], drive.along(grid((2500, 0), (3000, 0)))))


def test_driving_along_the_edge_with_noise_is_not_told_again_and_again() -> None:
    road = grid((0, 0), (20_000, 0))
    strip = Polygon([grid((0, 0), (20_000, 0), (20_000, 2000), (0, 2000), (0, 0))])

    assert len(told([Fence(1, strip)], Drive().along(road))) <= 1


def test_a_fence_is_told_only_to_those_it_is_meant_for() -> None:
    fences = [
        Fence(1, PLACE, parties=frozenset({("group", 3)})),
        Fence(2, PLACE, parties=frozenset({("vehicle", 9), ("line", 71)})),
        Fence(3, PLACE),
    ]
    roster = {7: [("line", 71), ("group", 4)], 8: [("group", 3)]}

    ledger = judged([through().fixes()], Atlas(fences=FenceIndex.of(fences, roster)))

    assert [2, 3] == [row["subject"] for row in ledger.incidents()]


def test_a_fence_counts_only_while_it_is_valid_and_in_its_hours() -> None:
    wednesday, other_day = Window(frozenset({2}), 12 * 60, 13 * 60), Window(frozenset({0, 1, 3, 4, 5, 6}), 0, 24 * 60)
    night = Window(frozenset(range(7)), 22 * 60, 6 * 60)
    fences = [
        Fence(1, PLACE, windows=[wednesday]),
        Fence(2, PLACE, windows=[other_day]),
        Fence(3, PLACE, windows=[night]),
        Fence(4, PLACE, valid_us=(NOON_US - 1, NOON_US)),
        Fence(5, PLACE, valid_us=(NOON_US, NOON_US + 3_600_000_000)),
    ]
    ledger = judged([through().fixes()], Atlas(fences=FenceIndex.of(fences)))

    assert [1, 5] == [row["subject"] for row in ledger.incidents()]


def test_a_fence_that_runs_out_while_one_is_inside_ends_the_visit() -> None:
    until_us = NOON_US + 300_000_000
    (row,) = judged([through().fixes()], Atlas(fences=FenceIndex.of([Fence(1, PLACE, valid_us=(NOON_US, until_us))]))).incidents()

    assert (Ended.RULE, until_us) == (row["ended"], row["end_us"])


def test_a_fence_that_is_taken_away_while_one_is_inside_ends_the_visit() -> None:
    atlas, bare = Atlas(fences=FenceIndex.of([Fence(1, PLACE)]), version=1), Atlas(version=2)
    fixes = through().fixes()
    state = begin(atlas)
    state.adopt(check(fixes.take(np.arange(30)), atlas, state).change)
    checked = check(fixes.take(np.arange(30, 40)), bare, restarted(state, bare))

    assert [("left", Ended.RULE)] == list(zip(checked.events.words(), checked.events.ended.tolist(), strict=True))
    assert [1] == checked.events.version.tolist()


def test_a_stay_longer_than_allowed_is_dwelling() -> None:
    drive = Drive().along(grid((0, 0), (3000, 0))).wait(900).along(grid((3000, 0), (6000, 0)))
    dwelt = told([Fence(1, PLACE, dwell_s=600)], drive, None, Kind.DWELT)

    assert [(Kind.DWELT, pytest.approx(250, abs=10), pytest.approx(1253, abs=20))] == dwelt
    assert [] == told([Fence(1, PLACE, dwell_s=1200)], drive, None, Kind.DWELT)


def test_too_fast_inside_is_told_by_day_and_by_night_limits() -> None:
    night_us = NOON_US + 11 * 3_600_000_000
    slow, fast = Fence(1, PLACE, day_kmh=40), Fence(2, PLACE, day_kmh=30)
    dark = Fence(3, PLACE, day_kmh=40, night_kmh=30)

    def subjects(time_us: int) -> list[int]:
        ledger = judged([through(Drive(time_us=time_us)).fixes()], Atlas(fences=FenceIndex.of([slow, fast, dark])))
        return [row["subject"] for row in ledger.incidents(Kind.OVERSPEED_INSIDE)]

    assert [2] == subjects(NOON_US)
    assert [2, 3] == subjects(night_us)


def test_a_zone_to_stay_in_is_left_and_entered_again() -> None:
    zone = Fence(
        1,
        Polygon([grid((-500, -500), (3000, -500), (3000, 500), (-500, 500), (-500, -500))]),
        stay=Stay.IN,
        parties=frozenset({("vehicle", 7)}),
    )
    drive = Drive().along(grid((0, 0), (4000, 0))).along(grid((4000, 0), (0, 0)))
    fixes = drive.fixes(np.random.default_rng(2), 6.0)
    ledger = judged([fixes], Atlas(fences=FenceIndex.of([zone], {7: [("vehicle", 7)]})))
    (row,) = ledger.incidents()

    assert ["strayed", "returned"] == ledger.words
    assert (Kind.OUTSIDE, Level.MAJOR) == (row["kind"], row["level"])
    assert (300, 500) == pytest.approx(((row["start_us"] - NOON_US) / 1e6, (row["end_us"] - NOON_US) / 1e6), abs=10)
    assert row["peak"] == pytest.approx(1000, abs=30)


def test_being_where_one_must_not_be_is_a_warning() -> None:
    (row,) = judged([through().fixes()], Atlas(fences=FenceIndex.of([Fence(1, PLACE, stay=Stay.OUT)]))).incidents()

    assert (Kind.INSIDE, Level.WARNING) == (row["kind"], row["level"])


def test_a_vehicle_that_sleeps_inside_has_not_left() -> None:
    drive = Drive().along(grid((0, 0), (3000, 0))).wait(60).silence(8 * 3600).wait(60)
    (row,) = judged([drive.fixes()], Atlas(fences=FenceIndex.of([Fence(1, PLACE)]))).incidents()

    assert Ended.OPEN == row["ended"]


def test_a_thousand_fences_on_one_place_are_all_found() -> None:
    fences = FenceIndex.of([Fence(number, Circle(*HOME, 100.0 + number)) for number in range(1, 1001)])
    ledger = judged(
        [batch([{"time_us": NOON_US + second * 10_000_000, "lon": HOME[0], "lat": HOME[1]} for second in range(3)])], Atlas(fences=fences)
    )

    assert 1000 == len(ledger.incidents(Kind.INSIDE))
