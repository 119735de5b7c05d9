"""What a terminal can watch by itself of our fences and corridors: their translation into the areas and routes of JT/T 808.

Ids stay: fence 7 is area 7, corridor 7 is route 7. A line with a width becomes the polygon around it: a fence is an area, and routes are
for corridors. The terminal is told the shape, the hours, the speed limits and whom to warn. Dwelling, margins, termini and the
direction of travel are judged at the server all the same, so leaving them out loses nothing; but what would make the terminal warn
wrongly, or be silent wrongly, is refused with a sentence (`CannotKeep`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, isfinite, isnan
from typing import Any, Final

import numpy as np

from geofence.corridors import Corridor
from geofence.fences import FOREVER, Circle, Fence, Line, MultiPolygon, Points, Polygon, Stay
from geofence.outline import Holed, Parted, bends, outline
from protocols.adapters import GMT8
from protocols.errors import ProtocolError
from protocols.jt808.fixes import GMT8_S
from protocols.jt808.header import V2019
from protocols.jt808.kept import POINTS_MAX, WIDTH_MAX_M, Kept, kept
from tracks.week import DAY_MINUTES

TOLERANCE_M: Final = 10.0
"""How far a simplified line may be from its own: less than a receiver's error (15 m, JT/T 794)."""
OVERSPEED_S: Final = 30
"""How long too fast is too long, as the server's own rules have it (geofence/evidence.py)."""
OPEN_ENDS: Final = ("2000-01-01T00:00:00", "2099-12-31T23:59:59")
"""First and last moment of the wire, for validity that is open at one end."""
WEEK_DAYS: Final = 7
RECTANGLE_POINTS: Final = 5
"""Of its ring, the first one twice."""

ALARMS: Final = {
    Stay.FREE: ["alarm_platform_on_entry", "alarm_platform_on_exit"],
    Stay.OUT: ["alarm_driver_on_entry", "alarm_platform_on_entry"],
    Stay.IN: ["alarm_driver_on_exit", "alarm_platform_on_exit"],
}
"""Whom the terminal warns, by what the fence asks."""
ROUTE_ALARMS: Final = ["alarm_driver_on_exit", "alarm_platform_on_exit"]


CUT: Final = "the server watches it all the same; unless it is one to stay in, it may be cut into several fences"
"""Who has to stay in several fences has to be in all of them at once."""


class CannotKeep(ValueError):  # noqa: N818 - an answer, not a mistake
    """No terminal of that edition can keep it; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Area:
    """One area or route as a terminal would be told."""

    kind: str
    id: int
    fields: dict[str, Any]
    """Of the message that sets it, in JSON's types; an edition takes those that it has."""
    kept: Kept
    """The same as it comes back from a terminal of the edition."""


def area_of(thing: Fence | Corridor, edition: int, tolerance_m: float = TOLERANCE_M, zone_s: int = GMT8_S) -> Area:
    """A fence or corridor, its hours `zone_s` ahead of UTC, for a terminal of that edition. Raises `CannotKeep`."""
    kind, fields = (
        _route(thing, edition, tolerance_m, zone_s) if isinstance(thing, Corridor) else _area(thing, edition, tolerance_m, zone_s)
    )
    fields = {"id": thing.id, "name": thing.name} | fields
    try:
        return Area(kind, thing.id, fields, kept(kind, edition, fields))
    except ProtocolError as error:
        raise CannotKeep(error.why) from None


def _area(fence: Fence, edition: int, tolerance_m: float, zone_s: int) -> tuple[str, dict[str, Any]]:
    kind, geometry = _geometry(fence.shape, tolerance_m)
    limit = _limit(fence.day_kmh, fence.night_kmh, edition)
    if zone_s != GMT8_S and limit and limit["max_speed_kmh"] != limit["night_max_speed_kmh"]:
        msg = "by night it has another speed limit, and a terminal's night is that of UTC+8 终端夜间时段按北京时间"
        raise CannotKeep(msg)
    return kind, {"attribute": ALARMS[fence.stay], **geometry, **_hours(fence, zone_s), **limit}


def _geometry(shape: Circle | Line | Polygon | MultiPolygon, tolerance_m: float) -> tuple[str, dict[str, Any]]:
    match shape:
        case Circle(lon, lat, radius_m):
            return "circle", {"lat": lat, "lon": lon, "radius_m": round(radius_m)}
        case Polygon([ring]) if _is_rectangle(ring):
            (west, east), (south, north) = ((min(axis), max(axis)) for axis in list(zip(*ring, strict=True))[:2])
            return "rectangle", {"top_lat": north, "left_lon": west, "bottom_lat": south, "right_lon": east}
    try:
        ring = outline(shape, POINTS_MAX, tolerance_m)
    except Holed:
        msg = f"it has a hole, and a terminal's polygon has none: {CUT} 多边形有孔洞，由平台判定"
        raise CannotKeep(msg) from None
    except Parted:
        msg = f"it has parts that lie apart, and a terminal's polygon is one piece: {CUT} 围栏由多块组成，由平台判定"
        raise CannotKeep(msg) from None
    _check_count(len(ring), tolerance_m)
    return "polygon", {"vertices": [{"lat": lat, "lon": lon} for lon, lat in ring]}


def _is_rectangle(ring: Points) -> bool:
    west, *_, east = sorted({lon for lon, *_ in ring})
    south, *_, north = sorted({lat for _, lat, *_ in ring})
    corners = {(west, south), (east, south), (east, north), (west, north)}
    return len(ring) == RECTANGLE_POINTS and {(point[0], point[1]) for point in ring} == corners


def _route(corridor: Corridor, edition: int, tolerance_m: float, zone_s: int) -> tuple[str, dict[str, Any]]:
    if corridor.detours:
        msg = "it has detours, and a terminal's route has none: it would warn on each of them 线路有绕行"
        raise CannotKeep(msg)
    segments = len(corridor.points) - 1
    half_m, limit = (np.broadcast_to(np.asarray(of, float), segments) for of in (corridor.half_width_m, corridor.limit_kmh))
    if (too_wide := 2 * half_m.max()) > WIDTH_MAX_M:
        msg = f"it is {too_wide:g} m wide, and a terminal's route at most {WIDTH_MAX_M} m 线路宽度超限"
        raise CannotKeep(msg)
    changes = np.flatnonzero((half_m[1:] != half_m[:-1]) | (limit[1:] != limit[:-1])) + 1
    rows = bends(corridor.points, changes.tolist(), POINTS_MAX, tolerance_m)
    _check_count(len(rows), tolerance_m)
    return "route", {
        "attribute": ROUTE_ALARMS,
        **_hours(corridor, zone_s),
        "points": [
            {
                "point_id": number,
                "segment_id": number,
                "lat": corridor.points[row][1],
                "lon": corridor.points[row][0],
                "width_m": round(2 * half_m[min(row, segments - 1)]),
                "attribute": [],
                **_limit(float(limit[min(row, segments - 1)]), float("nan"), edition),
            }
            for number, row in enumerate(rows.tolist(), 1)
        ],
    }


def _check_count(count: int, tolerance_m: float) -> None:
    if count > POINTS_MAX:
        msg = (
            f"within {tolerance_m:g} m it needs {count} points, and a terminal is sent {POINTS_MAX}: cut it, or allow more (--tolerance-m)"
        )
        raise CannotKeep(msg)


def _limit(day_kmh: float, night_kmh: float, edition: int) -> dict[str, Any]:
    night_kmh = day_kmh if isnan(night_kmh) else night_kmh
    if day_kmh == night_kmh == inf:
        return {}
    if not (isfinite(day_kmh) and isfinite(night_kmh)):
        msg = "it has a speed limit only by day or only by night, and a terminal's holds for both 限速须昼夜都有"
        raise CannotKeep(msg)
    if edition < V2019 and night_kmh != day_kmh:
        msg = "by night it has another speed limit, which terminals know since 2019 夜间限速需 2019 版终端"
        raise CannotKeep(msg)
    return {"max_speed_kmh": round(day_kmh), "overspeed_s": OVERSPEED_S, "night_max_speed_kmh": round(night_kmh)}


def _hours(thing: Fence | Corridor, zone_s: int) -> dict[str, str]:
    """Start and stop as the wire has them, in UTC+8: either the same hours every day, or from one date to another."""
    ahead = (GMT8_S - zone_s) // 60
    daily = {((window.start_minute + ahead) % DAY_MINUTES, (window.stop_minute + ahead) % DAY_MINUTES) for window in thing.windows}
    if thing.windows and (len(daily) > 1 or len(set().union(*(window.days for window in thing.windows))) < WEEK_DAYS):
        msg = "its hours are not the same on all days of the week, and a terminal's are 终端只支持每日同一时段"
        raise CannotKeep(msg)
    hours = [(start, stop) for start, stop in daily if start != stop]
    if hours and thing.valid_us != FOREVER:
        msg = "it has hours as well as dates of validity, and a terminal keeps one of them 时段与有效期只能二选一"
        raise CannotKeep(msg)
    if hours:
        return dict(zip(("start", "stop"), (f"{minute // 60:02}:{minute % 60:02}:00" for minute in hours[0]), strict=True))
    if thing.valid_us == FOREVER:
        return {}
    return dict(zip(("start", "stop"), _dates(thing.valid_us), strict=True))


def _dates(valid_us: Sequence[int]) -> list[str]:
    epoch = datetime(1970, 1, 1, 8, tzinfo=GMT8)
    return [
        spare if end == ever else f"{epoch + timedelta(microseconds=end):%Y-%m-%dT%H:%M:%S}"
        for end, ever, spare in zip(valid_us, FOREVER, OPEN_ENDS, strict=True)
    ]
