"""Connections to PostgreSQL, opened one way everywhere: bounded waits, a name the administrator recognises, autocommit."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

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


def _parameters(url: str, name: str) -> dict[str, Any]:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        msg = f"the database URL cannot be read: {str(error).strip()}"
        raise StoreUnavailable(msg) from error
    return {"application_name": name, **DEFAULTS, **given}


def connect(url: str, name: str = "dubhe") -> Conn:
    """Open a blocking connection in autocommit mode; raises `StoreUnavailable`."""
    try:
        return psycopg.connect(autocommit=True, **_parameters(url, name))
    except psycopg.Error as error:
        raise unavailable(error) from error


async def connect_async(url: str, name: str = "dubhe") -> AsyncConn:
    """Open an asyncio connection in autocommit mode; raises `StoreUnavailable`."""
    try:
        return await psycopg.AsyncConnection.connect(autocommit=True, **_parameters(url, name))
    except psycopg.Error as error:
        raise unavailable(error) from error
