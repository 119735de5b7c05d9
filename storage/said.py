"""What terminals say besides positions: table `messages`. A message sent again within ten minutes is one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from storage.connect import AsyncConn, Line
from storage.errors import blames_server
from storage.jsonb import jsonb

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a terminal."""

    received_us: int
    terminal_id: int
    message_id: int
    subtype: int | None
    serial: int
    fields: Mapping[str, Any]
    raw: bytes


_KEEP: Final = """
INSERT INTO messages (received_at, terminal_id, message_id, subtype, serial, fields, raw)
SELECT %(received_at)s, %(terminal_id)s, %(message_id)s, %(subtype)s, %(serial)s, %(fields)s, %(raw)s
WHERE NOT EXISTS (
    SELECT FROM messages WHERE terminal_id = %(terminal_id)s AND received_at > %(received_at)s - interval '10 minutes'
        AND message_id = %(message_id)s AND serial = %(serial)s AND raw = %(raw)s)
"""


class SaidStore:
    """Keeps messages. Raises `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self._line = Line(url, "dubhe messages")

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def keep(self, said: Sequence[Said]) -> list[int]:
        """Keep all in one transaction; returns the places of those that PostgreSQL refuses."""
        refused: list[int] = []
        if not said:
            return refused
        async with self._line.turn() as conn, conn.transaction():
            for place, each in enumerate(said):
                if not await _kept(conn, each):
                    refused.append(place)
        return refused


async def _kept(conn: AsyncConn, said: Said) -> bool:
    values = {
        "received_at": EPOCH + timedelta(microseconds=said.received_us),
        "terminal_id": said.terminal_id,
        "message_id": said.message_id,
        "subtype": said.subtype,
        "serial": said.serial,
        "fields": jsonb(said.fields),
        "raw": said.raw,
    }
    try:
        async with conn.transaction():
            await conn.execute(_KEEP, values)
    except psycopg.Error as error:
        if blames_server(error):
            raise
        return False
    return True
