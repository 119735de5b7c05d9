"""What a bus has stored is heard only after hundreds of later reports: it is judged all the same, by whichever gateway runs then."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from firmware_sim.gateway import Gateway, running_gateway
from fix_bus import PHONES, Stage, differs, until
from fix_db import rows
from fix_fleet import processes
from fix_road import Place, Wait, drive
from scene_table import STRAIGHT, STRAYED, STRAYING
from storage.rules import STALE

pytestmark = [pytest.mark.timescale, pytest.mark.slow]
DROVE = drive(*STRAYING, Wait(800), every=2)
"""It is beside its road from 206 s to 296 s."""
STORED = [each for each in DROVE if 150 <= each.t < 400]
AT_ONCE = [each for each in DROVE if not 150 <= each.t < 400]


WAITING = "SELECT FROM fixes f JOIN terminals t ON t.id = f.terminal_id WHERE t.name = %s AND quality & %s <> 0"
BEGAN = (datetime.now(UTC) - timedelta(hours=2)).replace(microsecond=0)


@pytest.fixture(scope="module")
def phones(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, str]:
    """The bus whose gateway lives on, and the one whose gateway is killed at once after it has answered.

    The one has not looked yet; the next does, when the bus speaks again. Looking comes most of a minute later: both are waited for at once.
    """
    settings, folder = {"database_url": stage.url}, tmp_path_factory.mktemp("late")
    lives, dies = ((PHONES[stage.taken], stage.place(BEGAN)) for _ in range(2))
    for phone, place in (lives, dies):
        stage.shapes(place, [STRAIGHT], phone)
    with running_gateway(folder / "lives", settings) as gateway:
        drive_and_backfill(stage, gateway, *lives)
        with running_gateway(folder / "dies", settings) as other:
            drive_and_backfill(stage, other, *dies)
            for pid in [other.process.pid, *processes("", other.process.pid)]:
                os.kill(pid, signal.SIGKILL)
            other.process.wait(20)
        with running_gateway(folder / "dies", settings) as successor, stage.bus(successor, *dies) as bus:
            bus.drive(AT_ONCE[-1:])
            until(lambda: not any(rows(stage.url, WAITING, phone, STALE) for phone, _ in (lives, dies)))
    return {False: lives[0], True: dies[0]}


def drive_and_backfill(stage: Stage, gateway: Gateway, phone: str, place: Place) -> None:
    with stage.bus(gateway, phone, place) as bus:
        bus.drive(AT_ONCE[:-1])
        bus.backfill(STORED)
    assert rows(stage.url, WAITING, phone, STALE)
    assert stage.incidents(phone, BEGAN, "deviation") == []


@pytest.mark.parametrize("killed", [False, True])
def test_a_deviation_that_is_heard_of_much_later_is_found_and_is_no_alarm(stage: Stage, phones: dict[bool, str], *, killed: bool) -> None:
    assert not differs([STRAYED], stage.incidents(phones[killed], BEGAN), 4)
    told = "SELECT retrospective FROM events e JOIN terminals t ON t.id = e.terminal_id WHERE t.name = %s AND withdrawn_at IS NULL"
    assert rows(stage.url, told, phones[killed]) == [(True,)]
