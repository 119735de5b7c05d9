"""What may go wrong between Dubhe and its database, each with one sentence a person can act on.

`StoreUnavailable` is the important one: nothing of the call is known to be stored, and the same call may be made again.
"""

from __future__ import annotations

from typing import Final

import psycopg


class StoreError(Exception):
    """Base of what this room raises; the text is a whole sentence."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state of the world, not a mistake
    """The database is away or refuses; make the same call again later, it is idempotent."""


class SchemaOutdated(StoreError):  # noqa: N818 - a state of the world, not a mistake
    """The database lacks migrations of this version."""


class EmbeddedError(StoreError):
    """The embedded PostgreSQL cannot be started."""


_SENTENCES: Final = {
    "53100": "the database's disk is full",
    "53300": "the database has no connection left for us (max_connections)",
    "53": "the database is out of resources",
    "57P03": "the database is starting up or recovering",
    "57014": "the database cancelled the statement",
    "57": "the database was shut down by its administrator",
    "25006": "the database is read-only",
    "28": "the database refuses our credentials",
    "3D": "the database does not exist",
    "42501": "our database role lacks a privilege",
    "42": "the schema is not this version's; run `dubhe migrate`",
    "40": "the database rolled us back in favour of another transaction",
    "55": "the object is locked by another transaction",
    "58": "the database's machine reports a system error",
    "F0": "the database's configuration is broken",
    "08": "the connection to the database broke",
    "XX001": "the database found its data corrupted",
    "XX002": "the database found an index corrupted",
}
"""SQLSTATE, or its class, to a sentence. An error outside this table was caused by the rows sent, not by the server's state."""


def blames_server(error: psycopg.Error) -> bool:
    """The server's state caused `error`, so the same rows may succeed later; otherwise the rows caused it."""
    state = error.sqlstate
    return state is None or state in _SENTENCES or state[:2] in _SENTENCES


def unavailable(error: psycopg.Error) -> StoreUnavailable:
    """One sentence from a psycopg error: what is the matter, then what the server said."""
    state = error.sqlstate or ""
    sentence = _SENTENCES.get(state) or _SENTENCES.get(state[:2]) or "the database is away"
    said = (error.diag.message_primary or str(error)).strip().splitlines() or [type(error).__name__]
    return StoreUnavailable(f"{sentence}: {said[0].strip()}")
