"""One step of a vehicle, decided by the rules of onboarding and written by the store; what `dubhe vehicle submit|approve|…` do."""

from __future__ import annotations

from datetime import UTC, datetime

from compliance.onboarding import Action, Application, Refused, State, Step, problems, step
from compliance.vehicles import Policy, Reason, verdict_at
from storage.onboarding import Case, Steps, take_steps

SYSTEM = "dubhe"
"""Who takes the steps that are nobody's."""
NOT_PAPERS = Reason.NOT_VETTED | Reason.RETIRED | Reason.SUSPENDED
"""What being approved mends."""


def act(
    url: str,
    plate: str,
    action: Action,
    *,
    by: str,
    reason: str = "",
    colour: int | None = None,
    policy: Policy,
    at: datetime | None = None,
) -> Case:
    """Take a step, and those that follow by themselves, now or as of an earlier moment.

    Raises `Refused`, with all that the checks find wrong when they return it.
    """
    found: list[str] = []
    now = at or datetime.now(UTC)

    def decide(case: Case) -> Steps:
        state = State(case.state)
        steps = [step(state, action, by=by, reason=reason, submitter=case.submitter)]
        if action is Action.SUBMIT:
            found.extend(problems(_application(case, policy, now), now))
            steps.append(_own(steps[-1], Action.FAIL if found else Action.PASS, "; ".join(found)))
        elif action is Action.APPROVE and case.terminal_id is not None:
            steps.append(_own(steps[-1], Action.ACTIVATE, "terminal bound"))
        return [(each.action.value, each.state.value, each.by, each.reason) for each in steps]

    case = take_steps(url, plate, colour, by, decide, at=at)
    if found:
        msg = f"{case.plate} is returned 退回: {'; '.join(found)}"
        raise Refused(msg)
    return case


def _own(before: Step, action: Action, reason: str) -> Step:
    return step(before.state, action, by=SYSTEM, reason=reason)


def _application(case: Case, policy: Policy, now: datetime) -> Application:
    verdict = verdict_at(case.papers, int(now.timestamp()), policy)
    registered = None if case.registered_plate is None else (case.registered_plate, case.registered_colour or 0)
    return Application(
        plate=case.plate,
        plate_colour=case.plate_colour,
        vin=case.vin,
        same_vin=case.same_vin,
        reasons=verdict.reasons & ~NOT_PAPERS,
        heard_at=case.heard_at,
        registered=registered,
    )
