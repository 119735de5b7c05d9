"""The alarms that additional items tell, as three columns: what each report raises, what it ends, and the place it is about.

Where no such item is there, all this costs a look at the items' ids, 6 ns a report (2-core VM, 2026-11).
An item counts when it has a length that we know (`ITEMS`), whatever else it holds. Bit sets hold all alarms of a report. It has one place:
where items name several, the first in the order of ids counts, and the other alarms are about a place that is not said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from construct import Struct

from protocols.columnar import Column, Layout, Walked, spread, walk
from protocols.jt808.messages.items import ABNORMAL_DRIVING, ITEMS, VIDEO_ALARMS
from protocols.jt808.messages.location import LOCATION_LAYOUT
from protocols.jt808.messages.subiao import ADAS_TYPES, BLIND_ZONES, DSM_TYPES, TYRE_ALARMS, TYRES
from tracks.alarms import BIT_OF, WORD_BITS, column
from tracks.spans import Index, Spans
from tracks.track import expand

FLAG_AT, TYPE_AT = 4, 5
"""Where an alarm of T/JSATL 12 has its flag and its type, behind its id."""
START, END = 1, 2
"""Its flag; what is neither is a moment."""
EVENTS_FROM: Final = 0x10
"""Types from here on are no alarms: a sign seen, a picture taken, another driver."""
ROUTE: Final = 4
"""The kind of place that is no area: a route in 0x12, a segment in 0x11."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Items of one id: the report each is in, and its value."""

    parent: Index
    values: Spans

    def take(self, rows: Index) -> _Found:
        return _Found(self.parent[rows], self.values.take(rows))

    def of_length(self, *lengths: int) -> _Found:
        """Those of these lengths."""
        return self.take(np.flatnonzero(np.isin(self.values.length, lengths)))

    def octet(self, at: int) -> Column:
        """The byte at that place of each value."""
        return self.values.buffer[self.values.start + at]


def alarms(walked: Walked, ids: Column, count: int) -> dict[str, Column]:
    """The columns `raised`, `cleared` and `place` of so many reports, from their items and the items' ids."""
    columns = {name: np.zeros(count, np.int64) for name in ("raised", "cleared", "place")}
    telling = np.flatnonzero(_TELLS.take(ids))
    if len(telling) == 0:
        return columns
    every, ids = _Found(walked.parent[telling], walked.values.take(telling)), ids[telling]
    found = {item_id: every.take(at) for item_id in _ITEMS if len(at := np.flatnonzero(ids == item_id))}
    _about_places(found, columns)
    for item_id, read in _HELD.items():
        for parent, told in _cast(found, item_id):
            np.bitwise_or.at(columns["raised"], parent, read(told))
    for item_id, flagged in _FLAGGED.items():
        if item_id in found:
            said, bits = flagged(found[item_id])
            flag = said.octet(FLAG_AT)
            np.bitwise_or.at(columns["raised"], said.parent, np.where(flag == END, 0, bits))
            np.bitwise_or.at(columns["cleared"], said.parent, np.where(flag == START, 0, bits))
    return columns


def alarms_of(reports: Spans) -> dict[str, Column]:
    """The same columns from the bytes of reports, each long enough to be a location."""
    walked = walk(Spans(reports.buffer, reports.start + LOCATION_LAYOUT.itemsize, reports.stop), id_bytes=1, length_bytes=1)
    return alarms(walked, reports.buffer[walked.begin], len(reports))


def _cast(found: Mapping[int, _Found], item_id: int) -> list[tuple[Index, dict[str, Column]]]:
    """The reports and fields of the items of an id, form by form."""
    if item_id not in found:
        return []
    fitting = [(layout, found[item_id].of_length(layout.itemsize)) for layout in _LAYOUTS[item_id]]
    return [(some.parent, layout.cast(some.values.buffer, some.values.start)) for layout, some in fitting]


# JT/T 808: about areas, routes and segments


def _about_places(found: Mapping[int, _Found], columns: dict[str, Column]) -> None:
    """What 0x11 to 0x13 raise, and where."""
    told = [(parent, _place(fields), bit(fields)) for item_id, bit in _PLACED.items() for parent, fields in _cast(found, item_id)]
    if not told:
        return
    parent, place, bit = (np.concatenate(column) for column in zip(*told, strict=True))
    has_place = _HAS_PLACE[bit]
    named = np.flatnonzero(has_place & (place != 0))
    spread(place[named], parent[named], into=columns["place"])
    elsewhere = has_place & ((place == 0) | (place != columns["place"][parent]))
    np.bitwise_or.at(columns["raised"], parent, np.int64(1) << (bit + elsewhere))


def _place(fields: Mapping[str, Column]) -> Column:
    named = (fields[name].astype(np.int64) for name in ("place_id", "segment_id") if name in fields)
    return next(named, np.zeros(len(next(iter(fields.values()))), np.int64))


def _overspeed(fields: Mapping[str, Column]) -> Column:
    kind = fields["place_kind"]
    nowhere, area, segment = (BIT_OF[word] for word in ("overspeed", "overspeed_in_area", "overspeed_on_segment"))
    return np.select([kind == 0, kind == ROUTE], [nowhere, segment], area)


def _crossing(fields: Mapping[str, Column]) -> Column:
    words = (("entered_area", "left_area"), ("entered_route", "left_route"))
    bits = np.array([[BIT_OF[word] for word in pair] for pair in words])
    crossed: Column = bits[(fields["place_kind"] == ROUTE).astype(np.int64), (fields["direction"] != 0).astype(np.int64)]
    return crossed


def _segment(fields: Mapping[str, Column]) -> Column:
    return np.where(fields["result"] == 0, BIT_OF["segment_too_fast"], BIT_OF["segment_too_slow"])


_PLACED: Final = {0x11: _overspeed, 0x12: _crossing, 0x13: _segment}
_HAS_PLACE: Final = column("placed", "?", usual=False)[WORD_BITS:]


# JT/T 1078: the video terminal's


def _all_bits(field: str, words: tuple[str, ...], prefix: str = "") -> Callable[[Mapping[str, Column]], Column]:
    """Each bit of the field is an alarm."""
    first = BIT_OF[prefix + words[0]]
    assert [BIT_OF[prefix + word] for word in words] == list(range(first, first + len(words)))
    return lambda fields: (fields[field] & ((1 << len(words)) - 1)) << first


def _any_bit(word: str) -> Callable[[Mapping[str, Column]], Column]:
    """The bits say which channel or store has it."""
    return lambda fields: (fields["value"] != 0).astype(np.int64) << BIT_OF[word]


_HELD: Final = {
    0x14: _all_bits("value", VIDEO_ALARMS),
    0x15: _any_bit("signal_lost"),
    0x16: _any_bit("signal_covered"),
    0x17: _any_bit("storage_fault"),
    0x18: _all_bits("behaviours", ABNORMAL_DRIVING, "behaviour_"),
}
_LAYOUTS: Final = {
    item_id: tuple(Layout.of(form if isinstance(form, Struct) else Struct("value" / form)) for form in ITEMS[item_id].forms)
    for item_id in (*_PLACED, *_HELD)
}


# T/JSATL 12: the driver's assistant, the camera on the driver, blind zones, tyres


def _by_type(item_id: int, prefix: str, types: Mapping[int, str], until: int = 256) -> Callable[[_Found], tuple[_Found, Column]]:
    """The type, if it is less than `until`, says which alarm it is; one that we do not know is an alarm all the same."""
    bits = np.array([0 if code >= until else 1 << BIT_OF[prefix + types.get(code, "other")] for code in range(256)])
    lengths = [form.sizeof() for form in ITEMS[item_id].forms]

    def read(found: _Found) -> tuple[_Found, Column]:
        said = found.of_length(*lengths)
        return said, bits[said.octet(TYPE_AT)]

    return read


def _tyres(found: _Found) -> tuple[_Found, Column]:
    """One row for each tyre; a periodic report raises nothing, an end that names no alarm ends all."""
    parts, words = [], []
    for count_at, width, word_at in _TYRE_FORMS:
        some = found.take(np.flatnonzero(found.values.length > count_at))
        count = some.octet(count_at).astype(np.int64)
        whole = np.flatnonzero(some.values.length == count_at + 1 + width * count)
        tyres, nth = expand(count[whole])
        said = some.take(whole).take(tyres)
        at = said.values.start + count_at + 1 + width * nth + word_at
        parts.append(said)
        words.append(said.values.buffer[at + 1] & np.int64(_ALL_TYRES))
    parent = np.concatenate([part.parent for part in parts])
    start, stop = (np.concatenate([getattr(part.values, end) for part in parts]) for end in ("start", "stop"))
    said, word = _Found(parent, Spans(found.values.buffer, start, stop)), np.concatenate(words)
    word[(word == 0) & (said.octet(FLAG_AT) == END)] = _ALL_TYRES
    return said, word >> 1 << BIT_OF["tyre_high_pressure"]


def _tyre_form(form: Any) -> tuple[int, int, int]:  # noqa: ANN401 - construct carries no types
    """Where the count of tyres stands, how wide each is, and where in it its alarms are."""
    *head, _count, tyres = form.subcons
    tyre = tyres.subcon.subcon
    return sum(part.sizeof() for part in head), tyre.sizeof(), tyre.subcons[0].sizeof()


_TYRE_FORMS: Final = tuple(map(_tyre_form, TYRES))
_ALL_TYRES: Final = (1 << len(TYRE_ALARMS)) - 2
"""All but bit 0, the periodic report."""
assert [BIT_OF[f"tyre_{word}"] for word in TYRE_ALARMS[1:]] == [BIT_OF["tyre_high_pressure"] + at for at in range(len(TYRE_ALARMS) - 1)]
_FLAGGED: Final = {
    0x64: _by_type(0x64, "adas_", ADAS_TYPES, EVENTS_FROM),
    0x65: _by_type(0x65, "dsm_", DSM_TYPES, EVENTS_FROM),
    0x66: _tyres,
    0x67: _by_type(0x67, "blind_zone_", BLIND_ZONES),
}
_ITEMS: Final = (*_PLACED, *_HELD, *_FLAGGED)
_TELLS: Final = np.isin(np.arange(256), _ITEMS)
