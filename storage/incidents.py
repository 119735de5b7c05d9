"""What the rules have found, read back as incidents: whose, about what, from when to when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from storage.connect import connect
from tracks.event import KINDS, Kind

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
