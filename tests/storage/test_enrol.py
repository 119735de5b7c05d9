"""The operator's entries: by hand, from spreadsheets with bad rows, never rebinding silently."""

from __future__ import annotations

import pytest

from fix_db import rows
from storage.enrol import EnrolError, add_terminal, add_vehicle, import_csv, release_terminal


def entries(url: str) -> list[tuple[str, str | None, int | None, bool]]:
    """Terminal, plate, colour, vetted."""
    return rows(
        url, "SELECT t.name, v.plate, v.plate_colour, t.vetted FROM terminals t LEFT JOIN vehicles v ON v.id = t.vehicle_id ORDER BY 1"
    )


def test_a_terminal_is_known_under_its_digits_without_leading_zeros(database_url: str) -> None:
    add_terminal(database_url, "00000000013912345678")
    add_terminal(database_url, " 013912345678 ")

    assert entries(database_url) == [("13912345678", None, None, True)]


def test_entering_the_same_twice_changes_nothing(database_url: str) -> None:
    for _ in range(2):
        add_terminal(database_url, "138", "川A·12345", "黄", vin="lzytbte61g1000001")

    assert entries(database_url) == [("138", "川A12345", 2, True)]
    assert rows(database_url, "SELECT vin, vetted FROM vehicles") == [("LZYTBTE61G1000001", True)]


def test_a_terminal_that_serves_a_vehicle_is_released_before_it_serves_another(database_url: str) -> None:
    add_terminal(database_url, "138", "川A12345", "黄")

    with pytest.raises(EnrolError, match="terminal 138 serves another vehicle; release it first"):
        add_terminal(database_url, "138", "川B00001", "2")
    with pytest.raises(EnrolError, match="vehicle 川A12345 is served by terminal 138; release that first"):
        add_terminal(database_url, "139", "川A12345", "yellow")
    assert entries(database_url) == [("138", "川A12345", 2, True)]

    release_terminal(database_url, "138")
    add_terminal(database_url, "139", "川A12345", "黄")
    assert entries(database_url) == [("138", None, None, True), ("139", "川A12345", 2, True)]


def test_releasing_an_unknown_terminal_is_said(database_url: str) -> None:
    with pytest.raises(EnrolError, match="'138' is not in the registry"):
        release_terminal(database_url, "138")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (("", "", ""), "'' cannot be a terminal's name"),
        (("1\x008", "", ""), "'18' cannot be a terminal's name"),
        (("1" * 65, "", ""), "cannot be a terminal's name"),
        (("138", "川A12345", ""), "plate colour '' is none of"),
        (("138", "川A12345", "7"), "plate colour '7' is none of"),
        (("138", "川A12345", "紫"), "plate colour '紫' is none of"),
    ],
)
def test_an_entry_that_cannot_be_taken_says_why_and_leaves_nothing(database_url: str, entry: tuple[str, str, str], why: str) -> None:
    with pytest.raises(EnrolError, match=why):
        add_terminal(database_url, *entry)

    assert entries(database_url) == []


def test_a_plate_of_punctuation_is_no_vehicle(database_url: str) -> None:
    with pytest.raises(EnrolError, match="neither a terminal nor a plate"):
        add_vehicle(database_url, "--", "黄")


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
    report = import_csv(database_url, SHEET.encode(encoding))

    assert report.taken == 3
    assert [line for line, _ in report.errors] == [3, 7, 8]
    assert [why.split(";")[0][:15] for _, why in report.errors] == ["plate colour '紫", "'13800138000x?'", "vehicle 川A12345"]
    assert [name for name, *_ in entries(database_url)] == ["138", "141"]
    assert rows(database_url, "SELECT plate, plate_colour FROM vehicles ORDER BY 1") == [("川A12345", 2), ("川C00001", 5)]


def test_importing_the_same_sheet_again_changes_nothing(database_url: str) -> None:
    first = import_csv(database_url, SHEET.encode())
    before = entries(database_url)

    assert import_csv(database_url, SHEET.encode()) == first
    assert entries(database_url) == before


@pytest.mark.parametrize("sheet", [b"", b"\n", b"name,colour\n1,2\n", b"\xff\xfe\x00\x00"])
def test_a_sheet_without_known_headings_is_refused_whole(database_url: str, sheet: bytes) -> None:
    with pytest.raises(EnrolError, match="must name a column terminal"):
        import_csv(database_url, sheet)


def test_random_bytes_are_rows_or_reasons(database_url: str) -> None:
    sheet = b"terminal,plate,colour\n" + bytes(range(256)) + b'\n"unclosed,\n1,2,3\n\x00,\x00,\x00\n'
    report = import_csv(database_url, sheet)

    assert report.taken + len(report.errors) > 0
