"""`dubhe line` and `dubhe group`: what fences, corridors and stops may be meant for, and which vehicles belong to it when."""

from __future__ import annotations

from typing import Annotated

import typer

from dubhe.options import Colour, Config, database_of
from dubhe.times import end, local, moment
from storage.parties import add_party, join, leave, members

Name = Annotated[str, typer.Argument(help="名称")]
Plates = Annotated[list[str], typer.Argument(metavar="PLATE...", help="vehicles 车牌号")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help="ISO 8601, without a zone UTC+8; now when empty 起")]
Until = Annotated[str, typer.Option("--until", metavar="TIME", help="likewise, a day alone the last; for good when empty 止")]
Ends = Annotated[
    str, typer.Option("--until", metavar="TIME", help="ISO 8601, without a zone UTC+8, a day alone the last; now when empty 止")
]


def _app(kind: str, about: str) -> typer.Typer:
    """The commands that both have."""
    app = typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)

    @app.command("add", help=f"Enter a {kind} 新增; entering it twice changes nothing.")
    def add(name: Name, config: Config = None) -> None:
        with database_of(config) as url:
            typer.echo(f"{kind} {name} has id {add_party(url, kind, name)}")

    @app.command("assign", help=f"Let vehicles belong to a {kind} 分配车辆, from now on or between two moments; all or none.")
    def assign(name: Name, plates: Plates, since: From = "", until: Until = "", *, colour: Colour = "", config: Config = None) -> None:
        begins, ends = moment(since) if since else None, end(until) if until else None
        with database_of(config) as url:
            join(url, kind, name, plates, colour=colour, since=begins, until=ends)
        typer.echo(f"{len(plates)} assigned to {kind} {name}")

    @app.command("unassign", help=f"End vehicles' belonging to a {kind} 取消分配; all or none; what was, stays on record.")
    def unassign(name: Name, plates: Plates, until: Ends = "", *, colour: Colour = "", config: Config = None) -> None:
        with database_of(config) as url:
            leave(url, kind, name, plates, colour=colour, until=end(until) if until else None)
        typer.echo(f"{len(plates)} unassigned from {kind} {name}")

    @app.command("list", help=f"List {kind}s with their vehicles of now and later 列表; tab-separated.")
    def list_(config: Config = None) -> None:
        with database_of(config) as url:
            rows = members(url, kind)
        typer.echo("id\tname\tplate\tfrom\tuntil")
        for row in rows:
            typer.echo("\t".join((str(row.id), row.name, row.plate or "", local(row.valid_from), local(row.valid_until))))

    return app


line_app = _app("line", "Lines 线路: who serves them; fences, corridors and stops may be meant for them.")
group_app = _app("group", "Groups of vehicles 车队: fences, corridors and stops may be meant for them.")
