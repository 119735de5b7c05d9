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


_HOLDERS: Final = "SELECT id, name, edition FROM terminals WHERE id = ANY(%s) ORDER BY name"
_SENT: Final = """
SELECT kind, area_id, sent, sent_at, result, kept, confirmed_at, removed_at FROM terminal_areas
WHERE terminal_id = %s ORDER BY kind, area_id
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
