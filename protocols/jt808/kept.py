"""Areas and routes that a terminal keeps by itself: which message sets, deletes and lists them, and one form to compare them in.

The comparable form of an area is what comes back when its fields go over the wire: rounded as the wire rounds, without what the edition
does not have, hemispheres as signs. So what we would send, what we sent, and what a terminal lists are compared alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time
from typing import Any, Final

from protocols.adapters import Flags
from protocols.errors import ProtocolError
from protocols.jt808.messages import build, parse
from protocols.parts import Code
from tracks.verdict import Reject

Kept = dict[str, Any]
"""An area in its comparable form; JSON can have it."""

SETTERS: Final = {"circle": 0x8600, "rectangle": 0x8602, "polygon": 0x8604, "route": 0x8606}
"""Message that sets areas of a kind; the next number deletes them."""
SEVERAL: Final = frozenset({"circle", "rectangle"})
"""Kinds of which one message sets several, and says how."""
QUERY: Final = 0x8608

POINTS_MAX: Final = 200
"""Of one polygon or route: five packages at most. The standard's bound is 65535; what terminals take is unmeasured."""
DEGREES_APART_MAX: Final = 1.5e-6
"""More than one and less than two of the wire's millionths, which are 0.1 m."""
WIDTH_MAX_M: Final = 255
"""Of a route's segment: one byte."""

_FOLLOWS: Final = frozenset({"times", "speed_limit", "south", "west"})
"""Bits of an attribute that say only what other fields say as well."""


def setting(kind: str, area: Mapping[str, Any], *, known: bool) -> tuple[int, dict[str, Any]]:
    """The message that sets one area and leaves the others alone; `known`: the terminal keeps one of that id."""
    return SETTERS[kind], {"action": "modify" if known else "append", "areas": [dict(area)]} if kind in SEVERAL else dict(area)


def deletion(kind: str, ids: Sequence[int]) -> tuple[int, dict[str, Any]]:
    """The message that deletes areas."""
    return SETTERS[kind] + 1, {"ids": list(ids)}


def query(kind: str) -> tuple[int, dict[str, Any]]:
    """The message that asks for all areas of a kind; only terminals of 2019 know it."""
    return QUERY, {"kind": kind}


def kept(kind: str, edition: int, area: Mapping[str, Any]) -> Kept:
    """The comparable form of an area, given as fields or as JSON made of them. Raises ProtocolError when the wire cannot say it."""
    message_id, fields = setting(kind, area, known=False)
    read = parse(message_id, edition, build(message_id, edition, fields))
    return _comparable(read["areas"][0] if kind in SEVERAL else read)


def listed(kind: str, edition: int, reply: Mapping[str, Any]) -> dict[int, Kept]:
    """The areas in a reply 0x0608, by id. Raises ProtocolError when it answers another question or contradicts itself."""
    said = reply.get("kind")
    word = said.word if isinstance(said, Code) else said["word"] if isinstance(said, Mapping) else said
    if word != kind:
        raise ProtocolError(Reject.BAD_FIELD, f"asked for each {kind}, it lists each {word}")
    places = reply.get("places") or ()
    areas = [area for place in places for area in place["areas"]] if kind in SEVERAL else places
    if len({area["id"] for area in areas}) < len(areas):
        raise ProtocolError(Reject.BAD_FIELD, f"it lists one {kind} twice")
    return {area["id"]: kept(kind, edition, area) for area in areas}


def alike(here: Any, there: Any) -> bool:  # noqa: ANN401 - areas, or parts of them
    """Whether two areas are one; degrees may differ by the wire's last digit, for a centimetre may round either way."""
    match here, there:
        case float(), float():
            return abs(here - there) < DEGREES_APART_MAX
        case dict(), dict():
            return here.keys() == there.keys() and all(alike(here[name], there[name]) for name in here)
        case list(), list():
            return len(here) == len(there) and all(map(alike, here, there))
        case _:
            return bool(here == there)


def differences(here: Kept, there: Kept) -> Iterator[str]:
    """What is not alike, a phrase each."""
    for name in {**here, **there}:
        ours, theirs = here.get(name), there.get(name)
        if alike(ours, theirs):
            continue
        if name in {"vertices", "points"}:
            yield f"{name}: {_many(ours, theirs)}"
        else:
            yield f"{name}: {_text(ours)} here, {_text(theirs)} there"


def _many(ours: Any, theirs: Any) -> str:  # noqa: ANN401 - lists, or None
    ours, theirs = ours or [], theirs or []
    if len(ours) != len(theirs):
        return f"{len(ours)} here, {len(theirs)} there"
    return f"{sum(not alike(mine, yours) for mine, yours in zip(ours, theirs, strict=True))} of {len(ours)} are not alike"


def _text(value: Any) -> str:  # noqa: ANN401 - JSON is of many kinds
    return "none" if value in (None, "", []) else ", ".join(value) if isinstance(value, list) else str(value)


def _comparable(area: Mapping[str, Any]) -> Kept:
    plain = {name: _plain(value) for name, value in area.items() if name not in {"count", "action"}}
    return {name: value for name, value in plain.items() if value is not None}


def _plain(value: Any) -> Any:  # noqa: ANN401 - fields are of many kinds
    match value:
        case Flags():
            return sorted(set(value.words) - _FOLLOWS)
        case datetime() | time():
            return value.isoformat()
        case list():
            return [_comparable(each) for each in value]
        case _:
            return value
