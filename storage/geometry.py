"""The shapes that fixes are judged by, as rows: GeoJSON features in WGS-84, and the terminals that each is meant for.

This room does not know what a fence is: features are written by `dubhe/geometry.py` and read by `ingest/atlas.py` and `dubhe/keeper.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from storage.connect import Conn, Line, connect, hear
from storage.errors import StoreError
from storage.jsonb import jsonb
from storage.parties import unknown_party
from storage.text import clean, plate_of
from tracks.terminal import canonical

TABLES: Final = ("fences", "corridors", "stops")
CHANNEL: Final = "dubhe_geometry"
QUIET_S: Final = 0.1
"""Changes that follow one another so soon are told once: each makes all shapes be read anew."""
STANDING_KMH: Final = 5.0
"""Who is slower calls at a stop, or stands for another reason."""
POSITIONS_MAX: Final = 5_000
"""Recent positions that an import is compared with."""


class UnknownParty(StoreError):  # noqa: N818 - an answer, not a mistake
    """Nobody is called so, or none of them has a terminal; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom shapes are meant for: terminals, and vehicles, lines and groups as `kind:id`; those in them change with the registry."""

    terminals: Sequence[int] | None = None
    parties: Sequence[str] | None = None

    @property
    def columns(self) -> tuple[list[int] | None, list[str] | None]:
        """As the tables have it; null in both: all."""
        return None if self.terminals is None else list(self.terminals), None if self.parties is None else list(self.parties)


EVERYONE: Final = Whom()


@dataclass(frozen=True, slots=True)
class ShapeRow:
    """One shape as the table has it."""

    id: int
    name: str
    feature: dict[str, Any]
    terminals: list[int] | None
    """Those it is meant for now; None: all."""
    parties: list[str]
    """What else than terminals it is meant for, as `kind:id`."""

    @property
    def numbered(self) -> dict[str, Any]:
        """The feature with its id and name among its properties."""
        return self.feature | {"properties": (self.feature.get("properties") or {}) | {"id": self.id, "name": self.name}}


@dataclass(frozen=True, slots=True)
class Geometry:
    """All shapes at one version."""

    version: int
    shapes: Mapping[str, Sequence[ShapeRow]]
    """By table."""


_SHAPES: Final = "SELECT id, name, feature::text, dubhe_meant_for(terminals, parties), coalesce(parties, '{{}}') FROM {} ORDER BY id"
_VERSION: Final = "SELECT last_value - (NOT is_called)::int FROM geometry_versions"  # 0 before the first change, which takes 1
_NAMED: Final = {
    "line": "SELECT 'line:' || id FROM lines WHERE name = %(name)s",
    "group": "SELECT 'group:' || id FROM groups WHERE name = %(name)s",
    "terminal": "SELECT 'terminal:' || id FROM terminals WHERE name = %(number)s",
    "vehicle": "SELECT 'vehicle:' || id FROM vehicles WHERE plate = %(plate)s",
}
"""Kind of party → how one is found by its name."""
_CURES: Final = {
    "terminal": "`dubhe terminal add` enters a terminal",
    "vehicle": "`dubhe vehicle import` or `dubhe terminal add --plate` a vehicle; a line is written line:71路, a group group:一车队",
}
"""Of terminals and vehicles; lines and groups say it themselves."""
_NAMES: Final = """
SELECT s.id, ARRAY(
    SELECT 'terminal:' || name FROM terminals WHERE id = ANY(s.terminals)
    UNION ALL SELECT 'vehicle:' || plate FROM vehicles WHERE 'vehicle:' || id = ANY(s.parties)
    UNION ALL SELECT 'line:' || name FROM lines WHERE 'line:' || id = ANY(s.parties)
    UNION ALL SELECT 'group:' || name FROM groups WHERE 'group:' || id = ANY(s.parties)
    ORDER BY 1
) FROM {} s WHERE s.terminals IS NOT NULL OR s.parties IS NOT NULL
"""
_MEANT_FOR: Final = "SELECT dubhe_meant_for(%s, %s)"
_POSITIONS: Final = """
SELECT lon, lat FROM fixes
WHERE (%(terminals)s::bigint[] IS NULL OR terminal_id = ANY(%(terminals)s)) AND valid AND time > now() - interval '7 days' AND time < now()
    AND coalesce(speed_kmh, 0) <= %(kmh)s
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
        """All shapes, as of one moment. Ten thousand take a second to be understood, and that is done beside the loop."""
        async with self._line.turn() as conn, conn.transaction():
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            version = await (await conn.execute(_VERSION)).fetchone()
            assert version is not None, "a sequence has one row"
            found = {}
            for table in TABLES:
                found[table] = await (await conn.execute(sql.SQL(_SHAPES).format(sql.Identifier(table)))).fetchall()
        shapes = {table: await asyncio.to_thread(_understood, rows) for table, rows in found.items()}
        return Geometry(version[0], shapes)

    async def changes(self) -> AsyncGenerator[None, None]:
        """Something happens at every change, for ever; also after each connect, for what was missed."""
        async with aclosing(hear(self._url, "dubhe geometry changes", CHANNEL, quiet_s=QUIET_S)) as notices:
            async for _ in notices:
                yield


def _understood(rows: Sequence[tuple[Any, ...]]) -> list[ShapeRow]:
    """What `_SHAPES` finds; the features come as text."""
    return [ShapeRow(number, name, json.loads(feature), *whom) for number, name, feature, *whom in rows]


def version_now(url: str) -> int:
    """The version of the shapes as they are now."""
    with connect(url, "dubhe geometry") as conn:
        row = conn.execute(_VERSION).fetchone()
    assert row is not None, "a sequence has one row"
    return int(row[0])


def whom_of(url: str, names: Sequence[str]) -> Whom:
    """Who is called `line:71路`, `group:…`, `vehicle:沪A12345` or `terminal:138…`; bare, a terminal or a plate. Raises `UnknownParty`."""
    if not names:
        return EVERYONE
    with connect(url, "dubhe geometry") as conn:
        return _whom(conn, names)


def _whom(conn: Conn, names: Sequence[str]) -> Whom:
    found = [party for name in names for party in _named(conn, name)]
    terminals = [int(party.removeprefix("terminal:")) for party in found if party.startswith("terminal:")]
    return Whom(terminals or None, [party for party in found if not party.startswith("terminal:")] or None)


def _named(conn: Conn, said: str) -> list[str]:
    kind, colon, name = said.replace("：", ":", 1).partition(":")
    kinds, name = ([kind], name) if colon and kind in _NAMED else (["terminal", "vehicle"], said)
    values = {"name": clean(name).strip(), "number": canonical(clean(name)), "plate": plate_of(name)}
    for each in kinds:
        if found := conn.execute(_NAMED[each], values).fetchall():
            return [party for (party,) in found]
    if kinds[0] not in _CURES:
        raise UnknownParty(unknown_party(conn, kind, name))
    msg = f"no {' or '.join(kinds)} is called {clean(name)!r} 未登记; {'; '.join(_CURES[each] for each in kinds)}"
    raise UnknownParty(msg)


def add_shapes(url: str, table: str, features: Sequence[dict[str, Any]], whom: Whom = EVERYONE) -> list[int]:
    """Enter shapes, all or none; their ids in order."""
    insert = sql.SQL("INSERT INTO {} (name, feature, terminals, parties) VALUES (%s, %s, %s, %s) RETURNING id").format(
        sql.Identifier(table)
    )
    ids = []
    with connect(url, "dubhe geometry") as conn, conn.transaction():
        for feature in features:
            row = conn.execute(insert, (_name_of(feature), jsonb(feature), *whom.columns)).fetchone()
            assert row is not None, "an insert returns its row"
            ids.append(int(row[0]))
    return ids


def names_of(url: str, table: str) -> dict[int, list[str]]:
    """Whom the shapes of a table are meant for, as `whom_of` understands it; those for all are left out."""
    with connect(url, "dubhe geometry") as conn:
        return dict(conn.execute(sql.SQL(_NAMES).format(sql.Identifier(table))).fetchall())


def list_shapes(url: str, table: str) -> list[ShapeRow]:
    """The shapes of a table."""
    with connect(url, "dubhe geometry") as conn:
        return _understood(conn.execute(sql.SQL(_SHAPES).format(sql.Identifier(table))).fetchall())


def replace_shapes(url: str, table: str, features: Mapping[int, dict[str, Any]], whom: Whom | None) -> list[int]:
    """Put features, by id, in the place of shapes, all or none, and have them meant for others unless `whom` is None.

    Gives the ids of those that were there.
    """
    update = sql.SQL(
        "UPDATE {} SET name = %(name)s, feature = %(feature)s,"
        " terminals = CASE WHEN %(stays)s THEN terminals ELSE %(terminals)s END,"
        " parties = CASE WHEN %(stays)s THEN parties ELSE %(parties)s END WHERE id = %(id)s RETURNING id"
    ).format(sql.Identifier(table))
    terminals, parties = (whom or EVERYONE).columns
    values = {"stays": whom is None, "terminals": terminals, "parties": parties}
    with connect(url, "dubhe geometry") as conn, conn.transaction():
        found = [
            conn.execute(update, values | {"id": number, "name": _name_of(feature), "feature": jsonb(feature)}).fetchall()
            for number, feature in features.items()
        ]
    return [number for rows in found for (number,) in rows]


def _name_of(feature: Mapping[str, Any]) -> str:
    return clean(str(feature["properties"].get("name", "")))


def remove_shapes(url: str, table: str, ids: Sequence[int]) -> list[int]:
    """Take shapes away; the ids of those that were there."""
    delete = sql.SQL("DELETE FROM {} WHERE id = ANY(%s) RETURNING id").format(sql.Identifier(table))
    with connect(url, "dubhe geometry") as conn:
        gone = conn.execute(delete, (list(ids),)).fetchall()
    return [number for (number,) in gone]


def terminals_of(url: str, names: Sequence[str]) -> list[int]:
    """The terminals of those who are called so now, as `whom_of` has it. Raises `UnknownParty` also for one who has none."""
    ids: list[int] = []
    with connect(url, "dubhe geometry") as conn:
        for name in names:
            found = _meant_for(conn, _whom(conn, [name]))
            if not found:
                msg = f"{clean(name)} has no terminal 没有终端; `dubhe terminal add --plate` fits one to a vehicle"
                raise UnknownParty(msg)
            ids += found
    return ids


def meant_for(url: str, whom: Whom) -> list[int] | None:
    """The terminals among these parties now; None: all."""
    with connect(url, "dubhe geometry") as conn:
        return _meant_for(conn, whom)


def _meant_for(conn: Conn, whom: Whom) -> list[int] | None:
    row = conn.execute(_MEANT_FOR, whom.columns).fetchone()
    assert row is not None, "a function gives its row"
    return None if row[0] is None else list(row[0])


def recent_positions(url: str, terminals: Sequence[int] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes of the newest fixes of these terminals, or of all, within the last week."""
    return _positions(url, terminals, kmh_max=np.inf)


def standing_positions(url: str, terminals: Sequence[int] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Those of fixes that stand, each place once (to 10 m): a night in the depot says no more than a minute there."""
    lon, lat = _positions(url, terminals, kmh_max=STANDING_KMH)
    _, first = np.unique(np.round((lon + 1j * lat) * 1e4), return_index=True)
    return lon[first], lat[first]


def _positions(url: str, terminals: Sequence[int] | None, *, kmh_max: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with connect(url, "dubhe geometry") as conn:
        values = {"terminals": None if terminals is None else list(terminals), "count": POSITIONS_MAX, "kmh": kmh_max}
        at = np.array(conn.execute(_POSITIONS, values).fetchall(), np.float64).reshape(-1, 2)
    return at[:, 0], at[:, 1]
