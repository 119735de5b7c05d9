"""Lines and groups, and which vehicles belong to them when; nothing is deleted, a membership ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from storage.connect import Conn, connect
from storage.enrol import EnrolError, colour_of
from storage.onboarding import UnknownVehicle, find_vehicle
from storage.text import clean
from tracks.words import alike, did_you_mean

TABLES: Final = {"line": "lines", "group": "groups", "enterprise": "enterprises"}
NAMED_MAX: Final = 20

_LIST: Final = """
SELECT p.id, p.name, v.plate, nullif(m.valid_from, '-infinity') AS valid_from, nullif(m.valid_until, 'infinity') AS valid_until
FROM {} p LEFT JOIN memberships m ON m.kind = {} AND m.party_id = p.id AND m.valid_until > now() LEFT JOIN vehicles v ON v.id = m.vehicle_id
ORDER BY p.name, v.plate, m.valid_from
"""
_JOIN: Final = """
INSERT INTO memberships (vehicle_id, kind, party_id, valid_from, valid_until)
SELECT vehicle, %(kind)s, %(party)s, coalesce(%(since)s::timestamptz, now()), coalesce(%(until)s::timestamptz, 'infinity')
FROM unnest(%(vehicles)s::bigint[]) AS vehicle
"""
_OVERLAPS: Final = """
SELECT vehicle_id FROM memberships WHERE vehicle_id = ANY(%(vehicles)s) AND kind = %(kind)s AND party_id = %(party)s
    AND valid_from < coalesce(%(until)s::timestamptz, 'infinity') AND valid_until > coalesce(%(since)s::timestamptz, now())
"""
_LEAVE: Final = """
UPDATE memberships SET valid_until = coalesce(%(until)s::timestamptz, now())
WHERE vehicle_id = ANY(%(vehicles)s) AND kind = %(kind)s AND party_id = %(party)s
    AND valid_from < coalesce(%(until)s::timestamptz, now()) AND valid_until > coalesce(%(until)s::timestamptz, now())
RETURNING vehicle_id
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
    with connect(url, "dubhe parties") as conn:
        row = conn.execute(query.format(sql.Identifier(TABLES[kind])), (name,)).fetchone()
    assert row is not None, "an insert returns its row"
    return int(row[0])


def join(
    url: str,
    kind: str,
    name: str,
    plates: Sequence[str],
    *,
    colour: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> None:
    """Let vehicles belong to a line or group, from now on unless said: all or none. Raises `EnrolError` for those that do already."""
    with connect(url, "dubhe parties") as conn, conn.transaction():
        party, vehicles = _party(conn, kind, name), _vehicles(conn, plates, colour)
        values = {"kind": kind, "party": party, "vehicles": list(vehicles), "since": since, "until": until}
        if there := {vehicles[vehicle] for (vehicle,) in conn.execute(_OVERLAPS, values).fetchall()}:
            msg = f"{', '.join(sorted(there))}: in {kind} {clean(name)} at that time already 该时段已属于; none of the vehicles is assigned"
            raise EnrolError(msg)
        try:
            conn.execute(_JOIN, values)
        except psycopg.errors.CheckViolation:
            msg = "it would end before it begins 结束时间早于开始时间"
            raise EnrolError(msg) from None


def leave(url: str, kind: str, name: str, plates: Sequence[str], *, colour: str = "", until: datetime | None = None) -> None:
    """End vehicles' memberships, now unless said: all or none. Raises `EnrolError` for those that have none."""
    with connect(url, "dubhe parties") as conn, conn.transaction():
        party, vehicles = _party(conn, kind, name), _vehicles(conn, plates, colour)
        values = {"kind": kind, "party": party, "vehicles": list(vehicles), "until": until}
        gone = {vehicle for (vehicle,) in conn.execute(_LEAVE, values).fetchall()}
        if strangers := [plate for vehicle, plate in vehicles.items() if vehicle not in gone]:
            msg = f"{', '.join(strangers)}: not in {kind} {clean(name)} at that time 该时段不属于; none of the vehicles is unassigned"
            raise EnrolError(msg)


def members(url: str, kind: str) -> list[Member]:
    """Every line or group with the vehicles of now and later, by name and plate."""
    query = sql.SQL(_LIST).format(sql.Identifier(TABLES[kind]), sql.Literal(kind))
    with connect(url, "dubhe parties") as conn, conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute(query).fetchall()


def require_party(url: str, kind: str, name: str) -> str:
    """The name of a line, group or enterprise as the registry has it. Raises `EnrolError` for one that is not there."""
    with connect(url, "dubhe parties") as conn:
        _party(conn, kind, name)
    return clean(name).strip()


def _party(conn: Conn, kind: str, name: str) -> int:
    query = sql.SQL("SELECT id FROM {} WHERE name = %s").format(sql.Identifier(TABLES[kind]))
    row = conn.execute(query, (clean(name).strip(),)).fetchone()
    if row is None:
        raise EnrolError(unknown_party(conn, kind, name))
    return int(row[0])


def unknown_party(conn: Conn, kind: str, name: str) -> str:
    """The sentence about a name that no line, group or enterprise has."""
    known = [each for (each,) in conn.execute(sql.SQL("SELECT name FROM {} ORDER BY name").format(sql.Identifier(TABLES[kind]))).fetchall()]
    if kind == "enterprise":
        more = [f"{len(known) - NAMED_MAX} more"] if len(known) > NAMED_MAX else []
        way = f"those there are: {', '.join(known[:NAMED_MAX] + more) or 'none'}; `dubhe vehicle import` enters them"
    else:
        way = f"`dubhe {kind} list` shows those there are, `dubhe {kind} add` enters one"
    return f"no {kind} is called {clean(name)!r} 未登记{did_you_mean(alike(clean(name), known))}; {way}"


def _vehicles(conn: Conn, plates: Sequence[str], colour: str) -> dict[int, str]:
    """Vehicle → plate. Raises `EnrolError`, which names all that are unknown."""
    number = colour_of(colour) if colour else None
    found, problems = {}, []
    for plate in plates:
        try:
            found[find_vehicle(conn, plate, number)] = clean(plate)
        except UnknownVehicle as error:
            problems.append(str(error))
    if problems:
        raise EnrolError("; ".join(problems))
    return found
