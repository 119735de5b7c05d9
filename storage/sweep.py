"""What the one sweeper of all workers reads and writes: terminals that have fallen silent, and verdicts that the registry has changed."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from storage.connect import Line
from storage.rules import FIX_COLUMNS, INSERT, Told, fixes_of, row_values, since_epoch
from tracks.event import EventBatch, Kind
from tracks.fix import FixBatch
from tracks.spans import Index

REVIEWED_MAX: Final = 5_000
"""Events looked at in one statement."""

_TIMELY: Final = "f.dated AND f.time <= f.received_at + interval '2 minutes'"
"""Has a place in time: as the quality gate's faults of the clock."""

_LAST: Final = f"""
SELECT last.* FROM terminals t, LATERAL (
    SELECT {FIX_COLUMNS} FROM fixes f WHERE f.terminal_id = t.id AND {_TIMELY} AND f.time > {since_epoch("%(since)s::bigint")}
    ORDER BY f.time DESC, f.digest DESC LIMIT 1) AS last
WHERE last.time_us <= %(until)s::bigint
"""  # noqa: S608 - our own words
_TELL: Final = f"""
{INSERT}
ON CONFLICT (id) DO UPDATE SET withdrawn_at = NULL WHERE events.withdrawn_at IS NOT NULL AND events.ended_at IS NULL
"""
"""Told again it adds nothing, whatever has become of it; withdrawn because of other late fixes it comes back."""
_ENDED: Final = f"""
WITH heard AS MATERIALIZED (
    SELECT open.id, heard.at FROM events open, LATERAL (
        SELECT min(f.time) AS at FROM fixes f WHERE f.terminal_id = open.terminal_id AND f.time > open.started_at AND {_TIMELY}) AS heard
    WHERE open.kind = 'offline' AND open.ended_at IS NULL AND open.withdrawn_at IS NULL AND heard.at IS NOT NULL
        AND open.started_at > now() - make_interval(days => %s))
UPDATE events e SET withdrawn_at = CASE WHEN heard.at < e.opened_at THEN now() END,
    ended_at = CASE WHEN heard.at >= e.opened_at THEN heard.at END, ended = CASE WHEN heard.at >= e.opened_at THEN 'returned' END,
    last_at = greatest(e.last_at, heard.at)
FROM heard WHERE e.id = heard.id AND coalesce(e.ended_at, e.withdrawn_at) IS NULL
"""  # noqa: S608 - our own words
"""Who was heard again is found first, and its row by its key (`coalesce` keeps the index of open events out of it): as a plain join with
itself 10 000 silent terminals took 10 s, of which all but a tenth compared every open event with every other (2-core EPYC)."""
_REVIEW: Final = f"""
SELECT id, vehicle_id, (extract(epoch FROM started_at) * 1000000)::bigint, reasons FROM events
WHERE started_at > now() - make_interval(days => %(days)s) AND (started_at, id) > ({since_epoch("%(after_us)s::bigint")}, %(after_id)s)
    AND vehicle_id IS NOT NULL AND (%(vehicles)s::bigint[] IS NULL OR vehicle_id = ANY(%(vehicles)s))
ORDER BY started_at, id LIMIT %(count)s
"""  # noqa: S608 - our own words
_CORRECT: Final = f"""
UPDATE events e SET reasons = new.reasons, withdrawn_at = coalesce(
    e.withdrawn_at, CASE WHEN e.kind = '{Kind.NON_COMPLIANT_RUNNING.name.lower()}' AND new.reasons = 0 THEN now() END)
FROM unnest(%s::bigint[], %s::integer[]) AS new (id, reasons) WHERE e.id = new.id
"""  # noqa: S608 - our own words


_TURNED: Final = """
WITH turns AS (SELECT valid_from AS at FROM memberships UNION ALL SELECT valid_until FROM memberships)
SELECT now(), (SELECT extract(epoch FROM min(at) - now())::float8 FROM turns WHERE at > now() AND at < 'infinity'),
    CASE WHEN %(since)s::timestamptz IS NULL OR EXISTS (SELECT FROM turns WHERE at > %(since)s AND at <= now())
        THEN dubhe_tell_parties() END
"""


class SweepStore:
    """A connection for what is done now and then. Raises `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self._line = Line(url, "dubhe sweep", answer_s_max=300.0)

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def last_fixes(self, since_us: int, until_us: int) -> FixBatch:
        """The last fix of each terminal whose last is after one time and not after the other."""
        async with self._line.turn() as conn:
            return fixes_of(await (await conn.execute(_LAST, {"since": since_us, "until": until_us})).fetchall())

    async def tell_silent(self, events: EventBatch, reasons: NDArray[np.uint32], days: int) -> int:
        """Store silence that lasts, and settle what began within so many days and is over.

        Silence that a terminal's own stored fixes have filled before it was due never was one. Gives how much was not told before.
        """
        new, nobody = 0, np.empty(0, np.int64)
        async with self._line.turn() as conn, conn.transaction():
            if len(events):
                new = (await conn.execute(_TELL, row_values(Told(events, reasons, nobody, nobody)))).rowcount
            await conn.execute(_ENDED, (days,))
        return new

    async def tell_memberships(self, since: datetime | None) -> tuple[datetime, float]:
        """Let the shapes be read anew when a membership has begun or ended since then, or may have, at None.

        Gives the database's time, and how many seconds later the next one will.
        """
        async with self._line.turn() as conn:
            row = await (await conn.execute(_TURNED, {"since": since})).fetchone()
        assert row is not None, "it has no FROM"
        now, next_s, _ = row
        return now, inf if next_s is None else next_s

    async def events_to_review(self, after: tuple[int, int], days: int, vehicles: Index | None) -> tuple[Index, Index, Index, Index]:
        """Id, vehicle, start and reasons of the events after one (start, id) that began within so many days; of all vehicles at None."""
        which = None if vehicles is None else vehicles.tolist()
        values = {"after_us": after[0], "after_id": after[1], "days": days, "vehicles": which, "count": REVIEWED_MAX}
        async with self._line.turn() as conn:
            found = await (await conn.execute(_REVIEW, values)).fetchall()
        columns: Any = np.array(found, np.int64).reshape(-1, 4).T
        return columns[0], columns[1], columns[2], columns[3]

    async def correct(self, ids: Index, reasons: NDArray[np.uint32]) -> None:
        """Write what the registry says now; running of vehicles that were compliant after all did not happen."""
        async with self._line.turn() as conn, conn.transaction():
            await conn.execute(_CORRECT, (ids.tolist(), reasons.tolist()))
