"""Where a terminal's conversation stands, what can happen to it, and what follows: one table."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where the conversation stands."""

    OFFLINE = auto()
    REGISTERING = auto()
    AUTHENTICATING = auto()
    ONLINE = auto()
    LEAVING = auto()


class Event(Enum):
    """What can happen to it."""

    CONNECTED_AS_STRANGER = auto()
    CONNECTED_WITH_CODE = auto()
    CONNECTED_WITHOUT_LOGIN = auto()
    REGISTERED = auto()
    AUTHENTICATED = auto()
    REFUSED = auto()
    DONE = auto()
    LEFT = auto()
    LOST = auto()


TRANSITIONS: Final = {
    (State.OFFLINE, Event.CONNECTED_AS_STRANGER): State.REGISTERING,
    (State.OFFLINE, Event.CONNECTED_WITH_CODE): State.AUTHENTICATING,
    (State.OFFLINE, Event.CONNECTED_WITHOUT_LOGIN): State.ONLINE,
    (State.REGISTERING, Event.REGISTERED): State.AUTHENTICATING,
    (State.REGISTERING, Event.REFUSED): State.OFFLINE,
    (State.AUTHENTICATING, Event.AUTHENTICATED): State.ONLINE,
    (State.AUTHENTICATING, Event.REFUSED): State.OFFLINE,
    (State.ONLINE, Event.DONE): State.LEAVING,
    (State.LEAVING, Event.LEFT): State.OFFLINE,
    **{(state, Event.LOST): State.OFFLINE for state in State},
}
"""The whole machine; what is not in it cannot happen."""
