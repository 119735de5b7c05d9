"""Whatever stops in the middle: the gateway drained or killed, a terminal that goes from worker to worker and from gateway to gateway."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_sim.gateway import running_gateway
from fix_bus import PHONES, Stage, differs
from fix_fleet import processes
from fix_road import Report, Wait, drive, last_monday
from scene_table import STRAIGHT, STRAYED, STRAYING, Incident, circle, stop

pytestmark = [pytest.mark.timescale, pytest.mark.slow]
BEGAN = last_monday(datetime.now(UTC))
SHAPES = (STRAIGHT, circle((2300, 0), 500), stop((4500, 10)))
FOUND = [STRAYED, Incident("inside", 180, 320), Incident("stop_visit", 484, 496)]
"""Of STRAYING: it goes 400 m further than along the road, so the places behind come 40 s later."""


RESTED = drive((0, 0), (15_000, 0), Wait(1300), (30_000, 0), Wait(60), every=30)
"""Half an hour of driving is allowed here, and twenty minutes are a rest."""
PARTINGS = (215.0, 250.0, 290.0, 485.0)
MIDST_OF_REST = 2100.0


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGKILL])
def test_a_gateway_that_stops_in_the_middle_changes_nothing(stage: Stage, tmp_path: Path, ends: signal.Signals) -> None:
    """SIGTERM drains; SIGKILL ends the whole tree at once, and the last reports are sent again. Each bus is in the middle of something."""
    buses = [(PHONES[stage.taken], stage.place(BEGAN), drive(*STRAYING), parting) for parting in PARTINGS]
    for phone, place, *_ in buses:
        stage.shapes(place, SHAPES, phone)
    resting = (PHONES[stage.taken], stage.place(BEGAN), RESTED, MIDST_OF_REST)
    for part in range(2):
        with running_gateway(tmp_path, {"database_url": stage.url, "driving_day_minutes_max": "30"}) as gateway:
            for phone, place, drove, parting in (*buses, resting):
                with stage.bus(gateway, phone, place) as bus:
                    bus.drive(each for each in drove if (each.t >= parting - 30 if part else each.t < parting))
            if ends is signal.SIGKILL:
                for pid in [gateway.process.pid, *processes("", gateway.process.pid)]:
                    os.kill(pid, signal.SIGKILL)
                gateway.process.wait(20)

    for phone, *_ in buses:
        assert not differs(FOUND, stage.incidents(phone, BEGAN), 10)
    assert stage.incidents(resting[0], BEGAN) == []


def test_a_terminal_that_comes_to_another_worker_every_minute_has_one_history(stage: Stage, tmp_path: Path) -> None:
    """Four workers on one port: each connection is anybody's."""
    place, phone = stage.place(BEGAN), PHONES[stage.taken]
    stage.shapes(place, SHAPES, phone)
    with running_gateway(tmp_path, {"database_url": stage.url, "workers": "4"}) as gateway:
        for some in pieces(drive(*STRAYING), 6):
            with stage.bus(gateway, phone, place) as bus:
                bus.drive(some)

    assert not differs(FOUND, stage.incidents(phone, BEGAN), 10)


def test_two_gateways_on_one_database_are_one_to_a_terminal_that_uses_both(stage: Stage, tmp_path: Path) -> None:
    """Links of before stay open, and some of what is said over them is not heard before the next."""
    place, phone = stage.place(BEGAN), PHONES[stage.taken]
    stage.shapes(place, SHAPES, phone)
    with (
        running_gateway(tmp_path / "one", {"database_url": stage.url}) as one,
        running_gateway(tmp_path / "two", {"database_url": stage.url}) as two,
    ):
        for number, some in enumerate(pieces(drive(*STRAYING), 6)):
            with stage.bus((one, two)[number % 2], phone, place) as bus:
                bus.drive(some[:-1])
                bus.send(some[-1:])
                with stage.bus((two, one)[number % 2], phone, place) as other:
                    other.drive(some[-2:])

    assert not differs(FOUND, stage.incidents(phone, BEGAN), 10)


def pieces(reports: list[Report], size: int) -> list[list[Report]]:
    return [reports[at : at + size] for at in range(0, len(reports), size)]
