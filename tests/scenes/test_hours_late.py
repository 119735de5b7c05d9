"""What a bus has stored is heard only after hundreds of later reports: it is judged all the same, by whichever gateway runs then."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firmware_sim.gateway import running_gateway
from fix_bus import PHONES, Stage, differs, until
from fix_db import rows
from fix_fleet import processes
from fix_road import Wait, drive
from scene_table import STRAIGHT, STRAYED, STRAYING
from storage.rules import STALE

pytestmark = [pytest.mark.timescale, pytest.mark.slow]
DROVE = drive(*STRAYING, Wait(800), every=2)
"""It is beside its road from 206 s to 296 s."""
STORED = [each for each in DROVE if 150 <= each.t < 400]
AT_ONCE = [each for each in DROVE if not 150 <= each.t < 400]


@pytest.mark.parametrize("killed", [False, True])
def test_a_deviation_that_is_heard_of_much_later_is_found_and_is_no_alarm(stage: Stage, tmp_path: Path, *, killed: bool) -> None:
    """Killed at once after it has answered, the gateway has not looked yet; the next one does, when the bus speaks again."""
    began = (datetime.now(UTC) - timedelta(hours=2)).replace(microsecond=0)
    place, phone = stage.place(began), PHONES[stage.taken]
    stage.shapes(place, [STRAIGHT], phone)
    waiting = "SELECT FROM fixes f JOIN terminals t ON t.id = f.terminal_id WHERE t.name = %s AND quality & %s <> 0"
    with running_gateway(tmp_path, {"database_url": stage.url}) as gateway:
        with stage.bus(gateway, phone, place) as bus:
            bus.drive(AT_ONCE[:-1])
            bus.backfill(STORED)
        assert stage.incidents(phone, began, "deviation") == []
        if killed:
            for pid in [gateway.process.pid, *processes("", gateway.process.pid)]:
                os.kill(pid, signal.SIGKILL)
            gateway.process.wait(20)
        else:
            until(lambda: not rows(stage.url, waiting, phone, STALE))
    if killed:
        with running_gateway(tmp_path, {"database_url": stage.url}) as gateway, stage.bus(gateway, phone, place) as bus:
            bus.drive(AT_ONCE[-1:])
            until(lambda: not rows(stage.url, waiting, phone, STALE))

    assert not differs([STRAYED], stage.incidents(phone, began), 4)
    told = "SELECT retrospective FROM events e JOIN terminals t ON t.id = e.terminal_id WHERE t.name = %s AND withdrawn_at IS NULL"
    assert rows(stage.url, told, phone) == [(True,)]
