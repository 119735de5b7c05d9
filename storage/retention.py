"""What is too old goes: incidents, what rules remember of silent terminals, messages, commands, media, files that no row names.

Rows go in portions, each a transaction of its own, so that no lock lasts. Fixes go by the day (`storage/partitions.py`), the audit stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from storage.connect import Conn, connect
from storage.rules import ABANDON
from tracks.event import Ended, Kind

YOUNG: Final = timedelta(days=1)
"""A file is left alone for so long whatever the rows say: its row may be on its way."""
PORTION_ROWS: Final = 5_000

_OLD: Final = {
    "events": "started_at < %(oldest)s AND coalesce(ended_at, last_at) < %(oldest)s AND (ended_at IS NOT NULL OR withdrawn_at IS NOT NULL)",
    "media": "received_at < %(oldest)s",
    "attachments": "received_at < %(oldest)s",
    "messages": "received_at < %(oldest)s",
    "commands": "created_at < %(oldest)s AND state NOT IN ('queued', 'sent')"
    " AND NOT EXISTS (SELECT FROM attachments a WHERE a.command_id = commands.id)",
    "terminal_areas": "removed_at < %(oldest)s",
}
"""Table → which rows of it are old. An incident that lasts is not, however long ago it began."""
_SILENT: Final = """
DELETE FROM rule_states WHERE terminal_id IN (
    SELECT terminal_id FROM rule_states WHERE at < %(oldest)s LIMIT %(portion)s FOR UPDATE SKIP LOCKED)
RETURNING terminal_id
"""
_SILENCE: Final = f"""
UPDATE events SET ended = '{Ended.RULE.name.lower()}', ended_at = %(now)s, last_at = %(now)s,
    peak = extract(epoch FROM %(now)s - started_at)
WHERE terminal_id = ANY(%(terminals)s) AND ended_at IS NULL AND withdrawn_at IS NULL AND kind = '{Kind.OFFLINE.name.lower()}'
"""  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """How much went."""

    events: int
    states: int
    messages: int
    commands: int
    areas: int
    media: int
    files: int


def forget(
    url: str, folder: Path, now: datetime, *, fixes_days_max: int, events_days_max: int, messages_days_max: int, media_days_max: int
) -> RetentionReport:
    """Delete what is older than it may be, from the tables and from the `folder` of media; raises `StoreUnavailable`."""
    heard, told, spoken, shown = (
        now - timedelta(days=days) for days in (fixes_days_max, events_days_max, messages_days_max, media_days_max)
    )
    with connect(url, "dubhe retention") as conn:
        return RetentionReport(
            states=_forget_silent(conn, heard, now),
            events=_delete(conn, "events", told),
            media=_delete(conn, "media", shown) + _delete(conn, "attachments", shown),
            messages=_delete(conn, "messages", spoken),
            commands=_delete(conn, "commands", spoken),
            areas=_delete(conn, "terminal_areas", spoken),
            files=_sweep(conn, folder, min(shown, now - YOUNG)),
        )


def _delete(conn: Conn, table: str, oldest: datetime) -> int:
    """Delete the old rows of a table."""
    portion = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {_OLD[table]} LIMIT %(portion)s))"  # noqa: S608 - our own words
    gone = 0
    while count := conn.execute(portion, {"oldest": oldest, "portion": PORTION_ROWS}).rowcount:
        gone += count
    return gone


def _forget_silent(conn: Conn, oldest: datetime, now: datetime) -> int:
    """Let go of what the rules remember of terminals that have been silent for longer than their fixes are kept.

    It is good for one thing: to end what was open when the terminal returns. So that ends now, and the terminal would begin anew.
    """
    gone = 0
    while True:
        with conn.transaction():
            terminals = [each for (each,) in conn.execute(_SILENT, {"oldest": oldest, "portion": PORTION_ROWS})]
            conn.execute("DELETE FROM rule_copies WHERE terminal_id = ANY(%s)", (terminals,))
            conn.execute("DELETE FROM late_terminals WHERE terminal_id = ANY(%s)", (terminals,))
            conn.execute(ABANDON, {"terminals": terminals, "before": oldest})
            conn.execute(_SILENCE, {"terminals": terminals, "now": now})
        if not terminals:
            return gone
        gone += len(terminals)


def _sweep(conn: Conn, folder: Path, before: datetime) -> int:
    """Delete files from before that no row names; half-written ones among them."""
    gone = 0
    for file in folder.glob("*/*") if folder.is_dir() else ():
        if file.stat().st_mtime >= before.timestamp():
            continue
        path = f"{file.parent.name}/{file.name}"
        named = conn.execute(
            "SELECT EXISTS (SELECT FROM media WHERE path = %(path)s) OR EXISTS (SELECT FROM attachments WHERE path = %(path)s)",
            {"path": path},
        ).fetchone()
        if named is not None and not named[0]:
            file.unlink(missing_ok=True)
            gone += 1
    return gone
