"""What is too old goes, and files go with their last row."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fix_db import rows
from storage.enrol import add_terminal
from storage.retention import forget

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def test_what_is_too_old_goes_and_a_file_goes_with_its_last_row(database_url: str, tmp_path: Path) -> None:
    add_terminal(database_url, "1380")
    old, new = NOW - timedelta(days=100), NOW - timedelta(days=10)
    for number, (name, moment) in enumerate({"old": old, "shared": old, "new": new}.items()):
        file = tmp_path / "ab" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
        os.utime(file, (moment.timestamp(), moment.timestamp()))
        add = (
            "INSERT INTO media (terminal_id, media_id, received_at, type, event, channel, content, bytes, sha256, path)"
            " VALUES (1, %s, %s, 0, 0, 1, 'bin', 1, %s, %s) RETURNING id"
        )
        rows(database_url, add, number, moment, name, f"ab/{name}")
        if name == "shared":
            rows(database_url, add, 9, new, name, f"ab/{name}")
    for moment in (old, new):
        said = (
            "INSERT INTO messages (received_at, terminal_id, message_id, serial, fields, raw) VALUES (%s, 1, 2, 3, '{}', '') RETURNING id"
        )
        rows(database_url, said, moment)
        asked = "INSERT INTO commands (terminal_id, message_id, created_at, state) VALUES (1, %s, %s, %s) RETURNING id"
        for state in ("answered", "queued"):
            rows(database_url, asked, 0x8201, moment, state)

    report = forget(database_url, tmp_path, NOW, messages_days_max=90, media_days_max=90)

    assert (report.messages, report.commands, report.media, report.files) == (1, 1, 2, 1)
    assert sorted(each.name for each in (tmp_path / "ab").iterdir()) == ["new", "shared"]
    assert forget(database_url, tmp_path / "nowhere", NOW, messages_days_max=90, media_days_max=90).files == 0
