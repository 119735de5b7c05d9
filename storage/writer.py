"""`TrackWriter`: a batch of fixes and rejects becomes durable in one transaction, each report exactly once.

**The fast way.** One message with all there is, the fixes by COPY straight into their table; when it is answered, the rows are on
disk. A report that is there already, or a row PostgreSQL refuses, makes it fail as a whole.

**The careful way.** In one transaction the rows are copied into a temporary table and inserted from there with ON CONFLICT DO
NOTHING, which needs no look-up that another writer could outdate. A refused row is found by bisection, under savepoints, and
goes to quarantine. The careful way is also taken first after duplicates were met or a commit's outcome was in doubt, until
a batch without duplicates shows that the terminals have caught up.

**A lost connection** leaves the outcome unknown: committed or not, the same batch may be committed again, and its fixes are
stored once. Its rejects may then stand in quarantine twice; they are evidence, not tracks.

**Identity** is (terminal, time, digest). The digest has 64 bits, so two different reports of one terminal and one second could
share it. Wherever a key is met again the bytes are compared: equal bytes are a duplicate, different ones go to quarantine
as `unstorable`: nothing answered is ever lost without a trace.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from storage.atonce import Copy, at_once
from storage.connect import AsyncConn, Line
from storage.copyrows import FIXES, QUARANTINE, Table, copy_bytes
from storage.errors import StoreUnavailable, blames_server
from storage.partitions import KNOWN_DAYS, day_sql, missing_days
from storage.rules import Told, statements, tell
from tracks.batch import Batch
from tracks.fix import ABSENT, FixBatch
from tracks.reject import RejectBatch
from tracks.spans import Index, Spans
from tracks.verdict import Reject, Verdict
from tracks.week import DAY_US

COPY_FIXES: Final = f"COPY fixes ({FIXES.columns}) FROM STDIN (FORMAT binary)"
COPY_INCOMING: Final = f"COPY incoming ({FIXES.columns}) FROM STDIN (FORMAT binary)"
COPY_QUARANTINE: Final = f"COPY quarantine ({QUARANTINE.columns}) FROM STDIN (FORMAT binary)"
INCOMING: Final = "CREATE TEMPORARY TABLE IF NOT EXISTS incoming (LIKE fixes) ON COMMIT DELETE ROWS"
INSERT: Final = sql.SQL(
    f"INSERT INTO fixes ({FIXES.columns}) SELECT {FIXES.columns} FROM incoming "  # noqa: S608 - our own column names
    "ORDER BY terminal_id, time, digest ON CONFLICT (terminal_id, time, digest) DO NOTHING"
)
COLLIDED: Final = """
SELECT i.terminal_id, i.digest, i.raw
FROM incoming i, LATERAL (
    SELECT raw FROM fixes f
    WHERE f.terminal_id = i.terminal_id AND f.time = i.time AND f.digest = i.digest
        AND f.time >= to_timestamp(%(start)s) AND f.time < to_timestamp(%(stop)s)
    LIMIT 1
) f
WHERE i.time >= to_timestamp(%(start)s) AND i.time < to_timestamp(%(stop)s) AND f.raw <> i.raw
"""
"""One day at a time, so that only that day's partition is opened: 4 ms instead of 230 ms for 500 rows before 400 chunks."""


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What became of a batch: every fix has a verdict and is counted once."""

    verdict: NDArray[np.uint8]
    """`Verdict` of each fix: COMMITTED, be it stored, a duplicate, or kept in quarantine."""
    stored: int
    duplicates: int
    quarantined: int
    """Fixes that went to quarantine as `unstorable`; the rejects are not counted."""
    seconds: float
    told: bool = True
    """The events are stored as well; False: the database refused them, and the fixes are stored without."""


class TrackWriter:
    """One connection that commits batches, one after the other. Several writers work side by side."""

    def __init__(self, url: str, *, fixes_days_max: int = 400, answer_s_max: float = 30.0) -> None:
        self._line = Line(url, "dubhe writer", answer_s_max)
        self._fixes_days_max = fixes_days_max
        self._days: set[int] | None = None
        self._wary = False
        self._prepared_for: AsyncConn | None = None

    async def open(self) -> None:
        """Connect now instead of at the first commit; raises `StoreUnavailable`."""
        async with self._line.turn() as conn:
            await self._prepare(conn)

    async def close(self) -> None:
        """Close the connection; what was committed stays."""
        await self._line.close()

    async def commit(self, fixes: FixBatch, rejects: RejectBatch, events: Told | None = None) -> CommitReport:
        """Store all rows in one transaction. Raises `StoreUnavailable`: then the same call may be made again."""
        began = perf_counter()
        try:
            async with self._line.turn() as conn:
                await self._prepare(conn)
                await self._make_days(conn, fixes)
                stored, quarantined, told = await self._store(conn, fixes, rejects, events)
        except StoreUnavailable:
            self._wary = True
            raise
        return CommitReport(
            verdict=np.full(len(fixes), Verdict.COMMITTED, np.uint8),
            stored=stored,
            duplicates=len(fixes) - stored - quarantined,
            quarantined=quarantined,
            seconds=perf_counter() - began,
            told=told,
        )

    async def _prepare(self, conn: AsyncConn) -> None:
        """Once per connection: learn which days have partitions."""
        if self._prepared_for is not conn:
            row = await (await conn.execute(KNOWN_DAYS)).fetchone()
            self._days = None if row is None or row[0] is None else set(row[0])
            self._prepared_for = conn

    async def _make_days(self, conn: AsyncConn, fixes: FixBatch) -> None:
        if self._days is None or len(fixes) == 0:
            return
        for day in missing_days(fixes.time_us, fixes.received_us, self._days, self._fixes_days_max):
            with suppress(psycopg.errors.LockNotAvailable):  # then the default partition takes the rows
                await conn.execute(day_sql(day))
            self._days.add(day)

    async def _store(self, conn: AsyncConn, fixes: FixBatch, rejects: RejectBatch, events: Told | None) -> tuple[int, int, bool]:
        """How many fixes were stored, how many went to quarantine, and whether the events are stored."""
        unique, collided = _sift(fixes)
        if not self._wary and not len(collided):
            try:
                await _copy_all(conn, fixes if len(unique) == len(fixes) else fixes.take(unique), rejects, events)
            except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
                pass  # another writer may hold the same reports in another order
            except psycopg.Error as error:
                if blames_server(error):
                    raise
            else:
                return len(unique), 0, True
        await conn.execute(INCOMING)
        async with conn.transaction():
            stored, refused = await _settle(conn, fixes, unique)
            unstorable = np.concatenate((collided, refused))
            refusals = RejectBatch.concat([rejects, _unstorable(fixes.take(unstorable))])
            await at_once(conn, (), _copies((COPY_QUARANTINE, refusals, QUARANTINE)))
            told = events is None or await tell(conn, events)
        self._wary = stored < len(unique) - len(refused)
        return stored, len(unstorable), told


async def _copy_all(conn: AsyncConn, fixes: FixBatch, rejects: RejectBatch, events: Told | None) -> None:
    """The fast way, all or nothing."""
    copies = _copies((COPY_FIXES, fixes, FIXES), (COPY_QUARANTINE, rejects, QUARANTINE))
    await at_once(conn, statements(events) if events else (), copies)


async def _settle(conn: AsyncConn, fixes: FixBatch, rows: Index) -> tuple[int, Index]:
    """The careful way for `rows`: how many are new, and which ones cannot be stored; halves what PostgreSQL refuses."""
    if len(rows) == 0:
        return 0, rows
    try:
        async with conn.transaction():
            await at_once(conn, (), _copies((COPY_INCOMING, fixes.take(rows), FIXES)))
            stored = (await conn.execute(INSERT)).rowcount
            collided = await _collided(conn, fixes, rows) if stored < len(rows) else rows[:0]
            await conn.execute("TRUNCATE incoming")
    except psycopg.Error as error:
        if blames_server(error):
            raise
    else:
        return stored, collided
    if len(rows) == 1:
        return 0, rows
    half = len(rows) // 2
    first, first_refused = await _settle(conn, fixes, rows[:half])
    second, second_refused = await _settle(conn, fixes, rows[half:])
    return first + second, np.concatenate((first_refused, second_refused))


async def _collided(conn: AsyncConn, fixes: FixBatch, rows: Index) -> Index:
    """Those of `rows` whose key is in the table with other bytes."""
    met: set[tuple[int, int, bytes]] = set()
    for day in np.unique(fixes.time_us[rows] // DAY_US).tolist():
        found = await conn.execute(COLLIDED, {"start": day * 86_400, "stop": (day + 1) * 86_400})
        met.update(await found.fetchall())
    if not met:
        return rows[:0]
    keys = ((int(fixes.terminal_id[row]), int(fixes.digest[row]), fixes.raw.bytes_at(int(row))) for row in rows)
    return rows[np.fromiter((key in met for key in keys), np.bool_, len(rows))]


def _copies(*tables: tuple[str, Batch, Table]) -> list[Copy]:
    """A COPY for each batch that has rows."""
    return [(statement, copy_bytes(batch, table)) for statement, batch, table in tables if len(batch)]


def _sift(fixes: FixBatch) -> tuple[Index, Index]:
    """Rows that are the first of their key, and rows that share the key of one of those but not its bytes."""
    digests = np.sort(fixes.digest)
    if not (digests[1:] == digests[:-1]).any():
        return np.arange(len(digests)), np.empty(0, np.int64)
    order = np.lexsort((fixes.digest, fixes.time_us, fixes.terminal_id))
    again = np.zeros(len(order), np.bool_)
    again[1:] = True
    for column in (fixes.terminal_id, fixes.time_us, fixes.digest):
        again[1:] &= np.diff(column[order]) == 0
    first = order[np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))]
    other = [fixes.raw.bytes_at(row) != fixes.raw.bytes_at(head) for row, head in zip(order[again], first[again], strict=True)]
    return np.sort(order[~again]), order[again][np.array(other, np.bool_)]


def _unstorable(fixes: FixBatch) -> RejectBatch:
    """The evidence of fixes that the table does not take."""
    return RejectBatch(
        frame=fixes.frame,
        received_us=fixes.received_us,
        terminal_id=fixes.terminal_id,
        message_id=np.full(len(fixes), ABSENT, np.int32),
        reason=np.full(len(fixes), Reject.UNSTORABLE, np.uint8),
        source=fixes.source,
        origin=Spans.blank(len(fixes)),
        raw=fixes.raw,
    )
