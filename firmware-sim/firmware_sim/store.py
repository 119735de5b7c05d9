"""The blind-zone store: reports that could not be said wait here, in order and within a bound, until a link takes them up again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocols.jt808.header import LENGTH_BITS

BATCH_HEAD_BYTES: Final = 3
"""Count and kind before the reports of an 0x0704, each of which has two bytes of length before it."""


@dataclass(slots=True)
class Report:
    """A report from when it is due until it is answered."""

    order: int
    body: bytes
    left: bool = False


class Store:
    """Reports in the order in which they fell due; where there are more than `most`, the oldest make room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._reports: deque[Report] = deque()

    def __len__(self) -> int:
        return len(self._reports)

    def keep(self, reports: Iterable[Report]) -> int:
        """Put reports into their places; how many had to make room."""
        self._reports = deque(sorted((*self._reports, *reports), key=lambda report: report.order))
        overwritten = max(len(self._reports) - self._most, 0)
        for _ in range(overwritten):
            self._reports.popleft()
        return overwritten

    def batch(self, most: int) -> list[Report]:
        """Take out the oldest, as many as one 0x0704 carries."""
        batch: list[Report] = []
        room = LENGTH_BITS - BATCH_HEAD_BYTES
        while self._reports and len(batch) < most and (room := room - 2 - len(self._reports[0].body)) >= 0:
            batch.append(self._reports.popleft())
        return batch
