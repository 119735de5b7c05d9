from __future__ import annotations

import asyncio

import pytest
from psycopg.conninfo import make_conninfo

from storage.connect import connect, connect_async
from storage.errors import StoreUnavailable


def test_what_breaks_within_a_connection_is_one_sentence_and_the_connection_is_closed(database_url: str) -> None:
    with pytest.raises(StoreUnavailable, match="run `dubhe migrate`"), connect(database_url) as conn:
        conn.execute("SELECT * FROM no_such_table")
    assert conn.closed
    with pytest.raises(ZeroDivisionError), connect(database_url) as conn:
        raise ZeroDivisionError
    assert conn.closed


def test_a_database_that_is_not_there_is_said_to_be_away() -> None:
    with pytest.raises(StoreUnavailable, match="the database is away"), connect("postgresql://127.0.0.1:1/none"):
        pass


@pytest.mark.timescale
def test_the_server_too_notices_soon_that_a_peer_without_power_is_gone(timescale_url: str) -> None:
    async def shown(url: str) -> list[str]:
        async with await connect_async(url) as conn:
            names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
            return [(await (await conn.execute(f"SHOW {name}")).fetchall())[0][0] for name in names]

    assert asyncio.run(shown(timescale_url)) == ["10", "5", "3", "20000"]
    assert asyncio.run(shown(make_conninfo(timescale_url, keepalives_idle=7)))[0] == "7"
