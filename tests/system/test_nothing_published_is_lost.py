"""The promise at the broker: whatever is killed, every QoS 1 message is in the table exactly once, a vehicle's in their order.

The real tree runs as processes beside a Mosquitto of the test's own; workers or the broker are killed with SIGKILL under load.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_sim.broker import Broker, running_broker
from firmware_sim.fleet import Fleet
from firmware_sim.gateway import Gateway, free_port, running_gateway
from firmware_sim.link import Address
from firmware_sim.mqtt import CONNACK, PUBACK, Packets, Target, connect, publish
from fix_broker import require_mosquitto
from fix_db import rows
from fix_fleet import FAULTS, PLAN, processes, verify

TERMINALS, MESSAGES = 10, 200
SAVED_AFTER_S = 1.0
"""What a broker has acknowledged but not yet written it loses with a power cut: the publisher says it again."""
PAUSE_S = 0.005
START_S = 1_780_000_000
PATIENCE_S = 60


def names() -> list[str]:
    return [str(13_900_000_001 + each) for each in range(TERMINALS)]


def payload(number: int) -> bytes:
    fix = {"time": f"2026-11-25T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z", "lat": 31.23, "lon": 121.47}
    return json.dumps(fix).encode()


async def publish_all(broker: Broker) -> None:
    """Every terminal's messages with QoS 1, in turn, and again whatever the broker may have lost."""
    todo = [(f"dubhe/v1/{name}/fix", payload(number)) for number in range(MESSAGES) for name in names()]
    at, acknowledged = 0, dict[int, float]()
    while at < len(todo) or len(acknowledged) < len(todo):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        lost = asyncio.ensure_future(listen(reader, acknowledged))
        writer.write(connect("publisher"))
        again = [each for each in range(at) if acknowledged.get(each, time.monotonic()) > time.monotonic() - SAVED_AFTER_S]
        try:
            for each in again:
                acknowledged.pop(each, None)
                writer.write(publish(*todo[each], each + 1, again=True))
            while at < len(todo) and not lost.done():
                for _ in range(TERMINALS):
                    writer.write(publish(*todo[at], at + 1))
                    at += 1
                await writer.drain()
                await asyncio.sleep(PAUSE_S)
            while len(acknowledged) < len(todo) and not lost.done():
                await asyncio.sleep(PAUSE_S)
        except ConnectionError:
            pass
        lost.cancel()
        writer.close()


async def listen(reader: asyncio.StreamReader, acknowledged: dict[int, float]) -> None:
    packets = Packets()
    try:
        while data := await reader.read(65_536):
            for got in packets.feed(data):
                assert got.head in {CONNACK, PUBACK}
                if got.head == PUBACK:
                    acknowledged[int.from_bytes(got.body[:2]) - 1] = time.monotonic()
    except ConnectionError:
        pass


async def drive(load: Awaitable[None], kill: Callable[[], None], stored: Callable[[], int], expected: int) -> None:
    """Kill once a third, and once two thirds, are stored; then wait until all is."""

    async def killer() -> None:
        for share in (1 / 3, 2 / 3):
            while stored() < share * expected:
                await asyncio.sleep(0.02)
            await asyncio.to_thread(kill)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(load, killer())
        while stored() < expected:
            await asyncio.sleep(0.05)


def verify_published(url: str) -> None:
    """Every message once, and a vehicle's messages received in the order in which they were published."""
    kept = rows(url, "SELECT t.name, f.raw, f.time FROM fixes f JOIN terminals t ON t.id = f.terminal_id ORDER BY f.received_at, f.time")
    sent = [(name, payload(number)) for number in range(MESSAGES) for name in names()]

    assert sorted(sent) == sorted((name, bytes(raw)) for name, raw, _ in kept)
    for name in names():
        times = [moment for who, _, moment in kept if who == name]
        assert times == sorted(times)


@contextmanager
def tree(folder: Path, url: str, broker: Broker, **settings: str) -> Iterator[Gateway]:
    """The whole tree on a database and a broker of its own, reading from the broker."""
    chosen = {"database_url": url, "admission": "lenient", "workers": "2", "mqtt_url": broker.url, **settings}
    with running_gateway(folder, chosen) as gateway:
        while "reading from the broker" not in gateway.log.read_text():
            time.sleep(0.02)
        yield gateway


def counter(url: str) -> Callable[[], int]:
    return lambda: int(rows(url, "SELECT count(*) FROM fixes")[0][0])


@pytest.mark.slow
def test_when_workers_are_killed_every_message_is_stored_once_and_in_order(tmp_path: Path, database_url: str, broker: Broker) -> None:
    with tree(tmp_path / "gateway", database_url, broker) as gateway:

        def kill() -> None:
            for pid in processes("ingest.worker", gateway.process.pid):
                os.kill(pid, signal.SIGKILL)

        asyncio.run(drive(publish_all(broker), kill, counter(database_url), TERMINALS * MESSAGES))
        assert gateway.log.read_text().count("child died") >= 2
    verify_published(database_url)


@pytest.mark.slow
def test_when_the_broker_is_killed_every_message_is_stored_once(tmp_path: Path, database_url: str) -> None:
    require_mosquitto()
    saving = ("autosave_interval 1", "autosave_on_changes true")
    with running_broker(tmp_path / "broker", saving) as broker, tree(tmp_path / "gateway", database_url, broker) as gateway:

        def kill() -> None:
            broker.stop(signal.SIGKILL)
            broker.start()

        asyncio.run(drive(publish_all(broker), kill, counter(database_url), TERMINALS * MESSAGES))
        log = gateway.log.read_text()
        assert "broker away" in log
        assert "child died" not in log
    kept = [bytes(raw) for (raw,) in rows(database_url, "SELECT raw FROM fixes ORDER BY terminal_id, time")]
    assert kept == [payload(number) for _ in names() for number in range(MESSAGES)]


@pytest.mark.slow
def test_a_fleet_at_all_three_doors_with_faults_and_a_broker_and_workers_that_are_killed(tmp_path: Path, database_url: str) -> None:
    require_mosquitto()
    nmea = free_port()
    plan = replace(PLAN, terminals=20, over_mqtt=10, nmea=3, rates=FAULTS, reports_max=100)
    fleet = Fleet(plan, start=START_S)
    with (
        running_broker(tmp_path / "broker") as broker,
        tree(tmp_path / "gateway", database_url, broker, nmea_listen=f"127.0.0.1:{nmea}") as gateway,
    ):

        def kill() -> None:
            broker.stop(signal.SIGKILL)
            for pid in processes("ingest.worker", gateway.process.pid):
                os.kill(pid, signal.SIGKILL)
            broker.start()

        run = fleet.run(gateway.to, broker=Target.of(broker.url), nmea_to=Address("127.0.0.1", nmea))
        count = counter(database_url)

        async def story() -> None:
            driving = asyncio.ensure_future(run)
            for share in (1 / 3, 2 / 3):
                while count() < share * plan.terminals * (plan.reports_max or 0):
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(kill)
            await asyncio.wait_for(driving, PATIENCE_S)

        asyncio.run(story())
    verify(fleet, database_url)
    sources = dict(rows(database_url, "SELECT source, count(*) FROM fixes GROUP BY source"))
    assert {"jt808", "mqtt", "nmea"} == sources.keys()
