"""What is too old goes, and files go with their last row."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fix_db import rows
from storage.enrol import add_terminal
from storage.retention import PORTION_ROWS, RetentionReport, forget

NOW = datetime(2026, 11, 25, tzinfo=UTC)
EVENT = "id, terminal_id, kind, subject, level, started_at, opened_at, last_at, evidence, digest, retrospective, version"


def forgotten(url: str, folder: Path, **days: int) -> RetentionReport:
    """What goes when everything else may stay for a century."""
    names = ("fixes_days_max", "events_days_max", "messages_days_max", "media_days_max")
    return forget(url, folder, NOW, **(dict.fromkeys(names, 36_500) | days))


def event(url: str, number: int, days: float, kind: str = "inside", **columns: object) -> None:
    """An incident of terminal 1 that began so many days ago and was last seen an hour later; columns are given as days, too."""
    told = f"INSERT INTO events ({EVENT}) VALUES (%s, 1, %s, 0, 0, %s, %s, %s, 1, 0, false, 0) RETURNING id"
    began = NOW - timedelta(days=days)
    rows(url, told, number, kind, began, began, began + timedelta(hours=1))
    for name, ago in columns.items():
        rows(url, f"UPDATE events SET {name} = %s WHERE id = %s RETURNING id", NOW - timedelta(days=float(str(ago))), number)


def state(url: str, terminal_id: int, days: float) -> None:
    """What the rules remember of a terminal, saved so many days ago."""
    saved = "INSERT INTO rule_states VALUES (%s, %s, %s, %s, '') RETURNING terminal_id"
    rows(url, saved, terminal_id, *[NOW - timedelta(days=days)] * 3)


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

    report = forgotten(database_url, tmp_path, messages_days_max=90, media_days_max=90)

    assert (report.messages, report.commands, report.media, report.files) == (1, 1, 2, 1)
    assert sorted(each.name for each in (tmp_path / "ab").iterdir()) == ["new", "shared"]
    assert forgotten(database_url, tmp_path / "nowhere", media_days_max=90).files == 0


def test_an_incident_goes_so_long_after_its_end_and_never_while_it_lasts(store_url: str, tmp_path: Path) -> None:
    event(store_url, 1, 1_200, ended_at=1_101)
    event(store_url, 2, 1_200, ended_at=1_099)
    event(store_url, 3, 1_200)
    event(store_url, 4, 1_200, withdrawn_at=3)
    event(store_url, 5, 1_099, withdrawn_at=3)

    assert forgotten(store_url, tmp_path, events_days_max=1_100).events == 2
    assert rows(store_url, "SELECT id FROM events ORDER BY id") == [(2,), (3,), (5,)]


def test_more_than_a_portion_goes_as_well(database_url: str, tmp_path: Path) -> None:
    event(database_url, 0, 20, ended_at=19)
    others = EVENT.removeprefix("id, ")
    many = f"INSERT INTO events ({EVENT}, ended_at) SELECT n, {others}, ended_at FROM events, generate_series(1, %s) AS n RETURNING id"
    rows(database_url, many, 2 * PORTION_ROWS)

    assert forgotten(database_url, tmp_path, events_days_max=10).events == 2 * PORTION_ROWS + 1


def test_of_a_terminal_that_is_silent_for_longer_than_fixes_are_kept_nothing_is_remembered_and_nothing_stays_open(
    database_url: str, tmp_path: Path
) -> None:
    state(database_url, 1, 401)
    state(database_url, 2, 399)
    event(database_url, 1, 402)
    event(database_url, 2, 402, "offline")
    event(database_url, 3, 402, withdrawn_at=401)
    event(database_url, 4, 2)

    assert forgotten(database_url, tmp_path, fixes_days_max=400).states == 1
    assert rows(database_url, "SELECT terminal_id FROM rule_states") == [(2,)]
    assert rows(
        database_url, "SELECT id, ended, ended_at = last_at, extract(epoch FROM %s - ended_at) / 3600 FROM events ORDER BY id", NOW
    ) == [
        (1, "gap", True, 402 * 24 - 1),
        (2, "rule", True, 0),
        (3, None, None, None),
        (4, None, None, None),
    ]
    assert forgotten(database_url, tmp_path, fixes_days_max=400).states == 0


def test_what_terminals_were_told_to_forget_is_forgotten_here_after_a_while(database_url: str, tmp_path: Path) -> None:
    add_terminal(database_url, "1380")
    for number, removed in enumerate((NOW - timedelta(days=100), NOW - timedelta(days=10), None)):
        sent = (
            "INSERT INTO terminal_areas (terminal_id, kind, area_id, sent, command_id, sent_at, removed_at)"
            " VALUES (1, 'circle', %s, '{}', 1, %s, %s) RETURNING area_id"
        )
        rows(database_url, sent, number, NOW - timedelta(days=200), removed)

    assert forgotten(database_url, tmp_path, messages_days_max=90).areas == 1
    assert rows(database_url, "SELECT area_id FROM terminal_areas ORDER BY 1") == [(1,), (2,)]
