"""What the registry holds of vehicles, read back for people: the list, and one vehicle's whole file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from psycopg.rows import class_row, dict_row

from storage.connect import Conn, connect
from storage.fleet import papers_of
from storage.onboarding import find_vehicle
from tracks.paper import PaperBatch


@dataclass(frozen=True, slots=True)
class VehicleRow:
    """One vehicle of the list."""

    id: int
    plate: str
    plate_colour: int
    vehicle_class: str
    state: str
    terminal: str
    enterprise: str
    lines: str
    groups: str


def _party(kind: str) -> str:
    return (
        f"coalesce((SELECT string_agg(p.name, '、' ORDER BY p.name) FROM memberships m JOIN {kind}s p ON p.id = m.party_id"
        f" WHERE m.vehicle_id = v.id AND m.kind = '{kind}' AND m.valid_from <= now() AND m.valid_until > now()), '')"
    )


_LIST: Final = f"""
SELECT v.id, v.plate, v.plate_colour, v.class AS vehicle_class, v.state, coalesce(t.name, '') AS terminal,
    {_party("enterprise")} AS enterprise, {_party("line")} AS lines, {_party("group")} AS groups
FROM vehicles v LEFT JOIN terminals t ON t.vehicle_id = v.id ORDER BY v.plate, v.plate_colour
"""

_VALID: Final = "nullif(x.valid_from, '-infinity') AS valid_from, nullif(x.valid_until, 'infinity') AS valid_until"
_PAPER: Final = f"x.kind, x.number, x.issuer, {_VALID}, x.about, x.superseded_at"

SECTIONS: Final = {
    "enterprises": f"SELECT p.name, p.credit_code, p.contact, p.phone, {_VALID} FROM memberships x JOIN enterprises p ON p.id = x.party_id"
    " WHERE x.vehicle_id = %(id)s AND x.kind = 'enterprise' ORDER BY x.valid_from",
    "lines": f"SELECT p.name, p.mode, {_VALID} FROM memberships x JOIN lines p ON p.id = x.party_id"
    " WHERE x.vehicle_id = %(id)s AND x.kind = 'line' ORDER BY p.name, x.valid_from",
    "groups": f"SELECT p.name, {_VALID} FROM memberships x JOIN groups p ON p.id = x.party_id"
    " WHERE x.vehicle_id = %(id)s AND x.kind = 'group' ORDER BY p.name, x.valid_from",
    "statuses": f"SELECT x.status, {_VALID} FROM statuses x WHERE x.vehicle_id = %(id)s ORDER BY x.valid_from",
    "papers": f"SELECT {_PAPER}, l.name AS line FROM papers x LEFT JOIN lines l ON l.id = x.line_id"
    " WHERE x.vehicle_id = %(id)s ORDER BY x.kind, x.valid_from, x.id",
    "licences": f"SELECT e.name AS enterprise, {_PAPER} FROM papers x JOIN enterprises e ON e.id = x.enterprise_id WHERE x.enterprise_id IN"
    " (SELECT party_id FROM memberships WHERE vehicle_id = %(id)s AND kind = 'enterprise') ORDER BY x.valid_from, x.id",
    "drivers": f"SELECT d.name, d.qualification, d.category, d.licence_class, d.phone, {_VALID}"
    " FROM assignments x JOIN drivers d ON d.id = x.driver_id WHERE x.vehicle_id = %(id)s ORDER BY d.name, x.valid_from",
    "qualifications": f"SELECT d.name AS driver, {_PAPER} FROM papers x JOIN drivers d ON d.id = x.driver_id WHERE x.driver_id IN"
    " (SELECT driver_id FROM assignments WHERE vehicle_id = %(id)s) ORDER BY d.name, x.kind, x.valid_from, x.id",
    "terminals": "SELECT t.name, t.maker, t.model, t.edition, t.registered_plate, x.bound_at AS valid_from,"
    " nullif(x.released_at, 'infinity') AS valid_until FROM bindings x JOIN terminals t ON t.id = x.terminal_id"
    " WHERE x.vehicle_id = %(id)s ORDER BY x.bound_at",
    "onboarding": "SELECT at, action, state, by, reason FROM onboarding WHERE vehicle_id = %(id)s ORDER BY id",
}  # fmt: skip
"""What belongs to a vehicle, by name."""


def vehicle_list(url: str) -> tuple[list[VehicleRow], PaperBatch]:
    """All vehicles, and all their papers; raises `StoreUnavailable`."""
    with connect(url, "dubhe vehicles") as conn, conn.cursor(row_factory=class_row(VehicleRow)) as cursor, conn.transaction():
        return cursor.execute(_LIST).fetchall(), papers_of(conn)


def dossier(url: str, plate: str, colour: int | None) -> tuple[dict[str, Any], PaperBatch]:
    """One vehicle: its own columns, and a list for each of `SECTIONS`; with its papers as the verdict takes them.

    Raises `UnknownVehicle` or `StoreUnavailable`.
    """
    with connect(url, "dubhe vehicles") as conn, conn.transaction():
        conn.execute("SET LOCAL timezone TO 'UTC'")
        vehicle_id = find_vehicle(conn, plate, colour)
        (vehicle,) = _read(conn, "SELECT * FROM vehicles WHERE id = %(id)s", vehicle_id)
        sections = {name: _read(conn, query, vehicle_id) for name, query in SECTIONS.items()}
        return vehicle | sections, papers_of(conn, vehicle_id)


def _read(conn: Conn, query: str, vehicle_id: int) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, {"id": vehicle_id}).fetchall()
