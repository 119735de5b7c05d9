"""The evidence of an alarm, from the order to the file: a real worker with its attachment port, a simulated terminal, a lossy way."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from random import Random
from typing import Any

import pytest

from firmware_sim.attachments import Uploader
from firmware_sim.link import Address
from fix_db import rows
from fix_terminals import command, online
from fix_worker import play, worker
from ingest.attachments import INTERVALS_MAX, _File
from ingest.worker import Worker
from protocols.jt808.attachments import HEAD_BYTES, piece_bytes
from protocols.jt808.commands import COMMANDS

NAME, ORDER = "13800138000", 0x9208
PICTURE = b"\xff\xd8\xff\xe0" + Random(9208).randbytes(400_000)
FILES = {"00_64_6401_0_A0001.jpg": PICTURE, "00_65_6501_1_A0001.bin": b"\x00short"}


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    return {"admission": "lenient", "data_dir": str(folder), "attachment_listen": "127.0.0.1:0", **more}


def door(running: Worker) -> Address:
    return Address("127.0.0.1", running._servers[-1].sockets[0].getsockname()[1])


async def order(url: str) -> None:
    assert (await command(url, NAME, ORDER, dict(COMMANDS[ORDER].example))).ok


@pytest.mark.parametrize("loss", [0.0, 0.5])
def test_what_was_ordered_arrives_whole_and_what_is_lost_is_asked_for(database_url: str, tmp_path: Path, loss: float) -> None:
    async def story() -> None:
        async with worker(database_url, **settings(tmp_path)) as (running, port), online(port) as terminal:
            await order(database_url)
            dice = Random(5)
            uploader = Uploader(terminal.identity, terminal.equipment.orders[-1][1], lambda _number: dice.random() < loss)
            assert await uploader.upload(door(running), FILES)

            kept = rows(database_url, "SELECT name, content, bytes, path, alarm_number FROM attachments ORDER BY id")
            assert [(name, size) for name, _, size, _, _ in kept] == [(name, len(data)) for name, data in FILES.items()]
            for name, _, _, path, number in kept:
                assert (tmp_path / "media" / path).read_bytes() == FILES[name]
                assert number == "A0001"
            assert [content for _, content, *_ in kept] == ["jpg", "bin"]
            assert uploader.pieces > 8 or loss == 0

    play(story())


def test_what_nobody_ordered_is_refused_and_leaves_nothing(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with worker(database_url, **settings(tmp_path)) as (running, port), online(port) as terminal:
            uploader = Uploader(terminal.identity, COMMANDS[ORDER].example)

            assert not await uploader.upload(door(running), FILES)
            await order(database_url)
            assert not await Uploader(terminal.identity, {**COMMANDS[ORDER].example, "alarm_number": "B"}).upload(door(running), FILES)
            assert rows(database_url, "SELECT count(*) FROM attachments") == [(0,)]
            assert not [each for each in tmp_path.rglob("*") if each.is_file()]

    play(story())


def test_a_file_longer_than_allowed_is_refused_before_it_comes(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with worker(database_url, **settings(tmp_path, attachment_bytes_max=1_024)) as (running, port), online(port) as terminal:
            await order(database_url)

            assert not await Uploader(terminal.identity, terminal.equipment.orders[-1][1]).upload(door(running), FILES)

    play(story())


def test_names_are_words_and_never_paths(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with worker(database_url, **settings(tmp_path)) as (running, port), online(port) as terminal:
            await order(database_url)
            uploader = Uploader(terminal.identity, terminal.equipment.orders[-1][1])

            assert await uploader.upload(door(running), {"../../evil.sh": b"#!/bin/sh"})
            [(name, path)] = rows(database_url, "SELECT name, path FROM attachments")
            assert name == "../../evil.sh"
            assert [tmp_path / "media" / path] == [each for each in tmp_path.rglob("*") if each.is_file()]

    play(story())


def test_noise_and_endless_pieces_close_the_connection_only(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with worker(database_url, **settings(tmp_path)) as (running, port), online(port) as terminal:
            to = door(running)
            for noise in (
                piece_bytes("x", 0, b"")[: HEAD_BYTES - 4] + b"\xff\xff\xff\xff",
                b"\x7e" + b"a" * 20_000,
                piece_bytes("nobody", 4_000_000_000, b"data") * 20,
            ):
                with socket.create_connection((to.host, to.port)) as evil:
                    evil.sendall(noise)
                    evil.shutdown(socket.SHUT_WR)
                    await asyncio.to_thread(evil.recv, 1)
            await order(database_url)

            assert await Uploader(terminal.identity, terminal.equipment.orders[-1][1]).upload(to, FILES)

    play(story())


def test_pieces_in_any_order_cover_a_file_and_what_lies_outside_is_left_out(tmp_path: Path) -> None:
    with (tmp_path / "body").open("w+b") as body:
        file = _File(10, 0, body)
        assert file.missing() == [(0, 10)]
        for offset, data in ((8, b"89abc"), (2, b"23"), (3, b"345"), (20, b"far")):
            file.put(offset, data)

        assert file.missing() == [(0, 2), (6, 2)]
        file.put(0, b"01")
        file.put(6, b"67")
        assert file.missing() == []
        assert file.whole() == b"0123456789"

    with (tmp_path / "body").open("w+b") as body:
        file = _File(1 << 20, 0, body)
        for offset in range(0, 1 << 20, 2):
            file.put(offset, b"x")

        assert len(file.have) == INTERVALS_MAX
