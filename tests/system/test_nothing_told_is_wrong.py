"""Whatever is killed, the events are what one quiet look at the stored fixes would have told."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.fleet import Fleet
from firmware_sim.gateway import running_gateway
from fix_db import rows
from fix_drives import judged
from fix_fleet import FAULTS, PLAN, TERMINALS, processes
from geofence.check import Atlas
from ingest.regime import Regime, regime_now
from ingest.settings import Settings
from protocols.jt808.fixes import with_alarms
from storage.fleet import FleetStore
from storage.rules import FIX_COLUMNS, fixes_of
from tracks.event import Kind
from tracks.fix import ABSENT

ASKED: dict[str, Any] = {"speed_kmh_max": 25, "parked_minutes_max": 2, "driving_day_minutes_max": 15, "rest_minutes_min": 3}
REPORTS = 100
PATIENCE_S = 120


def regime(url: str) -> Regime:
    async def load() -> Regime:
        store = FleetStore(url)
        try:
            return await regime_now(store, Settings(**ASKED))
        finally:
            await store.close()

    return asyncio.run(load())


@pytest.mark.slow
def test_when_workers_are_killed_incidents_are_those_of_the_stored_fixes(tmp_path: Path, database_url: str) -> None:
    fleet = Fleet(replace(PLAN, rates=FAULTS, reports_max=REPORTS), start=1_780_000_000)
    settings = {"database_url": database_url, "admission": "lenient", "workers": "2", **{name: str(each) for name, each in ASKED.items()}}
    with running_gateway(tmp_path, settings) as gateway:

        async def kill() -> None:
            for share in (1 / 3, 2 / 3):
                while rows(database_url, "SELECT count(*) FROM fixes")[0][0] < share * TERMINALS * REPORTS:
                    await asyncio.sleep(0.02)
                for pid in processes("ingest.worker", gateway.process.pid):
                    os.kill(pid, signal.SIGKILL)

        async def story() -> None:
            killing = asyncio.create_task(kill())
            await asyncio.wait_for(fleet.run(gateway.to), PATIENCE_S)
            await killing

        asyncio.run(story())
    fixes = fixes_of(rows(database_url, f"SELECT {FIX_COLUMNS} FROM fixes f ORDER BY f.time, f.digest"))
    expected = {
        (row["id"], Kind(row["kind"]).name.lower(), row["start_us"], None if row["end_us"] == ABSENT else row["end_us"])
        for row in judged([with_alarms(fixes)], Atlas(), regime(database_url).rules).incidents()
    }
    told = set(
        rows(
            database_url,
            "SELECT id, kind, (extract(epoch FROM started_at) * 1000000)::bigint, (extract(epoch FROM ended_at) * 1000000)::bigint"
            " FROM events WHERE withdrawn_at IS NULL",
        )
    )

    assert len({kind for _, kind, _, _ in expected}) > 2, "too little happens for the test to show anything"
    assert expected == told
