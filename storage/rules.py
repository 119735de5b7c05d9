"""What the rules find and remember: events beside the fixes that showed them, and the state of each terminal.

`statements` go with the COPY that stores the fixes, or `tell` runs inside its transaction, under a savepoint: there events that are
refused cost no fix.
A state is saved now and then; whoever takes a terminal up reads the last copy and the fixes received since, which give the same as if it
had never been put down.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray

from storage.atonce import Statement
from storage.connect import AsyncConn, Line, hear
from storage.errors import blames_server
from tracks.event import Ended, EventBatch, Kind
from tracks.fix import ABSENT, SOURCES, FixBatch
from tracks.spans import Index, Spans

STALE: Final = 2048
"""The flag in `fixes.quality` of a fix that came too late and waits to be judged (geofence/quality.py, which this room cannot see)."""
STRAYS: Final = "dubhe_strays"
"""Channel: a terminal of which fixes were stored by a worker that it had left."""
OVERLAP_S: Final = 60.0
"""Fixes are read again from so long before a state was saved: a batch on its way then may have been received earlier."""
FRESH_S: Final = 600.0
"""Of a terminal without a saved state the fixes of so long; a state is saved more often than that."""
LATE_US: Final = 3_600_000_000
"""Of a terminal without a saved state, no fixes older than so long before the one that comes."""


@dataclass(frozen=True, slots=True)
class Told:
    """Events to store beside a batch, one row per incident."""

    events: EventBatch
    reasons: NDArray[np.uint32]
    """Why the vehicle might not run when each began; 0 where it might."""
    rewound_id: Index
    """Terminals whose recent past was judged again …"""
    since_us: Index
    """… since when: what opened later and is not among the events did not happen."""
    late: Mapping[int, int] = field(default_factory=dict)
    """Terminals with fixes that came too late to be judged now, and the time of the earliest, in µs."""


@dataclass(frozen=True, slots=True)
class SavedState:
    """What the rules remembered of a terminal."""

    terminal_id: int
    at_us: int
    """Everything received before is in it."""
    begun_us: int
    """What opened before, it knows nothing of."""
    reach_us: int
    """What is not later is too late to be taken up."""
    last_us: int
    """Time of the newest fix in it."""
    packed: bytes


def since_epoch(expression: str) -> str:
    """A time from an expression in µs."""
    return f"timestamptz 'epoch' + {expression} * interval '1 microsecond'"


def micros(column: str) -> str:
    """A time in µs since 1970."""
    return f"(extract(epoch FROM {column}) * 1000000)::bigint"


_COLUMNS: Final = {
    "id": ("bigint", "{}"),
    "terminal_id": ("bigint", "{}"),
    "vehicle_id": ("bigint", "{}"),
    "kind": ("text", "{}"),
    "subject": ("bigint", "{}"),
    "level": ("smallint", "{}"),
    "started_at": ("bigint", since_epoch("{}")),
    "opened_at": ("bigint", since_epoch("{}")),
    "last_at": ("bigint", since_epoch("{}")),
    "ended_at": ("bigint", since_epoch("{}")),
    "ended": ("text", "{}"),
    "lat": ("float8", "{}"),
    "lon": ("float8", "{}"),
    "peak": ("float8", "{}"),
    "total": ("float8", "{}"),
    "evidence": ("integer", "{}"),
    "digest": ("bigint", "{}"),
    "retrospective": ("boolean", "{}"),
    "same_as": ("bigint", "{}"),
    "version": ("bigint", "{}"),
    "reasons": ("integer", "{}"),
    "withdrawn_at": ("boolean", "CASE WHEN {} THEN now() END"),
}
"""Column → type in which its values come, and how they become the column."""

INSERT: Final = (
    f"INSERT INTO events ({', '.join(_COLUMNS)}) SELECT {', '.join(how.format(name) for name, (_, how) in _COLUMNS.items())} "  # noqa: S608 - our own column names
    f"FROM unnest({', '.join(f'%({name})s::{kind}[]' for name, (kind, _) in _COLUMNS.items())}) AS told ({', '.join(_COLUMNS)}) "
    "ORDER BY id"
)
_AGAIN: Final = {name: f"excluded.{name}" for name in _COLUMNS if name != "id"} | {
    "retrospective": "events.retrospective AND excluded.retrospective"
}
"""What another telling makes of a column. An alarm that was told at once was one, whatever late fixes have it judged again."""
_UPSERT: Final = f"{INSERT} ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = {how}' for name, how in _AGAIN.items())}"
_WITHDRAW: Final = f"""
UPDATE events e SET withdrawn_at = now()
FROM unnest(%(terminals)s::bigint[], %(since)s::bigint[]) AS r (terminal_id, since)
WHERE e.terminal_id = r.terminal_id AND e.opened_at > {since_epoch("r.since")} AND e.withdrawn_at IS NULL AND NOT e.id = ANY(%(ids)s)
"""  # noqa: S608 - our own words
_RECALL: Final = f"""
SELECT terminal_id, {micros("at")}, {micros("begun_at")}, {micros("reach_at")}, coalesce({micros("last_at")}, 0), packed
FROM rule_states WHERE terminal_id = ANY(%s)
"""  # noqa: S608 - our own words
ABANDON: Final = f"""
UPDATE events SET ended = '{Ended.GAP.name.lower()}', ended_at = last_at
WHERE terminal_id = ANY(%(terminals)s) AND ended_at IS NULL AND withdrawn_at IS NULL AND kind <> '{Kind.OFFLINE.name.lower()}'
    AND last_at < %(before)s
"""  # noqa: S608 - our own words
"""Ends the open incidents of terminals whose states are lost, if they were last seen before a moment; silence is the sweeper's."""
STATES: Final = f"""
SELECT terminal_id, {since_epoch("at")} AS at, {since_epoch("begun_at")} AS begun_at, {since_epoch("reach_at")} AS reach_at,
    {since_epoch("last_at")} AS last_at, packed
FROM unnest(%(ids)s::bigint[], %(at)s::bigint[], %(begun)s::bigint[], %(reach)s::bigint[], %(last)s::bigint[], %(packed)b::bytea[])
    AS state (terminal_id, at, begun_at, reach_at, last_at, packed)
ORDER BY terminal_id
"""  # noqa: S608 - our own words
"""Rows of `rule_states` from `state_columns`. The packed go in binary (`b`): as text each byte is two digits, each looked at."""
_SAVE: Final = f"""
WITH given AS ({STATES}), kept AS (
    INSERT INTO rule_copies (terminal_id, last_at, begun_at, reach_at, packed)
    SELECT s.terminal_id, s.last_at, s.begun_at, s.reach_at, s.packed FROM rule_states s JOIN given USING (terminal_id)
    WHERE s.last_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM rule_copies c WHERE c.terminal_id = s.terminal_id AND c.last_at > s.last_at - interval '1 day')
    ON CONFLICT DO NOTHING)
INSERT INTO rule_states (terminal_id, at, begun_at, reach_at, last_at, packed) SELECT * FROM given
ON CONFLICT (terminal_id) DO UPDATE
SET at = excluded.at, begun_at = excluded.begun_at, reach_at = excluded.reach_at, last_at = excluded.last_at, packed = excluded.packed
WHERE rule_states.at <= excluded.at
"""  # noqa: S608 - our own words
"""What is written over is kept beside once a day, for late fixes to be judged from."""
_LATE: Final = f"""
INSERT INTO late_terminals (terminal_id, since)
SELECT terminal_id, {since_epoch("since")} FROM unnest(%s::bigint[], %s::bigint[]) AS late (terminal_id, since) ORDER BY terminal_id
ON CONFLICT (terminal_id) DO UPDATE SET since = least(late_terminals.since, excluded.since), at = excluded.at
"""  # noqa: S608 - our own words
FIX_COLUMNS: Final = f"""f.terminal_id, coalesce(f.vehicle_id, {ABSENT}), {micros("f.time")} AS time_us, f.dated, f.lat, f.lon,
    f.speed_kmh, f.course_deg, f.valid, f.alarm_bits, f.status_bits, coalesce(f.satellites, {ABSENT}),
    f.source, f.backfill, {micros("f.received_at")}, f.digest, f.raw"""
"""Of the table `fixes` as f, what rules look at; what the items of `raw` say has no columns."""
_SINCE: Final = f"""
SELECT {FIX_COLUMNS}
FROM unnest(%(ids)s::bigint[], %(since)s::bigint[], %(reach)s::bigint[]) AS w (terminal_id, since, reach)
JOIN fixes f ON f.terminal_id = w.terminal_id AND f.received_at >= {since_epoch("w.since")} AND f.time >= {since_epoch("w.reach")}
WHERE f.time >= {since_epoch("%(earliest)s::bigint")} AND f.quality & {STALE} = 0
ORDER BY f.received_at, f.time, f.digest
"""  # noqa: S608 - our own words
"""What waits is left out: it is judged with all that waits, and not a part of it with a state that happens to reach so far."""


async def tell(conn: AsyncConn, told: Told) -> bool:
    """Store events in the transaction under way. False when the rows themselves were refused: then none is stored."""
    try:
        async with conn.transaction():
            await write(conn, told)
    except psycopg.Error as error:
        if blames_server(error):
            raise
        return False
    return True


async def write(conn: AsyncConn, told: Told) -> None:
    """Store events in the transaction under way, which is lost when they are refused."""
    for statement, values in statements(told):
        await conn.execute(statement, values)


def statements(told: Told) -> Iterator[Statement]:
    """What stores events, in order."""
    if len(told.rewound_id):
        since = np.maximum(told.since_us, 0).tolist()
        yield _WITHDRAW, {"terminals": told.rewound_id.tolist(), "since": since, "ids": told.events.id.tolist()}
    if len(told.events):
        yield _UPSERT, row_values(told)
    if told.late:
        yield _LATE, (list(told.late), list(told.late.values()))


def row_values(told: Told) -> dict[str, str]:
    """What `INSERT` takes. Running of a vehicle that was compliant after all, as the registry has it by now, did not happen."""
    events, reasons = told.events, told.reasons.astype(np.int64)
    values = {
        "id": events.id.tolist(),
        "terminal_id": events.terminal_id.tolist(),
        "vehicle_id": _optional(events.vehicle_id),
        "kind": [Kind(kind).name.lower() for kind in events.kind.tolist()],
        "subject": events.subject.tolist(),
        "level": events.level.tolist(),
        "started_at": events.start_us.tolist(),
        "opened_at": events.opened_us.tolist(),
        "last_at": events.last_us.tolist(),
        "ended_at": _optional(events.end_us),
        "ended": [Ended(ended).name.lower() if ended else None for ended in events.ended.tolist()],
        "lat": events.lat.tolist(),
        "lon": events.lon.tolist(),
        "peak": events.peak.tolist(),
        "total": events.total.tolist(),
        "evidence": events.evidence.tolist(),
        "digest": events.digest.tolist(),
        "retrospective": events.retrospective.tolist(),
        "same_as": _optional(events.same_as),
        "version": events.version.tolist(),
        "reasons": reasons.tolist(),
        "withdrawn_at": ((events.kind == Kind.NON_COMPLIANT_RUNNING) & (reasons == 0)).tolist(),
    }
    return {name: _array(column) for name, column in values.items()}


def _array(values: Sequence[float | str | None]) -> str:
    """PostgreSQL's text of an array of numbers, or of words of ours: psycopg asks of every element how to write it."""
    return "{" + ",".join(["NULL" if each is None else str(each) for each in values]) + "}"


def _optional(column: Index) -> list[int | None]:
    return [None if value == ABSENT else value for value in column.tolist()]


class RuleStore:
    """Where a worker keeps what its rules remember. Raises `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._line = Line(url, "dubhe rules")

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def recall(self, first_us: Mapping[int, int], now_us: int) -> tuple[list[SavedState], FixBatch]:
        """The saved states of terminals, and the stored fixes to judge on top; `first_us`: the time of each one's first fix to come."""
        async with self._line.turn() as conn:
            found = [SavedState(*row) for row in await (await conn.execute(_RECALL, (list(first_us),))).fetchall()]
            since_us = dict.fromkeys(first_us, now_us - int(FRESH_S * 1e6))
            since_us |= {state.terminal_id: state.at_us - int(OVERLAP_S * 1e6) for state in found}
            reach_us = {each: at - LATE_US for each, at in first_us.items()}
            reach_us |= {state.terminal_id: state.reach_us or state.begun_us - LATE_US for state in found}
            values = {
                "ids": list(since_us),
                "since": list(since_us.values()),
                "reach": [reach_us[each] for each in since_us],
                "earliest": min(reach_us.values()),
            }
            return found, fixes_of(await (await conn.execute(_SINCE, values)).fetchall())

    async def abandon(self, terminal_ids: Sequence[int]) -> None:
        """End the open incidents of terminals whose states are lost: what followed is unknown. Silence is the sweeper's."""
        async with self._line.turn() as conn:
            await conn.execute(ABANDON, {"terminals": list(terminal_ids), "before": "infinity"})

    async def tell_strays(self, terminal_ids: Iterable[int]) -> None:
        """Tell all workers of terminals whose fixes were stored here after they had gone to another."""
        async with self._line.turn() as conn:
            await conn.execute("SELECT pg_notify(%s, id::text) FROM unnest(%s::bigint[]) AS id", (STRAYS, list(terminal_ids)))

    async def strays(self) -> AsyncGenerator[int, None]:
        """What workers tell so, for ever."""
        async with aclosing(hear(self._url, "dubhe strays", STRAYS)) as notices:
            async for _, payload in notices:
                if payload is not None:
                    yield int(payload)

    async def save(self, states: Sequence[SavedState]) -> None:
        """Keep states; a newer one that is kept already stays."""
        async with self._line.turn() as conn:
            await conn.execute(_SAVE, state_columns(states))


def state_columns(states: Sequence[SavedState]) -> dict[str, list[Any]]:
    """What `STATES` takes."""
    names = {"ids": "terminal_id", "at": "at_us", "begun": "begun_us", "reach": "reach_us", "last": "last_us", "packed": "packed"}
    return {column: [getattr(state, name) for state in states] for column, name in names.items()}


def fixes_of(rows: Sequence[tuple[Any, ...]]) -> FixBatch:
    """Rows of `FIX_COLUMNS` as a batch, without what no rule looks at, and without the alarms that are read of `raw`."""
    count = len(rows)
    if count == 0:
        return FixBatch.empty()
    terminal, vehicle, time, dated, lat, lon, speed, course, valid, alarm, status, satellites, source, backfill, received, digest, raw = (
        zip(*rows, strict=True)
    )
    return FixBatch(
        frame=np.zeros(count, np.int32),
        terminal_id=np.array(terminal, np.int64),
        vehicle_id=np.array(vehicle, np.int64),
        time_us=np.array(time, np.int64),
        dated=np.array(dated, np.bool_),
        lat=np.array(lat, np.float64),
        lon=np.array(lon, np.float64),
        altitude_m=np.full(count, np.nan, np.float32),
        speed_kmh=np.array(speed, np.float32),
        course_deg=np.array(course, np.float32),
        valid=np.array(valid, np.bool_),
        alarm_bits=np.array(alarm, np.int64),
        status_bits=np.array(status, np.int64),
        raised=np.zeros(count, np.int64),
        cleared=np.zeros(count, np.int64),
        place=np.zeros(count, np.int64),
        mileage_km=np.full(count, np.nan),
        satellites=np.array(satellites, np.int16),
        signal=np.full(count, ABSENT, np.int16),
        source=np.array([SOURCES.index(word) for word in source], np.uint8),
        backfill=np.array(backfill, np.bool_),
        received_us=np.array(received, np.int64),
        quality=np.zeros(count, np.uint16),
        digest=np.array(digest, np.int64),
        raw=Spans.of(raw),
    )
