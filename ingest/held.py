"""`Held`: the terminals whose states a worker holds, as columns, so that a batch of thousands is looked up in one step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tracks.spans import Index
from tracks.track import rows_of

AS_SAVED: Final = np.inf


class Held:
    """Terminals by id, ascending."""

    def __init__(self) -> None:
        self.ids: Index = np.empty(0, np.int64)
        self._begun_us: Index = np.empty(0, np.int64)
        """What opened before, the state knows nothing of."""
        self._newer_s: NDArray[np.float64] = np.empty(0)
        """Since when the state is newer than what is saved, by the monotonic clock; AS_SAVED where it is not."""

    def __len__(self) -> int:
        return len(self.ids)

    def begun_us(self, ids: Index, otherwise_us: int) -> Index:
        """Since when the states of terminals know what happened."""
        row = rows_of(ids, self.ids)
        return np.where(row >= 0, self._begun_us[row] if len(self) else otherwise_us, otherwise_us)

    def missing(self, ids: Index) -> Index:
        """Those that are not held."""
        return ids[rows_of(ids, self.ids) < 0]

    def take_up(self, begun_us: Mapping[int, int]) -> None:
        """Hold these, too, as they are saved."""
        self.put_down(begun_us)
        ids = np.concatenate((self.ids, np.fromiter(begun_us.keys(), np.int64, len(begun_us))))
        order = np.argsort(ids, kind="stable")
        self.ids = ids[order]
        self._begun_us = np.concatenate((self._begun_us, np.fromiter(begun_us.values(), np.int64, len(begun_us))))[order]
        self._newer_s = np.concatenate((self._newer_s, np.full(len(begun_us), AS_SAVED)))[order]

    def put_down(self, ids: Iterable[int]) -> None:
        """Hold these no more."""
        gone = rows_of(np.fromiter(ids, np.int64), self.ids)
        stay = np.ones(len(self), np.bool_)
        stay[gone[gone >= 0]] = False
        self.ids, self._begun_us, self._newer_s = self.ids[stay], self._begun_us[stay], self._newer_s[stay]

    def move_on(self, ids: Index, since_s: float | NDArray[np.float64]) -> None:
        """The states of those that are held are newer than what is saved, since then or earlier."""
        row = rows_of(ids, self.ids)
        held = row >= 0
        since_s = np.broadcast_to(since_s, len(ids))[held]
        self._newer_s[row[held]] = np.minimum(self._newer_s[row[held]], since_s)

    def unsaved(self, before_s: float = np.inf) -> Index:
        """Those whose states are newer than what is saved since `before_s` or earlier; who has waited longest is the first."""
        row = np.flatnonzero((self._newer_s <= before_s) & (self._newer_s < AS_SAVED))
        return self.ids[row[np.argsort(self._newer_s[row], kind="stable")]]

    def save(self, ids: Index) -> NDArray[np.float64]:
        """These are saved as they are now. Gives since when they were newer, for `move_on` if they are not saved after all."""
        row = rows_of(ids, self.ids)
        newer_s = self._newer_s[row]
        self._newer_s[row] = AS_SAVED
        return newer_s
