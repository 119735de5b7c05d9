"""MQTT: what terminals publish at a broker is settled like anything else, and acknowledged (QoS 1) once it is committed.

`dubhe/v1/{terminal}/jt808` carries whole frames, `/nmea` sentences, `/fix` JSON; `jt808/{client}/{phone}/up` the JSON of EMQX's gateway.
Each terminal is a link of its own in the link table, so frames take the way of all frames and are answered on `dubhe/v1/{terminal}/down`.
A payload is read by itself: an epoch does not reach over two messages, so a message that comes again becomes the same rows.

**One reader.** Of all workers the one that holds a lease in the database is connected, under a client id that stays: the broker keeps the
session, and a successor inherits what is not acknowledged. The subscription is not shared: a broker deals shared ones message by
message, which would lose the order of a vehicle's reports and split what the rules remember of it; and Mosquitto 2.0.11 no longer serves
one after it was killed and has read its store again (seen here in every run).

**Bounds.** No more than `mqtt_in_flight_max` messages wait for their commit; then, and while the gather is full or held, nothing is read.
(Receive-maximum is asked for too, but brokers exceed it.) Order of acknowledgement is order of receipt.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final

import aiomqtt
import structlog

from ingest.broker import Broker, BrokerLine, Delivery
from ingest.gather import Gather, now_us
from ingest.links import NOBODY, LinkTable
from protocols.fixjson import read_emqx, read_fixes
from protocols.jt808.framing import FLAG
from protocols.jt808.messages.location import ALARMS
from protocols.nmea import stream
from protocols.nmea.epochs import Epochs
from protocols.rows import Rows
from storage.lease import Lease
from tracks.fix import SOURCES
from tracks.terminal import canonical
from tracks.verdict import Reject

log: Final = structlog.get_logger("dubhe.mqtt")

MQTT: Final = SOURCES.index("mqtt")
TOPICS: Final = ("dubhe/v1/+/jt808", "dubhe/v1/+/nmea", "dubhe/v1/+/fix", "jt808/+/+/up")
_TOPIC: Final = re.compile(r"dubhe/v1/([0-9A-Fa-f]{1,20})/(jt808|nmea|fix)|jt808/[^/]*/([0-9A-Fa-f]{1,20})/up")

PAUSE_S_MIN: Final = 0.25
PAUSE_S_MAX: Final = 15.0
"""Between two tries to connect, doubling. Unmeasured."""
LOOK_EVERY_S: Final = 1.0
"""How often the lease is looked after."""

BACKLOG, IN_FLIGHT = "backlog", "in flight"


class MqttLink:
    """One terminal that publishes; it is a link like any other and ends by its idle timeout."""

    __slots__ = ("_door", "host", "peer", "terminal", "ticket")

    def __init__(self, door: MqttDoor, terminal: str) -> None:
        self._door = door
        self.terminal = terminal
        self.host = "mqtt"
        self.peer = f"mqtt {terminal}"
        self.ticket = -1

    def write(self, data: bytes) -> None:
        """Answer, or command."""
        self._door.send(f"dubhe/v1/{self.terminal}/down", data)

    def refuse(self, terminal: str) -> None:
        """Its payloads are in quarantine; the broker takes no word for the publisher."""

    def pause(self) -> None:
        """One terminal's messages cannot be held back at the broker."""

    resume = pause

    def close(self, reason: str) -> None:
        """Forget the terminal until it publishes again."""
        if self.ticket >= 0:
            self._door.forget(self, reason)


class MqttDoor:
    """The worker's side of the broker. `run` reads for as long as it may; the pipeline calls `acknowledge`."""

    def __init__(
        self,
        broker: Broker,
        gather: Gather,
        links: LinkTable,
        lease: Lease,
        *,
        payload_bytes_max: int,
        terminals_max: int,
        on_close: Callable[[int], None],
    ) -> None:
        self.broker = broker
        self.messages: Counter[str] = Counter()
        """Messages by what they carry; metrics read and clear it."""
        self.again = 0
        """Messages that the broker sent a second time; metrics read and clear it."""
        self.closed: Counter[str] = Counter()
        self.connected = False
        self._gather = gather
        self._links = links
        self._lease = lease
        self._payload_bytes_max = payload_bytes_max
        self._terminals_max = terminals_max
        self._on_close = on_close
        self._of_terminal: dict[str, MqttLink] = {}
        """Links by terminal, the one heard last at the end."""
        self._batch = 0
        """Where the message at hand will be settled."""
        self._unacked: deque[tuple[int, int]] = deque()
        """(batch, message id) in order of receipt, of the connection there is."""
        self._held: set[str] = set()
        """Why nothing is read."""
        self._line: BrokerLine | None = None
        self._stopping = asyncio.Event()
        self._readers = {"jt808": self._frames, "nmea": self._sentences, "fix": self._fixes, "emqx": self._emqx}

    # the life of the connection

    async def run(self) -> None:
        """Read from the broker whenever it is our turn, until stopped."""
        while not self._stopping.is_set():
            if await self._unless_stopping(self._lease.acquire()):
                try:
                    await self._read()
                finally:
                    await self._lease.release()

    def stop(self) -> None:
        """Disconnect; the session stays at the broker, and what is not acknowledged will be sent again."""
        self._stopping.set()

    async def _read(self) -> None:
        """Connect, and connect again, while the lease is ours."""
        pause_s = PAUSE_S_MIN
        while not self._stopping.is_set() and await self._lease.held():
            if not self._gather.holds and not self._held:
                try:
                    await self._connection()
                    pause_s = PAUSE_S_MIN
                except (aiomqtt.MqttError, OSError) as error:
                    log.warning("broker away: trying again", broker=self.broker.address, why=str(error), pause_s=pause_s)
                    pause_s = PAUSE_S_MIN if self.connected else min(2 * pause_s, PAUSE_S_MAX)
                finally:
                    self._disconnected()
            await self._unless_stopping(asyncio.sleep(pause_s))

    async def _connection(self) -> None:
        """One connection, until it is lost, the lease is, or we are stopped. Raises MqttError."""
        self._line = BrokerLine(self.broker, self._take)
        async with self._line as line:
            self.connected = True
            if refused := await line.subscribe(TOPICS):
                log.error("the broker refuses subscriptions; give us the right to read them", topics=refused)
            log.info("reading from the broker", broker=self.broker.address, version=self.broker.version)
            while not line.lost.done() and await self._lease.held():
                if not await self._unless_stopping(asyncio.wait([line.lost], timeout=LOOK_EVERY_S)):
                    break
            if line.lost.done():
                line.lost.result()

    def _disconnected(self) -> None:
        """What was not acknowledged will come again under other numbers; the store finds what was kept."""
        self._line, self.connected = None, False
        self._unacked.clear()
        self._held.discard(IN_FLIGHT)

    async def _unless_stopping(self, doing: Awaitable[object]) -> bool:
        """Whether `doing` came to its end before we were stopped."""
        work, stop = asyncio.ensure_future(doing), asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            return False
        work.result()
        return True

    # what the pipeline and the gather ask

    def acknowledge(self, batch: int) -> None:
        """The batch is committed, and with it all before it."""
        mids = []
        while self._unacked and self._unacked[0][0] <= batch:
            mids.append(self._unacked.popleft()[1])
        if mids and self._line is not None:
            self._line.acknowledge(mids)
        if IN_FLIGHT in self._held and len(self._unacked) <= self.broker.in_flight_max // 2:
            self._release(IN_FLIGHT)

    @property
    def unacknowledged(self) -> int:
        """Messages taken and not acknowledged."""
        return len(self._unacked)

    host = peer = "mqtt"
    terminal = ""

    def pause(self) -> None:
        """The gather has enough."""
        self._hold(BACKLOG)

    def resume(self) -> None:
        """The gather has room."""
        self._release(BACKLOG)

    def write(self, data: bytes) -> None:
        """As a link the door is only paused and resumed."""

    def refuse(self, terminal: str) -> None:
        """As above."""

    def close(self, reason: str) -> None:
        """As above."""

    def send(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0: an answer that is lost makes the terminal send again, and is then given again."""
        if self._line is not None:
            self._line.publish(topic, payload)

    def forget(self, link: MqttLink, reason: str) -> None:
        """A terminal's link has timed out, or was replaced by a newer login."""
        self.closed[reason] += 1
        del self._of_terminal[link.terminal]
        ticket, link.ticket = link.ticket, -1
        self._on_close(ticket)

    def _hold(self, reason: str) -> None:
        self._held.add(reason)
        if self._line is not None:
            self._line.pause()

    def _release(self, reason: str) -> None:
        self._held.discard(reason)
        if not self._held and self._line is not None:
            self._line.resume()

    # messages

    def _take(self, delivery: Delivery) -> None:
        """Read one message into the batch at hand, whatever it holds."""
        topic, payload, mid, again = delivery
        self.again += again
        self._batch = self._gather.batch_of_told()
        try:
            self._put(topic, payload)
        except Exception:
            log.exception("a message broke us; it is in quarantine", topic=topic, payload=payload.hex())
            self._reject(Reject.UNSTORABLE, topic, payload)
        if mid:
            earlier = self._unacked[-1][0] if self._unacked else 0
            self._unacked.append((max(self._batch, earlier), mid))
            if len(self._unacked) >= self.broker.in_flight_max:
                self._hold(IN_FLIGHT)

    def _put(self, topic: str, payload: bytes) -> None:
        found = _TOPIC.fullmatch(topic)
        if found is None:
            self.messages["other"] += 1
            self._reject(Reject.UNKNOWN_TERMINAL, topic, payload)
            return
        kind = found[2] or "emqx"
        self.messages[kind] += 1
        if len(payload) > self._payload_bytes_max:
            self._reject(Reject.OVERSIZE, topic, payload[: self._payload_bytes_max])
        elif payload:  # an empty one clears a retained message
            link = self._link(canonical(found[1] or found[3]))
            self._readers[kind](link, topic, payload, now_us())

    def _link(self, name: str) -> MqttLink:
        link = self._of_terminal.pop(name, None)
        if link is None:
            if len(self._of_terminal) >= self._terminals_max:
                next(iter(self._of_terminal.values())).close("links_max")
            link = MqttLink(self, name)
            link.ticket = self._links.open(link, now_us(), MQTT)
        self._of_terminal[name] = link
        return link

    def _frames(self, link: MqttLink, topic: str, payload: bytes, now: int) -> None:
        """Whole frames go the way of all frames. Their sender is named beside them only when it has no session yet."""
        if self._links.session[self._links.slot_of(link.ticket)] == NOBODY:
            self._tell(link, topic, 1, now)
        if payload[-1] != FLAG:
            payload += bytes((FLAG,))  # what is cut off stays cut off: a frame that is refused with a reason
        self._gather.add(payload, link.ticket, now, self)
        self._batch = self._gather.batch_of_last_packet()

    def _sentences(self, link: MqttLink, topic: str, payload: bytes, now: int) -> None:
        """Whole epochs; a payload may name its terminal, but no other than the topic's."""
        sender, rows = self._tell(link, topic, len(payload), now)
        unit, epochs = stream.Link(), Epochs()
        unit.terminal = link.terminal
        for event in (*unit.feed(payload).events, *unit.finish().events):
            if isinstance(event, stream.Refused):
                rows.reject(event.reason, event.raw, frame=sender, received_us=now)
            elif isinstance(event, stream.Named):
                if event.terminal != link.terminal:
                    rows.reject(Reject.NOT_AUTHENTICATED, payload, frame=sender, received_us=now)
                    return
            else:
                epochs.feed(event, rows, frame=sender, received_us=now)
        epochs.finish(rows, frame=sender)

    def _fixes(self, link: MqttLink, topic: str, payload: bytes, now: int) -> None:
        sender, rows = self._tell(link, topic, len(payload), now)
        read_fixes(payload, rows, terminal=link.terminal, alarms=ALARMS, frame=sender, received_us=now)

    def _emqx(self, link: MqttLink, topic: str, payload: bytes, now: int) -> None:
        sender, rows = self._tell(link, topic, len(payload), now)
        read_emqx(payload, rows, terminal=link.terminal, frame=sender, received_us=now)

    def _tell(self, link: MqttLink, topic: str, size: int, now: int) -> tuple[int, Rows]:
        """A sender in the batch at hand, and where its rows go."""
        self._links.hear_one(link.ticket, size, now)
        self._gather.tell(size, self)
        told = self._gather.told
        return told.sender(link.ticket, link.terminal, topic), told.rows["mqtt"]

    def _reject(self, reason: Reject, topic: str, payload: bytes) -> None:
        """Keep a payload that is nobody's, or that nobody reads."""
        told = self._gather.told
        sender = told.sender(NOBODY, "", topic.replace("\0", ""))
        told.rows["mqtt"].reject(reason, payload, frame=sender, received_us=now_us())
        self._gather.tell(len(payload), self)
