"""Fixes that came too late for the window, judged after all: what is told in the end is what one pass in the order of time tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fix_drives import NOON_US, Drive, Ledger, as_rows, batch, cut, restarted, stretch
from fix_worlds import ATLAS, BACK, DRIVING, OUT
from geofence.again import Account, difference
from geofence.check import begin, check
from geofence.quality import Quality
from geofence.state import State
from tracks.fix import ABSENT, FixBatch
from tracks.spans import Mask

TERMINALS = (1, 2, 3, 4)
HELD_BACK, SINCE = 210, 310
"""Fixes that come late, and how many later ones come before them."""


def long_drive(rng: np.random.Generator, terminal_id: int) -> list[dict[str, Any]]:
    """Two hours and more of driving along, beside and back, of standing and of silence."""
    drive = Drive(terminal_id=terminal_id, every_s=10.0, kmh=36.0, time_us=NOON_US + terminal_id * 3_000_000)
    while len(drive.rows) < 700:
        from_m, far_m = float(rng.uniform(0, 9_000)), float(rng.uniform(800, 4_000))
        road = OUT if rng.random() < 0.7 else BACK
        match int(rng.integers(0, 5)):
            case 0 | 1:
                drive.along(stretch(road, from_m, from_m + far_m), alarm_bits=int(rng.choice([0, 0, 2, 1 << 20])))
            case 2:
                drive.along(stretch(road, from_m, from_m + far_m, float(rng.choice([80, 120, 300]))))
            case 3 if drive.rows:
                drive.wait(float(rng.uniform(60, 600)))
            case _:
                drive.silence(float(rng.choice([60, 200, 900])))
    return drive.rows


def held_back(fixes: FixBatch, rng: np.random.Generator) -> FixBatch:
    """The fixes in the order of receipt, where a block of each terminal's comes only after many later ones."""
    received_us = fixes.received_us.copy()
    for terminal_id in TERMINALS:
        mine = np.flatnonzero(fixes.terminal_id == terminal_id)
        first = int(rng.integers(100, len(mine) - HELD_BACK - SINCE))
        received_us[mine[first : first + HELD_BACK]] = fixes.time_us[mine[first + HELD_BACK + SINCE]] + 2_000_000
    return replace(fixes, received_us=received_us).take(np.argsort(received_us, kind="stable"))


def live(arriving: FixBatch, ledger: Ledger, *, restart_every: int) -> tuple[Mask, State]:
    """Judge as the gateway does; gives which came too late, and a state that was kept on the way."""
    state, stale, kept = begin(ATLAS, [DRIVING]), [], begin(ATLAS, [DRIVING])
    for number, part in enumerate(cut(arriving, 60), 1):
        checked = check(part, ATLAS, state, [DRIVING])
        ledger.write(checked)
        state.adopt(checked.change)
        stale.append(checked.quality & Quality.STALE != 0)
        if restart_every and number % restart_every == 0:
            state = restarted(state, ATLAS, [DRIVING])
        if number == 6:
            kept = restarted(state, ATLAS, [DRIVING])
    return np.concatenate(stale), kept


def judge_again(ledger: Ledger, arrived: FixBatch, late: Mask, kept: State) -> Account:
    """What the gateway does with what came too late, from what it has kept."""
    without, within = Account(ATLAS, [DRIVING]), Account(ATLAS, [DRIVING])
    for account in (without, within):
        for packed in kept.pack(kept.terminals()):
            account.state.unpack(packed)
    for rows in np.array_split(np.argsort(arrived.time_us, kind="stable"), 9):
        without.judge(arrived.take(rows[~late[rows]]))
        within.judge(arrived.take(rows))
    found = difference(without.events(), within.events())
    ledger.withdrawn |= set(found.gone.tolist())
    for row in as_rows(found.told):
        ledger.rows[row["id"]] = row
        ledger.withdrawn.discard(row["id"])
    return within


def facts(ledger: Ledger) -> list[tuple[Any, ...]]:
    """What happened, however it came to be told."""
    told = "phase", "retrospective"
    lasting = "id", "kind", "terminal_id", "subject", "start_us", "opened_us", "lat", "lon", "digest", "same_as"
    return [
        tuple(value for name, value in row.items() if name in lasting or (row["end_us"] != ABSENT and name not in told))
        for row in ledger.incidents()
    ]


@pytest.mark.parametrize(("seed", "restart_every", "from_kept"), [(1, 0, False), (2, 7, False), (3, 0, True), (4, 7, True)])
def test_blocks_that_come_hours_late_give_what_one_pass_in_order_gives(seed: int, restart_every: int, *, from_kept: bool) -> None:
    rng = np.random.default_rng(seed)
    arriving = held_back(batch([row for each in TERMINALS for row in long_drive(rng, each)], rng, 5.0), rng)
    ledger, pure = Ledger(), Ledger()
    late, kept = live(arriving, ledger, restart_every=restart_every)
    alarmed = {row["id"] for row in ledger.incidents()}
    state = begin(ATLAS, [DRIVING])
    for part in cut(arriving.take(np.argsort(arriving.time_us, kind="stable")), 400):
        checked = check(part, ATLAS, state, [DRIVING])
        pure.write(checked)
        state.adopt(checked.change)

    assert late.sum() > len(TERMINALS) * 100
    assert facts(pure) != facts(ledger), "late fixes change nothing: the test shows nothing"
    within = judge_again(ledger, arriving, late, kept if from_kept else begin(ATLAS, [DRIVING]))
    assert facts(pure) == facts(ledger)
    assert all(row["retrospective"] for row in ledger.incidents() if row["id"] not in alarmed)
    again = difference(within.events(), within.events())
    assert (0, 0) == (len(again.told), len(again.gone))
