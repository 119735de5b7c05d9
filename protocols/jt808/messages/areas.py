"""Areas and routes that a terminal watches by itself.

Positions are magnitudes on the wire, with the hemisphere in the attribute; here they are signed degrees, both ways.
"""

from __future__ import annotations

from typing import Any, Final

import construct
from construct import Default, Error, Int8ub, Int16ub, Int32ub, Struct, Switch, this

from protocols.adapters import Bits, Scaled
from protocols.jt808.header import V2011, V2013, V2019
from protocols.jt808.messages.registry import declare
from protocols.parts import Coded, Count, Exactly, Several, When, WindowTime
from protocols.text import CountedText

AREA_ATTRIBUTES: Final = (
    "times",
    "speed_limit",
    "alarm_driver_on_entry",
    "alarm_platform_on_entry",
    "alarm_driver_on_exit",
    "alarm_platform_on_exit",
    "south",
    "west",
    "no_door_opening",
    None,
    None,
    None,
    None,
    None,
    "close_radio_inside",
    "record_gnss_inside",
)
ROUTE_ATTRIBUTES: Final = ("times", None, *AREA_ATTRIBUTES[2:6])
SEGMENT_ATTRIBUTES: Final = ("driving_time", "speed_limit", "south", "west")
_TIMES, _LIMIT = 1, 2
"""Bits of an area's attribute, and of a segment's, that say which fields follow."""

ACTIONS: Final = {0: "update", 1: "append", 2: "modify"}
PLACES: Final = {1: "circle", 2: "rectangle", 3: "polygon", 4: "route"}


def _degrees() -> Scaled:
    """The magnitude of a latitude or longitude."""
    return Scaled(Int32ub, 1_000_000)


_IMPLIED: Final = {"start": _TIMES, "too_long_s": _TIMES, "driving_time_s": _TIMES, "max_speed_kmh": _LIMIT}
"""Fields that are there because a bit of the attribute says so: given, they set it."""


class Attributed(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """A part whose `attribute` says which fields it has and, from bit `south` on, on which hemispheres all of it lies."""

    def __init__(self, part: Struct, south: int | None = None) -> None:
        super().__init__(part)
        self.hemispheres = {} if south is None else {"lat": 1 << south, "lon": 2 << south}
        self.attribute = next(field.subcon for field in part.subcons if field.name == "attribute")

    def _decode(self, obj: Any, _context: object, _path: str) -> Any:  # noqa: ANN401 - construct carries no types
        for name, bit in self.hemispheres.items():
            if obj.attribute & bit:
                obj = _mapped(obj, name, lambda degrees: -degrees or degrees)
        return obj

    def _encode(self, obj: Any, context: object, path: str) -> Any:  # noqa: ANN401 - construct carries no types
        attribute = self.attribute._encode(obj.get("attribute", 0), context, path)  # noqa: SLF001 - how constructs call one another
        for name, bit in _IMPLIED.items():
            if obj.get(name) is not None:
                attribute |= bit
        for name, bit in self.hemispheres.items():
            signs = {degrees > 0 for degrees in _degrees_of(obj, name) if degrees}
            if len(signs) > 1:
                msg = f"every {name} must lie on one hemisphere: the attribute has one bit for all of them"
                raise construct.ValidationError(msg, path)
            if False in signs:
                attribute |= bit
            obj = _mapped(obj, name, abs)
        return construct.Container(obj) | {"attribute": attribute}


def _mapped(part: Any, name: str, change: Any) -> Any:  # noqa: ANN401 - construct carries no types
    """A copy with `change` done to its degrees of that name, in its vertices too."""
    changed = construct.Container(part)
    for key, value in part.items():
        if _is(key, name):
            changed[key] = change(value)
    if "vertices" in part:
        changed["vertices"] = construct.ListContainer(_mapped(each, name, change) for each in part["vertices"])
    return changed


def _is(key: str, name: str) -> bool:
    return key == name or key.endswith(f"_{name}")


def _degrees_of(part: Any, name: str) -> list[float]:  # noqa: ANN401 - construct carries no types
    return [value for each in (part, *part.get("vertices", ())) for key, value in each.items() if _is(key, name)]


_HEAD: Final = ("id" / Int32ub, "attribute" / Bits(Int16ub, AREA_ATTRIBUTES))
_WINDOW: Final = ("start" / When(this.attribute & _TIMES, WindowTime()), "stop" / When(this.attribute & _TIMES, WindowTime()))
_SPEED: Final = ("max_speed_kmh" / When(this.attribute & _LIMIT, Int16ub), "overspeed_s" / When(this.attribute & _LIMIT, Int8ub))
_NIGHT: Final = ("night_max_speed_kmh" / When(this.attribute & _LIMIT, Int16ub),)
_NAME: Final = ("name" / CountedText(Int16ub),)
_AREA_SOUTH: Final = AREA_ATTRIBUTES.index("south")
_SEGMENT_SOUTH: Final = SEGMENT_ATTRIBUTES.index("south")

_CIRCLE: Final = ("lat" / _degrees(), "lon" / _degrees(), "radius_m" / Int32ub)
_RECTANGLE: Final = ("top_lat" / _degrees(), "left_lon" / _degrees(), "bottom_lat" / _degrees(), "right_lon" / _degrees())
_VERTEX: Final = Struct("lat" / _degrees(), "lon" / _degrees())


def _area(edition: int, geometry: tuple[Any, ...]) -> Attributed:
    """One circle or rectangle."""
    new = (*_NIGHT, *_NAME) if edition == V2019 else ()
    return Attributed(Struct(*_HEAD, *geometry, *_WINDOW, *_SPEED, *new), _AREA_SOUTH)


def _set(edition: int, areas: Any) -> Struct:  # noqa: ANN401 - construct carries no types
    """A setting of circles or rectangles; 2011 says how many there are in all before how many are in this message."""
    total = ("total" / Count(Int8ub, "areas"),) if edition == V2011 else ()
    return Struct("action" / Coded(Int8ub, ACTIONS), *total, "count" / Count(Int8ub, "areas"), "areas" / areas)


def _polygon(edition: int) -> Attributed:
    """A polygon; one message sets one."""
    new = (*_NIGHT, *_NAME) if edition == V2019 else ()
    part = Struct(*_HEAD, *_WINDOW, *_SPEED, "count" / Count(Int16ub, "vertices"), "vertices" / Exactly(_VERTEX), *new)
    return Attributed(part, _AREA_SOUTH)


def _point(edition: int) -> Attributed:
    """A turning point of a route and the segment that begins there."""
    limits = (
        ("too_long_s" / When(this.attribute & _TIMES, Int16ub), "too_short_s" / When(this.attribute & _TIMES, Int16ub))
        if edition != V2011
        else ("driving_time_s" / When(this.attribute & _TIMES, Int16ub),)
    )
    return Attributed(
        Struct(
            *(() if edition == V2011 else ("point_id" / Int32ub,)),
            "segment_id" / Int32ub,
            "lat" / _degrees(),
            "lon" / _degrees(),
            "width_m" / Int8ub,
            "attribute" / Bits(Int8ub, SEGMENT_ATTRIBUTES),
            *limits,
            *_SPEED,
            *(_NIGHT if edition == V2019 else ()),
        ),
        _SEGMENT_SOUTH,
    )


def _route(edition: int) -> Attributed:
    """A route; one message sets one."""
    return Attributed(
        Struct(
            "id" / Int32ub,
            "attribute" / Bits(Int16ub, ROUTE_ATTRIBUTES),
            *_WINDOW,
            "count" / Count(Int16ub, "points"),
            "points" / Exactly(_point(edition)),
            *(_NAME if edition == V2019 else ()),
        )
    )


_EDITIONS: Final = (V2011, V2013, V2019)
DELETION: Final = Struct("count" / Count(Int8ub, "ids"), "ids" / Default(Several(Int32ub), []))
"""No ids: all of them. The standard allows 125 in one message."""

declare(0x8600, {edition: _set(edition, Several(_area(edition, _CIRCLE))) for edition in _EDITIONS})
declare(0x8602, {edition: _set(edition, Several(_area(edition, _RECTANGLE))) for edition in _EDITIONS})
declare(0x8604, {edition: _polygon(edition) for edition in (V2011, V2019)})
declare(0x8606, {edition: _route(edition) for edition in _EDITIONS})
for deletion in (0x8601, 0x8603, 0x8605, 0x8607):
    declare(deletion, DELETION)

declare(0x8608, Struct("kind" / Coded(Int8ub, PLACES), "count" / Count(Int32ub, "ids"), "ids" / Default(Several(Int32ub), [])))
declare(
    0x0608,
    Struct(
        "kind" / Coded(Int8ub, PLACES),
        "count" / Count(Int32ub, "places"),
        # the text leaves open what one piece of data is; it is the body of the message that sets it (quirk G3)
        "places"
        / Several(
            Switch(
                this.kind,
                {
                    1: _set(V2019, Exactly(_area(V2019, _CIRCLE))),
                    2: _set(V2019, Exactly(_area(V2019, _RECTANGLE))),
                    3: _polygon(V2019),
                    4: _route(V2019),
                },
                default=Error,
            )
        ),
    ),
)
