"""Statements and COPYs in one message, which PostgreSQL takes as one transaction ("Multiple Statements in a Simple Query" in its manual).

None of them waits for the answer to the one before, so PostgreSQL goes on to the commit while we are busy with something else. psycopg's
own COPY goes alone, between a BEGIN and a COMMIT, and each of those waits for the event loop's next turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Wait

from storage.connect import AsyncConn

Statement = tuple[str, Sequence[Any] | Mapping[str, Any]]
"""What `execute` takes: a query and its values."""
Copy = tuple[str, Iterable[bytes]]
"""A COPY FROM STDIN and its data."""


async def at_once(conn: AsyncConn, statements: Iterable[Statement], copies: Sequence[Copy]) -> None:
    """Run the statements, then the COPYs: all or nothing. In a transaction that is under way they become a part of it.

    The connection is in autocommit mode. Raises psycopg's errors, as `execute` does. If the connection breaks, or we are cancelled, the
    outcome is unknown.
    """
    cursor = psycopg.AsyncClientCursor(conn)
    message = ";".join([*(cursor.mogrify(*each) for each in statements), *(copy for copy, _ in copies)])
    if message:
        async with conn.lock:
            await conn.wait(_exchange(conn.pgconn, message.encode(conn.info.encoding), [blocks for _, blocks in copies]))


def _exchange(pgconn: PGconn, message: bytes, copies: Iterable[Iterable[bytes]]) -> PQGen[None]:
    pgconn.send_query(message)
    _check((yield from generators.execute(pgconn)))
    for blocks in copies:
        for block in blocks:
            yield from generators.copy_to(pgconn, block)
        while pgconn.put_copy_end() == 0:
            yield Wait.W
        while pgconn.flush():
            yield Wait.W
        _check((yield from generators.fetch_many(pgconn)))


def _check(results: Iterable[PGresult]) -> None:
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
