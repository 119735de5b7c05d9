"""What a vehicle needs to run, as half-open intervals: papers, and the facts of the registry that count like papers.

The registry writes them (`storage/fleet.py`), the rules of the road read them (`compliance/vehicles.py`).
Times are whole seconds, because a paper begins and ends at midnight and an officer's decision within a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tracks.batch import Batch, column
from tracks.spans import Index

TIME_BITS: Final = 33
ALWAYS_S: Final = 0
NEVER_S: Final = (1 << TIME_BITS) - 1
"""From the first moment, and until the year 2242: what has no beginning or no end."""


class Paper(IntEnum):
    """Kinds of paper. The last ones bar a vehicle while they hold; the others are needed."""

    VETTING = 1
    """The authority has approved the vehicle, and it has not been retired since."""
    LICENCE = 2
    """经营许可证 of the enterprise it belongs to at the time."""
    CERTIFICATE = 3
    """道路运输证."""
    REVIEW = 4
    """年审 of the certificate."""
    INSPECTION = 5
    """技术等级, 检验 of the vehicle."""
    COMPULSORY = 6
    """交强险."""
    CARRIER = 7
    """承运人责任险."""
    PERMIT = 8
    """班线 or zone permit, 线路牌."""
    TERMINAL = 9
    """A terminal is bound to it."""
    CREW = 10
    """A driver is assigned to it whose 从业资格证 is valid."""
    SUSPENSION = 11
    """Suspended by an officer."""
    STANDSTILL = 12
    """Its operating status is another than 营运."""
    OFF_PERMIT = 13
    """It is assigned to lines, holds a permit, and holds none for any of these lines."""


@dataclass(frozen=True, slots=True)
class PaperBatch(Batch):
    """One row per paper and interval, in any order; intervals of one kind may touch, overlap and leave gaps."""

    vehicle_id: Index = column("int64", "", "the registry's key of the vehicle")
    paper: NDArray[np.uint8] = column("uint8", "", "Paper")
    from_s: Index = column("int64", "s since 1970 UTC", "valid from then on, ALWAYS_S at the earliest")
    until_s: Index = column("int64", "s since 1970 UTC", "and until before then, NEVER_S at the latest")
