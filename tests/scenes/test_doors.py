"""One drive, whatever the door: frames over TCP and through a broker, sentences over TCP and through a broker, JSON."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path

import pytest

from firmware_sim.broker import running_broker
from firmware_sim.gateway import free_port, running_gateway
from firmware_sim.mqtt import PUBACK, Packets, connect, publish
from fix_broker import require_mosquitto
from fix_bus import PHONES, Stage, differs, in_force, until
from fix_db import rows
from fix_road import Place, Report, drive, frame, last_monday
from scene_table import STRAIGHT, STRAYED, STRAYING, Incident, circle, stop

pytestmark = pytest.mark.timescale
BEGAN = last_monday(datetime.now(UTC))
SHAPES = (STRAIGHT, circle((2300, 0), 500), stop((4500, 10)))
FOUND = [STRAYED, Incident("inside", 180, 320), Incident("stop_visit", 484, 496)]


def sentence(content: str) -> str:
    check = reduce(lambda sum_, byte: sum_ ^ byte, content.encode(), 0)
    return f"${content}*{check:02X}\r\n"


def epoch(place: Place, report: Report) -> bytes:
    """RMC and GGA."""
    lon, lat = place.degrees((report.east, report.north))
    at = place.began + timedelta(seconds=report.t)
    where = f"{int(lat):02d}{lat % 1 * 60:09.6f},N,{int(lon):03d}{lon % 1 * 60:09.6f},E"
    speed = f"{report.speed_ms * 3600 / 1852:.2f},{report.course:.1f}"
    return (
        sentence(f"GNRMC,{at:%H%M%S}.00,A,{where},{speed},{at:%d%m%y},,,A") + sentence(f"GNGGA,{at:%H%M%S}.00,{where},1,12,0.9,12.0,M,,M,,")
    ).encode()


def fix(place: Place, report: Report) -> bytes:
    lon, lat = place.degrees((report.east, report.north))
    at = place.began + timedelta(seconds=report.t)
    told = {"time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "lat": lat, "lon": lon, "speed_kmh": report.speed_ms * 3.6, "course_deg": report.course}
    return json.dumps(told).encode()


def published(port: int, messages: Sequence[tuple[str, bytes]]) -> None:
    """Each with QoS 1, and the broker has it."""
    packets, acknowledged = Packets(), 0
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(connect("scene"))
        assert link.recv(4)[3:] == b"\0"
        link.sendall(b"".join(publish(topic, payload, number) for number, (topic, payload) in enumerate(messages, 1)))
        while acknowledged < len(messages):
            acknowledged += sum(got.head & 0xF0 == PUBACK for got in packets.feed(link.recv(65536)))


def test_one_drive_is_the_same_through_every_door(stage: Stage, tmp_path: Path) -> None:
    require_mosquitto()
    drove, nmea = drive(*STRAYING, every=5), free_port()
    with running_broker(tmp_path / "broker") as broker:
        settings = {
            "database_url": stage.url,
            "nmea_listen": f"127.0.0.1:{nmea}",
            "mqtt_url": f"mqtt://127.0.0.1:{broker.port}",
            "log_format": "json",
        }
        with running_gateway(tmp_path / "gateway", settings) as gateway:

            def tcp(phone: str, place: Place) -> None:
                with stage.bus(gateway, phone, place) as bus:
                    bus.drive(drove)

            def sentences(phone: str, place: Place) -> None:
                with socket.create_connection(("127.0.0.1", nmea), 10) as link:
                    link.sendall(f"ID={phone}\r\n".encode() + b"".join(epoch(place, each) for each in drove))
                    until(lambda: stored(phone) == len(drove))

            def topic(word: str, payload: Callable[[Place, Report], bytes]) -> Callable[[str, Place], None]:
                return lambda phone, place: published(broker.port, [(f"dubhe/v1/{phone}/{word}", payload(place, each)) for each in drove])

            def frames(phone: str, place: Place) -> None:
                login = frame(0x0102, phone, 0, stage.codes[phone].encode())
                reports = [frame(0x0200, phone, number, place.body(each)) for number, each in enumerate(drove, 1)]
                published(broker.port, [(f"dubhe/v1/{phone}/jt808", each) for each in (login, *reports)])

            def stored(phone: str) -> int:
                query = "SELECT count(*) FROM fixes JOIN terminals ON terminals.id = terminal_id WHERE name = %s"
                return int(rows(stage.url, query, phone)[0][0])

            buses = dict[str, tuple[Callable[[str, Place], None], Place]]()
            for door in (tcp, sentences, frames, topic("nmea", epoch), topic("fix", fix)):
                phone, place = PHONES[stage.taken], stage.place(BEGAN)
                stage.shapes(place, SHAPES, phone)
                buses[phone] = (door, place)
            in_force(gateway, "shapes", stage.url)
            for phone, (door, place) in buses.items():
                door(phone, place)
                until(lambda phone=phone: stored(phone) == len(drove))  # type: ignore[misc] # mypy knows no default of a lambda

    for phone in buses:
        assert not differs(FOUND, stage.incidents(phone, BEGAN), 5)
