"""Brings a database to this version's schema: numbered plain SQL files, forward only, each in its own transaction.

An advisory lock makes concurrent callers wait for one another, so that it is safe to run twice, at once, and while the old
version runs. Where TimescaleDB is loaded the extension is created first, and `fixes` becomes a hypertable; where it is
missing, or our role may not create it, the table is partitioned natively and stays so.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import psycopg
from psycopg import sql

from storage.connect import Conn, connect
from storage.errors import SchemaOutdated

LOCK: Final = 0x44756268_65
"""Key of the advisory lock: the name in ASCII."""

_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS dubhe_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())
"""


def known() -> dict[str, str]:
    """Name → SQL of every migration of this version, in order."""
    folder = files("storage") / "migrations"
    return {each.name.removesuffix(".sql"): each.read_text("utf-8") for each in sorted(folder.iterdir(), key=lambda it: it.name)}


def migrate(url: str) -> list[str]:
    """Apply what is missing and return the names applied; raises `StoreUnavailable`."""
    with connect(url, "dubhe migrate") as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        conn.execute(_LEDGER)
        missing = _missing(conn)
        if missing:
            _load_timescale(conn)
        for name in missing:
            _apply(conn, name)
        return missing


def require_current(url: str) -> None:
    """Raise `SchemaOutdated` when a migration of this version was not applied; later ones of a newer version are no obstacle."""
    with connect(url) as conn:
        missing = _missing(conn)
    if missing:
        msg = f"the database lacks {', '.join(missing)}; run `dubhe migrate`"
        raise SchemaOutdated(msg)


def _missing(conn: Conn) -> list[str]:
    ledger = conn.execute("SELECT to_regclass('dubhe_migrations') IS NOT NULL").fetchone()
    if ledger is None or not ledger[0]:
        return list(known())
    applied = {name for (name,) in conn.execute("SELECT name FROM dubhe_migrations")}
    return [name for name in known() if name not in applied]


def _apply(conn: Conn, name: str) -> None:
    with conn.transaction():
        conn.execute(sql.SQL(known()[name]))
        conn.execute("INSERT INTO dubhe_migrations (name) VALUES (%s)", (name,))


def _load_timescale(conn: Conn) -> None:
    """Create the extension where the server has it loaded and our role may."""
    loaded = conn.execute(
        "SELECT current_setting('shared_preload_libraries') LIKE '%timescaledb%'"
        " AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')"
    ).fetchone()
    if loaded is not None and loaded[0]:
        try:
            conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        except psycopg.errors.InsufficientPrivilege:
            return
