"""Questions about the database as a whole: does it answer, is it new, what has arrived since a moment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import psycopg

from storage.connect import connect, connect_async
from storage.errors import unavailable


async def ping(url: str) -> None:
    """Return when the database answers; raises `StoreUnavailable`."""
    try:
        async with await connect_async(url, "dubhe ping") as conn:
            await conn.execute("SELECT 1")
    except psycopg.Error as error:
        raise unavailable(error) from error


def is_empty(url: str) -> bool:
    """Whether the database has never held a table of ours or anybody's in the schema that we would use."""
    with connect(url, "dubhe") as conn:
        row = conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()").fetchone()
    return row is not None and row[0] == 0


def versions(url: str) -> dict[str, str | None]:
    """Version of the server, and of TimescaleDB where the database has it."""
    with connect(url, "dubhe") as conn:
        row = conn.execute(
            "SELECT current_setting('server_version'), (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')"
        ).fetchone()
    assert row is not None, "a query without FROM has a row"
    return {"postgresql": row[0], "timescaledb": row[1]}


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What reached the database since a moment."""

    fixes: int
    """Of the terminals asked for."""
    other_fixes: int
    rejected: dict[str, int]
    """Rows of quarantine by reason."""


def arrivals(url: str, since: datetime, terminals: Collection[str]) -> Arrivals:
    """Count what came since; looks at every row of the table, so it is for small or new databases."""
    with connect(url, "dubhe count") as conn:
        row = conn.execute(
            "SELECT count(*) FILTER (WHERE t.name = ANY(%s)), count(*) FILTER (WHERE t.name <> ALL(%s))"
            " FROM fixes f JOIN terminals t ON t.id = f.terminal_id WHERE f.received_at >= %s",
            (list(terminals), list(terminals), since),
        ).fetchone()
        reasons = conn.execute(
            "SELECT reason, count(*) FROM quarantine WHERE received_at >= %s GROUP BY reason ORDER BY reason", (since,)
        ).fetchall()
    assert row is not None, "an aggregate has a row"
    return Arrivals(row[0], row[1], dict(reasons))
