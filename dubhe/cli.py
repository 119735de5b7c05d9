"""The `dubhe` command: a thin face over the rooms. `dubhe COMMAND --help` teaches each one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from dubhe import demo as demonstration
from dubhe.bench import bench as run_bench
from dubhe.bench import bench_mqtt as run_mqtt_bench
from dubhe.columns import Wrong
from dubhe.decode import tree
from dubhe.events import events
from dubhe.export import FORMATS, ExportError, write_track
from dubhe.geometry import corridor_app, fence_app, stop_app
from dubhe.options import Config
from dubhe.parties import group_app, line_app
from dubhe.pushing import register as register_areas
from dubhe.registry import terminal_app
from dubhe.sheet import SheetError
from dubhe.supervisor import CannotStart, database
from dubhe.supervisor import serve as run_tree
from dubhe.times import TimeError
from dubhe.vehicle import vehicle_app
from firmware_sim.link import Address
from firmware_sim.mqtt import Target
from firmware_sim.recordings import RecordingError
from firmware_sim.replay import replay as replay_file
from ingest import log as logs
from ingest.settings import SettingError, Settings
from protocols.jt808.describe import describe
from protocols.jt808.header import V2013, V2019
from protocols.nmea.describe import describe as describe_sentences
from storage.enrol import colour_of, terminal_name
from storage.errors import StoreError
from storage.migrate import migrate as run_migrations

app = typer.Typer(
    name="dubhe",
    help="Dubhe 天枢: vehicle telematics server. JT/T 808 terminals in, TimescaleDB committed, then the answer.\n\n"
    "Settings come from --config FILE (TOML), then DUBHE_… environment variables, then flags; docs/settings.md lists them.\n\n"
    "Times without a zone are UTC+8 北京时间, and so are those printed for people (+08:00); JSON and files have UTC (Z).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: the same in a pipe, in docs/commands.md and on a narrow terminal
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register_areas(fence_app, corridor_app, terminal_app)
app.add_typer(vehicle_app, name="vehicle")
app.add_typer(line_app, name="line")
app.add_typer(group_app, name="group")
app.add_typer(terminal_app, name="terminal")
app.add_typer(fence_app, name="fence")
app.add_typer(corridor_app, name="corridor")
app.add_typer(stop_app, name="stop")

PROTOCOLS = {"jt808-2013": V2013, "jt808-2019": V2019, "nmea": None}


@app.command()
def serve(
    config: Config = None,
    tcp_listen: Annotated[str | None, typer.Option(help="HOST:PORT for terminals 终端接入地址")] = None,
    admission: Annotated[str | None, typer.Option(help="strict or lenient 准入方式")] = None,
    workers: Annotated[int | None, typer.Option(help="gateway processes 网关进程数")] = None,
) -> None:
    """Run the gateway and the HTTP window until SIGTERM 运行网关.

    Without DUBHE_DATABASE_URL an embedded PostgreSQL is started in the data directory.
    SIGTERM drains: every report that was answered is in the database.
    """
    settings = Settings.load(config, {"tcp_listen": tcp_listen, "admission": admission, "workers": workers})
    logs.configure(settings.log_level, settings.log_format)
    raise typer.Exit(run_tree(settings))


@app.command()
def migrate(config: Config = None) -> None:
    """Bring the database to the current schema 升级数据库结构.

    Safe to run twice, and while the old version runs.
    """
    settings = Settings.load(config)
    if not settings.database_url:
        with database(settings):
            typer.echo("the embedded database is at the current schema")
        return
    applied = run_migrations(settings.database_url)
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do: the schema is current")


@app.command()
def decode(
    frames: Annotated[
        list[str], typer.Argument(help="frames in hex, spaces allowed, or NMEA sentences; - reads lines from standard input")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per frame and line")] = False,
) -> None:
    """Take frames and sentences apart 解析报文.

    dubhe decode 7e0200…7e, or dubhe decode '$GNRMC,…*hh', prints a tree, with --json one object per frame.
    Exit status 1 when some were rejected, or there is none.
    """
    good, nothing = True, frames != ["-"]
    for line in _lines(frames):
        for told in describe_sentences(line) if _is_nmea(line) else describe(line.decode("utf-8", "replace")):
            good, nothing = good and told["ok"], False
            typer.echo(json.dumps(told, ensure_ascii=False) if as_json else tree(told))
    if nothing:
        typer.echo("dubhe: there is no frame and no sentence in it 没有报文; a frame is 7e…7e", err=True)
    raise typer.Exit(0 if good and not nothing else 1)


def _lines(words: list[str]) -> Iterator[bytes]:
    """The words given; or standard input's lines for a lone dash."""
    if words == ["-"]:
        yield from (line for raw in sys.stdin.buffer if (line := raw.strip()))
        return
    raw = [word.encode("utf-8", "surrogateescape") for word in words]
    if all(_is_nmea(word) or (len(word) % 2 == 0 and word.lower().startswith(b"7e") and word.lower().endswith(b"7e")) for word in raw):
        yield from raw
    else:
        yield b" ".join(raw)


def _is_nmea(line: bytes) -> bool:
    """Hexadecimal digits have no $, and no unit names itself in them."""
    return line[:1] == b"!" or b"$" in line or line[:3].upper() in {b"ID=", b"IME"}


@app.command()
def track(
    who: Annotated[str, typer.Argument(metavar="PLATE_OR_TERMINAL", help="plate or terminal number 车牌号或终端号")],
    start: Annotated[str, typer.Option("--from", help="ISO 8601; without a zone it is UTC+8 起始时间")],
    stop: Annotated[str, typer.Option("--to", help="ISO 8601, exclusive 结束时间")],
    form: Annotated[str, typer.Option("--format", help=" | ".join(FORMATS))] = "csv",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="file; standard output when absent")] = None,
    config: Config = None,
) -> None:
    """Write the history of a vehicle or terminal 历史轨迹.

    In CSV, `valid` and `backfill` are true or false, and what is not known is empty.
    """
    settings = Settings.load(config)
    with database(settings) as url:
        count = write_track(url, who, start=start, stop=stop, form=form, output=output)
    typer.echo(f"{count} fixes", err=True)


app.command()(events)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="CSV (as `dubhe track` writes), GPX, NMEA log, or frames in hex, one a line")],
    to: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="the gateway 网关地址; with --protocol nmea its NMEA port")] = None,
    terminal: Annotated[str, typer.Option(help="phone number to report as 终端号")] = "13900000001",
    plate: Annotated[str, typer.Option(help="the vehicle it says it is fitted to 车牌号")] = "沪A00001",
    colour: Annotated[str, typer.Option(help="plate colour, word or number 车牌颜色: 黄, yellow or 2")] = "黄",
    speed: Annotated[float, typer.Option(min=0, help="times its own pace; 0: as fast as the answers come")] = 1.0,
    protocol: Annotated[str, typer.Option(help=" | ".join(PROTOCOLS))] = "jt808-2013",
    mqtt: Annotated[str | None, typer.Option(metavar="URL", help="through this broker instead, mqtt://USER:PASSWORD@HOST:PORT")] = None,
) -> None:
    """Drive a recording as a terminal 回放.

    It registers, authenticates and reports at its own pace × speed; a log of frames is sent as it is.

    Exit status: 0 all was answered (nothing is in NMEA), 1 not all, or there was nothing to send, 2 it could not begin.
    """
    if protocol not in PROTOCOLS:
        msg = f"--protocol {protocol} is none of {', '.join(PROTOCOLS)}"
        raise typer.BadParameter(msg)
    if (to is None) == (mqtt is None):
        msg = "give --to HOST:PORT or --mqtt URL"
        raise typer.BadParameter(msg)
    try:
        terminal_name(terminal)
        target = Target.of(mqtt) if mqtt else Address.of(to or "")
        drive = replay_file(
            file, target, terminal=terminal, plate=plate, plate_colour=colour_of(colour), speed=speed, edition=PROTOCOLS[protocol]
        )
        tally = asyncio.run(drive)
    except ConnectionRefusedError as error:
        if error.errno is None:  # the gateway's refusal, with its cure
            _fail(error)
        _fail(f"nothing takes the reports at {to or mqtt} 无法连接; does `dubhe serve` or the broker listen there?")
    except FileNotFoundError:
        raise  # `main` names the file
    except (OSError, ValueError, StoreError) as error:
        _fail(error)
    typer.echo(json.dumps(tally, ensure_ascii=False))
    if not tally["sent"]:
        typer.echo(f"dubhe: {file} holds no position and no frame: nothing was sent 文件中没有定位点或报文", err=True)
        raise typer.Exit(1)
    silent = PROTOCOLS[protocol] is None  # nothing is answered in NMEA
    raise typer.Exit(0 if silent or tally["sent"] == sum(tally["answered"].values()) else 1)


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(help="stop by itself after so long; 0 runs until Ctrl-C")] = 0,
    terminals: Annotated[int, typer.Option(min=1, max=10_000, help="buses on the line")] = 20,
    seed: Annotated[int, typer.Option(help="the same seed drives the same buses")] = 71,
) -> None:
    """Show it all at work 演示: a real database, the gateway, a small fleet on Shanghai's line 71, frames captured from real terminals.

    The last line on standard output is a JSON summary.
    """
    raise typer.Exit(demonstration.run(seconds=seconds, terminals=terminals, seed=seed))


@app.command()
def bench(
    terminals: Annotated[int, typer.Option(min=1, max=60_000)] = 10_000,
    window: Annotated[int, typer.Option(min=1, max=64, help="reports in flight per terminal")] = 1,
    messages: Annotated[int, typer.Option(min=1, max=10_000_000)] = 300_000,
    rate: Annotated[float, typer.Option(help="reports per second in the open-loop run; 0 leaves it out")] = 20_000,
    fences: Annotated[
        int, typer.Option(min=0, max=100_000, help="plant so many for all before, 64 vertices each, where the terminals drive 电子围栏数")
    ] = 0,
    corridors: Annotated[
        int, typer.Option(min=0, max=10_000, help="and so many of 500 vertices, for ten terminals each that drive along it 线路数")
    ] = 0,
    mqtt: Annotated[bool, typer.Option("--mqtt", help="measure the broker's door instead, with a Mosquitto of its own")] = False,
    config: Config = None,
) -> None:
    """Measure this machine 基准测试, JSON out.

    Reports answered after commit per second, receipt ages from the terminals' side, bytes per connection, µs per stage, events found.
    """
    settings = Settings.load(config)
    if mqtt and (fences or corridors):
        msg = "shapes are planted for the runs over TCP: leave out --mqtt, or --fences and --corridors"
        raise typer.BadParameter(msg)
    if mqtt:
        typer.echo(json.dumps(run_mqtt_bench(settings, terminals=terminals, messages=messages), indent=2))
        return
    figures = run_bench(settings, terminals=terminals, window=window, messages=messages, rate=rate, fences=fences, corridors=corridors)
    typer.echo(json.dumps(figures, indent=2))


def _fail(why: object) -> NoReturn:
    typer.echo(f"dubhe: {why}", err=True)
    raise SystemExit(2)


def _check_readable(words: list[str]) -> None:
    """Refuse a word with bytes that are no text: it could be neither stored nor printed. Names of files and frames may have any bytes."""
    for word in words:
        if not word.isascii() and words[0] != "decode" and not Path(word).exists():
            try:
                word.encode()
            except UnicodeEncodeError:
                shown = os.fsencode(word).decode("utf-8", "backslashreplace")
                _fail(f"{shown} is not UTF-8: set the terminal or the script to that encoding 参数不是 UTF-8 编码，请改为 UTF-8")


def main(arguments: list[str] | None = None) -> Any:  # noqa: ANN401 - click's own
    """Run the command; what a user can mend is one sentence and exit status 2."""
    _check_readable(sys.argv[1:] if arguments is None else arguments)
    try:
        return app(arguments)
    except (SettingError, CannotStart, ExportError, RecordingError, SheetError, StoreError, TimeError, Wrong) as error:
        _fail(error)
    except OSError as error:
        if error.errno == ENOSPC:
            _fail(f"cannot write: {error.strerror} 磁盘已满")
        if error.filename is None:  # no file that was asked for
            raise
        _fail(f"cannot use {error.filename}: {error.strerror}")
