"""`Lease`: something that only one process of all workers does at a time. It is held for as long as the holder's connection lives.

An advisory lock of PostgreSQL, so it frees itself when its holder is killed, and nothing has to time out.
"""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg

from storage.connect import AsyncConn, connect_async
from storage.errors import StoreUnavailable

TRY_EVERY_S: Final = 1.0

BROKER: Final = 0x44756268_6D
"""Key of the lease of the one worker that reads from the MQTT broker."""
SWEEP: Final = 0x44756268_73
"""Key of the lease of the one worker that looks for silence."""


class Lease:
    """One lease of one database, on a connection of its own."""

    def __init__(self, url: str, key: int) -> None:
        self._url = url
        self._key = key
        self._conn: AsyncConn | None = None

    async def acquire(self) -> None:
        """Wait until it is ours, however long another holds it or the database is away."""
        while not await self._try():  # noqa: ASYNC110 - another process holds it
            await asyncio.sleep(TRY_EVERY_S)

    async def held(self) -> bool:
        """Whether it is still ours: it is lost with the connection."""
        if self._conn is None:
            return False
        try:
            async with asyncio.timeout(10):
                await self._conn.execute("SELECT 1")
        except (psycopg.Error, TimeoutError):
            return False
        return True

    async def release(self) -> None:
        """Let another have it."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()

    async def _try(self) -> bool:
        try:
            if self._conn is None or self._conn.closed:
                self._conn = await connect_async(self._url, "dubhe lease")
            row = await (await self._conn.execute("SELECT pg_try_advisory_lock(%s)", (self._key,))).fetchone()
        except (psycopg.Error, StoreUnavailable):
            await self.release()
            return False
        return row is not None and bool(row[0])
