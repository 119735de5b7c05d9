"""The promise: whatever is killed, every answered report is in the table exactly once.

The real tree runs as processes; a seeded fleet reports as fast as it is answered, over links with faults; meanwhile workers, the
database or the supervisor are killed with SIGKILL. In the end the terminals' own ledger is compared with the table.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from firmware_sim.fleet import Fleet
from firmware_sim.gateway import Gateway, running_gateway
from fix_db import rows
from fix_fleet import FAULTS, PLAN, REPORTS, TERMINALS, processes, verify
from storage.embedded import Embedded

PATIENCE_S = 120


async def drive(fleet: Fleet, gateway: Gateway, kill: Callable[[], None], stored: Callable[[], int]) -> None:
    """Run the fleet, and kill once a third, and once two thirds, of the reports are stored."""

    async def killer() -> None:
        for share in (1 / 3, 2 / 3):
            while stored() < share * TERMINALS * REPORTS:
                await asyncio.sleep(0.02)
            await asyncio.to_thread(kill)

    killing = asyncio.ensure_future(killer())
    await asyncio.wait_for(fleet.run(gateway.to), PATIENCE_S)
    killing.cancel()


@contextmanager
def tree(folder: Path, url: str, workers: int) -> Iterator[Gateway]:
    """The whole tree on a database of its own."""
    settings = {"database_url": url, "admission": "lenient", "workers": str(workers), "log_level": "info"}
    with running_gateway(folder, settings) as gateway:
        yield gateway


def counter(url: str) -> Callable[[], int]:
    """How many fixes are stored; -1 while the database is away."""

    def count() -> int:
        try:
            return int(rows(url, "SELECT count(*) FROM fixes")[0][0])
        except psycopg.Error:
            return -1

    return count


@pytest.mark.slow
def test_when_workers_are_killed(tmp_path: Path, store_url: str) -> None:
    fleet = Fleet(PLAN, start=1_780_000_000)
    with tree(tmp_path, store_url, workers=2) as gateway:

        def kill() -> None:
            for pid in processes("ingest.worker", gateway.process.pid):
                os.kill(pid, signal.SIGKILL)

        asyncio.run(drive(fleet, gateway, kill, counter(store_url)))
        assert gateway.log.read_text().count("child died") == 4
    verify(fleet, store_url)


@pytest.mark.slow
def test_when_links_are_bad_and_workers_are_killed(tmp_path: Path, database_url: str) -> None:
    fleet = Fleet(replace(PLAN, rates=FAULTS), start=1_780_000_000)
    with tree(tmp_path, database_url, workers=1) as gateway:

        def kill() -> None:
            for pid in processes("ingest.worker", gateway.process.pid):
                os.kill(pid, signal.SIGKILL)

        asyncio.run(drive(fleet, gateway, kill, counter(database_url)))
    verify(fleet, database_url)


@pytest.mark.slow
def test_when_the_database_is_killed(tmp_path: Path) -> None:
    server = Embedded(tmp_path / "data")
    url = server.start()
    fleet = Fleet(PLAN, start=1_780_000_000)
    try:
        with tree(tmp_path / "gateway", url, workers=2) as gateway:

            def kill() -> None:
                nonlocal server
                pid = int((server.cluster / "postmaster.pid").read_text().split()[0])
                os.killpg(os.getpgid(pid), signal.SIGKILL) if os.getpgid(pid) == pid else os.kill(pid, signal.SIGKILL)
                time.sleep(1)  # an outage that batches must wait out
                server.stop()
                server = Embedded(tmp_path / "data")
                assert server.start() == url

            asyncio.run(drive(fleet, gateway, kill, counter(url)))
            log = gateway.log.read_text()
            assert "database away" in log
            assert "database back" in log
            assert "child died" not in log
        verify(fleet, url)
    finally:
        server.stop()


@pytest.mark.slow
def test_when_the_supervisor_is_killed_its_workers_drain_and_leave(tmp_path: Path, database_url: str) -> None:
    fleet = Fleet(PLAN, start=1_780_000_000)
    with tree(tmp_path, database_url, workers=2) as gateway:
        workers = processes("ingest.worker", gateway.process.pid)
        assert len(workers) == 2

        async def story() -> None:
            driving = asyncio.ensure_future(fleet.run(gateway.to))
            count = counter(database_url)
            while count() < TERMINALS * REPORTS / 3:
                await asyncio.sleep(0.02)
            gateway.process.kill()
            deadline = time.monotonic() + 30
            while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            driving.cancel()
            await asyncio.wait([driving])

        asyncio.run(story())
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    answered = set().union(*(each.acknowledged for each in fleet.terminals))
    assert answered
    assert answered <= {bytes(raw) for (raw,) in rows(database_url, "SELECT raw FROM fixes")}


def test_sigterm_drains_and_ends_with_status_zero(tmp_path: Path, database_url: str) -> None:
    fleet = Fleet(PLAN, start=1_780_000_000)
    with tree(tmp_path, database_url, workers=1) as gateway:

        async def story() -> None:
            driving = asyncio.ensure_future(fleet.run(gateway.to))
            count = counter(database_url)
            while count() < TERMINALS * REPORTS / 10:
                await asyncio.sleep(0.02)
            assert await asyncio.to_thread(gateway.stop) == 0
            driving.cancel()
            await asyncio.wait([driving])

        asyncio.run(story())
        assert '"drained"' in gateway.log.read_text()
    answered = set().union(*(each.acknowledged for each in fleet.terminals))
    assert answered <= {bytes(raw) for (raw,) in rows(database_url, "SELECT raw FROM fixes")}
