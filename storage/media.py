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
from typing import Final

from storage.connect import Line

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


_KEEP: Final = """
INSERT INTO media (terminal_id, media_id, received_at, type, event, channel, time, lat, lon, content, bytes, sha256, path)
VALUES (%(terminal_id)s, %(media_id)s, %(received_at)s, %(type)s, %(event)s, %(channel)s, %(time)s, %(lat)s, %(lon)s,
    %(content)s, %(bytes)s, %(sha256)s, %(path)s)
ON CONFLICT (terminal_id, media_id, sha256) DO NOTHING
"""


class MediaStore:
    """Keeps media. Raises `StoreUnavailable`, and OSError where a file cannot be written."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self._line = Line(url, "dubhe media")

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def keep(self, media: Sequence[Media]) -> None:
        """Write the files, then the rows; the same upload twice is one row."""
        for each in media:
            digest = hashlib.sha256(each.data).hexdigest()
            content = content_of(each.data)
            path = f"{digest[:2]}/{digest}.{content}"
            await asyncio.to_thread(_write, self.folder / path, each.data)
            values = {
                "terminal_id": each.terminal_id,
                "media_id": each.media_id,
                "received_at": _instant(each.received_us),
                "type": each.type,
                "event": each.event,
                "channel": each.channel,
                "time": _instant(each.time_us),
                "lat": each.lat,
                "lon": each.lon,
                "content": content,
                "bytes": len(each.data),
                "sha256": digest,
                "path": path,
            }
            async with self._line.turn() as conn:
                await conn.execute(_KEEP, values)


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
