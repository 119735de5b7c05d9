"""Who is online: a terminal with a session at a worker that lives.

A worker shows that it lives by an advisory lock made of its name, which dies with its connections. So who was connected to a worker
that was killed is offline at once, and nobody has to take its rows away. Those of a worker whose connections were cut count again when it
has connected again.
"""

from __future__ import annotations

from typing import Final

from storage.connect import AsyncConn

WORKERS: Final = 0x44756268
"""First key of these locks; the second is a hash of the worker's name. All other locks of ours have one key."""

ONLINE: Final = f"""(
    SELECT terminal_id, since, peer FROM sessions WHERE hashtext(worker)::oid = ANY(ARRAY(
        SELECT objid FROM pg_locks
        WHERE locktype = 'advisory' AND classid = {WORKERS} AND objsubid = 2 AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))))"""  # noqa: S608 - our own words
"""The sessions that count, as what a query selects from. The array is made once for each query, however many terminals it asks for."""


async def show_life(conn: AsyncConn, worker: str) -> None:
    """`worker` lives as long as this connection. The lock is shared: it may have several, and one of its last life may seem open yet."""
    await conn.execute("SELECT pg_advisory_lock_shared(%s, hashtext(%s))", (WORKERS, worker))
