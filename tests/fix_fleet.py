"""The fleet with which the whole tree is tried, and its ledger held against the table."""

from __future__ import annotations

from pathlib import Path

from firmware_sim.faults import Rates
from firmware_sim.fleet import Fleet, Plan
from firmware_sim.link import BackOff
from firmware_sim.manners import Manners
from fix_db import rows

TERMINALS, REPORTS = 20, 150
PLAN = Plan(
    terminals=TERMINALS,
    seed=20261125,
    reports_max=REPORTS,
    speed=0,
    manners=Manners(window=4, answer_timeout_s=1.0, repeats=2, heartbeat_s=5.0),
    back_off=BackOff(first_s=0.1, last_s=0.5),
)
FAULTS = Rates(cut=0.01, half_open=0.002, duplicate=0.05, spoiled=0.01)


def processes(needle: str, under: int) -> list[int]:
    """Processes below `under` whose command line holds `needle`."""
    found, todo = [], [under]
    while todo:
        pid = todo.pop()
        try:
            todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            if needle in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\x00", b" ").decode(errors="replace"):
                found.append(pid)
        except OSError:
            continue
    return found


def verify(fleet: Fleet, url: str) -> None:
    """Compare the terminals' ledger with the table."""
    stored = [bytes(raw) for (raw,) in rows(url, "SELECT raw FROM fixes")]
    answered = set().union(*(each.acknowledged for each in fleet.terminals))

    assert fleet.finished
    assert len(answered) >= 0.9 * fleet.plan.terminals * (fleet.plan.reports_max or 0), (
        "most of the reports were answered, or the test shows nothing"
    )
    assert answered <= set(stored)
    keys = rows(url, "SELECT count(*), count(DISTINCT (terminal_id, time, digest, raw)) FROM fixes")
    assert keys[0][0] == keys[0][1], "no report is stored twice"
