"""Who may run at a moment: the plain verdict, and the columns that must say the same of every vehicle at every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.vehicles import ALL, BARS, NEEDS, NOTHING, SENTENCES, Policy, Reason, Standings, changed, compliant, verdict_at
from tracks.fix import ABSENT
from tracks.paper import ALWAYS_S, NEVER_S, Paper, PaperBatch

DAY = 86_400
NOON = 1_780_000_000
PLAIN = Policy()


def papers(rows: Sequence[tuple[int, int, int, int]]) -> PaperBatch:
    """Rows of vehicle, paper, from, until."""
    columns = list(zip(*rows, strict=True)) or [()] * 4
    return PaperBatch(*(np.array(each, kind) for each, kind in zip(columns, ("i8", "u1", "i8", "i8"), strict=True)))


def complete(vehicle: int = 1, **others: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Every needed paper of a vehicle, without end; others by their name."""
    spans = dict.fromkeys(NEEDS, (ALWAYS_S, NEVER_S)) | {Paper[name.upper()]: span for name, span in others.items()}
    return [(vehicle, kind, *span) for kind, span in spans.items()]


def reasons(rows: Sequence[tuple[int, int, int, int]], at: int, vehicle: int = 1, policy: Policy = PLAIN) -> Reason:
    standings = Standings.of(papers(rows), policy)
    return Reason(int(compliant(standings, np.array([vehicle]), np.array([at * 1_000_000]))[0]))


def test_a_vehicle_with_all_its_papers_is_compliant() -> None:
    assert reasons(complete(), NOON) == Reason(0)


@pytest.mark.parametrize("kind", NEEDS)
def test_a_paper_counts_from_its_first_second_until_before_its_last(kind: Paper) -> None:
    rows = [(1, kind, NOON, NOON + DAY)]
    need = NEEDS[kind]
    found = [reasons(rows, at, policy=Policy(need.missing | need.lapsed)) for at in (NOON - 1, NOON, NOON + DAY - 1, NOON + DAY)]
    assert found == [need.missing, 0, 0, need.lapsed]


@pytest.mark.parametrize(("kind", "reason"), BARS.items())
def test_what_bars_a_vehicle_does_so_while_it_holds(kind: Paper, reason: Reason) -> None:
    rows = [*complete(), (1, kind, NOON, NOON + DAY)]
    assert [reasons(rows, at) for at in (NOON - 1, NOON, NOON + DAY)] == [0, reason, 0]


def test_an_unknown_vehicle_lacks_everything() -> None:
    for vehicle in (0, 2, 7, ABSENT):
        assert reasons(complete(), NOON, vehicle) == NOTHING & ALL
    assert reasons([], NOON) == NOTHING & ALL
    assert Reason.NOT_VETTED & NOTHING


def test_a_fraction_of_a_second_belongs_to_its_second() -> None:
    standings = Standings.of(papers(complete(review=(NOON, NOON + 1))))
    at_us = np.array([NOON * 1_000_000 - 1, NOON * 1_000_000, NOON * 1_000_000 + 999_999, (NOON + 1) * 1_000_000])

    assert compliant(standings, np.ones(4, np.int64), at_us).tolist() == [
        Reason.ANNUAL_REVIEW_MISSING, 0, 0, Reason.ANNUAL_REVIEW_OVERDUE
    ]  # fmt: skip


def test_grace_is_given_to_the_reason_it_is_given_to() -> None:
    rows = complete(review=(0, NOON), certificate=(0, NOON))
    policy = Policy(grace_days={Reason.ANNUAL_REVIEW_OVERDUE: 15})
    assert reasons(rows, NOON, policy=policy) == Reason.ROAD_CERT_EXPIRED
    assert reasons(rows, NOON + 15 * DAY - 1, policy=policy) == Reason.ROAD_CERT_EXPIRED
    assert reasons(rows, NOON + 15 * DAY, policy=policy) == Reason.ROAD_CERT_EXPIRED | Reason.ANNUAL_REVIEW_OVERDUE


def test_what_is_not_required_is_no_reason() -> None:
    assert reasons([], NOON, policy=Policy(Reason.SUSPENDED)) == 0
    assert not reasons(complete(crew=(0, NOON)), NOON) & Reason.DRIVER_UNQUALIFIED
    assert reasons(complete(crew=(0, NOON)), NOON, policy=Policy(Reason.DRIVER_UNQUALIFIED)) == Reason.DRIVER_UNQUALIFIED


def test_settings_write_a_policy() -> None:
    assert Policy.of("all", "") == Policy(ALL, {})
    assert Policy.of("all, -permit_missing driver_unqualified", "annual_review_overdue=15,road_cert_expired=3") == Policy(
        (ALL | Reason.DRIVER_UNQUALIFIED) & ~Reason.PERMIT_MISSING, {Reason.ANNUAL_REVIEW_OVERDUE: 15, Reason.ROAD_CERT_EXPIRED: 3}
    )


@pytest.mark.parametrize(
    ("requires", "grace"),
    [("everything", ""), ("all", "annual_review_overdue"), ("all", "suspended=3"), ("all", "road_cert_expired=-1"), ("all", "=1")],
)
def test_what_writes_no_policy_is_refused(requires: str, grace: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        Policy.of(requires, grace)


def test_the_verdict_says_since_when() -> None:
    rows = [*complete(review=(0, NOON), permit=(5, 5)), (1, Paper.SUSPENSION, NOON - DAY, NEVER_S)]
    verdict = verdict_at(papers(rows), NOON + DAY)

    assert verdict.since_s == {
        Reason.ANNUAL_REVIEW_OVERDUE: NOON, Reason.PERMIT_MISSING: None, Reason.SUSPENDED: NOON - DAY
    }  # fmt: skip


def test_history_tells_every_change_once() -> None:
    rows = [*complete(review=(0, NOON)), (1, Paper.REVIEW, NOON, NOON + DAY), (1, Paper.REVIEW, NOON + 2 * DAY, NEVER_S)]
    standings = Standings.of(papers(rows))

    assert standings.history(1) == [(ALWAYS_S, 0), (NOON + DAY, Reason.ANNUAL_REVIEW_OVERDUE), (NOON + 2 * DAY, 0)]
    assert standings.history(2) == [(ALWAYS_S, NOTHING & ALL)]


def test_every_reason_has_its_sentence_in_both_languages_and_a_rule() -> None:
    assert set(SENTENCES) == set(Reason)
    ruled = {reason for need in NEEDS.values() for reason in need} | set(BARS.values())
    assert set(Reason) - ruled == {Reason.TERMINAL_OFFLINE_24H, Reason.OVER_CAPACITY}
    assert set(NEEDS) | set(BARS) == set(Paper)


SECONDS = st.integers(0, 12).map(lambda step: NOON + step) | st.sampled_from([ALWAYS_S, NEVER_S])
"""Few seconds, so that intervals touch, overlap, repeat and end before they begin."""
PAPERS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(Paper).map(int), SECONDS, SECONDS), max_size=60)
POLICIES = st.builds(
    Policy,
    st.sampled_from([ALL, ~Reason(0), ALL & ~Reason.PERMIT_MISSING, Reason.SUSPENDED | Reason.ROAD_CERT_EXPIRED]),
    st.dictionaries(st.sampled_from([need.lapsed for need in NEEDS.values()]), st.integers(0, 2), max_size=3),
)


@given(rows=PAPERS, policy=POLICIES)
def test_the_columns_say_what_the_plain_verdict_says(rows: list[Any], policy: Policy) -> None:
    batch = papers(rows)
    standings = Standings.of(batch, policy)
    times = [ALWAYS_S, *(NOON + day * DAY + step for day in range(4) for step in range(-1, 14)), NEVER_S - 1]
    vehicle, second = (each.ravel() for each in np.meshgrid(np.arange(6), times))
    expected = [int(verdict_at(batch.take(batch.vehicle_id == each), at, policy).reasons) for each, at in zip(vehicle, second, strict=True)]

    assert compliant(standings, vehicle, second * 1_000_000).tolist() == expected
    assert np.all(np.diff(standings.key[1:]) > 0)


@given(rows=PAPERS)
def test_the_order_of_papers_does_not_matter(rows: list[Any]) -> None:
    one, other = Standings.of(papers(rows)), Standings.of(papers(rows[::-1]))
    assert one.key.tolist() == other.key.tolist()
    assert one.reasons.tolist() == other.reasons.tolist()


def test_vehicles_whose_papers_have_changed_are_found_and_no_others() -> None:
    before = Standings.of(papers([*complete(1), *complete(2), *complete(3)]), PLAIN)
    after = Standings.of(papers([*complete(1), *complete(2, review=(ALWAYS_S, NOON)), *complete(4)]), PLAIN)

    assert [2, 3, 4] == changed(before, after).tolist()
    assert [] == changed(before, before).tolist()
