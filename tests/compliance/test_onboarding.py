"""Who may take which step of onboarding: every state with every action, and what the checks find."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from compliance.onboarding import (
    REASONED,
    SAID,
    SECOND_EYES,
    TRANSITIONS,
    Action,
    Application,
    Refused,
    State,
    Step,
    in_force,
    problems,
    step,
)
from compliance.vehicles import Reason

LEADS = {
    "draft": {"submit": "submitted", "retire": "retired"},
    "submitted": {"pass": "review", "fail": "returned", "retire": "retired"},
    "review": {"approve": "approved", "return": "returned", "retire": "retired"},
    "returned": {"submit": "submitted", "retire": "retired"},
    "approved": {"activate": "active", "suspend": "suspended", "retire": "retired"},
    "active": {"suspend": "suspended", "retire": "retired"},
    "suspended": {"resume": "active", "retire": "retired"},
    "retired": {"submit": "submitted"},
}
NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
GOOD = Application("川A12345", 2, "LZYTBTE61G1000001", "", Reason(0), NOW - timedelta(hours=1), ("川A12345", 2))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_every_state_takes_the_actions_it_takes_and_no_other(state: State, action: Action) -> None:
    to = LEADS[state].get(action)
    if to is None:
        with pytest.raises(Refused, match=f"{action} is not for a vehicle that is {SAID[state]} "):
            step(state, action, by="王五", reason="why")
    else:
        assert step(state, action, by="王五", reason="why", submitter="张三") == Step(action, State(to), "王五", "why")


def test_no_way_into_service_goes_round_the_second_pair_of_eyes() -> None:
    """Without approval nothing that starts as a draft is ever approved, active or suspended."""
    reached, grown = {State.DRAFT}, True
    while grown:
        further = {to for (state, action), to in TRANSITIONS.items() if state in reached and action not in SECOND_EYES}
        grown, reached = not further <= reached, reached | further
    assert reached == {State.DRAFT, State.SUBMITTED, State.REVIEW, State.RETURNED, State.RETIRED}


@pytest.mark.parametrize("action", sorted(SECOND_EYES))
@pytest.mark.parametrize("name", ["Zhang San", " zhang  SAN "])
def test_who_submitted_a_vehicle_does_not_review_it(action: Action, name: str) -> None:
    with pytest.raises(Refused, match="somebody else has to"):
        step(State.REVIEW, action, by=name, reason="why", submitter="Zhang San")


@pytest.mark.parametrize("action", sorted(REASONED))
def test_what_needs_a_reason_is_refused_without_one(action: Action) -> None:
    state = next(state for state, each in TRANSITIONS if each is action)
    with pytest.raises(Refused, match=f"{action} needs a reason"):
        step(state, action, by="王五", reason=" ", submitter="张三")


def test_nobody_acts_without_a_name() -> None:
    with pytest.raises(Refused, match="who does it"):
        step(State.DRAFT, Action.SUBMIT, by=" ")


@pytest.mark.parametrize(
    ("others", "wrong"),
    [
        ({}, []),
        ({"plate": "川AD12345", "registered": ("川AD12345", 2)}, []),
        ({"plate": "A12345", "registered": None}, ["the plate A12345 is not written"]),
        ({"plate": "川I12345", "registered": None}, ["the plate 川I12345 is not written"]),
        ({"vin": ""}, []),
        ({"vin": "LZYTBTE61G100000O"}, ["the VIN LZYTBTE61G100000O does not have"]),
        ({"plate": "LZYTBTE61G1000001", "plate_colour": 0, "registered": None}, []),
        ({"plate": "X", "plate_colour": 0, "vin": "", "registered": None}, ["the VIN (none) does not have"]),
        ({"same_vin": "川B00001"}, ["its VIN is that of 川B00001"]),
        ({"reasons": Reason.ROAD_CERT_EXPIRED | Reason.PERMIT_MISSING}, ["the road transport certificate has expired", "no line or zone"]),
        ({"heard_at": NOW - timedelta(hours=25)}, ["its terminal was not heard within 24 hours"]),
        ({"heard_at": None}, ["its terminal was not heard within 24 hours"]),
        ({"heard_at": None, "registered": None, "reasons": Reason.TERMINAL_UNBOUND}, ["no terminal is bound"]),
        ({"registered": ("川A54321", 2)}, ["its terminal registered (0x0100) for 川A54321, yellow 黄"]),
        ({"registered": ("川A12345", 1)}, ["its terminal registered (0x0100) for 川A12345, blue 蓝"]),
        ({"registered": ("", 2)}, ["its terminal registered (0x0100) for no plate"]),
    ],
)
def test_the_checks_name_what_must_be_mended(others: dict[str, Any], wrong: list[str]) -> None:
    fields = {name: getattr(GOOD, name) for name in Application.__slots__}
    found = problems(Application(**(fields | others)), NOW)

    assert len(wrong) == len(found)
    for beginning, sentence in zip(wrong, found, strict=True):
        assert sentence.startswith(beginning)


def test_a_lapsed_paper_suspends_by_its_date_alone() -> None:
    assert in_force(State.ACTIVE, Reason.ROAD_CERT_EXPIRED) is State.SUSPENDED
    assert in_force(State.ACTIVE, Reason.TERMINAL_UNBOUND | Reason.PERMIT_MISSING) is State.ACTIVE
    assert in_force(State.REVIEW, Reason.ROAD_CERT_EXPIRED) is State.REVIEW
