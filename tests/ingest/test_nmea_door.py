"""What an NMEA unit meets at the gateway: a real worker, a real database, sentences over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest

from fix_db import rows
from fix_worker import PATIENCE_S, WRITERS, play, stored, worker
from protocols.nmea.build import Position, burst
from protocols.nmea.stream import name_line
from storage.enrol import add_terminal
from storage.registry import Registry

NAME = "13800138000"
NOON_US = 1_795_608_000_000_000
NMEA = {"nmea_listen": "127.0.0.1:0"}


def epoch(second: int, lat: float = 31.23) -> bytes:
    used = {"gps": range(1, 5), "beidou": range(1, 9)}
    return burst(Position(time_us=NOON_US + second * 1_000_000, lat=lat, lon=121.47, altitude_m=4.0, speed_kmh=36.0, used=used))


class Unit:
    """A unit that says exactly what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> Unit:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        WRITERS.append(writer)
        return cls(reader, writer)

    async def line(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            return (await self.reader.readline()).decode()

    async def closed(self) -> bool:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while await self.reader.read(1_000):
                    pass
        return True


@pytest.mark.parametrize("opening", [name_line(NAME), b"IMEI 13800138000\r\n", b"ID=013800138000\r\n"])
def test_an_epoch_is_one_fix_of_the_terminal_that_was_named(database_url: str, opening: bytes) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", **NMEA) as (running, _):
            unit = await Unit.connect(running.nmea_port)
            unit.writer.write(opening + epoch(0) + epoch(1))
            columns = "f.time, round(lat::numeric, 4)::float, satellites, source, valid, t.name"
            query = f"SELECT {columns} FROM fixes f JOIN terminals t ON t.id = terminal_id ORDER BY 1"

            noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
            await stored(database_url, query, [(noon.replace(second=n), 31.23, 12, "nmea", True, NAME) for n in range(2)])

    play(story())


def test_sentences_before_a_name_are_refused_with_a_clear_line_back(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", **NMEA) as (running, _):
            unit = await Unit.connect(running.nmea_port)
            unit.writer.write(epoch(0))

            assert (await unit.line()).startswith("ERROR sentence before a name: send $PGID,<terminal>*hh")
            unit.writer.write(name_line(NAME) + epoch(1))
            await stored(database_url, "SELECT count(*) FROM fixes", [(1,)])
            [(reason, origin)] = rows(database_url, "SELECT DISTINCT reason, origin FROM quarantine")
            assert ("not_authenticated", True) == (reason, origin.startswith("127.0.0.1:"))

    play(story())


def test_strict_admission_takes_the_terminals_of_the_registry_and_closes_on_others(database_url: str) -> None:
    add_terminal(database_url, NAME, "沪A12345", "2")

    async def story() -> None:
        async with worker(database_url, **NMEA) as (running, _):
            known, unknown = await Unit.connect(running.nmea_port), await Unit.connect(running.nmea_port)
            for unit, name in ((known, NAME), (unknown, "13800138001")):
                unit.writer.write(name_line(name) + epoch(0))

            assert "ERROR terminal 13800138001 is not admitted\r\n" == await unknown.line()
            assert await unknown.closed()
            await stored(database_url, "SELECT v.plate FROM fixes f JOIN vehicles v ON v.id = f.vehicle_id", [("沪A12345",)])
            await stored(database_url, "SELECT reason FROM quarantine", [("unknown_terminal",)])

    play(story())


def test_a_unit_that_says_its_part_and_hangs_up_is_kept_whole(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", **NMEA) as (running, _):
            unit = await Unit.connect(running.nmea_port)
            unit.writer.write((name_line(NAME) + b"".join(map(epoch, range(10))))[:-2])
            unit.writer.close()

            await stored(database_url, "SELECT count(*) FROM fixes", [(10,)])

    play(story())


def test_the_last_epoch_is_kept_after_a_silence_and_by_a_drain(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", **NMEA) as (running, _):
            unit = await Unit.connect(running.nmea_port)
            unit.writer.write(name_line(NAME) + epoch(0))
            await stored(database_url, "SELECT count(*) FROM fixes", [(1,)])
            unit.writer.write(epoch(1))
            while not running.nmea.waiting:
                await asyncio.sleep(0.01)
        assert rows(database_url, "SELECT count(*) FROM fixes") == [(2,)]

    play(story())


def test_the_newest_login_wins(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", **NMEA) as (running, _):
            old = await Unit.connect(running.nmea_port)
            old.writer.write(name_line(NAME) + epoch(0) + epoch(1))
            await stored(database_url, "SELECT count(*) >= 1 FROM fixes", [(True,)])
            new = await Unit.connect(running.nmea_port)
            new.writer.write(name_line(NAME) + epoch(2) + epoch(3))

            assert await old.closed()
            await stored(database_url, "SELECT count(*) FROM fixes", [(4,)])

    play(story())


def test_a_line_that_never_ends_is_refused_by_its_length(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", **NMEA) as (running, _):
            unit = await Unit.connect(running.nmea_port)
            unit.writer.write(name_line(NAME) + b"$" + b"A" * 100_000 + b"\r\n" + epoch(0))

            await stored(database_url, "SELECT count(*) FROM fixes", [(1,)])
            await stored(database_url, "SELECT reason, length(raw) FROM quarantine", [("oversize", 4_096)])

    play(story())


def test_a_second_terminal_on_a_connection_needs_leave(database_url: str) -> None:
    async def story(many: int, expected: Any) -> None:
        async with worker(database_url, admission="lenient", terminals_per_link_max=many, **NMEA) as (running, _):
            unit = await Unit.connect(running.nmea_port)
            unit.writer.write(name_line("1") + epoch(0) + name_line("2") + epoch(0, lat=30.0))
            query = "SELECT t.name FROM fixes JOIN terminals t ON t.id = terminal_id ORDER BY 1"
            await stored(database_url, query, expected)
            assert many == 2 or await unit.closed()

    play(story(1, [("1",)]))
    play(story(2, [("1",), ("2",)]))


def test_a_unit_that_says_nothing_is_closed(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", idle_timeout_s=5, **NMEA) as (running, _):
            unit = await Unit.connect(running.nmea_port)
            running.links.heard_us[:] -= 6_000_000

            assert await unit.closed()

    play(story())


def test_a_database_that_does_not_answer_keeps_no_silent_unit_open(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", idle_timeout_s=5, **NMEA) as (running, _):
            asked = asyncio.Event()

            async def hangs(*_: object) -> None:
                asked.set()
                await asyncio.Event().wait()

            with monkeypatch.context() as context:
                context.setattr(Registry, "logout", hangs)
                await asked.wait()
                unit = await Unit.connect(running.nmea_port)
                running.links.heard_us[:] -= 6_000_000
                assert await unit.closed()

    play(story())
