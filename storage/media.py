"""Pictures, sounds and films: the bytes as files below one folder, a row for each in table `media`.

A file is named by the SHA-256 of its bytes and by what they turn out to be; nothing that a terminal says becomes part of a path. It is
written beside its place and moved there when it is on disk, so that a file which is there is whole. The same bytes are one file.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg

from storage.connect import Line
from storage.errors import StoreError, blames_server
from storage.text import clean

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_CONTENTS: Final = (
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"\x89PNG\r\n", "png"),
    (0, b"II*\x00", "tif"),
    (0, b"MM\x00*", "tif"),
    (8, b"WAVE", "wav"),
    (8, b"AVI ", "avi"),
    (4, b"ftyp", "mp4"),
    (0, b"ID3", "mp3"),
    (0, b"\xff\xfb", "mp3"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wmv"),
    (0, b"#!AMR", "amr"),
    (0, b"\x00\x00\x00\x01", "h264"),
)
"""Where a kind of file has which bytes."""
UNKNOWN: Final = "bin"


@dataclass(frozen=True, slots=True)
class Media:
    """One upload."""

    terminal_id: int
    media_id: int
    received_us: int
    type: int
    event: int
    channel: int
    time_us: int | None
    lat: float | None
    lon: float | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file of an alarm's evidence."""

    terminal_id: int
    command_id: int
    alarm_number: str
    name: str
    type: int
    data: bytes


_ATTACH: Final = """
INSERT INTO attachments (terminal_id, command_id, alarm_number, name, type, content, bytes, sha256, path)
VALUES (%(terminal_id)s, %(command_id)s, %(alarm_number)s, %(name)s, %(type)s, %(content)s, %(bytes)s, %(sha256)s, %(path)s)
ON CONFLICT (terminal_id, alarm_number, name, sha256) DO NOTHING
"""

_ORDERED: Final = """
SELECT c.terminal_id, c.id FROM commands c JOIN terminals t ON t.id = c.terminal_id
WHERE t.name = %s AND c.message_id = %s AND c.fields ->> 'alarm_number' = %s AND c.sent_at > now() - interval '1 day'
ORDER BY c.id DESC LIMIT 1
"""
ATTACHMENT_ORDER: Final = 0x9208

_KEEP: Final = """
INSERT INTO media (terminal_id, media_id, received_at, type, event, channel, time, lat, lon, content, bytes, sha256, path)
VALUES (%(terminal_id)s, %(media_id)s, %(received_at)s, %(type)s, %(event)s, %(channel)s, %(time)s, %(lat)s, %(lon)s,
    %(content)s, %(bytes)s, %(sha256)s, %(path)s)
ON CONFLICT (terminal_id, media_id, sha256) DO NOTHING
"""


class Unstorable(StoreError):  # noqa: N818 - a state of the row
    """PostgreSQL refuses the row, now and always."""


class MediaStore:
    """Keeps media. Raises `StoreUnavailable`, `Unstorable`, and OSError where a file cannot be written."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self._line = Line(url, "dubhe media")

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def keep(self, media: Sequence[Media]) -> None:
        """Write the files, then the rows; the same upload twice is one row."""
        for each in media:
            values = await self._file(each.data) | {
                "terminal_id": each.terminal_id,
                "media_id": each.media_id,
                "received_at": _instant(each.received_us),
                "type": each.type,
                "event": each.event,
                "channel": each.channel,
                "time": _instant(each.time_us),
                "lat": each.lat,
                "lon": each.lon,
            }
            await self._row(_KEEP, values)

    async def ordered(self, terminal: str, alarm_number: str) -> tuple[int, int] | None:
        """Terminal and command that asked it for this alarm's files within the last day, or None."""
        async with self._line.turn() as conn:
            found = await (await conn.execute(_ORDERED, (terminal, ATTACHMENT_ORDER, clean(alarm_number)))).fetchone()
        return None if found is None else (found[0], found[1])

    async def attach(self, attachment: Attachment) -> None:
        """Write the file, then its row; the same file twice is one row."""
        values = await self._file(attachment.data) | {
            "terminal_id": attachment.terminal_id,
            "command_id": attachment.command_id,
            "alarm_number": clean(attachment.alarm_number),
            "name": clean(attachment.name),
            "type": attachment.type,
        }
        await self._row(_ATTACH, values)

    async def _row(self, query: str, values: dict[str, Any]) -> None:
        async with self._line.turn() as conn:
            try:
                await conn.execute(query, values)
            except psycopg.Error as error:
                if blames_server(error):
                    raise
                raise Unstorable(str(error).strip()) from error

    async def _file(self, data: bytes) -> dict[str, Any]:
        """Put the bytes where they belong; what the rows say of them."""
        digest = hashlib.sha256(data).hexdigest()
        content = content_of(data)
        path = f"{digest[:2]}/{digest}.{content}"
        await asyncio.to_thread(_write, self.folder / path, data)
        return {"content": content, "bytes": len(data), "sha256": digest, "path": path}


def content_of(data: bytes) -> str:
    """What the bytes are, by their first ones, as a suffix of file names."""
    return next((suffix for at, magic, suffix in _CONTENTS if data[at : at + len(magic)] == magic), UNKNOWN)


def _instant(time_us: int | None) -> datetime | None:
    return None if time_us is None else EPOCH + timedelta(microseconds=time_us)


def _write(path: Path, data: bytes) -> None:
    """Put `data` at `path`, durably, unless it is there."""
    if path.exists() and path.stat().st_size == len(data):
        return
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
