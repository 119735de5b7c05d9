"""Terminals from a sheet: rows are taken one by one, bad ones are named, and any bytes are rows or reasons."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
import xlsxwriter

from dubhe.columns import Wrong
from dubhe.fleet import import_terminals, import_vehicles
from fix_db import rows

BOUND = "SELECT t.name, v.plate, v.plate_colour, t.vetted FROM terminals t LEFT JOIN vehicles v ON v.id = t.vehicle_id ORDER BY 1"
SHEET = """终端号,车牌号,车牌颜色,VIN,备注
138,川A12345,黄色,,first
139,川B00001,紫,,a colour that is none
,川C00001,绿,,a vehicle without a terminal
,,,,

13800138000x?,,,,no terminal can send this number
140,川A12345,黄,,taken
141
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_spreadsheet_is_taken_row_by_row_and_bad_rows_are_named(database_url: str, encoding: str) -> None:
    report = import_terminals(database_url, SHEET.encode(encoding))

    assert report.taken == 3
    assert [(problem.line, problem.column, problem.value) for problem in report.problems] == [
        (3, "车牌颜色", "紫"),
        (7, "终端号", "13800138000x?"),
        (8, "", ""),
    ]
    assert "vehicle 川A12345 is served by terminal 138 " in report.problems[2].why
    assert "`dubhe terminal release 138`" in report.problems[2].why
    assert report.unread == ["备注"]
    assert rows(database_url, "SELECT name FROM terminals ORDER BY 1") == [("138",), ("141",)]
    assert rows(database_url, "SELECT plate, plate_colour FROM vehicles ORDER BY 1") == [("川A12345", 2), ("川C00001", 5)]


def test_a_workbook_is_a_sheet_too(database_url: str) -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        page = book.add_worksheet()
        for number, row in enumerate([("终端号", "车牌号", "车牌颜色"), (13900000001, "川A12345", "黄")]):
            page.write_row(number, 0, row)
    report = import_terminals(database_url, file.getvalue())

    assert (report.taken, report.problems) == (1, [])
    assert rows(database_url, BOUND) == [("13900000001", "川A12345", 2, True)]


def test_a_phone_is_the_terminals_in_a_sheet_of_terminals_alone(database_url: str) -> None:
    sheet = b"plate,plate_colour,phone,color\n\xe5\xb7\x9dA12345,2,13900000001,silver\n"
    vehicles = import_vehicles(database_url, sheet, by="operator", now=datetime.now(UTC))
    assert (vehicles.taken, vehicles.unread) == (1, ["phone", "color"])
    assert rows(database_url, BOUND) == []

    report = import_terminals(database_url, sheet.replace(b",color", b"").replace(b",silver", b""))
    assert (report.taken, report.unread, [name for name, *_ in rows(database_url, BOUND)]) == (1, [], ["13900000001"])


def test_a_heading_with_a_slip_and_one_that_stands_twice_are_told(database_url: str) -> None:
    sheet = "车牌号,车牌颜色,carrier_untill,交强险到期,备注,车牌号\n川A12345,黄,2030-01-01,2030-01-01,x,川A54321\n".encode()
    report = import_vehicles(database_url, sheet, by="operator", now=datetime.now(UTC))

    assert report.unread == [
        "carrier_untill; did you mean 是否指 carrier_until?",
        "交强险到期; did you mean 是否指 交强险到期日?",
        "备注",
        "车牌号 where it stands again 重复列",
    ]
    assert [("川A12345",)] == rows(database_url, "SELECT plate FROM vehicles")


def test_a_formula_without_a_value_is_no_plate(database_url: str) -> None:
    report = import_terminals(database_url, "终端号,车牌号,车牌颜色\n138,#N/A,黄\n".encode())

    assert (report.taken, [problem.column for problem in report.problems]) == (0, ["车牌号"])
    assert rows(database_url, BOUND) == []


def test_importing_the_same_sheet_again_changes_nothing(database_url: str) -> None:
    first = import_terminals(database_url, SHEET.encode())
    before = rows(database_url, BOUND)

    assert import_terminals(database_url, SHEET.encode()) == first
    assert rows(database_url, BOUND) == before


@pytest.mark.parametrize("sheet", [b"", b"\n", b"name,colour\n1,2\n", b"\xff\xfe\x00\x00"])
def test_a_sheet_without_known_headings_is_refused_whole(database_url: str, sheet: bytes) -> None:
    with pytest.raises(Wrong, match="must name a column terminal"):
        import_terminals(database_url, sheet)


def test_random_bytes_are_rows_or_reasons(database_url: str) -> None:
    sheet = b"terminal,plate,colour\n" + bytes(range(256)) + b'\n"unclosed,\n1,2,3\n\x00,\x00,\x00\n'
    report = import_terminals(database_url, sheet)

    assert report.taken + len(report.problems) > 0
