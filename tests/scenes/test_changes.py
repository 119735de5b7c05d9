"""Shapes that come, go and change while buses are among them: a change holds from the next report on, and ends what it was about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from firmware_sim.gateway import Gateway
from fix_bus import PHONES, Shape, Stage, differs, in_force
from fix_db import rows
from fix_road import Report, drive, last_monday
from scene_table import OPEN, STRAIGHT, STRAYED, STRAYING, Incident, circle, road, stop, stray

pytestmark = pytest.mark.timescale
BEGAN = last_monday(datetime.now(UTC))
LONG = drive(*stray(2000, 200, 2000))
"""Aside from 206 s to 436 s."""
BESIDE = road((0, 200), (6000, 200), name="beside")


class Show:
    """One bus, and an operator who does something in between."""

    def __init__(self, stage: Stage, gateway: Gateway, number: int) -> None:
        self.stage, self.gateway, self.phone, self.place = stage, gateway, PHONES[number], stage.place(BEGAN)

    def play(self, reports: Sequence[Report], since: float, until: float) -> None:
        """What is reported between two moments."""
        with self.stage.bus(self.gateway, self.phone, self.place) as bus:
            bus.drive([each for each in reports if since <= each.t < until])

    def lay(self, *shapes: Shape) -> None:
        """Shapes come."""
        self.stage.shapes(self.place, shapes, self.phone)
        in_force(self.gateway, "shapes", self.stage.url)

    def lift(self) -> None:
        """All shapes of this bus go."""
        for table in ("fence", "corridor", "stop"):
            query = f"SELECT s.id FROM {table}s s JOIN terminals t ON t.id = ANY(s.terminals) WHERE t.name = %s"
            if ids := [str(number) for (number,) in rows(self.stage.url, query, self.phone)]:
                self.stage.command(table, "remove", *ids)
        in_force(self.gateway, "shapes", self.stage.url)

    def found(self) -> list[Incident]:
        return self.stage.incidents(self.phone, BEGAN)


@pytest.fixture
def show(stage: Stage, gateway: Gateway) -> Show:
    return Show(stage, gateway, stage.taken)


def test_a_corridor_that_comes_while_the_bus_drives_finds_what_happens_after_it(show: Show) -> None:
    drove = drive(*STRAYING)
    show.play(drove, 0, 150)
    show.lay(STRAIGHT)
    show.play(drove, 150, 700)

    assert not differs([STRAYED], show.found(), 10)


def test_a_corridor_that_goes_ends_the_deviation_from_it(show: Show) -> None:
    show.lay(STRAIGHT)
    show.play(LONG, 0, 300)
    assert not differs([Incident("deviation", 206, OPEN)], show.found(), 10)
    show.lift()
    show.play(LONG, 300, 800)

    assert not differs([Incident("deviation", 206, 300, ended="rule")], show.found(), 10)


def test_a_corridor_that_goes_takes_a_mere_suspicion_with_it(show: Show) -> None:
    show.lay(STRAIGHT)
    show.play(LONG, 0, 225)
    show.lift()
    show.play(LONG, 225, 800)

    assert show.found() == []


def test_a_road_that_is_moved_under_the_bus_ends_the_deviation_from_the_old_one(show: Show) -> None:
    show.lay(STRAIGHT)
    show.play(LONG, 0, 300)
    show.lift()
    show.lay(BESIDE)
    show.play(LONG, 300, 425)

    assert not differs([Incident("deviation", 206, 300)], show.found(), 10)
    show.play(LONG, 425, 700)
    assert not differs([Incident("deviation", 206, 300), Incident("deviation", 435, OPEN)], show.found(), 10), "now it has left the new one"


def test_another_road_beside_the_first_makes_the_bus_a_bus_of_that_one(show: Show) -> None:
    show.lay(STRAIGHT)
    show.play(LONG, 0, 300)
    show.lay(BESIDE)
    show.play(LONG, 300, 700)

    assert not differs([Incident("deviation", 206, 300)], show.found(), 20)


def test_a_fence_that_goes_ends_the_stay_in_it_and_one_that_comes_begins_it(show: Show) -> None:
    show.lay(circle((3000, 0), 1000, name="first"))
    drove = drive((0, 0), (6000, 0))
    show.play(drove, 0, 300)
    assert not differs([Incident("inside", 200, OPEN)], show.found(), 10)
    show.lift()
    show.play(drove, 300, 350)
    assert not differs([Incident("inside", 200, 300, ended="rule")], show.found(), 10)
    show.lay(circle((3000, 0), 1000, name="again", day_kmh=30))
    show.play(drove, 350, 700)

    again = [Incident("inside", 200, 300), Incident("inside", 350, 400), Incident("overspeed_inside", 350, 400)]
    assert not differs(again, show.found(), 10)


def test_a_stop_that_goes_while_the_bus_stands_there_ends_the_visit(show: Show) -> None:
    show.lay(stop((3000, 10)))
    drove = drive((0, 0), (6000, 0))
    show.play(drove, 0, 301)
    show.lift()
    show.play(drove, 301, 700)

    ((kind, start, end),) = [(each.kind, each.start, each.end) for each in show.found()]
    assert (kind, start) == ("stop_visit", pytest.approx(294, abs=1))
    assert end == pytest.approx(300, abs=11)
