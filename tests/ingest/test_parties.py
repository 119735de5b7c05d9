"""Whom a shape is meant for is asked of the registry: a vehicle's lines and groups, and the terminal that it has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dubhe.shapes import import_fences
from fix_cli import Dubhe
from fix_db import rows
from fix_worker import Raw, play, until, worker
from geofence.datum import Datum
from ingest.worker import Worker
from storage.enrol import add_terminal, add_vehicle, release_terminal
from storage.geometry import UnknownParty, list_shapes, terminals_of, whom_of
from test_rules import NAME, at, registered, square

PLATE = "沪A38000"
OTHER = "13800138009"


async def visit(terminal: Raw, first: int) -> None:
    """In and out of a fence 200 m around the middle, from step `first` on."""
    for step, east_m in enumerate([-600, -400, -100, 0, 100, 400, 600]):
        assert await terminal.result(0x0200, at(first + step, east_m)) == 0


def served(running: Worker) -> int | None:
    """How many terminals the fences are meant for that are not for all; None before the shapes are read."""
    atlas = running.rules.atlas.value
    return None if atlas is None else len(atlas.fences.audiences.members)


def test_a_fence_of_a_line_is_for_the_vehicles_that_serve_it_now(dubhe: Dubhe, database_url: str) -> None:
    add_terminal(database_url, NAME, PLATE, "黄")
    assert dubhe("line", "add", "71路")[0] == 0
    import_fences(database_url, square(0), Datum.WGS84, whom_of(database_url, ["line:71路"]))

    async def story() -> None:
        async with worker(database_url) as (running, port):
            terminal = await Raw.connect(port, NAME)
            assert await terminal.log_in(registered(database_url)) == 0
            await visit(terminal, 0)
            assert rows(database_url, "SELECT 1 FROM events WHERE kind = 'inside'") == []

            rows(database_url, "INSERT INTO memberships SELECT v.id, 'line', l.id FROM vehicles v, lines l RETURNING 1")
            await until(lambda: served(running) == 1)
            await visit(terminal, 20)
            assert len(rows(database_url, "SELECT 1 FROM events WHERE kind = 'inside'")) == 1

            rows(database_url, "UPDATE memberships SET valid_until = now() RETURNING 1")
            await until(lambda: served(running) == 0)
            await visit(terminal, 40)
            assert len(rows(database_url, "SELECT 1 FROM events WHERE kind = 'inside'")) == 1

    play(story())


@pytest.mark.parametrize(("column", "then"), [("valid_from", 1), ("valid_until", 0)], ids=["begins", "ends"])
def test_a_membership_that_begins_or_ends_by_its_date_does_so_when_it_comes(database_url: str, column: str, then: int) -> None:
    add_terminal(database_url, NAME, PLATE, "黄")
    rows(database_url, "INSERT INTO lines (name) VALUES ('71路') RETURNING 1")
    import_fences(database_url, square(0), Datum.WGS84, whom_of(database_url, ["line:71路"]))
    soon = f"INSERT INTO memberships (vehicle_id, kind, party_id, {column}) SELECT v.id, 'line', l.id, now() + interval '2 s'"
    rows(database_url, f"{soon} FROM vehicles v, lines l RETURNING 1")

    async def story() -> None:
        async with worker(database_url) as (running, _):
            await until(lambda: served(running) == then)

    play(story())


def test_what_is_asked_of_a_vehicle_goes_with_it_to_another_terminal(database_url: str) -> None:
    add_terminal(database_url, NAME, PLATE, "黄")
    import_fences(database_url, square(0), Datum.WGS84, whom_of(database_url, [PLATE]))
    (first,) = [row.terminals for row in list_shapes(database_url, "fences")]
    release_terminal(database_url, NAME)
    add_terminal(database_url, OTHER, PLATE, "黄")
    (second,) = [row.terminals for row in list_shapes(database_url, "fences")]

    assert rows(database_url, "SELECT name FROM terminals WHERE id = ANY(%s)", first) == [(NAME,)]
    assert rows(database_url, "SELECT name FROM terminals WHERE id = ANY(%s)", second) == [(OTHER,)]


def test_lines_and_groups_are_kept_from_the_command_line(dubhe: Dubhe, database_url: str) -> None:
    add_terminal(database_url, NAME, PLATE, "黄")
    dubhe("group", "add", "一车队")

    assert dubhe("group", "assign", "一车队", PLATE, "--from", "2026-01-01", "--until", "2126-01-01")[0] == 0
    assert dubhe("group", "list")[1].splitlines()[1].split("\t") == [
        "1",
        "一车队",
        PLATE,
        "2026-01-01T00:00:00+08:00",
        "2126-01-02T00:00:00+08:00",
    ], "a day alone is the last"
    code, _, why = dubhe("group", "assign", "一车队", PLATE)
    assert (code, "already" in why) == (2, True)
    assert dubhe("group", "unassign", "一车队", PLATE)[0] == 0
    assert dubhe("group", "list")[1].splitlines()[1].split("\t") == ["1", "一车队", "", "", ""]
    assert rows(database_url, "SELECT count(*) FROM memberships") == [(1,)], "what was, stays on record"
    code, _, why = dubhe("line", "assign", "8路", PLATE)
    assert (code, "`dubhe line add`" in why) == (2, True)


def test_of_several_vehicles_all_are_assigned_or_none_and_the_unknown_ones_are_named(dubhe: Dubhe, database_url: str) -> None:
    add_terminal(database_url, NAME, PLATE, "黄")
    add_terminal(database_url, OTHER, "沪A38009", "黄")
    dubhe("line", "add", "8路")

    code, _, why = dubhe("line", "assign", "8路", PLATE, "沪A00001", "沪A00002")
    assert (code, "沪A00001" in why, "沪A00002" in why, PLATE in why) == (2, True, True, False)
    assert rows(database_url, "SELECT count(*) FROM memberships") == [(0,)]
    assert dubhe("line", "assign", "8路", PLATE, PLATE)[0] == 0
    code, _, why = dubhe("line", "assign", "8路", PLATE, "沪A38009")
    assert (code, why.startswith(f"dubhe: {PLATE}: in line 8路 at that time already")) == (2, True)
    code, _, why = dubhe("line", "unassign", "8路", PLATE, "沪A38009")
    assert (code, why.startswith("dubhe: 沪A38009: not in line 8路 at that time")) == (2, True)
    assert rows(database_url, "SELECT count(*) FROM memberships WHERE valid_until = 'infinity'") == [(1,)]


def test_of_two_vehicles_with_one_plate_the_colour_says_which(dubhe: Dubhe, database_url: str) -> None:
    add_vehicle(database_url, PLATE, "黄")
    add_vehicle(database_url, PLATE, "蓝")
    dubhe("line", "add", "8路")

    code, _, why = dubhe("line", "assign", "8路", PLATE)
    assert (code, "--colour" in why) == (2, True)
    assert dubhe("line", "assign", "8路", PLATE, "--colour", "蓝")[0] == 0
    assert rows(database_url, "SELECT plate_colour FROM memberships JOIN vehicles v ON v.id = vehicle_id") == [(1,)]


def test_a_line_stands_for_its_vehicles_terminals_and_who_has_none_is_named(dubhe: Dubhe, database_url: str) -> None:
    add_terminal(database_url, NAME, PLATE, "黄")
    dubhe("line", "add", "8路")
    with pytest.raises(UnknownParty, match="line:8路 has no terminal"):
        terminals_of(database_url, ["line:8路"])
    dubhe("line", "assign", "8路", PLATE)

    assert terminals_of(database_url, ["line:8路"]) == terminals_of(database_url, [NAME])


def test_whom_a_shape_is_for_is_never_taken_from_the_file(dubhe: Dubhe, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "fence.geojson"
    file.write_text(json.dumps(square(0, parties=[["line", 3]])), encoding="utf-8")

    code, _, why = dubhe("fence", "import", str(file), "--datum", "wgs84")
    assert (code, "--for" in why) == (0, True)
    assert ["parties" in row.feature["properties"] for row in list_shapes(database_url, "fences")] == [False]


def test_an_import_that_names_nobody_is_for_all_and_one_that_names_a_stranger_is_refused(
    dubhe: Dubhe, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "fence.geojson"
    file.write_text(json.dumps(square(0)), encoding="utf-8")

    assert dubhe("fence", "import", str(file), "--datum", "wgs84")[0] == 0
    assert [row.terminals for row in list_shapes(database_url, "fences")] == [None]
    code, _, why = dubhe("fence", "import", str(file), "--datum", "wgs84", "--for", "group:nobody")
    assert (code, "`dubhe group add`" in why) == (2, True)
    with pytest.raises(UnknownParty, match="no terminal or vehicle"):
        whom_of(database_url, ["沪A00000"])
