"""What the room promises whoever feeds it: only the fixes count, not how they came; state moves by `adopt` alone, and through bytes."""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fix_drives import NOON_US, Drive, Ledger, cut, grid, judged, line71, restarted, shuffled, stretch
from fix_plain import Plain
from fix_worlds import ATLAS, CORRIDORS, DRIVING, FENCES, OPEN_ATLAS, STOPS, world
from geofence.check import Atlas, begin, check
from geofence.corridors import Assignment, Corridor, CorridorIndex, Detour
from geofence.fences import Circle, Fence, FenceIndex, Line
from geofence.quality import Quality
from geofence.state import STRIDE
from tracks.event import EventBatch, Kind
from tracks.fix import ABSENT, FixBatch
from tracks.week import Window

SEEDS = (5, 7, 11)


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_find_what_the_plain_version_finds(seed: int) -> None:
    fixes = world(np.random.default_rng(seed))
    told = judged(cut(fixes, 50), OPEN_ATLAS).incidents()

    assert [_fact(row) for row in Plain(FENCES, CORRIDORS, STOPS).judge(fixes)] == [_fact(row) for row in told]


@pytest.mark.parametrize("seed", [5, 7, 12, 13, 14])
def test_corridors_for_everyone_are_as_good_as_the_same_for_each(seed: int) -> None:
    """Asked by place, or each fix with each corridor."""
    rng = np.random.default_rng(seed)
    corridors = [*CORRIDORS, *(_anywhere(rng, number) for number in range(3, 24))]
    valid_us = [(NOON_US + int(each), NOON_US + int(each) + 90_000_000_000) for each in rng.integers(-40_000, 70_000, 23) * 1_000_000]
    everyone = [Assignment(each.id, None, valid_us[each.id - 1]) for each in corridors]
    listed = [replace(each, parties=frozenset({("group", 1)})) for each in everyone]
    roster = {terminal_id: [("group", 1)] for terminal_id in range(1, 6)}
    by_place, by_name = (Atlas(corridors=CorridorIndex.of(corridors, plan, roster)) for plan in (everyone, listed))
    states, told = [], []
    for atlas in (by_place, by_name):
        state, ledger = begin(atlas), Ledger()
        for part in cut(world(np.random.default_rng(seed)), 60):
            checked = check(part, atlas, state)
            ledger.write(checked)
            state.adopt(checked.change)
        told.append(ledger.facts())
        states.append(state.pack(np.arange(1, 6)))

    assert told[0] == told[1]
    assert len(told[0]) > 0, "too little happens in this world"
    assert states[0] == states[1], "where everybody is taken to be, fix by fix"


def _anywhere(rng: np.random.Generator, number: int) -> Corridor:
    """A corridor around the way of line 71: parts of it, aside of it, with ends, hours and detours of all kinds."""
    from_m, aside_m, hour = rng.uniform(0, 15_000), rng.choice([0, 150, 600, 3000, 9000]), int(rng.integers(0, 24)) * 60
    points = stretch(line71(), from_m, from_m + rng.uniform(100, 4000), aside_m)
    around = Detour(Line(stretch(line71(), from_m, from_m + 900, aside_m + rng.choice([-200, 120, 300])), 90))
    windows = [Window(frozenset(range(7)), hour, (hour + 700) % 1440)] if rng.random() < 0.3 else []
    terminus_m, half_m = float(rng.choice([0, 50, 100, 400])), float(rng.choice([20, 50, 90]))
    return Corridor(
        number, points, half_width_m=half_m, terminus_m=terminus_m, directed=rng.random() < 0.5, detours=[around], windows=windows
    )


def _fact(row: dict[str, Any]) -> tuple[Any, ...]:
    lasting = Kind(row["kind"]).name, row["subject"], row["terminal_id"], row["start_us"], row["opened_us"], row["end_us"]
    lasting += int(row["ended"]), row["digest"], bool(row["retrospective"]), round(row["lat"], 9), round(row["lon"], 9)
    if row["end_us"] == ABSENT:
        return lasting  # of what lasts the events say how it was when last told
    return (*lasting, row["evidence"], int(row["level"]), row["last_us"], round(row["peak"], 3), round(row["total"], 2))


@pytest.mark.parametrize("seed", SEEDS)
def test_how_fixes_come_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fixes = world(rng)
    late = shuffled(fixes, rng)
    doubled = FixBatch.concat([late, late.take(np.sort(rng.integers(0, len(late), 20)))])
    together = judged([fixes], ATLAS, [DRIVING])

    assert len(together.incidents()) > 40, "too little happens in this world"
    assert together.facts() == judged(cut(fixes, 1), ATLAS, [DRIVING]).facts(), "one at a time"
    assert together.facts() == judged(cut(late, 11), ATLAS, [DRIVING]).facts(), "out of order"
    assert together.facts() == judged(cut(doubled, 30), ATLAS, [DRIVING], restart_every=2).facts(), "twice, out of order, restarting"


def test_the_number_of_workers_changes_nothing() -> None:
    fixes = world(np.random.default_rng(8))
    alone = judged(cut(fixes, 20), ATLAS, [DRIVING])
    workers = [judged(cut(fixes.take(fixes.terminal_id % 2 == odd), 20), ATLAS, [DRIVING]) for odd in (0, 1)]

    assert set(alone.facts()) == {fact for worker in workers for fact in worker.facts()}


def test_what_is_checked_again_because_the_commit_failed_is_the_same() -> None:
    fixes = world(np.random.default_rng(9))
    state, ledger = begin(ATLAS, [DRIVING]), Ledger()
    for part in cut(fixes, 60):
        first, again = check(part, ATLAS, state, [DRIVING]), check(part, ATLAS, state, [DRIVING])

        assert _same(first.events, again.events)
        ledger.write(again)
        state.adopt(again.change)
    assert ledger.facts() == judged([fixes], ATLAS, [DRIVING]).facts()


def _same(one: EventBatch, other: EventBatch) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name in {"lat", "lon"}) for name in EventBatch.columns())


def test_a_worker_that_died_with_an_old_state_finds_the_same_from_the_stored_track() -> None:
    """What was packed some time ago and the fixes since then, as the table has them, are as good as the state that was lost."""
    fixes = world(np.random.default_rng(10))
    half = cut(fixes, len(fixes) // 2)
    state, ledger = begin(ATLAS, [DRIVING]), Ledger()
    old = None
    for part in cut(half[0], 20):
        checked = check(part, ATLAS, state, [DRIVING])
        ledger.write(checked)
        state.adopt(checked.change)
        old = old or restarted(state, ATLAS, [DRIVING])
    assert old is not None
    for part in [half[0], *half[1:]]:
        checked = check(part, ATLAS, old, [DRIVING])
        ledger.write(checked)
        old.adopt(checked.change)

    assert ledger.facts() == judged([fixes], ATLAS, [DRIVING]).facts()


def test_a_vehicle_moves_to_another_worker_and_is_forgotten_by_the_first() -> None:
    fixes = world(np.random.default_rng(12))
    mover = int(fixes.terminal_id[0])
    ledger, first, second = Ledger(), begin(ATLAS, [DRIVING]), begin(ATLAS, [DRIVING])
    mine = np.flatnonzero(fixes.terminal_id == mover)
    moved = np.isin(np.arange(len(fixes)), mine[len(mine) // 2 :])
    for state, part in ((first, fixes.take(~moved)), (second, fixes.take(moved))):
        if state is second:
            second.unpack(*first.pack(np.array([mover])))
            first.forget([mover])
        checked = check(part, ATLAS, state, [DRIVING])
        ledger.write(checked)
        state.adopt(checked.change)

    assert [4, 1] == [len(first), len(second)]
    assert mover not in first.terminals()
    assert ledger.facts() == judged([fixes], ATLAS, [DRIVING]).facts()


def test_who_takes_the_place_of_a_forgotten_vehicle_inherits_nothing() -> None:
    fixes = world(np.random.default_rng(13))
    early = np.isin(fixes.terminal_id, [1, 2, 3])
    state, ledger = begin(ATLAS, [DRIVING]), Ledger()
    for part in cut(fixes.take(early), 30):
        state.adopt(check(part, ATLAS, state, [DRIVING]).change)
    state.forget([1, 3])
    for part in cut(fixes.take(~early), 30):
        checked = check(part, ATLAS, state, [DRIVING])
        ledger.write(checked)
        state.adopt(checked.change)

    assert [2, 4, 5] == state.terminals().tolist()
    assert state._free.size == 0
    assert ledger.facts() == judged([fixes.take(~early)], ATLAS, [DRIVING]).facts()


def test_a_state_packed_by_other_rules_is_refused() -> None:
    state = begin(OPEN_ATLAS)
    state.adopt(check(world(np.random.default_rng(1)), OPEN_ATLAS, state).change)

    with pytest.raises(ValueError, match="another version"):
        begin(ATLAS, [DRIVING]).unpack(*state.pack(np.array([1])))


def test_a_fix_older_than_the_window_is_given_back_as_stale_and_moves_nothing() -> None:
    drive = Drive().along(line71())
    long_ago, since = drive.fixes(), Drive(time_us=drive.time_us).along(line71(1)).fixes()
    state = begin(OPEN_ATLAS)
    for part in (long_ago, since):
        state.adopt(check(part, OPEN_ATLAS, state).change)
    before = state.pack(np.array([7]))
    odd = replace(long_ago.take(np.array([5, 20])), digest=np.array([1, 2]))
    checked = check(odd, OPEN_ATLAS, state)
    state.adopt(checked.change)

    assert [0, 1] == checked.stale.tolist()
    assert (checked.quality & Quality.STALE).all()
    assert 0 == len(checked.events)
    assert before == state.pack(np.array([7]))


def test_a_batch_of_nothing_and_fixes_of_nobody_are_no_trouble() -> None:
    fixes = Drive(terminal_id=ABSENT).along(line71()[:9]).fixes()
    state = begin(ATLAS, [DRIVING])
    for part in (fixes.take(np.empty(0, np.int64)), fixes):
        checked = check(part, ATLAS, state, [DRIVING])
        state.adopt(checked.change)

        assert (0, 0) == (len(checked.events), len(state))


def test_what_is_remembered_does_not_grow_with_time() -> None:
    square = grid((0, 0), (400, 0), (400, 400), (0, 400), (0, 0))
    fences = [Fence(number, Circle(*square[number % 4], 60.0 + number)) for number in range(1, 40)]
    atlas = Atlas(fences=FenceIndex.of(fences))
    drive = Drive(kmh=60)
    for _ in range(150):
        drive.along(square)
    state = begin(atlas)
    for part in cut(drive.fixes(), 3):
        state.adopt(check(part, atlas, state).change)

    assert len(drive.rows) > 1400
    assert state._pool.used < 8192
    assert len(state.pack(np.array([7]))[0]) < 100_000


def test_room_for_many_vehicles_is_taken_when_they_come() -> None:
    state, before = begin(OPEN_ATLAS), _resident_bytes()
    for part in cut(Drive().along(line71()).fixes(), 9):
        state.adopt(check(part, OPEN_ATLAS, state).change)

    assert len(state._window) <= state._count.max() + STRIDE, "it has written to every page of its slot"
    assert _resident_bytes() - before < state._window.nbytes / 4


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
