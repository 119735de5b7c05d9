"""The scenes: a road, a drive over it, and what somebody who stands beside it would write down.

Metres are east and north of the scene's origin; seconds count from the first report; a bus goes at 10 m/s and reports every 10 s unless
it is said otherwise. So a planted deviation begins, in the table, where the road's half width of 50 m is left by 10 m, and ends where
0.8 of it is reached again (`deviation.md`); a start or an end may lie one reporting interval from what is written here.
"""

# ruff: noqa: E501 - one scene, one line
from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fix_road import Metres, Pace, Report, Wait, altered, drive, silent, thrown

OPEN: Final = None
"""It has not ended."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One row of `events`: what, and from when to when."""

    kind: str
    start: float
    end: float | None
    level: int | None = None
    ended: str | None = None
    subject: int | None = None


Delivery = Callable[[Sequence[Report]], list[list[tuple[int, list[Report]]]]]
"""Links, each with messages: (0x0200, one report) or (0x0704, many)."""


def in_order(reports: Sequence[Report]) -> list[list[tuple[int, list[Report]]]]:
    """Each by itself, in its time."""
    return [[(0x0200, [each]) for each in reports]]


@dataclass(frozen=True, slots=True)
class Scene:
    """One bus, its shapes, its drive, and exactly what happens."""

    name: str
    shapes: Sequence[tuple[str, str, Any, dict[str, Any]]]
    drive: Sequence[Report]
    expected: Sequence[Incident]
    delivery: Delivery = in_order
    every: float = 10.0
    at: Callable[[datetime], datetime] = lambda monday: monday
    edition: int = 2013


def road(*points: Metres, **properties: Any) -> tuple[str, str, Any, dict[str, Any]]:
    """A corridor."""
    return "corridor", "LineString", list(points), {"name": "road"} | properties


def circle(at: Metres, radius_m: float, **properties: Any) -> tuple[str, str, Any, dict[str, Any]]:
    """A round fence."""
    return "fence", "Point", at, {"name": "circle", "radius_m": radius_m} | properties


def polygon(*rings: Sequence[Metres], **properties: Any) -> tuple[str, str, Any, dict[str, Any]]:
    """A fence with corners; the first ring is its outline, others are holes."""
    return "fence", "Polygon", [[*ring, ring[0]] for ring in rings], {"name": "polygon"} | properties


def box(west: float, south: float, east: float, north: float) -> list[Metres]:
    """The corners of a rectangle."""
    return [(west, south), (east, south), (east, north), (west, north)]


def stop(at: Metres, **properties: Any) -> tuple[str, str, Any, dict[str, Any]]:
    """A stop."""
    return "stop", "Point", at, {"name": "stop"} | properties


STRAIGHT = road((0, 0), (3000, 0), (6000, 0))
BOTH_WAYS = (STRAIGHT, road((6000, 0), (3000, 0), (0, 0)))
SQUARE = road((0, 0), (1500, 0), (1500, 1500), (0, 1500), (0, 0))
EIGHT = road((0, 0), (1000, 1000), (2000, 1000), (2000, 0), (1000, 0), (0, 1000), (-1000, 1000), (-1000, 0), (0, 0))
HAIRPIN = road((0, 0), (2000, 0), (2000, 60), (0, 60))
WIDE_HAIRPIN = road((0, 0), (2000, 0), (2000, 300), (0, 300))
LOLLIPOP = road((0, 0), (2000, 0), (2000, 1000), (3000, 1000), (3000, 0), (2000, 0), (0, 0))
DETOURING = road((0, 0), (1500, 0), (1500, 1200), (2500, 1200), (2500, 0), (5000, 0))
SPUR = road((0, 0), (3000, 0), (3000, 600), (3000, 0), (6000, 0))
ROUNDABOUT = road((0, 0), (2970, 0), (3000, -30), (3030, 0), (6000, 0))

STRAYING = ((0, 0), (2000, 0), (2000, 200), (2600, 200), (2600, 0), (6000, 0))
STRAYED = Incident("deviation", 206, 296, level=2)
CLEAN = ((0, 0), (6000, 0))


DETOURED = road((0, 0), (3000, 0), (6000, 0), name="detoured")


def around(**properties: Any) -> tuple[str, str, Any, dict[str, Any]]:
    """The way of STRAYING, approved."""
    return (
        "corridor",
        "LineString",
        [(2000, 0), (2000, 200), (2600, 200), (2600, 0)],
        {"name": "around", "detour_of": "detoured"} | properties,
    )


def stray(at_m: float, aside_m: float, long_m: float, to_m: float = 6000.0) -> list[Metres]:
    """Along the straight road, aside for a while, and back."""
    return [(0, 0), (at_m, 0), (at_m, aside_m), (at_m + long_m, aside_m), (at_m + long_m, 0), (to_m, 0)]


ROADS = [
    *(Scene(f"the road itself, every {n} s, noise of 6 m", [STRAIGHT], drive(*CLEAN, every=n, sigma=6, seed=n), [], every=n) for n in (1, 5, 10, 30, 60)),
    *(Scene(f"200 m aside for a minute, every {n} s", [STRAIGHT], drive(*STRAYING, every=n, sigma=5), [STRAYED], every=n) for n in (1, 5, 10, 30)),
    Scene("200 m aside for three minutes, every 60 s", [STRAIGHT], drive(*stray(2000, 200, 1800), every=60), [Incident("deviation", 206, 416)], every=60),
    Scene("one point 500 m away", [STRAIGHT], thrown(drive(*CLEAN, sigma=6), [300], 500), []),
    Scene("two points 500 m away", [STRAIGHT], thrown(drive(*CLEAN, sigma=6), [300, 310], 500), []),
    Scene("one point 120 m away, which no speed disproves", [STRAIGHT], thrown(drive(*CLEAN, sigma=6), [300], 120), []),
    Scene("a point 5 km away, thrice, each alone", [STRAIGHT], thrown(drive(*CLEAN, sigma=6), [200, 300, 400], 5000), []),
    Scene("the wrong way from end to end", [STRAIGHT], drive((6000, 0), (0, 0)), [Incident("wrong_direction", 0, 600)], every=31),
    Scene("the wrong way with noise, every 30 s", [STRAIGHT], drive((6000, 0), (0, 0), Wait(60), every=30, sigma=6), [Incident("wrong_direction", 0, 600)], every=30),
    Scene("a turn in the middle, and the way back", [STRAIGHT], drive((0, 0), (4000, 0), (1000, 0)), [Incident("wrong_direction", 400, OPEN)]),
    Scene("backwards for 150 m to turn round", [STRAIGHT], drive((0, 0), (3000, 0), (2850, 0), (6000, 0)), []),
    Scene("both directions allowed, and back", BOTH_WAYS, drive((0, 0), (6000, 0), (0, 0), sigma=6), []),
    Scene("both directions allowed, a turn in the middle", BOTH_WAYS, drive((0, 0), (3000, 0), (0, 0), sigma=6), []),
    Scene("an undirected road, and back", [road((0, 0), (6000, 0), directed=False)], drive((0, 0), (6000, 0), (0, 0), sigma=6), []),
    Scene("straight on where the road makes a bow", [DETOURING], drive((0, 0), (5000, 0), sigma=3), [Incident("deviation", 156, 246), Incident("shortcut", 150, 250)], every=20),
    Scene("a parallel road at 80 m", [STRAIGHT], drive((0, 0), (1000, 0), (1000, 80), (4000, 80), (4000, 0), (6000, 0), sigma=3), [Incident("deviation", 106, 412, level=1)]),
    Scene("a parallel road at 80 m, from the terminus on", [STRAIGHT], drive((500, 80), (5500, 80)), [Incident("deviation", 0, OPEN)], every=10),
    Scene("a parallel road at 35 m", [STRAIGHT], drive((0, 35), (6000, 35), sigma=6), []),
    Scene("a narrow hairpin", [HAIRPIN], drive((0, 0), (2000, 0), (2000, 60), (0, 60), sigma=6), []),
    Scene("a narrow hairpin, every 30 s", [HAIRPIN], drive((0, 0), (2000, 0), (2000, 60), (0, 60), every=30, sigma=6), []),
    Scene("a wide hairpin cut short", [WIDE_HAIRPIN], drive((0, 0), (500, 0), (500, 300), (0, 300)), [Incident("shortcut", 56, 76)]),
    Scene("a hairpin cut between legs so near that the width is never left", [road((0, 0), (2500, 0), (2500, 110), (0, 110))], drive((0, 0), (1500, 0), (1500, 110), (0, 110)), [Incident("shortcut", 150, 170)]),
    Scene("a spur left out", [SPUR], drive((0, 0), (6000, 0)), [Incident("shortcut", 300, 310)]),
    Scene("a spur served", [SPUR], drive((0, 0), (3000, 0), (3000, 600), Wait(60), (3000, 0), (6000, 0), sigma=6), []),
    Scene("out and back on one carriageway, heard first while standing on the way back", [LOLLIPOP], drive((1500, 0), Wait(60), (0, 0)), []),
    Scene("a loop line, three rounds", [SQUARE], drive((0, 0), *[(1500, 0), (1500, 1500), (0, 1500), (0, 0)] * 3, sigma=6), []),
    Scene("a loop line, backwards", [SQUARE], drive((0, 0), (0, 1500), (1500, 1500), (1500, 0), (0, 0)), [Incident("wrong_direction", 0, 600)], every=31),
    Scene("a loop line, from its middle on", [SQUARE], drive((1500, 700), (1500, 1500), (0, 1500), (0, 0), (1500, 0), (1500, 700), sigma=6), []),
    Scene("a loop line, 200 m aside across its seam", [SQUARE], drive((0, 0), (1500, 0), (1500, 1500), (0, 1500), (0, 1000), (-400, 1000), (-400, -400), (700, -400), (700, 0), (1500, 0)), [Incident("deviation", 506, 826)]),
    Scene("a figure of eight, twice", [EIGHT], drive(*[(0, 0), (1000, 1000), (2000, 1000), (2000, 0), (1000, 0), (0, 1000), (-1000, 1000), (-1000, 0)] * 2, (0, 0), sigma=6), []),
    Scene("out and back on one carriageway", [LOLLIPOP], drive((0, 0), (2000, 0), (2000, 1000), (3000, 1000), (3000, 0), (2000, 0), (0, 0), sigma=6), []),
    Scene("twice round a roundabout", [ROUNDABOUT], drive((0, 0), (2970, 0), *[(3000, -30), (3030, 0), (3000, 30), (2970, 0)] * 2, (3000, -30), (3030, 0), (6000, 0), every=5, sigma=4), []),
    Scene("a segment of its own width, within", [road((0, 0), (2000, 0), (4000, 0), (6000, 0), half_width_m=[50, 150, 50])], drive(*stray(2200, 100, 1600)), []),
    Scene("a segment of its own width, the next one", [road((0, 0), (2000, 0), (4000, 0), (6000, 0), half_width_m=[50, 150, 50])], drive((0, 0), (2200, 0), (2200, 100), (5000, 100), (5000, 0), (6000, 0)), [Incident("deviation", 422, 536)], every=20),
    Scene("a half width of 30 m, at 45 m", [road((0, 0), (6000, 0), half_width_m=30)], drive(*stray(2000, 45, 1500)), [Incident("deviation", 204, 356)]),
    Scene("a half width of 30 m, at 25 m", [road((0, 0), (6000, 0), half_width_m=30)], drive(*stray(2000, 25, 1500), sigma=4), []),
    Scene("150 m aside at the terminus", [STRAIGHT], drive((-100, 150), (0, 150), Wait(300), (0, 0), (6000, 0), (6000, 150), Wait(600)), []),
    Scene("two deviations 90 s apart", [STRAIGHT], drive((0, 0), (1000, 0), (1000, 200), (1600, 200), (1600, 0), (2500, 0), (2500, 200), (3100, 200), (3100, 0), (6000, 0)), [Incident("deviation", 106, 196), Incident("deviation", 296, 386)]),
    Scene("never back", [STRAIGHT], drive((0, 0), (2000, 0), (2000, 3000)), [Incident("deviation", 206, OPEN, level=3)]),
    Scene("700 m aside", [STRAIGHT], drive(*stray(2000, 700, 600)), [Incident("deviation", 206, 396, level=3)]),
    Scene("across midnight in Beijing", [STRAIGHT], drive(*STRAYING), [STRAYED], at=lambda monday: monday + timedelta(hours=13, minutes=56)),
    Scene("across midnight in Greenwich", [STRAIGHT], drive(*STRAYING), [STRAYED], at=lambda monday: monday + timedelta(hours=21, minutes=56)),
    Scene("across the new year of the week", [STRAIGHT], drive(*STRAYING), [STRAYED], at=lambda monday: monday - timedelta(hours=10, minutes=4)),
    Scene("a tunnel of 170 s", [STRAIGHT], silent(drive(*CLEAN, sigma=6), 200, 360), []),
    Scene("a tunnel of 190 s", [STRAIGHT], silent(drive(*CLEAN, sigma=6), 200, 390), []),
    Scene("170 s of silence while aside", [STRAIGHT], silent(drive(*stray(2000, 200, 2500)), 300, 460), [Incident("deviation", 206, 486)]),
    Scene("300 s of silence while aside", [STRAIGHT], silent(drive(*stray(1000, 200, 4500)), 200, 500), [Incident("deviation", 106, 190, ended="gap"), Incident("deviation", 500, 586)]),
    Scene("it begins in 100 s of silence", [STRAIGHT], silent(drive(*stray(2000, 200, 2500)), 160, 260), [Incident("deviation", 260, 486)]),
    Scene("it ends in 300 s of silence", [STRAIGHT], silent(drive(*stray(1000, 200, 1000)), 180, 480), [Incident("deviation", 106, 170, ended="gap")]),
    Scene("an hour at the edge, standing in noise", [STRAIGHT], drive((0, 0), (2000, 0), (2000, 50), Wait(3600), (2000, 0), (6000, 0), sigma=6), []),
    Scene("two hours parked with drift", [STRAIGHT], drive((0, 0), (2000, 0), Wait(7200, drift_m=20), (6000, 0), every=30), []),
    Scene("not positioned while aside", [STRAIGHT], altered(drive(*STRAYING), range(200, 310, 10), status=1), []),
    Scene("three satellites while aside", [STRAIGHT], altered(drive(*STRAYING), range(200, 310, 10), satellites=3), []),
    Scene("encrypted positions while aside", [STRAIGHT], altered(drive(*STRAYING), range(200, 310, 10), status=3 | 32), []),
    Scene("a clock in 2000, now and then", [STRAIGHT], altered(drive(*STRAYING), [100, 250, 400], clock=datetime(2000, 1, 1, tzinfo=UTC)), [STRAYED]),
    Scene("a clock a day ahead, now and then", [STRAIGHT], altered(drive(*STRAYING), [100, 250, 400], clock=datetime.now(UTC) + timedelta(days=1)), [STRAYED]),
    Scene("a clock a year back, now and then", [STRAIGHT], altered(drive(*STRAYING), [100, 250, 400], clock=datetime.now(UTC) - timedelta(days=300)), [STRAYED]),
    Scene("an approved detour within its dates", [DETOURED, around(valid_from="2020-01-01", valid_until="2099-01-01")], drive(*STRAYING), [Incident("detour", 206, 296)]),
    Scene("an approved detour after its dates", [DETOURED, around(valid_until="2020-01-01")], drive(*STRAYING), [STRAYED]),
    Scene("an approved detour of another road that it may drive", [DETOURED, road((0, 9000), (6000, 9000), name="elsewhere"), around(detour_of="elsewhere")], drive(*STRAYING), [Incident("detour", 206, 296)]),
    Scene("an area approved as a detour", [DETOURED, ("corridor", "Polygon", [[*box(1900, -300, 2700, 300), (1900, -300)]], {"name": "area", "detour_of": "detoured"})], drive(*STRAYING), [Incident("detour", 206, 296)]),
    Scene("off an approved detour", [DETOURED, around()], drive((0, 0), (2000, 0), (2000, 700), (2600, 700), (2600, 0), (6000, 0)), [Incident("deviation", 226, 376), Incident("detour", 206, 396)], every=40),
    Scene("outside the hours of service", [road((0, 0), (6000, 0), windows="mon-fri 11:00-23:00, sat-sun 00:00-24:00")], drive(*STRAYING), []),
    Scene("within the hours of service", [road((0, 0), (6000, 0), windows="mon 09:00-11:00")], drive(*STRAYING), [STRAYED]),
    Scene("the hours of service end while aside", [road((0, 0), (6000, 0), windows="mon 09:00-10:05")], drive(*stray(2000, 200, 2500)), [Incident("deviation", 206, 300, ended="rule")]),
    Scene("a road no longer driven", [road((0, 0), (6000, 0), valid_until="2020-01-01")], drive(*STRAYING), []),
    Scene("a terminal of 2019", [STRAIGHT], drive(*STRAYING), [STRAYED], edition=2019),
]  # fmt: skip


def doubled(reports: Sequence[Report]) -> list[list[tuple[int, list[Report]]]]:
    """Each twice in a row, and all once more after a reconnect."""
    return [[(0x0200, [each]) for each in reports for _ in range(2)], [(0x0200, [each]) for each in reports]]


def doubled_in_bundles(reports: Sequence[Report]) -> list[list[tuple[int, list[Report]]]]:
    """Live, and everything again as a blind-zone upload, each twice in one message."""
    return [
        [(0x0200, [each]) for each in reports],
        [(0x0704, [each for each in reports[at : at + 10] for _ in range(2)]) for at in range(0, len(reports), 10)],
    ]


def backfilled(since: float, until: float) -> Delivery:
    """What lies between comes later, in bundles of twenty, after all the rest."""

    def delivery(reports: Sequence[Report]) -> list[list[tuple[int, list[Report]]]]:
        kept = [each for each in reports if since <= each.t < until]
        live = [(0x0200, [each]) for each in reports if not since <= each.t < until]
        return [[*live, *((0x0704, kept[at : at + 20]) for at in range(0, len(kept), 20))]]

    return delivery


def interleaved(since: float, until: float) -> Delivery:
    """What lies between comes later, a bundle of five after each live report."""

    def delivery(reports: Sequence[Report]) -> list[list[tuple[int, list[Report]]]]:
        kept = [each for each in reports if since <= each.t < until]
        bundles = [(0x0704, kept[at : at + 5]) for at in range(0, len(kept), 5)]
        told: list[tuple[int, list[Report]]] = []
        for each in reports:
            if not since <= each.t < until:
                told.append((0x0200, [each]))
                if each.t >= until and bundles:
                    told.append(bundles.pop(0))
        return [told + bundles]

    return delivery


def shuffled(reports: Sequence[Report]) -> list[list[tuple[int, list[Report]]]]:
    """All in bundles, in no order whatever within some minutes."""
    rng = random.Random(5)
    order = sorted(reports, key=lambda each: each.t + rng.uniform(0, 200))
    return [[(0x0704, order[at : at + 15]) for at in range(0, len(order), 15)]]


def backwards(reports: Sequence[Report]) -> list[list[tuple[int, list[Report]]]]:
    """The newest first."""
    return in_order(list(reversed(reports)))


DELIVERIES = [
    Scene("doubles, in one packet and after a reconnect", [STRAIGHT], drive(*STRAYING), [STRAYED], doubled),
    Scene("doubles, live and stored, and twice in one message", [STRAIGHT], drive(*STRAYING), [STRAYED], doubled_in_bundles),
    Scene("ten minutes of silence, then backfill of a clean drive", [STRAIGHT], drive((0, 0), (6000, 0), Wait(600), sigma=6), [], backfilled(200, 800)),
    Scene("ten minutes of silence, then backfill with a deviation in it", [STRAIGHT], drive((0, 0), (500, 0), *stray(2000, 200, 600)[1:], Wait(600)), [STRAYED], backfilled(50, 650)),
    Scene("backfill that begins in the middle of it", [STRAIGHT], drive(*stray(2000, 200, 2500)), [Incident("deviation", 206, 486)], backfilled(300, 500)),
    Scene("backfill between live reports", [STRAIGHT], drive(*STRAYING), [STRAYED], interleaved(150, 400)),
    Scene("bundles in no order", [STRAIGHT], drive(*STRAYING), [STRAYED], shuffled),
    Scene("the newest first", [STRAIGHT], drive(*STRAYING), [STRAYED], backwards),
    Scene("backfill that shows one good point between two deviations", [STRAIGHT], drive((0, 0), (2000, 0), (2000, 70), (2700, 70), (2700, 0), (2800, 0), (2800, 70), (3400, 70), (3400, 0), (6000, 0)), [Incident("deviation", 206, 371)], backfilled(270, 310)),
]  # fmt: skip

NIGHT = timedelta(hours=13)
FENCES = [
    Scene("through a circle", [circle((3000, 0), 500)], drive(*CLEAN), [Incident("inside", 250, 350)]),
    Scene("through a circle, every 30 s", [circle((3000, 0), 500)], drive(*CLEAN, every=30), [Incident("inside", 250, 350)], every=30),
    Scene("through a circle, every second", [circle((3000, 0), 500)], drive(*CLEAN, every=1), [Incident("inside", 250, 350)], every=1),
    Scene("a parallel road at 80 m, after one kilometre on the right one, every 30 s", [STRAIGHT], drive((0, 0), (1000, 0), (1000, 80), (4000, 80), every=30), [Incident("deviation", 106, OPEN, level=1)], every=30),
    Scene("a parallel road at 80 m, with the terminus touched", [STRAIGHT], drive((0, 0), (0, 80), (5500, 80)), [Incident("deviation", 28, OPEN)]),
    Scene("standing 3 m outside a large circle", [circle((3000, 20000), 20003)], drive((2000, -200), (3000, -200), (3000, -6), Wait(300), (3000, -200), (6000, -200)), []),
    Scene("standing 5 m inside a large circle", [circle((3000, 20000), 20000)], drive((3000, -200), (3000, 5), Wait(300), (3000, -200), (6000, -200)), [Incident("inside", 20, 321)], every=20),
    Scene("through a polygon and its hole", [polygon(box(1000, -500, 5000, 500), box(2500, -200, 3500, 200))], drive(*CLEAN), [Incident("inside", 100, 250), Incident("inside", 350, 500)]),
    Scene("standing in the hole", [polygon(box(1000, -500, 5000, 500), box(2500, -200, 3500, 200))], drive((3000, 0), Wait(600, drift_m=5)), []),
    Scene("standing on the edge", [polygon(box(1000, 0, 5000, 500))], drive((0, -100), (3000, -100), (3000, 0), Wait(600), (3000, -100), (6000, -100)), [Incident("inside", 310, 910)]),
    Scene("a fence so small that no report lies in it", [circle((3150, 0), 60)], drive(*CLEAN, every=30), [Incident("inside", 309, 321)], every=5),
    Scene("a fence so small that no report lies in it, to stay outside, with noise", [circle((3150, 10), 70, stay="out")], drive(*CLEAN, every=30, sigma=4), [Incident("inside", 308, 322, level=2)], every=5),
    Scene("a small square between two reports", [polygon(box(3110, -40, 3190, 40))], drive(*CLEAN, every=30), [Incident("inside", 311, 319)], every=5),
    Scene("a small fence that the road only grazes", [circle((3150, 45), 60)], drive(*CLEAN, every=30), [], every=30),
    Scene("a small fence that the road goes round between two reports", [circle((3150, 0), 60)], drive((0, 0), (3010, 0), (3010, 75), (3290, 75), (3290, 0), (6000, 0), every=45), [], every=45),
    Scene("a small fence in a tunnel of 190 s", [circle((3150, 0), 60)], silent(drive(*CLEAN), 200, 390), []),
    Scene("two fences that overlap", [circle((2500, 0), 700, name="one"), circle((3500, 0), 700, name="two")], drive(*CLEAN), [Incident("inside", 180, 320), Incident("inside", 280, 420)]),
    Scene("weekdays 07 to 19, on a Monday at ten", [circle((3000, 0), 500, windows=[{"days": [0, 1, 2, 3, 4], "from": "07:00", "to": "19:00"}])], drive(*CLEAN), [Incident("inside", 250, 350)]),
    Scene("weekdays 07 to 19, on a Monday at 23", [circle((3000, 0), 500, windows=[{"days": [0, 1, 2, 3, 4], "from": "07:00", "to": "19:00"}])], drive(*CLEAN), [], at=lambda monday: monday + NIGHT),
    Scene("weekdays 07 to 19, on a Sunday at ten", [circle((3000, 0), 500, windows=[{"days": [0, 1, 2, 3, 4], "from": "07:00", "to": "19:00"}])], drive(*CLEAN), [], at=lambda monday: monday - timedelta(days=1)),
    Scene("weekdays 07 to 19, on a Monday at 06:55, in when it begins", [circle((3000, 0), 5000, windows=[{"days": [0, 1, 2, 3, 4], "from": "07:00", "to": "19:00"}])], drive(*CLEAN), [Incident("inside", 300, OPEN)], at=lambda monday: monday - timedelta(hours=3, minutes=5)),
    Scene("60 km/h where 40 are allowed", [circle((3000, 0), 1000, day_kmh=40, night_kmh=30)], drive((0, 0), Pace(16.6), (6000, 0)), [Incident("inside", 120, 241), Incident("overspeed_inside", 120, 241)]),
    Scene("36 km/h where 40 are allowed", [circle((3000, 0), 1000, day_kmh=40, night_kmh=30)], drive(*CLEAN), [Incident("inside", 200, 400)]),
    Scene("36 km/h where 30 are allowed at night", [circle((3000, 0), 1000, day_kmh=40, night_kmh=30)], drive(*CLEAN), [Incident("inside", 200, 400), Incident("overspeed_inside", 200, 400)], at=lambda monday: monday + NIGHT),
    Scene("60 km/h for 20 s where 40 are allowed", [circle((3000, 0), 1000, day_kmh=40)], drive((0, 0), (2500, 0), Pace(16.6), (2800, 0), Pace(10), (6000, 0)), [Incident("inside", 200, 391)]),
    Scene("to stay inside, with drift at the border", [polygon(box(-1000, -1000, 3000, 1000), stay="in")], drive((0, 0), (2990, 0), Wait(3600, drift_m=6), (0, 0)), []),
    Scene("to stay inside, and out for three minutes", [polygon(box(-1000, -1000, 3000, 1000), stay="in")], drive((0, 0), (3900, 0), (0, 0)), [Incident("outside", 303, 480)]),
    Scene("to stay outside, and in", [polygon(box(2000, -1000, 3000, 1000), stay="out")], drive(*CLEAN), [Incident("inside", 200, 300)]),
    Scene("dwelt", [circle((3000, 0), 200, dwell_s=300)], drive((0, 0), (3000, 0), Wait(600), (6000, 0)), [Incident("inside", 280, 920), Incident("dwelt", 280, 920)]),
    Scene("not long enough to dwell", [circle((3000, 0), 200, dwell_s=300)], drive((0, 0), (3000, 0), Wait(200), (6000, 0)), [Incident("inside", 280, 520)]),
    Scene("one noisy point in a fence", [circle((3000, 500), 200)], thrown(drive(*CLEAN), [300], 500), []),
    Scene("three points that agree, 500 m off, and the way back", [circle((3000, 500), 60)], thrown(drive(*CLEAN), [300], 500), []),
    Scene("a fence that is over", [circle((3000, 0), 500, valid_until="2020-01-01T00:00:00Z")], drive(*CLEAN), []),
    Scene("a line with width", [("fence", "LineString", [(3000, -1000), (3000, 1000)], {"name": "line", "width_m": 400})], drive(*CLEAN), [Incident("inside", 280, 320)]),
]  # fmt: skip

STOPS = [
    Scene("passed and stopped", [stop((1000, 10), name="passed"), stop((3000, 10), name="stopped")], drive((0, 0), (3000, 0), Wait(30), (6000, 0)), [Incident("stop_visit", 94, 106), Incident("stop_visit", 294, 336)]),
    Scene("passed between reports 30 s apart", [stop((1050, 10))], drive(*CLEAN, every=30), [Incident("stop_visit", 99, 111)]),
    Scene("not passed at 100 m", [stop((1000, 100))], drive(*CLEAN), []),
    Scene("not passed in a tunnel of 190 s", [stop((3000, 0))], silent(drive(*CLEAN), 200, 390), []),
    Scene("twice within ten minutes without leaving far is one", [stop((3000, 0))], drive((0, 0), (3100, 0), (2900, 0), (6000, 0)), [Incident("stop_visit", 294, 336)], every=40),
    Scene("twice, well apart, is two", [stop((3000, 0))], drive((0, 0), (4000, 0), (2000, 0), (6000, 0)), [Incident("stop_visit", 294, 306), Incident("stop_visit", 494, 506), Incident("stop_visit", 694, 706)]),
]  # fmt: skip

PLAIN: Final = [*ROADS, *DELIVERIES, *FENCES, *STOPS]
__all__ = ["PLAIN", "Incident", "Scene", "replace"]
