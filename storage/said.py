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

RSA_KEY: Final = 0x0A00
"""A terminal's public key; the latest stands with the terminal, too."""
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

_BURY: Final = """
INSERT INTO quarantine (received_at, terminal_id, source, message_id, reason, raw)
VALUES (now(), %s, 'jt808', %s, 'bad_subpackage', %s)
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
        if not said:
            return []
        async with self._line.turn() as conn, conn.transaction():
            if await _kept(conn, said):
                return []
            return [place for place, each in enumerate(said) if not await _kept(conn, [each])]

    async def bury(self, lost: Sequence[tuple[int, int, bytes]]) -> None:
        """Put what came of messages that never became whole into quarantine: (terminal, message id, bytes)."""
        async with self._line.turn() as conn, conn.transaction():
            for terminal_id, message_id, raw in lost:
                await conn.execute(_BURY, (terminal_id, message_id, raw))


async def _kept(conn: AsyncConn, said: Sequence[Said]) -> bool:
    """Whether PostgreSQL took all of these; if it did not, none of them is there."""
    try:
        async with conn.transaction(), conn.cursor() as cursor:
            await cursor.executemany(_KEEP, [_values(each) for each in said])
            if keys := [(jsonb(each.fields), each.terminal_id) for each in said if each.message_id == RSA_KEY]:
                await cursor.executemany("UPDATE terminals SET rsa_key = %s WHERE id = %s", keys)
    except psycopg.Error as error:
        if blames_server(error):
            raise
        return False
    return True


def _values(said: Said) -> dict[str, Any]:
    return {
        "received_at": EPOCH + timedelta(microseconds=said.received_us),
        "terminal_id": said.terminal_id,
        "message_id": said.message_id,
        "subtype": said.subtype,
        "serial": said.serial,
        "fields": jsonb(said.fields),
        "raw": said.raw,
    }
