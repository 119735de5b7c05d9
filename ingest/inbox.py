"""`Inbox`: the packets of many connections come in together.

The event loop's transports read one socket after another and call Python for each. Here the loop hears that some sockets have something,
all of them are read by one system call (`aio.py`), and whole packets, which nearly all are, go on together. The rest goes the plain way,
link by link: what ends within a frame, what is longer than the room; and where there is no more to come, the link is told.
"""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from typing import Final, Protocol

import numpy as np

from ingest.aio import COME, EDGE, HANG_UP, ROOM_BYTES, URGENT, Aio, Poll
from ingest.gather import Gather, now_us
from ingest.links import NOBODY, SLOT_MASK, Link, LinkTable
from protocols.jt808.framing import FLAG
from tracks.spans import Spans

NOTHING: Final = -errno.EAGAIN
ONCE: Final = COME | URGENT | HANG_UP | EDGE
"""Tell of a socket when something comes, and not again until more does: else the kernel looks at each a second time, to find it empty."""


class Stream(Link, Protocol):
    """A link that the inbox reads."""

    def data_received(self, data: bytes) -> None:
        """Take what has come, whole or not."""

    def end_received(self, error: int) -> None:
        """Nothing more will come (0), or reading has failed (errno): the inbox is to be left."""


class Inbox:
    """Reads the connections of one worker."""

    def __init__(self, links: LinkTable, gather: Gather, aio: Aio, packet_bytes_max: int) -> None:
        self._links = links
        self._gather = gather
        self._aio = aio
        self._bytes_max = min(ROOM_BYTES - 1, packet_bytes_max)
        self._poll = Poll()
        self._streams: dict[int, Stream] = {}
        """By descriptor, those that are read here."""
        self._ticket = np.full(64, NOBODY, np.int64)
        """By descriptor, likewise."""
        asyncio.get_running_loop().add_reader(self._poll.epoll.fileno(), self.read)

    def watch(self, descriptor: int, ticket: int, stream: Stream) -> None:
        """Read a socket from now on."""
        if descriptor in self._streams:
            return
        while descriptor >= len(self._ticket):
            self._ticket = np.concatenate((self._ticket, np.full_like(self._ticket, NOBODY)))
        self._streams[descriptor] = stream
        self._ticket[descriptor] = ticket
        self._poll.epoll.register(descriptor, ONCE)

    def leave(self, descriptor: int) -> None:
        """Read it no more."""
        if self._streams.pop(descriptor, None) is not None:
            with suppress(OSError):  # a closed one has left by itself
                self._poll.epoll.unregister(descriptor)

    def read(self) -> None:
        """Take in what has come."""
        told = self._poll.ready()
        descriptor = told["descriptor"].astype(np.int64)
        count = self._aio.read(descriptor)
        room, start = self._aio.room, self._aio.begin[: len(descriptor)]
        stop, ticket = start + count, self._ticket[descriptor]
        whole = (count > 0) & (count <= self._bytes_max) & ~self._links.unfinished[ticket & SLOT_MASK]
        whole &= room[stop - 1] == FLAG
        other = [(self._streams[int(descriptor[row])], int(start[row]), int(count[row])) for row in np.flatnonzero(~whole)]
        self._gather.add_many(Spans(room, start[whole], stop[whole]).packed(), ticket[whole], now_us(), self._links)
        for stream, begin, size in other:
            if size > 0:
                stream.data_received(room[begin : begin + size].tobytes())
            elif size != NOTHING:
                stream.end_received(-size)
        for each in descriptor[(count == ROOM_BYTES) | (told["events"] != COME)].tolist():
            if each in self._streams:  # there may be more, behind an urgent byte too, or an end, of which nothing more is told
                self._poll.epoll.modify(each, ONCE)

    def close(self) -> None:
        """Read nothing more; twice does no harm."""
        if self._poll.epoll.closed:
            return
        asyncio.get_running_loop().remove_reader(self._poll.epoll.fileno())
        self._poll.epoll.close()
