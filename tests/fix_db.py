"""Databases for tests, on the embedded PostgreSQL and on a real TimescaleDB; every test begins with an empty one.

The embedded server starts once per run; each test's database is cloned from a migrated template. TimescaleDB takes half a
second for a database, so tests there share one that is emptied, unless they change its schema. It is looked for at
DUBHE_TEST_TIMESCALE_URL; where it is missing its tests are skipped by name, or fail with DUBHE_REQUIRE_SERVICES=1.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from storage.embedded import SETTINGS, Embedded
from storage.host import runs_in
from storage.migrate import migrate
from tracks.fix import ABSENT, FixBatch, digest64
from tracks.reject import RejectBatch
from tracks.spans import Spans
from tracks.verdict import Reject

TIMESCALE_URL = os.environ.get("DUBHE_TEST_TIMESCALE_URL", "postgresql://postgres@127.0.0.1:5433/postgres")
TEMPLATE = "dubhe_template"
BOTH = ("embedded", pytest.param("timescale", marks=pytest.mark.timescale))
_looking: dict[str, psycopg.Connection[tuple[Any, ...]] | None] = {}
"""The databases that tests have of their own, and the connection on which each is looked at."""
NOON_US = 1_760_000_000_000_000
"""2025-10-09 08:53:20 UTC, a moment for tests that need none in particular."""


@pytest.fixture(scope="session")
def embedded_url() -> Iterator[str]:
    """The embedded server, with a migrated template; use `database_url` for a database of your own."""
    place = _folder()
    server = Embedded(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SETTINGS, "fsync", "off")  # creating databases is most of the time otherwise; no test cuts the power
        url = server.start()
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {TEMPLATE}")
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


@pytest.fixture(scope="session")
def timescale_shared_url(timescale_server_url: str) -> Iterator[str]:
    """A migrated database on the real TimescaleDB for the whole run; making one takes it half a second."""
    with _database(timescale_server_url, "template0") as url:
        migrate(url)
        yield url


@pytest.fixture(scope="session")
def mold() -> Iterator[Path]:
    """A data directory whose server was started and stopped once, to be copied: initdb is the slow part."""
    folder = _folder()
    server = Embedded(folder)
    server.start()
    server.stop()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def bare_place() -> Iterator[Path]:
    """An empty data directory for a server of the test's own; whatever still runs there afterwards is killed."""
    folder = _folder()
    yield folder
    kill_all_in(folder / "postgres")
    shutil.rmtree(folder)


@pytest.fixture
def place(bare_place: Path, mold: Path) -> Path:
    """A data directory that has a stopped server in it already."""
    subprocess.run(["cp", "-a", mold / "postgres", bare_place], check=True)
    return bare_place


def _folder() -> Path:
    """A new directory, in memory where there is room: the tests make many servers and databases."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 * 1024**3
    return Path(tempfile.mkdtemp(prefix="dubhe-", dir=memory if roomy else None))


def kill_all_in(cluster: Path) -> None:
    """SIGKILL for every process that works in `cluster`: the server and its children, at once."""
    for entry in Path("/proc").glob("[0-9]*"):
        if runs_in(int(entry.name), cluster):
            with suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)


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
def timescale_url(timescale_shared_url: str) -> str:
    """An empty migrated database on the real TimescaleDB, for tests that leave its schema alone; mark them `timescale`."""
    with psycopg.connect(timescale_shared_url, autocommit=True) as conn:
        conn.execute("TRUNCATE fences, corridors, stops, events, rule_states, rule_copies, late_terminals")
        conn.execute("SET session_replication_role = replica")  # the audit cannot be emptied otherwise
        conn.execute("TRUNCATE fixes, sessions, quarantine, bindings, terminals, vehicles RESTART IDENTITY CASCADE")
        conn.execute("TRUNCATE enterprises, drivers, lines, groups, audit RESTART IDENTITY CASCADE")
    return timescale_shared_url


@pytest.fixture
def timescale_own_url(timescale_server_url: str) -> Iterator[str]:
    """A fresh migrated database on the real TimescaleDB, for tests that change its schema; mark them `timescale`."""
    with _database(timescale_server_url, "template0") as url:
        migrate(url)
        yield url


@pytest.fixture(params=BOTH)
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty migrated database, once on the embedded server and once on the real TimescaleDB."""
    url: str = request.getfixturevalue("database_url" if request.param == "embedded" else "timescale_url")
    return url


@pytest.fixture(params=BOTH)
def own_store_url(request: pytest.FixtureRequest) -> str:
    """The same for tests that change the schema."""
    url: str = request.getfixturevalue("database_url" if request.param == "embedded" else "timescale_own_url")
    return url


@contextmanager
def _database(server: str, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    url = make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        _looking[url] = None
        try:
            yield url
        finally:
            if (looking := _looking.pop(url)) is not None:
                looking.close()
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def break_connections(url: str, name: str) -> None:
    """End the connections of this database that call themselves `name`, a pattern of LIKE."""
    ours = "datname = current_database() AND application_name LIKE %s"
    rows(url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}", name)


def rows(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What the database answers to `query`. Many a test looks again and again: for a test's own database the connection is kept."""
    if url not in _looking:
        with closing(_connect(url)) as conn:
            return conn.execute(query, values).fetchall()
    if (kept := _looking[url]) is not None:
        try:
            return kept.execute(query, values).fetchall()
        except psycopg.OperationalError:
            if not kept.closed:
                raise
    _looking[url] = conn = _connect(url)  # the first, or the one before has been broken
    return conn.execute(query, values).fetchall()


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    conn = psycopg.connect(url, autocommit=True, prepare_threshold=None)  # a plan that was kept would not outlive a migration
    conn.execute("SET timezone TO 'UTC'")
    return conn


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
        "raised": 0,
        "cleared": 0,
        "place": 0,
        "mileage_km": 10.5,
        "satellites": 12,
        "signal": 20,
        "source": 0,
        "backfill": False,
        "received_us": NOON_US + 60_000_000,
        "quality": 0,
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
        origin=Spans.of([f"10.0.0.{row}:6808".encode() for row in range(count)]),
        raw=Spans.of(raw),
    )
