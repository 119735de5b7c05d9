"""Vehicles on roads, as fixes: a small generator for the rooms that judge tracks, and a ledger that keeps what they tell.

Roads are lists of (longitude, latitude). Everything random comes from the generator that is passed in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from geofence.check import Atlas, Checked, begin, check
from geofence.datum import distance_m, metres_per_degree
from geofence.state import State
from tracks.event import EventBatch, Kind, Phase
from tracks.fix import ABSENT, FixBatch
from tracks.spans import Spans
from tracks.track import Rule

TRACES = Path(__file__).parent / "traces"
NOON_US = 1_735_704_000_000_000
"""Wednesday, 1 January 2025, 12:00 in China."""

Road = list[tuple[float, float]]


def line71(direction: int = 0) -> Road:
    """Shanghai's line 71: 0 from the Bund to Shenkun Lu, 1 back."""
    features = json.loads((TRACES / "shanghai_71_line.geojson").read_text("utf-8"))["features"]
    return [(lon, lat) for lon, lat, *_ in features[direction]["geometry"]["coordinates"]]


def stops71(direction: int = 0) -> list[tuple[str, float, float]]:
    """Names and places of its stops (the geometry; see traces/README.md)."""
    features = json.loads((TRACES / "shanghai_71_stops.geojson").read_text("utf-8"))["features"]
    names = list(dict.fromkeys(each["properties"]["linename"] for each in features))
    mine = [each for each in features if each["properties"]["linename"] == names[direction]]
    return [(each["properties"]["stopname"], *each["geometry"]["coordinates"][:2]) for each in mine]


def chainage(road: Road) -> np.ndarray:
    at = np.array(road)
    return np.concatenate(([0.0], np.cumsum(distance_m(at[:-1, 0], at[:-1, 1], at[1:, 0], at[1:, 1]))))


def place(road: Road, at_m: Any, aside_m: Any = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Longitude, latitude and course at a chainage, so far to the right of the road."""
    along, at = chainage(road), np.array(road)
    at_m = np.clip(np.asarray(at_m, float), 0, along[-1])
    segment = np.clip(np.searchsorted(along, at_m, side="right") - 1, 0, len(road) - 2)
    part = (at_m - along[segment]) / np.maximum(along[segment + 1] - along[segment], 1e-9)
    lon, lat = (at[segment] + part[..., None] * (at[segment + 1] - at[segment])).T
    east, north = metres_per_degree(lat)
    course = np.arctan2((at[segment + 1, 0] - at[segment, 0]) * east, (at[segment + 1, 1] - at[segment, 1]) * north)
    return lon + np.cos(course) * aside_m / east, lat - np.sin(course) * aside_m / north, np.degrees(course) % 360


def stretch(road: Road, from_m: float, to_m: float, aside_m: float = 0.0) -> Road:
    """A piece of the road, at a distance to its right; backwards when `to_m` is less."""
    step = 20.0 if to_m >= from_m else -20.0
    lon, lat, _ = place(road, np.append(np.arange(from_m, to_m, step), to_m), aside_m)
    return list(zip(lon.tolist(), lat.tolist(), strict=True))


def sidestep(road: Road, at_m: float, from_m: float, to_m: float) -> Road:
    """Straight across the road at a chainage, from one distance to its right to another."""
    (x, y), (u, v) = ([float(value[0]) for value in place(road, [at_m], aside_m)[:2]] for aside_m in (from_m, to_m))
    return [(x, y), (u, v)]


def grid(*corners_m: tuple[float, float], lon: float = 110.0, lat: float = 30.0) -> Road:
    """A road through corners given in metres east and north of a place."""
    east, north = metres_per_degree(lat)
    return [(lon + x / east, lat + y / north) for x, y in corners_m]


@dataclass
class Drive:
    """A vehicle's fixes, one list per column; `to` drives on, `wait` stands."""

    terminal_id: int = 7
    every_s: float = 10.0
    kmh: float = 36.0
    time_us: int = NOON_US
    rows: list[dict[str, Any]] = field(default_factory=list)

    def along(self, road: Road, **others: Any) -> Drive:
        """Drive a road from its begin to its end, a fix every so often."""
        length, step = chainage(road)[-1], self.kmh / 3.6 * self.every_s
        lon, lat, course = place(road, np.arange(0.0, length, step))
        for x, y, heading in zip(lon, lat, course, strict=True):
            self._fix(x, y, self.kmh, heading, **others)
        return self

    def wait(self, seconds: float, **others: Any) -> Drive:
        """Stand where the last fix was."""
        last = self.rows[-1]
        for _ in range(round(seconds / self.every_s)):
            self._fix(last["lon"], last["lat"], 0.0, last["course_deg"], **others)
        return self

    def silence(self, seconds: float) -> Drive:
        """Send nothing."""
        self.time_us += int(seconds * 1e6)
        return self

    def _fix(self, lon: float, lat: float, kmh: float, course: float, **others: Any) -> None:
        row = {"terminal_id": self.terminal_id, "time_us": self.time_us, "lon": lon, "lat": lat, "speed_kmh": kmh, "course_deg": course}
        self.rows.append(row | others)
        self.time_us += int(self.every_s * 1e6)

    @property
    def now_s(self) -> float:
        """Seconds since noon at which the next fix will be."""
        return (self.time_us - NOON_US) / 1e6

    def fixes(self, rng: np.random.Generator | None = None, sigma_m: float = 0.0) -> FixBatch:
        return batch(self.rows, rng, sigma_m)


def batch(rows: Sequence[dict[str, Any]], rng: np.random.Generator | None = None, sigma_m: float = 0.0) -> FixBatch:
    """Fixes from what is said of them; received a second later, positioned, with ignition on, unless said otherwise."""
    count = len(rows)
    usual = {
        "frame": 0, "terminal_id": 7, "vehicle_id": 1, "dated": True, "altitude_m": 4.0, "speed_kmh": 0.0, "course_deg": 0.0,
        "valid": True, "alarm_bits": 0, "status_bits": 3, "mileage_km": np.nan, "satellites": 12, "signal": 20, "source": 0,
        "backfill": False, "quality": 0, "raised": 0, "cleared": 0, "place": 0,
    }  # fmt: skip
    columns: dict[str, Any] = {}
    for name, about in FixBatch.columns().items():
        if name in {"raw", "digest", "received_us"}:
            continue
        columns[name] = np.array([row.get(name, usual.get(name)) for row in rows], about.dtype)
    columns["received_us"] = np.array([row.get("received_us", row["time_us"] + 1_000_000) for row in rows], np.int64)
    if rng is not None and sigma_m:
        east, north = metres_per_degree(columns["lat"])
        columns["lon"] = columns["lon"] + rng.normal(0, sigma_m, count) / east
        columns["lat"] = columns["lat"] + rng.normal(0, sigma_m, count) / north
    digest = (columns["lon"] * 1e7).astype(np.int64) * 31 + np.nan_to_num(columns["lat"] * 1e7).astype(np.int64) + columns["alarm_bits"]
    return FixBatch(**columns, digest=digest, raw=Spans.of([b""] * count))


@dataclass
class Ledger:
    """The table of events as a database would have it."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    withdrawn: set[int] = field(default_factory=set)
    words: list[str] = field(default_factory=list)
    openings: list[tuple[int, bool]] = field(default_factory=list)
    """Incident and whether it was retrospective, for each time one was told as opened."""

    def write(self, checked: Checked) -> None:
        told = set(checked.events.id.tolist())
        for terminal_id, since_us in zip(checked.rewound.terminal_id.tolist(), checked.rewound.since_us.tolist(), strict=True):
            self.withdrawn |= {
                key
                for key, row in self.rows.items()
                if row["terminal_id"] == terminal_id and row["opened_us"] > since_us and key not in told
            }
        self.words += checked.events.words()
        for row in as_rows(checked.events):
            if row["phase"] == Phase.OPENED:
                self.openings.append((row["id"], row["retrospective"]))
            self.rows[row["id"]] = row
            self.withdrawn.discard(row["id"])

    def incidents(self, *kinds: Kind) -> list[dict[str, Any]]:
        """What happened, in the order of begin."""
        kept = [row for key, row in self.rows.items() if key not in self.withdrawn and (not kinds or row["kind"] in kinds)]
        return sorted(kept, key=lambda row: (row["start_us"], row["kind"], row["subject"], row["terminal_id"]))

    def facts(self) -> list[tuple[Any, ...]]:
        """Everything told of closed incidents, and of open ones what will not change."""
        lasting = ("id", "kind", "terminal_id", "subject", "start_us", "opened_us", "lat", "lon", "digest", "retrospective", "same_as")
        return [
            tuple(value for name, value in row.items() if name in lasting or (row["end_us"] != ABSENT and name != "phase"))
            for row in self.incidents()
        ]


def as_rows(events: EventBatch) -> list[dict[str, Any]]:
    columns = {name: getattr(events, name).tolist() for name in EventBatch.columns()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def judged(parts: Iterable[FixBatch], atlas: Atlas, also: Sequence[Rule] = (), *, restart_every: int = 0) -> Ledger:
    """The ledger after the batches; with `restart_every`, the state goes through bytes after so many of them."""
    state, ledger = begin(atlas, also), Ledger()
    for number, part in enumerate(parts, 1):
        checked = check(part, atlas, state, also)
        ledger.write(checked)
        state.adopt(checked.change)
        if restart_every and number % restart_every == 0:
            state = restarted(state, atlas, also)
    return ledger


def restarted(state: State, atlas: Atlas, also: Sequence[Rule] = ()) -> State:
    """The state that a new process has, after it unpacked what the old one packed."""
    after = begin(atlas, also)
    for packed in state.pack(state.terminals()):
        after.unpack(packed)
    return after


def story(ledger: Ledger, *kinds: Kind) -> list[tuple[Kind, float, float]]:
    """Kind, start and end of each incident, in seconds since noon; an incident that lasts ends at infinity."""
    return [
        (Kind(row["kind"]), (row["start_us"] - NOON_US) / 1e6, (row["end_us"] - NOON_US) / 1e6 if row["end_us"] != ABSENT else np.inf)
        for row in ledger.incidents(*kinds)
    ]


def cut(fixes: FixBatch, size: int) -> list[FixBatch]:
    """The fixes in batches of a size."""
    return [fixes.take(np.arange(first, min(first + size, len(fixes)))) for first in range(0, len(fixes), size)]


def shuffled(fixes: FixBatch, rng: np.random.Generator, late_s: float = 110.0) -> FixBatch:
    """The fixes in an order in which each may come up to that much later than those around it."""
    return fixes.take(np.argsort(fixes.received_us + rng.integers(0, int(late_s * 1e6), len(fixes)), kind="stable"))
