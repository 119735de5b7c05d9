"""`dubhe terminal`: terminals, and the vehicles that they are fitted to, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dubhe.commands import command, commands, number_of
from dubhe.fleet import import_terminals, say
from dubhe.options import Config, database_of
from dubhe.times import local
from storage.enrol import add_terminal, release_terminal
from storage.roster import roster
from tracks.plate import colour_words

terminal_app = typer.Typer(help="Terminals of the registry 终端: who may connect.", no_args_is_help=True, rich_markup_mode=None)

terminal_app.command()(command)
terminal_app.command()(commands)


@terminal_app.command()
def add(
    terminal: Annotated[str, typer.Argument(help="phone number of its SIM card, digits alone, as the terminal sends it 终端手机号")],
    plate: Annotated[str, typer.Option(help="the vehicle it is fitted to 车牌号; empty: none yet")] = "",
    colour: Annotated[str, typer.Option(help="plate colour, word or number 车牌颜色: 黄, yellow or 2")] = "",
    vin: Annotated[str, typer.Option(help="chassis number 车架号")] = "",
    config: Config = None,
) -> None:
    """Enter a terminal and its vehicle, vetted: it may register and report 登记终端. Entering it twice changes nothing."""
    with database_of(config) as url:
        add_terminal(url, terminal, plate, colour, vin)
    typer.echo(f"terminal {terminal} may connect" + (f" for {plate}" if plate else ""))


@terminal_app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(help=".csv or .xlsx, its headings terminal, plate, plate_colour, vin or 终端手机号, 车牌号, 车牌颜色, 车架号"),
    ],
    config: Config = None,
) -> None:
    """Enter many from a sheet 批量导入; a row that cannot be taken is reported with its cure.

    Exit status: 0 all rows taken, 1 not all, 2 the sheet cannot be read or has no rows.
    """
    sheet = file.read_bytes()
    with database_of(config) as url:
        report = import_terminals(url, sheet)
    say(file, report)


@terminal_app.command("list")
def list_(
    after: Annotated[str, typer.Option(help="only terminals whose number sorts behind this one")] = "",
    count: Annotated[int, typer.Option(min=1, max=100_000)] = 1000,
    config: Config = None,
) -> None:
    """List terminals with vehicle, admission and link 终端列表; tab-separated, for eyes and for cut(1)."""
    with database_of(config) as url:
        entries = roster(url, after=after, count=count)
    typer.echo("terminal\tplate\tcolour\tvetted\tedition\tmodel\tregistered\tonline since\tpeer")
    for each in entries:
        times = [local(each.registered_at), local(each.online_since)]
        who = [each.terminal, each.plate, colour_words(each.plate_colour), "yes" if each.vetted else "no"]
        cells = [*who, each.edition, each.model, *times, each.peer]
        typer.echo("\t".join("" if cell is None else str(cell) for cell in cells))


@terminal_app.command()
def release(
    terminal: Annotated[str, typer.Argument(help="phone number of its SIM card, or its vehicle's plate 终端手机号或车牌")],
    config: Config = None,
) -> None:
    """Take a terminal off its vehicle, so that either may be bound anew 解除绑定. The history stays the vehicle's."""
    with database_of(config) as url:
        number = number_of(url, terminal)
        release_terminal(url, number)
    typer.echo(f"terminal {number} serves no vehicle now")
