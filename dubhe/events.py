"""`dubhe events`: what the rules have found, newest first, as a table for people or as JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from compliance.vehicles import Reason
from dubhe.export import cell
from dubhe.options import Config, database_of
from dubhe.screen import chinese
from dubhe.times import end, local, moment, stamp
from storage.incidents import EventRow
from storage.incidents import events as stored_events
from tracks.alarms import named
from tracks.event import KINDS, Kind, Level
from tracks.words import alike, did_you_mean

KIND_NAMES: Final = tuple(kind.name.lower() for kind in Kind)
FORMATS: Final = ("table", "json", "csv")
HEADINGS: Final = ("started", "ended", "plate", "terminal", "kind", "about", "level", "worst", "in all", "marks")
LEVELS: Final = {Level.INFO: "提示", Level.NOTICE: "注意", Level.WARNING: "警告", Level.MAJOR: "严重"}


def events(
    *,
    vehicle: Annotated[str, typer.Option(metavar="PLATE", help="only of this vehicle 车牌号")] = "",
    terminal: Annotated[str, typer.Option(metavar="NUMBER", help="only of this terminal 终端手机号")] = "",
    kind: Annotated[
        list[str] | None, typer.Option(help="only of this kind, such as deviation or overspeed (docs/events.md); may be repeated 类型")
    ] = None,
    lasting: Annotated[bool, typer.Option("--open", help="only those that last 未结束")] = False,
    since: Annotated[str, typer.Option(help="only those that began then or later; ISO 8601, without a zone UTC+8 起始时间")] = "",
    until: Annotated[str, typer.Option(help="only those that began before; a day alone is the last 结束时间")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="the newest so many 条数")] = 50,
    form: Annotated[str, typer.Option("--format", help=" | ".join(FORMATS))] = "table",
    config: Config = None,
) -> None:
    """List incidents, the newest first 事件列表: strayed, overspeed, arrived, terminals' alarms … (docs/events.md).

      dubhe events --open

      dubhe events --vehicle 沪A12345 --since 2026-11-25 --until 2026-11-25

      dubhe events --kind deviation --kind overspeed --format csv > found.csv

    The table is tab-separated, with times in UTC+8. An end by gap is one after which nothing is known; by rule, the rule ended first.
    Marks: withdrawn 已撤销 (late fixes showed that it did not happen), found late 补判 (retrospective), for the record only 仅存档 (of a
    vehicle that should not have been running), and why a vehicle was not compliant. What has one of the first three is no alarm.

    json is one object a line, csv has a heading: columns of the table `events` with the names of those concerned, times in UTC.
    When there were more than --limit, that is said on standard error.
    """
    if form not in FORMATS:
        msg = f"--format {form} is none of {', '.join(FORMATS)}"
        raise typer.BadParameter(msg)
    for each in kind or ():
        if each not in KIND_NAMES:
            msg = f"--kind {each} is none of {', '.join(KIND_NAMES)}{did_you_mean(alike(each, KIND_NAMES))}"
            raise typer.BadParameter(msg)
    first, last = (read(text) if text else None for read, text in ((moment, since), (end, until)))
    if first and last and last <= first:
        msg = f"--until {until} is not after --since {since}: there is nothing between them 结束时间须晚于起始时间"
        raise typer.BadParameter(msg)
    with database_of(config) as url:
        found = stored_events(
            url, terminal=terminal, plate=vehicle, kinds=kind or (), lasting=lasting, since=first, until=last, count=limit + 1
        )
    WRITERS[form](found[:limit])
    if len(found) > limit:
        typer.echo(f"these are the newest {limit}; there are more: --limit, --since 还有更多", err=True)


def _table(found: Sequence[EventRow]) -> None:
    typer.echo("\t".join(HEADINGS))
    for each in found:
        kind = Kind[each.kind.upper()]
        about = KINDS[kind]
        cells = (
            local(each.started_at),
            local(each.ended_at) + (f" {each.ended}" if each.ended in {"gap", "rule"} else ""),
            each.plate,
            each.terminal,
            f"{about.opened} {chinese(about.opened)}",
            named(each.subject)
            if kind == Kind.TERMINAL_ALARM
            else each.name or (f"{about.subject} {each.subject}" if each.subject else ""),
            f"{Level(each.level).name.lower()} {LEVELS[Level(each.level)]}",
            _measure(each.peak, about.peak),
            _measure(each.total, about.total),
            "; ".join(_marks(each)),
        )
        typer.echo("\t".join(cells))


def _measure(value: float | None, unit: str) -> str:
    return f"{value:.0f} {unit}" if unit and value is not None else ""


def _marks(each: EventRow) -> list[str]:
    told = [
        "withdrawn 已撤销" if each.withdrawn_at else "",
        "found late 补判" if each.retrospective else "",
        "for the record only 仅存档" if each.record_only else "",
        ", ".join(reason.word for reason in Reason(each.reasons)),
    ]
    return [mark for mark in told if mark]


def _public(each: EventRow) -> dict[str, Any]:
    """A row as programs get it."""
    told = {name: stamp(value, "auto") if isinstance(value, datetime) else value for name, value in asdict(each).items()}
    return told | {"reasons": [reason.word for reason in Reason(each.reasons)]}


def _json(found: Sequence[EventRow]) -> None:
    for each in found:
        typer.echo(json.dumps(_public(each), ensure_ascii=False))


def _csv(found: Sequence[EventRow]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([field.name for field in fields(EventRow)])
    for each in found:
        told = _public(each)
        writer.writerow(map(cell, (told | {"reasons": " ".join(told["reasons"])}).values()))


WRITERS: Final = {"table": _table, "json": _json, "csv": _csv}
