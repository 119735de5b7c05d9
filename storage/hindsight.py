"""What judging late fixes after all reads and writes: who has some, an older state to begin with, the stored track, what has changed.

`retell` is one transaction; then late fixes lose their flag, and last goes the mark of their terminal. Whatever dies before, somebody
begins anew, and tells the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from storage.connect import Line
from storage.rules import FIX_COLUMNS, STALE, STATES, STRAYS, SavedState, Told, fixes_of, micros, since_epoch, state_columns, write
from storage.text import clean
from tracks.event import Ended
from tracks.fix import FixBatch
from tracks.spans import Index, Mask

PAGE: Final = 64
"""Fixes of each terminal read at once."""
OVERLAP_US: Final = 120_000_000
"""What is committed after a look at the table was received at most so long before it. Unmeasured; a batch waits seconds."""

UNFLAGGED_MAX: Final = 5_000
"""Fixes that lose their flag in one statement. Unmeasured."""

Waiting = Mapping[int, int]
"""Terminals with late fixes, and when the last of those came: the mark of another one differs."""

_WAITING: Final = f"""
SELECT terminal_id, {micros("at")} FROM late_terminals WHERE terminal_id = ANY(%(ids)s)
    AND (at < now() - make_interval(secs => %(quiet_s)s) OR marked_at < now() - make_interval(secs => %(patience_s)s))
ORDER BY marked_at, terminal_id LIMIT %(count)s
"""  # noqa: S608 - our own words
_FIRST: Final = f"""
SELECT l.terminal_id, {micros("first.time")} FROM late_terminals l, LATERAL (
    SELECT f.time FROM fixes f WHERE f.terminal_id = l.terminal_id AND f.time >= l.since AND f.time >= {since_epoch("%(horizon)s::bigint")}
        AND f.quality & {STALE} <> 0 ORDER BY f.time LIMIT 1) AS first
WHERE l.terminal_id = ANY(%(ids)s)
"""  # noqa: S608 - our own words
_BEGINNINGS: Final = f"""
SELECT w.terminal_id, coalesce({micros("c.last_at")}, 0), coalesce({micros("c.begun_at")}, 0), coalesce({micros("c.reach_at")}, 0),
    w.begun < %(earliest)s::bigint OR EXISTS (
        SELECT FROM fixes f WHERE f.terminal_id = w.terminal_id AND f.time >= {since_epoch("%(earliest)s::bigint")}
            AND f.time < {since_epoch("w.begun")} AND f.received_at < {since_epoch("(w.begun - %(overlap)s::bigint)")}), c.packed
FROM unnest(%(ids)s::bigint[], %(first)s::bigint[], %(begun)s::bigint[]) AS w (terminal_id, first, begun)
LEFT JOIN LATERAL (
    SELECT * FROM rule_copies c WHERE c.terminal_id = w.terminal_id AND c.last_at < {since_epoch("w.first")}
    ORDER BY c.last_at DESC LIMIT 1) AS c ON true
"""  # noqa: S608 - our own words
_PAGE: Final = f"""
SELECT {FIX_COLUMNS}, f.quality & {STALE} <> 0
FROM unnest(%(ids)s::bigint[], %(time)s::bigint[], %(digest)s::bigint[]) AS w (terminal_id, time, digest), LATERAL (
    SELECT * FROM fixes f WHERE f.terminal_id = w.terminal_id AND f.time >= {since_epoch("%(earliest)s::bigint")}
        AND (f.time, f.digest) > ({since_epoch("w.time")}, w.digest) ORDER BY f.time, f.digest LIMIT {PAGE}) AS f
"""  # noqa: S608 - our own words
_SINCE: Final = f"""
SELECT {FIX_COLUMNS}, f.quality & {STALE} <> 0
FROM unnest(%(ids)s::bigint[], %(time)s::bigint[]) AS w (terminal_id, time)
JOIN fixes f ON f.terminal_id = w.terminal_id AND f.time >= {since_epoch("w.time")}
WHERE f.time >= {since_epoch("%(earliest)s::bigint")} AND f.received_at >= {since_epoch("%(received)s::bigint")}
"""  # noqa: S608 - our own words
_SETTLE: Final = f"""
WITH done AS (SELECT * FROM unnest(%(ids)s::bigint[], %(at)s::bigint[]) AS d (terminal_id, at)), again AS (
    UPDATE late_terminals l SET marked_at = l.at FROM done d WHERE l.terminal_id = d.terminal_id AND {micros("l.at")} <> d.at)
DELETE FROM late_terminals l USING done d WHERE l.terminal_id = d.terminal_id AND {micros("l.at")} = d.at
"""  # noqa: S608 - our own words
_GONE: Final = "UPDATE events SET withdrawn_at = now() WHERE id = ANY(%s) AND withdrawn_at IS NULL"
_OVER: Final = f"""
UPDATE events SET ended = '{Ended.RULE.name.lower()}', ended_at = last_at WHERE id = ANY(%s) AND ended_at IS NULL AND withdrawn_at IS NULL
"""  # noqa: S608 - our own words
_QUALITY: Final = f"""
UPDATE fixes f SET quality = q.quality
FROM unnest(%(ids)s::bigint[], %(time)s::bigint[], %(digest)s::bigint[], %(quality)s::integer[]) AS q (terminal_id, time, digest, quality)
WHERE f.terminal_id = q.terminal_id AND f.time = {since_epoch("q.time")} AND f.digest = q.digest
    AND f.time >= {since_epoch("%(first)s::bigint")} AND f.time <= {since_epoch("%(last)s::bigint")}
"""  # noqa: S608 - our own words
_OUTDATED: Final = f"""
DELETE FROM rule_copies c USING unnest(%s::bigint[], %s::bigint[]) AS d (terminal_id, first)
WHERE c.terminal_id = d.terminal_id AND c.last_at >= {since_epoch("d.first")}
"""  # noqa: S608 - our own words
_REMADE: Final = f"""
WITH given AS ({STATES})
INSERT INTO rule_states (terminal_id, at, begun_at, reach_at, last_at, packed) SELECT * FROM given
ON CONFLICT (terminal_id) DO UPDATE SET at = excluded.at, begun_at = excluded.begun_at, reach_at = excluded.reach_at,
    last_at = excluded.last_at, packed = excluded.packed
"""  # noqa: S608 - our own words
_COPIED: Final = f"""
WITH given AS ({STATES})
INSERT INTO rule_copies (terminal_id, last_at, begun_at, reach_at, packed)
SELECT terminal_id, last_at, begun_at, reach_at, packed FROM given ON CONFLICT DO NOTHING
"""  # noqa: S608 - our own words
_MOVED: Final = "SELECT pg_notify(%(channel)s, terminal_id::text) FROM sessions WHERE terminal_id = ANY(%(ids)s) AND worker <> %(worker)s"
"""Who has taken such a terminal up meanwhile did so with the state that it had before."""
_TIDY: Final = f"""
DELETE FROM rule_copies c USING rule_copies newer
WHERE newer.terminal_id = c.terminal_id AND newer.last_at > c.last_at AND newer.last_at < {since_epoch("%s::bigint")}
"""  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True)
class Beginning:
    """What to judge a terminal's track again from."""

    terminal_id: int
    last_us: int
    """Of the older state: its newest fix; the others as in `SavedState`."""
    begun_us: int
    reach_us: int
    unknown: bool
    """The terminal had sent fixes before what is remembered of it now began, or that is too long ago to read all since."""
    packed: bytes | None
    """None: there is no older state."""


@dataclass(frozen=True, slots=True)
class Retold:
    """What judging again has come to."""

    waiting: Waiting
    first_us: Mapping[int, int]
    """Time of each terminal's first late fix."""
    late: FixBatch
    """The fixes that came too late, with the quality that they have now."""
    told: Told
    gone: Index
    """Ids of what did not happen."""
    over: Index
    """Ids of what has lasted until now under rules that are no more."""
    states: Sequence[SavedState]
    copies: Sequence[SavedState]


class HindsightStore:
    """A connection of its own, for one worker. Raises `StoreUnavailable`."""

    def __init__(self, url: str, worker: str) -> None:
        self._line = Line(url, "dubhe hindsight")
        self._worker = clean(worker)

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def waiting(self, terminal_ids: Sequence[int], count: int, *, quiet_s: float, patience_s: float) -> Waiting:
        """Some of these terminals that have late fixes, the last of which came a while ago, or the first long ago."""
        values = {"ids": list(terminal_ids), "count": count, "quiet_s": quiet_s, "patience_s": patience_s}
        async with self._line.turn() as conn:
            return dict(await (await conn.execute(_WAITING, values)).fetchall())

    async def first_us(self, terminal_ids: Sequence[int], horizon_us: int) -> dict[int, int]:
        """Time of the first late fix of each terminal that has one after the horizon."""
        values = {"ids": list(terminal_ids), "horizon": horizon_us}
        async with self._line.turn() as conn:
            return dict(await (await conn.execute(_FIRST, values)).fetchall())

    async def beginnings(self, first_us: Mapping[int, int], begun_us: Mapping[int, int], earliest_us: int) -> list[Beginning]:
        """The newest state of each terminal that knows nothing as late as its first late fix."""
        ids = list(first_us)
        values = {"ids": ids, "first": list(first_us.values()), "begun": [begun_us[each] for each in ids]}
        async with self._line.turn() as conn:
            found = await conn.execute(_BEGINNINGS, values | {"earliest": earliest_us, "overlap": OVERLAP_US})
            return [Beginning(*row) for row in await found.fetchall()]

    async def page(self, after: Mapping[int, tuple[int, int]]) -> tuple[FixBatch, Mask]:
        """The next fixes of each terminal after a time and digest, in order; and which of them came too late."""
        time_us, digest = zip(*after.values(), strict=True)
        values = {"ids": list(after), "time": list(time_us), "digest": list(digest), "earliest": min(time_us)}
        return await self._fixes(_PAGE, values)

    async def received(self, since_us: Mapping[int, int], received_us: int) -> tuple[FixBatch, Mask]:
        """The fixes received since, as far as they are not older than a time; likewise."""
        values = {"ids": list(since_us), "time": list(since_us.values()), "earliest": min(since_us.values())}
        return await self._fixes(_SINCE, values | {"received": received_us - OVERLAP_US})

    async def _fixes(self, query: str, values: dict[str, Any]) -> tuple[FixBatch, Mask]:
        async with self._line.turn() as conn:
            found = await (await conn.execute(query, values)).fetchall()
        late: NDArray[np.bool_] = np.array([row[-1] for row in found], np.bool_)
        return fixes_of([row[:-1] for row in found]), late

    async def settle(self, waiting: Waiting) -> None:
        """These have no late fixes to judge any more, unless others have come."""
        async with self._line.turn() as conn:
            await conn.execute(_SETTLE, {"ids": list(waiting), "at": list(waiting.values())})

    async def retell(self, retold: Retold) -> None:
        """Store all that has changed; terminals that have gone to another worker meanwhile are taken up anew there."""
        async with self._line.turn() as conn, conn.transaction():
            await conn.execute(_GONE, (retold.gone.tolist(),))
            await write(conn, retold.told)
            await conn.execute(_OVER, (retold.over.tolist(),))
            await conn.execute(_OUTDATED, (list(retold.first_us), list(retold.first_us.values())))
            await conn.execute(_COPIED, state_columns(retold.copies))
            await conn.execute(_REMADE, state_columns(retold.states))
            await conn.execute(_MOVED, {"channel": STRAYS, "ids": list(retold.waiting), "worker": self._worker})

    async def unflag(self, late: FixBatch) -> None:
        """Write the quality that judged fixes have now, a portion at a time: they may be very many."""
        for first in range(0, len(late), UNFLAGGED_MAX):
            async with self._line.turn() as conn:
                await conn.execute(_QUALITY, _qualities(late.take(np.arange(first, min(first + UNFLAGGED_MAX, len(late))))))

    async def tidy(self, horizon_us: int) -> None:
        """Drop older states that nothing will be judged from again: of each terminal the last before the horizon stays."""
        async with self._line.turn() as conn:
            await conn.execute(_TIDY, (horizon_us,))


def _qualities(fixes: FixBatch) -> dict[str, Any]:
    columns = {"ids": "terminal_id", "time": "time_us", "digest": "digest", "quality": "quality"}
    bounds = {"first": int(fixes.time_us.min()), "last": int(fixes.time_us.max())}
    return {name: getattr(fixes, column).tolist() for name, column in columns.items()} | bounds
