"""A history as a file: CSV, GeoJSON, GPX, KML, XLSX. Streamed row by row, so a year is as cheap in memory as a minute.

Places are WGS-84 as reported. CSV, GeoJSON and XLSX hold every fix with its flags; GPX and KML hold what draws a line, the valid ones.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final
from xml.sax.saxutils import escape

from dubhe.times import moment, stamp
from geofence.quality import Quality
from storage.reader import TrackRow, track

COLUMNS: Final = (
    "time", "terminal", "lat", "lon", "altitude_m", "speed_kmh", "course_deg", "valid", "alarm_bits", "status_bits", "mileage_km",
    "satellites", "signal", "source", "backfill", "quality", "received_at",
)  # fmt: skip


class ExportError(ValueError):
    """A history that cannot be written as asked, with the cure."""


def write_track(url: str, who: str, *, start: str, stop: str, form: str, output: Path | None) -> int:
    """Write the fixes of `who` with start ≤ time < stop; returns how many there were."""
    if form not in FORMATS:
        msg = f"--format {form} is none of {', '.join(FORMATS)}"
        raise ExportError(msg)
    begin, end = moment(start), moment(stop)
    if end <= begin:
        msg = f"--to {stop} is not after --from {start}: there is nothing between them 结束时间须晚于开始时间"
        raise ExportError(msg)
    if form == "xlsx" and output is None:
        msg = "--format xlsx needs -o FILE: a workbook cannot be written to standard output"
        raise ExportError(msg)
    with closing(track(url, who, begin, end)) as rows:
        counted = _Counted(_asked(rows))
        if form == "xlsx":
            assert output is not None
            _xlsx(output, counted)
        else:
            with _opened(output) as out:
                TEXTS[form](out, who, counted)
    return counted.count


def _asked(rows: Iterator[TrackRow]) -> Iterator[TrackRow]:
    """The same rows, the first of them fetched: whoever is unknown is so before a heading is written."""
    first = next(rows, None)
    return rows if first is None else chain((first,), rows)


class _Counted:
    """An iterable that knows how many it gave."""

    def __init__(self, rows: Iterable[TrackRow]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[TrackRow]:
        for row in self._rows:
            self.count += 1
            yield row


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    if output is None:
        yield sys.stdout
        return
    try:
        file = output.open("w", encoding="utf-8", newline="")
    except OSError as error:
        msg = f"cannot write {output}: {error.strerror}"
        raise ExportError(msg) from error
    with file:
        yield file


def _exact(time: datetime) -> str:
    return stamp(time, "auto")


def _values(row: TrackRow) -> list[Any]:
    values = ((name, getattr(row, name)) for name in COLUMNS)
    return [SHOWN[name](value) if name in SHOWN else value for name, value in values]


SHOWN: Final[Mapping[str, Callable[[Any], str]]] = {
    "time": _exact,
    "received_at": _exact,
    "quality": lambda flags: " ".join(flag.name.lower() for flag in Quality(flags) if flag.name),
}
"""How the columns are written that are not written as they are; a good fix has no word of quality."""


def cell(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    """A value as CSV has it: true and false as other programs write them."""
    return str(value).lower() if isinstance(value, bool) else value


def _csv(out: IO[str], _who: str, rows: Iterable[TrackRow]) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(cell, _values(row)) for row in rows)


def _geojson(out: IO[str], _who: str, rows: Iterable[TrackRow]) -> None:
    out.write('{"type": "FeatureCollection", "features": [')
    for number, row in enumerate(rows):
        feature = {
            "type": "Feature",
            "geometry": None if row.lat is None or row.lon is None else {"type": "Point", "coordinates": [row.lon, row.lat]},
            "properties": dict(zip(COLUMNS, _values(row), strict=True)),
        }
        out.write(("," if number else "") + "\n" + json.dumps(feature, ensure_ascii=False))
    out.write("\n]}\n")


def _gpx(out: IO[str], who: str, rows: Iterable[TrackRow]) -> None:
    out.write('<?xml version="1.0" encoding="UTF-8"?>\n<gpx version="1.1" creator="Dubhe" xmlns="http://www.topografix.com/GPX/1/1">\n')
    out.write(f"<trk><name>{escape(who)}</name><trkseg>\n")
    for row in rows:
        if row.valid:
            height = "" if row.altitude_m is None else f"<ele>{row.altitude_m:g}</ele>"
            out.write(f'<trkpt lat="{row.lat:.6f}" lon="{row.lon:.6f}">{height}<time>{_exact(row.time)}</time></trkpt>\n')
    out.write("</trkseg></trk>\n</gpx>\n")


def _kml(out: IO[str], who: str, rows: Iterable[TrackRow]) -> None:
    out.write('<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>\n')
    out.write(f"<Placemark><name>{escape(who)}</name><LineString><tessellate>1</tessellate><coordinates>\n")
    out.writelines(f"{row.lon:.6f},{row.lat:.6f},{row.altitude_m or 0:g}\n" for row in rows if row.valid)
    out.write("</coordinates></LineString></Placemark>\n</Document></kml>\n")


def _xlsx(output: Path, rows: Iterable[TrackRow]) -> None:
    import xlsxwriter  # noqa: PLC0415 - it would delay the start of every command

    with xlsxwriter.Workbook(str(output), {"constant_memory": True, "strings_to_formulas": False}) as book:
        sheet = book.add_worksheet("track")
        sheet.write_row(0, 0, COLUMNS)
        for number, row in enumerate(rows, start=1):
            if number >= sheet.xls_rowmax:
                msg = f"a sheet holds {sheet.xls_rowmax - 1} fixes; ask for less time, or for csv"
                raise ExportError(msg)
            sheet.write_row(number, 0, _values(row))


TEXTS: Final[dict[str, Callable[[IO[str], str, Iterable[TrackRow]], None]]] = {"csv": _csv, "geojson": _geojson, "gpx": _gpx, "kml": _kml}
FORMATS: Final = (*TEXTS, "xlsx")
