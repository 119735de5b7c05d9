"""What fixes that came too late change: the stored track is judged twice, without them and with them, and the two are compared.

An `Account` is one of the two. Both begin with the same state, older than the first of the late fixes, or with none where nothing was
known before. What both tell alike is left as it was told in its time, whatever the rules have become since; what only the one without
them tells did not happen; the rest is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geofence.check import Atlas, Checked, begin, check
from geofence.incidents import restated
from geofence.state import State
from tracks.event import EventBatch
from tracks.fix import FixBatch
from tracks.spans import Index, Mask
from tracks.track import Rule, among, rows_of

HOW_TOLD: Final = frozenset({"phase", "retrospective"})
"""Columns that say how an incident came to be told, not what happened."""


class Account:
    """One course of judging some terminals, and all it tells of them."""

    def __init__(self, atlas: Atlas, also: Sequence[Rule] = ()) -> None:
        self.atlas: Final = atlas
        self.also: Final = also
        self.state: Final[State] = begin(atlas, also)
        self._events = EventBatch.empty()

    def judge(self, fixes: FixBatch) -> Checked:
        """Go on with these fixes."""
        checked = check(fixes, self.atlas, self.state, self.also)
        self.state.adopt(checked.change)
        self._events = checked.after(self._events)
        return checked

    def lasting(self) -> EventBatch:
        """What is under way, as it stands."""
        return lasting(self.state, self.state.terminals())

    def events(self) -> EventBatch:
        """Each incident once, as it was in the end."""
        events = EventBatch.concat([self._events, self.lasting()])
        return events.take(events.latest())


@dataclass(frozen=True, slots=True)
class Difference:
    """What late fixes change."""

    told: EventBatch
    """What happened otherwise, or is new."""
    gone: Index
    """Ids of what did not happen."""


def lasting(state: State, terminal_id: Index) -> EventBatch:
    """The incidents that are under way and certain, as they stand."""
    return restated(state.under_way(terminal_id), terminal_id)


def difference(without: EventBatch, within: EventBatch) -> Difference:
    """Compare two accounts' `events`: without the late fixes, and with them."""
    order = np.argsort(without.id, kind="stable")
    row = rows_of(within.id, without.id[order])
    known = np.flatnonzero(row >= 0)
    changed = np.ones(len(within), np.bool_)
    changed[known] = ~_alike(within.take(known), without.take(order[row[known]]))
    return Difference(within.take(changed), without.id[~among(without.id, np.sort(within.id))])


def _alike(one: EventBatch, other: EventBatch) -> Mask:
    alike = np.ones(len(one), np.bool_)
    for name in EventBatch.columns().keys() - HOW_TOLD:
        alike &= _equal(getattr(one, name), getattr(other, name))
    return alike


def _equal(one: NDArray[np.generic], other: NDArray[np.generic]) -> Mask:
    """Elementwise; what is not a number is like itself."""
    equal: Mask = (one == other) | ((one != one) & (other != other))  # noqa: PLR0124 - true of NaN alone
    return equal
