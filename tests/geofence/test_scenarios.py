"""What happened on the road, and what is told of it: exactly the incidents planted, each within one reporting interval.

A scenario drives a vehicle and says, as it goes, when something begins and ends. All positions carry noise of σ = 6 m.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from fix_drives import NOON_US, Drive, Road, cut, grid, judged, line71, shuffled, sidestep, story, stretch
from geofence.check import Atlas
from geofence.corridors import Assignment, Corridor, CorridorIndex, Detour
from geofence.fences import Circle, Fence, FenceIndex, Line
from tracks.event import Ended, Kind
from tracks.fix import FixBatch

ROAD = line71()
ALARMS = (Kind.DEVIATION, Kind.WRONG_DIRECTION, Kind.SHORTCUT, Kind.DETOUR)


def of_road(road: Road, **properties: object) -> Atlas:
    return Atlas(corridors=CorridorIndex.of([Corridor(1, road, **properties)], [Assignment(1)]))


@dataclass
class Scene:
    """One vehicle on one road."""

    road: Road = field(default_factory=lambda: ROAD)
    atlas: Atlas = field(default_factory=lambda: of_road(ROAD))
    drive: Drive = field(default_factory=Drive)
    planted: list[tuple[Kind, float, float]] = field(default_factory=list)

    def off(self, leg: Road, *kinds: Kind) -> Scene:
        """Drive a leg during which these are amiss."""
        start = self.drive.now_s
        self.drive.along(leg)
        self.planted += [(kind, start, self.drive.now_s) for kind in kinds]
        return self

    def on(self, from_m: float, to_m: float) -> Scene:
        self.drive.along(stretch(self.road, from_m, to_m))
        return self


SCENES: dict[str, Callable[[], Scene]] = {}


def scene(make: Callable[[], Scene]) -> Callable[[], Scene]:
    SCENES[make.__name__] = make
    return make


@scene
def drives_as_planned() -> Scene:
    return Scene().on(0, 17500)


@scene
def strays_200_m_for_60_s() -> Scene:
    return Scene().on(0, 6000).off(stretch(ROAD, 6000, 6600, 200), Kind.DEVIATION).on(6600, 12000)


@scene
def takes_the_parallel_road_at_80_m() -> Scene:
    return Scene().on(0, 6000).off(stretch(ROAD, 6000, 8000, 80), Kind.DEVIATION).on(8000, 10000)


@scene
def strays_for_20_s_only() -> Scene:
    return Scene().on(0, 6000).off(stretch(ROAD, 6000, 6190, 90)).on(6200, 8000)


@scene
def turns_round_on_the_way_and_back_again() -> Scene:
    return Scene().on(0, 6000).off(stretch(ROAD, 5900, 4500), Kind.WRONG_DIRECTION).on(4600, 9000)


@scene
def reports_every_30_s_and_strays() -> Scene:
    made = Scene(drive=Drive(every_s=30))
    return made.on(0, 6000).off(stretch(ROAD, 6000, 6900, 200), Kind.DEVIATION).on(7000, 12000)


@scene
def reports_every_second_and_strays() -> Scene:
    made = Scene(drive=Drive(every_s=1)).on(4000, 6000)
    made.drive.along(sidestep(ROAD, 6000, 0, 60))
    made.off(sidestep(ROAD, 6000, 60, 150) + stretch(ROAD, 6000, 6800, 150) + sidestep(ROAD, 6800, 150, 40), Kind.DEVIATION)
    made.drive.along(sidestep(ROAD, 6800, 40, 0))
    return made.on(6800, 8000)


U_TURN = grid((0, 0), (3000, 0), (3000, 2000), (0, 2000))


@scene
def takes_a_short_cut() -> Scene:
    made = Scene(U_TURN, of_road(U_TURN)).on(0, 2000)
    left = made.drive.now_s - made.drive.every_s
    made.off(grid((2000, 100), (2000, 1900)), Kind.DEVIATION)
    made.planted.append((Kind.SHORTCUT, left, made.drive.now_s))
    return made.on(6000, 7600)


@scene
def crosses_its_own_road_while_astray() -> Scene:
    made = Scene(U_TURN, of_road(U_TURN)).on(0, 1000)
    made.off(grid((1000, 100), (1000, 2600), (1500, 2600), (1500, 100)), Kind.DEVIATION)
    return made.on(1500, 6000)


HAIRPINS = grid((0, 0), (1500, 0), (1500, 40), (0, 40), (0, 80), (1500, 80), (1500, 1200))


@scene
def climbs_hairpins_40_m_apart() -> Scene:
    return Scene(HAIRPINS, of_road(HAIRPINS)).on(0, 5000)


SQUARE = grid((0, 0), (0, 1500), (1500, 1500), (1500, 0), (0, 0))


@scene
def drives_a_loop_three_times() -> Scene:
    made = Scene(SQUARE, of_road(SQUARE))
    return made.on(0, 6000).on(0, 6000).on(0, 6000)


@scene
def drives_a_loop_the_wrong_way_round() -> Scene:
    made = Scene(SQUARE, of_road(SQUARE)).on(0, 6000)
    made.off(stretch(SQUARE, 5780, 210), Kind.WRONG_DIRECTION)
    return made.on(100, 2000)


EIGHT = grid((0, 0), (1000, 0), (1000, 1000), (500, 1000), (500, -1000), (1500, -1000), (1500, 500))


@scene
def crosses_its_own_road_as_planned() -> Scene:
    return Scene(EIGHT, of_road(EIGHT)).on(0, 6400)


THERE_AND_BACK = grid((0, 0), (4000, 0), (4000, 1000), (4000, 0), (0, 0))


@scene
def drives_there_and_back_on_one_road() -> Scene:
    return Scene(THERE_AND_BACK, of_road(THERE_AND_BACK)).on(0, 10000)


@scene
def turns_round_early_and_leaves_out_the_end() -> Scene:
    made = Scene(THERE_AND_BACK, of_road(THERE_AND_BACK)).on(0, 3000)
    made.planted.append((Kind.SHORTCUT, made.drive.now_s - made.drive.every_s, made.drive.now_s))
    return made.on(7000, 10000)


@scene
def runs_empty_to_the_depot_from_the_terminus() -> Scene:
    return Scene().on(10000, 17500).off(stretch(ROAD, 17500, 14000, 400))


@scene
def comes_from_the_depot_across_the_road() -> Scene:
    made = Scene(U_TURN, of_road(U_TURN))
    made.drive.along(grid((1500, -800), (1500, 900)))
    made.drive.along(grid((1400, 900), (600, 900)))
    return made.off(grid((600, 800), (600, 100))).on(600, 4000)


@scene
def is_silent_in_a_tunnel() -> Scene:
    made = Scene().on(0, 5000)
    made.drive.silence(150)
    return made.on(6500, 9000)


@scene
def is_silent_for_ten_minutes_on_the_road() -> Scene:
    made = Scene().on(0, 5000)
    made.drive.silence(600)
    return made.on(11000, 14000)


@scene
def falls_silent_while_astray_and_comes_back_on_the_road() -> Scene:
    made = Scene().on(0, 5000).off(stretch(ROAD, 5000, 6000, 200), Kind.DEVIATION)
    kind, start, end = made.planted.pop()
    made.planted.append((kind, start, end - made.drive.every_s))
    made.drive.silence(600)
    return made.on(9000, 12000)


@scene
def jumps_away_and_back() -> Scene:
    made = Scene().on(0, 9000)
    for row, away in ((30, 0.003), (50, 0.05), (51, 0.05), (70, 1.0)):
        made.drive.rows[row] = made.drive.rows[row] | {"lat": made.drive.rows[row]["lat"] + away}
    return made


@scene
def has_a_clock_that_jumps() -> Scene:
    made = strays_200_m_for_60_s()
    rows = made.drive.rows
    for row, by_s in ((20, 86_400), (40, 600), (65, 86_400 * 365), (80, -1_800_000_000), (81, -86_400)):
        rows.append(rows[row] | {"time_us": rows[row]["time_us"] + by_s * 1_000_000, "received_us": rows[row]["time_us"] + 1_000_000})
    return made


@scene
def stands_at_every_light_with_a_drifting_position() -> Scene:
    made = Scene()
    for start in range(0, 9000, 900):
        made.on(start, start + 900)
        made.drive.wait(120)
    return made


@scene
def drives_an_approved_detour() -> Scene:
    around = grid((500, 0), (500, 400), (2600, 400), (2600, 0))
    road = grid((0, 0), (6000, 0))
    made = Scene(road, of_road(road, detours=(Detour(Line(around, 120)),))).on(0, 500)
    made.off(grid((500, 100), (500, 400), (2600, 400), (2600, 100)), Kind.DETOUR)
    return made.on(2600, 5500)


@scene
def drives_off_a_detour_that_has_run_out() -> Scene:
    around = grid((500, 0), (500, 400), (2600, 400), (2600, 0))
    road = grid((0, 0), (6000, 0))
    made = Scene(road, of_road(road, detours=(Detour(Line(around, 120), (0, NOON_US)),))).on(0, 500)
    made.off(grid((500, 100), (500, 400), (2600, 400), (2600, 100)), Kind.DEVIATION)
    return made.on(2600, 5500)


@pytest.mark.parametrize("name", SCENES)
def test_exactly_what_was_planted_is_told(name: str) -> None:
    made = SCENES[name]()
    fixes = made.drive.fixes(np.random.default_rng(71), 6.0)
    told = story(judged(cut(fixes, 40), made.atlas), *ALARMS)

    assert [kind for kind, _, _ in sorted(made.planted)] == [kind for kind, _, _ in sorted(told)], told
    for (_, start, end), (_, told_start, told_end) in zip(sorted(made.planted), sorted(told), strict=True):
        assert (told_start, told_end) == pytest.approx((start, end), abs=made.drive.every_s)


@pytest.mark.parametrize("name", ["strays_200_m_for_60_s", "turns_round_on_the_way_and_back_again", "takes_a_short_cut"])
def test_doubles_and_disorder_change_nothing(name: str) -> None:
    made = SCENES[name]()
    rng = np.random.default_rng(5)
    fixes = made.drive.fixes(rng, 6.0)
    plain = judged([fixes], made.atlas)
    twice = FixBatch.concat([shuffled(fixes, rng), shuffled(fixes, rng), fixes])

    assert plain.facts() == judged(cut(twice, 13), made.atlas).facts()


def test_a_hundred_thousand_noisy_fixes_on_the_road_raise_no_alarm() -> None:
    rng = np.random.default_rng(6)
    drives = [Drive(terminal_id=number, every_s=10, kmh=rng.uniform(20, 60)) for number in range(770)]
    atlas = Atlas(corridors=CorridorIndex.of([Corridor(1, ROAD), Corridor(2, line71(1))], [Assignment(1), Assignment(2)]))
    rows = [row for number, drive in enumerate(drives) for row in drive.along(line71(number % 2)).rows]
    fixes = Drive(rows=rows).fixes(rng, 6.0)

    assert len(fixes) > 100_000
    assert story(judged(cut(fixes.take(np.argsort(fixes.time_us, kind="stable")), 25_000), atlas), *ALARMS) == []


def test_what_was_stored_in_ten_minutes_of_silence_is_judged_when_it_comes_and_is_no_live_alarm() -> None:
    made = Scene().on(0, 5000).off(stretch(ROAD, 5000, 8000, 200), Kind.DEVIATION).on(8000, 14000)
    fixes = made.drive.fixes(np.random.default_rng(3), 6.0)
    second = (fixes.time_us - NOON_US) / 1e6
    stored = (second >= 520) & (second < 1120)
    reconnected_us = NOON_US + 1_121_000_000
    late = replace(fixes, received_us=np.where(stored, reconnected_us + 40_000_000, fixes.received_us), backfill=stored)
    live, backfill = late.take(~stored), late.take(stored)
    first_back = np.flatnonzero(live.received_us > reconnected_us + 40_000_000)[0]
    arriving = [live.take(np.arange(first_back)), backfill, live.take(np.arange(first_back, len(live)))]
    ledger = judged(arriving, made.atlas)

    assert story(ledger, *ALARMS) == made.planted
    assert [True] == [row["retrospective"] for row in ledger.incidents(Kind.DEVIATION)]
    assert [True] == [retrospective for _, retrospective in ledger.openings]


def test_an_incident_that_a_late_fix_disproves_is_withdrawn() -> None:
    made = Scene().on(0, 5000).off(stretch(ROAD, 5000, 5900, 80)).on(5900, 8000)
    fixes = made.drive.fixes()
    odd = np.flatnonzero((fixes.time_us >= NOON_US + 500_000_000) & (fixes.time_us < NOON_US + 590_000_000))[1::2]
    lon, lat = fixes.lon.copy(), fixes.lat.copy()
    there = stretch(ROAD, 5000, 5900)
    for row in odd:
        lon[row], lat[row] = there[5 * (row - 50)]
    weaving = replace(fixes, lon=lon, lat=lat)
    held_back = np.isin(np.arange(len(fixes)), odd)
    early = judged([weaving.take(~held_back)], made.atlas)
    ledger = judged([weaving.take(~held_back), weaving.take(held_back)], made.atlas)

    assert [Kind.DEVIATION] == [kind for kind, _, _ in story(early, *ALARMS)]
    assert [] == story(ledger, *ALARMS)
    assert 1 == len(ledger.withdrawn)


def test_a_trip_that_is_over_ends_what_was_amiss() -> None:
    made = Scene().on(0, 5000).off(stretch(ROAD, 5000, 9000, 200))
    over_us = NOON_US + 700_000_000
    made.atlas = Atlas(corridors=CorridorIndex.of([Corridor(1, ROAD)], [Assignment(1, None, (NOON_US, over_us))]))
    (row,) = judged([made.drive.fixes()], made.atlas).incidents(*ALARMS)

    assert (Ended.RULE, over_us) == (row["ended"], row["end_us"])


def test_what_one_vehicle_began_is_not_gone_on_with_by_the_next_that_has_its_terminal() -> None:
    made = Scene().on(0, 5000)
    made.drive.along(stretch(ROAD, 5000, 6000, 200))
    moved_us = made.drive.time_us
    made.drive.along(stretch(ROAD, 6000, 6500, 200), vehicle_id=2).along(stretch(ROAD, 6500, 9000), vehicle_id=2)
    atlas = replace(made.atlas, fences=FenceIndex.of([Fence(1, Circle(*ROAD[0], 20_000))]))
    fixes = made.drive.fixes(np.random.default_rng(4), 6.0)
    told = judged([fixes], atlas)

    assert [(Kind.INSIDE, 1), (Kind.DEVIATION, 1), (Kind.INSIDE, 2)] == [(row["kind"], row["vehicle_id"]) for row in told.incidents()]
    assert [(Ended.GAP, moved_us - 10_000_000)] * 2 == [(row["ended"], row["end_us"]) for row in told.incidents()[:2]]
    assert told.facts() == judged(cut(shuffled(fixes, np.random.default_rng(4)), 3), atlas, restart_every=5).facts()


def test_a_short_cut_says_how_much_was_left_out_and_a_deviation_how_far_it_went() -> None:
    made = takes_a_short_cut()
    told = {row["kind"]: row for row in judged([made.drive.fixes()], made.atlas).incidents(*ALARMS)}

    assert told[Kind.SHORTCUT]["peak"] == pytest.approx(2000, abs=150)
    assert told[Kind.DEVIATION]["peak"] == pytest.approx(1000, abs=50)
    assert told[Kind.DEVIATION]["total"] == pytest.approx(1800, abs=150)
