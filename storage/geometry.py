"""The shapes that fixes are judged by, as rows: GeoJSON features in WGS-84, and the terminals that each is meant for.

This room does not know what a fence is: who writes and reads features are `dubhe/geometry.py` and `ingest/rules.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from storage.connect import Conn, Line, connect, hear
from storage.errors import StoreError, unavailable
from storage.jsonb import jsonb
from storage.text import clean, plate_of
from tracks.terminal import canonical

TABLES: Final = ("fences", "corridors", "stops")
CHANNEL: Final = "dubhe_geometry"
QUIET_S: Final = 0.1
"""Changes that follow one another so soon are told once: each makes all shapes be read anew."""
POSITIONS_MAX: Final = 5_000
"""Recent positions that an import is compared with."""


class UnknownTerminal(StoreError):  # noqa: N818 - an answer, not a mistake
    """No terminal, and no vehicle with one, is called so."""


@dataclass(frozen=True, slots=True)
class ShapeRow:
    """One shape as the table has it."""

    id: int
    name: str
    feature: dict[str, Any]
    terminals: list[int] | None


@dataclass(frozen=True, slots=True)
class Geometry:
    """All shapes at one version."""

    version: int
    shapes: Mapping[str, Sequence[ShapeRow]]
    """By table."""


_SHAPES: Final = "SELECT id, name, feature, terminals FROM {} ORDER BY id"
_VERSION: Final = "SELECT last_value FROM geometry_versions"
_WHO: Final = """
SELECT t.id FROM terminals t LEFT JOIN vehicles v ON v.id = t.vehicle_id WHERE t.name = %(name)s OR v.plate = %(plate)s
"""
_POSITIONS: Final = """
SELECT lon, lat FROM fixes
WHERE (%(terminals)s::bigint[] IS NULL OR terminal_id = ANY(%(terminals)s)) AND valid AND time > now() - interval '7 days' AND time < now()
ORDER BY time DESC LIMIT %(count)s
"""


class GeometryStore:
    """A worker's view of the shapes. Raises `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._line = Line(url, "dubhe geometry")

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def load(self) -> Geometry:
        """All shapes, as of one moment."""
        async with self._line.turn() as conn, conn.transaction():
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            version = await (await conn.execute(_VERSION)).fetchone()
            assert version is not None, "a sequence has one row"
            shapes = {}
            for table in TABLES:
                found = await conn.execute(sql.SQL(_SHAPES).format(sql.Identifier(table)))
                shapes[table] = [ShapeRow(*row) for row in await found.fetchall()]
        return Geometry(version[0], shapes)

    async def changes(self) -> AsyncGenerator[None, None]:
        """Something happens at every change, for ever; also after each connect, for what was missed."""
        async with aclosing(hear(self._url, "dubhe geometry changes", CHANNEL, quiet_s=QUIET_S)) as notices:
            async for _ in notices:
                yield


def add_shapes(url: str, table: str, features: Sequence[dict[str, Any]], terminals: Sequence[int] | None) -> list[int]:
    """Enter shapes, all or none, meant for these terminals or for all; their ids in order."""
    insert = sql.SQL("INSERT INTO {} (name, feature, terminals) VALUES (%s, %s, %s) RETURNING id").format(sql.Identifier(table))
    meant_for = None if terminals is None else list(terminals)
    ids = []
    with _talking(url) as conn, conn.transaction():
        for feature in features:
            row = conn.execute(insert, (clean(str(feature["properties"].get("name", ""))), jsonb(feature), meant_for)).fetchone()
            assert row is not None, "an insert returns its row"
            ids.append(int(row[0]))
    return ids


def list_shapes(url: str, table: str) -> list[ShapeRow]:
    """The shapes of a table."""
    with _talking(url) as conn:
        return [ShapeRow(*row) for row in conn.execute(sql.SQL(_SHAPES).format(sql.Identifier(table))).fetchall()]


def remove_shapes(url: str, table: str, ids: Sequence[int]) -> list[int]:
    """Take shapes away; the ids of those that were there."""
    delete = sql.SQL("DELETE FROM {} WHERE id = ANY(%s) RETURNING id").format(sql.Identifier(table))
    with _talking(url) as conn:
        gone = conn.execute(delete, (list(ids),)).fetchall()
    return [number for (number,) in gone]


def terminals_of(url: str, whom: Sequence[str]) -> list[int]:
    """The ids of terminals, each named by its own number or by its vehicle's plate. Raises `UnknownTerminal`."""
    ids = []
    with _talking(url) as conn:
        for who in whom:
            found = conn.execute(_WHO, {"name": canonical(clean(who)), "plate": plate_of(who)}).fetchall()
            if not found:
                msg = f"no terminal is called {clean(who)!r}, and no vehicle with a terminal"
                raise UnknownTerminal(msg)
            ids += [number for (number,) in found]
    return ids


def recent_positions(url: str, terminals: Sequence[int] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes of the newest fixes of these terminals, or of all, within the last week."""
    with _talking(url) as conn:
        values = {"terminals": None if terminals is None else list(terminals), "count": POSITIONS_MAX}
        at = np.array(conn.execute(_POSITIONS, values).fetchall(), np.float64).reshape(-1, 2)
    return at[:, 0], at[:, 1]


@contextmanager
def _talking(url: str) -> Iterator[Conn]:
    with connect(url, "dubhe geometry") as conn:
        try:
            yield conn
        except psycopg.Error as error:
            raise unavailable(error) from error
