"""The demo's world at a real gateway: what is found is what the buses did."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from compliance.vehicles import Reason, Standings, compliant
from dubhe.papers import ANOTHER, OFFICER, UNINSURED
from dubhe.scene import Strays, compare, enter, names, place, rested
from firmware_sim.fleet import Fleet, Plan, identity
from firmware_sim.gateway import running_gateway
from firmware_sim.roads import DATA, line_71
from firmware_sim.runs import Run
from firmware_sim.truth import Spell, calls, spells, strays, within
from fix_db import rows
from storage.dossier import vehicle_list
from storage.enrol import add_terminal
from storage.geometry import list_shapes
from storage.incidents import Incident, counted, incidents
from tracks.event import Kind

PLAN = Plan(terminals=8, straying=4, departing=2, seed=71, reports_max=100, speed=0)
ROADS = [replace(road, tunnels_m=()) for road in line_71()]
"""In a tunnel nobody can tell when a bus came to a stop."""
TERMINI = {stop.name for road in ROADS for stop in (road.stops[0], road.stops[-1])}
"""Where a bus stands long and turns round: the call at one line's last stop runs into the one at the other's first."""
FENCES = {
    each["properties"]["name"]: within(each["geometry"]["coordinates"][0])
    for each in json.loads((DATA / "shanghai_71_fences.geojson").read_text("utf-8"))["features"]
}
PLACED = {Kind.DEVIATION, Kind.STOP_VISIT, Kind.INSIDE}
MARGIN_S = 6
"""How long a bus may take from the edge of a shape over its margin, beyond which it is outside for certain."""


class Did(NamedTuple):
    """What a bus did, or what was found of it."""

    terminal: str
    kind: Kind
    where: str
    spell: Spell


def did(terminal: str, runs: Sequence[Run], since: int) -> Iterator[Did]:
    for run in runs:
        yield from (Did(terminal, Kind.DEVIATION, run.road.name, spell) for spell in strays(run, since=since))
        yield from (Did(terminal, Kind.STOP_VISIT, stop.name, spell) for stop, spell in calls(run, since=since) if stop.name not in TERMINI)
    for name, inside in FENCES.items():
        stays = [spell for run in runs for spell in spells(run, inside, since=since)]
        yield from (Did(terminal, Kind.INSIDE, name, spell) for spell in joined(stays))


def joined(stays: Sequence[Spell]) -> Iterator[Spell]:
    """A stay that goes on in the next run is one."""
    for number, stay in enumerate(stays):
        if number and stay.start - stays[number - 1].stop < 60:
            continue
        yield Spell(stay.start, stays[number + 1].stop if stays[number + 1 :] and stays[number + 1].start - stay.stop < 60 else stay.stop)


def found_of(incident: Incident, places: dict[tuple[str, int], str]) -> Did:
    end = incident.ended_at.timestamp() if incident.ended_at else float("inf")
    return Did(incident.terminal, incident.kind, place(incident, places), Spell(incident.started_at.timestamp(), end))


def test_what_is_found_on_line_71_is_what_the_buses_did(database_url: str, tmp_path: Path) -> None:
    places = enter(database_url, PLAN)
    start = int(time.time()) - 3_600
    with running_gateway(tmp_path, {"database_url": database_url, "admission": "lenient"}) as gateway:
        fleet = Fleet(PLAN, start=start, roads=ROADS)
        asyncio.run(fleet.run(gateway.to, seconds=60))
    told_of = incidents(database_url, datetime.fromtimestamp(start, UTC), names(PLAN))
    found = [each for each in (found_of(incident, places) for incident in told_of if incident.kind in PLACED) if each.where not in TERMINI]

    missed, kinds = [], []
    for terminal, runs in zip(fleet.terminals, fleet.runs, strict=True):
        interval_s = max(run.interval_s for run in runs)
        first_s = next(runs[0].start + second for second in runs[0].reports if runs[0].start + second >= start)
        for each in did(terminal.identity.name, runs, start):
            near = [other for other in found if other[:3] == each[:3] and together(other.spell, each.spell, interval_s)]
            seen = first_s < each.spell.start and each.spell.stop + 4 * interval_s < terminal.last_fix.time
            if seen and not (len(near) == 1 and within_an_interval(near[0].spell, each.spell, interval_s)):
                missed.append((each, near, interval_s))
            kinds += [each.kind] * seen
            found = [other for other in found if other not in near]

    assert fleet.finished
    assert [] == missed
    assert [] == found
    assert PLACED == set(kinds)
    held = compare(fleet, told_of)
    assert held.planned >= 4
    assert Strays(held.planned, held.planned, 0) == held
    assert {"entered", "left", "strayed", "returned", "arrived", "departed", "non_compliant_running"} == set(counted(told_of))
    uninsured = fleet.terminals[UNINSURED].identity.name
    assert {Kind.NON_COMPLIANT_RUNNING} == {each.kind for each in told_of if each.reasons and not each.record_only}
    assert {uninsured} == {each.terminal for each in told_of if each.reasons}
    assert {Reason.CARRIER_INSURANCE_EXPIRED} == {each.reasons for each in told_of if each.terminal == uninsured}


def together(one: Spell, other: Spell, slack_s: float) -> bool:
    return one.start - slack_s <= other.stop and other.start - slack_s <= one.stop


def within_an_interval(one: Spell, other: Spell, interval_s: float) -> bool:
    return max(abs(one.start - other.start), abs(one.stop - other.stop)) <= interval_s + MARGIN_S


def test_the_scene_entered_again_is_there_once(database_url: str) -> None:
    first = enter(database_url, PLAN)

    assert first == enter(database_url, PLAN)
    assert [2, 49, 2] == [len(list_shapes(database_url, table)) for table in ("corridors", "stops", "fences")]


def test_buses_are_led_into_service_by_two_officers_and_all_but_one_may_run(database_url: str) -> None:
    enter(database_url, PLAN)
    vehicles, papers = vehicle_list(database_url)
    now_us = np.full(len(vehicles), time.time_ns() // 1_000)
    reasons = compliant(Standings.of(papers), np.array([each.id for each in vehicles]), now_us)

    assert {"active"} == {each.state for each in vehicles}
    assert [Reason.CARRIER_INSURANCE_EXPIRED if number == UNINSURED else 0 for number in range(PLAN.terminals)] == reasons.tolist()
    steps = rows(database_url, "SELECT action, by FROM onboarding WHERE vehicle_id = %s ORDER BY id", vehicles[0].id)
    assert [("enter", OFFICER), ("submit", OFFICER), ("pass", "dubhe"), ("approve", ANOTHER), ("activate", "dubhe")] == steps
    assert rows(
        database_url,
        "SELECT count(*) FROM onboarding o JOIN bindings b USING (vehicle_id) WHERE greatest(at, bound_at) > now() - interval '20 days'",
    ) == [(0,)]


def test_buses_of_an_older_version_get_papers_and_the_same_twice_changes_nothing(database_url: str) -> None:
    bus = identity(PLAN, 0)
    add_terminal(database_url, bus.name, plate=bus.plate, plate_colour=str(bus.plate_colour))
    enter(database_url, PLAN)
    held = "SELECT (SELECT count(*) FROM papers), (SELECT count(*) FROM onboarding), (SELECT count(*) FROM audit)"
    first = rows(database_url, held)
    enter(database_url, PLAN)

    assert first == rows(database_url, held)
    assert [("active",)] == rows(database_url, "SELECT DISTINCT state FROM vehicles")


def test_a_larger_fleet_takes_the_shapes_over(database_url: str) -> None:
    enter(database_url, PLAN)
    enter(database_url, replace(PLAN, terminals=9))

    assert {9} == {len(row.terminals or ()) for table in ("corridors", "stops", "fences") for row in list_shapes(database_url, table)}
    assert 2 == len(list_shapes(database_url, "corridors"))


def test_buses_that_have_just_driven_are_not_found_elsewhere(database_url: str, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert PLAN == rested(database_url, PLAN, now)

    with running_gateway(tmp_path, {"database_url": database_url, "admission": "lenient"}) as gateway:
        asyncio.run(Fleet(replace(PLAN, reports_max=1), start=int(now.timestamp())).run(gateway.to, seconds=60))
    others = rested(database_url, PLAN, now)

    assert not set(names(PLAN)) & set(names(others))
    assert PLAN == rested(database_url, PLAN, now + timedelta(hours=1))


WITHOUT_A_BROKER = "import sys, dubhe.demo as demo; demo.mosquitto = lambda: None; sys.exit(demo.run(seconds=0, terminals=20, seed=71))"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "window closed"])
def test_ctrl_c_or_a_closed_window_ends_a_demo_without_a_broker_with_its_summary(bare_place: Path, how: signal.Signals) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DUBHE_")} | {"DUBHE_DATA_DIR": str(bare_place)}
    command = [sys.executable, "-c", WITHOUT_A_BROKER]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        assert demo.stderr is not None
        said = list(takewhile(lambda line: "entered" not in line, demo.stderr))
        os.killpg(demo.pid, how)
        out, more = demo.communicate(timeout=60)
    summary = json.loads(out.splitlines()[-1])

    assert 0 == demo.returncode, more
    assert any("no Mosquitto here" in line for line in said)
    assert 0 < summary["sent"] == summary["answered"] == summary["stored"]
    assert 0 == summary["mqtt"]["terminals"]
    assert summary["events"]["entered"]


def left_over(place: Path) -> list[str]:
    """The processes that work in a data directory, or were told of it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + os.fsencode((process / "cwd").readlink())
            if os.fsencode(place) in told:
                found.append((process / "cmdline").read_text())
        except OSError:  # it has ended meanwhile
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP], ids=["terminated", "window closed"])
@pytest.mark.parametrize("moment", ["postgres.new", "postgres/postmaster.pid", "demo/serve.log"])
def test_a_demo_that_is_ended_while_it_starts_leaves_nothing_behind(bare_place: Path, how: signal.Signals, moment: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DUBHE_")} | {"DUBHE_DATA_DIR": str(bare_place)}
    with subprocess.Popen(
        [sys.executable, "-m", "dubhe", "demo"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as demo:
        while demo.poll() is None and not (bare_place / moment).exists():
            time.sleep(0.01)
        demo.send_signal(how)
        demo.send_signal(how)
        _, said = demo.communicate(timeout=60)

    assert 128 + how == demo.returncode, said
    assert [] == left_over(bare_place)
