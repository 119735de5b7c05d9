"""`dubhe fence`, `dubhe corridor`, `dubhe stop`: the shapes that vehicles are judged by, in and out as GeoJSON.

The datum of the coordinates must be said: a wrong one puts everything 250–700 m away. What is imported is compared with where the
vehicles have been within the last week, and a shape that does not fit them is taken with a warning.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from dubhe.options import Config, database_of
from dubhe.shapes import Taken, export_shapes, import_corridors, import_fences, import_stops
from dubhe.times import shown
from geofence.datum import Datum
from storage.geometry import EVERYONE, list_shapes, names_of, remove_shapes, whom_of
from tracks.week import runs_of_days

File = Annotated[Path, typer.Argument(help="GeoJSON: a FeatureCollection or one Feature")]
Said = Annotated[
    Datum, typer.Option("--datum", help="what its coordinates are in 坐标系: wgs84 (also CGCS2000), gcj02 (高德, 腾讯), bd09 (百度)")
]
For = Annotated[
    list[str] | None,
    typer.Option(
        "--for",
        metavar="WHOM",
        help="only for line:71路, group:一车队, vehicle:沪A12345 or terminal:13800138000 (the last two also bare); may be repeated;"
        " without it: for all 适用对象",
    ),
]
All = Annotated[bool, typer.Option("--all", help="for all terminals, as without --for 适用全部车辆")]
Ids = Annotated[list[int], typer.Argument(help="ids, as list shows them")]
AnyIds = Annotated[list[int] | None, typer.Argument(help="ids, as list shows them; without any: all 全部")]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="each feature takes the place of the shape whose id it has, as export writes it, and is meant for whom that was for"
        " 按编号更新图形",
    ),
]
Into = Annotated[Datum, typer.Option("--datum", help="what coordinates to write 输出坐标系: wgs84 (also CGCS2000), gcj02, bd09")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="write it there 输出文件; without it: to the screen")]

WHICH: Final = {"id", "name", "parties"}
"""Properties that say which shape it is and for whom: columns of their own."""
EVERY_DAY: Final = range(7)
NAMED_MAX = 10
"""Of those that a shape is for, in a list; export names all."""


def _import(
    make: Callable[..., Taken], file: Path, datum: Datum, whom: list[str] | None, config: Path | None, *, everyone: bool, replacing: bool
) -> None:
    """Read a file, enter what can be read, say what cannot; exit status 1 when something was left out."""
    if everyone and whom:
        msg = "it cannot be meant for all and for some: give --all or --for 两者只能选一"
        raise typer.BadParameter(msg)
    stays = replacing and not everyone and not whom
    document = _document(file)
    if (own := _drop_whom(document)) and not stays:
        said = f"the parties of {own} features are left out: whom they are meant for is said by --for 适用对象请用 --for 指定"
        typer.echo(f"warning 警告: {file}: {said}", err=True)
    with database_of(config) as url:
        taken = make(url, document, datum, None if stays else whom_of(url, whom) if whom else EVERYONE, replacing=replacing)
    for problem in taken.problems:
        typer.echo(f"{file}: {problem}", err=True)
    for warning in taken.warnings:
        typer.echo(f"warning 警告: {file}: {warning}", err=True)
    ids = f"; ids {taken.ids[0]} to {taken.ids[-1]}" if taken.ids else ""
    typer.echo(f"{len(taken.ids)} {'replaced' if replacing else 'taken'}, {len(taken.problems)} refused{ids}")
    raise typer.Exit(1 if taken.problems else 0)


def _document(file: Path) -> dict[str, Any]:
    """The object in a file; exit status 2 when there is none."""
    try:
        document = json.loads(file.read_text("utf-8-sig"))
    except UnicodeDecodeError:
        typer.echo(f"dubhe: {file} is not UTF-8: save it anew in that encoding 请另存为 UTF-8 编码", err=True)
        raise typer.Exit(2) from None
    except (ValueError, RecursionError) as error:
        typer.echo(f"dubhe: {file} is not JSON: {error}", err=True)
        raise typer.Exit(2) from None
    if not isinstance(document, dict):
        typer.echo(f"dubhe: {file} is not GeoJSON: it is no object", err=True)
        raise typer.Exit(2)
    return document


def _drop_whom(document: dict[str, Any]) -> int:
    """Take out what features say of whom they are for, and count those that do.

    `parties` mean something in the rules' own documents; `for` an export writes for people.
    """
    features = document.get("features") if isinstance(document.get("features"), list) else [document]
    about = [each["properties"] for each in features or () if isinstance(each, dict) and isinstance(each.get("properties"), dict)]
    said = [(each.pop("parties", None), each.pop("for", None)) for each in about]
    return sum(each != (None, None) for each in said)


def _some(names: list[str]) -> str:
    return " ".join(names[:NAMED_MAX] + ["…"] * (len(names) > NAMED_MAX))


def _rules(feature: dict[str, Any]) -> str:
    """What a shape is judged by besides its form, in one line: what is at its default is not said; export has all of it."""
    properties = feature.get("properties") or {}
    return "; ".join(f"{name}={_rule(value)}" for name, value in properties.items() if name not in WHICH)


def _rule(value: Any) -> str:  # noqa: ANN401 - a property of a feature may be anything
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case [{"from": _, "to": _}, *_]:
            return ", ".join(
                f"{run} {each['from']}-{each['to']}".strip() for each in value for run in runs_of_days(each.get("days", EVERY_DAY))
            )
        case [int() | float(), _, *_]:  # one for each segment
            return f"{min(value):g}..{max(value):g}"
        case list():
            return ", ".join(map(_rule, value))
        case _:
            return str(shown(value))


def _app(table: str, one: str, about: str) -> typer.Typer:
    """The commands that all three have."""
    app = typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)

    @app.command("list", help="List them 列表; tab-separated. rules 规则: what else is set of each, as import reads it, times in UTC+8.")
    def list_(config: Config = None) -> None:
        with database_of(config) as url:
            rows, names = list_shapes(url, table), names_of(url, table)
        typer.echo("id\tname\tshape\tterminals\tparties\trules")
        for row in rows:
            count = "all" if row.terminals is None else str(len(row.terminals))
            cells = (str(row.id), row.name, row.feature["geometry"]["type"], count, _some(names.get(row.id, [])), _rules(row.feature))
            typer.echo("\t".join(cells))

    @app.command(
        "export",
        help=f"Write {one} as GeoJSON 导出, degrees with 7 decimals, to import again, also with --replace; `for` says whom each is for.",
    )
    def export(datum: Into, ids: AnyIds = None, *, out: Out = None, config: Config = None) -> None:
        with database_of(config) as url:
            document, problems = export_shapes(url, table, ids or (), datum)
        text = json.dumps(document, ensure_ascii=False, indent=1)
        if out:
            out.write_text(text + "\n", encoding="utf-8")
        else:
            typer.echo(text)
        for problem in problems:
            typer.echo(f"dubhe: {problem}", err=True)
        raise typer.Exit(1 if problems else 0)

    @app.command("remove", help=f"Take {one} away 删除; what is under way about it ends.")
    def remove(ids: Ids, config: Config = None) -> None:
        with database_of(config) as url:
            gone = remove_shapes(url, table, ids)
        typer.echo(f"{len(gone)} removed")
        missing = sorted(set(ids) - set(gone))
        for number in missing:
            typer.echo(f"dubhe: there is no shape {number}; `list` shows ids 没有该编号", err=True)
        raise typer.Exit(1 if missing else 0)

    return app


fence_app = _app("fences", "fences", "Fences 电子围栏: entered, left, dwelt, overspeed inside, stay inside or outside.")
corridor_app = _app("corridors", "corridors", "Corridors 线路走廊: deviation, wrong direction, skipped section.")
stop_app = _app("stops", "stops", "Stops 站点: arrivals and departures.")


@fence_app.command("import")
def import_fence(
    file: File, datum: Said, *, whom: For = None, everyone: All = False, replacing: Replace = False, config: Config = None
) -> None:
    """Enter fences 导入围栏: a Polygon or MultiPolygon, a Point with radius_m, a LineString with width_m.

    A MultiPolygon is one fence 多块区域为一个围栏: who is in any part is inside, what lies between parts is outside. Parts may touch
    and overlap.

    stay=in asks to be inside 须在区内. A vehicle that has several such fences has to be in all of them at once 须同时在所有区内; where any
    one will do, draw one feature with several parts 任一即可时请画为一个 MultiPolygon.

    Properties: name, stay (free, out, in), day_kmh, night_kmh, dwell_s, margin_m, valid_from, valid_until (a day alone is
    the last), windows. Others are not read, with a warning 未识别的属性会提示.
    """
    _import(import_fences, file, datum, whom, config, everyone=everyone, replacing=replacing)


@corridor_app.command("import")
def import_corridor(
    file: File, datum: Said, *, whom: For = None, everyone: All = False, replacing: Replace = False, config: Config = None
) -> None:
    """Enter corridors 导入线路: LineStrings, one for each direction.

    Properties: name, half_width_m and limit_kmh (one, or one for each segment), terminus_m, directed; valid_from, valid_until and windows
    (mon-fri 05:30-22:00), outside of which nobody is judged by it. Others are not read, with a warning 未识别的属性会提示.

    A feature with detour_of (id or name of a corridor, or a list) is an approved detour 绕行 of it: a LineString (half_width_m) or a
    Polygon, with valid_from, valid_until and approver. Who drives there has not strayed; it is kept as an incident of its own kind.
    """
    _import(import_corridors, file, datum, whom, config, everyone=everyone, replacing=replacing)


@stop_app.command("import")
def import_stop(
    file: File, datum: Said, *, whom: For = None, everyone: All = False, replacing: Replace = False, config: Config = None
) -> None:
    """Enter stops 导入站点: Points.

    Properties: name, radius_m, course_deg, corridor_id and sequence (its line, by the id that list shows, and its place there).
    Others are not read, with a warning 未识别的属性会提示.
    """
    _import(import_stops, file, datum, whom, config, everyone=everyone, replacing=replacing)
