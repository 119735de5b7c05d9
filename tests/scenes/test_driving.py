"""How vehicles are driven and which of them may run, over the wire: hours, speeds, rests, silence, papers, orders, terminals that move.

Expected from the rules as they are written down (regulator.md): more than 100 km/h for more than 30 s, several within a minute being one;
four hours by day and two by night without twenty minutes of rest; eight in 24 hours; coaches not from two to five, and at 80 % by night.
"""

# ruff: noqa: E501 - one scene, one line
from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from firmware_sim.gateway import Gateway, running_gateway
from fix_bus import PHONES, Stage, differs, in_force
from fix_db import rows
from fix_road import Pace, Wait, altered, drive, last_monday
from odd_scenes import at
from scene_table import OPEN, STRAIGHT, STRAYING, Incident, Scene, stray

pytestmark = pytest.mark.timescale
MONDAY = last_monday(datetime.now(UTC))
KINDS = ("overspeed", "fatigue", "day_driving", "night_coach", "parked", "offline", "terminal_alarm")
KMH: Final = 1 / 3.6
HOUR: Final = 3600

SPEEDS = [
    Scene("100 km/h exactly", [], drive((0, 0), Pace(100 * KMH), (10_000, 0)), []),
    Scene("101 km/h for 100 s", [], drive((0, 0), Pace(101 * KMH), (2806, 0), Pace(20), (6000, 0)), [Incident("overspeed", 0, 100)]),
    Scene("101 km/h for three minutes, every 60 s", [], drive((0, 0), Pace(101 * KMH), (5050, 0), Pace(20), (9000, 0), every=60), [Incident("overspeed", 0, 180)], every=60),
    Scene("120 km/h for 25 s", [], drive((0, 0), Pace(20), (1000, 0), Pace(120 * KMH), (1833, 0), Pace(20), (4000, 0), every=5), []),
    Scene("120 km/h twice within a minute is once", [], drive((0, 0), Pace(20), (1000, 0), Pace(120 * KMH), (2333, 0), Pace(20), (2933, 0), Pace(120 * KMH), (4267, 0), Pace(20), (7000, 0), every=5), [Incident("overspeed", 50, 160)], every=5),
    Scene("120 km/h twice, two minutes apart, is twice", [], drive((0, 0), Pace(20), (1000, 0), Pace(120 * KMH), (2333, 0), Pace(20), (4733, 0), Pace(120 * KMH), (6067, 0), Pace(20), (9000, 0), every=5), [Incident("overspeed", 50, 90), Incident("overspeed", 210, 250)], every=5),
    Scene("120 km/h for a minute and a half, twice, every 90 s", [], altered(drive((0, 0), (15_000, 0), every=90), (90, 180, 360, 450), speed_ms=120 * KMH), [Incident("overspeed", 90, 270), Incident("overspeed", 360, 540)], every=1),
    Scene("150 km/h that no engine explains", [], altered(drive((0, 0), (6000, 0), every=5), range(100, 150, 10), speed_ms=150 * KMH), [], every=5),
]  # fmt: skip

HOURS = [
    Scene("four hours and ten minutes, then a rest", [], drive((0, 0), (150_000, 0), Wait(1800), every=60), [Incident("fatigue", 4 * HOUR, 15_000 + 1200)], every=60),
    Scene("three hours and 59 minutes", [], drive((0, 0), (143_400, 0), Wait(1800), every=60), [], every=60),
    Scene("a quarter of an hour is no rest", [], drive((0, 0), (72_000, 0), Wait(900), (150_000, 0), Wait(1500), every=60), [Incident("fatigue", 4 * HOUR + 900, 15_900 + 1200)], every=60),
    Scene("three rests of a quarter of an hour are none", [], drive((0, 0), (40_000, 0), Wait(900), (80_000, 0), Wait(900), (120_000, 0), Wait(900), (150_000, 0), Wait(1500), every=60), [Incident("fatigue", 4 * HOUR + 2700, 17_700 + 1200)], every=60),
    *(Scene(f"20 minutes exactly are a rest, every {n} s", [], drive((0, 0), (72_000, 0), Wait(1200), (150_000, 0), Wait(60), every=n), [], every=n) for n in (10, 30)),
    Scene("19 minutes are none, every 30 s", [], drive((0, 0), (72_000, 0), Wait(1140), (150_000, 0), Wait(1500), every=30), [Incident("fatigue", 4 * HOUR + 1140, 16_140 + 1200)], every=30),
    Scene("21 minutes are a rest", [], drive((0, 0), (72_000, 0), Wait(1260), (150_000, 0), Wait(60), every=60), [], every=60),
    Scene("a rest while silent", [], [each for each in drive((0, 0), (72_000, 0), Wait(1500), (150_000, 0), Wait(60), every=60) if not 7260 <= each.t < 8640], [], every=60),
    Scene("two hours and ten minutes by night", [], drive((0, 0), (78_000, 0), Wait(1500), every=60), [Incident("fatigue", 2 * HOUR, 7800 + 1200)], every=60, at=at(hours=12)),
    Scene("two hours and ten minutes across midnight", [], drive((0, 0), (78_000, 0), Wait(1500), every=60), [Incident("fatigue", 2 * HOUR, 7800 + 1200)], every=60, at=at(hours=13)),
    Scene("three hours, half of them by night", [], drive((0, 0), (108_000, 0), Wait(1500), every=60), [], every=60, at=at(hours=10, minutes=30)),
    Scene("eight hours and 45 minutes with rests", [], drive((0, 0), (105_000, 0), Wait(1500), (210_000, 0), Wait(1500), (315_000, 0), Wait(60), every=60), [Incident("day_driving", 31_800, OPEN)], every=60, at=at(hours=-4)),
    Scene("a rural bus from two to three", [], drive((0, 0), (36_000, 0), Wait(60), every=60), [], every=60, at=at(hours=16)),
]  # fmt: skip

COACHES = [
    Scene("a coach from two to three", [], drive((0, 0), (36_000, 0), Wait(1500), every=60), [Incident("night_coach", 0, 3600 + 1200)], every=60, at=at(hours=16)),
    Scene("a coach from half past one on", [], drive((0, 0), (36_000, 0), Wait(1500), every=60), [Incident("night_coach", 1800, 3600 + 1200)], every=60, at=at(hours=15, minutes=30)),
    Scene("a coach until five and on", [], drive((0, 0), (18_000, 0), Wait(60), every=60), [Incident("night_coach", 0, 600)], every=60, at=at(hours=18, minutes=50)),
    Scene("a coach at 85 km/h by night", [], drive((0, 0), Pace(85 * KMH), (4722, 0), Pace(20), (8000, 0)), [Incident("overspeed", 0, 200)], at=at(hours=13)),
    Scene("a coach at 80 km/h by night", [], drive((0, 0), Pace(80 * KMH), (4722, 0), Pace(20), (8000, 0)), [], at=at(hours=13)),
    Scene("a coach at 85 km/h into the night", [], drive((0, 0), Pace(85 * KMH), (14_167, 0), Pace(20), (17_000, 0)), [Incident("overspeed", 300, 600)], at=at(hours=11, minutes=55)),
]  # fmt: skip

STANDING = [
    Scene("parked for a day and ten minutes", [], drive((0, 0), (600, 0), Wait(87_000, drift_m=8), (12_000, 0), every=120), [Incident("parked", 60, 87_060)], every=120),
    Scene("parked for a day and ten minutes, heard every half hour", [], drive((0, 0), Wait(87_000), (72_000, 0), every=1800), [Incident("parked", 0, 87_000)], every=1800),
    Scene("parked for 23 hours", [], drive((0, 0), (600, 0), Wait(82_800), (1200, 0), every=120), [], every=120),
    Scene("silent for 25 hours", [], [each for each in drive((0, 0), (600, 0), Wait(90_000), (1200, 0), every=60) if not 60 < each.t < 90_060], [Incident("offline", 60, 90_060)], every=60),
    Scene("silent for 23 hours", [], [each for each in drive((0, 0), (600, 0), Wait(82_800), (1200, 0), every=60) if not 60 < each.t < 82_860], [], every=60),
    Scene("an emergency that is pressed for half a minute", [], altered(drive((0, 0), (6000, 0)), (200, 210, 220), alarm=1), [Incident("terminal_alarm", 200, 230, level=3)]),
    Scene("two alarms that overlap", [], altered(altered(drive((0, 0), (6000, 0)), (200, 210), alarm=1), (220, 230), alarm=1 | 4), [Incident("terminal_alarm", 200, 240, level=3), Incident("terminal_alarm", 220, 240, level=2)]),
    Scene("an alarm that flickers", [], altered(drive((0, 0), (6000, 0)), (200, 220, 240, 280, 320), alarm=1 << 8), [Incident("terminal_alarm", 200, 330)]),
    Scene("an alarm that flickers, in no order", [], sorted(altered(drive((0, 0), (6000, 0)), (200, 220, 240, 280, 320), alarm=1 << 8), key=lambda each: each.t % 70), [Incident("terminal_alarm", 200, 330)]),
    Scene("an alarm again after 70 s", [], altered(drive((0, 0), (6000, 0)), (200, 210, 290), alarm=2), [Incident("terminal_alarm", 200, 220), Incident("terminal_alarm", 290, 300)]),
    Scene("an alarm again after ten minutes of silence", [], [each for each in altered(drive((0, 0), (12_000, 0)), (200, 210, 900), alarm=2) if not 220 < each.t < 900], [Incident("terminal_alarm", 200, 220), Incident("terminal_alarm", 900, 910)]),
    Scene("an alarm that lasts through ten minutes of silence", [], [each for each in altered(drive((0, 0), (12_000, 0)), (200, 210, 900), alarm=2) if not 210 < each.t < 900], [Incident("terminal_alarm", 200, 910)]),
    Scene("an alarm without a position", [], altered(drive((0, 0), (6000, 0)), (200, 210), alarm=1, status=1), [Incident("terminal_alarm", 200, 220, level=3)]),
]  # fmt: skip

SCENES = [*SPEEDS, *HOURS, *COACHES, *STANDING]
PAPERED = "annual_review_missing, annual_review_overdue, suspended"


def phone(number: int) -> str:
    return f"137{number:08d}"


@pytest.fixture(scope="module")
def gateway(stage: Stage) -> Iterator[Gateway]:
    settings = {"database_url": stage.url, "log_format": "json", "compliance_requires": PAPERED}
    stage.terminals([phone(number) for number in range(len(SCENES))])
    for number, scene in enumerate(SCENES):
        if scene in COACHES:
            stage.sheet(plate=f"川A9{number:04d}", plate_colour="黄", terminal=phone(number), **{"class": "班线客运"}, review_until="长期")
    with running_gateway(stage.folder / "gateway", settings) as running:
        yield running


@pytest.fixture(scope="module")
def found(stage: Stage, gateway: Gateway) -> dict[str, list[Incident]]:
    for number, scene in enumerate(SCENES):
        with stage.bus(gateway, phone(number), stage.place(scene.at(MONDAY))) as bus:
            bus.backfill(scene.drive)
    return {scene.name: stage.incidents(phone(number), scene.at(MONDAY), *KINDS) for number, scene in enumerate(SCENES)}


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_exactly_what_was_planted_is_found(scene: Scene, found: dict[str, list[Incident]]) -> None:
    assert not differs(scene.expected, found[scene.name], scene.every)


def verdicts(stage: Stage, number: str, *kinds: str) -> list[tuple[Any, ...]]:
    query = "SELECT kind, record_only, v.plate FROM events e JOIN terminals t ON t.id = terminal_id LEFT JOIN vehicles v ON v.id = e.vehicle_id WHERE t.name = %s AND withdrawn_at IS NULL AND kind = ANY(%s) ORDER BY started_at"
    return rows(stage.url, query, number, list(kinds))


def test_a_paper_that_ends_on_the_way_makes_the_rest_of_the_way_a_running_without_it(stage: Stage, gateway: Gateway) -> None:
    """What began before midnight was an alarm; what begins after is for the record, and the running itself is none."""
    began = MONDAY + timedelta(hours=13, minutes=55)
    place, number = stage.place(began), PHONES[0]
    stage.sheet(plate="川A80001", plate_colour="黄", terminal=number, review_until=f"{MONDAY:%Y-%m-%d}")
    stage.shapes(place, [STRAIGHT], number)
    in_force(gateway, "shapes", stage.url)
    in_force(gateway, "vehicles", stage.url)
    with stage.bus(gateway, number, place) as bus:
        bus.drive(drive((0, 0), (1000, 0), (1000, 200), (1600, 200), (1600, 0), *stray(2900, 200, 700)[1:]))

    ((running,),) = [[each for each in stage.incidents(number, began) if each.kind == "non_compliant_running"]]
    assert not differs([Incident("non_compliant_running", 300, OPEN)], [running], 10)
    assert verdicts(stage, number, "deviation", "non_compliant_running") == [
        ("deviation", False, "川A80001"),
        ("non_compliant_running", False, "川A80001"),
        ("deviation", True, "川A80001"),
    ]


def test_a_vehicle_that_is_suspended_on_the_way_and_drives_on_is_found_running(stage: Stage, gateway: Gateway) -> None:
    number = PHONES[1]
    stage.sheet(plate="川A80002", plate_colour="黄", terminal=number, review_until="长期")
    rows(
        stage.url,
        "INSERT INTO onboarding (vehicle_id, action, state, by) SELECT id, 'activate', 'active', 'officer' FROM vehicles WHERE plate = '川A80002' RETURNING 1",
    )
    in_force(gateway, "vehicles", stage.url)
    began = (datetime.now(UTC) - timedelta(seconds=300)).replace(microsecond=0)
    place = stage.place(began)
    drove = drive((0, 0), Pace(20), (20_000, 0), every=5)
    with stage.bus(gateway, number, place) as bus:
        bus.drive(each for each in drove if each.t <= 300)
        assert stage.incidents(number, began) == []
        stage.command("vehicle", "suspend", "川A80002", "--by", "officer", "--reason", "accident")
        in_force(gateway, "vehicles", stage.url)
        ordered = (datetime.now(UTC) - began).total_seconds()
        bus.drive(each for each in drove if 300 < each.t < ordered + 60)

    assert not differs([Incident("non_compliant_running", ordered, OPEN, level=3)], stage.incidents(number, began), 10)


def test_the_terminals_own_alarm_and_what_the_platform_finds_are_one(stage: Stage, gateway: Gateway) -> None:
    """Bit 23, route deviation (deviation.md: merged within 120 s)."""
    place, number = stage.place(MONDAY), PHONES[2]
    stage.shapes(place, [STRAIGHT], number)
    in_force(gateway, "shapes", stage.url)
    with stage.bus(gateway, number, place) as bus:
        bus.drive(altered(drive(*STRAYING), range(220, 300, 10), alarm=1 << 23))

    assert [("deviation", "terminal_alarm")] == rows(
        stage.url,
        "SELECT least(a.kind, b.kind), greatest(a.kind, b.kind) FROM events a JOIN events b ON b.id = a.same_as JOIN terminals t ON t.id = a.terminal_id WHERE t.name = %s",
        number,
    )


def test_a_vehicle_keeps_its_history_when_its_terminals_change_in_turn(stage: Stage, gateway: Gateway) -> None:
    """Two terminals alternate in one vehicle; the first goes on to another over the link that it has."""
    one, two = PHONES[3:5]
    stage.command("terminal", "add", one, "--plate", "川A80003", "--colour", "黄")
    began = (datetime.now(UTC) - timedelta(seconds=900)).replace(microsecond=0)
    place = stage.place(began)
    drove = drive((0, 0), Pace(12), (20_000, 0), every=10)
    with stage.bus(gateway, one, place) as bus:
        bus.drive(drove[:30])
        stage.command("terminal", "release", one)
        stage.command("terminal", "add", two, "--plate", "川A80003", "--colour", "黄")
        in_force(gateway, "vehicles", stage.url)
        with stage.bus(gateway, two, place) as other:
            other.drive(drove[30:60])
        stage.command("terminal", "release", two)
        stage.command("terminal", "add", one, "--plate", "川A80004", "--colour", "黄")
        in_force(gateway, "vehicles", stage.url)
        bus.drive(drove[60:80])

    told = rows(
        stage.url,
        "SELECT t.name, v.plate, count(*) FROM fixes f JOIN terminals t ON t.id = terminal_id LEFT JOIN vehicles v ON v.id = f.vehicle_id WHERE t.name = ANY(%s) GROUP BY 1, 2 ORDER BY 1, 2",
        [one, two],
    )
    assert told == [(one, "川A80003", 30), (one, "川A80004", 20), (two, "川A80003", 30)]
