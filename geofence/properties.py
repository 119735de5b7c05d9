"""What the properties of a GeoJSON feature may say of a fence, a corridor or a stop: every name that is ours, and what it allows.

A file comes from anywhere, and one shape that is nonsense would spoil the index of them all; so what cannot be meant is refused here,
with a sentence that says what can. Names that are not ours are not read; `geofence/unread.py` tells them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from geofence.fences import FOREVER, Stay
from geofence.incidents import SUBJECT_MAX
from tracks.week import BEIJING, DAY_ALONE, DAY_US, DAYS, Window, windows_of

NAME_MAX: Final = 128
FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
SHOWN_MAX: Final = 40
"""Characters of a value that a sentence about it repeats."""


def given(properties: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """What is said under these names, read. Raises ValueError with a sentence."""
    return {name: read(properties, name) for name in names if name in ALLOWED and properties.get(name) is not None}


def read(properties: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - each name has its own type
    """One of them, which has to be there. Raises KeyError or ValueError."""
    value, (allowed, parse) = properties[name], ALLOWED[name]
    try:
        return parse(value)
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
        shown = repr(value)
        shown = shown if len(shown) <= SHOWN_MAX else shown[:SHOWN_MAX] + "…"
        msg = f"{name} is {shown}; allowed is {allowed} 属性值不正确"
        raise ValueError(msg) from None


def id_of(properties: Mapping[str, Any], number: int) -> int:
    """Its id, if it is one of ours; other programs write what they like there."""
    said = properties.get("id")
    return said if type(said) is int and 0 < said <= SUBJECT_MAX else number


def validity(properties: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """`valid_us`, when something is said about it: from, and until before."""
    said = given(properties, ("valid_from", "valid_until"))
    if not said:
        return {}
    start, stop = said.get("valid_from", FOREVER[0]), said.get("valid_until", FOREVER[1])
    if start >= stop:
        msg = "valid_until is not after valid_from 有效期止早于有效期起"
        raise ValueError(msg)
    return {"valid_us": (start, stop)}


def _number(low: float, high: float) -> tuple[str, Callable[[Any], float]]:
    def parse(value: Any) -> float:  # noqa: ANN401 - as JSON has it
        number = float(value)
        if isinstance(value, bool) or not low <= number <= high:
            raise ValueError
        return number

    return f"a number from {low:,.10g} to {high:,.10g}", parse


def _each(low: float, high: float) -> tuple[str, Callable[[Any], Any]]:
    """One number, or one for each segment."""
    allowed, parse = _number(low, high)
    return (
        f"{allowed}, or a list with one for each segment",
        lambda value: [parse(each) for each in value] if isinstance(value, list) else parse(value),
    )


def _whole(high: int) -> tuple[str, Callable[[Any], int]]:
    def parse(value: Any) -> int:  # noqa: ANN401 - as JSON has it
        number = int(value)
        if isinstance(value, bool) or number != float(value) or not 0 <= number <= high:
            raise ValueError
        return number

    return f"a whole number from 0 to {high:,}", parse


def _name(value: Any) -> str:  # noqa: ANN401 - as JSON has it
    name = " ".join(value.split()) if isinstance(value, str) else str(float(value)).removesuffix(".0")
    if len(name) > NAME_MAX:
        raise ValueError
    return name


def _flag(value: Any) -> bool:  # noqa: ANN401 - as JSON has it
    return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]


def _moment(value: str) -> int:
    """Microseconds since 1970 UTC; without a zone it is Beijing's time."""
    at = datetime.fromisoformat(value)
    at = at.replace(tzinfo=at.tzinfo or BEIJING).astimezone(UTC)
    if at < FIRST:
        raise ValueError
    return int(at.timestamp()) * 1_000_000


def _end(value: str) -> int:
    """The same; of a day alone its end, for that is the last day, as on papers."""
    return _moment(value) + (DAY_US if DAY_ALONE.fullmatch(value) else 0)


def _windows(value: Any) -> list[Window]:  # noqa: ANN401 - as JSON has it
    return windows_of(value) if isinstance(value, str) else [_window(each) for each in value]


def _window(said: Mapping[str, Any]) -> Window:
    ((_, start, stop),) = windows_of(f"{said['from']}-{said['to']}")
    days = frozenset(said.get("days", range(len(DAYS))))
    if not days or not days <= set(range(len(DAYS))):
        raise ValueError
    return Window(days, start, stop)


def _corridors(value: Any) -> tuple[int | str, ...]:  # noqa: ANN401 - as JSON has it
    said = tuple(_name(each) if isinstance(each, str) else each for each in (value if isinstance(value, list) else [value]))
    if not said or not all(each if isinstance(each, str) else type(each) is int and 0 < each <= SUBJECT_MAX for each in said):
        raise ValueError
    return said


def _parties(value: Any) -> frozenset[tuple[str, int]]:  # noqa: ANN401 - as JSON has it
    return frozenset((str(kind), int(number)) for kind, number in value)


KMH: Final = _number(1, 300)
MOMENT: Final = ("a moment in ISO 8601 such as 2026-12-31T00:00:00+08:00", _moment)

ALLOWED: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "name": (f"text of up to {NAME_MAX} characters", _name),
    "radius_m": _number(0.1, 1_000_000),
    "width_m": _number(0.1, 100_000),
    "half_width_m": _each(0.1, 50_000),
    "limit_kmh": _each(1, 300),
    "terminus_m": _number(0, 100_000),
    "directed": ("true or false", _flag),
    "day_kmh": KMH,
    "night_kmh": KMH,
    "dwell_s": _number(0, 31_536_000),
    "margin_m": _number(0, 10_000),
    "course_deg": _number(-360, 360),
    "corridor_id": _whole(SUBJECT_MAX),
    "sequence": _whole(1_000_000),
    "stay": ("free, out or in", lambda value: Stay[value.upper()]),
    "windows": ('text such as "mon-fri 05:30-22:00", or a list of {"days": [0, …, 6], "from": "07:00", "to": "19:00"}', _windows),
    "valid_from": MOMENT,
    "valid_until": (f"{MOMENT[0]}, or a day, which is the last", _end),
    "detour_of": ("the id or the name of a corridor, or a list of them", _corridors),
    "approver": (f"text of up to {NAME_MAX} characters", _name),
    "parties": ("a list of pairs of kind and id", _parties),
}
"""Name → what is allowed, and how it is read. Bounds are wide: beyond them nothing on the road is meant. Monday is 0."""
