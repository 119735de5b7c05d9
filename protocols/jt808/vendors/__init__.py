"""What makers put into additional items that no standard defines, or defines otherwise: one table per profile.

Ids collide between makers, so a profile that names models is asked for these models only; `TRACKERS` is for everybody else's items, which
tell themselves apart by length and content. A meaning found here is a good guess and never replaces the bytes: both are told.
Adding a maker is adding a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from protocols.jt808.messages.items import Item
from protocols.jt808.vendors.models import AOVX, AOVX_MODELS, JIMI, JIMI_MODELS, STEP_COUNTER_MODELS, STEP_COUNTERS
from protocols.jt808.vendors.trackers import TRACKERS


@dataclass(frozen=True, slots=True)
class Profile:
    """A maker's items; `models` are those of 0x0100 and 0x0107 that it is for, none for any."""

    name: str
    items: Mapping[int, Item]
    models: frozenset[str] = frozenset()


PROFILES: Final = (
    Profile("aovx", AOVX, AOVX_MODELS),
    Profile("jimi", JIMI, JIMI_MODELS),
    Profile("step_counters", STEP_COUNTERS, STEP_COUNTER_MODELS),
    Profile("trackers", TRACKERS),
)
"""In the order in which they are asked."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a profile makes of an item."""

    profile: str
    name: str
    value: Any
    """Of any kind, as the item has it."""


def meaning(item_id: int, value: bytes, model: str = "") -> Meaning | None:
    """What an item of a terminal of this model means, as far as a profile knows; None when none does."""
    for profile in PROFILES:
        item = profile.items.get(item_id)
        if item and value and (not profile.models or model in profile.models):
            read = item.parse(value)
            if read is not None:
                return Meaning(profile.name, item.name, read)
    return None
