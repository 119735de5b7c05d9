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
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.links import Link, LinkTable
from ingest.told import Told
from tracks.spans import Index

FEW: Final = 256
"""Packets that are company enough. Below it the fixed cost of a batch (about 1 ms with its commit) outweighs its rows."""


def now_us() -> int:
    """The wall clock in microseconds since 1970 UTC."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class Gathered:
    """One batch: packets of JT/T 808, each ending in a flag, with who sent it and when; and what other doors have read."""

    packets: list[bytes]
    ticket: Index
    received_us: Index
    told: Told | None = None
    told_bytes: int = 0
    number: int = 0

    def __len__(self) -> int:
        return len(self.packets) + (len(self.told) if self.told else 0)

    def sizes(self) -> Index:
        """Bytes of each packet."""
        return np.fromiter(map(len, self.packets), np.int64, len(self.packets))

    def halves(self) -> tuple[Gathered, Gathered]:
        """The same as two batches."""
        middle = len(self.packets) // 2 if not self.told else len(self.packets)
        first, second = (None, self.told) if self.packets or not self.told else self.told.halves()
        return (
            Gathered(self.packets[:middle], self.ticket[:middle], self.received_us[:middle], first),
            Gathered(self.packets[middle:], self.ticket[middle:], self.received_us[middle:], second),
        )


class Gather:
    """Packets waiting to be settled, in order of arrival."""

    def __init__(self, *, rows_max: int, bytes_max: int, age_ms_max: int, backlog_bytes_max: int) -> None:
        self.rows_max = rows_max
        self.bytes_max = bytes_max
        self.age_s_max = age_ms_max / 1_000
        self.backlog_bytes_max = backlog_bytes_max
        self.packets: list[bytes] = []
        self.tickets: list[int] = []
        self.received_us: list[int] = []
        self.told = Told()
        self.taken = 0
        """Batches handed over so far, which is the number of the next one."""
        self.taken_s = 0.0
        """When the last was handed over, by the loop's clock."""
        self._full: deque[int] = deque()
        """Packets of each batch that waits and takes no more."""
        self._filling_rows = 0
        self._filling_bytes = 0
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
        if self._filling_rows == self.rows_max or (self._filling_bytes + size > self.bytes_max and self._filling_rows):
            self._full.append(self._filling_rows)
            self._filling_rows = self._filling_bytes = 0
        self._filling_rows += 1
        self._filling_bytes += size
        self.packets.append(packet)
        self.tickets.append(ticket)
        self.received_us.append(now_us)
        self.backlog_bytes += size
        if len(self.packets) == 1:
            self._some.set()
        self._ripen()
        if self.holds or self.backlog_bytes > self.backlog_bytes_max:
            self.paused.add(link)
            link.pause()

    def add_many(self, packets: list[bytes], tickets: list[int], now_us: int, links: LinkTable) -> None:
        """Take in packets of as many links at once; one by one where a batch gets full with them, or it is time to pause their links."""
        size = sum(map(len, packets))
        rows, filled = self._filling_rows + len(packets), self._filling_bytes + size
        if rows > self.rows_max or filled > self.bytes_max or self.holds or self.backlog_bytes + size > self.backlog_bytes_max:
            for packet, ticket in zip(packets, tickets, strict=True):
                if (link := links.links[links.slot_of(ticket)]) is not None:
                    self.add(packet, ticket, now_us, link)
            return
        self._filling_rows, self._filling_bytes = rows, filled
        self.packets += packets
        self.tickets += tickets
        self.received_us += [now_us] * len(packets)
        self.backlog_bytes += size
        if packets:
            self._some.set()
        self._ripen()

    def tell(self, size: int, link: Link) -> None:
        """Note that a door has put `size` bytes' worth into `told`; pauses `link` as `add` does."""
        self._told_bytes += size
        self.backlog_bytes += size
        self._some.set()
        self._ripen()
        if self.holds or self.backlog_bytes > self.backlog_bytes_max:
            self.paused.add(link)
            link.pause()

    def batch_of_told(self) -> int:
        """The batch that what was told last will be in."""
        return self.taken

    def batch_of_last_packet(self) -> int:
        """The batch that the packet added last is in."""
        return self.taken + len(self._full) - (0 if self._filling_rows else 1)

    async def take(self) -> Gathered:
        """Wait for packets, and a little for company, then hand over a batch of at most `rows_max` packets and `bytes_max` bytes."""
        await self._some.wait()
        await self._ripe.wait()
        now_s = asyncio.get_running_loop().time
        if len(self) < FEW and (early_s := self.taken_s + self.age_s_max - now_s()) > 0:
            await asyncio.sleep(early_s)
        self.taken_s = now_s()
        if self._full:
            count = self._full.popleft()
        else:
            count = self._filling_rows
            self._filling_rows = self._filling_bytes = 0
        ticket, received_us = np.array(self.tickets[:count], np.int64), np.array(self.received_us[:count], np.int64)
        told, size, number = None, 0, self.taken
        if self.told:
            told, self.told = self.told, Told()
            size, self._told_bytes = self._told_bytes, 0
        batch = Gathered(self.packets[:count], ticket, received_us, told, size, number)
        del self.packets[:count], self.tickets[:count], self.received_us[:count]
        self.taken += 1
        if not self.packets:
            self._some.clear()
        return batch

    def settled(self, batch: Gathered) -> None:
        """A batch has left the pipeline; reads go on when there is room again."""
        self.backlog_bytes -= int(batch.sizes().sum()) + batch.told_bytes
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
        return len(self.packets) + len(self.told)
