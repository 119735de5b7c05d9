"""A recording sent as NMEA, and through a broker; the machines that stand behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from firmware_sim.broker import Broker
from firmware_sim.faults import spoil_line
from firmware_sim.manners import Identity
from firmware_sim.mqtt import CONNACK, CONNECT, PUBLISH, OverMqtt, Packets, Target, message, packet, publish
from firmware_sim.recordings import RecordingError
from firmware_sim.replay import replay
from firmware_sim.report import AT_ONCE, Due, Fix
from firmware_sim.tracker import Tracker, sentences
from fix_broker import Publisher
from protocols.nmea.describe import describe
from protocols.nmea.stream import name_line

HERE = Fix(time=1_780_000_000, lat=31.23, lon=121.48, speed_kmh=36.0, satellites=12)
CSV = "time,lat,lon\n2026-11-24T00:00:00Z,31.23,121.47\n2026-11-24T00:00:10Z,31.24,121.48\n"


def test_a_tracker_names_itself_and_says_one_burst_per_fix() -> None:
    tracker = Tracker(Identity(name="13800138000"), [Due(AT_ONCE, HERE)] * 2)

    assert name_line("13800138000") + 2 * sentences(HERE) == tracker.connected(0.0)
    assert tracker.finished
    assert not tracker.hangup, "it stays to hear a complaint"
    tracker.receive(b"ERROR no\r\n", 0.5)
    tracker.tick(tracker.next_at())
    assert (True, b"ERROR no\r\n", 2) == (tracker.hangup, tracker.refused, tracker.counters.sent)


def test_every_sentence_of_a_burst_is_understood() -> None:
    told = [each for line in sentences(HERE).splitlines() for each in describe(line)]

    assert {True} == {each["ok"] for each in told}
    assert {"GNRMC", "GNGGA", "GNGSA"} <= {each["message"] for each in told}


def test_a_spoiled_sentence_fails_its_checksum_and_nothing_else() -> None:
    random = Random(808)
    for line in sentences(HERE).splitlines(keepends=True) * 50:
        (told,) = describe(spoil_line(line, random))

        assert told["reject"] in {"checksum", "unknown_message"}


def test_what_the_broker_has_not_acknowledged_is_said_again_after_a_reconnect() -> None:
    machine = OverMqtt(Tracker(Identity(name="1"), [Due(AT_ONCE, HERE)], announce=False), "1", Target.of("mqtt://h"), "nmea")
    packets = Packets()
    assert [CONNECT] == [got.head for got in packets.feed(machine.connected(0.0))]
    said = [got for got in packets.feed(machine.receive(packet(CONNACK, b"\0\0"), 0.0)) if got.head & 0xF0 == PUBLISH]
    assert [("dubhe/v1/1/nmea", sentences(HERE), 1)] == [message(got) for got in said]
    machine.disconnected(1.0)
    assert not machine.finished

    machine.connected(2.0)
    again = [got for got in packets.feed(machine.receive(packet(CONNACK, b"\0\0"), 2.0)) if got.head & 0xF0 == PUBLISH]
    assert [publish("dubhe/v1/1/nmea", sentences(HERE), 1, again=True)] == [packet(got.head, got.body) for got in again]
    machine.receive(b"\x40\x02\0\x01", 3.0)
    assert machine.finished


@pytest.mark.parametrize("url", ["http://h", "mqtt://", "h:1883"])
def test_a_broker_is_named_by_a_url(url: str) -> None:
    with pytest.raises(ValueError, match="is not mqtt://USER:PASSWORD@HOST:PORT"):
        Target.of(url)


def test_a_recording_is_replayed_as_nmea_through_a_broker(tmp_path: Path, broker: Broker) -> None:
    (tmp_path / "track.csv").write_text(CSV)

    async def story() -> None:
        heard = await Publisher.connect(broker.port, "listener", "dubhe/v1/13800138000/nmea")
        tally = await replay(tmp_path / "track.csv", Target.of(broker.url), terminal="13800138000", speed=0, edition=None)
        assert 2 == tally["sent"]
        topic, payload = await heard.hear()
        assert ("dubhe/v1/13800138000/nmea", True) == (topic, b"$GNRMC,000000.000,A,3113.80000,N" in payload)
        heard.writer.close()
        await heard.writer.wait_closed()

    asyncio.run(story())


def test_frames_are_not_replayed_as_nmea(tmp_path: Path) -> None:
    (tmp_path / "frames.txt").write_text("7e00027e")

    with pytest.raises(RecordingError, match=r"frames of JT/T 808 are no NMEA"):
        asyncio.run(replay(tmp_path / "frames.txt", Target.of("mqtt://127.0.0.1:1"), edition=None))
