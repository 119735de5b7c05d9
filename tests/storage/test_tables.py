"""The tables that others may read: their names and columns are words that people and programs rely on. Add to them; never rename."""

from __future__ import annotations

import re
from pathlib import Path

from fix_db import rows
from tracks.event import Ended, Kind

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
TABLES = {"fixes", "events", "vehicles", "terminals", "fences", "corridors", "stops", "quarantine", "commands", "media", "audit"}
FIXES = {
    "time": "timestamp with time zone",
    "terminal_id": "bigint",
    "vehicle_id": "bigint",
    "lat": "double precision",
    "lon": "double precision",
    "altitude_m": "real",
    "speed_kmh": "real",
    "course_deg": "real",
    "valid": "boolean",
    "alarm_bits": "bigint",
    "status_bits": "bigint",
    "mileage_km": "double precision",
    "satellites": "smallint",
    "signal": "smallint",
    "source": "text",
    "backfill": "boolean",
    "received_at": "timestamp with time zone",
    "raw": "bytea",
}
EVENTS = {
    "id": "bigint",
    "terminal_id": "bigint",
    "vehicle_id": "bigint",
    "kind": "text",
    "subject": "bigint",
    "level": "smallint",
    "started_at": "timestamp with time zone",
    "opened_at": "timestamp with time zone",
    "last_at": "timestamp with time zone",
    "ended_at": "timestamp with time zone",
    "ended": "text",
    "lat": "double precision",
    "lon": "double precision",
    "peak": "double precision",
    "total": "double precision",
    "evidence": "integer",
    "digest": "bigint",
    "retrospective": "boolean",
    "same_as": "bigint",
    "version": "bigint",
    "reasons": "integer",
    "record_only": "boolean",
    "withdrawn_at": "timestamp with time zone",
}


def columns(url: str, table: str) -> dict[str, str]:
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s"
    return dict(rows(url, query, table))  # type: ignore[arg-type] # each row has two


def test_the_tables_that_others_may_read_are_there(store_url: str) -> None:
    there = {name for (name,) in rows(store_url, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")}

    assert TABLES <= there


def test_what_others_read_of_fixes_is_called_and_kept_as_they_know_it(store_url: str) -> None:
    assert FIXES.items() <= columns(store_url, "fixes").items()


def test_what_others_read_of_events_is_called_and_kept_as_they_know_it(store_url: str) -> None:
    assert EVENTS.items() <= columns(store_url, "events").items()


def test_the_query_that_the_page_shows_is_answered(database_url: str) -> None:
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)

    assert [] == rows(database_url, query)


def test_the_page_about_events_explains_every_column_and_kind_and_no_other(database_url: str) -> None:
    about, _, kinds = PAGE.read_text("utf-8").partition("## Kinds")

    assert set(columns(database_url, "events")) == set(re.findall(r"^\| `(\w+)`", about, re.MULTILINE))
    assert [kind.name.lower() for kind in Kind] == re.findall(r"^\| `(\w+)`", kinds, re.MULTILINE)
    assert {each.name.lower() for each in Ended if each} <= set(re.findall(r"`(\w+)`", about))
