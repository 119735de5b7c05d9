"""The fleet as the worker needs it: every vehicle's papers in time, and what each terminal's vehicle may do, as columns.

One row with a few byte strings comes back, whatever the size of the fleet, so that reading it does not hold up the gateway's loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from storage.connect import Conn, Line, hear
from tracks.binding import BindingBatch
from tracks.paper import ALWAYS_S, NEVER_S, Paper, PaperBatch
from tracks.spans import Index, Mask

CHANNEL: Final = "dubhe_fleet"
QUIET_S: Final = 0.5
"""Changes that follow one another so soon are told once: an import makes thousands."""

KEY_CLASSES: Final = ("coach", "tour", "charter")
"""Classes of vehicles that the rules of coaches are for."""

_VALID: Final = "greatest({0}.valid_from, {1}.valid_from), least({0}.valid_until, {1}.valid_until)"

HELD: Final = f"""
WITH held AS (SELECT * FROM papers WHERE superseded_at IS NULL),
     served AS (SELECT * FROM memberships WHERE kind = 'line'),
     stepped AS (
         SELECT vehicle_id, state, at, coalesce(lead(at) OVER (PARTITION BY vehicle_id ORDER BY id), 'infinity') AS until FROM onboarding),
     fitting AS (
         SELECT m.vehicle_id, range_agg(tstzrange(m.valid_from, m.valid_until) * tstzrange(p.valid_from, p.valid_until)) AS spans
         FROM served m JOIN held p ON p.vehicle_id = m.vehicle_id AND p.kind = 'permit' AND (p.line_id IS NULL OR p.line_id = m.party_id)
         GROUP BY m.vehicle_id),
     permitted AS (
         SELECT vehicle_id, range_agg(tstzrange(valid_from, valid_until)) AS spans FROM held WHERE kind = 'permit' GROUP BY vehicle_id),
     assigned AS (SELECT vehicle_id, range_agg(tstzrange(valid_from, valid_until)) AS spans FROM served GROUP BY vehicle_id)
SELECT vehicle_id, kind, valid_from, valid_until FROM held WHERE vehicle_id IS NOT NULL
UNION ALL
SELECT m.vehicle_id, 'licence', {_VALID.format("m", "p")}
FROM memberships m JOIN held p ON p.enterprise_id = m.party_id WHERE m.kind = 'enterprise' AND p.kind = 'licence'
UNION ALL
SELECT a.vehicle_id, 'crew', {_VALID.format("a", "p")} FROM assignments a JOIN held p USING (driver_id) WHERE p.kind = 'qualification'
UNION ALL
SELECT vehicle_id, 'terminal', bound_at, released_at FROM bindings
UNION ALL
SELECT vehicle_id, 'vetting', at, until FROM stepped WHERE state IN ('approved', 'active', 'suspended')
UNION ALL
SELECT vehicle_id, 'suspension', at, until FROM stepped WHERE state = 'suspended'
UNION ALL
SELECT vehicle_id, 'standstill', valid_from, valid_until FROM statuses WHERE status <> 'operating'
UNION ALL
SELECT vehicle_id, 'off_permit', lower(span), upper(span)
FROM assigned a JOIN permitted p USING (vehicle_id) LEFT JOIN fitting f USING (vehicle_id),
    unnest(a.spans * p.spans - coalesce(f.spans, '{{}}')) AS span
"""  # noqa: S608 - our own words
"""Vehicle, kind, valid_from, valid_until of everything that `tracks.paper` names; an interval may be empty."""


def _second(expression: str) -> str:
    """A time as whole seconds; infinities become the ends of time."""
    return f"least(greatest(floor(extract(epoch FROM {expression})), {ALWAYS_S}), {NEVER_S})::bigint"


def _packed(*columns: str) -> str:
    """Columns of bigint as one byte string, row after row."""
    return f"coalesce(string_agg({' || '.join(f'int8send({column})' for column in columns)}, ''), '')"


_PAPERS: Final = f"""
SELECT {_packed("vehicle_id", "code", _second("valid_from"), _second("valid_until"))}
FROM ({HELD}) AS held JOIN unnest(%(kinds)s::text[], %(codes)s::bigint[]) AS known (kind, code) USING (kind)
"""  # noqa: S608 - our own words
_LOAD: Final = f"""
SELECT (SELECT last_value - (NOT is_called)::int FROM fleet_versions),
    ({_PAPERS}),
    (SELECT {_packed("t.id", "v.id", "(v.class = ANY(%(key)s))::int", "coalesce(v.max_kmh, 0)")}
     FROM terminals t JOIN vehicles v ON v.id = t.vehicle_id),
    (SELECT {_packed("terminal_id", "vehicle_id", _second("bound_at"), _second("released_at"))}
     FROM bindings WHERE released_at < 'infinity')
"""  # noqa: S608 - our own words
_VALUES: Final[dict[str, Any]] = {
    "kinds": [paper.name.lower() for paper in Paper],
    "codes": [int(paper) for paper in Paper],
    "key": list(KEY_CLASSES),
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet at one version."""

    version: int
    papers: PaperBatch
    terminal_id: Index
    """Terminals that serve a vehicle; the columns below are about it."""
    vehicle_id: Index
    coach: Mask
    """The rules of coaches are for it."""
    max_kmh: NDArray[np.float64]
    """Its own speed limit, infinite where it has none."""
    past: BindingBatch
    """Which terminal served which vehicle before."""


class FleetStore:
    """A worker's view of the fleet. Raises `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._line = Line(url, "dubhe fleet")

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def load(self) -> Fleet:
        """The fleet as of one moment."""
        async with self._line.turn() as conn, conn.cursor(binary=True) as cursor:
            row = await (await cursor.execute(_LOAD, _VALUES)).fetchone()
        assert row is not None, "it has no FROM"
        version, papers, limits, past = row
        terminal, its_vehicle, coach, max_kmh = _columns(limits)
        return Fleet(
            version,
            _papers(papers),
            terminal_id=terminal,
            vehicle_id=its_vehicle,
            coach=coach == 1,
            max_kmh=np.where(max_kmh > 0, max_kmh, np.inf),
            past=BindingBatch(*_columns(past)).sorted(),
        )

    async def changes(self) -> AsyncGenerator[None, None]:
        """Something happens at every change, for ever; also after each connect, for what was missed."""
        async with aclosing(hear(self._url, "dubhe fleet changes", CHANNEL, quiet_s=QUIET_S)) as notices:
            async for _ in notices:
                yield


def papers_of(conn: Conn, vehicle_id: int | None = None) -> PaperBatch:
    """The papers of one vehicle, or of all, in the transaction under way."""
    query = f"{_PAPERS} WHERE %(vehicle_id)s::bigint IS NULL OR vehicle_id = %(vehicle_id)s"
    with conn.cursor(binary=True) as cursor:
        row = cursor.execute(query, _VALUES | {"vehicle_id": vehicle_id}).fetchone()
    assert row is not None, "it aggregates"
    return _papers(row[0])


def _papers(packed: bytes) -> PaperBatch:
    vehicle, paper, from_s, until_s = _columns(packed)
    return PaperBatch(vehicle, paper.astype(np.uint8), from_s, until_s)


def _columns(packed: bytes) -> tuple[Index, Index, Index, Index]:
    """Four columns of what `_packed` made."""
    table = np.frombuffer(packed, ">i8").reshape(-1, 4).astype(np.int64)
    one, two, three, four = (np.ascontiguousarray(column) for column in table.T)
    return one, two, three, four
