"""Sheets as they really come: what a person sees in a cell is what is read, and what cannot be read is said, cell by cell."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import openpyxl
import pytest

from dubhe.columns import Headings, entry_of
from dubhe.fleet import ImportReport, import_vehicles
from dubhe.sheet import Line, SheetError, lines
from fix_db import rows

HEADINGS = ["车牌号", "车牌颜色", "核定载客", "年审日期", "年审有效期至", "终端手机号", "业户名称"]
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def workbook(*lines: Sequence[Any], merged: Sequence[str] = ()) -> bytes:
    book = openpyxl.Workbook()
    for line in (HEADINGS, *lines):
        book.active.append(line)
    for cells in merged:
        book.active.merge_cells(cells)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def text(*lines: str, encoding: str = "utf-8", delimiter: str = ",") -> bytes:
    return "".join(f"{line}\n" for line in (",".join(HEADINGS), *lines)).replace(",", delimiter).encode(encoding)


def read(sheet: bytes) -> tuple[list[Any], list[str]]:
    """The entries, and what is wrong with the others."""
    headings, found = lines(sheet)
    known = Headings.of(headings)
    told = [entry_of(known, line) for line in found]
    return [entry for entry, _ in told if entry], [str(problem) for _, problems in told for problem in problems]


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [("utf-8", ","), ("utf-8-sig", ","), ("gbk", ","), ("utf-16", "\t"), ("utf-8", "\t"), ("gbk", ";")],
)
def test_a_sheet_is_read_in_whatever_encoding_a_spreadsheet_program_wrote_it(encoding: str, delimiter: str) -> None:
    ((entry,), problems) = read(text("川A20001,黄,19,2026-05-01,2027-04-30,13800138001,某公司", encoding=encoding, delimiter=delimiter))

    assert [] == problems
    assert ("川A20001", 2, {"seats": 19}, "某公司") == (entry.plate, entry.plate_colour, entry.vehicle, entry.enterprise)


def test_one_broken_byte_spoils_its_cell_alone() -> None:
    sheet = text("川A20001,黄,19", "川A20002,黄,19,,,,某").rstrip() + b"\xed\xa0\x80\n" + "川A20003,黄,19\n".encode()
    entries, (problem,) = read(sheet)

    assert ["川A20001", "川A20003"] == [entry.plate for entry in entries]
    assert "line 3, 业户名称" in problem


ODD_DAYS = ["2027/4/30 0:00", "２０２７．４．３０", "2027-04-30T00:00:00"]
A_DAY = date(2027, 4, 30)
MIDNIGHT, LUNCH = (datetime.combine(A_DAY, time(hour)) for hour in (0, 13))  # a cell has no zone


@pytest.mark.parametrize("cell", [A_DAY, MIDNIGHT, 46507, 46507.0, 20270430, "2027-04-30", "2027/4/30", "2027年4月30日", *ODD_DAYS])
def test_a_date_is_read_however_the_cell_holds_it(cell: Any) -> None:
    ((entry,), problems) = read(workbook(["川A20001", "黄", "１９", None, cell, "１３８００１３８００１"]))

    assert [] == problems
    assert ("2027-04-30T16:00:00+00:00", {"seats": 19}, "13800138001") == (
        entry.papers[0].until.astimezone(UTC).isoformat(),
        entry.vehicle,
        entry.terminal,
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["川A20001", "黄", "=10+9"], "line 2, 核定载客 '#FORMULA': it is a formula whose value was not saved"),
        (['="川A"&20001', "黄"], "line 2, 车牌号 '#FORMULA'"),
        (["#N/A", "黄"], "line 2, 车牌号 '#N/A': its formula failed"),
        (["川A20001", "黄", None, None, None, None, "#REF!"], "业户名称 '#REF!'"),
        (["川A20001", "黄", True], "a whole number"),
        (["川A20001", "黄", 19.5], "a whole number"),
        (["川A20001", "黄", None, LUNCH, A_DAY], "write a date"),
        (["川A20001", "黄", None, timedelta(days=3), date(2027, 4, 30)], "write a date"),
        (["川A20001", "黄", None, None, "9999-12-31"], "长期 where it has no end"),
        (["川A20001", "黄", None, None, None, 1.38e10 + 0.5], "cannot be a terminal's name"),
        (["川A\n20001", "黄"], "含有控制字符"),
        (["川A20001", "黄", None, None, None, None, "某" * 30_000], "文本过长"),
    ],
)
def test_a_cell_that_cannot_be_meant_is_said_and_spoils_no_other_row(line: list[Any], sentence: str) -> None:
    ((entry,), problems) = read(workbook(line, ["川A20002", "黄"]))

    assert "川A20002" == entry.plate
    assert 1 == len([problem for problem in problems if sentence in problem])
    assert max(map(len, problems)) < 300


def test_merged_cells_all_say_what_the_first_one_says() -> None:
    """A company merged over its vehicles, and a vehicle over its two drivers."""
    filled = [["川A20001", "黄", None, None, None, None, "某公司"], ["川A20002", "黄"], ["川A20003", "黄"], [None, None, 19]]

    entries, problems = read(workbook(*filled, merged=["G2:G4", "A4:A5", "B4:B5"]))

    assert [] == problems
    assert [("川A20001", "某公司"), ("川A20002", "某公司"), ("川A20003", "某公司"), ("川A20003", "")] == [
        (entry.plate, entry.enterprise) for entry in entries
    ]


@pytest.mark.parametrize(
    ("sheet", "sentence"),
    [
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "save it as .xlsx"),
        (b"PK\x03\x04" + bytes(100), "cannot be read as XLSX"),
        (workbook(["川A20001", "黄"])[:2000], "cannot be read as XLSX"),
    ],
)
def test_what_is_no_sheet_is_one_sentence(sheet: bytes, sentence: str) -> None:
    with pytest.raises(SheetError, match=sentence):
        list(lines(sheet)[1])


def entered(url: str, sheet: bytes) -> ImportReport:
    return import_vehicles(url, sheet, by="operator", now=NOW)


@pytest.mark.parametrize(
    ("column", "cell", "cure"),
    [
        ("driver", "某师傅", "从业资格证号"),
        ("driver_phone", "13800138000", "驾驶员姓名"),
        ("contact", "某人", "业户名称"),
        ("licence_until", "2027-12-31", "业户名称"),
        ("status_from", "2026-01-01", "经营状态"),
    ],
)
def test_what_is_said_of_nobody_is_asked_about_instead_of_dropped(column: str, cell: str, cure: str) -> None:
    headings = ["plate", "plate_colour", column]
    entry, problems = entry_of(Headings.of(headings), Line(2, dict(zip(headings, ("川A20001", "黄", cell), strict=True))))

    assert (entry, [cure in problem.why for problem in problems]) == (None, [True])


def test_two_rows_may_add_to_a_vehicle_but_not_contradict_each_other(database_url: str) -> None:
    report = entered(
        database_url, text("川A20001,黄,19,,,,某公司", "川·Ａ20001,黄,20", "川A20001,黄,,2026-05-01,2027-04-30", "川A20001,蓝,20")
    )

    assert ["line 3: of the same vehicle line 2 says that seats is 19, and this line 20 同一车辆信息不一致"] == list(
        map(str, report.problems)
    )
    assert (3, [(1, 20), (2, 19)]) == (report.taken, rows(database_url, "SELECT plate_colour, seats FROM vehicles ORDER BY 1"))


def test_a_row_is_held_against_all_before_it_not_the_first_alone(database_url: str) -> None:
    report = entered(database_url, text("川A20001,黄,,,,,某公司", "川A20001,黄,19", "川A20001,黄,20"))

    assert (2, [4]) == (report.taken, [problem.line for problem in report.problems])
    assert rows(database_url, "SELECT seats FROM vehicles") == [(19,)]


def test_where_a_sheet_cannot_be_read_on_what_was_taken_is_said(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dubhe.sheet.ROWS_MAX", 3)
    report = entered(database_url, text("川A20001,黄", "川A20002,黄", "川A20003,黄"))

    assert 2 == report.taken
    assert ["line 4: the sheet has more than 3 rows; divide it 请拆分文件; the rows before it have been read 之前的行已读取"] == list(
        map(str, report.problems)
    )
