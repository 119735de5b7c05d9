"""Who is online when workers die, and when only their connections do."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from firmware_sim.gateway import free_port
from fix_db import break_connections, rows
from fix_terminals import command, online, until
from fix_worker import Raw, play, stored, worker
from ingest.settings import Settings
from storage.online import WORKERS
from storage.roster import roster

NAME = "13800138000"
LOCATE = 0x8201
LENIENT = {"admission": "lenient"}
SESSIONS = "SELECT login, worker FROM sessions"
HOLDERS = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = {WORKERS}"


def is_online(url: str) -> bool:
    (entry,) = roster(url)
    return entry.online_since is not None


def test_who_was_connected_to_a_killed_worker_is_offline_and_is_sent_nothing(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        port = free_port()
        settings = Settings(data_dir=str(tmp_path), tcp_listen=f"127.0.0.1:{port}", admission="lenient")
        dies = await asyncio.create_subprocess_exec(sys.executable, "-m", "ingest.worker", stdin=PIPE)
        assert dies.stdin is not None, "asked for a pipe"
        dies.stdin.write(f"{settings.to_json()}\n{database_url}\ngone\n".encode())
        async with worker(database_url, "stays", **LENIENT) as (_, other):
            try:
                async with online(port, NAME):
                    assert (await command(database_url, NAME, LOCATE)).ok
                    dies.kill()
                    await until(lambda: not is_online(database_url))
                    assert [name for _, name in rows(database_url, SESSIONS)] == ["gone"], "nobody takes it away"

                    got = await command(database_url, NAME, LOCATE)
                    assert (got.state, got.result) == ("failed", "the terminal is offline")
            finally:
                await dies.wait()
            async with online(other, NAME):
                assert (await command(database_url, NAME, LOCATE)).ok

    play(story())


def test_a_worker_whose_connections_are_cut_has_its_terminals_back_without_a_login(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.connect.RETRY_S", 0)

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port), online(port, NAME) as terminal:
            assert (await command(database_url, NAME, LOCATE)).ok
            before, cut = rows(database_url, SESSIONS), set(rows(database_url, HOLDERS))
            break_connections(database_url, "dubhe%")
            await until(lambda: cut.isdisjoint(rows(database_url, HOLDERS)) and is_online(database_url))

            assert (await command(database_url, NAME, LOCATE)).ok
            assert rows(database_url, SESSIONS) == before
            assert terminal.counters.commands[LOCATE] == 2

    play(story())


def test_who_leaves_while_the_database_is_away_is_logged_out_when_it_is_back(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            break_connections(database_url, "dubhe registry")
            raw.writer.close()
            await stored(database_url, "SELECT count(*) FROM sessions", [(0,)])

    play(story())
