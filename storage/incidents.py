"""What the rules have found, read back as incidents: whose, about what, from when to when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from psycopg.rows import class_row

from storage.connect import Conn, connect
from storage.reader import Unknown
from storage.text import clean, plate_of
from tracks.event import KINDS, Kind
from tracks.terminal import canonical

_FOUND: Final = """
SELECT e.id, t.name, coalesce(v.plate, ''), e.kind, e.subject, e.level, e.started_at, e.opened_at, e.ended_at, e.peak, e.total,
    e.retrospective, e.reasons, e.record_only
FROM events e JOIN terminals t ON t.id = e.terminal_id LEFT JOIN vehicles v ON v.id = e.vehicle_id
WHERE e.opened_at >= %(since)s AND t.name = ANY(%(terminals)s) AND e.withdrawn_at IS NULL
ORDER BY e.opened_at, e.id
"""


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as it was last told."""

    id: int
    terminal: str
    plate: str
    kind: Kind
    subject: int
    """Id of the fence, corridor or stop; see `KINDS`."""
    level: int
    started_at: datetime
    opened_at: datetime
    ended_at: datetime | None
    """None while it lasts."""
    peak: float
    total: float
    retrospective: bool
    reasons: int = 0
    """Why the vehicle was not compliant when it began, one bit each; 0: it was."""
    record_only: bool = False
    """Found of a vehicle that should not have been running: kept, and no alarm."""

    @property
    def words(self) -> list[str]:
        """What has happened of it so far, in the words of `KINDS`; a moment is one word."""
        about = KINDS[self.kind]
        return [about.opened] if self.ended_at is None or about.opened == about.closed else [about.opened, about.closed]


def incidents(url: str, since: datetime, terminals: Collection[str]) -> list[Incident]:
    """The incidents of these terminals, by name, that became certain since a moment of the terminals' clocks, without withdrawn ones."""
    with connect(url, "dubhe incidents") as conn:
        found = conn.execute(_FOUND, {"since": since, "terminals": list(terminals)}).fetchall()
    return [Incident(number, name, plate, Kind[kind.upper()], *others) for number, name, plate, kind, *others in found]


@dataclass(frozen=True, slots=True)
class EventRow:
    """One row of the table, with the names of those whom it is about."""

    id: int
    kind: str
    terminal: str
    plate: str
    subject: int
    name: str
    """Of the fence, corridor or stop as it is called now; empty where there is none, or none any more."""
    level: int
    started_at: datetime
    opened_at: datetime
    last_at: datetime
    ended_at: datetime | None
    ended: str | None
    lat: float | None
    lon: float | None
    peak: float | None
    total: float | None
    evidence: int
    retrospective: bool
    record_only: bool
    reasons: int
    same_as: int | None
    withdrawn_at: datetime | None


def _called() -> str:
    """The name of what a row is about, by its kind."""
    tables = {"fence": "fences", "corridor": "corridors", "stop": "stops"}
    cases = (
        f"WHEN '{kind.name.lower()}' THEN (SELECT name FROM {tables[about.subject]} s WHERE s.id = e.subject)"  # noqa: S608 - our own words
        for kind, about in KINDS.items()
        if about.subject in tables
    )
    return f"coalesce(CASE e.kind {' '.join(cases)} END, '')"


_EVENTS: Final = f"""
SELECT e.id, e.kind, coalesce(t.name, '') AS terminal, coalesce(v.plate, '') AS plate, e.subject, {_called()} AS name, e.level,
    e.started_at, e.opened_at, e.last_at, e.ended_at, e.ended, e.lat, e.lon, e.peak, e.total, e.evidence,
    e.retrospective, e.record_only, e.reasons, e.same_as, e.withdrawn_at
FROM events e LEFT JOIN terminals t ON t.id = e.terminal_id LEFT JOIN vehicles v ON v.id = e.vehicle_id
WHERE (%(terminal)s::bigint IS NULL OR e.terminal_id = %(terminal)s)
    AND (%(vehicles)s::bigint[] IS NULL OR e.vehicle_id = ANY(%(vehicles)s))
    AND (%(kinds)s::text[] IS NULL OR e.kind = ANY(%(kinds)s))
    AND (%(since)s::timestamptz IS NULL OR e.started_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR e.started_at < %(until)s)
    AND (NOT %(lasting)s OR e.ended_at IS NULL AND e.withdrawn_at IS NULL)
ORDER BY e.started_at DESC, e.id DESC LIMIT %(count)s
"""  # noqa: S608 - our own words


def events(
    url: str,
    *,
    terminal: str = "",
    plate: str = "",
    kinds: Collection[str] = (),
    lasting: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    count: int,
) -> list[EventRow]:
    """The newest `count` rows by their start, since ≤ start < until, withdrawn ones included; `lasting`: only what is neither over nor so.

    Raises `Unknown` for a terminal or plate of nobody.
    """
    with connect(url, "dubhe incidents") as conn, conn.cursor(row_factory=class_row(EventRow)) as cursor:
        asked = {
            "terminal": _ids(conn, "terminal", "SELECT id FROM terminals WHERE name = %s", canonical(clean(terminal)))[0]
            if terminal
            else None,
            "vehicles": _ids(conn, "vehicle", "SELECT id FROM vehicles WHERE plate = %s", plate_of(plate)) if plate else None,
            "kinds": list(kinds) or None,
            "lasting": lasting,
            "since": since,
            "until": until,
            "count": count,
        }
        return cursor.execute(_EVENTS, asked).fetchall()


def _ids(conn: Conn, what: LiteralString, query: LiteralString, name: str) -> list[int]:
    """All who are called so: of vehicles several, by the colours of their plates."""
    found = [number for (number,) in conn.execute(query, (name,)).fetchall()]
    if not found:
        msg = f"no {what} is called {name!r} 未登记; `dubhe {what} list` shows those there are"
        raise Unknown(msg)
    return found


def events_written(url: str) -> int:
    """How many incidents are stored, whosoever."""
    with connect(url, "dubhe incidents") as conn:
        row = conn.execute("SELECT count(*) FROM events").fetchone()
    assert row is not None, "a count is a row"
    return int(row[0])


def counted(found: Iterable[Incident]) -> dict[str, int]:
    """How often each word was told, the words in the order of `KINDS`."""
    count = Counter(word for each in found for word in each.words)
    order = dict.fromkeys(word for about in KINDS.values() for word in (about.opened, about.closed))
    return {word: count[word] for word in order if count[word]}
