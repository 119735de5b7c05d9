"""Days of the table `fixes`: made ahead, made when a fix needs one, dropped when old.

A fix of any date is storable. TimescaleDB makes a chunk for whatever day comes. Natively there is one partition a day, made a
week ahead by `maintain`; a backfill or a wrong clock within the kept days gets its day when it arrives (the writer asks
`missing_days`); and whatever lies further out (1970, 2099) goes to the default partition, so that no terminal's clock can
make us create tables without end. Rows waiting in the default partition move when their day is made.

Making a day locks the default partition. When a long read holds it, the writer gives the day up after half a second, once,
and its fixes go to the default partition like any other: a reader never delays answers for longer.

What lies before the kept days is stored, answered, and gone with the next `maintain`. What a wrong clock has dated ahead goes by the day of
its receipt; its own would never come.

Where TimescaleDB comes under its community licence, days older than `COLUMNSTORE_DAYS` are compressed by its own policy.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from storage.connect import Conn, connect
from tracks.week import DAY_US

DAYS_AHEAD: Final = 7
COLUMNSTORE_DAYS: Final = 14
"""Younger days still get backfills; writing into compressed days works, slower."""

LOCK: Final = 0x44756268_66
"""Key of the advisory lock under which days are made."""

KNOWN_DAYS: Final = """
SELECT CASE WHEN to_regclass('fixes_default') IS NULL THEN NULL ELSE ARRAY(
    SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') - date '1970-01-01'
    FROM pg_inherits WHERE inhparent = 'fixes'::regclass AND inhrelid <> to_regclass('fixes_default')
    ORDER BY 1) END
"""
"""Days since 1970 that have a native partition; NULL for a hypertable, which makes its own."""


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What one round of `maintain` did; `postponed` names what a lock kept us from, for the next round."""

    made: list[str]
    dropped: list[str]
    fixes_deleted: int
    quarantine_deleted: int
    postponed: list[str]


def missing_days(time_us: NDArray[np.int64], received_us: NDArray[np.int64], known: Collection[int], fixes_days_max: int) -> list[int]:
    """The days that `time_us` needs, that are not `known` and that deserve a partition of their own."""
    first, last = int(time_us.min()) // DAY_US, int(time_us.max()) // DAY_US
    if first == last and first in known:
        return []
    today = int(received_us.max()) // DAY_US
    days = np.unique(time_us // DAY_US).tolist()
    return [day for day in days if today - fixes_days_max <= day <= today + DAYS_AHEAD and day not in known]


def day_sql(day: int) -> sql.SQL:
    """One statement that makes the native partition of `day` (since 1970) and moves its rows out of the default partition."""
    start = date(1970, 1, 1) + timedelta(days=day)
    name, since, until = f"fixes_{start:%Y%m%d}", f"{start} 00:00Z", f"{start + timedelta(days=1)} 00:00Z"
    return sql.SQL(f"""
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '500ms', true);
    PERFORM pg_advisory_xact_lock({LOCK});
    IF to_regclass('{name}') IS NULL THEN
        CREATE TABLE {name} (LIKE fixes INCLUDING ALL);
        LOCK TABLE fixes_default IN ACCESS EXCLUSIVE MODE;
        WITH moved AS (DELETE FROM fixes_default WHERE time >= '{since}' AND time < '{until}' RETURNING *)
        INSERT INTO {name} SELECT * FROM moved;
        ALTER TABLE fixes ATTACH PARTITION {name} FOR VALUES FROM ('{since}') TO ('{until}');
    END IF;
END $$""")  # noqa: S608 - dates that we print ourselves


def maintain(
    url: str, now: datetime, *, fixes_days_max: int = 400, quarantine_days_max: int = 90, quarantine_rows_max: int = 1_000_000
) -> MaintenanceReport:
    """Make the coming days, drop what is older than the kept ones, bound the quarantine; raises `StoreUnavailable`."""
    now = now.astimezone(UTC)
    oldest = now - timedelta(days=fixes_days_max)
    with connect(url, "dubhe maintain") as conn:
        (days,) = conn.execute(KNOWN_DAYS).fetchone() or (None,)
        report = _keep_chunks(conn, oldest) if days is None else _keep_days(conn, now, oldest, days)
        ahead = conn.execute("DELETE FROM fixes WHERE time > %s AND received_at < %s", (now, oldest)).rowcount
        gone = _trim_quarantine(conn, now - timedelta(days=quarantine_days_max), quarantine_rows_max)
    return replace(report, fixes_deleted=report.fixes_deleted + ahead, quarantine_deleted=gone)


def _keep_chunks(conn: Conn, oldest: datetime) -> MaintenanceReport:
    dropped = [name for (name,) in conn.execute("SELECT drop_chunks('fixes', older_than => %s)", (oldest,))]
    return MaintenanceReport([], dropped, 0, 0, _compress(conn))


def _keep_days(conn: Conn, now: datetime, oldest: datetime, known: list[int]) -> MaintenanceReport:
    report = MaintenanceReport([], [], 0, 0, [])
    today, first_kept = ((moment.date() - date(1970, 1, 1)).days for moment in (now, oldest))
    for day in range(today - 1, today + DAYS_AHEAD + 1):
        if day not in known:
            _unless_locked(conn, day, day_sql(day), report.made, report.postponed)
    for day in known:
        if day < first_kept:
            _unless_locked(
                conn, day, sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(_name(day))), report.dropped, report.postponed
            )
    return replace(report, fixes_deleted=conn.execute("DELETE FROM fixes_default WHERE time < %s", (oldest,)).rowcount)


def _unless_locked(conn: Conn, day: int, statement: sql.SQL | sql.Composed, done: list[str], postponed: list[str]) -> None:
    try:
        with conn.transaction():
            conn.execute("SET LOCAL lock_timeout = '500ms'")
            conn.execute(statement)
        done.append(_name(day))
    except psycopg.errors.LockNotAvailable:
        postponed.append(_name(day))


def _compress(conn: Conn) -> list[str]:
    """Hand old days to the columnstore where the licence allows it, once; what the extension objects to is for the operator.

    Written from the vendor's documentation (2.11 to 2.2x); the Apache edition, which we test with, has no columnstore.
    """
    query = """
        SELECT current_setting('timescaledb.license', true) = 'timescale' AND NOT compression_enabled
        FROM timescaledb_information.hypertables WHERE hypertable_name = 'fixes'
    """
    row = conn.execute(query).fetchone()
    if row is None or not row[0]:
        return []
    try:
        with conn.transaction():
            conn.execute(
                "ALTER TABLE fixes SET (timescaledb.compress, timescaledb.compress_segmentby = 'terminal_id',"
                " timescaledb.compress_orderby = 'time, digest')"
            )
            conn.execute(f"SELECT add_compression_policy('fixes', interval '{COLUMNSTORE_DAYS} days', if_not_exists => true)")
    except psycopg.Error as error:
        return [f"columnstore: {error.diag.message_primary}"]
    return []


def _trim_quarantine(conn: Conn, oldest: datetime, rows_max: int) -> int:
    """Delete by age, then by number, oldest first; ids grow with arrival."""
    aged = conn.execute("DELETE FROM quarantine WHERE received_at < %s", (oldest,)).rowcount
    beyond = "DELETE FROM quarantine WHERE id <= (SELECT id FROM quarantine ORDER BY id DESC OFFSET %s LIMIT 1)"
    return aged + conn.execute(beyond, (rows_max,)).rowcount


def _name(day: int) -> str:
    return f"fixes_{date(1970, 1, 1) + timedelta(days=day):%Y%m%d}"
