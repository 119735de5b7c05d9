"""`dubhe events`: what was found, for people and for programs."""

from __future__ import annotations

import csv
import io
import json

import pytest

from compliance.vehicles import Reason
from fix_cli import Dubhe
from fix_db import rows
from storage.enrol import add_terminal
from storage.geometry import add_shapes
from tracks.event import Kind

TELL = """
INSERT INTO events (id, terminal_id, vehicle_id, kind, subject, level, started_at, opened_at, last_at, ended_at, ended, peak, total,
    evidence, digest, retrospective, version, reasons, withdrawn_at)
SELECT g.id, t.id, t.vehicle_id, kind, coalesce(subject, 0), 2, at, at, at, ended_at, ended, peak, total,
    3, 1, coalesce(late, false), 1, coalesce(reasons, 0), withdrawn_at
FROM jsonb_to_record(%s) AS g (id bigint, terminal text, kind text, subject bigint, at timestamptz, ended_at timestamptz, ended text,
    peak float, total float, late boolean, reasons integer, withdrawn_at timestamptz) JOIN terminals t ON t.name = g.terminal
RETURNING id
"""
LIMIT = "2026-11-25T01:00:00Z"


@pytest.fixture
def told(dubhe: Dubhe, database_url: str) -> Dubhe:
    """`dubhe`, with incidents of two vehicles; the higher the id the later."""
    add_terminal(database_url, "13800138000", "沪A38000", "黄")
    add_terminal(database_url, "13800138001", "沪A38001", "黄")
    add_shapes(database_url, "corridors", [{"type": "Feature", "geometry": None, "properties": {"name": "71路"}}])
    over = {"ended_at": "2026-11-25T01:30:00Z", "ended": "returned"}
    found = [
        {"kind": "deviation", "subject": 1, "at": "2026-11-24T16:00:00Z", "peak": 312.4, "total": 1500, **over, "withdrawn_at": LIMIT},
        {"kind": "overspeed", "at": LIMIT, "peak": 91.6, "total": 820, **over, "ended": "gap", "late": True},
        {"kind": "terminal_alarm", "subject": 29, "at": "2026-11-25T02:00:00Z"},
        {"kind": "stop_visit", "subject": 9, "at": "2026-11-25T15:59:59Z", "reasons": int(Reason.SUSPENDED), "terminal": "13800138001"},
        {"kind": "shortcut", "subject": 1, "at": "2026-11-25T16:00:00Z", "withdrawn_at": LIMIT},
    ]
    for number, each in enumerate(found, 1):
        rows(database_url, TELL, json.dumps({"id": number, "terminal": "13800138000"} | each))
    return dubhe


def ids(told: Dubhe, *words: str) -> list[int]:
    code, out, _ = told("events", "--format", "json", *words)
    assert code == 0
    return [json.loads(line)["id"] for line in out.splitlines()]


def test_the_newest_come_first_and_what_is_asked_for_alone(told: Dubhe) -> None:
    assert [5, 4, 3, 2, 1] == ids(told)
    assert [4] == ids(told, "--terminal", "13800138001") == ids(told, "--vehicle", "沪A·38001")
    assert [5, 3, 2, 1] == ids(told, "--vehicle", "沪A38000")
    assert [2, 1] == ids(told, "--kind", "overspeed", "--kind", "deviation")
    assert [4, 3] == ids(told, "--open"), "what is withdrawn does not last"
    assert [4, 3, 2, 1] == ids(told, "--since", "2026-11-25", "--until", "2026-11-25"), "a day of UTC+8"
    assert [3] == ids(told, "--since", "2026-11-25T09:00:01", "--until", "2026-11-25T15:59:59Z")
    assert [] == ids(told, "--terminal", "13800138001", "--kind", "overspeed")

    code, out, said = told("events", "--limit", "2", "--format", "json")
    assert (code, len(out.splitlines()), "these are the newest 2" in said) == (0, 2, True)
    assert "" == told("events", "--limit", "5")[2]


def test_people_read_it_in_both_languages_in_their_time_with_what_makes_it_no_alarm(told: Dubhe) -> None:
    heading, *lines = [line.split("\t") for line in told("events")[1].splitlines()]
    by_id = dict(zip((5, 4, 3, 2, 1), (dict(zip(heading, line, strict=True)) for line in lines), strict=True))

    assert by_id[1] == {
        "started": "2026-11-25T00:00:00+08:00", "ended": "2026-11-25T09:30:00+08:00", "plate": "沪A38000", "terminal": "13800138000",
        "kind": "strayed 偏离", "about": "71路", "level": "warning 警告", "worst": "312 m from the corridor",
        "in all": "1500 m driven off it", "marks": "withdrawn 已撤销",
    }  # fmt: skip
    assert ("2026-11-25T09:30:00+08:00 gap", "92 km/h", "found late 补判") == tuple(by_id[2][name] for name in ("ended", "worst", "marks"))
    assert ("", "alarm_raised 终端报警", "collision 碰撞") == tuple(by_id[3][name] for name in ("ended", "kind", "about"))
    assert ("stop 9", "for the record only 仅存档; suspended") == (by_id[4]["about"], by_id[4]["marks"])


def test_programs_get_all_columns_in_utc(told: Dubhe) -> None:
    as_json = [json.loads(line) for line in told("events", "--format", "json")[1].splitlines()]
    as_csv = list(csv.DictReader(io.StringIO(told("events", "--format", "csv")[1])))

    assert [list(each) for each in as_json] == [list(each) for each in as_csv]
    first, visit = as_json[-1], as_json[1]
    assert ("deviation", "71路", "2026-11-24T16:00:00Z", LIMIT) == tuple(
        first[name] for name in ("kind", "name", "started_at", "withdrawn_at")
    )
    assert (True, ["suspended"], None) == (visit["record_only"], visit["reasons"], visit["ended_at"])
    assert ("true", "suspended", "") == (as_csv[1]["record_only"], as_csv[1]["reasons"], as_csv[1]["ended_at"])


def test_who_or_what_is_not_known_is_one_sentence(told: Dubhe) -> None:
    for words, why in (
        (("--vehicle", "沪A99999"), "no vehicle is called '沪A99999' 未登记; `dubhe vehicle list`"),
        (("--terminal", "139"), "no terminal is called '139' 未登记; `dubhe terminal list`"),
        (("--kind", "overspeeding"), "did you mean 是否指 overspeed"),
        (("--format", "xml"), "is none of table, json, csv"),
        (("--since", "2026-11-26", "--until", "2026-11-25"), "is not after --since 2026-11-26"),
    ):
        code, out, said = told("events", *words)

        assert (code, out) == (2, "")
        assert why in said


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
def test_every_kind_is_shown(dubhe: Dubhe, database_url: str, kind: Kind) -> None:
    add_terminal(database_url, "13800138000")
    rows(database_url, TELL, json.dumps({"id": 1, "terminal": "13800138000", "kind": kind.name.lower(), "at": LIMIT, "subject": 1}))

    assert 2 == len(dubhe("events")[1].splitlines())
