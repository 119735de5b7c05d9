"""Reading back: a terminal's or a vehicle's history in order, through the index; the latest fix; counts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fix_db import NOON_US, fixes_of, rejects_of, rows
from storage.enrol import add_terminal, add_vehicle, release_terminal
from storage.partitions import maintain
from storage.reader import ROWS_PER_FETCH, Counts, Unknown, counts, latest, track
from storage.writer import TrackWriter
from tracks.fix import FixBatch
from tracks.reject import RejectBatch
from tracks.verdict import Reject

NOON = datetime.fromtimestamp(NOON_US // 1_000_000, UTC)
DAY = timedelta(days=1)


def commit(url: str, fixes: FixBatch, rejects: RejectBatch | None = None) -> None:
    async def once() -> None:
        writer = TrackWriter(url)
        try:
            await writer.commit(fixes, RejectBatch.empty() if rejects is None else rejects)
        finally:
            await writer.close()

    asyncio.run(once())


def ids(url: str, query: str) -> dict[str, int]:
    return dict(rows(url, query))


def raws(url: str, who: str, start: datetime = NOON, stop: datetime = NOON + 30 * DAY) -> list[str]:
    return [fix.raw.decode() for fix in track(url, who, start, stop)]


def test_a_history_is_streamed_in_order_whatever_the_order_of_arrival(store_url: str) -> None:
    add_terminal(store_url, "138")
    (terminal,) = ids(store_url, "SELECT name, id FROM terminals").values()
    count = ROWS_PER_FETCH + 500
    arrival = [(number * 7919) % count for number in range(count)]
    commit(store_url, fixes_of([str(n).encode() for n in arrival], terminal_id=terminal, time_us=[NOON_US + n * 10**6 for n in arrival]))

    assert raws(store_url, "00138") == [str(number) for number in range(count)]


def test_a_row_has_everything_the_table_has(store_url: str) -> None:
    add_terminal(store_url, "138")
    (terminal,) = ids(store_url, "SELECT name, id FROM terminals").values()
    commit(store_url, fixes_of([b"raw"], terminal_id=terminal, alarm_bits=5, lat=float("nan")))

    (fix,) = track(store_url, "138", NOON, NOON + DAY)

    assert (fix.time, fix.time.utcoffset(), fix.received_at) == (NOON, timedelta(0), NOON + timedelta(seconds=60))
    assert (fix.terminal, fix.lat, fix.lon, fix.altitude_m, fix.speed_kmh, fix.course_deg) == ("138", None, 103.25, 500.0, 42.5, 90.0)
    assert (fix.valid, fix.dated, fix.backfill, fix.quality, fix.alarm_bits, fix.status_bits) == (True, True, False, 0, 5, 3)
    assert (fix.mileage_km, fix.satellites, fix.signal, fix.source, fix.raw) == (10.5, 12, 20, "jt808", b"raw")


def test_from_is_included_and_to_is_not(database_url: str) -> None:
    add_terminal(database_url, "138")
    (terminal,) = ids(database_url, "SELECT name, id FROM terminals").values()
    commit(database_url, fixes_of([b"0", b"1", b"2", b"3"], terminal_id=terminal))
    second = timedelta(seconds=1)

    assert raws(database_url, "138", NOON + second, NOON + 3 * second) == ["1", "2"]
    assert raws(database_url, "138", NOON + 3 * second, NOON + second) == []


def test_a_plates_history_is_what_every_terminal_sent_for_that_vehicle(database_url: str) -> None:
    add_terminal(database_url, "138", "川A12345", "黄")
    release_terminal(database_url, "138")
    add_terminal(database_url, "139", "川A12345", "黄")
    add_terminal(database_url, "138", "川B00001", "黄")
    terminal = ids(database_url, "SELECT name, id FROM terminals")
    vehicle = ids(database_url, "SELECT plate, id FROM vehicles")
    commit(
        database_url,
        fixes_of(
            [b"old set", b"old set, other car", b"new set", b"new set, unbound"],
            terminal_id=[terminal[name] for name in ("138", "138", "139", "139")],
            vehicle_id=[vehicle["川A12345"], vehicle["川B00001"], vehicle["川A12345"], -1],
        ),
    )

    assert raws(database_url, "川a·12345") == ["old set", "new set"]
    assert raws(database_url, "138") == ["old set", "old set, other car"]


def test_a_vehicle_without_any_terminal_has_an_empty_history(database_url: str) -> None:
    add_vehicle(database_url, "川A12345", "黄")

    assert raws(database_url, "川A12345") == []
    assert latest(database_url, "川A12345", NOON) is None


@pytest.mark.parametrize("who", ["138", "川A12345", "", "\0", "'; DROP TABLE fixes; --"])
def test_nobody_of_that_name_is_said(database_url: str, who: str) -> None:
    with pytest.raises(Unknown, match="no terminal and no vehicle is called"):
        raws(database_url, who)


def test_the_latest_fix_is_the_newest_before_the_moment_named(store_url: str) -> None:
    add_terminal(store_url, "138")
    (terminal,) = ids(store_url, "SELECT name, id FROM terminals").values()
    times = [NOON_US, NOON_US + 5 * 86_400 * 10**6, NOON_US + 20_000 * 86_400 * 10**6]
    commit(store_url, fixes_of([b"old", b"new", b"a clock of 2080"], terminal_id=terminal, time_us=times))

    newest = latest(store_url, "138", NOON + 10 * DAY)
    assert newest is not None
    assert newest.raw == b"new"
    assert latest(store_url, "138", NOON) is None


def test_counts_are_exact(database_url: str) -> None:
    add_terminal(database_url, "138", "川A12345", "黄")
    commit(database_url, fixes_of([b"1", b"2"]), rejects_of([b"x"], Reject.CHECKSUM))
    commit(database_url, fixes_of([b"1", b"3"]), rejects_of([b"y", b"z"], Reject.TRUNCATED))

    assert counts(database_url) == Counts(3, 1, 1, {"checksum": 1, "truncated": 2})


def test_one_vehicles_day_reads_the_index_of_its_day_alone(database_url: str) -> None:
    maintain(database_url, NOON)
    query = f"EXPLAIN SELECT * FROM fixes WHERE terminal_id = 5 AND time >= '{NOON}' AND time < '{NOON + timedelta(hours=9)}' ORDER BY time"
    with psycopg.connect(database_url) as conn:
        conn.execute("SET enable_seqscan = off")
        plan = "\n".join(line for (line,) in conn.execute(query))

    assert "fixes_20251009_terminal_id_time_digest" in plan
    assert "fixes_20251008" not in plan
    assert "fixes_20251010" not in plan
    assert "Seq Scan" not in plan
