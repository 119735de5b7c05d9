"""Days: made ahead, made when needed, dropped when old; a fix of any date is stored meanwhile."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from fix_db import fixes_of, rejects_of, rows
from storage.partitions import DAYS_AHEAD, MaintenanceReport, day_sql, maintain, missing_days
from storage.writer import TrackWriter
from tracks.fix import FixBatch
from tracks.reject import RejectBatch

NOW = datetime(2025, 10, 9, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def fixes_on(*days_from_now: float) -> FixBatch:
    """One fix for each day, all received now."""
    moments = [us(NOW + timedelta(days=days)) for days in days_from_now]
    return fixes_of([f"day {days}".encode() for days in days_from_now], time_us=moments, received_us=us(NOW))


def commit(url: str, fixes: FixBatch, rejects: RejectBatch | None = None) -> None:
    async def once() -> None:
        writer = TrackWriter(url)
        try:
            await writer.commit(fixes, RejectBatch.empty() if rejects is None else rejects)
        finally:
            await writer.close()

    asyncio.run(once())


def homes(url: str) -> dict[str, str]:
    """Which partition each report lies in."""
    return {raw.decode(): home for raw, home in rows(url, "SELECT raw, tableoid::regclass::text FROM fixes")}


def test_a_week_is_made_ahead_once(database_url: str) -> None:
    report = maintain(database_url, NOW)

    assert report.made == [f"fixes_{NOW + timedelta(days=days):%Y%m%d}" for days in range(-1, DAYS_AHEAD + 1)]
    assert maintain(database_url, NOW) == MaintenanceReport([], [], 0, 0, [])


def test_a_backfill_gets_its_own_day_and_a_wild_clock_the_default_partition(database_url: str) -> None:
    maintain(database_url, NOW)
    commit(database_url, fixes_on(0, -100, -399, 7, 8, -500, 27_000))

    assert homes(database_url) == {
        "day 0": "fixes_20251009",
        "day -100": "fixes_20250701",
        "day -399": "fixes_20240905",
        "day 7": "fixes_20251016",
        "day 8": "fixes_default",
        "day -500": "fixes_default",
        "day 27000": "fixes_default",
    }


def test_rows_that_waited_in_the_default_partition_move_when_their_day_is_made(database_url: str) -> None:
    commit(database_url, fixes_on(10, 10.2, 11))
    report = maintain(database_url, NOW + timedelta(days=3))

    assert "fixes_20251019" in report.made
    assert homes(database_url) == {"day 10": "fixes_20251019", "day 10.2": "fixes_20251019", "day 11": "fixes_default"}


def test_a_day_made_by_many_at_once_is_made_once(database_url: str) -> None:
    commit(database_url, fixes_on(10))

    def make(_: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as conn:
            conn.execute(day_sql(us(NOW + timedelta(days=10)) // 86_400_000_000))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(make, range(4)))

    assert homes(database_url) == {"day 10": "fixes_20251019"}


def test_a_reader_in_the_way_sends_the_fix_to_the_default_partition(database_url: str) -> None:
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT FROM fixes")
        commit(database_url, fixes_on(-50, 0))

    assert homes(database_url) == {"day -50": "fixes_default", "day 0": "fixes_default"}


def test_a_reader_in_the_way_postpones_what_maintenance_would_do(database_url: str) -> None:
    maintain(database_url, NOW)
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT FROM fixes")
        report = maintain(database_url, NOW + timedelta(days=1), fixes_days_max=1)

    assert report.postponed == ["fixes_20251017", "fixes_20251008"]
    assert (report.made, report.dropped) == ([], [])


def test_only_days_that_deserve_one_are_asked_for() -> None:
    day, today = 86_400_000_000, 20_000
    times = np.array([today, today - 1, today - 2, today - 401, today + 8, 0, 10**9]) * day
    received = np.full(len(times), today * day)

    assert missing_days(times, received, {today}, 400) == [today - 2, today - 1]
    assert missing_days(times[:1], received[:1], {today}, 400) == []


def test_old_days_are_dropped_whole_and_old_rows_of_wild_clocks_deleted(store_url: str) -> None:
    commit(store_url, fixes_on(0, -9, -10, -11, -399, -500, 27_000))
    report = maintain(store_url, NOW, fixes_days_max=10)

    assert {raw.decode() for (raw,) in rows(store_url, "SELECT raw FROM fixes")} == {"day 0", "day -9", "day -10", "day 27000"}
    assert len(report.dropped) + report.fixes_deleted == 3
    assert maintain(store_url, NOW, fixes_days_max=10).dropped == []


def test_what_is_dated_ahead_goes_by_the_day_of_its_receipt(store_url: str) -> None:
    commit(store_url, fixes_on(0, 3, 27_000))

    assert maintain(store_url, NOW + timedelta(days=2), fixes_days_max=10).fixes_deleted == 0
    assert maintain(store_url, NOW + timedelta(days=12), fixes_days_max=10).fixes_deleted == 1
    assert rows(store_url, "SELECT count(*) FROM fixes WHERE time > %s", NOW + timedelta(days=12)) == [(0,)]


def test_the_quarantine_keeps_no_more_days_than_it_may(store_url: str) -> None:
    commit(store_url, FixBatch.empty(), rejects_of([b"old"] * 3))
    later = NOW + timedelta(days=91)

    assert maintain(store_url, NOW, quarantine_days_max=90).quarantine_deleted == 0
    assert maintain(store_url, later, quarantine_days_max=90).quarantine_deleted == 3


def test_the_quarantine_keeps_no_more_rows_than_it_may_and_drops_the_oldest(store_url: str) -> None:
    commit(store_url, FixBatch.empty(), rejects_of([f"{number}".encode() for number in range(10)]))

    assert maintain(store_url, NOW, quarantine_rows_max=4).quarantine_deleted == 6
    assert rows(store_url, "SELECT raw FROM quarantine ORDER BY id") == [(b"6",), (b"7",), (b"8",), (b"9",)]
    assert maintain(store_url, NOW, quarantine_rows_max=4).quarantine_deleted == 0


@pytest.mark.timescale
def test_old_days_go_to_the_columnstore_exactly_where_the_licence_has_one(timescale_url: str) -> None:
    (licence,) = rows(timescale_url, "SHOW timescaledb.license")[0]

    assert maintain(timescale_url, NOW) == MaintenanceReport([], [], 0, 0, [])
    assert rows(timescale_url, "SELECT compression_enabled FROM timescaledb_information.hypertables") == [(licence == "timescale",)]
