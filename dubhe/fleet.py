"""Sheets of vehicles and of terminals entered row by row, and an empty one written to fill in."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from dubhe.columns import COLUMNS, Headings, Problem, Wrong, entry_of, values_of
from dubhe.sheet import Line, SheetError, lines
from storage.enrol import EnrolError, enter_rows
from storage.entry import Entry, entering

Said = dict[str, tuple[int, Any]]
"""Of one vehicle, by column: the line that first said something, and what."""


@dataclass(slots=True)
class ImportReport:
    """What became of a sheet."""

    rows: int = 0
    taken: int = 0
    problems: list[Problem] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """Headings that say nothing to us."""


def import_vehicles(url: str, sheet: bytes, *, by: str, now: datetime) -> ImportReport:
    """Enter every row of a CSV or XLSX sheet; a row that cannot be taken is reported and spoils no other.

    Raises `SheetError` or `Wrong` when the sheet cannot be read at all; where it cannot be read on, that is one more problem.
    """
    headings, rows = lines(sheet)
    known = Headings.of(headings)
    report = ImportReport(unread=known.unread)
    said: defaultdict[tuple[str, int], Said] = defaultdict(dict)
    with entering(url, by) as fleet, _counting() as count:
        for line in _readable_rows(rows, report):
            count()
            entry, problems = entry_of(known, line)
            report.problems += problems
            if entry is not None:
                try:
                    _agree(entry, line.number, said[entry.plate, entry.plate_colour])
                    fleet.enter(entry, now)
                    report.taken += 1
                except (EnrolError, Wrong) as error:
                    report.problems.append(Problem(line.number, "", "", str(error)))
    return report


def import_terminals(url: str, sheet: bytes) -> ImportReport:
    """Enter every row of a sheet of terminals and the vehicles that they are fitted to, vetted; otherwise as `import_vehicles`."""
    headings, rows = lines(sheet)
    known = Headings.of_terminals(headings)
    report = ImportReport(unread=known.unread)

    def said(count: Callable[[], None]) -> Iterator[tuple[int, dict[str, str]]]:
        for line in _readable_rows(rows, report):
            count()
            values, problems = values_of(known, line)
            report.problems += problems
            if values and not problems:
                yield line.number, {name: str(value) for name, value in values.items()}

    with _counting() as count:
        report.taken, refused = enter_rows(url, said(count))
    report.problems = sorted([*report.problems, *(Problem(number, "", "", why) for number, why in refused)])
    return report


def say(file: Path, report: ImportReport) -> NoReturn:
    """Print what became of a file, and end: with exit status 1 when a row was refused. Raises `Wrong` when there was none."""
    if not report.rows and not report.problems:
        remarks = "those that begin with # are remarks, and not read 以 # 开头的行不导入"
        msg = f"{file} has no rows 表中没有数据行: write one line for each below the headings; {remarks}"
        raise Wrong(msg)
    for problem in report.problems:
        typer.echo(f"{file}, {problem}", err=True)
    if report.unread:
        typer.echo(f"columns that are not read 未识别的列: {' | '.join(report.unread)}", err=True)
    refused = len({problem.line for problem in report.problems})
    typer.echo(f"{report.taken} taken, {refused} refused")
    raise typer.Exit(1 if refused else 0)


@contextmanager
def _counting() -> Iterator[Callable[[], None]]:
    """What to call for each row: it is counted on standard error while a person watches, and the count goes away at the end."""
    console = Console(stderr=True)
    columns = TextColumn("{task.completed:,.0f} rows read 行已读取"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal) as progress:
        yield partial(progress.advance, progress.add_task("", total=None))


def _readable_rows(rows: Iterator[Line], report: ImportReport) -> Iterator[Line]:
    number = 1
    try:
        for line in rows:
            number = line.number
            report.rows += 1
            yield line
    except SheetError as error:
        report.problems.append(Problem(number + 1, "", "", f"{error}; the rows before it have been read 之前的行已读取"))


def _agree(entry: Entry, number: int, said: Said) -> None:
    """Rows may add to a vehicle, but not say two things of it: nobody knows which is true."""
    for name, value in entry.vehicle.items():
        line, before = said.setdefault(name, (number, value))
        if before != value:
            msg = f"of the same vehicle line {line} says that {name} is {before}, and this line {value} 同一车辆信息不一致"
            raise Wrong(msg)


def write_template(file: Path) -> None:
    """An empty sheet: headings, and two remarks that explain them and show an example. Raises `Wrong`."""
    if file.exists():
        msg = f"{file} is there already and is not overwritten 文件已存在，不会覆盖; name another"
        raise Wrong(msg)
    if file.suffix.lower() not in {".csv", ".xlsx"}:
        msg = f"{file} is neither .csv nor .xlsx"
        raise Wrong(msg)
    headings = [column.headings[0] for column in COLUMNS]
    about = [f"{column.name.replace('.', '_')}: {column.about}".removesuffix(": ") for column in COLUMNS]
    example = [column.example for column in COLUMNS]
    rows = [headings, ["# " + about[0], *about[1:]], ["# " + example[0], *example[1:]]]
    if file.suffix.lower() == ".csv":
        with file.open("w", encoding="utf-8-sig", newline="") as out:
            csv.writer(out).writerows(rows)
        return
    import xlsxwriter  # noqa: PLC0415 - it would delay the start of every command

    with xlsxwriter.Workbook(str(file), {"strings_to_formulas": False}) as book:
        page = book.add_worksheet("vehicles")
        page.freeze_panes(1, 1)
        page.set_column(0, len(COLUMNS) - 1, 18, book.add_format({"num_format": "@"}))
        for number, row in enumerate(rows):
            page.write_row(number, 0, row)
