"""What is remembered of every terminal between batches, and how a late fix finds its place.

Of each terminal three things are kept: its `memory` (what every rule remembers), its incidents under way, and a window of its newest
samples with a picture of memory and incidents taken before every STRIDE-th of them.
A fix that comes late, however late within the window, goes to where it belongs: the last picture before it is taken out and all that
followed is judged again. So what is found depends on the fixes alone, never on how they arrived.

`arrange` reads the state and lays out the work of a batch; `check` does it; `adopt` writes what came of it.
"""

from __future__ import annotations

import math
import mmap
import sys
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
from tracks.track import Memory, changes, expand, pick, put, whole

STRIDE: Final = 16
"""Samples between two pictures. A late fix costs judging at most this many more than those that followed it."""
PICTURES: Final = 9
WINDOW: Final = STRIDE * PICTURES
"""Samples kept per terminal; at least the newest WINDOW - STRIDE = 128 are always within reach of a late fix: two minutes at one a
second, twenty at one in ten seconds. 12 KB per terminal."""

SLOTS_MIN: Final = 16_384
"""Room that is made at first: pages that nobody has written to take no memory (`_vacant`), and moving the others takes time."""

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
            put(larger, slice(start), self.rows[:start])
            self.rows = larger
        put(self.rows, slice(start, self.used), rows)
        return start


class State:
    """The state of many terminals. Reading it is `arrange`; writing it is `adopt`."""

    def __init__(self, memory: np.dtype[Any]) -> None:
        self.layout: Final = memory
        layout = repr((SAMPLE, INCIDENT, memory, STRIDE, PICTURES))
        self._mark: Final = FORMAT + zlib.crc32(layout.encode()).to_bytes(4, "little")
        """What a packed terminal begins with: its format."""
        self._ids = np.empty(0, np.int64)
        """Known terminals, ascending, with the slot of each in `_slots`."""
        self._slots = np.empty(0, np.int64)
        self._free = np.empty(0, np.int64)
        """Slots below the highest that nobody has."""
        self._first = np.zeros(1, np.int64)
        """Row of the window, a ring, that holds a slot's first sample: a multiple of STRIDE. Here and below the last slot, -1, stays blank:
        it is that of terminals not known."""
        self._count = np.zeros(1, np.int64)
        """Samples in the window; the pictures are those before samples 0, STRIDE, 2 STRIDE …"""
        self._base = np.full((1, 2), NEVER)
        """Time and digest of the last sample that left the window: what is not later is stale."""
        self._last = np.full((1, 2), NEVER)
        """Time and digest of the newest sample."""
        self._window = np.zeros((WINDOW, 1), SAMPLE)
        self._memory = np.zeros((1 + PICTURES, 1), memory)
        """Row 0 is now, the others are the pictures, a ring beside the window's. Slots are the last axis: those of now lie together."""
        self._extent = np.zeros((1 + PICTURES, 1, 2), np.int64)
        """Where in the pool the incidents of each row and slot begin and stop."""
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

    def reach_us(self, terminal_id: Index) -> Index:
        """The time up to which fixes of terminals are too late to be taken up; 0 while there is none."""
        reach_us: Index = np.maximum(self._base[self.find(terminal_id), 0], 0)
        return reach_us

    def recall(self, terminal_id: Index) -> Memory:
        """What rules remember of them now."""
        return self._remembered(self.find(terminal_id), np.zeros(len(terminal_id), np.int64))

    def under_way(self, terminal_id: Index) -> Incidents:
        """Their incidents under way now; owners are the rows of `terminal_id`."""
        return self._under_way(self.find(terminal_id), np.zeros(len(terminal_id), np.int64))

    def last_us(self, terminal_id: Index) -> Index:
        """The times of their newest fixes."""
        newest_us: Index = self._last[self.find(terminal_id), 0]
        return newest_us

    def arrange(self, terminal_id: Index, sample: NDArray[Any], source: Index) -> tuple[Work, Index]:
        """Lay out the samples (each of `terminal_id`, ascending, from row `source` of the batch); and the sources too late to take up."""
        new = changes(terminal_id)
        ids = terminal_id[new]
        arrived = Arrivals(np.cumsum(new) - 1, sample, source).in_order()
        slot = self.find(ids)
        start = self._count[slot]
        first = np.flatnonzero(changes(arrived.owner))
        behind = (start > 0) & ~_after(arrived.sample, first, self._last.take(slot, axis=0))
        stale = np.empty(0, np.int64)
        if behind.any():
            arrived, start, stale = self._merge(arrived, slot, start, behind)
        return self._work(ids, slot, start, arrived), stale

    def _merge(self, arrived: Arrivals, slot: Index, start: Index, behind: Mask) -> tuple[Arrivals, Index, Index]:
        """Put late samples in their places among what the windows hold of their owners, and go back to the picture before each."""
        base = self._base[slot[arrived.owner]]
        stale = behind[arrived.owner] & ~_after(arrived.sample, slice(None), base)
        who, nth = expand(np.where(behind, start, 0))
        held = self._held(slot[who], nth)
        before = Arrivals(who, held, np.full(len(held), -1))
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
        first = changes(arrived.owner)
        kept, owner = arrived.owner[first], np.cumsum(first) - 1
        ids, slot, start = ids[kept], slot[kept], start[kept]
        rewound = start < self._count[slot]
        again = np.flatnonzero(rewound)
        row = np.zeros(len(ids), np.int64)
        row[again] = self._picture(slot[again], start[again])
        since_us = self._last[slot, 0]
        since_us[again] = self._base[slot[again], 0]
        inside = again[start[again] > 0]
        since_us[inside] = self._held(slot[inside], start[inside] - 1)["time_us"]
        return Work(
            terminal_id=ids,
            slot=slot,
            start=start,
            rewound=rewound,
            since_us=since_us,
            memory=self._remembered(slot, row),
            incidents=self._under_way(slot, row),
            owner=owner,
            sample=arrived.sample,
            source=arrived.source,
            place=start[owner] + np.arange(len(owner)) - np.flatnonzero(first)[owner],
        )

    def _at(self, row: Index, slot: Index) -> Index:
        """Where row and slot are in an array of rows of slots that is laid out flat: numpy finds one index faster than two."""
        return row * len(self._count) + slot

    def _held(self, slot: Index, place: Index) -> NDArray[Any]:
        """Samples in windows."""
        return pick(self._window.reshape(-1), self._at((self._first[slot] + place) % WINDOW, slot))

    def _picture(self, slot: Index, place: Index) -> Index:
        """Row of memory for the picture before the sample at `place`, a multiple of STRIDE."""
        return 1 + (self._first[slot] + place) % WINDOW // STRIDE

    def _remembered(self, slot: Index, row: Index) -> Memory:
        return pick(self._memory.reshape(-1), self._at(row, slot))

    def _under_way(self, slot: Index, row: Index) -> Incidents:
        start, stop = self._extent.reshape(-1, 2).take(self._at(row, slot), axis=0).T
        owner, nth = expand(stop - start)
        return Incidents(owner, pick(self._pool.rows, start[owner] + nth))

    def adopt(self, change: Change) -> None:
        """Make what `check` found the state, which is still as it was then.

        There is no way back but to `forget` the terminals and take them up from what is stored.
        """
        work = change.work
        slot = work.slot if (work.slot >= 0).all() else self._slots_for(work.terminal_id)
        newest = np.cumsum(np.bincount(work.owner, minlength=len(slot))) - 1
        total = work.place[newest] + 1
        drop = np.maximum(-(-(total - WINDOW) // STRIDE) * STRIDE, 0)
        if drop.any():
            self._forget_oldest(work, slot, drop)
        place = work.place - drop[work.owner]
        stays = np.flatnonzero(place >= 0)
        whose = slot[work.owner[stays]]
        put(self._window.reshape(-1), self._at((self._first[whose] + place[stays]) % WINDOW, whose), pick(work.sample, stays))
        self._count[slot] = total - drop
        self._last[slot, 0], self._last[slot, 1] = work.sample["time_us"][newest], work.sample["digest"][newest]
        for picture in change.pictures:
            mine, at = slot[picture.owner], picture.place - drop[picture.owner]
            self._keep(mine, np.where(at >= 0, self._picture(mine, at), -1), picture.memory, picture.incidents)
        self._keep(slot, np.zeros(len(slot), np.int64), work.memory, work.incidents)
        if self._pool.used > self._pool.tidy_at:
            self._tidy()

    def _forget_oldest(self, work: Work, slot: Index, drop: Index) -> None:
        """Move the window and the pictures of each owner on by `drop` samples, and remember where the window now begins."""
        edge = np.flatnonzero(work.place == drop[work.owner] - 1)
        self._base[slot[work.owner[edge]]] = _moment(work.sample, edge)
        inside = np.flatnonzero((drop > 0) & (work.start >= drop))
        self._base[slot[inside]] = _moment(self._held(slot[inside], drop[inside] - 1), slice(None))
        self._first[slot] = (self._first[slot] + drop) % WINDOW

    def _keep(self, slot: Index, row: Index, memory: Memory, incidents: Incidents) -> None:
        """Write memory and incidents into a row of each slot; 0 is the present, -1 a picture that has left."""
        count = np.bincount(incidents.owner, minlength=len(slot))
        stop = self._pool.append(incidents.rows) + np.cumsum(count)
        start = stop - count
        if (gone := row < 0).any():
            slot, row, memory, start, stop = slot[~gone], row[~gone], pick(memory, ~gone), start[~gone], stop[~gone]
        at, extent = self._at(row, slot), self._extent.reshape(-1, 2)
        put(self._memory.reshape(-1), at, memory)
        extent[at, 0], extent[at, 1] = start, stop

    def _slots_for(self, terminal_id: Index) -> Index:
        """Their slots; terminals not known yet get free ones."""
        slot = self.find(terminal_id)
        if (slot >= 0).all():
            return slot
        new = terminal_id[slot < 0]
        used = len(self._ids) + len(self._free)
        grown = np.arange(used, used + max(len(new) - len(self._free), 0))
        slots, self._free = np.split(np.concatenate((self._free, grown)), [len(new)])
        order = np.argsort(ids := np.concatenate((self._ids, new)), kind="stable")
        self._ids, self._slots = ids[order], np.concatenate((self._slots, slots))[order]
        if used + len(grown) >= len(self._count):
            self._grow(max(2 * len(self._count), used + len(grown) + 1, SLOTS_MIN))
        self._base[slots] = self._last[slots] = NEVER
        self._first[slots] = self._count[slots] = 0
        return self.find(terminal_id)

    def _grow(self, capacity: int) -> None:
        for name in ("_first", "_count", "_base", "_last"):
            old = getattr(self, name)
            larger = np.full((capacity, *old.shape[1:]), old[-1])
            larger[: len(old)] = old
            setattr(self, name, larger)
        for name in ("_window", "_memory", "_extent"):
            old = getattr(self, name)
            rows, slots = old.shape[:2]
            larger = _vacant((rows, capacity, *old.shape[2:]), old.dtype)
            whole(larger)[:, :slots] = whole(old)
            setattr(self, name, larger)

    def _tidy(self) -> None:
        """Leave behind the incidents that no present and no picture refers to."""
        extent = self._extent.reshape(-1, 2)
        held = np.flatnonzero(extent[:, 1] > extent[:, 0])
        row, slot = np.divmod(held, len(self._count))
        in_use = (row == 0) | ((row - 1 - self._first[slot] // STRIDE) % PICTURES * STRIDE < self._count[slot])
        extent[held[~in_use]] = 0
        held = held[in_use]
        start, stop = extent[held].T
        which, nth = expand(stop - start)
        rows = pick(self._pool.rows, start[which] + nth)
        self._pool = _Pool(tidy_at=4096 + len(self) + 2 * len(rows))
        after = self._pool.append(rows) + np.cumsum(stop - start)
        extent[held] = np.stack((after - (stop - start), after), 1)

    def pack(self, terminal_id: Index) -> list[bytes]:
        """Everything about each of some terminals, to store or to hand to another worker."""
        slot = self.find(terminal_id)
        if (slot < 0).any():
            msg = f"nothing is known of terminal {terminal_id[slot < 0][0]}"
            raise KeyError(msg)
        count = self._count[slot]
        who, place = expand(count)
        whose, nth = expand(1 + -(-count // STRIDE))
        row = np.where(nth == 0, 0, self._picture(slot[whose], (nth - 1) * STRIDE))
        start, stop = self._extent.reshape(-1, 2).take(self._at(row, slot[whose]), axis=0).T
        which, following = expand(stop - start)
        parts = zip(
            self._heads(terminal_id, slot, whose, stop - start),
            _parted(self._held(slot[who], place), who, len(slot)),
            _parted(self._remembered(slot[whose], row), whose, len(slot)),
            _parted(pick(self._pool.rows, start[which] + following), whose[which], len(slot)),
            strict=True,
        )
        return [b"".join((self._mark, *(part.tobytes() for part in each))) for each in parts]

    def _heads(self, terminal_id: Index, slot: Index, whose: Index, sizes: Index) -> list[NDArray[Any]]:
        """What a packed terminal begins with: who it is, how many samples, the last before them, and how many incidents in each row."""
        rows = np.bincount(whose, minlength=len(slot))
        fixed = np.stack((terminal_id, self._count[slot], *self._base[slot].T, rows), 1)
        return [np.concatenate(each) for each in zip(fixed, _parted(sizes, whose, len(slot)), strict=True)]

    def unpack(self, packed: bytes) -> None:
        """Take up what `pack` gave. Raises ValueError for another format: judge that terminal's stored track again instead."""
        if packed[: len(self._mark)] != self._mark:
            msg = "the state was packed by another version; judge the terminal's stored fixes anew instead"
            raise ValueError(msg)
        body = memoryview(packed)[len(self._mark) :]
        terminal_id, count, base_us, base_digest, pictures = np.frombuffer(body[:40], np.int64).tolist()
        slot = int(self._slots_for(np.array([terminal_id]))[0])
        sizes = np.frombuffer(body[40 : 40 + 8 * pictures], np.int64)
        at = 40 + 8 * pictures
        self._first[slot], self._count[slot], self._base[slot] = 0, count, (base_us, base_digest)
        for target, length in ((self._window, count), (self._memory, pictures)):
            target[:length, slot] = np.frombuffer(body[at : at + length * target.itemsize], target.dtype)
            at += length * target.itemsize
        self._last[slot] = _moment(self._window[count - 1 : count, slot], slice(None)) if count else NEVER
        stop = self._pool.append(np.frombuffer(body[at:], INCIDENT)) + np.cumsum(sizes)
        self._extent[:pictures, slot] = np.stack((stop - sizes, stop), 1)

    def forget(self, terminal_ids: Iterable[int]) -> None:
        """Drop terminals that another worker has taken over; their slots are free for others."""
        gone = np.isin(self._ids, list(terminal_ids))
        free = self._slots[gone]
        self._free = np.concatenate((self._free, free))
        self._ids, self._slots = self._ids[~gone], self._slots[~gone]
        self._count[free] = 0
        self._extent[:, free] = 0


def _parted(rows: NDArray[Any], owner: Index, owners: int) -> list[NDArray[Any]]:
    """The rows of each owner; `owner` is ascending."""
    stop = np.cumsum(np.bincount(owner, minlength=owners)).tolist()
    return [rows[begin:end] for begin, end in zip([0, *stop], stop, strict=False)]


def _moment(sample: NDArray[Any], at: Index | slice) -> Index:
    """Time and digest of some samples, side by side."""
    return np.stack((sample["time_us"][at], sample["digest"][at]), 1)


def _after(sample: NDArray[Any], at: Index | slice, moment: Index) -> Mask:
    """Whether the samples at `at` are later than the times and digests beside them."""
    time_us, digest = sample["time_us"][at], sample["digest"][at]
    later: Mask = (time_us > moment[:, 0]) | ((time_us == moment[:, 0]) & (digest > moment[:, 1]))
    return later


def _vacant(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros in small pages, which take memory when they are written to.

    For an array of this size numpy asks for pages of 2 MB, and one terminal, which has a place in each of WINDOW rows, writes to all of
    them: five vehicles took 197 MB more than they need (2-core VM, 2026-11).
    """
    count = math.prod(shape)
    room = mmap.mmap(-1, max(count * dtype.itemsize, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        room.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(room, dtype, count).reshape(shape)
