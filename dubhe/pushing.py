"""`dubhe fence|corridor push` and `recall`, `dubhe terminal areas`: what terminals watch by themselves, and whether it is still true."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Final

import typer

from dubhe.areas import TOLERANCE_M, CannotKeep, area_of
from dubhe.drift import NOUNS, Here, Key, Standing, State, standings
from dubhe.keeper import Keeper, Outcome, stands_in, thing_of
from dubhe.options import AsJson, Config, Expires, Timeout, database_of
from dubhe.supervisor import database
from dubhe.times import local, stamp
from ingest.settings import Settings
from protocols.jt808.header import V2019
from protocols.jt808.kept import Kept
from storage.areas import Queued, holders, queued_areas, sent_areas
from storage.geometry import ShapeRow, list_shapes

Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="ids, as list shows them 编号")]
WHOM: Final = "a terminal, a plate, line:71路 or group:一车队; may be repeated"
To = Annotated[list[str], typer.Option("--to", metavar="WHOM", help=f"{WHOM} 下发对象")]
From = Annotated[list[str], typer.Option("--from", metavar="WHOM", help=f"{WHOM} 删除对象")]
Tolerance = Annotated[
    float,
    typer.Option("--tolerance-m", min=0, help="how far a line of too many points may be simplified 抽稀容差; fewer are sent as drawn"),
]

TABLES: Final = {"fence": "fences", "corridor": "corridors"}
SENT: Final = {
    "fence": "Sent are the shape, the hours, the speed limits, and whom to warn when it is entered or left. Dwelling and margins are"
    " judged at the server alone.",
    "corridor": "Sent are the line with its widths, the hours, the speed limits, and whom to warn off it. Termini and the direction are"
    " judged at the server alone, and so are detours 绕行: a corridor that has some is refused, for a terminal would warn on each.",
}
"""What a terminal is told of each (dubhe/areas.py), for those who push it."""
CHINESE: Final = {
    State.SAME: "一致",
    State.CHANGED: "服务端已更改",
    State.NEVER_SENT: "未下发",
    State.WAITING: "等待终端上线",
    State.RECALLED: "已撤回",
    State.NOT_CONFIRMED: "未确认",
    State.MISSING: "终端缺失",
    State.UNKNOWN: "服务端没有",
    State.DIFFERS: "不一致",
    State.CANNOT: "终端无法保存",
}


def register(fence_app: typer.Typer, corridor_app: typer.Typer, terminal_app: typer.Typer) -> None:
    """Add the commands."""
    for noun, app in (("fence", fence_app), ("corridor", corridor_app)):
        app.command("push")(_push_command(noun))
        app.command("recall")(_recall_command(noun))
    terminal_app.command("areas")(areas)


def _push_command(noun: str) -> Callable[..., None]:
    def push(
        ids: Ids,
        to: To,
        *,
        timeout_s: Timeout = 20.0,
        expires_s: Expires = None,
        tolerance_m: Tolerance = TOLERANCE_M,
        as_json: AsJson = False,
        config: Config = None,
    ) -> None:
        settings = Settings.load(config)
        with database(settings) as url:
            among = list_shapes(url, TABLES[noun])
            rows = _chosen(noun, among, ids)
            keepers = [Keeper(url, holder, timeout_s, expires_s, settings.zone_s) for holder in holders(url, to)]
            _finish((each for keeper in keepers for row in rows for each in keeper.push(noun, row, among, tolerance_m)), as_json=as_json)

    push.__doc__ = f"""Let terminals watch {noun}s by themselves 下发到终端 (0x8600 to 0x8606), and print what each answered.

    {SENT[noun]}

    A shape that a terminal cannot keep is refused with the reason. Exit status: 0 all kept or queued, 1 not all.
    """
    return push


def _recall_command(noun: str) -> Callable[..., None]:
    def recall(
        ids: Ids,
        whom: From,
        *,
        timeout_s: Timeout = 20.0,
        expires_s: Expires = None,
        as_json: AsJson = False,
        config: Config = None,
    ) -> None:
        with database_of(config) as url:
            keepers = [Keeper(url, holder, timeout_s, expires_s) for holder in holders(url, whom)]
            _finish((each for keeper in keepers for number in ids for each in keeper.recall(noun, number)), as_json=as_json)

    recall.__doc__ = f"""Delete {noun}s at terminals 从终端删除; they stay at the server, which goes on judging by them.

    What was never sent from here is asked to be deleted as well. Exit status: 0 all deleted or queued, 1 not all.
    """
    return recall


def areas(
    terminal: Annotated[
        str, typer.Argument(metavar="TERMINAL", help="phone number of its SIM card, or its vehicle's plate 终端手机号或车牌")
    ],
    *,
    ask: Annotated[bool, typer.Option("--ask", help="ask it what it keeps 向终端查询 (0x8608, terminals of 2019)")] = False,
    timeout_s: Timeout = 20.0,
    tolerance_m: Tolerance = TOLERANCE_M,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Compare the fences and corridors of a terminal with what it keeps 核对终端围栏与线路.

    Without --ask, and with terminals before 2019, which cannot be asked, they are compared with what it last said ok to.
    What is queued for a terminal that is offline is said, with since and until when it waits (UTC+8).

    Exit status: 0 no drift, 1 drift (or it was asked and did not say). What was never sent, waits to be sent, or was recalled, is no drift.
    """
    good = True
    settings = Settings.load(config)
    with database(settings) as url:
        for keeper in [Keeper(url, holder, timeout_s, zone_s=settings.zone_s) for holder in holders(url, [terminal])]:
            there, silent = keeper.ask() if ask else ({}, "")
            found = _compared(keeper, there, tolerance_m)
            _show(keeper.holder.name, found, silent, as_json=as_json)
            good &= not any(each.state.drifts for each in found) and not (silent and keeper.edition == V2019)
    raise typer.Exit(0 if good else 1)


def _compared(keeper: Keeper, there: Mapping[str, Mapping[int, Kept]], tolerance_m: float) -> list[Standing]:
    """How all stands that is meant for the terminal, was ever sent to it, or is there."""
    edition = V2019 if there else keeper.edition
    sent, queued = sent_areas(keeper.url, keeper.holder.id), queued_areas(keeper.url, keeper.holder.id)
    found = {(NOUNS[kind], number) for kind, number in queued}
    found |= {(NOUNS[row.kind], row.area_id) for row in sent} | {(NOUNS[kind], number) for kind in there for number in there[kind]}
    here: dict[Key, Here] = {}
    for noun, table in TABLES.items():
        among = list_shapes(keeper.url, table)
        for row in among:
            if not stands_in(row) and (row.terminals is None or keeper.holder.id in row.terminals or (noun, row.id) in found):
                try:
                    here[noun, row.id] = Here(row.name, area_of(thing_of(noun, row, among), edition, tolerance_m, keeper.zone_s))
                except CannotKeep as error:
                    here[noun, row.id] = Here(row.name, None, str(error))
    return standings(edition, here, sent, there, queued)


def _chosen(noun: str, among: Sequence[ShapeRow], ids: Sequence[int]) -> list[ShapeRow]:
    rows = [row for row in among if row.id in set(ids)]
    if missing := sorted(set(ids) - {row.id for row in rows}):
        msg = f"there is no {noun} {', '.join(map(str, missing))}; `dubhe {noun} list` shows them"
        raise typer.BadParameter(msg)
    return rows


def _finish(outcomes: Iterable[Outcome], *, as_json: bool) -> None:
    """Print each as it comes, and end with the status."""
    good = True
    for each in outcomes:
        cells = (each.terminal, f"{each.noun} {each.id}", each.kind, each.state.replace("_", " "), each.result)
        typer.echo(json.dumps(asdict(each) | {"good": each.good}, ensure_ascii=False) if as_json else "\t".join(cells))
        good &= each.good
    raise typer.Exit(0 if good else 1)


def _show(terminal: str, found: Sequence[Standing], silent: str, *, as_json: bool) -> None:
    if silent:
        typer.echo(f"{terminal}: {silent}", err=True)
    if as_json:
        for each in found:
            told = {"terminal": terminal, "drifts": each.state.drifts, **asdict(each)}
            typer.echo(json.dumps(told, ensure_ascii=False, default=stamp))
        return
    typer.echo("area\tkind\tname\tsent\tconfirmed\tstate")
    for each in found:
        state = "; ".join(
            filter(None, (f"{each.state} {CHINESE[each.state]}" + (f": {each.why}" if each.why else ""), _on_its_way(each.queued)))
        )
        typer.echo("\t".join((f"{each.noun} {each.id}", each.kind, each.name, local(each.sent_at), local(each.confirmed_at), state)))


def _on_its_way(queued: Queued | None) -> str:
    if queued is None:
        return ""
    what = "setting 设置" if queued.sets else "deletion 删除"
    return f"its {what} is queued 排队 since {local(queued.since)} until {local(queued.until)}"
