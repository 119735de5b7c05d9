"""What the features of a file say that nobody reads, as sentences for whoever imports them.

Files carry much that is other programs' own, so it refuses nothing. But a speed limit with a slip in its name is no limit, and nobody
would see that: what looks like one of our names is told by itself, with the name that may be meant and the features that have it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from geofence.corridors import Corridor, Detour
from geofence.fences import Fence
from geofence.geojson import features_of, named
from geofence.properties import ALLOWED, SHOWN_MAX
from geofence.stops import Stop
from tracks.words import alike, did_you_mean

FEATURES_MAX: Final = 3
NAMES_MAX: Final = 12
"""So many are named in a sentence, and the others counted."""
SPEED: Final = re.compile("kmh|kph|speed|限速", re.IGNORECASE)


def _names(thing: type[Fence | Corridor | Detour | Stop], *more: str) -> frozenset[str]:
    """What is read of it: fields that a property may give, and what stands for others."""
    return frozenset({each.name for each in fields(thing)} & ALLOWED.keys() | {*more})


VALIDITY: Final = ("valid_from", "valid_until")
READ: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("fences", "Point"): _names(Fence, "radius_m", *VALIDITY),
    ("fences", "LineString"): _names(Fence, "width_m", *VALIDITY),
    ("fences", "Polygon"): _names(Fence, *VALIDITY),
    ("fences", "MultiPolygon"): _names(Fence, *VALIDITY),
    ("corridors", "LineString"): _names(Corridor, *VALIDITY),
    ("detours", "LineString"): _names(Detour, "half_width_m", *VALIDITY),
    ("detours", "Polygon"): _names(Detour, *VALIDITY),
    ("stops", "Point"): _names(Stop, *VALIDITY),  # which no stop has: they are refused
}
"""Table, or what stands in it, and kind of geometry → names of properties that mean something there."""
ELSEWHERE: Final = frozenset({"id", "for", "parties"})
"""Read, or told to be left out, by whoever imports."""


UNREAD: Final = "is not read and has no effect 未识别的属性，未生效"


def unread(document: Mapping[str, Any], table: str) -> list[str]:
    """Sentences about the properties of a document that mean nothing in this table."""
    features, likely = defaultdict[str, list[str]](list), dict[str, Sequence[str]]()
    for label, names, strange in _strangers(document, table):
        for name in strange:
            features[name].append(label)
            likely.setdefault(name, _meant(name, names))
    said = [f"{_some(features[name])}: {_shown(name)} {UNREAD}{did_you_mean(meant)}" for name, meant in likely.items() if meant]
    if others := Counter({name: len(features[name]) for name, meant in likely.items() if not meant}):
        listed = [f"{_shown(name)} ({count})" for name, count in others.most_common(NAMES_MAX)]
        more = [f"{len(others) - NAMES_MAX} more names"] if len(others) > NAMES_MAX else []
        said.append(f"properties that mean nothing here are not read 未读取的属性: {', '.join(listed + more)}")
    return said


def _meant(name: str, names: Collection[str]) -> Sequence[str]:
    """Names that are like this one, or that say a speed as it does."""
    return alike(name, names) or [each for each in sorted(names) if each.endswith("_kmh") and SPEED.search(name)]


def _strangers(document: Mapping[str, Any], table: str) -> Iterator[tuple[str, Collection[str], list[str]]]:
    """Of each feature that says such things what it is called, what it might say, and what it does."""
    for number, feature in enumerate(features_of(document) or (), 1):
        if isinstance(feature, Mapping) and isinstance(feature.get("geometry"), Mapping):
            properties = feature.get("properties")
            properties = properties if isinstance(properties, Mapping) else {}
            place = "detours" if table == "corridors" and properties.get("detour_of") is not None else table
            names = READ.get((place, str(feature["geometry"].get("type"))))
            if names and (
                strange := [str(each) for each, value in properties.items() if value is not None and each not in names | ELSEWHERE]
            ):
                yield f"feature {number} {named(feature)}".strip(), names, strange


def _some(labels: Sequence[str]) -> str:
    more = [f"{len(labels) - FEATURES_MAX} more"] if len(labels) > FEATURES_MAX else []
    return ", ".join([*labels[:FEATURES_MAX], *more])


def _shown(name: str) -> str:
    plain = " ".join("".join(each if each.isprintable() else " " for each in name).split()) or repr(name)
    return plain if len(plain) <= SHOWN_MAX else plain[:SHOWN_MAX] + "…"
