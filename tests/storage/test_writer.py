"""Commits: durable, whole, each report exactly once, whatever stands in the way."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from fix_db import NOON_US, break_connections, fixes_of, rejects_of, rows
from storage.errors import StoreUnavailable
from storage.writer import CommitReport, TrackWriter, _sift
from tracks.fix import ABSENT, FixBatch
from tracks.reject import RejectBatch
from tracks.verdict import Reject, Verdict

NONE = RejectBatch.empty()
BEYOND_POSTGRES_US = -(2**62)
"""An instant long before 4713 BC, which no timestamptz holds."""


def committed(url: str, *batches: FixBatch, rejects: RejectBatch = NONE) -> list[CommitReport]:
    """Commit one after the other through one writer."""

    async def commit_all() -> list[CommitReport]:
        writer = TrackWriter(url)
        try:
            return [await writer.commit(batch, rejects) for batch in batches]
        finally:
            await writer.close()

    return asyncio.run(commit_all())


def told(report: CommitReport) -> tuple[int, int, int]:
    """Stored, duplicates, quarantined."""
    return report.stored, report.duplicates, report.quarantined


def reports(count: int, first: int = 0) -> list[bytes]:
    """Distinct report bodies."""
    return [f"report {number}".encode() for number in range(first, first + count)]


def test_every_column_comes_back_as_it_went_in(store_url: str) -> None:
    batch = fixes_of(
        [b"\x00\x01raw", b""],
        terminal_id=[7, 8],
        vehicle_id=[70, ABSENT],
        dated=[True, False],
        lat=[-89.999999, 30.123456],
        lon=[179.999999, -103.654321],
        altitude_m=[-12.0, 8848.0],
        speed_kmh=[0.0, 123.4],
        course_deg=[0.0, 359.0],
        valid=[True, False],
        alarm_bits=[0xFFFF_FFFF, 0],
        status_bits=[2, 0xFFFF_FFFF],
        mileage_km=[429_496_729.5, math.nan],
        satellites=[255, ABSENT],
        signal=[0, ABSENT],
        source=[0, 1],
        backfill=[True, False],
        quality=[0xFFFF, 0],
        digest=[-1, 2**63 - 1],
    )
    noon = datetime.fromtimestamp(NOON_US / 1e6, UTC)
    expected = [
        (noon, 7, 70, noon + timedelta(seconds=60), -1, -89.999999, 179.999999, 0xFFFF_FFFF, 2, 429_496_729.5, -12.0, 0.0, 0.0,
         255, 0, True, True, True, "jt808", b"\x00\x01raw", 0xFFFF),
        (noon + timedelta(seconds=1), 8, None, noon + timedelta(seconds=60), 2**63 - 1, 30.123456, -103.654321, 0, 0xFFFF_FFFF,
         None, 8848.0, 123.4, 359.0, None, None, False, False, False, "nmea", b"", 0),
    ]  # fmt: skip

    assert told(committed(store_url, batch)[0]) == (2, 0, 0)
    assert rows(store_url, "SELECT * FROM fixes ORDER BY terminal_id") == expected


def test_a_position_that_is_no_number_is_stored_as_null(store_url: str) -> None:
    batch = fixes_of([b"a", b"b", b"c"], lat=[math.nan, math.inf, -math.inf], speed_kmh=[math.inf, math.nan, 1.0])

    assert told(committed(store_url, batch)[0]) == (3, 0, 0)
    assert rows(store_url, "SELECT lat, speed_kmh FROM fixes ORDER BY time") == [(None, None), (None, None), (None, 1.0)]


@pytest.mark.parametrize("year", [1970, 1999, 2024, 2099, 9999])
def test_a_fix_of_any_year_is_storable(store_url: str, year: int) -> None:
    moment = datetime(year, 3, 4, 5, 6, 7, tzinfo=UTC)
    batch = fixes_of([b"x"], time_us=(moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))

    assert told(committed(store_url, batch)[0]) == (1, 0, 0)
    assert rows(store_url, "SELECT time FROM fixes") == [(moment,)]


def test_a_batch_sent_again_is_stored_once(store_url: str) -> None:
    batch = fixes_of(reports(20))

    assert [told(report) for report in committed(store_url, batch, batch, batch)] == [(20, 0, 0), (0, 20, 0), (0, 20, 0)]
    assert rows(store_url, "SELECT count(*) FROM fixes") == [(20,)]


def test_new_reports_among_repeated_ones_are_stored(store_url: str) -> None:
    first, both = fixes_of(reports(10), time_us=NOON_US), fixes_of(reports(20), time_us=NOON_US)
    rest = fixes_of(reports(5, first=20), time_us=NOON_US)

    assert [told(report) for report in committed(store_url, first, both, rest)] == [(10, 0, 0), (10, 10, 0), (5, 0, 0)]
    assert rows(store_url, "SELECT count(*), count(DISTINCT raw) FROM fixes") == [(25, 25)]


def test_a_report_twice_in_one_batch_is_one_row(store_url: str) -> None:
    batch = fixes_of([b"a", b"b", b"a", b"a"], time_us=NOON_US)

    assert told(committed(store_url, batch)[0]) == (2, 2, 0)
    assert rows(store_url, "SELECT raw FROM fixes ORDER BY raw") == [(b"a",), (b"b",)]


def test_two_different_reports_of_one_second_are_two_rows(store_url: str) -> None:
    assert told(committed(store_url, fixes_of([b"first", b"second"], time_us=NOON_US))[0]) == (2, 0, 0)
    assert rows(store_url, "SELECT count(*) FROM fixes") == [(2,)]


def test_the_same_report_of_two_terminals_is_two_rows(store_url: str) -> None:
    assert told(committed(store_url, fixes_of([b"same", b"same"], time_us=NOON_US, terminal_id=[1, 2]))[0]) == (2, 0, 0)


def test_reports_that_collide_in_their_digest_are_not_taken_for_one_another(store_url: str) -> None:
    stored = fixes_of([b"one"], time_us=NOON_US, digest=5)
    later = fixes_of([b"two", b"new"], time_us=NOON_US, digest=[5, 6])
    within = fixes_of([b"three", b"four", b"three", b"one"], time_us=NOON_US, digest=[7, 7, 7, 5])

    assert [told(report) for report in committed(store_url, stored, later, within)] == [(1, 0, 0), (1, 0, 1), (1, 2, 1)]
    assert rows(store_url, "SELECT raw FROM fixes ORDER BY raw") == [(b"new",), (b"one",), (b"three",)]
    assert rows(store_url, "SELECT raw, reason FROM quarantine ORDER BY raw") == [(b"four", "unstorable"), (b"two", "unstorable")]


def test_rejects_are_kept_with_the_fixes_of_their_batch(store_url: str) -> None:
    committed(store_url, fixes_of(reports(3)), rejects=rejects_of([b"\x7e\x00", b""], Reject.TRUNCATED))
    kept = "SELECT raw, reason, source, terminal_id, message_id, received_at FROM quarantine ORDER BY id"
    noon = datetime.fromtimestamp(NOON_US / 1e6, UTC)

    assert rows(store_url, kept) == [(raw, "truncated", "jt808", None, None, noon) for raw in (b"\x7e\x00", b"")]
    assert rows(store_url, "SELECT count(*) FROM fixes") == [(3,)]


def test_rejects_without_fixes_and_nothing_at_all_are_committed(store_url: str) -> None:
    assert told(committed(store_url, FixBatch.empty(), rejects=rejects_of([b"x"]))[0]) == (0, 0, 0)
    assert told(committed(store_url, FixBatch.empty())[0]) == (0, 0, 0)
    assert rows(store_url, "SELECT count(*) FROM quarantine") == [(1,)]


@pytest.mark.parametrize("poisoned", [{0}, {63}, {7, 8, 40}, set(range(64))])
def test_rows_that_no_timestamp_holds_go_to_quarantine_and_the_others_are_stored(store_url: str, poisoned: set[int]) -> None:
    batch = fixes_of(reports(64))
    batch.time_us[list(poisoned)] = BEYOND_POSTGRES_US

    (report,) = committed(store_url, batch)

    assert told(report) == (64 - len(poisoned), 0, len(poisoned))
    assert report.verdict.tolist() == [Verdict.COMMITTED] * 64
    assert {raw for (raw,) in rows(store_url, "SELECT raw FROM quarantine WHERE reason = 'unstorable'")} == {
        f"report {row}".encode() for row in poisoned
    }


def raise_for(url: str, raw: str, state: str) -> None:
    """Make the table raise an error of class `state` for a certain report."""
    with psycopg.connect(url) as conn:
        conn.execute(f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no room on device' USING ERRCODE = '{state}'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON fixes FOR EACH ROW WHEN (NEW.raw = '{raw}'::bytea) EXECUTE FUNCTION refuse();
        """)


def test_a_row_that_breaks_the_server_inside_goes_to_quarantine(own_store_url: str) -> None:
    raise_for(own_store_url, "report 5", "XX000")

    assert told(committed(own_store_url, fixes_of(reports(10)))[0]) == (9, 0, 1)
    assert rows(own_store_url, "SELECT raw FROM quarantine") == [(b"report 5",)]


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("53100", "the database's disk is full: no room on device"),
        ("57P03", "the database is starting up or recovering"),
        ("40001", "the database rolled us back"),
        ("42501", "our database role lacks a privilege"),
    ],
)
def test_what_is_the_servers_fault_is_never_blamed_on_the_rows(own_store_url: str, state: str, sentence: str) -> None:
    raise_for(own_store_url, "report 5", state)

    with pytest.raises(StoreUnavailable, match=sentence):
        committed(own_store_url, fixes_of(reports(10)), rejects=rejects_of([b"x"]))

    assert rows(own_store_url, "SELECT (SELECT count(*) FROM fixes), (SELECT count(*) FROM quarantine)") == [(0, 0)]


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 1), st.integers(0, 2), st.sampled_from([b"a", b"b"])), max_size=12))
def test_sifting_keeps_the_first_of_each_key_and_tells_repeats_from_collisions(keys: list[tuple[int, int, int, bytes]]) -> None:
    first: dict[tuple[int, int, int], int] = {}
    collided = []
    for row, (*key, raw) in enumerate(keys):
        head = first.setdefault((key[0], key[1], key[2]), row)
        if keys[head][3] != raw:
            collided.append(row)
    terminals, times, digests, raws = zip(*keys, strict=True) if keys else ((), (), (), ())

    unique, found = _sift(fixes_of(raws, terminal_id=terminals, time_us=times, digest=digests))

    assert (unique.tolist(), sorted(found.tolist())) == (list(first.values()), collided)


def test_rows_that_a_constraint_refuses_are_found_among_duplicates_and_rejects(own_store_url: str) -> None:
    with psycopg.connect(own_store_url) as conn:
        conn.execute("ALTER TABLE fixes ADD CONSTRAINT inhabited CHECK (lat < 80)")
    known = fixes_of(reports(10), time_us=NOON_US)
    batch = fixes_of(reports(30), time_us=NOON_US, lat=[85.0 if row in {13, 29} else 30.0 for row in range(30)])

    assert told(committed(own_store_url, known)[0]) == (10, 0, 0)
    assert told(committed(own_store_url, batch, rejects=rejects_of([b"bad"]))[0]) == (18, 10, 2)
    assert rows(own_store_url, "SELECT raw, reason FROM quarantine ORDER BY raw") == [
        (b"bad", "checksum"),
        (b"report 13", "unstorable"),
        (b"report 29", "unstorable"),
    ]


def test_writers_that_commit_the_same_reports_at_once_store_each_once(store_url: str) -> None:
    batch = fixes_of(reports(300), time_us=NOON_US)
    backwards = batch.take(np.arange(299, -1, -1))

    async def race() -> int:
        writers = [TrackWriter(store_url) for _ in range(4)]
        stored = 0
        for writer, mine in zip(writers, (batch, backwards, batch, backwards), strict=True):
            await writer.open()
            assert len(mine) == 300
        both = [until_stored(writer, mine) for writer, mine in zip(writers, (batch, backwards, batch, backwards), strict=True)]
        for report in await asyncio.gather(*both):
            stored += report.stored
        for writer in writers:
            await writer.close()
        return stored

    assert asyncio.run(race()) == 300
    assert rows(store_url, "SELECT count(*), count(DISTINCT raw) FROM fixes") == [(300, 300)]


async def until_stored(writer: TrackWriter, batch: FixBatch) -> CommitReport:
    """Commit again and again, as a gateway does."""
    while True:
        try:
            return await writer.commit(batch, NONE)
        except StoreUnavailable:
            await asyncio.sleep(0)


def test_it_runs_on_uvloop(database_url: str) -> None:
    async def commit() -> CommitReport:
        writer = TrackWriter(database_url)
        try:
            return await writer.commit(fixes_of(reports(5)), rejects_of([b"x"]))
        finally:
            await writer.close()

    assert told(uvloop.run(commit())) == (5, 0, 0)


def restart(url: str) -> None:
    break_connections(url, "dubhe writer")


def lose_the_table(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("ALTER TABLE fixes RENAME TO lost")


def refuse_writing(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET default_transaction_read_only = on")
    restart(url)


@pytest.mark.parametrize(
    ("trouble", "sentences"),
    [
        (restart, ["the database was shut down by its administrator"]),
        (lose_the_table, ["the schema is not this version's; run `dubhe migrate`"]),
        (refuse_writing, ["the database was shut down by its administrator", "the database is read-only"]),
    ],
)
def test_trouble_is_said_in_one_sentence_and_nothing_is_half_stored(
    database_url: str, trouble: Callable[[str], None], sentences: list[str]
) -> None:
    async def commit_in_trouble() -> list[str]:
        writer = TrackWriter(database_url)
        await writer.open()
        trouble(database_url)
        said = []
        for _ in sentences:
            with pytest.raises(StoreUnavailable) as caught:
                await writer.commit(fixes_of(reports(3)), rejects_of([b"x"]))
            said.append(str(caught.value))
        await writer.close()
        return said

    said = asyncio.run(commit_in_trouble())

    assert [each.split(":")[0] for each in said] == sentences
    assert not any("\n" in each for each in said)
    assert rows(database_url, "SELECT count(*) FROM quarantine") == [(0,)]


def test_a_writer_connects_again_after_its_connection_broke(store_url: str) -> None:
    batch = fixes_of(reports(3))

    async def commit_again() -> CommitReport:
        writer = TrackWriter(store_url)
        await writer.commit(fixes_of([b"before"]), NONE)
        restart(store_url)
        with pytest.raises(StoreUnavailable):
            await writer.commit(batch, NONE)
        try:
            return await writer.commit(batch, NONE)
        finally:
            await writer.close()

    assert told(asyncio.run(commit_again())) == (3, 0, 0)


def test_nobody_listening_is_said_with_the_reason() -> None:
    with pytest.raises(StoreUnavailable, match="the database is away"):
        committed("postgresql://nobody@127.0.0.1:1/nothing", fixes_of([b"x"]))


def test_an_unreadable_url_is_said_so() -> None:
    with pytest.raises(StoreUnavailable, match="URL cannot be read"):
        committed("postgres//typo", fixes_of([b"x"]))


def test_a_cancelled_commit_leaves_a_writer_that_still_works(database_url: str) -> None:
    batch = fixes_of(reports(2000), time_us=NOON_US)

    async def cancel_then_commit() -> CommitReport:
        writer = TrackWriter(database_url)
        await writer.commit(fixes_of([b"its day exists"]), NONE)
        with psycopg.connect(database_url) as blocker:
            blocker.execute("LOCK TABLE fixes IN EXCLUSIVE MODE")
            commit = asyncio.ensure_future(writer.commit(batch, NONE))
            await asyncio.to_thread(until_blocked, database_url)
            commit.cancel()
            with pytest.raises(asyncio.CancelledError):
                await commit
        try:
            return await writer.commit(batch, NONE)
        finally:
            await writer.close()

    assert told(asyncio.run(cancel_then_commit())) == (2000, 0, 0)


def until_blocked(url: str) -> None:
    """Return when somebody waits for a lock on `fixes`."""
    while not rows(url, "SELECT FROM pg_locks WHERE NOT granted AND relation = 'fixes'::regclass"):
        pass


def test_a_database_that_does_not_answer_is_given_up_in_time(database_url: str) -> None:
    async def commit_against_a_lock() -> None:
        writer = TrackWriter(database_url, answer_s_max=0.2)
        with psycopg.connect(database_url) as blocker:
            blocker.execute("LOCK TABLE fixes IN EXCLUSIVE MODE")
            with pytest.raises(StoreUnavailable, match="no answer within"):
                await writer.commit(fixes_of([b"x"]), NONE)
        await writer.close()

    asyncio.run(commit_against_a_lock())
