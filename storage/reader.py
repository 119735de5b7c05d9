"""Reading tracks back: one terminal's or one vehicle's history as a stream, its latest fix, and counts for reports.

A history reads the one index of `fixes`, (terminal_id, time, digest). A plate is therefore looked up through the terminals
that ever served the vehicle (`bindings`), and of their fixes those that were sent for that vehicle are taken.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql
from psycopg.rows import args_row

from storage.connect import Conn, connect
from storage.errors import StoreError
from storage.text import clean, plate_of
from tracks.terminal import canonical

ROWS_PER_FETCH: Final = 2000


class Unknown(StoreError):  # noqa: N818 - an answer, not a mistake
    """No terminal and no vehicle is called so."""


@dataclass(frozen=True, slots=True)
class TrackRow:
    """One fix as the table has it."""

    time: datetime
    terminal: str
    lat: float | None
    lon: float | None
    altitude_m: float | None
    speed_kmh: float | None
    course_deg: float | None
    valid: bool
    dated: bool
    alarm_bits: int
    status_bits: int
    mileage_km: float | None
    satellites: int | None
    signal: int | None
    source: str
    backfill: bool
    quality: int
    received_at: datetime
    raw: bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is; exact, so it reads the whole table."""

    fixes: int
    terminals: int
    vehicles: int
    quarantined: dict[str, int]
    """Rows of quarantine by reason."""


_WHO: Final = """
SELECT t.id, NULL::bigint FROM terminals t WHERE t.name = %(name)s
UNION ALL
SELECT DISTINCT b.terminal_id, v.id FROM vehicles v JOIN bindings b ON b.vehicle_id = v.id WHERE v.plate = %(plate)s
"""

_FIXES: Final = """
SELECT f.time, t.name AS terminal, f.lat, f.lon, f.altitude_m, f.speed_kmh, f.course_deg, f.valid, f.dated, f.alarm_bits,
    f.status_bits, f.mileage_km, f.satellites, f.signal, f.source, f.backfill, f.quality,
    f.received_at, f.raw
FROM fixes f JOIN terminals t ON t.id = f.terminal_id
WHERE f.terminal_id = {terminal} AND ({vehicle}::bigint IS NULL OR f.vehicle_id = {vehicle}) AND f.time >= {start} AND f.time < {stop}
"""


def track(url: str, who: str, start: datetime, stop: datetime) -> Generator[TrackRow]:
    """The fixes of terminal or plate `who` with start ≤ time < stop, in order of time, streamed.

    Raises `Unknown` or `StoreUnavailable`, both when the first row is asked for.
    """
    with _reading(url) as conn, conn.cursor("track", row_factory=args_row(TrackRow)) as cursor:
        cursor.itersize = ROWS_PER_FETCH
        cursor.execute(_union(_who(conn, who), start, stop) + sql.SQL(" ORDER BY time, received_at"))
        yield from cursor


def latest(url: str, who: str, before: datetime) -> TrackRow | None:
    """The newest fix of terminal or plate `who` before a moment; clocks that run ahead are the reason to name one."""
    with _reading(url) as conn, conn.cursor(row_factory=args_row(TrackRow)) as cursor:
        beginning = datetime.min.replace(tzinfo=before.tzinfo)
        cursor.execute(_union(_who(conn, who), beginning, before) + sql.SQL(" ORDER BY time DESC, received_at DESC LIMIT 1"))
        return cursor.fetchone()


def counts(url: str) -> Counts:
    """Count everything."""
    with _reading(url) as conn:
        row = conn.execute(
            "SELECT (SELECT count(*) FROM fixes), (SELECT count(*) FROM terminals), (SELECT count(*) FROM vehicles)"
        ).fetchone()
        assert row is not None
        reasons = conn.execute("SELECT reason, count(*) FROM quarantine GROUP BY reason ORDER BY reason").fetchall()
    return Counts(row[0], row[1], row[2], dict(reasons))


@contextmanager
def _reading(url: str) -> Iterator[Conn]:
    with connect(url, "dubhe reader") as conn:
        conn.execute("SET timezone TO 'UTC'")
        with conn.transaction():
            yield conn


def _who(conn: Conn, who: str) -> list[tuple[int, int | None]]:
    """The terminals to read and, for a plate, the vehicle their fixes must belong to."""
    name = canonical(clean(who))
    found = conn.execute(_WHO, {"name": name, "plate": plate_of(who)}).fetchall()
    if not found and conn.execute("SELECT FROM vehicles WHERE plate = %s", (plate_of(who),)).fetchone() is None:
        cure = "`dubhe terminal list` and `dubhe vehicle list` show those there are"
        msg = f"no terminal and no vehicle is called {clean(who)!r} 未登记; {cure}"
        raise Unknown(msg)
    return [(terminal_id, vehicle_id) for terminal_id, vehicle_id in found]


def _union(whom: list[tuple[int, int | None]], start: datetime, stop: datetime) -> sql.Composed:
    """One index scan for each terminal."""
    parts = [
        sql.SQL(_FIXES).format(
            terminal=sql.Literal(terminal), vehicle=sql.Literal(vehicle), start=sql.Literal(start), stop=sql.Literal(stop)
        )
        for terminal, vehicle in whom or [(0, None)]
    ]
    return sql.SQL(" UNION ALL ").join(parts)
