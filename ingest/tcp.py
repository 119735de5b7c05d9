"""Sockets in, packets out: `TcpLink` for a connection, `UdpDoor` for peers that send datagrams.

Nothing here knows what a frame means. A packet handed on is whole: it ends in a flag, whatever TCP did to it on the way.
Hot: one call of `data_received` per packet and one of `write` per batch and link; what stays of a gateway's cost is here.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import structlog

from ingest.gather import Gather, now_us
from ingest.inbox import Inbox
from ingest.links import NOBODY, LinkTable
from protocols.errors import ProtocolError
from protocols.jt808.framing import FLAG, Deframer
from tracks.fix import SOURCES

CLOSE_TIMEOUT_S: Final = 5.0
"""How long a closed connection may take to fetch its last answers."""

log: Final = structlog.get_logger("dubhe.link")


@dataclass(slots=True)
class Porter:
    """Who may come in: caps on connections in all, per address and per second. One for all doors of a worker."""

    links: LinkTable
    gather: Gather
    frame_bytes_max: int
    links_per_address_max: int
    connects_per_second_max: int
    on_close: Callable[[int], None]
    inbox: Inbox | None = None
    """Reads many connections together, where the system can."""
    refused: dict[str, int] = field(default_factory=dict)
    """How many were turned away, by reason; metrics read and clear it."""
    closed: dict[str, int] = field(default_factory=dict)
    """How many connections ended, by reason; metrics read and clear it."""
    closing: set[TcpLink] = field(default_factory=set)
    """Closed by us and still sending their last answers."""
    none_closing: asyncio.Event = field(default_factory=asyncio.Event)
    _second: int = 0
    _in_second: int = 0

    def objection(self, host: str) -> str | None:
        """Why `host` may not connect now, or None."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        if len(self.links) + len(self.closing) >= self.links.links_max:
            return "links_max"
        if self.links.by_address[host] >= self.links_per_address_max:
            return "links_per_address_max"
        if self._in_second > self.connects_per_second_max:
            return "connects_per_second_max"
        return None

    def gone(self, link: TcpLink) -> None:
        """A connection has ended for good."""
        self.closing.discard(link)
        if not self.closing:
            self.none_closing.set()

    def turn_away(self, reason: str, peer: str) -> None:
        """Count a refusal; log the first of each kind between two looks at the metrics, so that a flood does not flood the log."""
        if reason not in self.refused:
            log.warning("connection refused", peer=peer, reason=reason)
        self.refused[reason] = self.refused.get(reason, 0) + 1


class TcpLink(asyncio.Protocol):
    """One terminal's (or forwarder's) connection."""

    __slots__ = ("_choked", "_deframer", "_gather", "_inbox", "_porter", "_socket", "_ticket", "_transport", "host", "peer")

    source = SOURCES.index("jt808")
    terminal = ""
    by_many: ClassVar = True
    """Packets need no look of ours, if they are whole: the inbox may read us."""

    def __init__(self, porter: Porter) -> None:
        self._porter = porter
        self._inbox: Inbox | None = None
        self._gather = porter.gather
        self._deframer = Deframer(porter.frame_bytes_max)
        self._transport: Any = None
        self._ticket = -1
        self._socket: socket.socket | None = None
        self._choked = False
        self.host = self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or close it at once when a cap says so."""
        self._transport = transport
        name = transport.get_extra_info("peername") or ("?", 0)
        self.host = str(name[0])
        self.peer = f"{name[0]}:{name[1]}"
        if reason := self._porter.objection(self.host):
            self._porter.turn_away(reason, self.peer)
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(0)
        given = transport.get_extra_info("socket")
        self._socket = socket.socket(given.family, given.type, given.proto, fileno=given.fileno())
        self._ticket = self._porter.links.open(self, now_us(), self.source)
        self._take_answers(on=True)
        if self.by_many and self._porter.inbox:
            asyncio.get_running_loop().call_soon(self._join, self._porter.inbox)  # the transport begins to read after this call

    def _join(self, inbox: Inbox) -> None:
        if self._ticket >= 0:
            self._hear(on=False)
            self._inbox = inbox
            if not self._choked and self not in self._gather.paused:
                self._hear(on=True)

    def _hear(self, *, on: bool) -> None:
        """Read, or do not."""
        if self._inbox is None or self._socket is None:
            (self._transport.resume_reading if on else self._transport.pause_reading)()
        elif on:
            self._inbox.watch(self._socket.fileno(), self._ticket, self)
        else:
            self._inbox.leave(self._socket.fileno())

    def end_received(self, error: int) -> None:
        """There is no more to read (0), which the transport finds too; or an error (errno), which a socket tells only once."""
        if error:
            self._leave("network")
            self._transport.abort()
            return
        self._hear(on=False)
        self._inbox = None
        self._hear(on=True)

    def _take_answers(self, *, on: bool) -> None:
        """Whether the socket may be written to without us."""
        if self._socket is not None:
            links = self._porter.links
            links.descriptor[links.slot_of(self._ticket)] = self._socket.fileno() if on else NOBODY

    def data_received(self, data: bytes) -> None:
        """Hand on what is whole and keep the rest."""
        if self._ticket < 0:
            return
        if self._deframer.tail or data[-1] != FLAG or len(data) > self._deframer.limit:
            try:
                data = self._deframer.feed(data)
            except ProtocolError as error:
                log.warning("connection closed", peer=self.peer, reason="oversize", why=str(error))
                self.close("oversize")
                return
            links = self._porter.links
            links.unfinished[links.slot_of(self._ticket)] = bool(self._deframer.tail)
            if not data:
                return
        self._gather.add(data, self._ticket, now_us(), self)

    def write(self, data: bytes) -> None:
        """Send now what the socket takes, and the rest through the transport's buffer.

        Sending is half of what a gateway does, so it goes to the socket without the transport's queue and its turn of the loop.
        """
        if self._socket is None:
            return
        if not self._choked:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # the transport hears of it on its own and calls connection_lost
            if sent == len(data):
                return
            data = data[sent:]
        self._transport.write(data)

    def pause_writing(self) -> None:
        """The transport's buffer holds something: until it is gone nothing may overtake it, and who does not read is not read."""
        self._choked = True
        self._take_answers(on=False)
        self._hear(on=False)

    def resume_writing(self) -> None:
        """It reads again."""
        self._choked = False
        self._take_answers(on=True)
        if self not in self._gather.paused:
            self._hear(on=True)

    def pause(self) -> None:
        """Read no more until `resume`."""
        if self._ticket >= 0:
            self._hear(on=False)

    def resume(self) -> None:
        """Read again."""
        if self._ticket >= 0 and not self._choked:
            self._hear(on=True)

    def refuse(self, terminal: str) -> None:
        """The answers of JT/T 808 say it."""

    def close(self, reason: str) -> None:
        """End the connection after what was written; its slot is free at once."""
        if self._ticket >= 0:
            self._leave(reason)
            self._porter.closing.add(self)
            self._porter.none_closing.clear()
            self._transport.close()
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._transport.abort)  # for a peer that never reads

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer, the network, or `close` ended it; the loop says so before it frees the descriptor that `write` uses."""
        self._porter.gone(self)
        if self._ticket >= 0:
            self._leave("peer" if exc is None else "network")

    def _leave(self, reason: str) -> None:
        self._porter.closed[reason] = self._porter.closed.get(reason, 0) + 1
        self._gather.paused.discard(self)
        self._take_answers(on=False)  # the slot stays until what it said is settled; the descriptor may be another's by then
        if self._socket is not None:
            if self._inbox is not None:
                self._inbox.leave(self._socket.fileno())
            self._socket.detach()  # the descriptor is the transport's
            self._socket = None
        ticket, self._ticket = self._ticket, -1
        self._porter.on_close(ticket)


class UdpLink:
    """One address that sends datagrams; it is a link like any other and ends by its idle timeout."""

    __slots__ = ("_door", "address", "host", "peer", "ticket")

    terminal = ""

    def __init__(self, door: UdpDoor, address: tuple[Any, ...]) -> None:
        self._door = door
        self.address = address
        self.host = str(address[0])
        self.peer = f"{address[0]}:{address[1]}"
        self.ticket = -1

    def write(self, data: bytes) -> None:
        """Answer the address."""
        if self.ticket >= 0:
            self._door.transport.sendto(data, self.address)

    def pause(self) -> None:
        """Datagrams cannot be held back: the door drops them, unanswered, while there is too much to do; the terminal sends again."""

    resume = pause

    def refuse(self, terminal: str) -> None:
        """The answers of JT/T 808 say it."""

    def close(self, reason: str) -> None:
        """Forget the address."""
        if self.ticket >= 0:
            self._door.forget(self, reason)


class UdpDoor(asyncio.DatagramProtocol):
    """JT/T 808 over UDP: a datagram carries whole frames."""

    def __init__(self, porter: Porter) -> None:
        self._porter = porter
        self._links: dict[tuple[Any, ...], UdpLink] = {}
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is bound."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Hand a datagram on. What is cut off in it stays cut off: the flag added here makes it a frame that is refused with a reason."""
        gather = self._porter.gather
        if not data or gather.holds or gather.backlog_bytes > gather.backlog_bytes_max:
            return
        link = self._links.get(addr)
        if link is None:
            link = UdpLink(self, addr)
            if reason := self._porter.objection(link.host):
                self._porter.turn_away(reason, link.peer)
                return
            link.ticket = self._porter.links.open(link, now_us())
            self._links[addr] = link
        if data[-1] != FLAG:
            data += bytes((FLAG,))
        gather.add(data, link.ticket, now_us(), link)

    def forget(self, link: UdpLink, reason: str) -> None:
        """The link has timed out or was replaced by a newer login."""
        self._porter.closed[reason] = self._porter.closed.get(reason, 0) + 1
        del self._links[link.address]
        ticket, link.ticket = link.ticket, -1
        self._porter.on_close(ticket)
