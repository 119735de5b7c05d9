"""`Registry`: who is known, who may register, who is logged in where. The gateway's side; `storage/enrol.py` is the operator's.

Every call is one or two round trips for any number of terminals. Raises `StoreUnavailable` like the writer.

Logins are numbered by one sequence for all workers. The table `sessions` holds the latest login of each terminal, and each
login is told to the other workers on the channel `dubhe_logins`; a link that holds a smaller number of its terminal is stale and closes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psycopg

from storage.connect import AsyncConn, Line, hear
from storage.online import show_life
from storage.text import TEXT_MAX, clean, is_name, plate_of

CHANNEL: Final = "dubhe_logins"
PAIRS_PER_NOTICE: Final = 180
"""A notice carries less than 8000 bytes; a pair takes at most 41 and a comma, and behind them stands the name of the worker."""

LOCK: Final = 0x44756268_67
"""Key of the advisory lock under which terminals and vehicles are bound."""

OK, VEHICLE_TAKEN, NO_VEHICLE, TERMINAL_TAKEN, NO_TERMINAL = range(5)
"""Results of 0x8100 (JT/T 808-2019 §8.6): already registered vehicle or terminal, unknown vehicle or terminal."""


class Terminal(NamedTuple):
    """A terminal of the registry. A tuple, for thousands are made at once when terminals come back after an outage."""

    id: int
    name: str
    vehicle_id: int | None
    auth_code: str
    vetted: bool
    edition: str | None


@dataclass(frozen=True, slots=True)
class Registration:
    """What a 0x0100 says; texts as they came."""

    province: int
    city: int
    maker: str
    model: str
    serial_number: str
    plate_colour: int
    plate: str
    edition: str


_COLUMNS: Final = "id, name, vehicle_id, auth_code, vetted, edition"

_ADMIT: Final = """
WITH given AS (SELECT DISTINCT unnest(%(names)b::text[]) AS name),
     made AS (
         INSERT INTO terminals (name)
         SELECT name FROM given WHERE NOT EXISTS (SELECT FROM terminals known WHERE known.name = given.name) ORDER BY name
         ON CONFLICT (name) DO NOTHING RETURNING id, name, vehicle_id, auth_code, vetted, edition)
SELECT id, name, vehicle_id, auth_code, vetted, edition FROM made
UNION ALL
SELECT id, name, vehicle_id, auth_code, vetted, edition FROM terminals JOIN given USING (name)
"""

_SITUATION: Final = """
SELECT t.id, t.auth_code, t.vehicle_id, v.id, o.id, coalesce(v.state = 'retired', false)
FROM (SELECT) one
LEFT JOIN terminals t ON t.name = %(name)s
LEFT JOIN vehicles v ON v.plate = %(plate)s AND v.plate_colour = %(plate_colour)s
LEFT JOIN terminals o ON o.vehicle_id = v.id
"""

_DETAILS: Final = """
UPDATE terminals SET edition = %(edition)s, maker = %(maker)s, model = %(model)s, serial_number = %(serial_number)s,
    province = %(province)s, city = %(city)s, registered_plate = %(plate)s, registered_colour = %(plate_colour)s, last_registered_at = now()
WHERE id = %(terminal_id)s
"""

_LOGIN: Final = """
WITH done AS (
         INSERT INTO sessions (terminal_id, login, worker, peer)
         SELECT terminal_id, nextval('logins'), %(worker)s, peer
         FROM unnest(%(ids)b::bigint[], %(peers)b::text[]) AS given (terminal_id, peer) ORDER BY terminal_id
         ON CONFLICT (terminal_id) DO UPDATE
         SET login = excluded.login, worker = excluded.worker, peer = excluded.peer, since = now()
         RETURNING terminal_id, login),
     part AS (SELECT *, row_number() OVER () / %(size)s AS number FROM done),
     told AS (SELECT pg_notify(%(channel)s, string_agg(terminal_id || ':' || login, ',') || ' ' || %(worker)s) FROM part GROUP BY number)
SELECT terminal_id, login, (SELECT count(*) FROM told) FROM done
"""

_LOGOUT: Final = """
DELETE FROM sessions USING unnest(%b::bigint[], %b::bigint[]) AS gone (terminal_id, login)
WHERE sessions.terminal_id = gone.terminal_id AND sessions.login = gone.login
"""


class Registry:
    """One connection for questions; `logins` opens another for listening."""

    def __init__(self, url: str, *, answer_s_max: float = 30.0) -> None:
        self._url = url
        self._line = Line(url, "dubhe registry", answer_s_max)

    async def close(self) -> None:
        """Close the connection for questions."""
        await self._line.close()

    async def find(self, names: Collection[str]) -> dict[str, Terminal]:
        """The terminals among `names` that are known."""
        wanted = [name for name in names if is_name(name)]
        if not wanted:
            return {}
        async with self._line.turn() as conn:
            return await _terminals(conn, f"SELECT {_COLUMNS} FROM terminals WHERE name = ANY(%(names)b::text[])", wanted)  # noqa: S608

    async def admit(self, names: Collection[str]) -> dict[str, Terminal]:
        """The terminals called `names`, made (unvetted) where unknown; what cannot be a terminal's name is left out."""
        wanted = [name for name in names if is_name(name)]
        if not wanted:
            return {}
        async with self._line.turn() as conn:
            found = await _terminals(conn, _ADMIT, wanted)
            if len(found) < len(set(wanted)):  # another worker made one between our look and our insert
                found |= await _terminals(conn, _ADMIT, [name for name in wanted if name not in found])
            return found

    async def register(self, name: str, registration: Registration, *, lenient: bool) -> tuple[int, str]:
        """The result of 0x8100 and the authentication code: the same code again for the same terminal, empty when refused."""
        if not is_name(name):
            return NO_TERMINAL, ""
        said = _said(name, registration)
        async with self._line.turn() as conn:
            situation = await _situation(conn, said)
            result = situation.result(lenient=lenient)
            if result == OK and situation.unfinished:
                async with conn.transaction():
                    await conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                    situation = await _situation(conn, said)
                    result = situation.result(lenient=lenient)
                    if result == OK:
                        await _bind(conn, said, situation)
                        situation = await _situation(conn, said)
            if result != OK:
                return result, ""
            assert situation.terminal_id is not None
            assert situation.auth_code
            await conn.execute(_DETAILS, said | {"terminal_id": situation.terminal_id})
            return OK, situation.auth_code

    async def login(self, ids: Sequence[int], worker: str, peers: Sequence[str]) -> dict[int, int]:
        """Number a login for each terminal and tell every worker; of a terminal given twice the last peer counts."""
        peer_of = dict(zip(ids, peers, strict=True))
        if not peer_of:
            return {}
        values = {
            "ids": list(peer_of),
            "peers": [clean(peer) for peer in peer_of.values()],
            "worker": clean(worker),
            "size": PAIRS_PER_NOTICE,
            "channel": CHANNEL,
        }
        async with self._line.turn() as conn:
            rows = await (await conn.execute(_LOGIN, values)).fetchall()
        return {terminal_id: login for terminal_id, login, _ in rows}

    async def begin(self, worker: str) -> None:
        """Forget every session that `worker` is said to hold, for it has just started, and show that it lives."""
        async with self._line.turn() as conn:
            await conn.execute("DELETE FROM sessions WHERE worker = %s", (clean(worker),))
            await show_life(conn, clean(worker))

    async def logout(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Forget these (terminal, login) pairs; a terminal that logged in again since stays."""
        ids, logins = [list(column) for column in zip(*pairs, strict=True)] or ([], [])
        if ids:
            async with self._line.turn() as conn:
                await conn.execute(_LOGOUT, (ids, logins))

    async def logins(self, worker: str) -> AsyncGenerator[list[tuple[int, int]], None]:
        """The logins at other workers than `worker` as (terminal, login), for ever; connects again by itself, and then tells what stands.

        After each connect the first list is the table as it is, so that nothing told meanwhile is missed. As long as it listens, it lives.
        """
        async with aclosing(hear(self._url, "dubhe logins", CHANNEL)) as notices:
            async for conn, payload in notices:
                pairs = await _standing(conn, clean(worker)) if payload is None else _pairs(payload, clean(worker))
                if pairs:
                    yield pairs


@dataclass(frozen=True, slots=True)
class _Situation:
    """What the registry holds about the two parties of a registration."""

    plate_given: bool
    terminal_id: int | None
    auth_code: str | None
    bound_to: int | None
    vehicle_id: int | None
    holder_id: int | None
    retired: bool

    def result(self, *, lenient: bool) -> int:
        """The result of 0x8100; leniently the unknown is no obstacle, and the retired always is."""
        if self.terminal_id is None and not lenient:
            return NO_TERMINAL
        if self.retired or (self.plate_given and self.vehicle_id is None and not lenient):
            return NO_VEHICLE
        if self.holder_id is not None and self.holder_id != self.terminal_id:
            return VEHICLE_TAKEN
        if self.plate_given and self.bound_to is not None and self.bound_to != self.vehicle_id:
            return TERMINAL_TAKEN
        return OK

    @property
    def unfinished(self) -> bool:
        """Something must be made or bound before the terminal is registered."""
        return self.terminal_id is None or (self.plate_given and self.bound_to is None)


async def _situation(conn: AsyncConn, said: dict[str, Any]) -> _Situation:
    row = await (await conn.execute(_SITUATION, said)).fetchone()
    assert row is not None
    return _Situation(bool(said["plate"]), *row)


async def _bind(conn: AsyncConn, said: dict[str, Any], situation: _Situation) -> None:
    """Make what is missing, unvetted, and bind the two."""
    if situation.terminal_id is None:
        await conn.execute("INSERT INTO terminals (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING", said)
    if not situation.plate_given:
        return
    if situation.vehicle_id is None:
        await conn.execute(
            "INSERT INTO vehicles (plate, plate_colour, vin)"
            " VALUES (%(plate)s, %(plate_colour)s, CASE WHEN %(plate_colour)s = 0 THEN %(plate)s END)"
            " ON CONFLICT DO NOTHING",
            said,
        )
    await conn.execute(
        "UPDATE terminals SET vehicle_id = v.id FROM vehicles v"
        " WHERE terminals.name = %(name)s AND v.plate = %(plate)s AND v.plate_colour = %(plate_colour)s",
        said,
    )


async def _terminals(conn: AsyncConn, query: str, names: list[str]) -> dict[str, Terminal]:
    rows = await (await conn.execute(query, {"names": names})).fetchall()
    return {terminal.name: terminal for terminal in map(Terminal._make, rows)}


def _said(name: str, registration: Registration) -> dict[str, Any]:
    """The registration as values for a query."""
    return {
        "name": name,
        "plate": plate_of(registration.plate),
        "plate_colour": registration.plate_colour,
        "province": registration.province,
        "city": registration.city,
        "maker": clean(registration.maker),
        "model": clean(registration.model),
        "serial_number": clean(registration.serial_number),
        "edition": clean(registration.edition, TEXT_MAX),
    }


def _pairs(payload: str, worker: str) -> list[tuple[int, int]]:
    """The pairs of one notice, unless it is our own; anybody may write to a channel, so what is not a pair is nothing."""
    pairs, _, teller = payload.partition(" ")
    if teller == worker:
        return []
    return [(int(terminal_id), int(login)) for terminal_id, login in re.findall(r"(\d{1,19}):(\d{1,19})", pairs)]


async def _standing(conn: AsyncConn, worker: str) -> list[tuple[int, int]]:
    """Show that `worker` lives; gives what others hold, or nothing when the connection breaks, for then it is asked again."""
    try:
        await show_life(conn, worker)
        rows = await (await conn.execute("SELECT terminal_id, login FROM sessions WHERE worker <> %s", (worker,))).fetchall()
        return [(terminal_id, login) for terminal_id, login in rows]
    except psycopg.Error:
        return []
