"""What the items of one report say of alarms, by construct and words: the oracle of the columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from protocols.jt808.messages.items import ITEMS
from protocols.jt808.messages.subiao import ADAS_TYPES, BLIND_ZONES, DSM_TYPES, TYRE_ALARMS
from tracks.alarms import BIT_OF

TYPES = {0x64: ("adas_", ADAS_TYPES, 0x10), 0x65: ("dsm_", DSM_TYPES, 0x10), 0x67: ("blind_zone_", BLIND_ZONES, 0x100)}
KINDS_OF_DETAIL = {0x15: "signal_lost", 0x16: "signal_covered", 0x17: "storage_fault"}
VIDEO = ("signal_lost", "signal_covered", "storage_fault", "other_fault", "overcrowded", "abnormal_driving", "recording_full")
BEHAVIOURS = ("behaviour_fatigue", "behaviour_phone", "behaviour_smoking")


def bits(words: Iterable[str]) -> int:
    return sum(1 << BIT_OF[word] for word in set(words))


def alarms_plainly(items: Iterable[Any]) -> dict[str, int]:
    """`raised`, `cleared` and `place` of a report with these items (`id` and `value`)."""
    ordered = sorted((item for item in items if item.id in ITEMS), key=lambda item: (item.id, form(item.id, len(item.value))))
    parsed = ((item.id, ITEMS[item.id].parse(item.value)) for item in ordered)
    raised, cleared, place = 0, 0, 0
    for item_id, value in parsed:
        if value is None:
            continue
        if item_id in {0x11, 0x12, 0x13}:
            word, where = about_place(item_id, value)
            place = place or where
            nowhere = word != "overspeed" and (not where or where != place)
            raised |= 1 << BIT_OF[word] + nowhere
        elif item_id in {0x14, 0x18}:
            words = VIDEO if item_id == 0x14 else BEHAVIOURS
            number = value if item_id == 0x14 else value["behaviours"]
            raised |= bits(word for at, word in enumerate(words) if number >> at & 1)
        elif item_id in KINDS_OF_DETAIL:
            raised |= bits([KINDS_OF_DETAIL[item_id]] if value else [])
        elif 0x64 <= item_id <= 0x67:
            told = bits(active_safety(item_id, value))
            raised |= told if value["flag"] != 2 else 0
            cleared |= told if value["flag"] != 1 else 0
    return {"raised": raised, "cleared": cleared, "place": place}


def form(item_id: int, length: int) -> int:
    """Forms are taken in the order of the table."""
    widths = {0x11: [1, 5], 0x13: [7, 8]}.get(item_id, [])
    return widths.index(length) if length in widths else 0


def about_place(item_id: int, value: Any) -> tuple[str, int]:
    if item_id == 0x13:
        return "segment_too_slow" if value["result"] else "segment_too_fast", value["segment_id"]
    if item_id == 0x12:
        way = "left" if value["direction"] else "entered"
        return f"{way}_{'route' if value['place_kind'] == 4 else 'area'}", value["place_id"]
    if value["place_kind"] == 0:
        return "overspeed", 0
    return f"overspeed_{'on_segment' if value['place_kind'] == 4 else 'in_area'}", value.get("place_id", 0)


def active_safety(item_id: int, value: Any) -> Iterator[str]:
    if item_id != 0x66:
        prefix, types, until = TYPES[item_id]
        if value["type"] < until:
            yield prefix + types.get(value["type"], "other")
        return
    for tyre in value["tyres"]:
        named = [word for at, word in enumerate(TYRE_ALARMS) if at and tyre["alarms"] >> at & 1]
        yield from (f"tyre_{word}" for word in named or (TYRE_ALARMS[1:] if value["flag"] == 2 else []))
