"""The registry read back for people: each terminal with its vehicle and whether it is online."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from storage.connect import connect
from storage.online import ONLINE


@dataclass(frozen=True, slots=True)
class Entry:
    """One terminal of the roster."""

    terminal: str
    plate: str | None
    plate_colour: int | None
    vetted: bool
    edition: str | None
    model: str | None
    registered_at: datetime | None
    online_since: datetime | None
    peer: str | None


_ROSTER = f"""
SELECT t.name AS terminal, v.plate, v.plate_colour, t.vetted, t.edition, t.model, t.last_registered_at AS registered_at,
    s.since AS online_since, s.peer
FROM terminals t LEFT JOIN vehicles v ON v.id = t.vehicle_id LEFT JOIN {ONLINE} s ON s.terminal_id = t.id
WHERE %(after)s < t.name ORDER BY t.name LIMIT %(count)s
"""  # noqa: S608 - our own words


def roster(url: str, *, after: str = "", count: int = 1000) -> list[Entry]:
    """At most `count` terminals whose name sorts behind `after`; raises `StoreUnavailable`."""
    with connect(url, "dubhe roster") as conn, conn.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(_ROSTER, {"after": after, "count": count}).fetchall()
