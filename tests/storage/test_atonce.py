"""Statements and COPYs in one message: all or nothing, and the connection is good for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from storage.atonce import Copy, Statement, at_once
from storage.connect import AsyncConn, connect_async

INTO_ONE, INTO_TWO = "COPY pg_temp.one FROM STDIN", "COPY pg_temp.two FROM STDIN"


def after(url: str, act: Callable[[AsyncConn], Awaitable[None]]) -> list[tuple[int, int]]:
    """The rows of both tables after an act, as (table, number)."""

    async def tried() -> list[tuple[int, int]]:
        async with await connect_async(url) as conn:
            await conn.execute("CREATE TEMPORARY TABLE one (number integer PRIMARY KEY)")
            await conn.execute("CREATE TEMPORARY TABLE two (number integer PRIMARY KEY)")
            await act(conn)
            rows = await conn.execute("SELECT 1, number FROM pg_temp.one UNION ALL SELECT 2, number FROM pg_temp.two ORDER BY 1, 2")
            return [(table, number) for table, number in await rows.fetchall()]

    return asyncio.run(tried())


def test_statements_go_before_copies_and_all_are_kept(database_url: str) -> None:
    async def act(conn: AsyncConn) -> None:
        one: Statement = "INSERT INTO pg_temp.one SELECT unnest(%(numbers)s::integer[])", {"numbers": [1, 2]}
        two: Statement = "INSERT INTO pg_temp.two SELECT number FROM pg_temp.one WHERE number > %s", (1,)
        await at_once(conn, [one, two], [(INTO_ONE, [b"3\n", b"4\n"]), (INTO_TWO, [b"5\n"])])

    assert after(database_url, act) == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 2), (2, 5)]


def test_nothing_to_do_is_done(database_url: str) -> None:
    assert after(database_url, lambda conn: at_once(conn, [], [])) == []


@pytest.mark.parametrize(
    ("statement", "copies"),
    [
        ("INSERT INTO pg_temp.one VALUES (1), (1)", [(INTO_ONE, [b"2\n"])]),
        ("INSERT INTO pg_temp.one VALUES (1)", [(INTO_ONE, [b"2\n", b"1\n"]), (INTO_TWO, [b"3\n"])]),
        ("INSERT INTO pg_temp.one VALUES (1)", [(INTO_ONE, [b"2\n"]), (INTO_TWO, [b"3\n", b"3\n"])]),
    ],
    ids=["in a statement", "in the first copy", "in the last copy"],
)
def test_what_is_refused_takes_everything_with_it(database_url: str, statement: str, copies: list[Copy]) -> None:
    async def act(conn: AsyncConn) -> None:
        with pytest.raises(psycopg.errors.UniqueViolation):
            await at_once(conn, [(statement, ())], copies)
        await at_once(conn, [("INSERT INTO pg_temp.two VALUES (9)", ())], [])

    assert after(database_url, act) == [(2, 9)]


def test_cancelled_while_postgres_is_at_work_it_ends_and_keeps_nothing(database_url: str) -> None:
    async def act(conn: AsyncConn) -> None:
        waits: Statement = "INSERT INTO pg_temp.one SELECT 1 FROM pg_sleep(600)", ()
        going = asyncio.create_task(at_once(conn, [waits], [(INTO_TWO, [b"2\n"])]))
        while conn.info.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
            await asyncio.sleep(0)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    assert after(database_url, act) == []
