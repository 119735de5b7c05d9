"""A batch laid out for judging: what arrived, what is to be judged from where, and what will have changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofence.incidents import Incidents
from tracks.spans import Index, Mask
from tracks.track import Memory, pick


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Samples of owners, each from a row of the batch, or -1."""

    owner: Index
    sample: NDArray[Any]
    source: Index

    def take(self, rows: Index | Mask) -> Arrivals:
        """The samples at `rows`."""
        return Arrivals(self.owner[rows], pick(self.sample, rows), self.source[rows])

    @classmethod
    def concat(cls, first: Arrivals, then: Arrivals) -> Arrivals:
        """All samples of both."""
        return cls(*(np.concatenate((getattr(first, name), getattr(then, name))) for name in ("owner", "sample", "source")))

    def in_order(self) -> Arrivals:
        """Sorted by owner, time and digest, each report once: the one that was there before, if it was."""
        if (self.owner[1:] > self.owner[:-1]).all():
            return self
        time_us, digest = self.sample["time_us"], self.sample["digest"]
        order = np.lexsort((self.source >= 0, digest, time_us, self.owner))
        repeats = np.zeros(len(order), np.bool_)
        repeats[1:] = np.logical_and.reduce([np.diff(column[order]) == 0 for column in (self.owner, time_us, digest)])
        return self.take(order[~repeats])


@dataclass(frozen=True, slots=True)
class Work:
    """A batch laid out: for each owner (terminal of this batch) where it starts from, and its samples in order of time."""

    terminal_id: Index
    """One element per owner, ascending; so is the rest of this block."""
    slot: Index
    """Its row in the state, or -1 when it has none yet."""
    start: Index
    """Place in the window of the first sample to judge; less than what is there when a late fix made us go back."""
    rewound: Mask
    since_us: Index
    """Time of the last sample before the start, or NEVER."""
    memory: Memory
    incidents: Incidents

    owner: Index
    """One element per sample, ascending; so is the rest."""
    sample: NDArray[Any]
    source: Index
    """Row of the batch it came from; -1 for one that was there before."""
    place: Index
    """Its place in the window, counted from the window's first; may run past its end."""

    def after(self, memory: Memory, incidents: Incidents) -> Work:
        """The work done."""
        return replace(self, memory=memory, incidents=incidents)


@dataclass(frozen=True, slots=True)
class Change:
    """What `adopt` writes: the work with memory and incidents as they are after it, and the pictures taken on the way."""

    work: Work
    pictures: list[Picture]


@dataclass(frozen=True, slots=True)
class Picture:
    """Memory and incidents of some owners before the sample at `place`."""

    owner: Index
    place: Index
    memory: Memory
    incidents: Incidents
