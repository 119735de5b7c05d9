"""`dubhe fence`, `dubhe corridor`, `dubhe stop`: the shapes that vehicles are judged by, in and out as GeoJSON.

The datum of the coordinates must be said: a wrong one puts everything 250–700 m away. What is imported is compared with where the
vehicles have been within the last week, and a shape that does not fit them is taken with a warning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from dubhe.options import Config, database_of
from geofence import geojson
from geofence.corridors import Corridor, Detour
from geofence.datum import Datum
from geofence.fences import Fence
from geofence.stops import Stop
from storage.geometry import EVERYONE, Whom, add_shapes, list_shapes, meant_for, recent_positions, remove_shapes, whom_of

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

FITTED_MIN: Final = 20
"""Fewer positions than that say nothing about a datum."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a file."""

    ids: list[int]
    problems: list[str]
    warnings: list[str]


def import_fences(url: str, document: dict[str, Any], datum: Datum, whom: Whom = EVERYONE) -> Taken:
    """Enter fences; the datum is compared with positions near them, for fences need not lie where vehicles go."""
    made, problems = geojson.fences(document, datum)

    def warnings() -> list[str]:
        lon, lat = _near(*recent_positions(url, meant_for(url, whom)), [point for fence in made for point in geojson_points(fence)])
        fit = geojson.fit_of_fences(made, datum, lon, lat) if len(lon) >= FITTED_MIN else None
        return [fit.warning] if fit and fit.best != datum and fit.warning else []

    return _enter(url, "fences", made, problems, warnings, whom=whom)


def import_corridors(url: str, document: dict[str, Any], datum: Datum, whom: Whom = EVERYONE) -> Taken:
    """Enter corridors and detours; each corridor is compared with where the vehicles have been near it."""
    routes, problems = geojson.routes(document, datum)
    made = [each for each in routes if isinstance(each, Corridor)]
    if detours := [each for each in routes if isinstance(each, Detour)]:
        stored, _ = geojson.corridors(_collection(row.numbered for row in list_shapes(url, "corridors")), Datum.WGS84)
        among = [*stored, *(replace(each, id=0) for each in made)]  # those of the file by name only: their ids they are yet to get
        strange = {each.id: said for each in detours if (said := geojson.unknown(each, among))}
        problems += strange.values()
        routes = [each for each in routes if isinstance(each, Corridor) or each.id not in strange]

    def warnings() -> list[str]:
        lon, lat = recent_positions(url, meant_for(url, whom))
        said = []
        for corridor in made:
            near = _near(lon, lat, corridor.points)
            fit = geojson.fit_of_corridor(corridor, datum, *near) if len(near[0]) >= FITTED_MIN else None
            if fit and fit.warning:
                said.append(f"{corridor.name}: {fit.warning}")
        return said

    return _enter(url, "corridors", routes, problems, warnings, whom=whom)


def import_stops(url: str, document: dict[str, Any], datum: Datum, whom: Whom = EVERYONE) -> Taken:
    """Enter stops."""
    made, problems = geojson.stops(document, datum)
    return _enter(url, "stops", made, problems, list, whom=whom)


def _collection(features: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def geojson_points(fence: Fence) -> list[tuple[float, float]]:
    """The places that a fence's feature names, in WGS-84."""
    at = geojson.document([fence], Datum.WGS84)["features"][0]["geometry"]["coordinates"]
    flat = np.array([each for ring in at for each in ring] if np.ndim(at[0]) == 2 else np.atleast_2d(at), np.float64)  # noqa: PLR2004 - rings
    return [(float(lon), float(lat)) for lon, lat in flat]


def _near(lon: Any, lat: Any, points: Sequence[tuple[float, float]]) -> tuple[Any, Any]:  # noqa: ANN401 - columns of degrees
    """The positions that lie in the box around the points, with a kilometre and more to spare: a datum's error stays inside."""
    if not points:
        return lon[:0], lat[:0]
    corner = np.array(points)[:, :2]
    west, south = corner.min(axis=0) - MARGIN_DEG
    east, north = corner.max(axis=0) + MARGIN_DEG
    near = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    return lon[near], lat[near]


MARGIN_DEG: Final = 0.01


def _enter(
    url: str,
    table: str,
    made: Sequence[Fence | Corridor | Detour | Stop],
    problems: list[str],
    warnings: Callable[[], list[str]],
    *,
    whom: Whom,
) -> Taken:
    if not made:
        return Taken([], problems or ["there is no feature in it 文件中没有要素"], [])
    said = warnings()
    return Taken(add_shapes(url, table, geojson.document(made, Datum.WGS84)["features"], whom), problems, said)


def _import(
    make: Callable[[str, dict[str, Any], Datum, Whom], Taken],
    file: Path,
    datum: Datum,
    whom: list[str],
    config: Path | None,
) -> None:
    """Read a file, enter what can be read, say what cannot; exit status 1 when something was left out."""
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
    if own := _drop_parties(document):
        said = f"the parties of {own} features are left out: whom they are meant for is said by --for 适用对象请用 --for 指定"
        typer.echo(f"warning 警告: {file}: {said}", err=True)
    with database_of(config) as url:
        taken = make(url, document, datum, whom_of(url, whom))
    for problem in taken.problems:
        typer.echo(f"{file}: {problem}", err=True)
    for warning in taken.warnings:
        typer.echo(f"warning 警告: {warning}", err=True)
    typer.echo(f"{len(taken.ids)} taken, {len(taken.problems)} refused" + (f"; ids {taken.ids[0]} to {taken.ids[-1]}" if taken.ids else ""))
    raise typer.Exit(1 if taken.problems else 0)


def _drop_parties(document: dict[str, Any]) -> int:
    """Take out what the features themselves say of `parties`, which means something in the rules' own documents; how many did."""
    features = document.get("features") if isinstance(document.get("features"), list) else [document]
    about = [each["properties"] for each in features or () if isinstance(each, dict) and isinstance(each.get("properties"), dict)]
    return sum(each.pop("parties", None) is not None for each in about)


def _whom(*, everyone: bool, whom: list[str] | None) -> list[str]:
    if everyone and whom:
        msg = "it cannot be meant for all and for some: give --all or --for 两者只能选一"
        raise typer.BadParameter(msg)
    return whom or []


def _app(table: str, one: str, about: str) -> typer.Typer:
    """The commands that all three have."""
    app = typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)

    @app.command("list", help="List them 列表; tab-separated.")
    def list_(config: Config = None) -> None:
        with database_of(config) as url:
            rows = list_shapes(url, table)
        typer.echo("id\tname\tshape\tterminals\tparties")
        for row in rows:
            count = "all" if row.terminals is None else str(len(row.terminals))
            typer.echo(f"{row.id}\t{row.name}\t{row.feature['geometry']['type']}\t{count}\t{' '.join(row.parties)}")

    @app.command("remove", help=f"Take {one} away 删除; what is under way about it ends.")
    def remove(ids: Ids, config: Config = None) -> None:
        with database_of(config) as url:
            gone = remove_shapes(url, table, ids)
        typer.echo(f"{len(gone)} removed")
        raise typer.Exit(0 if len(gone) == len(set(ids)) else 1)

    return app


fence_app = _app("fences", "fences", "Fences 电子围栏: entered, left, dwelt, overspeed inside, stay inside or outside.")
corridor_app = _app("corridors", "corridors", "Corridors 线路走廊: deviation, wrong direction, skipped section.")
stop_app = _app("stops", "stops", "Stops 站点: arrivals and departures.")


@fence_app.command("import")
def import_fence(file: File, datum: Said, *, whom: For = None, everyone: All = False, config: Config = None) -> None:
    """Enter fences 导入围栏: a Polygon, a Point with radius_m, a LineString with width_m.

    Properties: name, stay (free, out, in), day_kmh, night_kmh, dwell_s, margin_m, valid_from, valid_until, windows.
    """
    _import(import_fences, file, datum, _whom(everyone=everyone, whom=whom), config)


@corridor_app.command("import")
def import_corridor(file: File, datum: Said, *, whom: For = None, everyone: All = False, config: Config = None) -> None:
    """Enter corridors 导入线路: LineStrings, one for each direction.

    Properties: name, half_width_m and limit_kmh (one, or one for each segment), terminus_m, directed; valid_from, valid_until and windows
    (mon-fri 05:30-22:00), outside of which nobody is judged by it.

    A feature with detour_of (id or name of a corridor, or a list) is an approved detour 绕行 of it: a LineString (half_width_m) or a
    Polygon, with valid_from, valid_until and approver. Who drives there has not strayed; it is kept as an incident of its own kind.
    """
    _import(import_corridors, file, datum, _whom(everyone=everyone, whom=whom), config)


@stop_app.command("import")
def import_stop(file: File, datum: Said, *, whom: For = None, everyone: All = False, config: Config = None) -> None:
    """Enter stops 导入站点: Points.

    Properties: name, radius_m, course_deg, corridor_id and sequence (its line, by the id that list shows, and its place there).
    """
    _import(import_stops, file, datum, _whom(everyone=everyone, whom=whom), config)
