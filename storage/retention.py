"""What is too old goes: messages, commands, media and attachments, and the files that no row names any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from storage.connect import Conn, connect

YOUNG: Final = timedelta(days=1)
"""A file is left alone for so long whatever the rows say: its row may be on its way."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """How much went."""

    messages: int
    commands: int
    media: int
    files: int


def forget(url: str, folder: Path, now: datetime, *, messages_days_max: int, media_days_max: int) -> RetentionReport:
    """Delete what is older than it may be, from the tables and from the `folder` of media; raises `StoreUnavailable`."""
    spoken, shown = now - timedelta(days=messages_days_max), now - timedelta(days=media_days_max)
    with connect(url, "dubhe retention") as conn:
        media = sum(
            conn.execute(f"DELETE FROM {table} WHERE received_at < %s", (shown,)).rowcount  # noqa: S608 - our own tables
            for table in ("media", "attachments")
        )
        messages = conn.execute("DELETE FROM messages WHERE received_at < %s", (spoken,)).rowcount
        commands = conn.execute(
            "DELETE FROM commands c WHERE created_at < %s AND state NOT IN ('queued', 'sent')"
            " AND NOT EXISTS (SELECT FROM attachments a WHERE a.command_id = c.id)",
            (spoken,),
        ).rowcount
        return RetentionReport(messages, commands, media, _sweep(conn, folder, min(shown, now - YOUNG)))


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
