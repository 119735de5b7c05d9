"""What is remembered of every terminal between batches, and how a late fix finds its place.

Of each terminal three things are kept: its `memory` (what every rule remembers), its incidents under way, and a window of its newest
samples with a picture of memory and incidents taken before every STRIDE-th of them.
A fix that comes late, however late within the window, goes to where it belongs: the last picture before it is taken out and all that
followed is judged again. So what is found depends on the fixes alone, never on how they arrived.

`arrange` reads the state and lays out the work of a batch; `check` does it; `adopt`, after the commit, is the only thing that writes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geofence.incidents import INCIDENT, Incidents
from geofence.quality import SAMPLE
from geofence.work import Arrivals, Change, Work
from tracks.spans import Index, Mask
from tracks.track import Memory, expand

STRIDE: Final = 16
"""Samples between two pictures. A late fix costs judging at most this many more than those that followed it."""
PICTURES: Final = 9
WINDOW: Final = STRIDE * PICTURES
"""Samples kept per terminal; at least the newest WINDOW - STRIDE = 128 are always within reach of a late fix: two minutes at one a
second, twenty at one in ten seconds. 10 KB per terminal."""

NEVER: Final = np.iinfo(np.int64).min
FORMAT: Final = b"DG01"


@dataclass(slots=True)
class _Pool:
    """Incidents of all terminals, past and present: written once at the end, read by extent, tidied when half of it is waste."""

    rows: NDArray[Any] = field(default_factory=lambda: np.empty(1024, INCIDENT))
    used: int = 0
    tidy_at: int = 4096

    def append(self, rows: NDArray[Any]) -> int:
        """Write `rows`; gives where."""
        start, self.used = self.used, self.used + len(rows)
        if self.used > len(self.rows):
            larger = np.empty(2 * self.used, INCIDENT)
            larger[:start] = self.rows[:start]
            self.rows = larger
        self.rows[start : self.used] = rows
        return start


class State:
    """The state of many terminals. Reading it is `arrange`; writing it is `adopt`."""

    def __init__(self, memory: np.dtype[Any]) -> None:
        self.layout: Final = memory
        self._ids = np.empty(0, np.int64)
        """Known terminals, ascending, with the slot of each in `_slots`."""
        self._slots = np.empty(0, np.int64)
        self._count = np.zeros(0, np.int64)
        """Samples in the window; the pictures are those before samples 0, STRIDE, 2 STRIDE …"""
        self._base = np.zeros((0, 2), np.int64)
        """Time and digest of the last sample that left the window: what is not later is stale."""
        self._window = np.zeros((0, WINDOW), SAMPLE)
        self._memory = np.zeros((0, 1 + PICTURES), memory)
        """Column 0 is now, the others are the pictures."""
        self._extent = np.zeros((0, 1 + PICTURES, 2), np.int64)
        self._pool = _Pool()

    def __len__(self) -> int:
        return len(self._ids)

    def terminals(self) -> Index:
        """The terminals it remembers, ascending."""
        return self._ids.copy()

    def find(self, terminal_id: Index) -> Index:
        """Their slots; -1 for a terminal that is not known."""
        if len(self._ids) == 0:
            return np.full(len(terminal_id), -1, np.int64)
        place = np.minimum(np.searchsorted(self._ids, terminal_id), len(self._ids) - 1)
        return np.where(self._ids[place] == terminal_id, self._slots[place], -1)

    def reach_us(self, terminal_id: int) -> int:
        """The time up to which fixes of a terminal are too late to be taken up; 0 while there is none."""
        slot = int(self.find(np.array([terminal_id]))[0])
        return max(int(self._base[slot, 0]), 0) if slot >= 0 else 0

    def recall(self, terminal_id: Index) -> Memory:
        """What rules remember of them now."""
        return self._remembered(self.find(terminal_id), np.zeros(len(terminal_id), np.int64))

    def arrange(self, terminal_id: Index, sample: NDArray[Any], source: Index) -> tuple[Work, Index]:
        """Lay out the samples (each of `terminal_id`, from row `source` of the batch); and the sources that are too late to take up."""
        ids, owner = np.unique(terminal_id, return_inverse=True)
        arrived = Arrivals(owner, sample, source).in_order()
        slot = self.find(ids)
        start = np.zeros(len(ids), np.int64)
        start[slot >= 0] = self._count[slot[slot >= 0]]
        behind = np.zeros(len(ids), np.bool_)
        known = np.flatnonzero(start > 0)
        last = self._window[slot[known], start[known] - 1]
        earliest = arrived.sample[np.searchsorted(arrived.owner, known)]
        behind[known] = ~_after(earliest, last["time_us"], last["digest"])
        stale = np.empty(0, np.int64)
        if behind.any():
            arrived, start, stale = self._merge(arrived, slot, start, behind)
        return self._work(ids, slot, start, arrived), stale

    def _merge(self, arrived: Arrivals, slot: Index, start: Index, behind: Mask) -> tuple[Arrivals, Index, Index]:
        """Put late samples in their places among what the windows hold of their owners, and go back to the picture before each."""
        base = self._base[slot[arrived.owner]]
        stale = behind[arrived.owner] & ~_after(arrived.sample, base[:, 0], base[:, 1])
        who = np.flatnonzero(behind)
        held = self._window[slot[who]][np.arange(WINDOW) < start[who, None]]
        before = Arrivals(np.repeat(who, start[who]), held, np.full(len(held), -1))
        both = Arrivals.concat(before, arrived.take(~stale)).in_order()
        place = np.arange(len(both.owner)) - np.searchsorted(both.owner, both.owner)
        new = both.source >= 0
        earliest = np.full(len(start), np.iinfo(np.int64).max)
        np.minimum.at(earliest, both.owner[new], place[new])
        start = np.where(behind & (earliest < start), earliest // STRIDE * STRIDE, start)
        nothing_new = earliest == np.iinfo(np.int64).max
        judged = ~nothing_new[both.owner] & (~behind[both.owner] | (place >= start[both.owner]))
        return both.take(judged), start, arrived.source[stale]

    def _work(self, ids: Index, slot: Index, start: Index, arrived: Arrivals) -> Work:
        """The work of those owners that have samples left, numbered anew."""
        first = np.diff(arrived.owner, prepend=-1) != 0
        kept, owner = arrived.owner[first], np.cumsum(first) - 1
        ids, slot, start = ids[kept], slot[kept], start[kept]
        known = slot >= 0
        rewound = np.zeros(len(ids), np.bool_)
        rewound[known] = start[known] < self._count[slot[known]]
        column = np.where(rewound, 1 + start // STRIDE, 0)
        since_us = np.full(len(ids), NEVER)
        since_us[known] = self._base[slot[known], 0]
        inside = start > 0
        since_us[inside] = self._window["time_us"][slot[inside], start[inside] - 1]
        return Work(
            terminal_id=ids,
            slot=slot,
            start=start,
            rewound=rewound,
            since_us=since_us,
            memory=self._remembered(slot, column),
            incidents=self._under_way(slot, column),
            owner=owner,
            sample=arrived.sample,
            source=arrived.source,
            place=start[owner] + np.arange(len(owner)) - np.searchsorted(owner, owner),
        )

    def _remembered(self, slot: Index, column: Index) -> Memory:
        known = slot >= 0
        if known.all() and len(slot):
            return self._memory[slot, column]
        memory = np.zeros(len(slot), self.layout)
        memory[known] = self._memory[slot[known], column[known]]
        return memory

    def _under_way(self, slot: Index, column: Index) -> Incidents:
        extent = np.zeros((len(slot), 2), np.int64)
        known = slot >= 0
        extent[known] = self._extent[slot[known], column[known]]
        owner, nth = expand(extent[:, 1] - extent[:, 0])
        return Incidents(owner, self._pool.rows[extent[owner, 0] + nth])

    def adopt(self, change: Change) -> None:
        """Make what `check` found the state. Call it when the commit that stored the events has succeeded, and only then."""
        work = change.work
        slot = self._slots_for(work.terminal_id)
        total = work.start + np.bincount(work.owner, minlength=len(slot))
        drop = np.maximum(-(-(total - WINDOW) // STRIDE) * STRIDE, 0)
        self._forget_oldest(work, slot, drop)
        place = work.place - drop[work.owner]
        stays = place >= 0
        self._window[slot[work.owner[stays]], place[stays]] = work.sample[stays]
        self._count[slot] = total - drop
        for picture in change.pictures:
            number = (picture.place - drop[picture.owner]) // STRIDE
            self._keep(slot[picture.owner], np.where(number >= 0, 1 + number, -1), picture.memory, picture.incidents)
        self._keep(slot, np.zeros(len(slot), np.int64), work.memory, work.incidents)
        if self._pool.used > self._pool.tidy_at:
            self._tidy()

    def _forget_oldest(self, work: Work, slot: Index, drop: Index) -> None:
        """Move the window and the pictures of each owner on by `drop` samples, and remember where the window now begins."""
        edge = np.flatnonzero(work.place == drop[work.owner] - 1)
        self._base[slot[work.owner[edge]]] = np.stack((work.sample["time_us"][edge], work.sample["digest"][edge]), 1)
        for by in np.unique(drop[drop > 0]).tolist():
            moved = slot[drop == by]
            if by <= WINDOW:
                inside = moved[(work.start >= by)[drop == by]]
                oldest = self._window[inside, by - 1]
                self._base[inside] = np.stack((oldest["time_us"], oldest["digest"]), 1)
                self._window[moved, : WINDOW - by] = self._window[moved, by:]
                kept = PICTURES - by // STRIDE
                self._memory[moved, 1 : 1 + kept] = self._memory[moved, 1 + by // STRIDE :]
                self._extent[moved, 1 : 1 + kept] = self._extent[moved, 1 + by // STRIDE :]

    def _keep(self, slot: Index, column: Index, memory: Memory, incidents: Incidents) -> None:
        """Write memory and incidents into a column of each slot; 0 is the present, -1 a picture that has left."""
        count = np.bincount(incidents.owner, minlength=len(slot))
        stop = self._pool.append(incidents.rows) + np.cumsum(count)
        stays = column >= 0
        where = slot[stays], column[stays]
        self._memory[where] = memory[stays]
        self._extent[where] = np.stack((stop - count, stop), 1)[stays]

    def _slots_for(self, terminal_id: Index) -> Index:
        """Their slots; terminals not known yet get new ones."""
        new = terminal_id[self.find(terminal_id) < 0]
        if len(new):
            first = len(self._ids)
            order = np.argsort(ids := np.concatenate((self._ids, new)), kind="stable")
            self._ids, self._slots = ids[order], np.concatenate((self._slots, first + np.arange(len(new))))[order]
            if len(self._ids) > len(self._count):
                self._grow(max(2 * len(self._count), len(self._ids), 64))
            self._base[first : len(self._ids)] = NEVER
        return self.find(terminal_id)

    def _grow(self, capacity: int) -> None:
        for name in ("_count", "_base", "_window", "_memory", "_extent"):
            old = getattr(self, name)
            larger = np.zeros((capacity, *old.shape[1:]), old.dtype)  # pages of terminals that never report are never touched
            larger[: len(old)] = old
            setattr(self, name, larger)

    def _tidy(self) -> None:
        """Leave behind the rows that no present and no picture refers to."""
        in_use = np.arange(1 + PICTURES) < 1 + -(-self._count[:, None] // STRIDE)
        self._extent[~in_use] = 0
        extent = self._extent[in_use]
        count = extent[:, 1] - extent[:, 0]
        which, nth = expand(count)
        rows = self._pool.rows[extent[which, 0] + nth]
        self._pool = _Pool(tidy_at=4096 + 2 * len(rows))
        stop = self._pool.append(rows) + np.cumsum(count)
        self._extent[in_use] = np.stack((stop - count, stop), 1)

    def pack(self, terminal_id: int) -> bytes:
        """Everything about one terminal, to store or to hand to another worker."""
        slot = int(self.find(np.array([terminal_id]))[0])
        if slot < 0:
            msg = f"nothing is known of terminal {terminal_id}"
            raise KeyError(msg)
        count = int(self._count[slot])
        extents = self._extent[slot, : 1 + -(-count // STRIDE)]
        rows = np.concatenate([self._pool.rows[start:stop] for start, stop in extents])
        head = np.array([terminal_id, count, *self._base[slot], len(extents), *(extents[:, 1] - extents[:, 0])], np.int64)
        body = (head, self._window[slot, :count], self._memory[slot, : len(extents)], rows)
        return FORMAT + self._layout_mark() + b"".join(part.tobytes() for part in body)

    def unpack(self, packed: bytes) -> None:
        """Take up what `pack` gave. Raises ValueError for another format: judge that terminal's stored track again instead."""
        mark = FORMAT + self._layout_mark()
        if packed[: len(mark)] != mark:
            msg = "the state was packed by another version; replay the terminal's fixes of the last day instead"
            raise ValueError(msg)
        body = memoryview(packed)[len(mark) :]
        terminal_id, count, base_us, base_digest, columns = np.frombuffer(body[:40], np.int64).tolist()
        slot = int(self._slots_for(np.array([terminal_id]))[0])
        sizes = np.frombuffer(body[40 : 40 + 8 * columns], np.int64)
        at = 40 + 8 * columns
        self._count[slot], self._base[slot] = count, (base_us, base_digest)
        for target, length in ((self._window[slot], count), (self._memory[slot], columns)):
            target[:length] = np.frombuffer(body[at : at + length * target.itemsize], target.dtype)
            at += length * target.itemsize
        stop = self._pool.append(np.frombuffer(body[at:], INCIDENT)) + np.cumsum(sizes)
        self._extent[slot, :columns] = np.stack((stop - sizes, stop), 1)

    def _layout_mark(self) -> bytes:
        return zlib.crc32(repr((SAMPLE, INCIDENT, self.layout, STRIDE, PICTURES)).encode()).to_bytes(4, "little")

    def forget(self, terminal_ids: Iterable[int]) -> None:
        """Drop terminals that another worker has taken over."""
        gone = np.isin(self._ids, list(terminal_ids))
        keep = np.sort(self._slots[~gone])
        order = np.argsort(self._slots[~gone])
        ids = self._ids[~gone][order]
        for name in ("_count", "_base", "_window", "_memory", "_extent"):
            setattr(self, name, getattr(self, name)[keep])
        by_id = np.argsort(ids)
        self._ids, self._slots = ids[by_id], by_id


def _after(sample: NDArray[Any], time_us: Index, digest: Index) -> Mask:
    later: Mask = (sample["time_us"] > time_us) | ((sample["time_us"] == time_us) & (sample["digest"] > digest))
    return later
