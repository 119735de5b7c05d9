"""Who a terminal is, how it behaves, and what it counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from protocols.jt808.header import V2013

SUCCESS: Final = frozenset({0, 4})
"""Results of 0x8001 after which a report is the platform's: ok, and alarm confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the terminal is. `name` is its phone number; the rest goes into registration and authentication."""

    name: str
    edition: int = V2013
    plate: str = "沪A00001"
    plate_colour: int = 2
    province: int = 31
    city: int = 100
    maker: str = "DUBHE"
    model: str = "SIM-808"
    serial_number: str = "SIM0001"
    imei: str = "860000000000000"
    software: str = "firmware-sim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the terminal behaves; what JT/T 808 calls parameters 0x0001 to 0x0003, and our own bounds."""

    heartbeat_s: float = 60.0
    answer_timeout_s: float = 10.0
    repeats: int = 3
    window: int = 1
    """Reports in flight at once."""
    store_max: int = 10_000
    """Reports that the blind-zone store holds."""
    batch_max: int = 20
    """Reports in one 0x0704."""
    login: bool = True
    """False: no 0x0100 and 0x0102, reports at once (quirk C6); for lenient gateways."""
    insist: bool = True
    """Try again after a refused login; False: a refused terminal has finished."""
    leave: bool = True
    """Log out when everything is said; False: stay until the link is cut."""


@dataclass(slots=True)
class Counters:
    """What happened so far, in reports unless it says otherwise."""

    sent: int = 0
    """Left the terminal at least once."""
    answered: Counter[int] = field(default_factory=Counter)
    """By result."""
    uploaded: int = 0
    """Left in an 0x0704."""
    overwritten: int = 0
    """Lost to the bound of the blind-zone store."""
    resent: int = 0
    """Frames sent again on silence."""
    given_up: int = 0
    """Frames for which all repeats stayed unanswered."""
    logins: int = 0
    login_refusals: int = 0
    commands: Counter[int] = field(default_factory=Counter)
    """Messages from the platform that are not answers, by id."""
    unexpected: int = 0
    """Answers to nothing in flight: late ones, or repeats."""
    unreadable: int = 0
    """Frames from the platform that are broken or meant for another terminal."""

    @property
    def acknowledged(self) -> int:
        """Reports answered with success."""
        return sum(self.answered[result] for result in SUCCESS)


def about(identity: Identity) -> dict[str, Any]:
    """Fields of 0x0107."""
    return {
        "kinds": ["passenger"],
        "maker": identity.maker,
        "model": identity.model,
        "terminal_id": identity.serial_number,
        "iccid": "8986".ljust(20, "0"),
        "hardware": "V1",
        "firmware": identity.software,
        "gnss": ["gps", "beidou"],
        "radio": ["td_lte"],
    }
