"""`LinkTable`: the open connections as columns by slot, so that a batch of thousands of packets is looked up in one step.

A slot is used again after its connection closed, a *ticket* never: it is the slot with the slot's generation above it.
What arrives carries the ticket, and an answer for a ticket whose generation has passed reaches nobody.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tracks.spans import Index, Mask

SLOT_BITS: Final = 24
SLOT_MASK: Final = (1 << SLOT_BITS) - 1
NOBODY: Final = -1
"""Stands for 'no slot' in columns of slots."""


class Link(Protocol):
    """One connection, or one peer that sends datagrams."""

    host: str
    peer: str
    terminal: str
    """The one terminal that it may speak for; empty where it may speak for any."""

    def write(self, data: bytes) -> None:
        """Send `data`; does nothing once the connection has closed."""

    def refuse(self, terminal: str) -> None:
        """Say, where the door has words of its own for it, that `terminal` is not admitted."""

    def close(self, reason: str) -> None:
        """End it; what was written before is still sent. The table's entry goes with it."""

    def pause(self) -> None:
        """Read no more until `resume`."""

    def resume(self) -> None:
        """Read again."""


class LinkTable:
    """Who is connected. Slots grow with need up to `links_max`."""

    def __init__(self, links_max: int) -> None:
        self.links_max = min(links_max, SLOT_MASK)
        self.links: list[Link | None] = []
        self.generation = np.zeros(0, np.int64)
        self.heard_us = np.zeros(0, np.int64)
        """When each slot's last packet came."""
        self.heard_bytes = np.zeros(0, np.int64)
        """Bytes each slot has sent since the last look at its rate."""
        self.session = np.zeros(0, np.int64)
        """Slot of the link's first session, or NOBODY."""
        self.session_count = np.zeros(0, np.int64)
        self.source = np.zeros(0, np.uint8)
        """The door, as a position in SOURCES."""
        self.unfinished = np.zeros(0, np.bool_)
        """What has come last from a slot ended within a frame."""
        self.descriptor = np.zeros(0, np.int64)
        """Where answers to a slot may be written together with others'; NOBODY where its link writes for itself."""
        self.by_address: Counter[str] = Counter()
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.links) - len(self._free)

    def open(self, link: Link, now_us: int, source: int = 0) -> int:
        """Give `link` a slot and return its ticket; the caller has checked that there is room."""
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self.links)
            self.links.append(None)
            if slot >= len(self.generation):
                self._grow(max(64, 2 * slot))
        self.links[slot] = link
        self.heard_us[slot] = now_us
        self.heard_bytes[slot] = 0
        self.session[slot] = NOBODY
        self.session_count[slot] = 0
        self.source[slot] = source
        self.unfinished[slot] = False
        self.descriptor[slot] = NOBODY
        self.by_address[link.host] += 1
        return int(self.generation[slot]) << SLOT_BITS | slot

    def close(self, ticket: int) -> None:
        """Take the slot back; every ticket given for it is void from now on."""
        slot = self.slot_of(ticket)
        link = self.links[slot]
        assert link is not None, "a ticket is closed once"
        self.by_address[link.host] -= 1
        if not self.by_address[link.host]:
            del self.by_address[link.host]
        self.links[slot] = None
        self.generation[slot] += 1
        self._free.append(slot)

    @staticmethod
    def slot_of(ticket: int) -> int:
        """The slot a ticket was given for."""
        return ticket & SLOT_MASK

    def slots(self, tickets: Index) -> Index:
        """The slots of `tickets`; NOBODY where the connection has closed meanwhile."""
        slot = tickets & SLOT_MASK
        return np.where(self.generation[slot] == tickets >> SLOT_BITS, slot, NOBODY)

    def hear(self, tickets: Index, size: Index, now_us: Index) -> None:
        """Note that packets of `size` bytes came at `now_us`."""
        slot = self.slots(tickets)
        here = slot != NOBODY
        self.heard_us[slot[here]] = now_us[here]
        np.add.at(self.heard_bytes, slot[here], size[here])

    def hear_one(self, ticket: int, size: int, now_us: int) -> None:
        """The same for one ticket that is open."""
        slot = ticket & SLOT_MASK
        self.heard_us[slot] = now_us
        self.heard_bytes[slot] += size

    def louder_than(self, bytes_max: int) -> list[tuple[Link, int]]:
        """Who has sent more than `bytes_max` since the last call, and how much."""
        loud = np.flatnonzero(self.heard_bytes > bytes_max)
        sent = [(link, int(self.heard_bytes[slot])) for slot in loud if (link := self.links[slot]) is not None]
        self.heard_bytes[:] = 0
        return sent

    def idle(self, before_us: int) -> list[Link]:
        """The links that have said nothing since `before_us`."""
        quiet = np.flatnonzero(self.heard_us[: len(self.links)] < before_us)
        return [link for slot in quiet if (link := self.links[slot]) is not None]

    def open_links(self) -> list[Link]:
        """All of them, in no order that matters."""
        return [link for link in self.links if link is not None]

    def _grow(self, size: int) -> None:
        self.generation = _longer(self.generation, size)
        self.heard_us = _longer(self.heard_us, size)
        self.heard_bytes = _longer(self.heard_bytes, size)
        self.session = _longer(self.session, size)
        self.session_count = _longer(self.session_count, size)
        self.source = _longer(self.source, size)
        self.unfinished = _longer(self.unfinished, size)
        self.descriptor = _longer(self.descriptor, size)


class SessionTable:
    """Who is logged in on which link: one row per terminal whose frames are believed.

    A session exists only after 0x0102 was right, or at once under lenient admission; frames without a session are refused.
    Usually a link has one; a forwarder's link has many, and `_more` finds those behind the first.
    """

    def __init__(self, links: LinkTable) -> None:
        self.links = links
        self.key_high = np.zeros(0, np.uint64)
        self.key_low = np.zeros(0, np.uint64)
        self.terminal_id = np.zeros(0, np.int64)
        self.vehicle_id = np.zeros(0, np.int64)
        self.login = np.zeros(0, np.int64)
        """The registry's number of this login; a larger one of the same terminal, anywhere, ends this session."""
        self.serial = np.zeros(0, np.int64)
        """Serial of the next frame down."""
        self.link = np.zeros(0, np.int64)
        self.of_terminal: dict[int, int] = {}
        self.elsewhere: dict[int, int] = {}
        """Newest login heard from other workers for terminals that are not here; kept only while logins of ours are on their way."""
        self.ended: list[tuple[int, int]] = []
        """(terminal id, login) of sessions that ended, however; whoever tells the registry takes them away."""
        self._more: dict[int, dict[tuple[int, int], int]] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.of_terminal)

    def find(self, link: Index, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> Index:
        """The session of each (link slot, phone), NOBODY where there is none."""
        if not len(self.key_low):
            return np.full(len(link), NOBODY, np.int64)
        first = np.where(link != NOBODY, self.links.session[link], NOBODY)
        same = (first != NOBODY) & (self.key_low[first] == low) & (self.key_high[first] == high)
        session = np.where(same, first, NOBODY)
        if self._more:
            for row in np.flatnonzero(~same & (first != NOBODY)):
                session[row] = self._more.get(int(link[row]), {}).get((int(high[row]), int(low[row])), NOBODY)
        return session

    def open(self, link: int, key: tuple[int, int], terminal_id: int, vehicle_id: int, login: int) -> Link | None:
        """Log a terminal in on a link; returns the link its former session leaves behind empty, which is to be closed.

        A login older than the one that stands, here or elsewhere, changes nothing.
        """
        if self.elsewhere.get(terminal_id, login) > login:
            return None
        former = self.of_terminal.get(terminal_id, NOBODY)
        left = None
        if former != NOBODY:
            if self.link[former] == link or self.login[former] > login:
                self.login[former] = max(int(self.login[former]), login)
                self.vehicle_id[former] = vehicle_id
                return None
            left = self.end(former)
        slot = self._take_slot()
        self.key_high[slot], self.key_low[slot] = key
        self.terminal_id[slot] = terminal_id
        self.vehicle_id[slot] = vehicle_id
        self.login[slot] = login
        self.serial[slot] = 0
        self.link[slot] = link
        self.of_terminal[terminal_id] = slot
        if self.links.session[link] == NOBODY:
            self.links.session[link] = slot
        else:
            self._more.setdefault(link, {})[key] = slot
        self.links.session_count[link] += 1
        return left

    def serve(self, terminal_id: int, vehicle_id: int) -> None:
        """A terminal that may be logged in serves this vehicle from now on, or none (ABSENT)."""
        if (slot := self.of_terminal.get(terminal_id, NOBODY)) != NOBODY:
            self.vehicle_id[slot] = vehicle_id

    def end(self, slot: int) -> Link | None:
        """Log out; returns the link when no session is left on it."""
        link = int(self.link[slot])
        key = int(self.key_high[slot]), int(self.key_low[slot])
        others = self._more.get(link, {})
        if self.links.session[link] != slot:
            del others[key]
        else:
            self.links.session[link] = others.pop(next(iter(others))) if others else NOBODY
        if not others:
            self._more.pop(link, None)
        self.links.session_count[link] -= 1
        self.ended.append((int(self.terminal_id[slot]), int(self.login[slot])))
        del self.of_terminal[int(self.terminal_id[slot])]
        self.link[slot] = NOBODY
        self.key_low[slot] = self.key_high[slot] = np.iinfo(np.uint64).max
        self._free.append(slot)
        return self.links.links[link] if not self.links.session_count[link] else None

    def end_link(self, link: int) -> None:
        """Log out everybody on a link that closed."""
        while (slot := int(self.links.session[link])) != NOBODY:
            self.end(slot)

    def supersede(self, terminal_id: int, login: int) -> Link | None:
        """Another worker heard a login: end an older session of that terminal here; returns the link left empty, to be closed."""
        slot = self.of_terminal.get(terminal_id, NOBODY)
        if slot == NOBODY:
            self.elsewhere[terminal_id] = login
            return None
        return self.end(slot) if self.login[slot] < login else None

    def next_serials(self, session: Index) -> NDArray[np.uint16]:
        """Consecutive serials for frames down, in row order per session; 0 where there is no session."""
        serial = np.zeros(len(session), np.uint16)
        rows: Mask = session != NOBODY
        known = session[rows]
        order = np.argsort(known, kind="stable")
        ranked = known[order]
        first = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1]))) if len(ranked) else np.empty(0, np.int64)
        count = np.diff(np.append(first, len(ranked)))
        rank = np.empty(len(ranked), np.int64)
        rank[order] = np.arange(len(ranked)) - np.repeat(first, count)
        serial[rows] = (self.serial[known] + rank) & 0xFFFF
        self.serial[ranked[first]] += count
        return serial

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        slot = len(self.of_terminal)
        if slot >= len(self.key_low):
            size = max(64, 2 * slot)
            for name in ("key_high", "key_low", "terminal_id", "vehicle_id", "login", "serial", "link"):
                setattr(self, name, _longer(getattr(self, name), size))
        return slot


def _longer(column: NDArray[Any], size: int) -> NDArray[Any]:
    return np.concatenate((column, np.zeros(size - len(column), column.dtype)))
