"""Silence that lasts: told by one sweeper of all workers, ended by the terminal's return, withdrawn by what it had stored."""

from __future__ import annotations

from typing import Any

from fix_db import rows
from fix_worker import batch, play, stored, until, worker
from ingest.worker import Worker
from test_rules import at, drive, registered, through

START_US = 1_795_478_400_000_000
"""2026-11-24 08:00 in China: second 0 of a report."""
SILENT = "SELECT started_at::text, opened_at::text, ended, withdrawn_at IS NULL FROM events WHERE kind = 'offline'"
LASTS = [("2026-11-24 00:00:30+00", "2026-11-24 00:10:30+00", None, True)]
LEASES = """
SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
WHERE datname = current_database() AND locktype = 'advisory' AND objsubid = 1
"""
"""Locks with one key: those of workers that live have two."""
ASKED: dict[str, Any] = {"offline_minutes_max": 10}


async def sweep(worker: Worker, second: float) -> None:
    worker.sweeper._now_us = lambda: START_US + int(second * 1e6)
    await worker.sweeper.sweep()


def test_silence_is_told_when_its_time_is_out_and_ended_by_the_return(database_url: str) -> None:
    async def story() -> None:
        code = registered(database_url)
        async with worker(database_url, **ASKED) as (running, port):
            terminal = await drive(port, code, through(0, 4))
            await sweep(running, 629)
            assert rows(database_url, SILENT) == []
            for second in (631, 661, 7_000):
                await sweep(running, second)
                assert rows(database_url, SILENT) == LASTS
            assert await terminal.result(0x0200, at(90, 0)) == 0
            assert rows(database_url, SILENT) == [("2026-11-24 00:00:30+00", "2026-11-24 00:15:00+00", "returned", True)]
            await sweep(running, 7_100)
            assert rows(database_url, "SELECT count(*) FROM events WHERE kind = 'offline'") == [(2,)]
            assert rows(database_url, f"{SILENT} AND ended_at IS NULL") == [
                ("2026-11-24 00:15:00+00", "2026-11-24 00:25:00+00", None, True)
            ]

    play(story())


def test_the_return_through_another_worker_after_a_restart_ends_it_too(database_url: str) -> None:
    async def story() -> None:
        code = registered(database_url)
        async with worker(database_url, "w1", **ASKED) as (one, port), worker(database_url, "w2", **ASKED) as (other, second):
            await drive(port, code, through(0, 4))
            await sweep(one, 700)
            await sweep(other, 730)
            assert rows(database_url, SILENT) == LASTS
            await drive(second, code, [at(90, 0)])
            assert rows(database_url, SILENT) == [("2026-11-24 00:00:30+00", "2026-11-24 00:15:00+00", "returned", True)]
        async with worker(database_url, "w3", **ASKED) as (_, port):
            await drive(port, code, [at(91, 0)])
        assert [row[2] for row in rows(database_url, SILENT)] == ["returned"]

    play(story())


def test_silence_that_was_filled_afterwards_never_was(database_url: str) -> None:
    """In whatever order the stored fixes come: as a blind-zone upload before the live ones, or after."""

    async def story() -> None:
        code = registered(database_url)
        async with worker(database_url, **ASKED) as (running, port):
            terminal = await drive(port, code, through(0, 4))
            await sweep(running, 700)
            assert rows(database_url, SILENT) == LASTS
            stored_fixes = [at(step, 0) for step in range(4, 90, 20)]
            assert await terminal.result(0x0704, batch(*stored_fixes)) == 0
            await sweep(running, 960)
            assert [row[2:] for row in rows(database_url, SILENT)] == [(None, False)]

    play(story())


def test_what_comes_late_from_before_the_silence_does_not_end_it(database_url: str) -> None:
    async def story() -> None:
        code = registered(database_url)
        async with worker(database_url, **ASKED) as (running, port):
            terminal = await drive(port, code, [at(0, 0), at(1, 0), at(3, 0)])
            await sweep(running, 700)
            assert rows(database_url, SILENT) == LASTS
            assert await terminal.result(0x0200, at(2, 0)) == 0
            await sweep(running, 730)
            assert rows(database_url, SILENT) == LASTS

    play(story())


def test_off_duty_silence_is_nothing(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **ASKED, duty_hours="18:00-20:00") as (running, port):
            await drive(port, registered(database_url), through(0, 4))
            await sweep(running, 700)
            assert rows(database_url, SILENT) == []

    play(story())


def test_one_worker_sweeps_and_another_takes_over(database_url: str) -> None:
    async def story() -> None:
        code = registered(database_url)
        async with worker(database_url, "w1", **ASKED) as (one, port), worker(database_url, "w2", **ASKED) as (other, _):
            await drive(port, code, through(0, 4))
            leases = [each.sweeper._lease for each in (one, other)]
            await until(lambda: any(lease._conn for lease in leases))
            await stored(database_url, LEASES, [(1,)])
        await stored(database_url, LEASES, [(0,)])

    play(story())
