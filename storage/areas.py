"""What terminals keep by themselves, as the table `terminal_areas` tells; it follows the commands by a trigger and is only read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row

from storage.connect import connect
from storage.geometry import terminals_of


@dataclass(frozen=True, slots=True)
class Holder:
    """A terminal that may keep areas."""

    id: int
    name: str
    edition: str | None
    """Of its registration; None when it has not registered here."""


@dataclass(frozen=True, slots=True)
class SentArea:
    """One area or route of one terminal: what left last, and what the terminal last said ok to."""

    kind: str
    area_id: int
    sent: dict[str, Any]
    sent_at: datetime
    result: str | None
    kept: dict[str, Any] | None
    confirmed_at: datetime | None
    removed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Queued:
    """A setting of an area, or its deletion, that waits for a terminal which is offline."""

    sets: bool
    since: datetime
    until: datetime


_HOLDERS: Final = "SELECT id, name, edition FROM terminals WHERE id = ANY(%s) ORDER BY name"
_SENT: Final = """
SELECT kind, area_id, sent, sent_at, result, kept, confirmed_at, removed_at FROM terminal_areas
WHERE terminal_id = %s ORDER BY kind, area_id
"""
_QUEUED: Final = """
SELECT DISTINCT ON (kind, area_id) kind, area_id, sets, created_at, expires_at
FROM (
    SELECT c.id, (ARRAY['circle', 'rectangle', 'polygon', 'route'])[(message_id - x'8600'::int) / 2 + 1] AS kind,
        area::text::bigint AS area_id, message_id %% 2 = 0 AS sets, created_at, expires_at
    FROM commands c, jsonb_array_elements(
        jsonb_path_query_array(fields, '$.id') || jsonb_path_query_array(fields, '$.areas[*].id')
        || jsonb_path_query_array(fields, '$.ids[*]')) AS area
    WHERE terminal_id = %s AND state = 'queued' AND expires_at > now() AND message_id BETWEEN x'8600'::int AND x'8607'::int
        AND jsonb_typeof(area) = 'number'
) AS areas
ORDER BY kind, area_id, id DESC
"""


def holders(url: str, whom: Sequence[str]) -> list[Holder]:
    """The terminals of those who are called so, each once. Raises `UnknownParty`."""
    ids = terminals_of(url, whom)
    with connect(url, "dubhe areas") as conn, conn.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(_HOLDERS, (ids,)).fetchall()


def sent_areas(url: str, terminal_id: int) -> list[SentArea]:
    """All that was ever sent to a terminal and not superseded."""
    with connect(url, "dubhe areas") as conn, conn.cursor(row_factory=class_row(SentArea)) as cursor:
        return cursor.execute(_SENT, (terminal_id,)).fetchall()


def queued_areas(url: str, terminal_id: int) -> dict[tuple[str, int], Queued]:
    """What waits for a terminal, by kind and id of the area; of several the last, which it will be left with."""
    with connect(url, "dubhe areas") as conn:
        found = conn.execute(_QUEUED, (terminal_id,)).fetchall()
    return {(kind, area_id): Queued(*waits) for kind, area_id, *waits in found}
