"""Commands to terminals: rows that any process inserts, the worker with the terminal's session sends, and the terminal answers.

The table is the only memory: a worker that starts anew finds what is queued and what waits for an answer.

- *No expiry, no queue.* An order without `expires_at` is sent within `AT_ONCE_S` or fails: one that fires a day late is dangerous.
- *At most once.* A row is marked as sent before its bytes leave; a worker that dies in between leaves it to time out.
- Only the holder of the terminal's newest login can claim its commands.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.rows import class_row

from storage.connect import AsyncConn, Conn, Line, connect, hear
from storage.errors import StoreError, blames_server
from storage.jsonb import jsonb
from storage.online import ONLINE
from storage.text import clean
from tracks.terminal import canonical

CHANNEL: Final = "dubhe_commands"
STATES_CHANNEL: Final = "dubhe_command_states"
AT_ONCE_S: Final = 5.0
"""How long a command that may not be queued may take to leave; a worker that is alive needs milliseconds."""
IN_FLIGHT_PER_TERMINAL_MAX: Final = 4
IN_FLIGHT_MAX: Final = 1_000
"""Commands of one terminal, and of one worker, that wait for an answer; more stay queued. Unmeasured."""
GENERAL_RESPONSE: Final = 0x0001

OPEN: Final = frozenset({"queued", "sent"})
"""States that are not the last."""
OFFLINE: Final = "the terminal is offline"
"""The result of a command that had no expiry and no terminal to go to."""


class CommandError(StoreError):
    """A command cannot be taken; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued command whose terminal is here."""

    id: int
    terminal_id: int
    terminal: str
    edition: str | None
    message_id: int
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a terminal says to a command: its own reply message, or a 0x0001."""

    terminal_id: int
    serial: int | None
    """Of the command as the reply names it; None where the reply has no such field."""
    command_ids: tuple[int, ...]
    """Message ids that it may answer."""
    message_id: int
    result: str
    fields: Mapping[str, Any]
    ends: bool = True
    """No other reply is to come."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """A command as it stands."""

    id: int
    message_id: int
    state: str
    result: str | None
    sent_at: datetime | None
    answered_at: datetime | None
    expires_at: datetime | None
    reply_message_id: int | None
    reply: dict[str, Any] | None

    @property
    def ok(self) -> bool:
        """The terminal did it."""
        return self.state == "answered" and self.result == "ok"


_WAITING: Final = """
SELECT id, terminal_id, terminal, edition, message_id, fields
FROM (
    SELECT c.id, c.terminal_id, t.name AS terminal, t.edition, c.message_id, c.fields, c.state,
        row_number() OVER (PARTITION BY c.terminal_id ORDER BY c.state = 'queued', c.id) AS place
    FROM commands c JOIN terminals t ON t.id = c.terminal_id
    WHERE c.terminal_id = ANY(%(ids)s) AND (c.state = 'sent' OR c.state = 'queued' AND
        coalesce(c.expires_at, c.created_at + make_interval(secs => %(at_once)s)) > now())
) open_ones
WHERE state = 'queued' AND place <= %(per_terminal)s
ORDER BY id
LIMIT greatest(0, %(in_all)s - (SELECT count(*) FROM commands WHERE state = 'sent' AND worker = %(worker)s))
"""

_CLAIM: Final = """
UPDATE commands c SET state = 'sent', sent_at = clock_timestamp(), serial = given.serial, worker = %(worker)s
FROM unnest(%(ids)s::bigint[], %(logins)s::bigint[], %(serials)s::integer[]) AS given (id, login, serial), sessions s
WHERE c.id = given.id AND c.state = 'queued' AND s.terminal_id = c.terminal_id AND s.login = given.login
    AND coalesce(c.expires_at, c.created_at + make_interval(secs => %(at_once)s)) > clock_timestamp()
RETURNING c.id
"""

_ASKED: Final = """
SELECT DISTINCT terminal_id, message_id, serial FROM commands
WHERE terminal_id = ANY(%s) AND (state = 'sent' OR state = 'answered' AND sent_at > now() - interval '1 day')
"""

_ANSWER: Final = """
UPDATE commands SET
    state = 'answered', result = %(result)s, reply_message_id = %(message_id)s, reply = %(fields)s, answered_at = now()
WHERE id = (
    SELECT id FROM commands
    WHERE terminal_id = %(terminal_id)s AND message_id = ANY(%(command_ids)s) AND state = 'sent'
        AND (serial = %(serial)s OR %(serial)s::integer IS NULL)
    ORDER BY CASE WHEN serial = %(serial)s THEN -id ELSE id END LIMIT 1)  -- a serial may be one of an earlier session as well
RETURNING id
"""

_ACKNOWLEDGE: Final = """
UPDATE commands SET acknowledged_at = now()
WHERE terminal_id = %(terminal_id)s AND message_id = ANY(%(command_ids)s) AND state = 'sent' AND serial = %(serial)s
"""

_ADD: Final = """
UPDATE commands SET reply_message_id = %(message_id)s, reply = %(fields)s, answered_at = now()
WHERE id = (
    SELECT id FROM commands
    WHERE terminal_id = %(terminal_id)s AND message_id = ANY(%(command_ids)s) AND state = 'answered'
        AND sent_at > now() - interval '1 day' AND (serial = %(serial)s OR %(serial)s::integer IS NULL)
    ORDER BY id DESC LIMIT 1)
"""

_SWEEP: Final = """
UPDATE commands SET
    state = CASE WHEN state = 'sent' THEN 'timed_out' WHEN expires_at IS NULL THEN 'failed' ELSE 'expired' END,
    result = CASE
        WHEN state = 'sent' AND acknowledged_at IS NOT NULL
            THEN 'the terminal acknowledged it, but its reply did not follow within ' || timeout_s || ' s'
        WHEN state = 'sent' THEN 'no answer within ' || timeout_s || ' s'
        WHEN expires_at IS NULL THEN 'not sent: no gateway has a connection of the terminal'
        ELSE 'the terminal did not come online in time'
    END
WHERE state = 'sent' AND sent_at + make_interval(secs => timeout_s) <= now()
    OR state = 'queued' AND coalesce(expires_at, created_at + make_interval(secs => %(at_once)s)) <= now()
RETURNING terminal_id
"""

_INSERT: Final = f"""
WITH who AS (
        SELECT id, EXISTS (SELECT FROM {ONLINE} s WHERE s.terminal_id = t.id) AS online FROM terminals t WHERE name = %(name)s),
    made AS (
        INSERT INTO commands (terminal_id, message_id, fields, created_by, timeout_s, expires_at, state, result)
        SELECT id, %(message_id)s, %(fields)s, %(created_by)s, %(timeout_s)s, now() + make_interval(secs => %(expires_s)s),
            CASE WHEN online OR %(expires_s)s::float IS NOT NULL THEN 'queued' ELSE 'failed' END,
            CASE WHEN online OR %(expires_s)s::float IS NOT NULL THEN NULL ELSE %(offline)s END
        FROM who RETURNING id)
SELECT made.id, online FROM made, who
"""  # noqa: S608 - our own words

_RESULT: Final = """
SELECT id, message_id, state, result, sent_at, answered_at, expires_at, reply_message_id, reply FROM commands WHERE id = %s
"""


class CommandStore:
    """A worker's door to the table. Raises `StoreUnavailable`."""

    def __init__(self, url: str, worker: str) -> None:
        self._url = url
        self._worker = worker
        self._line = Line(url, "dubhe commands")

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def waiting(self, terminal_ids: Collection[int]) -> list[Waiting]:
        """Commands of these terminals that may leave now, the oldest first."""
        values = {
            "ids": list(terminal_ids),
            "at_once": AT_ONCE_S,
            "per_terminal": IN_FLIGHT_PER_TERMINAL_MAX,
            "in_all": IN_FLIGHT_MAX,
            "worker": self._worker,
        }
        async with self._line.turn() as conn, conn.cursor(row_factory=class_row(Waiting)) as cursor:
            return await (await cursor.execute(_WAITING, values)).fetchall()

    async def claim(self, chosen: Sequence[tuple[int, int, int]]) -> set[int]:
        """Mark (command, login, serial) as sent; returns those that are ours to send now."""
        ids, logins, serials = ([each[column] for each in chosen] for column in range(3))
        values = {"ids": ids, "logins": logins, "serials": serials, "worker": self._worker, "at_once": AT_ONCE_S}
        async with self._line.turn() as conn:
            return {command for (command,) in await (await conn.execute(_CLAIM, values)).fetchall()}

    async def fail(self, command: int, why: str) -> None:
        """It can never be sent."""
        async with self._line.turn() as conn:
            await conn.execute(
                "UPDATE commands SET state = 'failed', result = %s WHERE id = %s AND state = 'queued'", (clean(why, 500), command)
            )

    async def answer(self, replies: Sequence[Reply]) -> set[int]:
        """Give each reply to the command it answers; returns the terminals of those that wait no longer."""
        if not replies:
            return set()
        async with self._line.turn() as conn, conn.transaction():
            terminals = list({reply.terminal_id for reply in replies})
            asked = set(await (await conn.execute(_ASKED, (terminals,))).fetchall())
            answering = {(each.terminal_id, each.message_id, each.serial): each for each in replies if _may_answer(each, asked)}
            return {reply.terminal_id for reply in answering.values() if await _answered(conn, reply)}

    async def sweep(self) -> set[int]:
        """End what has waited too long; returns the terminals concerned."""
        async with self._line.turn() as conn:
            return {terminal for (terminal,) in await (await conn.execute(_SWEEP, {"at_once": AT_ONCE_S})).fetchall()}

    async def notices(self) -> AsyncGenerator[int | None, None]:
        """Terminals for which something was inserted, for ever; None after each connect, when something may have been missed."""
        async with aclosing(hear(self._url, "dubhe command notices", CHANNEL)) as notices:
            async for _, payload in notices:
                if payload is None:
                    yield None
                elif payload.isdecimal():
                    yield int(payload)


async def _answered(conn: AsyncConn, reply: Reply) -> bool:
    """Whether a reply ends the waiting of a command. One that PostgreSQL refuses answers nothing; its message is kept all the same."""
    values = {
        "terminal_id": reply.terminal_id,
        "serial": reply.serial,
        "command_ids": list(reply.command_ids),
        "message_id": reply.message_id,
        "result": clean(reply.result),
        "fields": jsonb(reply.fields),
    }
    try:
        async with conn.transaction():
            if not reply.ends:
                await conn.execute(_ACKNOWLEDGE, values)
            elif await (await conn.execute(_ANSWER, values)).fetchone():
                return True
            elif reply.message_id != GENERAL_RESPONSE:
                await conn.execute(_ADD, values)
    except psycopg.Error as error:
        if blames_server(error):
            raise
    return False


def _may_answer(reply: Reply, asked: set[tuple[int, int, int]]) -> bool:
    """Whether a reply is worth a look: terminals say much that answers nothing."""
    if reply.serial is not None:
        return any((reply.terminal_id, command, reply.serial) in asked for command in reply.command_ids)
    return any(terminal == reply.terminal_id and command in reply.command_ids for terminal, command, _ in asked)


def send_command(
    url: str,
    terminal: str,
    message_id: int,
    fields: Mapping[str, Any],
    *,
    timeout_s: float = 20.0,
    expires_s: float | None = None,
    created_by: str = "",
) -> CommandResult:
    """Send a command and wait up to `timeout_s` for the terminal's answer; from any process.

    Without `expires_s` it is sent at once or fails. With it, a command for an offline terminal is left in the queue for so long, and
    returned as queued. Raises CommandError for a terminal that is not known, and StoreUnavailable.
    """
    values = {
        "name": canonical(terminal),
        "message_id": message_id,
        "fields": jsonb(fields),
        "created_by": clean(created_by),
        "timeout_s": timeout_s,
        "expires_s": expires_s,
        "offline": OFFLINE,
    }
    with connect(url, "dubhe command") as conn:
        conn.execute(f"LISTEN {STATES_CHANNEL}")
        row = conn.execute(_INSERT, values).fetchone()
        if row is None:
            msg = f"terminal {clean(terminal)!r} is not in the registry 终端未登记; `dubhe terminal list` shows those that are, by number"
            raise CommandError(msg)
        command, online = row
        if online:
            _wait(conn, command, time.monotonic() + timeout_s + AT_ONCE_S)
        return _result(conn, command)


def command_result(url: str, command: int) -> CommandResult:
    """A command as it stands now; raises CommandError for one that is not there."""
    with connect(url, "dubhe command") as conn:
        conn.execute(_SWEEP, {"at_once": AT_ONCE_S})
        return _result(conn, command)


def _wait(conn: Conn, command: int, until: float) -> None:
    """Until it is no longer open; then, whoever was to end it, it is ended."""
    while (left := until - time.monotonic()) > 0:
        if _result(conn, command).state not in OPEN:
            return
        for notice in conn.notifies(timeout=left):
            if notice.payload == str(command):
                break
    conn.execute(_SWEEP, {"at_once": AT_ONCE_S})


def _result(conn: Conn, command: int) -> CommandResult:
    with conn.cursor(row_factory=class_row(CommandResult)) as cursor:
        found = cursor.execute(_RESULT, (command,)).fetchone()
    if found is None:
        msg = f"there is no command {command}"
        raise CommandError(msg)
    return found
