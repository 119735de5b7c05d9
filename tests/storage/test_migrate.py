"""Migrations: forward only, safe to run twice and at once; the tables are what the batches are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from fix_db import rows
from storage.copyrows import FIXES, QUARANTINE, Table
from storage.errors import SchemaOutdated, StoreUnavailable
from storage.migrate import known, migrate, require_current
from tracks.fix import FixBatch
from tracks.reject import RejectBatch

LINEAGE = {"frame", "raised", "cleared", "place"}
"""Columns of a batch that are not stored."""


def test_no_two_migrations_have_one_number() -> None:
    numbers = [int(name[:4]) for name in known()]

    assert numbers == list(range(1, len(numbers) + 1))


def test_a_second_run_finds_nothing_to_do(empty_url: str) -> None:
    assert migrate(empty_url) == list(known())
    assert migrate(empty_url) == []


def test_runs_at_once_share_the_work(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(migrate, [empty_url] * 4))

    assert sorted(applied) == [[], [], [], list(known())]


def test_an_empty_database_is_told_from_a_current_one(empty_url: str) -> None:
    with pytest.raises(SchemaOutdated, match=r"lacks 0001_tracks.*run `dubhe migrate`"):
        require_current(empty_url)

    migrate(empty_url)

    require_current(empty_url)


def test_migrations_of_a_newer_version_are_no_obstacle(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("INSERT INTO dubhe_migrations (name) VALUES ('9999_later')")

    require_current(database_url)
    assert migrate(database_url) == []


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    with psycopg.connect(empty_url) as conn:
        conn.execute("CREATE TABLE terminals (id int)")

    with pytest.raises(StoreUnavailable, match='relation "terminals" already exists'):
        migrate(empty_url)

    assert rows(empty_url, "SELECT to_regclass('vehicles'), (SELECT count(*) FROM dubhe_migrations)") == [(None, 0)]


@pytest.mark.parametrize(("table", "batch"), [(FIXES, FixBatch), (QUARANTINE, RejectBatch)])
def test_every_column_of_a_batch_is_a_column_of_its_table(store_url: str, table: Table, batch: type[FixBatch | RejectBatch]) -> None:
    assert {field.of for field in table.fields} == set(batch.columns()) - LINEAGE
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND column_name <> 'id'"

    assert {name for (name,) in rows(store_url, query, table.name)} == {field.name for field in table.fields}


@pytest.mark.parametrize("table", [FIXES, QUARANTINE])
def test_a_field_may_be_absent_exactly_where_its_column_may_be_null(store_url: str, table: Table) -> None:
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_nullable = 'YES'"

    assert {name for (name,) in rows(store_url, query, table.name)} == {field.name for field in table.fields if field.optional}


def test_the_identity_of_a_report_is_the_only_index_of_fixes(store_url: str) -> None:
    (definition,) = rows(store_url, "SELECT indexdef FROM pg_indexes WHERE tablename = 'fixes'")

    assert definition[0].startswith("CREATE UNIQUE INDEX fixes_key ON ")
    assert definition[0].endswith(' USING btree (terminal_id, "time", digest)')


@pytest.mark.timescale
def test_where_timescaledb_is_loaded_fixes_is_a_hypertable_of_days(timescale_url: str) -> None:
    query = "SELECT hypertable_name, time_interval::text FROM timescaledb_information.dimensions"

    assert rows(timescale_url, query) == [("fixes", "1 day")]


def test_without_it_fixes_is_partitioned_natively(database_url: str) -> None:
    assert rows(database_url, "SELECT partstrat FROM pg_partitioned_table WHERE partrelid = 'fixes'::regclass") == [("r",)]
