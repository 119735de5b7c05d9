"""Whom a shape is meant for is asked of the registry: a vehicle's lines and groups, and the terminal that it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dubhe import cli
from dubhe.geometry import import_fences
from fix_db import rows
from fix_worker import Raw, play, until, worker
from geofence.datum import Datum
from storage.enrol import add_terminal, release_terminal
from storage.geometry import UnknownParty, list_shapes, whom_of
from test_rules import NAME, at, registered, square

PLATE = "沪A38000"
OTHER = "13800138009"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`dubhe …`: exit status, output, errors."""
    monkeypatch.setenv("DUBHE_DATABASE_URL", database_url)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


async def visit(terminal: Raw, first: int) -> None:
    """In and out of a fence 200 m around the middle, from step `first` on."""
    for step, east_m in enumerate([-600, -400, -100, 0, 100, 400, 600]):
        assert await terminal.result(0x0200, at(first + step, east_m)) == 0


def test_a_fence_of_a_line_is_for_the_vehicles_that_serve_it_now(run: Run, database_url: str) -> None:
    add_terminal(database_url, NAME, PLATE, "黄")
    assert run("line", "add", "71路")[0] == 0
    import_fences(database_url, square(0), Datum.WGS84, whom_of(database_url, ["line:71路"]))

    async def story() -> None:
        async with worker(database_url) as (running, port):
            terminal = await Raw.connect(port, NAME)
            assert await terminal.log_in(registered(database_url)) == 0
            await visit(terminal, 0)
            assert rows(database_url, "SELECT 1 FROM events WHERE kind = 'inside'") == []

            before = running.rules.atlas.value
            rows(database_url, "INSERT INTO memberships SELECT v.id, 'line', l.id FROM vehicles v, lines l RETURNING 1")
            await until(lambda: running.rules.atlas.value is not before)
            await visit(terminal, 20)
            assert len(rows(database_url, "SELECT 1 FROM events WHERE kind = 'inside'")) == 1

            before = running.rules.atlas.value
            rows(database_url, "UPDATE memberships SET valid_until = now() RETURNING 1")
            await until(lambda: running.rules.atlas.value is not before)
            await visit(terminal, 40)
            assert len(rows(database_url, "SELECT 1 FROM events WHERE kind = 'inside'")) == 1

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


def test_lines_and_groups_are_kept_from_the_command_line(run: Run, database_url: str) -> None:
    add_terminal(database_url, NAME, PLATE, "黄")
    run("group", "add", "一车队")

    assert run("group", "assign", "一车队", PLATE, "--from", "2026-01-01", "--until", "2126-01-01")[0] == 0
    assert run("group", "list")[1].splitlines()[1].split("\t") == ["1", "一车队", PLATE, "2025-12-31T16:00:00Z", "2125-12-31T16:00:00Z"]
    code, _, why = run("group", "assign", "一车队", PLATE)
    assert (code, "already" in why) == (2, True)
    assert run("group", "unassign", "一车队", PLATE)[0] == 0
    assert run("group", "list")[1].splitlines()[1].split("\t") == ["1", "一车队", "", "", ""]
    assert rows(database_url, "SELECT count(*) FROM memberships") == [(1,)], "what was, stays on record"
    code, _, why = run("line", "assign", "8路", PLATE)
    assert (code, "`dubhe line add`" in why) == (2, True)


def test_an_import_that_names_nobody_is_for_all_and_one_that_names_a_stranger_is_refused(
    run: Run, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "fence.geojson"
    file.write_text(json.dumps(square(0)), encoding="utf-8")

    assert run("fence", "import", str(file), "--datum", "wgs84")[0] == 0
    assert [row.terminals for row in list_shapes(database_url, "fences")] == [None]
    code, _, why = run("fence", "import", str(file), "--datum", "wgs84", "--for", "group:nobody")
    assert (code, "`dubhe group add`" in why) == (2, True)
    with pytest.raises(UnknownParty, match="no terminal or vehicle"):
        whom_of(database_url, ["沪A00000"])
