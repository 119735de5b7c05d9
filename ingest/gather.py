"""`Gather`: what arrived and is not settled yet. Terminals put packets in; the pipeline takes them out at its own pace.

What arrives while a batch is being committed becomes the next batch, so batches grow with the load by themselves; one that is half full is
handed over before that, to be read and judged meanwhile.
A small batch is taken no sooner than `age_ms_max` after the one before: fewer, fuller transactions cost less than a few milliseconds
matter. A packet that comes alone waits for nobody, and under load, when batches take longer than that, none waits.
Beyond `backlog_bytes_max` every link that still sends is paused, and read again once half of the backlog is settled.

Batches are numbered, and it is known beforehand in which one something will be settled: a door that has to acknowledge what it
took in (MQTT) notes that number, and acknowledges once that batch is committed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ingest.links import Link, LinkTable
from ingest.told import Told
from tracks.spans import Index, Spans

FEW: Final = 256
"""Packets that are company enough. Below it the fixed cost of a batch (about 1 ms with its commit) outweighs its rows."""


def now_us() -> int:
    """The wall clock in microseconds since 1970 UTC."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class Gathered:
    """One batch: packets of JT/T 808, each ending in a flag, with who sent it and when; and what other doors have read."""

    packets: Spans
    """End to end."""
    ticket: Index
    received_us: Index
    told: Told | None = None
    told_bytes: int = 0
    number: int = 0

    def __len__(self) -> int:
        return len(self.packets) + (len(self.told) if self.told else 0)

    def halves(self) -> tuple[Gathered, Gathered]:
        """The same as two batches."""
        rows = np.arange(len(self.packets))
        middle = len(rows) // 2 if not self.told else len(rows)
        first, second = (None, self.told) if len(rows) or not self.told else self.told.halves()
        return self._part(rows[:middle], first), self._part(rows[middle:], second)

    def _part(self, rows: Index, told: Told | None) -> Gathered:
        return Gathered(self.packets.take(rows).packed(), self.ticket[rows], self.received_us[rows], told)


@dataclass(slots=True)
class _Filling:
    """A batch that fills: parcels of packets that came together, and those that came one by one since the last parcel."""

    parcels: list[tuple[Spans, Index, Index]] = field(default_factory=list)
    packets: list[bytes] = field(default_factory=list)
    tickets: list[int] = field(default_factory=list)
    received_us: list[int] = field(default_factory=list)
    rows: int = 0
    size_bytes: int = 0

    def add(self, packet: bytes, ticket: int, now_us: int) -> None:
        """Take one packet in."""
        self.packets.append(packet)
        self.tickets.append(ticket)
        self.received_us.append(now_us)
        self.rows += 1
        self.size_bytes += len(packet)

    def add_many(self, packets: Spans, ticket: Index, now_us: int) -> None:
        """Take in packets that came together."""
        self._make_parcel()
        self.parcels.append((packets, ticket, np.full(len(ticket), now_us)))
        self.rows += len(ticket)
        self.size_bytes += len(packets.buffer)

    def columns(self) -> tuple[Spans, Index, Index]:
        """All packets in order of arrival, their tickets, and when they came."""
        self._make_parcel()
        packets, ticket, received_us = zip(*self.parcels, strict=True) if self.parcels else ((), (), ())
        none = np.empty(0, np.int64)
        return Spans.concat(packets), np.concatenate((none, *ticket)), np.concatenate((none, *received_us))

    def _make_parcel(self) -> None:
        if self.packets:
            self.parcels.append((Spans.of(self.packets), np.array(self.tickets), np.array(self.received_us)))
            self.packets, self.tickets, self.received_us = [], [], []


class Gather:
    """Packets waiting to be settled, in order of arrival."""

    def __init__(self, *, rows_max: int, bytes_max: int, age_ms_max: int, backlog_bytes_max: int) -> None:
        self.rows_max = rows_max
        self.bytes_max = bytes_max
        self.age_s_max = age_ms_max / 1_000
        self.backlog_bytes_max = backlog_bytes_max
        self.told = Told()
        self.taken = 0
        """Batches handed over so far, which is the number of the next one."""
        self.taken_s = 0.0
        """When the last was handed over, by the loop's clock."""
        self._full: deque[_Filling] = deque()
        """Batches that wait and take no more."""
        self._filling = _Filling()
        self._told_bytes = 0
        self.backlog_bytes = 0
        """Bytes taken in and not yet settled, those of the batch in the pipeline included."""
        self.paused: set[Link] = set()
        self.holds: set[str] = set()
        """Why reading stays paused whatever the backlog: the database is away, or we are draining."""
        self.empty = asyncio.Event()
        """Set whenever the last of the backlog has been settled."""
        self._some = asyncio.Event()
        self._ripe = asyncio.Event()
        """Set while no batch is being committed, or the one that fills is half full."""
        self._ripe.set()

    def add(self, packet: bytes, ticket: int, now_us: int, link: Link) -> None:
        """Take one packet in; pauses `link` when there is more than enough."""
        size = len(packet)
        if self._overflows(1, size) and self._filling.rows:
            self._full.append(self._filling)
            self._filling = _Filling()
        self._filling.add(packet, ticket, now_us)
        self._notice(size)
        if self.holds or self.backlog_bytes > self.backlog_bytes_max:
            self.paused.add(link)
            link.pause()

    def add_many(self, packets: Spans, ticket: Index, now_us: int, links: LinkTable) -> None:
        """Take in packets of as many links, end to end; one by one where a batch gets full with them, or it is time to pause links."""
        size = len(packets.buffer)
        if self._overflows(len(ticket), size) or self.holds or self.backlog_bytes + size > self.backlog_bytes_max:
            for packet, each in zip(packets, ticket.tolist(), strict=True):
                if (link := links.links[links.slot_of(each)]) is not None:
                    self.add(packet, each, now_us, link)
        elif size:
            self._filling.add_many(packets, ticket, now_us)
            self._notice(size)

    def _overflows(self, rows: int, size: int) -> bool:
        return self._filling.rows + rows > self.rows_max or self._filling.size_bytes + size > self.bytes_max

    def _notice(self, size: int) -> None:
        self.backlog_bytes += size
        self._some.set()
        self._ripen()

    def tell(self, size: int, link: Link) -> None:
        """Note that a door has put `size` bytes' worth into `told`; pauses `link` as `add` does."""
        self._told_bytes += size
        self._notice(size)
        if self.holds or self.backlog_bytes > self.backlog_bytes_max:
            self.paused.add(link)
            link.pause()

    def batch_of_told(self) -> int:
        """The batch that what was told last will be in."""
        return self.taken

    def batch_of_last_packet(self) -> int:
        """The batch that the packet added last is in."""
        return self.taken + len(self._full) - (0 if self._filling.rows else 1)

    def batch_of_last(self) -> int:
        """The batch that what came last is in, packet or told; the newest one handed over where nothing waits."""
        return max(self.batch_of_last_packet(), self.batch_of_told() if self.told else -1)

    async def take(self) -> Gathered:
        """Wait for packets, and a little for company, then hand over a batch of at most `rows_max` packets and `bytes_max` bytes."""
        await self._some.wait()
        await self._ripe.wait()
        now_s = asyncio.get_running_loop().time
        if len(self) < FEW and (early_s := self.taken_s + self.age_s_max - now_s()) > 0:
            await asyncio.sleep(early_s)
        self.taken_s = now_s()
        filled = self._full.popleft() if self._full else self._filling
        if filled is self._filling:
            self._filling = _Filling()
        told, size, number = None, 0, self.taken
        if self.told:
            told, self.told = self.told, Told()
            size, self._told_bytes = self._told_bytes, 0
        self.taken += 1
        if not self._filling.rows:  # then none is full either
            self._some.clear()
        return Gathered(*filled.columns(), told, size, number)

    def settled(self, batch: Gathered) -> None:
        """A batch has left the pipeline; reads go on when there is room again."""
        self.backlog_bytes -= len(batch.packets.buffer) + batch.told_bytes
        if not self.backlog_bytes:
            self.empty.set()
        if self.paused and self.backlog_bytes <= self.backlog_bytes_max // 2:
            self._read_again()

    def let_fill(self) -> None:
        """A batch is being committed: the next is worth its fixed cost when it is half full, or after that."""
        self._ripe.clear()
        self._ripen()

    def serve(self) -> None:
        """No batch is being committed: hand over whatever there is."""
        self._ripe.set()

    def _ripen(self) -> None:
        if 2 * len(self) >= self.rows_max:
            self._ripe.set()

    def hold(self, reason: str) -> None:
        """Read nothing that is not read yet, until `release` of the same reason."""
        self.holds.add(reason)

    def release(self, reason: str) -> None:
        """End a hold; reading goes on when no other stands."""
        self.holds.discard(reason)
        self._read_again()

    def _read_again(self) -> None:
        if self.holds:
            return
        paused, self.paused = self.paused, set()
        for link in paused:
            link.resume()

    def __len__(self) -> int:
        return sum(each.rows for each in self._full) + self._filling.rows + len(self.told)
