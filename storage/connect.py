"""Connections to PostgreSQL, opened one way everywhere: bounded waits, a name the administrator recognises, autocommit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from storage.errors import StoreUnavailable, unavailable

Conn = psycopg.Connection[tuple[Any, ...]]
AsyncConn = psycopg.AsyncConnection[tuple[Any, ...]]

DEFAULTS: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "client_encoding": "utf8",
}
"""A silent network is noticed within about 20 s; whoever needs other numbers writes them into the URL, which wins."""

_SERVER_TOO: Final = """
SELECT set_config('tcp_keepalives_idle', %(keepalives_idle)s::text, false),
    set_config('tcp_keepalives_interval', %(keepalives_interval)s::text, false),
    set_config('tcp_keepalives_count', %(keepalives_count)s::text, false),
    set_config('tcp_user_timeout', %(tcp_user_timeout)s::text, false)
"""
"""Lets the server notice as soon that we are gone: a lock would otherwise outlive its holder's machine by two hours."""

RETRY_S: Final = 1.0
"""Pause before a listener connects again."""


def _parameters(url: str, name: str) -> dict[str, Any]:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        msg = f"the database URL cannot be read: {str(error).strip()}"
        raise StoreUnavailable(msg) from error
    return {"application_name": name, **DEFAULTS, **given}


@contextmanager
def connect(url: str, name: str = "dubhe") -> Iterator[Conn]:
    """A blocking connection in autocommit mode, for one piece of work; what psycopg raises inside becomes `StoreUnavailable`."""
    try:
        with psycopg.connect(autocommit=True, **_parameters(url, name)) as conn:
            yield conn
    except psycopg.Error as error:
        raise unavailable(error) from error


async def connect_async(url: str, name: str = "dubhe") -> AsyncConn:
    """Open an asyncio connection in autocommit mode, for long; raises `StoreUnavailable`."""
    parameters = _parameters(url, name)
    try:
        conn = await psycopg.AsyncConnection.connect(autocommit=True, **parameters)
        try:
            await conn.execute(_SERVER_TOO, parameters)
        except BaseException:
            await conn.close()  # it may be cancelled here, and nobody else knows of it yet
            raise
    except psycopg.Error as error:
        raise unavailable(error) from error
    return conn


async def hear(url: str, name: str, channel: str, *, quiet_s: float = 0.0) -> AsyncGenerator[tuple[AsyncConn, str | None], None]:
    """What is told on a channel, for ever: the connection and a payload; None after each connect, when something may have been missed.

    What follows within `quiet_s` of a notice is told as one: an import makes thousands.
    Who asks something over the connection at None may let it break: then it is opened again, and None comes again.
    """
    while True:
        try:
            conn = await connect_async(url, name)
        except StoreUnavailable:
            await asyncio.sleep(RETRY_S)
            continue
        async with conn:
            try:
                await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                yield conn, None
                while True:
                    payloads = [notice.payload async for notice in conn.notifies(stop_after=1)]
                    if quiet_s:
                        payloads = [notice.payload async for notice in conn.notifies(timeout=quiet_s)][-1:] or payloads[-1:]
                    for payload in payloads:
                        yield conn, payload
            except psycopg.Error:
                await asyncio.sleep(RETRY_S)


class Line:
    """One asyncio connection, opened when first needed and again after it broke, used by one caller at a time."""

    def __init__(self, url: str, name: str, answer_s_max: float = 30.0) -> None:
        self._url = url
        self._name = name
        self._answer_s_max = answer_s_max
        self._conn: AsyncConn | None = None
        self._busy = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[AsyncConn]:
        """The connection, for one piece of work; what psycopg raises inside becomes `StoreUnavailable`."""
        async with self._busy:
            try:
                async with asyncio.timeout(self._answer_s_max):
                    if self._conn is None or self._conn.closed:
                        self._conn = await connect_async(self._url, self._name)
                    yield self._conn
            except psycopg.Error as error:
                if self._conn is not None and self._conn.info.transaction_status != TransactionStatus.IDLE:
                    await self.close()
                raise unavailable(error) from error
            except TimeoutError as error:
                await self.close()
                msg = f"the database gives no answer within {self._answer_s_max:g} s"
                raise StoreUnavailable(msg) from error
            except BaseException:
                await self.close()  # cancelled in the middle: the connection's state is anyone's guess
                raise

    async def close(self) -> None:
        """Close the connection if there is one; the next turn opens another."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()
