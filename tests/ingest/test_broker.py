"""The connection to the broker, against a real one: what is private of two libraries does what is said of it. And TLS."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from firmware_sim.broker import Broker, running_broker
from firmware_sim.gateway import free_port
from fix_broker import Publisher, require_mosquitto
from fix_worker import play, stored, until, worker
from ingest.broker import READS_PER_WAKE, BrokerLine, Delivery, broker_at

TOPIC = "dubhe/v1/1/fix"
FIX = b'{"time": "2026-11-24T00:00:01Z", "lat": 31.23, "lon": 121.47}'


def at(url: str, version: str, **more: Any) -> Any:
    return broker_at(url, version=version, client_id="dubhe", in_flight_max=100, packet_bytes_max=1 << 20, **more)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(broker: Broker, version: str) -> None:
    heard: list[Delivery] = []

    async def story() -> None:
        bus = await Publisher.connect(broker.port)
        async with BrokerLine(at(broker.url, version), heard.append) as line:
            assert [] == await line.subscribe([TOPIC])
            await bus.publish(TOPIC, b"0", b"1", b"2")
            await bus.publish(TOPIC, b"no receipt", qos=0)
            await until(lambda: len(heard) == 4)
            assert [0] == [each.mid for each in heard if each.payload == b"no receipt"]
            line.acknowledge([each.mid for each in heard[:2]])
        first = [each.payload for each in heard]
        heard.clear()
        async with BrokerLine(at(broker.url, version), heard.append) as line:
            await until(lambda: heard)
            assert [(b"2", True)] == [(each.payload, each.again) for each in heard]
        assert [b"0", b"1", b"2", b"no receipt"] == first

    play(story())


def test_nothing_is_read_while_paused_and_all_of_it_afterwards(broker: Broker) -> None:
    heard: list[Delivery] = []

    async def story() -> None:
        bus = await Publisher.connect(broker.port)
        async with BrokerLine(at(broker.url, "5"), heard.append) as line:
            await line.subscribe([TOPIC])
            line.pause()
            await bus.publish(TOPIC, *(str(n).encode() for n in range(50)))
            assert not heard
            line.resume()
            await until(lambda: len(heard) == 50)
            assert [str(n).encode() for n in range(50)] == [each.payload for each in heard]

    play(story())


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_is_published_down_arrives(broker: Broker, version: str) -> None:
    async def story() -> None:
        bus = await Publisher.connect(broker.port, "bus", "dubhe/v1/1/down")
        async with BrokerLine(at(broker.url, version), lambda _: None) as line:
            line.publish("dubhe/v1/1/down", b"\x7e" + b"x" * 300 + b"\x7e")
            assert ("dubhe/v1/1/down", b"\x7e" + b"x" * 300 + b"\x7e") == await bus.hear()

    play(story())


def test_a_broker_that_dies_is_noticed(broker: Broker) -> None:
    async def story() -> None:
        line = await BrokerLine(at(broker.url, "5"), lambda _: None).__aenter__()
        broker.stop()
        await asyncio.wait([line.lost], timeout=10)
        assert isinstance(line.lost.exception(), aiomqtt.MqttError)
        with pytest.raises(aiomqtt.MqttError):
            await BrokerLine(at(broker.url, "5"), lambda _: None).__aenter__()

    play(story())


def test_a_broker_that_is_killed_with_words_of_ours_unread_is_noticed_and_found_again(broker: Broker) -> None:
    """The kernel resets such a connection. uvloop calls us once more then, and never again, however much there is still to be read."""
    heard: list[Delivery] = []

    async def story() -> None:
        assert broker.process is not None
        bus = await Publisher.connect(broker.port)
        line = await BrokerLine(at(broker.url, "5"), heard.append).__aenter__()
        await line.subscribe([TOPIC])
        line.pause()
        await bus.publish(TOPIC, *(str(n).encode() for n in range(5 * READS_PER_WAKE)), qos=0)
        await bus.publish(TOPIC, b"the broker has sent what came before this")
        broker.process.send_signal(signal.SIGSTOP)
        line.publish(TOPIC, b"unread")
        broker.stop(signal.SIGKILL)
        line.resume()
        await asyncio.wait([line.lost], timeout=10)
        assert isinstance(line.lost.exception(), aiomqtt.MqttError)
        assert len(heard) >= 5 * READS_PER_WAKE
        heard.clear()
        broker.start()
        bus = await Publisher.connect(broker.port)
        async with BrokerLine(at(broker.url, "5"), heard.append) as line:
            await line.subscribe([TOPIC])
            await bus.publish(TOPIC, FIX)
            await until(lambda: heard)

    play(story())


@pytest.fixture
def secret_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker with a second listener that speaks TLS and asks for certificates; the files lie in its folder's parent."""
    require_mosquitto()
    for name, subject in (("ca", "/CN=ca"), ("server", "/CN=localhost"), ("client", "/CN=dubhe")):
        make = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-subj", subject, "-days", "2"]
        sign = [] if name == "ca" else ["-CA", "ca.pem", "-CAkey", "ca.key"]
        names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"] if name == "server" else []
        subprocess.run([*make, "-x509", *sign, *names, "-out", f"{name}.pem"], cwd=tmp_path, check=True, capture_output=True)
    port = free_port()
    files = [f"cafile {tmp_path}/ca.pem", f"certfile {tmp_path}/server.pem", f"keyfile {tmp_path}/server.key"]
    with running_broker(tmp_path / "broker", [f"listener {port} 127.0.0.1", *files, "require_certificate true"]) as running:
        yield replace(running, folder=tmp_path / str(port))


def test_over_tls_with_certificates_on_both_sides(database_url: str, secret_broker: Broker) -> None:
    folder, port = secret_broker.folder.parent, secret_broker.folder.name
    files = {name: str(folder / file) for name, file in (("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client.key"))}
    settings = {f"mqtt_{name}_file": file for name, file in files.items()}

    async def story() -> None:
        async with worker(database_url, admission="lenient", mqtt_url=f"mqtts://localhost:{port}", **settings) as (running, _):
            await until(lambda: running.mqtt.connected)
            bus = await Publisher.connect(secret_broker.port)
            await bus.publish(TOPIC, *(FIX.replace(b"01Z", b"%02dZ" % n) for n in range(50)))
            await stored(database_url, "SELECT count(*) FROM fixes", [(50,)])
            await until(lambda: not running.mqtt.unacknowledged)

    play(story())
