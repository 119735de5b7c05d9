"""Vehicles from a sheet into service, as a county does it: entered, submitted, approved by somebody else, suspended, retired."""

from __future__ import annotations

import asyncio
import csv
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from compliance.onboarding import Action
from compliance.vehicles import Policy
from dubhe.columns import COLUMNS
from dubhe.fleet import import_vehicles, write_template
from dubhe.onboarding import Refused, act
from fix_cli import Dubhe
from fix_db import rows
from fix_terminals import online
from fix_worker import Raw, play, worker
from protocols.jt808 import messages
from protocols.jt808.header import V2013

PLATE, NAME = "沪A38000", "13800138000"
"""As the simulated terminal registers."""
LATER = f"{datetime.now(UTC) + timedelta(days=200):%Y-%m-%d}"
PAPERS = {
    "licence_number": "L1", "licence_until": LATER, "certificate_number": "C1", "certificate_until": LATER, "review_until": LATER,
    "inspection_until": LATER, "compulsory_until": LATER, "carrier_until": LATER, "permit_number": "P1", "permit_line": "71路",
    "permit_until": LATER,
}  # fmt: skip
GOOD = {"plate": PLATE, "plate_colour": "黄", "terminal": NAME, "enterprise": "甲客运", "line": "71路"} | PAPERS


@pytest.fixture
def run(dubhe: Dubhe) -> Dubhe:
    """`dubhe vehicle …`."""
    return partial(dubhe, "vehicle")


def sheet(file: Path, *lines: dict[str, str]) -> str:
    with file.open("w", encoding="utf-8", newline="") as out:
        made = csv.DictWriter(out, list(dict.fromkeys(name for line in lines for name in line)))
        made.writeheader()
        made.writerows(lines)
    return str(file)


def test_rows_are_counted_for_a_person_who_watches(run: Dubhe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sheet(tmp_path / "a.csv", GOOD, {"plate": "沪A38001", "plate_colour": "黄"})

    assert (0, "2 taken, 0 refused\n", "") == run("import", file)

    monkeypatch.setenv("FORCE_COLOR", "1")  # as if standard error were a terminal
    monkeypatch.setenv("TERM", "xterm")
    code, out, said = run("import", file)

    assert (code, out, "2 rows read" in said) == (0, "2 taken, 0 refused\n", True)


def hear(url: str) -> None:
    """Let the terminal register and report once, through a real gateway."""

    async def story() -> None:
        async with worker(url) as (_, port), online(port):
            await asyncio.to_thread(rows, url, "SELECT 1")
        rows(url, "INSERT INTO fixes (time, terminal_id, received_at, digest, alarm_bits, status_bits, valid, dated, backfill, source, raw)"
            " SELECT now(), id, now(), 0, 0, 0, true, true, false, 'jt808', '' FROM terminals RETURNING 1")  # fmt: skip

    play(story())


def registration(plate: str) -> bytes:
    fields = {"province": 31, "city": 100, "maker": "DUBHE", "model": "T1", "terminal_id": "1"}
    return messages.build(0x0100, V2013, fields | {"plate_colour": 2, "plate": plate})


def show(run: Dubhe, *words: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run("show", PLATE, "--json", *words)
    return code, json.loads(out)


def test_a_vehicle_comes_into_service_by_two_pairs_of_eyes(run: Dubhe, database_url: str, tmp_path: Path) -> None:
    assert run("import", sheet(tmp_path / "fleet.csv", GOOD), "--by", "operator")[0] == 0
    code, told = show(run)
    assert (code, [each["reason"] for each in told["verdict"]["reasons"]]) == (1, ["not_vetted"])
    code, _, why = run("submit", PLATE, "--by", "operator")
    assert (code, "not heard within 24 hours" in why) == (1, True)

    hear(database_url)
    code, out, _ = run("submit", PLATE, "--by", "operator")
    assert (code, out.splitlines()[-1]) == (0, f"{PLATE} is in review 待审核")  # the gateway has logged there, too
    code, _, why = run("approve", PLATE, "--by", " Operator ")
    assert (code, "四眼原则" in why) == (1, True)
    assert run("approve", PLATE, "--by", "officer")[:2] == (0, f"{PLATE} is active 营运中\n")
    assert show(run)[0] == 0

    assert [show(run, *when)[1]["vehicle"]["state"] for when in ((), ("--at", "2026-01-01"))] == ["active", "draft"]
    assert run("suspend", PLATE, "--by", "officer")[0] == 2, "a reason is asked for"
    assert run("suspend", PLATE, "--by", "officer", "--reason", "accident")[0] == 0
    assert [each["reason"] for each in show(run)[1]["verdict"]["reasons"]] == ["suspended"]
    assert run("resume", PLATE, "--by", "officer")[0] == 0
    assert show(run)[0] == 0
    states = [row[0] for row in rows(database_url, "SELECT state FROM onboarding ORDER BY id")]
    assert states == ["draft", "submitted", "returned", "submitted", "review", "approved", "active", "suspended", "active"]


def test_a_verdict_is_that_of_the_moment_asked_about(run: Dubhe, database_url: str, tmp_path: Path) -> None:
    run("import", sheet(tmp_path / "fleet.csv", GOOD | {"carrier_until": "2026-01-31"}), "--by", "operator")
    before, after = (show(run, "--at", day)[1]["verdict"]["reasons"] for day in ("2026-01-31T23:59", "2026-02-01T00:00"))

    assert "carrier_insurance_expired" not in [each["reason"] for each in before]
    assert ("carrier_insurance_expired", "2026-01-31T16:00:00Z") in [(each["reason"], each["since"]) for each in after]

    run("import", sheet(tmp_path / "renewed.csv", GOOD | {"carrier_until": LATER, "carrier_from": "2026-02-01"}), "--by", "operator")
    assert "carrier_insurance_expired" not in [each["reason"] for each in show(run, "--at", "2026-02-01T00:00")[1]["verdict"]["reasons"]]
    assert len(rows(database_url, "SELECT 1 FROM papers WHERE kind = 'carrier'")) == 2


def test_a_bad_row_is_reported_with_line_column_value_and_cure_and_spoils_no_other(run: Dubhe, database_url: str, tmp_path: Path) -> None:
    bad = [
        GOOD | {"plate": "沪A38001", "terminal": "1", "plate_colour": "绯"},
        GOOD | {"plate": "沪A38002", "terminal": "2", "carrier_until": "2026-02-30"},
        GOOD | {"plate": "", "terminal": "3"},
        GOOD | {"plate": "沪A38004", "terminal": NAME},
    ]
    code, out, errors = run("import", sheet(tmp_path / "fleet.csv", *bad[:2], GOOD, *bad[2:]), "--by", "operator")

    assert (code, out) == (1, "1 taken, 4 refused\n")
    assert [line.partition(", ")[2].partition(":")[0] for line in errors.splitlines()] == [
        "line 2, plate_colour '绯'", "line 3, carrier_until '2026-02-30'", "line 5", "line 6"
    ]  # fmt: skip
    assert rows(database_url, "SELECT plate FROM vehicles") == [(PLATE,)]


def test_what_a_refused_row_would_have_made_is_made_by_the_next_that_says_it(run: Dubhe, database_url: str, tmp_path: Path) -> None:
    free, others = GOOD | {"terminal": ""}, {"line": "新线", "enterprise": "新客运", "permit_line": "新线"}
    taken = [GOOD, free | {"plate": "沪A38001"} | others | {"terminal": NAME}, free | {"plate": "沪A38002"} | others]

    assert run("import", sheet(tmp_path / "fleet.csv", *taken))[:2] == (1, "2 taken, 1 refused\n")
    lines = "SELECT v.plate, l.name FROM memberships m JOIN vehicles v ON v.id = vehicle_id JOIN lines l ON l.id = party_id"
    assert rows(database_url, f"{lines} WHERE m.kind = 'line' ORDER BY 1") == [(PLATE, "71路"), ("沪A38002", "新线")]
    permits = "SELECT l.name FROM papers JOIN lines l ON l.id = line_id WHERE kind = 'permit' ORDER BY 1"
    assert rows(database_url, permits) == [("71路",), ("新线",)]


def test_of_what_rows_say_of_an_enterprise_the_last_holds(run: Dubhe, database_url: str, tmp_path: Path) -> None:
    said = [
        GOOD | {"plate": f"沪A3810{n}", "terminal": "", "contact": who} for n, who in enumerate(["甲", "乙", "甲", "", "丙", "甲", "甲"])
    ]

    assert run("import", sheet(tmp_path / "fleet.csv", *said))[:2] == (0, "7 taken, 0 refused\n")
    assert rows(database_url, "SELECT name, contact FROM enterprises") == [("甲客运", "甲")]
    assert rows(database_url, "SELECT count(*) FROM papers WHERE enterprise_id IS NOT NULL") == [(1,)]


def test_a_paper_that_is_corrected_supersedes_the_one_before(run: Dubhe, database_url: str, tmp_path: Path) -> None:
    for number, issuer in enumerate(("", "平安", "太平", "太平")):
        run("import", sheet(tmp_path / f"{number}.csv", GOOD | {"carrier_number": "P1", "carrier_issuer": issuer}))

    found = "SELECT issuer, superseded_at IS NULL FROM papers WHERE kind = 'carrier' ORDER BY id"
    assert rows(database_url, found) == [("", False), ("平安", False), ("太平", True)]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_template_is_a_sheet_that_can_be_imported_once_its_example_is_no_remark(database_url: str, tmp_path: Path, form: str) -> None:
    file = tmp_path / f"vehicles.{form}"
    write_template(file)
    assert import_vehicles(database_url, file.read_bytes(), by="operator", now=datetime.now(UTC)).taken == 0

    example = tmp_path / "example.csv"
    example.write_text(",".join(c.headings[0] for c in COLUMNS) + "\n" + ",".join(c.example for c in COLUMNS) + "\n", encoding="gb18030")
    for _ in range(2):
        report = import_vehicles(database_url, example.read_bytes(), by="operator", now=datetime.now(UTC))
        assert (report.taken, report.problems) == (1, [])
    assert rows(database_url, "SELECT count(*), count(DISTINCT kind) FROM papers") == [(9, 9)]


def test_a_template_overwrites_nothing(run: Dubhe, tmp_path: Path) -> None:
    file = tmp_path / "fleet.csv"
    assert run("import", "--template", str(file))[0] == 0
    file.write_text("mine", encoding="utf-8")
    code, _, why = run("import", "--template", str(file))

    assert (code, "not overwritten" in why, file.read_text("utf-8")) == (2, True, "mine")


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_template_that_was_not_filled_in_is_said_to_have_no_rows(dubhe: Dubhe, tmp_path: Path, form: str) -> None:
    file = tmp_path / f"fleet.{form}"
    assert dubhe("vehicle", "import", "--template", str(file))[0] == 0
    for noun in ("vehicle", "terminal"):
        code, out, why = dubhe(noun, "import", str(file))

        assert (code, out) == (2, "")
        assert why.startswith(
            f"dubhe: {file} has no rows 表中没有数据行: write one line for each below the headings; those that begin with #"
        )


def test_a_list_by_a_word_that_is_none_names_those_that_are(run: Dubhe, tmp_path: Path) -> None:
    run("import", sheet(tmp_path / "fleet.csv", GOOD), "--by", "operator")
    for option, word, known in [("--state", "activ", "did you mean 是否指 active?"), ("--reason", "road_cert", "or road_cert_expired")]:
        code, out, why = run("list", option, word)
        assert (code, out, known in " ".join(why.split())) == (2, "", True)

    names = {"line": "71路", "group": "一车队", "enterprise": "甲客运"}
    run("import", sheet(tmp_path / "one.csv", GOOD | {"group": "一车队"}), "--by", "operator")
    for kind, name in names.items():
        assert len(run("list", f"--{kind}", name)[1].splitlines()) == 2
        code, out, why = run("list", f"--{kind}", f"{name}1")
        assert (code, out) == (2, "")
        assert f"no {kind} is called '{name}1' 未登记; did you mean 是否指 {name}?" in why
    for kind, way in (("line", "`dubhe line list` shows those there are"), ("enterprise", "those there are: 甲客运")):
        assert way in run("list", f"--{kind}", "nobody")[2]
    assert run("list", "--line", "nobody", "--json")[:2] == (2, "")

    assert [len(run("list", "--state", state)[1].splitlines()) for state in ("draft", "active")] == [2, 1]
    assert [len(run("list", "--reason", word)[1].splitlines()) for word in ("not_vetted", "retired")] == [2, 1]


def test_a_retired_vehicle_is_not_in_the_database_any_more_for_its_terminal(run: Dubhe, database_url: str, tmp_path: Path) -> None:
    run("import", sheet(tmp_path / "fleet.csv", GOOD), "--by", "operator")
    assert run("retire", PLATE, "--by", "officer", "--reason", "sold")[0] == 0

    async def story() -> None:
        async with worker(database_url) as (_, port):
            answer = await (await Raw.connect(port, NAME)).ask(0x0100, registration(PLATE))
            assert messages.parse(0x8100, V2013, answer.body)["result"] == 2

    play(story())
    assert rows(database_url, "SELECT vehicle_id FROM terminals") == [(None,)]


def test_of_two_officers_who_approve_at_once_one_is_refused(run: Dubhe, database_url: str, tmp_path: Path) -> None:
    run("import", sheet(tmp_path / "fleet.csv", GOOD), "--by", "operator")
    hear(database_url)
    run("submit", PLATE, "--by", "operator")

    async def both() -> list[object]:
        calls = (asyncio.to_thread(act, database_url, PLATE, Action.APPROVE, by=who, policy=Policy()) for who in ("one", "other"))
        return await asyncio.gather(*calls, return_exceptions=True)

    assert sorted(isinstance(each, Refused) for each in asyncio.run(both())) == [False, True]
    assert rows(database_url, "SELECT count(*) FROM onboarding WHERE action = 'approve'") == [(1,)]


def test_the_audit_names_who_did_it_and_cannot_be_changed(run: Dubhe, database_url: str, tmp_path: Path) -> None:
    run("import", sheet(tmp_path / "fleet.csv", GOOD), "--by", "operator")

    assert {by for (by,) in rows(database_url, "SELECT DISTINCT by FROM audit WHERE subject = 'papers'")} == {"operator"}
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        rows(database_url, "DELETE FROM audit RETURNING 1")
