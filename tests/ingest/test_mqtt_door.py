"""What a publisher meets at the gateway: a real worker, a real database, a real Mosquitto."""

from __future__ import annotations

import json
from typing import Any

import pytest

from firmware_sim.broker import Broker
from fix_broker import Publisher
from fix_db import rows
from fix_worker import play, report, stored, until, worker
from protocols.jt808 import messages
from protocols.jt808.frames import frame_of
from protocols.jt808.header import V2013
from storage.enrol import add_terminal

NAME = "13800138000"
RMC = b"$GNRMC,000001.00,A,3113.82,N,12128.42,E,10.0,87.0,241126,,,A*49\r\n"
FIX = {"time": "2026-11-24T00:00:01Z", "lat": 31.230416, "lon": 121.473701, "speed_kmh": 45.6, "valid": True}


def frame(message_id: int, body: bytes, serial: int = 1, name: str = NAME) -> bytes:
    return messages.encode(message_id, name, serial, body, V2013)


def topic(kind: str, name: str = NAME) -> str:
    return f"dubhe/v1/{name}/{kind}"


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_every_kind_of_payload_reaches_the_table_and_is_acknowledged(database_url: str, broker: Broker, version: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", mqtt_url=broker.url, mqtt_version=version) as (running, _):
            await until(lambda: running.mqtt.connected)
            bus = await Publisher.connect(broker.port)
            await bus.publish(topic("jt808"), frame(0x0200, report()) + frame(0x0200, report(1), 2))
            await bus.publish(topic("nmea"), RMC)
            await bus.publish(topic("fix"), json.dumps([FIX, {**FIX, "lat": 31.0}]).encode())
            header = {"msg_id": 0x0200, "phone": NAME, "msg_sn": 1, "len": 28, "encrypt": 0}
            body = {"alarm": 0, "status": 3, "latitude": 31000000, "longitude": 121000000, "altitude": 1, "speed": 2, "direction": 3}
            emqx = {"header": header, "body": {**body, "time": "261124080000"}}
            await bus.publish(f"jt808/{NAME}/{NAME}/up", json.dumps(emqx).encode())

            await stored(
                database_url, "SELECT count(*), count(DISTINCT terminal_id), min(source), max(source) FROM fixes", [(6, 1, "mqtt", "mqtt")]
            )
            await until(lambda: not running.mqtt.unacknowledged)

    play(story())


def test_a_frame_is_answered_on_the_terminals_own_topic(database_url: str, broker: Broker) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", mqtt_url=broker.url) as (running, _):
            await until(lambda: running.mqtt.connected)
            bus = await Publisher.connect(broker.port, "bus", topic("down"))
            await bus.publish(topic("jt808"), frame(0x0200, report(), 77))

            where, answer = await bus.hear()
            assert topic("down") == where
            assert (0x8001, b"\0\x4d\x02\0\0") == (frame_of(answer).message_id, frame_of(answer).body)
            assert rows(database_url, "SELECT count(*) FROM fixes") == [(1,)]

    play(story())


def test_what_is_broken_is_in_quarantine_with_its_topic_and_acknowledged(database_url: str, broker: Broker) -> None:
    bad = [
        (topic("jt808"), b"\x7e\x01\x7e", "truncated", "mqtt 13800138000"),
        (topic("jt808"), frame(0x0200, report(), name="13800138001"), "not_authenticated", "mqtt 13800138000"),
        (topic("nmea"), RMC.replace(b"*49", b"*48"), "checksum", topic("nmea")),
        (topic("nmea"), b"ID=13800138001\r\n" + RMC, "not_authenticated", topic("nmea")),
        (topic("fix"), b"{", "bad_field", topic("fix")),
        (topic("fix"), json.dumps({**FIX, "terminal": "13800138001"}).encode(), "not_authenticated", topic("fix")),
        (topic("fix"), b"[" + b" " * 2_000 + b"]", "oversize", topic("fix")),
        ("dubhe/v1/nobody/fix", b"{}", "unknown_terminal", "dubhe/v1/nobody/fix"),
    ]

    async def story() -> None:
        async with worker(database_url, admission="lenient", mqtt_url=broker.url, mqtt_payload_bytes_max=1_024) as (running, _):
            await until(lambda: running.mqtt.connected)
            bus = await Publisher.connect(broker.port)
            for where, payload, _, _ in bad:
                await bus.publish(where, payload)
            await bus.publish(topic("fix"), b"")
            await bus.publish(topic("fix"), json.dumps(FIX).encode())

            await stored(database_url, "SELECT count(*) FROM fixes", [(1,)])
            expected = sorted((reason, origin) for *_, reason, origin in bad)
            await stored(database_url, "SELECT reason, origin FROM quarantine ORDER BY reason, origin", expected)
            await until(lambda: not running.mqtt.unacknowledged)

    play(story())


def test_strict_admission_takes_the_terminals_of_the_registry_and_no_others(database_url: str, broker: Broker) -> None:
    add_terminal(database_url, NAME, "沪A12345", "2")

    async def story() -> None:
        async with worker(database_url, mqtt_url=broker.url) as (running, _):
            await until(lambda: running.mqtt.connected)
            bus = await Publisher.connect(broker.port)
            for name in (NAME, "13800138001"):
                await bus.publish(topic("jt808", name), frame(0x0200, report(), name=name))
                await bus.publish(topic("fix", name), json.dumps(FIX).encode())

            await stored(
                database_url, "SELECT v.plate, count(*) FROM fixes f JOIN vehicles v ON v.id = f.vehicle_id GROUP BY 1", [("沪A12345", 2)]
            )
            await stored(database_url, "SELECT reason FROM quarantine ORDER BY 1", [("not_authenticated",), ("unknown_terminal",)])
            add_terminal(database_url, "13800138001")
            await bus.publish(topic("fix", "13800138001"), json.dumps(FIX).encode())
            await stored(database_url, "SELECT count(*) FROM fixes", [(3,)])

    play(story())


def test_what_was_published_while_the_gateway_was_away_is_kept_and_a_repeat_is_stored_once(database_url: str, broker: Broker) -> None:
    async def story() -> None:
        settings = {"admission": "lenient", "mqtt_url": broker.url}
        async with worker(database_url, **settings) as (running, _):
            await until(lambda: running.mqtt.connected)
        bus = await Publisher.connect(broker.port)
        await bus.publish(topic("fix"), *(json.dumps({**FIX, "altitude_m": n % 50}).encode() for n in range(100)))
        async with worker(database_url, **settings) as (running, _):
            await stored(database_url, "SELECT count(*) FROM fixes", [(50,)])
            await until(lambda: not running.mqtt.unacknowledged)

    play(story())


def test_no_more_messages_than_allowed_wait_for_their_commit(database_url: str, broker: Broker) -> None:
    most = 0

    async def story() -> None:
        nonlocal most
        settings = {"admission": "lenient", "mqtt_url": broker.url, "mqtt_version": "3.1.1", "mqtt_in_flight_max": 10}
        async with worker(database_url, **settings) as (running, _):
            await until(lambda: running.mqtt.connected)
            bus = await Publisher.connect(broker.port)
            take = running.mqtt._take

            def watched(delivery: Any) -> None:
                nonlocal most
                take(delivery)
                most = max(most, running.mqtt.unacknowledged)

            running.mqtt._line._take = watched
            await bus.publish(topic("fix"), *(json.dumps({**FIX, "altitude_m": n}).encode() for n in range(300)))
            await stored(database_url, "SELECT count(*) FROM fixes", [(300,)])

    play(story())
    assert most == 10


def test_while_the_broker_is_away_it_is_tried_again(database_url: str, broker: Broker) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", mqtt_url=broker.url) as (running, _):
            await until(lambda: running.mqtt.connected)
            broker.stop()
            await until(lambda: not running.mqtt.connected)
            broker.start()
            await until(lambda: running.mqtt.connected)
            bus = await Publisher.connect(broker.port)
            await bus.publish(topic("fix"), json.dumps(FIX).encode())
            await stored(database_url, "SELECT count(*) FROM fixes", [(1,)])

    play(story())


def test_a_retained_message_is_read_once(database_url: str, broker: Broker) -> None:
    async def story() -> None:
        bus = await Publisher.connect(broker.port)
        retained = bytearray(json.dumps(FIX).encode())
        name = topic("fix").encode()
        body = len(name).to_bytes(2) + name + b"\0\x09" + retained
        bus.writer.write(bytes((0x33, 0x80 | len(body) % 128, len(body) // 128)) + body)
        await bus.until(lambda: 9 in bus.acknowledged)
        for _ in range(2):
            async with worker(database_url, admission="lenient", mqtt_url=broker.url) as (running, _):
                await until(lambda: running.mqtt.connected)
                await stored(database_url, "SELECT count(*) FROM fixes", [(1,)])

    play(story())


def test_one_worker_reads_and_another_takes_over(database_url: str, broker: Broker) -> None:
    async def story() -> None:
        settings = {"admission": "lenient", "mqtt_url": broker.url, "workers": 2}
        async with worker(database_url, "w2", **settings) as (second, _):
            await until(lambda: second.mqtt.connected)
            async with worker(database_url, "w1", **settings) as (first, _):
                bus = await Publisher.connect(broker.port)
                await bus.publish(topic("fix"), json.dumps(FIX).encode())
                await stored(database_url, "SELECT count(*) FROM fixes", [(1,)])
                assert not first.mqtt.connected
                second.mqtt.stop()
                await until(lambda: first.mqtt.connected)
                await bus.publish(topic("fix"), json.dumps({**FIX, "lat": 31.0}).encode())
                await stored(database_url, "SELECT count(*) FROM fixes", [(2,)])

    play(story())
