"""How a vehicle comes into service: from draft to active by two pairs of eyes, one table of transitions, and the checks before review.

Everything here is a value in and a value out; `storage/onboarding.py` writes the steps, in one transaction with what they rest on.
Two steps are nobody's: the checks lead from submitted to review or back, and an approved vehicle is active once it has a terminal.
A paper that lapses suspends by its date, without a step: see `in_force`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from compliance.vehicles import LAPSES, SENTENCES, Reason
from tracks.plate import colour_words


class State(StrEnum):
    """Where a vehicle stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    REVIEW = "review"
    RETURNED = "returned"
    APPROVED = "approved"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


SAID: Final[Mapping[State, str]] = {
    State.DRAFT: "a draft 草稿",
    State.SUBMITTED: "submitted 已提交",
    State.REVIEW: "in review 待审核",
    State.RETURNED: "returned 已退回",
    State.APPROVED: "approved 已通过",
    State.ACTIVE: "active 营运中",
    State.SUSPENDED: "suspended 已暂停",
    State.RETIRED: "retired 已退出",
}
"""What follows `is` where people read it."""


class Action(StrEnum):
    """What may be done with it."""

    SUBMIT = "submit"
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    APPROVE = "approve"
    RETURN = "return"
    ACTIVATE = "activate"
    SUSPEND = "suspend"
    RESUME = "resume"
    RETIRE = "retire"


TRANSITIONS: Final[Mapping[tuple[State, Action], State]] = {
    (State.DRAFT, Action.SUBMIT): State.SUBMITTED,
    (State.RETURNED, Action.SUBMIT): State.SUBMITTED,
    (State.RETIRED, Action.SUBMIT): State.SUBMITTED,
    (State.SUBMITTED, Action.PASS): State.REVIEW,
    (State.SUBMITTED, Action.FAIL): State.RETURNED,
    (State.REVIEW, Action.APPROVE): State.APPROVED,
    (State.REVIEW, Action.RETURN): State.RETURNED,
    (State.APPROVED, Action.ACTIVATE): State.ACTIVE,
    (State.APPROVED, Action.SUSPEND): State.SUSPENDED,
    (State.ACTIVE, Action.SUSPEND): State.SUSPENDED,
    (State.SUSPENDED, Action.RESUME): State.ACTIVE,
    **{(state, Action.RETIRE): State.RETIRED for state in State if state is not State.RETIRED},
}
"""What leads where; whatever is not here is refused."""

SECOND_EYES: Final = frozenset({Action.APPROVE, Action.RETURN})
"""Not for whoever submitted the vehicle."""
REASONED: Final = frozenset({Action.RETURN, Action.SUSPEND, Action.RETIRE})
"""Not without a reason."""
SILENCE_MAX: Final = timedelta(hours=24)

PLATE: Final = re.compile(
    "[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][A-HJ-NP-Z0-9]{4,5}[A-HJ-NP-Z0-9挂学警港澳]"
)
"""GA 36; five characters behind the letter, six on new-energy plates."""
VIN: Final = re.compile("[A-HJ-NPR-Z0-9]{17}")
"""GB 16735: 17 characters without I, O and Q."""


class Refused(ValueError):  # noqa: N818 - an answer, not a mistake
    """A step that may not be taken; the sentence says why."""


class Step(NamedTuple):
    """One step, to be written down."""

    action: Action
    state: State
    by: str
    reason: str


def step(state: State, action: Action, *, by: str, reason: str = "", submitter: str = "") -> Step:
    """The step from `state`, taken by somebody for a reason. Raises `Refused`."""
    if (state, action) not in TRANSITIONS:
        possible = ", ".join(each for at, each in TRANSITIONS if at == state)
        msg = f"{action} is not for a vehicle that is {SAID[state]} 当前状态不允许此操作; what can be done now 可进行: {possible}"
        raise Refused(msg)
    if not by.strip():
        msg = f"{action} needs a name: who does it? 请注明操作人"
        raise Refused(msg)
    if action in SECOND_EYES and _person(by) == _person(submitter):
        msg = f"{by.strip()} submitted this vehicle, so somebody else has to {action} it 提交人不能审核自己提交的车辆（四眼原则）"
        raise Refused(msg)
    if action in REASONED and not reason.strip():
        msg = f"{action} needs a reason 请注明原因"
        raise Refused(msg)
    return Step(action, TRANSITIONS[state, action], by.strip(), reason.strip())


def _person(name: str) -> str:
    return " ".join(name.split()).casefold()


def in_force(state: State, reasons: Reason) -> State:
    """The state that counts: an active vehicle is suspended while a paper of it has lapsed, and active again when it is renewed."""
    lapsed = state in {State.APPROVED, State.ACTIVE} and any(reason in LAPSES for reason in reasons)
    return State.SUSPENDED if lapsed else state


@dataclass(frozen=True, slots=True)
class Application:
    """What is known of a vehicle when it is submitted."""

    plate: str
    plate_colour: int
    vin: str
    same_vin: str
    """Plate of another vehicle with this VIN."""
    reasons: Reason
    """Why it would not be compliant now if it were approved."""
    heard_at: datetime | None
    """When its terminal was last heard."""
    registered: tuple[str, int] | None
    """Plate and colour of its terminal's last 0x0100."""


def problems(given: Application, now: datetime) -> list[str]:
    """What must be mended before anybody looks at it; none: on to review."""
    vin_missing = given.plate_colour == 0 and not given.vin
    silent = given.heard_at is None or now - given.heard_at > SILENCE_MAX
    wrong = {
        f"the plate {given.plate} is not written as plates are 车牌号格式不正确": given.plate_colour != 0
        and not PLATE.fullmatch(given.plate),
        f"the VIN {given.vin or '(none)'} does not have 17 letters and digits 车架号格式不正确": vin_missing
        or (bool(given.vin) and not VIN.fullmatch(given.vin)),
        f"its VIN is that of {given.same_vin}, too 车架号与另一车辆重复": bool(given.same_vin),
        **{" ".join(SENTENCES[reason]): True for reason in given.reasons},
        "its terminal was not heard within 24 hours 终端24小时内无上线记录": silent and Reason.TERMINAL_UNBOUND not in given.reasons,
        f"its terminal registered (0x0100) for {_said(given.registered)} 终端注册的车牌与申报不符": given.registered is not None
        and given.registered != (given.plate, given.plate_colour),
    }
    return [sentence for sentence, is_wrong in wrong.items() if is_wrong]


def _said(registered: tuple[str, int] | None) -> str:
    plate, colour = registered or ("", 0)
    return f"{plate or 'no plate'}, {colour_words(colour)}"
