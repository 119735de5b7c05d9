"""More scenes: clocks that jump and stay so, outliers without end, hours that cross midnight, limits met exactly, and other intervals.

Written like those of `scene_table.py`, from what the domain asks, before they were played.
"""

# ruff: noqa: E501 - one scene, one line
from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fix_road import Pace, Report, Wait, altered, drive, silent, thrown
from scene_table import (
    CLEAN,
    DETOURED,
    DETOURING,
    EIGHT,
    HAIRPIN,
    LOLLIPOP,
    OPEN,
    SQUARE,
    STRAIGHT,
    STRAYED,
    STRAYING,
    Delivery,
    Incident,
    Scene,
    backfilled,
    box,
    circle,
    polygon,
    road,
    shuffled,
    stop,
    stray,
)


def shifted(reports: Sequence[Report], since: float, until: float, by: timedelta, monday: datetime) -> list[Report]:
    """From `since` to `until` the terminal's clock is wrong by so much."""
    return [replace(each, clock=monday + timedelta(seconds=each.t) + by) if since <= each.t < until else each for each in reports]


def outliers(reports: Sequence[Report], share: float, far_m: float, seed: int) -> list[Report]:
    """Now and then a report lies far off, never two in a row."""
    rng, kept = random.Random(seed), []
    for number, each in enumerate(reports):
        off = number % 2 and rng.random() < 2 * share
        kept.append(
            replace(each, east=each.east + rng.uniform(-far_m, far_m), north=each.north + rng.choice([-far_m, far_m])) if off else each
        )
    return kept


def asleep(reports: Sequence[Report], since: float, until: float, every: float = 300) -> list[Report]:
    """Between, a report only so often."""
    return [each for each in reports if not since < each.t < until or each.t % every == 0]


def turned_back(since: float, until: float) -> Delivery:
    """What was sent between comes once more, as a terminal does whose answers were lost."""

    def delivery(reports: Sequence[Report]) -> list[list[tuple[int, list[Report]]]]:
        live = [(0x0200, [each]) for each in reports if each.t < until]
        again = [(0x0200, [each]) for each in reports if since <= each.t < until]
        return [live, [*again, *((0x0200, [each]) for each in reports if each.t >= until)]]

    return delivery


NIGHT = {"days": [0, 1, 2, 3, 4, 5, 6], "from": "22:00", "to": "06:00"}
SUNDAY_NIGHT = {"days": [6], "from": "22:00", "to": "06:00"}


def at(**since_ten: float) -> Callable[[datetime], datetime]:
    """A scene that begins so long after ten on Monday, Beijing."""
    return lambda monday: monday + timedelta(**since_ten)


LONG_WAY = drive((0, 0), (1000, 0), (1000, 200), (5000, 200), (5000, 0), (6000, 0))


def long_way(**properties: Any) -> tuple[str, str, Any, dict[str, Any]]:
    """That way, approved."""
    line = [(1000, 0), (1000, 200), (5000, 200), (5000, 0)]
    return "corridor", "LineString", line, {"name": "around", "detour_of": "detoured"} | properties


def clocks(monday: datetime) -> list[Scene]:
    day, year = timedelta(days=1), timedelta(days=365)
    return [
        Scene("a clock a year back for two minutes", [STRAIGHT], shifted(drive(*STRAYING), 400, 520, -year, monday), [STRAYED]),
        Scene("a clock a year back in the middle of it", [STRAIGHT], shifted(drive(*stray(2000, 200, 1500)), 250, 300, -year, monday), [Incident("deviation", 206, 386)]),
        Scene("a clock a year back for two minutes, after half an hour", [STRAIGHT], shifted(drive((0, 0), Wait(2000), *STRAYING[1:]), 2050, 2170, -year, monday), [Incident("deviation", 2206, 2296, level=2)]),
        Scene("a clock a day back for two minutes", [STRAIGHT], shifted(drive(*STRAYING), 400, 520, -day, monday), [STRAYED]),
        Scene("a clock a day ahead for two minutes", [STRAIGHT], shifted(drive(*STRAYING), 400, 520, day, monday), [STRAYED]),
        Scene("a clock five minutes ahead for one report", [STRAIGHT], shifted(drive(*CLEAN), 400, 410, timedelta(minutes=-5), monday), []),
        Scene("a clock a year ahead until it is set right", [STRAIGHT], shifted(drive(*STRAYING), 0, 100, year, monday), [STRAYED]),
        Scene("a fence valid from the middle of the drive on", [circle((3000, 0), 5000, valid_from=(monday + timedelta(seconds=300)).isoformat())], drive(*CLEAN), [Incident("inside", 300, OPEN)]),
        Scene("a fence valid until the middle of the drive", [circle((3000, 0), 5000, valid_until=(monday + timedelta(seconds=300)).isoformat())], drive(*CLEAN), [Incident("inside", 0, 300)]),
        Scene("an approval that begins while on the detour", [DETOURED, long_way(valid_from=(monday + timedelta(seconds=300)).isoformat())], LONG_WAY, [Incident("deviation", 106, 300), Incident("detour", 300, 536)]),
        Scene("an approval that ends while on the detour", [DETOURED, long_way(valid_until=(monday + timedelta(seconds=300)).isoformat())], LONG_WAY, [Incident("detour", 106, 300, ended="rule"), Incident("deviation", 300, 536)]),
        Scene("an approval that ends while on the detour, bundles in no order", [DETOURED, long_way(valid_until=(monday + timedelta(seconds=300)).isoformat())], LONG_WAY, [Incident("detour", 106, 300, ended="rule"), Incident("deviation", 300, 536)], shuffled),
        Scene("a clock in 2000 until it is set right", [STRAIGHT], [replace(each, clock=datetime(2000, 1, 1, tzinfo=UTC)) if each.t < 100 else each for each in drive(*STRAYING)], [STRAYED]),
    ]  # fmt: skip


ROADS = [
    *(Scene(f"noise of 6 m with outliers of {far} m, every {n} s", [STRAIGHT], outliers(drive(*CLEAN, every=n, sigma=6, seed=n), 0.1, far, n), [], every=n) for n in (1, 10, 30) for far in (150, 2000)),
    *(Scene(f"the wrong way, every {n} s", [STRAIGHT], drive((6000, 0), (0, 0), Wait(120), every=n, sigma=3), [Incident("wrong_direction", 0, 600)], every=max(n, 31)) for n in (1, 60)),
    *(Scene(f"a loop line, two rounds, every {n} s", [SQUARE], drive((0, 0), *[(1500, 0), (1500, 1500), (0, 1500), (0, 0)] * 2, every=n, sigma=6), [], every=n) for n in (1, 30, 60)),
    *(Scene(f"a figure of eight, every {n} s", [EIGHT], drive((0, 0), (1000, 1000), (2000, 1000), (2000, 0), (1000, 0), (0, 1000), (-1000, 1000), (-1000, 0), (0, 0), every=n, sigma=6), [], every=n) for n in (1, 30, 60)),
    *(Scene(f"a hairpin, every {n} s", [HAIRPIN], drive((0, 0), (2000, 0), (2000, 60), (0, 60), every=n, sigma=6), [], every=n) for n in (1, 60)),
    *(Scene(f"out and back on one carriageway, every {n} s", [LOLLIPOP], drive((0, 0), (2000, 0), (2000, 1000), (3000, 1000), (3000, 0), (2000, 0), (0, 0), every=n, sigma=6), [], every=n) for n in (1, 30, 60)),
    *(Scene(f"straight on where the road makes a bow, every {n} s", [DETOURING], drive((0, 0), (5000, 0), every=n, sigma=3), [Incident("deviation", 156, 246), Incident("shortcut", 150, 250)], every=max(n, 20)) for n in (1, 30)),
    Scene("a parallel road at 80 m, every second", [STRAIGHT], drive((0, 0), (1000, 0), (1000, 80), (4000, 80), (4000, 0), (6000, 0), every=1, sigma=3), [Incident("deviation", 106, 412, level=1)], every=8),
    Scene("a parallel road at 80 m, every 60 s", [STRAIGHT], drive((0, 0), (1000, 0), (1000, 80), (4000, 80), (4000, 0), (6000, 0), every=60, sigma=3), [Incident("deviation", 106, 412, level=1)], every=60),
    Scene("eight points, one a second, 500 m away, in the midst of it", [STRAIGHT, circle((2250, 700), 150, stay="out")], thrown(drive(*STRAYING, every=1, sigma=3), range(240, 248), 500), [STRAYED], every=3),
    Scene("aside soon after the terminus, with one report on the road, every 60 s", [STRAIGHT], drive(*stray(700, 300, 2400), every=60), [Incident("deviation", 76, 364)], every=60),
    Scene("aside twice, each for a minute", [STRAIGHT], drive((0, 0), (1500, 0), (1500, 200), (2100, 200), (2100, 0), (3500, 0), (3500, -200), (4100, -200), (4100, 0), (6000, 0)), [Incident("deviation", 156, 246), Incident("deviation", 396, 486)]),
    Scene("50 m aside for minutes, with one report beyond the margin, and then 200", [STRAIGHT], altered(drive((0, 0), (1000, 0), (1000, 50), (4000, 50), (4000, 200), (5000, 200), (5000, 0), (6000, 0)), [200], north=63.0), [Incident("deviation", 406, 536)]),
    Scene("55 m aside, which is the width and not the margin", [STRAIGHT], drive(*stray(2000, 55, 1500)), []),
    Scene("65 m aside, which is beyond the margin", [STRAIGHT], drive(*stray(2000, 65, 1500)), [Incident("deviation", 206, 359, level=1)]),
    Scene("200 m aside for 40 s and back, less than a minute and less than 300 m", [STRAIGHT], drive((0, 0), (2000, 0), Pace(8), (2000, 120), (2000, 0), Pace(10), (6000, 0)), []),
    Scene("standing 200 m aside for half an hour", [STRAIGHT], drive((0, 0), (2000, 0), (2000, 200), Wait(1800, drift_m=5), (2000, 0), (6000, 0)), [Incident("deviation", 206, 2036, level=3)]),
    Scene("a width of its own for the middle", [road((0, 0), (2000, 0), (4000, 0), (6000, 0), half_width_m=[50, 250, 50])], drive((0, 0), (2200, 0), (2200, 200), (3800, 200), (3800, 0), (6000, 0)), []),
    Scene("answers lost, and the last minute once more", [STRAIGHT], drive(*STRAYING), [STRAYED], turned_back(200, 260)),
    Scene("ten minutes of silence every 30 s, then backfill with it all inside", [STRAIGHT], drive((0, 0), (500, 0), *stray(2000, 200, 900)[1:], Wait(600), every=30), [Incident("deviation", 206, 326)], backfilled(50, 650), every=30),
    Scene("two hours of a terminus, then off with it", [STRAIGHT], drive((0, 0), Wait(7200, drift_m=8), (6000, 0), every=30, sigma=6), [], every=30),
    Scene("over the road's limit of 36 by a little, once it is beyond the terminus", [road((0, 0), (6000, 0), limit_kmh=36)], drive((0, 0), Pace(10.5), (6000, 0)), [Incident("overspeed", 20, OPEN)]),
    Scene("at the road's limit of 36 exactly", [road((0, 0), (6000, 0), limit_kmh=36)], drive((0, 0), Pace(10), (6000, 0)), []),
    Scene("faster in the middle section alone", [road((0, 0), (2000, 0), (4000, 0), (6000, 0), limit_kmh=[60, 30, 60])], drive(*CLEAN), [Incident("overspeed", 200, 400)]),
]  # fmt: skip

FENCES = [
    Scene("by night, on a Monday at 23", [circle((3000, 0), 500, windows=[NIGHT])], drive(*CLEAN), [Incident("inside", 250, 350)], at=at(hours=13)),
    Scene("by night, on a Tuesday at two", [circle((3000, 0), 500, windows=[NIGHT])], drive(*CLEAN), [Incident("inside", 250, 350)], at=at(hours=16)),
    Scene("by night, on a Monday at ten", [circle((3000, 0), 500, windows=[NIGHT])], drive(*CLEAN), []),
    Scene("Sunday night's window, on a Monday at two", [circle((3000, 0), 500, windows=[SUNDAY_NIGHT])], drive(*CLEAN), [Incident("inside", 250, 350)], at=at(hours=-8)),
    Scene("Sunday night's window, on a Sunday at two", [circle((3000, 0), 500, windows=[SUNDAY_NIGHT])], drive(*CLEAN), [], at=at(hours=-32)),
    Scene("Sunday night's window across midnight", [circle((3000, 0), 5000, windows=[SUNDAY_NIGHT])], drive(*CLEAN), [Incident("inside", 0, OPEN)], at=at(hours=-10, minutes=-5)),
    Scene("by night, until six", [circle((3000, 0), 5000, windows=[NIGHT])], drive(*CLEAN), [Incident("inside", 0, 300)], at=at(hours=-4, minutes=-5)),
    Scene("a night limit that begins while inside", [circle((3000, 0), 5000, day_kmh=40, night_kmh=30)], drive(*CLEAN), [Incident("inside", 0, OPEN), Incident("overspeed_inside", 300, OPEN)], at=at(hours=11, minutes=55)),
    Scene("a night limit that ends while inside", [circle((3000, 0), 5000, day_kmh=40, night_kmh=30)], drive(*CLEAN), [Incident("inside", 0, OPEN), Incident("overspeed_inside", 0, 300)], at=at(hours=-4, minutes=-5)),
    Scene("a night limit across midnight", [circle((3000, 0), 5000, day_kmh=40, night_kmh=30)], drive(*CLEAN), [Incident("inside", 0, OPEN), Incident("overspeed_inside", 0, OPEN)], at=at(hours=13, minutes=55)),
    Scene("36 km/h where 36 are allowed", [circle((3000, 0), 1000, day_kmh=36)], drive(*CLEAN), [Incident("inside", 200, 400)]),
    Scene("36.1 km/h where 36 are allowed", [circle((3000, 0), 1000, day_kmh=36)], [replace(each, speed_ms=36.1 / 3.6) if each.speed_ms else each for each in drive(*CLEAN)], [Incident("inside", 200, 400), Incident("overspeed_inside", 200, 400)]),
    Scene("a fence within a fence", [circle((3000, 0), 1500, name="outer"), circle((3000, 0), 500, name="inner")], drive(*CLEAN), [Incident("inside", 150, 450), Incident("inside", 250, 350)]),
    Scene("two fences of one shape", [circle((3000, 0), 500, name="one"), circle((3000, 0), 500, name="two")], drive(*CLEAN), [Incident("inside", 250, 350)] * 2),
    Scene("through a polygon, every 60 s", [polygon(box(1500, -500, 4500, 500))], drive(*CLEAN, every=60), [Incident("inside", 150, 450)], every=60),
    Scene("in, and silent for 20 minutes, and out", [circle((3000, 0), 500)], silent(drive((0, 0), (3000, 0), Wait(1500), (6000, 0)), 400, 1600), [Incident("inside", 250, 1850)]),
    Scene("in and out again within the margin", [polygon(box(1000, 0, 5000, 500))], drive((0, -15), (6000, -15), sigma=5), []),
    Scene("along a border for an hour, 15 m outside", [polygon(box(-500, 15, 6500, 500))], drive((0, 0), *[(6000, 0), (0, 0)] * 3, every=5, sigma=6), []),
    Scene("along a border for an hour, 15 m inside", [polygon(box(-500, -500, 6500, 15), stay="in")], drive((0, 0), *[(6000, 0), (0, 0)] * 3, every=5, sigma=6), []),
    *(Scene(f"past a border, {far} m outside, to stay outside, every {n} s", [polygon(box(1000, far, 5000, 500), stay="out")], drive(*CLEAN, every=n, sigma=6, seed=n), []) for far in (10, 15) for n in (1, 5, 10)),
    Scene("before a border for minutes, with one report inside, and then in", [polygon(box(3000, -500, 5000, 500))], altered(drive((0, 0), (2960, 0), Pace(2), *[(2980, 0), (2960, 0)] * 20, Pace(10), (6000, 0)), [400], east=3003), [Incident("inside", 700, 900)]),
    *(Scene(f"along the border of a zone to stay in, {far} m outside, every {n} s", [polygon(box(-1000, -1000, 9000, 0), stay="in")], drive((0, -20), (300, far), (8000, far), every=n, sigma=6, seed=n), []) for far, n in ((15, 1), (20, 1), (15, 10))),
    *(Scene(f"40 m out of a zone to stay in, every {n} s", [polygon(box(-1000, -1000, 9000, 0), stay="in")], drive((0, -20), (2000, -20), (2000, 40), (5000, 40), (5000, -20), (8000, -20), every=n, sigma=6, seed=n), [Incident("outside", 205, 510)]) for n in (1, 10)),
    Scene("beside a zone to stay in for minutes, with one report beyond its margin, and then away", [polygon(box(-1000, -1000, 9000, 0), stay="in")], altered(drive((0, -20), (0, 20), (6000, 20), (6000, 300), (7000, 300), (7000, -100)), [100], north=33.0), [Incident("outside", 605, 762)]),
    Scene("asleep in a zone to stay out of, near its edge, heard every five minutes", [polygon(box(1000, -15, 2000, 1000), stay="out", dwell_s=1200)], asleep(drive((0, -80), (1500, -80), (1500, -10), Wait(6000), (1500, -80), (3000, -80)), 150, 6150), [Incident("inside", 300, 6158), Incident("dwelt", 300, 6158)]),
    Scene("asleep outside of a zone to stay in, heard every half hour", [polygon(box(-1000, -1000, 1000, 1000), stay="in")], asleep(drive((0, 0), (1100, 0), Wait(9000), (0, 0)), 110, 9110, 1800), [Incident("outside", 103, 9120)]),
    Scene("dwelt in 20 minutes of silence", [circle((3000, 0), 500, dwell_s=600)], silent(drive((0, 0), (3000, 0), Wait(1500), (6000, 0)), 400, 1600), [Incident("inside", 250, 1850), Incident("dwelt", 250, 1850)]),
    Scene("through a circle, noise and outliers, every 10 s", [circle((3000, 0), 1000)], outliers(drive(*CLEAN, sigma=6), 0.15, 2000, 3), [Incident("inside", 200, 400)], every=20),
]  # fmt: skip

STOPS = [
    Scene("a stop at the terminus, where the bus begins and ends", [stop((0, 10))], drive((0, 0), Wait(120), (6000, 0), (0, 0), Wait(120)), [Incident("stop_visit", 0, 126), Incident("stop_visit", 1314, OPEN)]),
    *(Scene(f"passed at 60 km/h, every {n} s", [stop((3000, 10))], drive((0, 0), Pace(16.7), (6000, 0), every=n), [Incident("stop_visit", 176, 183)], every=max(n, 4)) for n in (1, 30, 60)),
    Scene("stood at between two reports 60 s apart", [stop((3000, 10))], drive((0, 0), (3000, 0), Wait(40), (6000, 0), every=60), [Incident("stop_visit", 294, 346)], every=60),
    Scene("two stops across the road from each other, each for its own way", [stop((3000, -15), name="east", course_deg=90), stop((3000, 15), name="west", course_deg=270)], drive((0, 0), (6000, 0), (0, 0)), [Incident("stop_visit", 294, 306), Incident("stop_visit", 894, 906)]),
    Scene("a stop twice on a loop", [stop((0, 10))], drive((-600, 0), (0, 0), (1500, 0), (1500, 1500), (0, 1500), (0, 0), (-600, 0)), [Incident("stop_visit", 54, 66), Incident("stop_visit", 655, 666)]),
    Scene("a stop 55 m from the road", [stop((3000, 55))], drive(*CLEAN), [Incident("stop_visit", 297, 303)]),
    Scene("a stop 65 m from the road", [stop((3000, 65))], drive(*CLEAN), []),
]  # fmt: skip


def odd_scenes(monday: datetime) -> list[Scene]:
    """All of them."""
    return [*clocks(monday), *ROADS, *FENCES, *STOPS]
