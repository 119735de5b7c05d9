"""The room's door: `check` turns the fixes of a batch into events, and says what the state is after them.

    checked = check(fixes, atlas, state)
    state.adopt(checked.change)
    ... commit fixes and checked.events in one transaction; when that fails, the state of those terminals is to be made anew ...

It is a pure function of fixes, atlas and state: no clock, nothing written. The same fixes give the same incidents in any order and in
any batches, as long as a late one is within the state's window; the rows of those that are not come back in `stale`, for the stored
track of their terminals to be judged again from an older state (`again.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofence.corridors import CorridorIndex
from geofence.evidence import EVIDENCE, Evidence, thresholds
from geofence.fences import FenceIndex
from geofence.fencing import Fencing
from geofence.following import Following
from geofence.incidents import Incidents, advance, restated
from geofence.quality import CLOCK, GATE, Quality, faults, samples, sift
from geofence.state import STRIDE, State
from geofence.stops import Calling, StopIndex
from geofence.work import Change, Picture, Work
from tracks.batch import Batch, column
from tracks.event import EventBatch, Kind, together
from tracks.fix import ABSENT, FixBatch
from tracks.spans import Index
from tracks.track import Memory, Rule, among, ordered, pick, rows_of


@dataclass(frozen=True, slots=True)
class Atlas:
    """All the geometry that fixes are judged by. Immutable: a change of the registry makes a new one, with a higher version."""

    fences: FenceIndex = field(default_factory=FenceIndex.empty)
    corridors: CorridorIndex = field(default_factory=CorridorIndex.empty)
    stops: StopIndex = field(default_factory=StopIndex.empty)
    evidence: Mapping[Kind, Evidence] = field(default_factory=lambda: EVIDENCE)
    version: int = 0

    def rules(self) -> tuple[Rule, ...]:
        """Corridors first: they write the road's speed limit, which others read."""
        return Following(self.corridors), Fencing(self.fences), Calling(self.stops)


@dataclass(frozen=True, slots=True)
class RewoundBatch(Batch):
    """Terminals whose recent past was judged again because late fixes changed it.

    Of such a terminal, incidents with `opened_us` > `since_us` that are not among the events of this batch did not happen: withdraw them.
    """

    terminal_id: Index = column("int64", "", "the registry's key of the terminal")
    since_us: Index = column("int64", "µs since 1970 UTC", "time of the last fix that was not judged again")

    def spared(self, events: EventBatch) -> EventBatch:
        """Of the events told before, those that have not been judged again."""
        if len(self) == 0:
            return events
        row = rows_of(events.terminal_id, self.terminal_id)
        return events.take(np.flatnonzero((row < 0) | (events.opened_us <= self.since_us[row])))


@dataclass(frozen=True, slots=True)
class Checked:
    """What a batch of fixes amounts to."""

    events: EventBatch
    rewound: RewoundBatch
    quality: NDArray[np.uint16]
    """Flags of the quality gate, one for each fix of the batch."""
    stale: Index
    """Rows that came too late to be taken up."""
    change: Change

    def after(self, events: EventBatch) -> EventBatch:
        """All that is told with what was told before: each incident once, without what has been judged again since."""
        told = EventBatch.concat([self.rewound.spared(events), self.events])
        return told.take(told.latest())


def begin(atlas: Atlas, also: Sequence[Rule] = ()) -> State:
    """The state of a gateway that has heard nobody yet, for `check` with the same rules."""
    return State(_layout((*atlas.rules(), *also)))


def check(fixes: FixBatch, atlas: Atlas, state: State, also: Sequence[Rule] = ()) -> Checked:
    """Judge fixes by the atlas and by the rules of other rooms (`also`); `state` is read only."""
    rules = (*atlas.rules(), *also)
    assert _layout(rules) == state.layout, "the state was begun for other rules"
    quality = faults(fixes)
    rows = np.flatnonzero((quality & CLOCK == 0) & (fixes.terminal_id != ABSENT))
    rows = rows[ordered(fixes.terminal_id[rows])]
    work, stale = state.arrange(fixes.terminal_id[rows], samples(fixes, rows, quality), rows)
    quality[stale] |= np.uint16(Quality.STALE)

    told: list[EventBatch] = []
    pictures: list[Picture] = []
    memory, incidents, enough = work.memory, work.incidents, thresholds(atlas.evidence)
    for at in _rounds(work):
        owner, sample = work.owner[at], pick(work.sample, at)
        pictures += _pictures(work, at, memory, incidents)
        track = sift(sample, owner, work.terminal_id, memory["gate"])
        standing = incidents.standing()
        signals = [rule.judge(track, memory[rule.name], standing) for rule in rules]
        events, incidents = advance(track, together(signals), incidents, enough, atlas.version)
        told.append(events)
        source = work.source[at]
        quality[source[source >= 0]] = track.quality[source >= 0]
    again = np.flatnonzero(work.rewound)
    if len(again):
        told.append(restated(incidents.take(work.rewound[incidents.owner]), work.terminal_id))
    return Checked(
        events=EventBatch.concat(told),
        rewound=RewoundBatch(terminal_id=work.terminal_id[again], since_us=work.since_us[again]),
        quality=quality,
        stale=stale,
        change=Change(work.after(memory, incidents), pictures),
    )


def _layout(rules: Sequence[Rule]) -> np.dtype[Any]:
    return np.dtype([("gate", GATE), *((rule.name, rule.memory) for rule in rules)])


def _rounds(work: Work) -> list[Index]:
    """Samples to judge together: of each owner those up to the next place where a picture is due."""
    if len(work.owner) == 0:
        return []
    number = work.place // STRIDE - work.start[work.owner] // STRIDE
    if not number.any():
        return [np.arange(len(number))]
    order = np.argsort(number, kind="stable")
    return np.split(order, np.cumsum(np.bincount(number))[:-1])


def _pictures(work: Work, at: Index, memory: Memory, incidents: Incidents) -> list[Picture]:
    """Memory and incidents, before this round, of the owners that are due for it."""
    due = at[work.place[at] % STRIDE == 0]
    if len(due) == 0:
        return []
    owner = work.owner[due]
    mine = among(incidents.owner, owner)
    its = Incidents(np.searchsorted(owner, incidents.owner[mine]), pick(incidents.rows, mine))
    return [Picture(owner, work.place[due], pick(memory, owner), its)]
