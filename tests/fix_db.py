"""Databases for tests: a fresh one for every test, on the embedded PostgreSQL and on a real TimescaleDB.

The embedded server starts once per run; each test's database is cloned from a migrated template. TimescaleDB is looked for at
DUBHE_TEST_TIMESCALE_URL; where it is missing its tests are skipped by name, or fail with DUBHE_REQUIRE_SERVICES=1.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from storage.embedded import Embedded
from storage.migrate import migrate
from tracks.fix import ABSENT, FixBatch, digest64
from tracks.reject import RejectBatch
from tracks.spans import Spans
from tracks.verdict import Reject

TIMESCALE_URL = os.environ.get("DUBHE_TEST_TIMESCALE_URL", "postgresql://postgres@127.0.0.1:5433/postgres")
TEMPLATE = "dubhe_template"
BOTH = ("embedded", pytest.param("timescale", marks=pytest.mark.timescale))
NOON_US = 1_760_000_000_000_000
"""2025-10-09 08:53:20 UTC, a moment for tests that need none in particular."""


@pytest.fixture(scope="session")
def embedded_url() -> Iterator[str]:
    """The embedded server, with a migrated template; use `database_url` for a database of your own."""
    place = Path(tempfile.mkdtemp(prefix="dubhe-"))
    server = Embedded(place)
    url = server.start()
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        migrate(make_conninfo(url, dbname=TEMPLATE))
        yield url
    finally:
        server.stop()
        shutil.rmtree(place)


@pytest.fixture(scope="session")
def timescale_server_url() -> str:
    """The real TimescaleDB's administrative database."""
    try:
        psycopg.connect(TIMESCALE_URL, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        why = f"no TimescaleDB at {TIMESCALE_URL} (make services): {str(error).splitlines()[0]}"
        if os.environ.get("DUBHE_REQUIRE_SERVICES") == "1":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return TIMESCALE_URL


@pytest.fixture
def empty_url(embedded_url: str) -> Iterator[str]:
    """A fresh database without any schema on the embedded server."""
    with _database(embedded_url, "template1") as url:
        yield url


@pytest.fixture
def database_url(embedded_url: str) -> Iterator[str]:
    """A fresh migrated database on the embedded server."""
    with _database(embedded_url, TEMPLATE) as url:
        yield url


@pytest.fixture
def timescale_url(timescale_server_url: str) -> Iterator[str]:
    """A fresh migrated database on the real TimescaleDB; mark the test `timescale`."""
    with _database(timescale_server_url, "template0") as url:
        migrate(url)
        yield url


@pytest.fixture(params=BOTH)
def store_url(request: pytest.FixtureRequest) -> str:
    """A fresh migrated database, once on the embedded server and once on the real TimescaleDB."""
    url: str = request.getfixturevalue("database_url" if request.param == "embedded" else "timescale_url")
    return url


@contextmanager
def _database(server: str, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield make_conninfo(server, dbname=name)
        finally:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def rows(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What the database answers to `query`."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SET timezone TO 'UTC'")
        return conn.execute(query, values).fetchall()


def fixes_of(raw: Sequence[bytes], **columns: Any) -> FixBatch:
    """One fix for each report in `raw`, a second apart from `NOON_US`; any column may be given, as one value or as many."""
    count, spans = len(raw), Spans.of(raw)
    plain: dict[str, Any] = {
        "frame": np.arange(count),
        "terminal_id": 1,
        "vehicle_id": ABSENT,
        "time_us": NOON_US + np.arange(count) * 1_000_000,
        "dated": True,
        "lat": 30.5,
        "lon": 103.25,
        "altitude_m": 500.0,
        "speed_kmh": 42.5,
        "course_deg": 90.0,
        "valid": True,
        "alarm_bits": 0,
        "status_bits": 3,
        "mileage_km": 10.5,
        "satellites": 12,
        "signal": 20,
        "source": 0,
        "backfill": False,
        "received_us": NOON_US + 60_000_000,
        "digest": digest64(spans),
    }
    about = FixBatch.columns()
    values = {name: np.broadcast_to(np.asarray(value, about[name].dtype), count).copy() for name, value in (plain | columns).items()}
    return FixBatch(**values, raw=spans)


def rejects_of(raw: Sequence[bytes], reason: Reject = Reject.CHECKSUM) -> RejectBatch:
    """One reject for each piece of `raw`."""
    count = len(raw)
    return RejectBatch(
        frame=np.arange(count, dtype=np.int32),
        received_us=np.full(count, NOON_US, np.int64),
        terminal_id=np.full(count, ABSENT, np.int64),
        message_id=np.full(count, ABSENT, np.int32),
        reason=np.full(count, reason, np.uint8),
        source=np.zeros(count, np.uint8),
        raw=Spans.of(raw),
    )
