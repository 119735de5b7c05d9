"""The machine by itself: signals in, incidents out, by the two tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fix_drives import NOON_US, as_rows, batch
from geofence.evidence import EVIDENCE, NEXT, Evidence, Gap, State, thresholds
from geofence.incidents import Incidents, advance
from geofence.quality import GATE, faults, samples, sift
from tracks.event import KINDS, Ended, EventBatch, Kind, Level, Phase, Signals, Value, event_ids, together

G, N, B, H, E = Value.GOOD, Value.NEUTRAL, Value.BAD, Value.HOLD, Value.END


def tell(
    kind: Kind, values: list[Value], enough: Evidence, every_s: float = 10.0, gaps: tuple[int, ...] = (), **columns: Any
) -> list[dict[str, Any]]:
    """What the machine tells of one subject when each fix says one of `values`; a gap of 200 s before the fixes in `gaps`."""
    kmh = columns.pop("kmh", 20.0)
    times = NOON_US + np.cumsum([200_000_000 if row in gaps else int(every_s * 1e6) for row in range(len(values))])
    fixes = batch([{"time_us": time, "lon": 110.0, "lat": 30.0, "speed_kmh": kmh} for time in times.tolist()])
    track = sift(samples(fixes, np.arange(len(fixes)), faults(fixes)), np.zeros(len(fixes), np.int64), np.array([7]), np.zeros(1, GATE))
    signals = Signals.of(np.arange(len(values)), kind, 1, np.array(values), **columns)
    events, _ = advance(track, signals, Incidents.none(), thresholds({**EVIDENCE, kind: enough}), 3)
    return as_rows(events)


def shape(events: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    """Phase, start and end of each event, in tens of seconds after noon."""
    return [
        (
            Phase(row["phase"]).name.lower(),
            (row["start_us"] - NOON_US) / 1e7,
            (row["end_us"] - NOON_US) / 1e7 if row["end_us"] > 0 else np.inf,
        )
        for row in events
    ]


THREE = Evidence(fixes=3, seconds=20, close_fixes=2)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([B, B], []),
        ([B, B, G, B, B, G], []),
        ([B, B, B], [("opened", 1, np.inf)]),
        ([B, N, N, B, N, B], [("opened", 1, np.inf)]),
        ([B, B, B, G, B, G], [("opened", 1, np.inf)]),
        ([B, B, B, G, G], [("opened", 1, np.inf), ("closed", 1, 4)]),
        ([B, B, B, G, N, G], [("opened", 1, np.inf), ("closed", 1, 4)]),
        ([B, B, B, E], [("opened", 1, np.inf), ("closed", 1, 4)]),
        ([B, B, B, G, E], [("opened", 1, np.inf), ("closed", 1, 4)]),
        ([B, B, B, G, G, B, B, B], [("opened", 1, np.inf), ("closed", 1, 4), ("opened", 6, np.inf)]),
        ([H, H, H, H], []),
        ([B, H, H, G, G], [("opened", 1, np.inf), ("closed", 1, 4)]),
        ([G, N, E], []),
    ],
)
def test_it_opens_on_enough_and_closes_on_enough(values: list[Value], told: list[Any]) -> None:
    assert told == shape(tell(Kind.DEVIATION, values, THREE))


def test_time_counts_beside_fixes_and_so_does_the_way() -> None:
    assert [] == tell(Kind.DEVIATION, [B] * 4, Evidence(3, 60))
    assert [("opened", 1, np.inf)] == shape(tell(Kind.DEVIATION, [B] * 7, Evidence(3, 60)))
    assert [("opened", 1, np.inf)] == shape(tell(Kind.DEVIATION, [B] * 2, Evidence(3, 60, or_fixes=2, or_total=300), amount=200.0))
    assert [] == tell(Kind.DEVIATION, [B], Evidence(3, 60, or_fixes=2, or_total=300), amount=900.0)


@pytest.mark.parametrize(
    ("gap", "told"),
    [
        (Gap.CLOSE, [("opened", 1, np.inf), ("closed", 1, 3)]),
        (Gap.KEEP, [("opened", 1, np.inf)]),
        (Gap.BRIDGE, [("opened", 1, np.inf), ("closed", 1, 23)]),
    ],
)
def test_a_gap_closes_keeps_or_is_bridged(gap: Gap, told: list[Any]) -> None:
    events = tell(Kind.DEVIATION, [B, B, B, G, G], Evidence(3, 20, gap=gap), gaps=(3,))

    assert told[:1] == shape(events)[:1]
    assert {Gap.CLOSE: Ended.GAP, Gap.KEEP: Ended.RETURNED, Gap.BRIDGE: Ended.RETURNED}[gap] == events[-1]["ended"]


def test_doubts_do_not_outlive_a_gap_unless_the_vehicle_stands_where_it_stood() -> None:
    assert [] == tell(Kind.DEVIATION, [B, B, B, B], Evidence(3, 20), gaps=(2,))
    assert [("opened", 1, np.inf)] == shape(tell(Kind.OUTSIDE, [B, B, B, B], Evidence(3, 20), gaps=(2,), kmh=0))
    assert [] == tell(Kind.DEVIATION, [B, B, B, B], Evidence(3, 20, gap=Gap.CLOSE), gaps=(2,), kmh=0)


def test_a_doubt_voids_what_is_not_yet_enough_and_has_not_been_shown_for_so_long() -> None:
    assert [] == tell(Kind.INSIDE, [B, N, B, N, B], Evidence(2, 0, doubt_s=0))
    assert [("opened", 5, np.inf)] == shape(tell(Kind.INSIDE, [B, N, N, N, B, B], Evidence(2, 0, doubt_s=20)))
    assert [("opened", 1, np.inf)] == shape(tell(Kind.INSIDE, [B, N, N, B], Evidence(2, 0, doubt_s=20)))


def test_what_is_told_last_is_the_worst_and_the_sum() -> None:
    measure = np.array([10.0, 70.0, 30.0, 0.0, 0.0])
    level = np.array([Level.NOTICE, Level.MAJOR, Level.NOTICE, 0, 0])
    closed = tell(Kind.DEVIATION, [B, B, B, G, G], THREE, measure=measure, amount=np.array([5.0, 5.0, 5.0, 0, 0]), level=level)[-1]

    assert (70.0, 15.0, 3, Level.MAJOR, 3) == (closed["peak"], closed["total"], closed["evidence"], closed["level"], closed["version"])


def test_it_is_told_again_when_it_gets_worse_and_when_time_is_due() -> None:
    rule = Evidence(2, 0, update_s=60)
    worse = tell(Kind.DEVIATION, [B] * 5, rule, level=np.array([1, 1, 1, 2, 2]))

    assert ["opened", "updated"] == [phase for phase, _, _ in shape(worse)]
    assert ["opened", "updated", "updated"] == [phase for phase, _, _ in shape(tell(Kind.DEVIATION, [B] * 15, rule))]


def test_terminal_and_platform_finding_the_same_are_one_incident() -> None:
    rows = [{"time_us": NOON_US + 10_000_000 * row, "lon": 110.0, "lat": 30.0} for row in range(12)]
    fixes = batch(rows)
    track = sift(samples(fixes, np.arange(12), faults(fixes)), np.zeros(12, np.int64), np.array([7]), np.zeros(1, GATE))
    every = np.arange(12)
    platform = Signals.of(every, Kind.DEVIATION, 4, np.array([B] * 8 + [G] * 4))
    terminal = Signals.of(every, Kind.TERMINAL_ALARM, 23, np.array([G, B, B, B] + [G] * 8))
    other = Signals.of(every, Kind.TERMINAL_ALARM, 5, np.array([G, B, B, B] + [G] * 8))
    events, _ = advance(track, together((platform, terminal, other)), Incidents.none(), thresholds(), 0)
    last = {(row["kind"], row["subject"]): row for row in as_rows(events)}

    assert last[Kind.DEVIATION, 4]["same_as"] == last[Kind.TERMINAL_ALARM, 23]["id"]
    assert -1 == last[Kind.TERMINAL_ALARM, 23]["same_as"]
    assert -1 == last[Kind.TERMINAL_ALARM, 5]["same_as"]


def test_ids_are_the_same_for_ever() -> None:
    several = {
        int(event_ids(np.array([terminal]), kind, np.array([subject]), np.array([start]))[0])
        for terminal in (1, 2)
        for kind in (Kind.INSIDE, Kind.OUTSIDE)
        for subject in (0, 1)
        for start in (NOON_US, NOON_US + 1)
    }

    assert 5379683459499307886 == int(event_ids(np.array([7]), Kind.DEVIATION, np.array([12]), np.array([NOON_US]))[0]), "they are stored"
    assert 16 == len(several)
    assert min(several) > 0


def test_the_tables_cover_every_kind_and_every_signal() -> None:
    assert set(Kind) == set(EVIDENCE) == set(KINDS)
    assert (len(State), len({*Value} - {Value.MOMENT, Value.PASSED})) == NEXT.shape, "the machine sees neither of these two"
    assert all(rule.fixes >= 1 and rule.or_fixes >= 1 and rule.close_fixes >= 1 for rule in EVIDENCE.values())


def test_the_rows_to_store_are_the_last_of_each_incident() -> None:
    events = tell(Kind.DEVIATION, [B, B, B, G, G, B, B, B], THREE)
    columns = {name: np.array([row[name] for row in events], about.dtype) for name, about in EventBatch.columns().items()}

    assert [1, 2] == EventBatch(**columns).latest().tolist()
