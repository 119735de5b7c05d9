"""Running while not compliant: how far and how long, when it is over, and of whom nothing is said."""

from __future__ import annotations

import numpy as np
import pytest

from compliance.running import Running
from compliance.vehicles import NEEDS, Standings
from fix_drives import NOON_US, Drive, Ledger, cut, grid, judged, restarted, shuffled, story
from geofence.check import Atlas, begin, check
from tracks.event import Ended, Kind, Level
from tracks.fix import ABSENT
from tracks.paper import ALWAYS_S, NEVER_S, Paper, PaperBatch
from tracks.week import calendar, windows_of

NOON_S = NOON_US // 1_000_000


def standings(reviewed_until_s: int = NEVER_S, reviewed_from_s: int = ALWAYS_S) -> Standings:
    """Vehicle 1 has all its papers; its annual review holds from and until then."""
    rows = [(kind, ALWAYS_S, NEVER_S) for kind in NEEDS if kind != Paper.REVIEW] + [(Paper.REVIEW, reviewed_from_s, reviewed_until_s)]
    kind, start, stop = zip(*rows, strict=True)
    return Standings.of(PaperBatch(np.ones(len(rows), np.int64), np.array(kind, np.uint8), np.array(start), np.array(stop)))


EXPIRED = standings(NOON_S - 86_400)
ALWAYS = calendar([])


def told(made: Drive, papers: Standings = EXPIRED, service: str = "") -> Ledger:
    return judged([made.fixes()], Atlas(), [Running(papers, calendar(windows_of(service)))])


def test_more_than_500_m_are_running_from_the_first_metre() -> None:
    ledger = told(Drive().along(grid((0, 0), (3000, 0))))
    (row,) = ledger.incidents(Kind.NON_COMPLIANT_RUNNING)

    assert [(Kind.NON_COMPLIANT_RUNNING, 0, np.inf)] == story(ledger)
    assert (Level.MAJOR, 36.0) == (row["level"], row["peak"])
    assert NOON_US + 60_000_000 == row["opened_us"], "more than 500 m, at 100 m a fix"
    assert ["non_compliant_running"] == ledger.words


def test_less_than_500_m_and_five_minutes_are_nothing_and_creeping_for_five_minutes_is() -> None:
    assert [] == story(told(Drive().along(grid((0, 0), (400, 0))).wait(900)))
    assert [] == story(told(Drive(kmh=5.4).along(grid((0, 0), (400, 0))).wait(900)))
    assert 1 == len(story(told(Drive(kmh=5.4).along(grid((0, 0), (480, 0))).wait(900))))


def test_who_is_compliant_may_run_and_so_may_a_terminal_that_is_bound_to_no_vehicle() -> None:
    assert [] == story(told(Drive().along(grid((0, 0), (3000, 0))), standings()))
    assert [] == story(told(Drive().along(grid((0, 0), (3000, 0)), vehicle_id=ABSENT)))


def test_the_verdict_is_that_of_the_time_of_the_fix() -> None:
    made = Drive().along(grid((0, 0), (6000, 0)))

    assert [(Kind.NON_COMPLIANT_RUNNING, 300, np.inf)] == story(told(made, standings(NOON_S + 300)))
    assert [(Kind.NON_COMPLIANT_RUNNING, 0, 300)] == story(told(made, standings(reviewed_from_s=NOON_S + 300)))


def test_a_stop_on_the_way_is_no_end_and_ten_minutes_of_rest_are() -> None:
    def rested(seconds: float) -> Drive:
        return Drive().along(grid((0, 0), (3000, 0))).wait(seconds).along(grid((3000, 0), (6000, 0)))

    assert [(Kind.NON_COMPLIANT_RUNNING, 0, np.inf)] == story(told(rested(500)))
    first, second = story(told(rested(900)))
    assert (0, 290) == first[1:]
    assert second[1] == pytest.approx(1200, abs=10)


def test_a_night_of_silence_in_one_place_ends_a_journey() -> None:
    made = Drive().along(grid((0, 0), (3000, 0))).silence(30_000).along(grid((3000, 0), (6000, 0)))
    ledger = told(made)

    assert [(0, 290), (pytest.approx(30_300, abs=15), np.inf)] == [(start, end) for _, start, end in story(ledger)]
    assert Ended.RETURNED == ledger.incidents()[0]["ended"]


def test_out_of_service_hours_nobody_runs() -> None:
    made = Drive().along(grid((0, 0), (3000, 0)))

    assert [] == story(told(made, service="05:30-11:00"))
    assert 1 == len(story(told(made, service="mon-fri 11:00-13:00")))
    assert [] == story(told(made, service="sat-sun 11:00-13:00"))


@pytest.mark.parametrize("seed", [3, 4])
def test_how_fixes_come_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = Drive()
    for leg in range(4):
        made.along(grid((2000 * leg, 0), (2000 * leg + 1900, 0))).wait(float(rng.integers(60, 1200)))
    fixes, rules = made.fixes(), [Running(standings(NOON_S + 250), ALWAYS)]
    together = judged([fixes], Atlas(), rules)
    state, ledger = begin(Atlas(), rules), Ledger()
    for part in cut(shuffled(fixes, rng), 3):
        checked = check(part, Atlas(), state, rules)
        ledger.write(checked)
        state.adopt(checked.change)
        state = restarted(state, Atlas(), rules)

    assert together.facts() == judged(cut(fixes, 1), Atlas(), rules).facts() == ledger.facts()
    assert together.incidents()
