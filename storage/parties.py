"""Lines and groups, and which vehicles belong to them when; nothing is deleted, a membership ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from storage.connect import Conn, connect
from storage.enrol import EnrolError
from storage.errors import unavailable
from storage.onboarding import find_vehicle
from storage.text import clean

TABLES: Final = {"line": "lines", "group": "groups"}

_LIST: Final = """
SELECT p.id, p.name, v.plate, nullif(m.valid_from, '-infinity') AS valid_from, nullif(m.valid_until, 'infinity') AS valid_until
FROM {} p LEFT JOIN memberships m ON m.kind = {} AND m.party_id = p.id AND m.valid_until > now() LEFT JOIN vehicles v ON v.id = m.vehicle_id
ORDER BY p.name, v.plate, m.valid_from
"""
_JOIN: Final = """
INSERT INTO memberships (vehicle_id, kind, party_id, valid_from, valid_until)
VALUES (%(vehicle)s, %(kind)s, %(party)s, coalesce(%(since)s::timestamptz, now()), coalesce(%(until)s::timestamptz, 'infinity'))
"""
_OVERLAPS: Final = """
SELECT EXISTS (SELECT FROM memberships WHERE vehicle_id = %(vehicle)s AND kind = %(kind)s AND party_id = %(party)s
    AND valid_from < coalesce(%(until)s::timestamptz, 'infinity') AND valid_until > coalesce(%(since)s::timestamptz, now()))
"""
_LEAVE: Final = """
UPDATE memberships SET valid_until = coalesce(%(until)s::timestamptz, now())
WHERE vehicle_id = %(vehicle)s AND kind = %(kind)s AND party_id = %(party)s
    AND valid_from < coalesce(%(until)s::timestamptz, now()) AND valid_until > coalesce(%(until)s::timestamptz, now())
"""


@dataclass(frozen=True, slots=True)
class Member:
    """A line or group, and a vehicle that belongs to it now or will; no plate where none does."""

    id: int
    name: str
    plate: str | None
    valid_from: datetime | None
    valid_until: datetime | None


def add_party(url: str, kind: str, name: str) -> int:
    """Enter a line or group, or find it; its id. Raises `EnrolError`."""
    if not (name := clean(name).strip()):
        msg = f"a {kind} needs a name 请注明名称"
        raise EnrolError(msg)
    query = sql.SQL("INSERT INTO {} (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id")
    with _talking(url) as conn:
        row = conn.execute(query.format(sql.Identifier(TABLES[kind])), (name,)).fetchone()
    assert row is not None, "an insert returns its row"
    return int(row[0])


def join(url: str, kind: str, name: str, plate: str, *, since: datetime | None = None, until: datetime | None = None) -> None:
    """Let a vehicle belong to a line or group, from now on unless said; twice at one time is refused. Raises `EnrolError`."""
    with _talking(url) as conn, conn.transaction():
        values = _who(conn, kind, name, plate) | {"since": since, "until": until}
        row = conn.execute(_OVERLAPS, values).fetchone()
        if row is not None and row[0]:
            msg = f"{clean(plate)} belongs to {kind} {clean(name)} at that time already 该时段已属于"
            raise EnrolError(msg)
        try:
            conn.execute(_JOIN, values)
        except psycopg.errors.CheckViolation:
            msg = "it would end before it begins 结束时间早于开始时间"
            raise EnrolError(msg) from None


def leave(url: str, kind: str, name: str, plate: str, *, until: datetime | None = None) -> None:
    """End a vehicle's membership, now unless said. Raises `EnrolError`."""
    with _talking(url) as conn, conn.transaction():
        if conn.execute(_LEAVE, _who(conn, kind, name, plate) | {"until": until}).rowcount == 0:
            msg = f"{clean(plate)} does not belong to {kind} {clean(name)} at that time 该时段不属于"
            raise EnrolError(msg)


def members(url: str, kind: str) -> list[Member]:
    """Every line or group with the vehicles of now and later, by name and plate."""
    query = sql.SQL(_LIST).format(sql.Identifier(TABLES[kind]), sql.Literal(kind))
    with _talking(url) as conn, conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute(query).fetchall()


def _who(conn: Conn, kind: str, name: str, plate: str) -> dict[str, object]:
    query = sql.SQL("SELECT id FROM {} WHERE name = %s").format(sql.Identifier(TABLES[kind]))
    row = conn.execute(query, (clean(name).strip(),)).fetchone()
    if row is None:
        msg = f"no {kind} is called {clean(name)!r} 未登记; `dubhe {kind} add` enters one"
        raise EnrolError(msg)
    return {"kind": kind, "party": row[0], "vehicle": find_vehicle(conn, plate, None)}


@contextmanager
def _talking(url: str) -> Iterator[Conn]:
    with connect(url, "dubhe parties") as conn:
        try:
            yield conn
        except psycopg.Error as error:
            raise unavailable(error) from error
