"""Spreadsheets as people send them: CSV in UTF-8 or GBK, and XLSX. Each row comes with its line and its cells by heading.

A cell of XLSX comes as the text that a person sees: numbers without a trailing .0, dates in ISO 8601. A row that begins with # is a
remark. What is no spreadsheet, or too large a one, is refused whole; cells are judged by `dubhe/columns.py`.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from openpyxl import load_workbook

ZIP: Final = b"PK\x03\x04"
ROWS_MAX: Final = 100_000
UNPACKED_BYTES_MAX: Final = 1 << 29
"""An XLSX is a zip file; a small one may unpack to a disk's size."""


class SheetError(ValueError):
    """A file that is not read, with the cure."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row."""

    number: int
    """As a spreadsheet counts: the heading is 1."""
    cells: Mapping[str, str]
    """By heading, stripped; those of headings that come twice are the first one's."""


def lines(sheet: bytes) -> tuple[list[str], Iterator[Line]]:
    """The headings, and the rows that have something in them. Raises `SheetError`, also while rows are read."""
    rows = _xlsx(sheet) if sheet.startswith(ZIP) else _csv(sheet)
    _, heading = next(rows, (0, []))
    headings = [cell.strip() for cell in heading]
    return headings, _lines(headings, rows)


def _lines(headings: list[str], rows: Iterator[tuple[int, list[str]]]) -> Iterator[Line]:
    for number, row in rows:
        if number > ROWS_MAX:
            msg = f"the sheet has more than {ROWS_MAX:,} rows; divide it 请拆分文件"
            raise SheetError(msg)
        cells = [cell.strip() for cell in row]
        if any(cells) and not cells[0].startswith("#"):
            pairs = list(zip(headings, cells, strict=False))
            yield Line(number, dict(reversed(pairs)))


def _csv(sheet: bytes) -> Iterator[tuple[int, list[str]]]:
    try:
        text = sheet.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = sheet.decode("gb18030", "replace")
    reader = csv.reader(io.StringIO(text.replace("\x00", ""), newline=""))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        msg = f"line {reader.line_num} is not CSV: {error}"
        raise SheetError(msg) from None


def _xlsx(sheet: bytes) -> Iterator[tuple[int, list[str]]]:
    try:
        _measure(sheet)
        book = load_workbook(io.BytesIO(sheet), read_only=True, data_only=True)
        page = book.worksheets[0]
        page.reset_dimensions()  # some programs write a wrong extent, and rows beyond it would be lost
        for number, row in enumerate(page.iter_rows(values_only=True), 1):
            yield number, [_text(cell) for cell in row]
        book.close()
    except SheetError:
        raise
    except Exception as error:  # a workbook from anywhere: openpyxl raises whatever its parsers do
        msg = f"the file cannot be read as XLSX ({type(error).__name__}); save it anew, or as CSV 无法读取，请另存为 XLSX 或 CSV"
        raise SheetError(msg) from error


def _measure(sheet: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(sheet)) as packed:
        if sum(each.file_size for each in packed.infolist()) > UNPACKED_BYTES_MAX:
            msg = "the workbook is too large; divide it 请拆分文件"
            raise SheetError(msg)


def _text(cell: Any) -> str:  # noqa: ANN401 - a cell holds whatever it holds
    """A cell as it is seen."""
    match cell:
        case None:
            return ""
        case datetime() if cell.time() == datetime.min.time():
            return cell.date().isoformat()
        case datetime() | date():
            return cell.isoformat()
        case float() if cell.is_integer():
            return str(int(cell))
        case _:
            return str(cell)
