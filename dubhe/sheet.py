"""Spreadsheets as people send them: CSV in UTF-8, GBK or UTF-16, and XLSX. Each row comes with its line and its cells by heading.

A cell of XLSX comes as the text that a person sees: numbers without a trailing .0, dates in ISO 8601, and of merged cells each has the
text of the first. A row that begins with # is a remark. What is no spreadsheet is refused whole; cells are judged by `dubhe/columns.py`.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

ZIP: Final = b"PK\x03\x04"
OLD_EXCEL: Final = bytes.fromhex("d0cf11e0a1b11ae1")
UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
DELIMITERS: Final = ",\t;，"
EXCEL_ERRORS: Final = ("#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!")
"""They begin like a remark, and are none."""
UNKNOWN: Final = "#FORMULA"
"""Stands for a formula whose value was not saved with it. Nothing that is allowed in a cell begins with #."""
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
    if sheet.startswith(OLD_EXCEL):
        msg = "it is an .xls of old; save it as .xlsx 请另存为 .xlsx"
        raise SheetError(msg)
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
        if any(cells) and (not cells[0].startswith("#") or cells[0] in (*EXCEL_ERRORS, UNKNOWN)):
            pairs = list(zip(headings, cells, strict=False))
            yield Line(number, dict(reversed(pairs)))


def _csv(sheet: bytes) -> Iterator[tuple[int, list[str]]]:
    text = _decoded(sheet).replace("\x00", "")
    heading = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=heading.count)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # how long a cell may be, its column says
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)
    for row in reader:
        yield reader.line_num, row


def _decoded(sheet: bytes) -> str:
    """By its mark, or in the encoding that leaves fewest bytes over: one bad byte does not make a file of another encoding."""
    if sheet.startswith(UTF_16):
        return sheet.decode("utf-16", "replace")
    texts = (sheet.decode(encoding, "replace") for encoding in ("utf-8-sig", "gb18030"))
    return min(texts, key=lambda text: text.count("\ufffd"))


def _xlsx(sheet: bytes) -> Iterator[tuple[int, list[str]]]:
    from openpyxl import load_workbook  # noqa: PLC0415 - a fifth of every command's start otherwise

    try:
        _measure(sheet)
        book = load_workbook(io.BytesIO(sheet), read_only=True, data_only=True)
        page = book.worksheets[0]
        page.reset_dimensions()  # some programs write a wrong extent, and rows beyond it would be lost
        marks = _Marks.of(sheet, page._worksheet_path)  # noqa: SLF001 - of a page that it streams, openpyxl says only the values
        for number, row in enumerate(page.iter_rows(values_only=True), 1):
            yield number, marks.seen(number, [_text(cell) for cell in row])
        book.close()
    except SheetError:
        raise
    except Exception as error:  # a workbook from anywhere: openpyxl raises whatever its parsers do
        msg = f"the file cannot be read as XLSX ({type(error).__name__}); save it anew, or as CSV 无法读取，请另存为 XLSX 或 CSV"
        raise SheetError(msg) from error


MARK: Final = re.compile(
    rb'<(?:\w+:)?mergeCell ref="(?P<range>[A-Z]{1,3}\d+:[A-Z]{1,3}\d+)"'
    rb'|<(?:\w+:)?c r="(?P<cell>[A-Z]{1,3}\d+)"[^>]*>\s*<(?:\w+:)?f(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)'
    rb"\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>|</(?:\w+:)?c>)"
)
"""In a page's XML (ECMA-376 Part 1 §18.3.1): a range of merged cells, or a cell with a formula and no value."""
MARK_BYTES_MAX: Final = 16_384
MARKS_MAX: Final = 100_000
COLUMNS_MAX: Final = 1_000
Box = tuple[int, int, int, int]
"""First column, first row, last column, last row, from 1."""


@dataclass(slots=True)
class _Marks:
    """What a page says of its cells beside their values."""

    unknown: dict[int, list[int]] = field(default_factory=dict)
    """Row → columns of formulas that have no value."""
    merged: dict[int, list[Box]] = field(default_factory=dict)
    """First row → merged cells."""
    under_way: list[tuple[Box, str]] = field(default_factory=list)
    """Merged cells that the rows have come to, and their text."""

    @classmethod
    def of(cls, sheet: bytes, page: str) -> _Marks:
        """Of a page of a workbook, read piece by piece."""
        from openpyxl.utils.cell import range_boundaries  # noqa: PLC0415 - likewise

        marks, tail, count = cls(), b"", 0
        with zipfile.ZipFile(io.BytesIO(sheet)) as packed, packed.open(page.lstrip("/")) as xml:
            while piece := xml.read(1 << 20):
                tail, read = tail + piece, 0
                for found in MARK.finditer(tail):
                    read, count = found.end(), count + 1
                    left, top, right, bottom = range_boundaries((found["range"] or found["cell"]).decode())
                    if found["range"]:
                        marks.merged.setdefault(top, []).append((left, top, min(right, COLUMNS_MAX), bottom))
                    else:
                        marks.unknown.setdefault(top, []).append(left)
                if count > MARKS_MAX:
                    msg = f"the sheet has more than {MARKS_MAX:,} merged cells and formulas; save its values as CSV 请另存为 CSV"
                    raise SheetError(msg)
                tail = tail[max(read, len(tail) - MARK_BYTES_MAX) :]
        return marks

    def seen(self, number: int, row: list[str]) -> list[str]:
        """A row as a person sees it; rows come in order."""
        for column in self.unknown.pop(number, ()):
            if column <= len(row):
                row[column - 1] = row[column - 1] or UNKNOWN
        begun = [(box, row[box[0] - 1]) for box in self.merged.pop(number, ()) if box[0] <= len(row)]
        self.under_way = [(box, text) for box, text in self.under_way + begun if box[3] >= number]
        for (left, _, right, _), text in self.under_way:
            row += [""] * (right - len(row))
            row[left - 1 : right] = [text] * (right - left + 1)
        return row


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
