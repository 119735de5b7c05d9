"""One gateway process: wires the write side together, runs it, and drains it.

The supervisor writes the settings as one line to standard input and keeps the pipe open: when it ends, however it ends, the
pipe closes and the worker drains. So no worker outlives its supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop

from ingest import log as logs
from ingest import metrics
from ingest.aio import Aio
from ingest.attachments import AttachmentDoor
from ingest.broker import broker_at
from ingest.commands import Dispatcher
from ingest.conversation import Conversation, Lockout
from ingest.desk import Desk
from ingest.gather import Gather, now_us
from ingest.hindsight import Hindsight
from ingest.inbox import Inbox
from ingest.links import LinkTable, SessionTable
from ingest.mqtt import MqttDoor
from ingest.nmea import NmeaDoor, NmeaLink
from ingest.parts import Parts
from ingest.pipeline import DATABASE_AWAY, Pipeline
from ingest.reading import Reader
from ingest.regime import Regime
from ingest.rules import Rules
from ingest.settings import EX_CONFIG, SettingError, Settings, host_port
from ingest.sweep import Sweeper
from ingest.tcp import Porter, TcpLink, UdpDoor
from protocols.jt808.reassembly import Limits
from storage.commands import CommandStore
from storage.errors import SchemaOutdated, StoreUnavailable
from storage.fleet import FleetStore
from storage.geometry import GeometryStore
from storage.hindsight import HindsightStore
from storage.lease import BROKER, SWEEP, Lease
from storage.media import MediaStore
from storage.migrate import require_current
from storage.registry import Registry
from storage.rules import RuleStore
from storage.said import SaidStore
from storage.sweep import SweepStore
from storage.writer import TrackWriter
from tracks.fix import ABSENT

log: Final = structlog.get_logger("dubhe.worker")

LISTEN_BACKLOG: Final = 4_096
"""Connections the kernel holds while we are busy; a storm of 10 000 within seconds must not be reset."""
PACKET_BYTES_MIN: Final = 1 << 20
"""The least that is told the broker as the longest packet; longer ones it drops by itself, so the bound that quarantines lies far below."""
COLLECT_AT: Final = 50_000, 20, 50
"""Objects made and not freed before the youngest are looked through, and how often that is done before the older ones are."""
CLOSE_TIMEOUT_S: Final = 2.0
"""How long a drain waits for peers to take their last answers."""


@dataclass(slots=True)
class Worker:
    """A gateway on one event loop."""

    settings: Settings
    url: str
    name: str
    links: LinkTable = field(init=False)
    sessions: SessionTable = field(init=False)
    gather: Gather = field(init=False)
    porter: Porter = field(init=False)
    aio: Aio | None = field(default_factory=Aio.open)
    """None where the system has none: then every connection reads and writes for itself."""
    nmea: NmeaDoor | None = field(init=False, default=None)
    mqtt: MqttDoor | None = field(init=False, default=None)
    attachments: AttachmentDoor | None = field(init=False, default=None)
    registry: Registry = field(init=False)
    writer: TrackWriter = field(init=False)
    said: SaidStore = field(init=False)
    rules: Rules = field(init=False)
    sweeper: Sweeper = field(init=False)
    hindsight: Hindsight = field(init=False)
    media: MediaStore = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    parts: Parts = field(init=False)
    _vehicle_of: Mapping[int, int] = field(default_factory=dict)
    """Terminal → vehicle, as the registry last said."""
    _closed: deque[tuple[int, int]] = field(default_factory=deque)
    """(batch, ticket) of links that have closed and are forgotten once that batch is kept."""
    _kept: int = -1
    """The newest batch that is kept."""
    _servers: list[asyncio.Server] = field(default_factory=list)
    _reading: asyncio.Task[None] | None = None
    _udp_doors: list[asyncio.DatagramTransport] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    """What runs for as long as the worker does."""

    def __post_init__(self) -> None:
        at = self.settings
        self.links = LinkTable(at.links_max)
        self.sessions = SessionTable(self.links)
        self.gather = Gather(
            rows_max=at.batch_rows_max, bytes_max=at.batch_bytes_max, age_ms_max=at.batch_age_ms_max, backlog_bytes_max=at.backlog_bytes_max
        )
        self.porter = Porter(
            links=self.links,
            gather=self.gather,
            frame_bytes_max=at.frame_bytes_max,
            links_per_address_max=at.links_per_address_max,
            connects_per_second_max=at.connects_per_second_max,
            on_close=self._link_closed,
        )
        if at.nmea_listen:
            self.nmea = NmeaDoor(self.porter, at.terminals_per_link_max)
        self.registry = Registry(self.url)
        self.writer = TrackWriter(self.url, fixes_days_max=at.fixes_days_max)
        self.said = SaidStore(self.url)
        self.rules = Rules(GeometryStore(self.url), FleetStore(self.url), RuleStore(self.url), self.sessions.of_terminal, at)
        self.sweeper = Sweeper(Lease(self.url, SWEEP), SweepStore(self.url), self.rules.regime)
        self.rules.regime.followers.append(self._serve)
        self.rules.atlas.followers.append(lambda atlas: metrics.SHAPES.labels(self.name).set(atlas.version))
        self.media = MediaStore(self.url, Path(at.data_dir) / "media")
        self.dispatcher = Dispatcher(CommandStore(self.url, self.name), self.links, self.sessions)
        limits = Limits(message_bytes_max=at.message_bytes_max, bytes_max=at.reassembly_bytes_max)
        self.parts = Parts(limits, self.dispatcher, self.said)

    async def start(self) -> None:
        """Open the doors. Raises OSError when a port cannot be had."""
        at = self.settings
        await self.registry.begin(self.name)
        pipeline = Pipeline(
            gather=self.gather,
            reader=self._reader(),
            writer=self.writer,
            rules=self.rules,
            report=metrics.observe_batch,
            aio=self.aio,
        )
        pipeline.committed.append(self._free_closed)
        if self.aio:
            self.porter.inbox = Inbox(self.links, self.gather, self.aio, packet_bytes_max=2 * at.frame_bytes_max)
        self.hindsight = self._hindsight(pipeline)
        loop = asyncio.get_running_loop()
        doing: list[Coroutine[Any, Any, None]] = [pipeline.run(), self._every_second(), self._log_out(), self._hear_logins()]
        doing += [self.dispatcher.run(), self.dispatcher.listen(), self.dispatcher.sweep(), self.parts.run()]
        doing += [
            self.rules.atlas.listen(),
            self.rules.regime.listen(),
            self.rules.keep(),
            self.rules.look_again(),
            self.sweeper.run(),
            self.hindsight.run(),
        ]
        host, port = host_port(at.tcp_listen)
        self._servers.append(await loop.create_server(lambda: TcpLink(self.porter), host, port, reuse_port=True, backlog=LISTEN_BACKLOG))
        if at.udp_listen:
            door, _ = await loop.create_datagram_endpoint(
                lambda: UdpDoor(self.porter), local_addr=host_port(at.udp_listen), reuse_port=True
            )
            self._udp_doors.append(door)
        if nmea := self.nmea:
            host, port = host_port(at.nmea_listen)
            self._servers.append(await loop.create_server(lambda: NmeaLink(nmea), host, port, reuse_port=True, backlog=LISTEN_BACKLOG))
            doing.append(nmea.run())
        if at.mqtt_url:
            self.mqtt = self._mqtt_door()
            pipeline.committed.append(self.mqtt.acknowledge)
            self._reading = loop.create_task(self.mqtt.run())
            self.tasks.append(self._reading)
        if at.attachment_listen:
            self.attachments = AttachmentDoor(self.media, self.media.folder, at.attachment_bytes_max, at.idle_timeout_s)
            host, port = host_port(at.attachment_listen)
            self._servers.append(await asyncio.start_server(self.attachments.visit, host, port, reuse_port=True))
        self.tasks += [loop.create_task(each) for each in doing]
        doors = {
            "tcp": at.tcp_listen,
            "udp": at.udp_listen or None,
            "nmea": at.nmea_listen or None,
            "attachments": at.attachment_listen or None,
        }
        log.info("listening", **doors, admission=at.admission, pid=os.getpid())

    def _hindsight(self, pipeline: Pipeline) -> Hindsight:
        def calm() -> bool:
            return not self.gather.paused and self.gather.backlog_bytes < self.settings.batch_bytes_max

        store = HindsightStore(self.url, self.name)
        return Hindsight(store, self.rules, pipeline.still, calm, late_days_max=self.settings.late_days_max)

    def _reader(self) -> Reader:
        at = self.settings
        conversation = Conversation(
            registry=self.registry,
            links=self.links,
            sessions=self.sessions,
            worker=self.name,
            lenient=at.admission == "lenient",
            terminals_per_link_max=at.terminals_per_link_max,
            lockout=Lockout(at.login_failures_max, at.lockout_s * 1_000_000),
        )
        desk = Desk(self.said, self.media, self.dispatcher)
        return Reader(self.links, self.sessions, conversation, desk, self.parts, at.broken_frames_max)

    def _mqtt_door(self) -> MqttDoor:
        at = self.settings
        try:
            broker = broker_at(
                at.mqtt_url,
                version=at.mqtt_version,
                client_id=at.mqtt_client_id,
                in_flight_max=at.mqtt_in_flight_max,
                packet_bytes_max=max(PACKET_BYTES_MIN, 4 * at.mqtt_payload_bytes_max),
                ca_file=at.mqtt_ca_file,
                cert_file=at.mqtt_cert_file,
                key_file=at.mqtt_key_file,
            )
        except OSError as error:
            msg = f"settings mqtt_ca_file, mqtt_cert_file, mqtt_key_file: {error}"
            raise SettingError(msg) from error
        return MqttDoor(
            broker,
            self.gather,
            self.links,
            Lease(self.url, BROKER),
            payload_bytes_max=at.mqtt_payload_bytes_max,
            terminals_max=at.links_max,
            on_close=self._link_closed,
        )

    @property
    def port(self) -> int:
        """The TCP port that terminals connect to."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    @property
    def nmea_port(self) -> int:
        """The TCP port that NMEA units connect to."""
        return int(self._servers[1].sockets[0].getsockname()[1])

    async def drain(self) -> None:
        """Stop: take nothing more in, settle and answer what was taken in, then close."""
        for server in self._servers:
            server.close()
        self.gather.hold("drain")
        for link in self.links.open_links():
            link.pause()
        self._hush_other_doors()
        self.gather.empty.clear()
        if self.gather.backlog_bytes and not await _within(self.settings.drain_timeout_s, self.gather.empty):
            log.warning("drain ran out of time: the terminals will send again", unsettled_bytes=self.gather.backlog_bytes)
        await self._leave_broker()
        for link in self.links.open_links():
            link.close("drain")
        for door in self._udp_doors:
            door.close()
        if self.porter.closing:
            await _within(CLOSE_TIMEOUT_S, self.porter.none_closing)
        self._close_aio()
        await self._log_out_gone()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.writer.close()
        await self.said.close()
        if self.attachments:
            await self.attachments.close()
        await self.rules.close()
        await self.sweeper.close()
        await self.hindsight.close()
        await self.media.close()
        await self.dispatcher.store.close()
        await self.registry.close()
        log.info("drained")

    def _hush_other_doors(self) -> None:
        """Read no more from the broker; what units of NMEA have said so far is all there will be."""
        if self.mqtt:
            self.mqtt.pause()
        if self.nmea:
            self.nmea.finish()

    def _close_aio(self) -> None:
        if self.porter.inbox:
            self.porter.inbox.close()
        if self.aio:
            self.aio.close()

    async def _leave_broker(self) -> None:
        """Send the last acknowledgements and disconnect; the rest stays at the broker."""
        if self.mqtt and self._reading:
            self.mqtt.stop()
            await asyncio.wait([self._reading], timeout=CLOSE_TIMEOUT_S)

    def _serve(self, regime: Regime) -> None:
        """Terminals that are logged in follow the registry: who serves another vehicle reports for that one from now on."""
        before, self._vehicle_of = self._vehicle_of, regime.vehicle_of
        for terminal_id in {each for each, _ in before.items() ^ regime.vehicle_of.items()}:
            self.sessions.serve(terminal_id, regime.vehicle_of.get(terminal_id, ABSENT))

    def _link_closed(self, ticket: int) -> None:
        if (last := self.gather.batch_of_last()) > self._kept:  # what the link said before it closed is still to be kept as its terminal's
            self._closed.append((last, ticket))
            return
        self._free(ticket)

    def _free(self, ticket: int) -> None:
        self.sessions.end_link(self.links.slot_of(ticket))
        self.links.close(ticket)

    def _free_closed(self, batch: int) -> None:
        """A batch is kept: the links that closed before its end have nothing more to say."""
        self._kept = batch
        while self._closed and self._closed[0][0] <= batch:
            self._free(self._closed.popleft()[1])

    async def _every_second(self) -> None:
        """Close what is idle, slow what is loud, publish the gauges; waits for nobody, since loud is who sends too much in a second."""
        while True:
            await asyncio.sleep(1)
            if self.gather.holds or self.gather.paused:
                self.links.heard_us[:] = now_us()  # who is not read cannot be idle
            else:
                self._close_idle()
            self._slow_down()
            self._publish()

    def _close_idle(self) -> None:
        for link in self.links.idle(now_us() - self.settings.idle_timeout_s * 1_000_000):
            log.info("connection closed", peer=link.peer, reason="idle")
            link.close("idle")

    def _slow_down(self) -> None:
        """Do not read a loud link for as long as its surplus is worth."""
        loop = asyncio.get_running_loop()
        bytes_max = self.settings.link_bytes_per_second_max
        for link, sent in self.links.louder_than(bytes_max):
            log.warning("connection slowed", peer=link.peer, bytes_per_second=sent, bytes_per_second_max=bytes_max)
            link.pause()
            loop.call_later(sent / bytes_max - 1, link.resume)

    def _publish(self) -> None:
        metrics.LINKS.set(len(self.links))
        metrics.SESSIONS.set(len(self.sessions))
        metrics.BACKLOG.set(self.gather.backlog_bytes)
        metrics.PAUSED.set(len(self.gather.paused))
        metrics.AWAY.set(DATABASE_AWAY in self.gather.holds)
        metrics.observe_counts(metrics.EVENTS, self.rules.words)
        metrics.observe_counts(metrics.EVENTS, self.sweeper.words)
        metrics.observe_counts(metrics.LATE, self.rules.late)
        metrics.observe_counts(metrics.REFUSED, self.porter.refused)
        metrics.observe_counts(metrics.CLOSED, self.porter.closed)
        if self.mqtt:
            metrics.MQTT_CONNECTED.set(self.mqtt.connected)
            metrics.MQTT_WAITING.set(self.mqtt.unacknowledged)
            metrics.observe_counts(metrics.MQTT_MESSAGES, self.mqtt.messages)
            metrics.observe_counts(metrics.CLOSED, self.mqtt.closed)
            metrics.MQTT_AGAIN.inc(self.mqtt.again)
            self.mqtt.again = 0

    async def _log_out(self) -> None:
        while True:
            await asyncio.sleep(1)
            await self._log_out_gone()

    async def _log_out_gone(self) -> None:
        gone, self.sessions.ended = self.sessions.ended, []
        try:
            await self.registry.logout(gone)
        except StoreUnavailable:
            self.sessions.ended += gone  # the next second tries again

    async def _hear_logins(self) -> None:
        """A terminal that logs in at another worker leaves us: its old connection is closed."""
        async for logins in self.registry.logins(self.name):
            for terminal_id, login in logins:
                if (link := self.sessions.supersede(terminal_id, login)) is not None:
                    log.info("connection closed", peer=link.peer, reason="newer login", terminal_id=terminal_id)
                    link.close("newer login")
            self.rules.moved(terminal_id for terminal_id, _ in logins)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether `event` came in time."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


async def _run(settings: Settings, url: str, name: str) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(sys.stdin.fileno(), stop.set)  # readable means ended: nothing more is ever written there
    worker = Worker(settings, url, name)
    await worker.start()
    watch = [asyncio.ensure_future(stop.wait()), *worker.tasks]
    await asyncio.wait(watch, return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in watch[1:] if task.done()]
    for task in failed:
        log.error("a part of the worker ended by itself", error=repr(task.exception()))
    await worker.drain()
    return 1 if failed else 0


def _collect_less() -> None:
    """Look for circles of garbage rarely: what a batch makes dies by itself, and looking through 10 000 connections takes 80 ms.

    The interpreter's own thresholds cost 0.6 µs per report, and seconds when 10 000 fences are read (2-core VM, 2026-11).
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AT)


def main() -> int:
    """Run one worker; settings, database URL and name come as three lines on standard input."""
    settings, url, name = Settings.from_json(sys.stdin.readline()), sys.stdin.readline().strip(), sys.stdin.readline().strip()
    logs.configure(settings.log_level, settings.log_format)
    structlog.contextvars.bind_contextvars(worker=name)
    try:
        require_current(url)
        _collect_less()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(settings, url, name))
    except (SchemaOutdated, SettingError) as error:
        log.error("cannot start", why=str(error))
        return EX_CONFIG
    except OSError as error:
        log.error("cannot start", why=f"{settings.tcp_listen}: {os.strerror(error.errno) if error.errno else error}")
        return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
