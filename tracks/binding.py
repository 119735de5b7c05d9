"""Which vehicle a terminal served when: bindings that are over, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tracks.batch import Batch, column
from tracks.spans import Index

SECONDS_BITS: Final = 34
"""Seconds since 1970 fit in so many bits until the year 2514, so that terminal and time are one integer to search by."""


@dataclass(frozen=True, slots=True)
class BindingBatch(Batch):
    """Bindings that have ended, by terminal and time; those of one terminal do not overlap."""

    terminal_id: Index = column("int64", "", "the registry's key of the terminal")
    vehicle_id: Index = column("int64", "", "the registry's key of the vehicle it served")
    from_s: Index = column("int64", "s since 1970 UTC", "from then on")
    until_s: Index = column("int64", "s since 1970 UTC", "until before then")

    def sorted(self) -> BindingBatch:
        """By terminal and time."""
        return self.take(np.lexsort((self.from_s, self.terminal_id)))


def served(past: BindingBatch, terminal_id: Index, time_us: Index, vehicle_id: Index) -> Index:
    """The vehicle that each terminal served at a time: that of a binding that is over, if the time lies in it; else `vehicle_id`.

    What a terminal has kept and sends after it was moved to another vehicle belongs to the one that it was in.
    """
    if len(past) == 0:
        return vehicle_id
    at = np.clip(time_us // 1_000_000, 0, 2**SECONDS_BITS - 1)
    known = np.unique(past.terminal_id)
    own, mine = np.searchsorted(known, past.terminal_id), np.searchsorted(known, terminal_id)
    keys = (own << SECONDS_BITS) | np.clip(past.from_s, 0, 2**SECONDS_BITS - 1)
    row = np.maximum(np.searchsorted(keys, (mine << SECONDS_BITS) | at, "right") - 1, 0)
    over = (past.terminal_id[row] == terminal_id) & (past.from_s[row] <= at) & (at < past.until_s[row])
    return np.where(over, past.vehicle_id[row], vehicle_id)
