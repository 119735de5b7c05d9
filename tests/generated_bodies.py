"""Hypothesis strategies for the fields of any message, read off its declaration: what a form can say, the strategy may draw."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from typing import Any

import construct
from construct.core import evaluate
from hypothesis import strategies as st

from protocols.adapters import BcdTime, Bits, Scaled, SignMagnitude, UtcBcdTime
from protocols.jt808.messages.areas import Attributed
from protocols.jt808.messages.control import PARAMETERS as CONTROL_PARAMETERS
from protocols.jt808.messages.control import ControlParameters
from protocols.jt808.messages.parameters import PARAMETERS, ParameterId, ParameterItem
from protocols.jt808.messages.passthrough import Passed
from protocols.jt808.messages.recorder import FAILURES, Block
from protocols.jt808.messages.trackers import DegreesAndMinutes, YearTime
from protocols.parts import Bcd, BcdClock, BcdNumber, Coded, Numbered, Octets, Several, Solved, Tally, When, WindowTime
from protocols.text import CountedText, FixedText, RestText, WideText, encode

SKIP = object()
"""Of a field that building finds out by itself."""

LETTERS = "0123456789ABCabc-粤京测豫鲁"
WALL = st.datetimes(datetime(2001, 1, 1), datetime(2099, 12, 31)).map(lambda when: when.replace(microsecond=0))  # noqa: DTZ001 - a wall clock
DAILY = st.times(time(0, 0), time(23, 59, 59)).map(lambda when: when.replace(microsecond=0))


def texts(most: int) -> st.SearchStrategy[str]:
    """Texts that fit `most` bytes and have no padding of their own."""
    return st.text(LETTERS, max_size=min(most, 12)).filter(lambda text: len(encode(text)) <= most)


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


def fields_of(form: Any) -> st.SearchStrategy[dict[str, Any]]:
    """What may be built as the body `form`, without the counts and lengths that building adds."""
    return st.composite(lambda draw: _value(draw, form, construct.Container()))()


def _struct(draw: st.DrawFn, form: construct.Struct, outer: construct.Container) -> dict[str, Any]:
    context = construct.Container(_=outer)
    for field in form.subcons:
        # what is left over may be anything, also the next item
        value = SKIP if field.name == "rest" else _value(draw, field, context)
        if value is not SKIP and field.name:
            context[field.name] = value
    return {name: value for name, value in context.items() if name != "_"}


def _attributed(draw: st.DrawFn, part: Attributed, context: construct.Container) -> dict[str, Any]:
    drawn = _struct(draw, part.subcon, context)
    for name, bit in part.hemispheres.items():
        if drawn["attribute"] & bit:
            _turn(drawn, name)
    return drawn


def _turn(part: dict[str, Any], name: str) -> None:
    """Move degrees to the other hemisphere."""
    for key, value in part.items():
        if key == name or key.endswith(f"_{name}"):
            part[key] = -value or value
    for vertex in part.get("vertices", ()):
        _turn(vertex, name)


def _number(field: construct.FormatField) -> st.SearchStrategy[int]:
    bits = 8 * field.length
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if field.fmtstr[1].islower() else st.integers(0, (1 << bits) - 1)


def _coded(field: Coded) -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from(sorted(field.words)), _number(field.subcon)) if field.words else _number(field.subcon)


def _parameter(draw: st.DrawFn) -> dict[str, Any]:
    number = draw(st.one_of(st.sampled_from(sorted(PARAMETERS)), st.integers(0xF400, 0xF500)))
    known = PARAMETERS.get(number)
    if known is None:
        return {"id": number, "name": None, "raw": draw(st.binary(max_size=20))}
    return {"id": number, "name": known.name, "value": _value(draw, draw(st.sampled_from(known.forms)), construct.Container())}


def _controls(draw: st.DrawFn, context: construct.Container) -> Any:
    names = CONTROL_PARAMETERS.get(context.command)
    if names is None:
        return draw(st.one_of(st.none(), st.lists(texts(8), min_size=2, max_size=3)))
    return {name: draw(texts(8)) for name in names}


def _block(draw: st.DrawFn, block: Block, context: construct.Container) -> dict[str, Any]:
    layout = block.layouts.get(context.command)
    if context.command in FAILURES:
        return {"reserved": draw(st.integers(0, 255))}
    if layout is None:
        return {"data": draw(st.binary(max_size=20))}
    data = _value(draw, layout, construct.Container())
    return {"data": data if layout.build(data) else b""}


def _passed(draw: st.DrawFn, passed: Passed, context: construct.Container) -> Any:
    layout = passed.layouts.get(context.subtype)
    return _value(draw, layout, construct.Container()) if layout else draw(st.binary(max_size=20))


def _position(draw: st.DrawFn) -> dict[str, Any]:
    lat, lon = draw(st.integers(-89 * 600_000, 89 * 600_000)), draw(st.integers(-179 * 600_000, 179 * 600_000))
    flags = draw(st.sampled_from([0, 1, 8, 9])) | 2 * (lat > 0) | 4 * (lon > 0)
    return {"lat": round(lat / 600_000, 7), "lon": round(lon / 600_000, 7), "flags": flags}


SIMPLE: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    construct.FormatField: _number,
    construct.BitsInteger: lambda field: st.integers(0, (1 << field.length) - 1),
    construct.Bytes: lambda field: st.binary(min_size=field.length, max_size=field.length),
    Bits: lambda field: st.integers(0, (1 << 8 * field.subcon.sizeof()) - 1),
    Coded: _coded,
    Numbered: lambda field: _number(field.subcon),
    ParameterId: lambda field: _number(field.subcon),
    Scaled: lambda field: _number(field.subcon).map(lambda raw: raw / field.parts),
    SignMagnitude: lambda _field: st.integers(-0x7FFF, 0x7FFF),
    BcdTime: lambda _field: WALL,
    UtcBcdTime: lambda _field: WALL.map(lambda when: when.replace(tzinfo=UTC)),
    WindowTime: lambda _field: st.one_of(WALL, DAILY),
    YearTime: lambda _field: WALL.map(lambda when: when.replace(tzinfo=UTC)),
    Bcd: lambda field: digits(2 * field.subcon.length),
    BcdNumber: lambda field: digits(2 * field.subcon.subcon.length).map(lambda text: int(text) / field.parts),
    BcdClock: lambda _field: digits(10).map(lambda text: f"{text[:2]}:{text[2:4]}:{text[4:6]}.{text[6:]}"),
    FixedText: lambda field: texts(field.width),
    CountedText: lambda field: texts(field.most),
    RestText: lambda _field: texts(40),
    WideText: lambda _field: texts(40),
    Solved: lambda field: st.just(field.usual),
}


def _value(draw: st.DrawFn, field: Any, context: construct.Container) -> Any:  # noqa: C901, PLR0911, PLR0912 - one case per kind of construct
    """A value that this construct can build."""
    match field:
        case construct.Renamed() | construct.Prefixed() | construct.Transformed() | construct.Restreamed():
            return _value(draw, field.subcon, context)
        case construct.Default():
            return SKIP if callable(field.value) else _value(draw, field.subcon, context)
        case Tally() | construct.Computed() | construct.Terminated.__class__():
            return SKIP
        case construct.Struct():
            return _struct(draw, field, context)
        case Attributed():
            return _attributed(draw, field, context)
        case construct.IfThenElse():
            return _value(draw, field.thensubcon if evaluate(field.condfunc, context) else field.elsesubcon, context)
        case When():
            return _value(draw, field.subcon, context) if field.condition(context) else None
        case construct.Switch():
            return _value(draw, field.cases.get(evaluate(field.keyfunc, context), field.default), context)
        case construct.Pass.__class__():
            return None
        case construct.Select():
            return _value(draw, field.subcons[0], context)
        case Several() | construct.Array():
            exact = getattr(field, "count", None)
            possible = not isinstance(field.subcon, construct.Switch) or evaluate(field.subcon.keyfunc, context) in field.subcon.cases
            count = exact if isinstance(exact, int) else draw(st.integers(0, 3)) if possible else 0
            return [_value(draw, field.subcon, context) for _ in range(count)]
        case Octets():
            inner = field.subcon
            return draw(st.binary(max_size=20)) if inner is construct.GreedyBytes else _value(draw, inner, context)
        case construct.GreedyBytes.__class__():
            return draw(st.binary(max_size=20))
        case ParameterItem():
            return _parameter(draw)
        case ControlParameters():
            return _controls(draw, context)
        case Block():
            return _block(draw, field, context)
        case Passed():
            return _passed(draw, field, context)
        case DegreesAndMinutes():
            return _position(draw)
        case _:
            kind = next(kind for kind in type(field).__mro__ if kind in SIMPLE)
            return draw(SIMPLE[kind](field))
