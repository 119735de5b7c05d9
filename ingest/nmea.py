"""NMEA over TCP: a connection that names its terminal and then streams sentences; one fix per epoch.

Sentences are read as they arrive, since an epoch waits for its next sentence; what comes of them is settled with the batch at hand.
NMEA knows no answers: nothing is said to a unit but `ERROR …`, when it has not named itself or is not admitted.
Nor does it know codes, so a name is believed as `Conversation.welcome` says; the port is off unless it is asked for.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from ingest.gather import now_us
from ingest.tcp import Porter, TcpLink
from protocols.nmea import stream
from protocols.nmea.epochs import IDLE_US, Epochs
from protocols.rows import Rows
from tracks.fix import SOURCES
from tracks.verdict import Reject

log: Final = structlog.get_logger("dubhe.nmea")

FLUSH_EVERY_S: Final = 0.25
"""Half of the silence that ends an epoch."""


class NmeaDoor:
    """What the links of this door share: the caps, and the clock that ends epochs."""

    def __init__(self, porter: Porter, terminals_per_link_max: int) -> None:
        self.porter = porter
        self.terminals_per_link_max = terminals_per_link_max
        self.waiting: set[NmeaLink] = set()
        """Links that may have sentences which are in no row yet."""

    async def run(self) -> None:
        """End epochs after which nothing more has come, for ever."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            now = now_us()
            for link in [each for each in self.waiting if now - each.heard_us >= IDLE_US]:
                link.flush(now)

    def finish(self) -> None:
        """Nothing more is read: what is open becomes rows."""
        for link in list(self.waiting):
            link.finish()


class NmeaLink(TcpLink):
    """One unit's connection, or one that carries several, each named before its sentences."""

    __slots__ = ("_door", "_epochs", "_name", "_stream", "heard_us")

    source = SOURCES.index("nmea")
    by_many = False

    def __init__(self, door: NmeaDoor) -> None:
        super().__init__(door.porter)
        self._door = door
        self._stream = stream.Link()
        self._name = ""
        self._epochs: dict[str, Epochs] = {}
        self.heard_us = 0

    def data_received(self, data: bytes) -> None:
        """Read what is whole."""
        if self._ticket < 0:
            return
        self.heard_us = now_us()
        self._porter.links.hear_one(self._ticket, len(data), self.heard_us)
        try:
            self._take(self._stream.feed(data))
        except Exception:
            log.exception("bytes that broke us; they are in quarantine", peer=self.peer, data=data.hex())
            self._rows().reject(Reject.UNSTORABLE, data, frame=self._sender(self._name), received_us=self.heard_us)
        self._gather.tell(len(data), self)
        self._door.waiting.add(self)

    def flush(self, now: int) -> None:
        """Nothing has come for a while: end the epochs that wait for more."""
        for name, epochs in self._epochs.items():
            if epochs.oldest is not None:
                epochs.flush(self._rows(), frame=self._sender(name), now_us=now)
        self._tell_rest()

    def finish(self) -> None:
        """Nothing more will come."""
        self._take(self._stream.finish())
        for name, epochs in self._epochs.items():
            if epochs.oldest is not None:
                epochs.finish(self._rows(), frame=self._sender(name))
        self._tell_rest()

    def refuse(self, terminal: str) -> None:
        """The registry does not know it, or the connection carries others already."""
        self.write(f"ERROR terminal {terminal} is not admitted\r\n".encode())
        self._stream = stream.Link()
        if (epochs := self._epochs.pop(terminal, None)) is not None:
            epochs.finish(self._rows(), frame=self._sender(""))
        self.close("not admitted")

    def _leave(self, reason: str) -> None:
        self.finish()
        super()._leave(reason)

    def _take(self, heard: stream.Heard) -> None:
        """Put what was heard into the batch at hand."""
        rows, sender = self._rows(), -1
        for event in heard.events:
            if sender < 0 or isinstance(event, stream.Named):
                if isinstance(event, stream.Named):
                    self._name = self._epochs_of(event.terminal)
                sender = self._sender(self._name)
            if isinstance(event, stream.Refused):
                rows.reject(event.reason, event.raw, frame=sender, received_us=self.heard_us)
            elif isinstance(event, bytes):
                self._epochs[self._name].feed(event, rows, frame=sender, received_us=self.heard_us)
        if heard.answer:
            self.write(heard.answer)

    def _epochs_of(self, name: str) -> str:
        """Make room for a terminal's epochs; more than a link may carry are refused when they are welcomed, and their epochs are few."""
        if name not in self._epochs:
            if len(self._epochs) > self._door.terminals_per_link_max:
                oldest = next(iter(self._epochs))
                self._epochs.pop(oldest).finish(self._rows(), frame=self._sender(oldest))
            self._epochs[name] = Epochs()
        return name

    def _rows(self) -> Rows:
        return self._gather.told.rows["nmea"]

    def _sender(self, name: str) -> int:
        return self._gather.told.sender(self._ticket, name, self.peer)

    def _tell_rest(self) -> None:
        self._door.waiting.discard(self)
        if self._gather.told:
            self._gather.tell(1, self)
