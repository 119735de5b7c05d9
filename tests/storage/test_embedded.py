"""The embedded PostgreSQL: private, durable, and back after anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from fix_db import kill_all_in, rows
from storage import host
from storage.embedded import Embedded
from storage.errors import EmbeddedError


@pytest.fixture
def server(place: Path) -> Iterator[Embedded]:
    """A server of the test's own, started."""
    server = Embedded(place)
    server.start()
    yield server
    server.stop()


def test_it_is_reached_through_a_private_socket_only(server: Embedded) -> None:
    url = server.url

    assert rows(url, "SHOW listen_addresses") == [("",)]
    assert rows(url, "SELECT inet_server_addr()") == [(None,)]
    assert (server.cluster.stat().st_mode & 0o777, (server.cluster / ".s.PGSQL.5432").stat().st_mode & 0o777) == (0o700, 0o700)


def test_what_it_commits_is_on_disk(server: Embedded) -> None:
    url = server.url
    settings = ("synchronous_commit", "fsync", "full_page_writes", "data_checksums")

    assert rows(url, "SELECT DISTINCT setting FROM pg_settings WHERE name = ANY(%s)", list(settings)) == [("on",)]


def test_it_never_runs_as_root(server: Embedded) -> None:
    assert server.cluster.stat().st_uid != 0


def test_it_starts_again_after_kill_9_with_all_it_committed(server: Embedded) -> None:
    url = server.url
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE promise AS SELECT 1 AS kept")

    kill_all_in(server.cluster)
    server.stop()

    assert rows(server.start(), "SELECT kept FROM promise") == [(1,)]


def test_a_process_of_today_under_the_old_servers_number_is_no_obstacle(place: Path) -> None:
    server = Embedded(place)
    server.start()
    kill_all_in(server.cluster)
    server.stop()
    owner = server.cluster.stat().st_uid
    with subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None) as stranger:
        for mark in (server.cluster / "postmaster.pid", server.cluster / ".s.PGSQL.5432.lock"):
            lines = mark.read_text().splitlines()
            mark.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        try:
            assert rows(server.start(), "SELECT 1") == [(1,)]
            assert stranger.poll() is None
        finally:
            server.stop()
            stranger.kill()


def test_a_second_user_of_the_directory_uses_the_server_and_leaves_it_running(server: Embedded) -> None:
    guest = Embedded(server.data_dir)
    url = guest.start()
    guest.stop()

    assert rows(url, "SELECT 1") == [(1,)]


def test_a_server_that_outlived_its_owner_is_adopted_and_stopped(place: Path) -> None:
    owner, heir = Embedded(place), Embedded(place)
    url = owner.start()
    (started,) = rows(url, "SELECT pg_postmaster_start_time()")
    assert owner._lock is not None
    assert owner._process is not None
    owner._lock.close()  # what kill -9 of the owner does

    assert rows(heir.start(), "SELECT pg_postmaster_start_time()") == [started]

    heir.stop()
    assert owner._process.wait() == 0


def test_everybody_who_starts_it_at_once_gets_the_same_server(bare_place: Path) -> None:
    servers = [Embedded(bare_place) for _ in range(3)]
    with ThreadPoolExecutor() as threads:
        urls = set(threads.map(Embedded.start, servers))
    (url,) = urls

    assert rows(url, "SELECT 1") == [(1,)]

    for server in servers:
        server.stop()


def test_an_initdb_that_was_killed_is_done_again(bare_place: Path) -> None:
    (bare_place / "postgres.new").mkdir()
    (bare_place / "postgres.new" / "PG_VERSION").write_text("18")
    server = Embedded(bare_place)

    assert rows(server.start(), "SELECT 1") == [(1,)]

    server.stop()


def test_a_path_too_long_for_a_socket_gets_a_private_one_elsewhere(place: Path) -> None:
    server = Embedded(place / ("long" * 30))
    url = server.start()
    (socket_dir,) = rows(url, "SHOW unix_socket_directories")[0]

    assert rows(url, "SELECT 1") == [(1,)]
    assert Path(socket_dir).stat().st_mode & 0o777 == 0o700

    server.stop()
    shutil.rmtree(socket_dir)


def test_the_server_of_a_stopped_owner_is_gone(place: Path) -> None:
    server = Embedded(place)
    server.start()
    server.stop()

    assert not host.runs_in(server._pid(), server.cluster)
    assert not (server.cluster / "postmaster.pid").exists()


def test_a_server_whose_owner_is_told_to_end_in_its_first_moment_is_gone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(_server: Embedded) -> None:
        raise SystemExit(143)

    monkeypatch.setattr(Embedded, "_await_answer", told)
    server = Embedded(place)
    with pytest.raises(SystemExit):
        server.start()

    assert server._process is None
    assert not host.runs_in(server._pid(), server.cluster)


def test_data_of_another_major_version_are_refused_with_what_to_do(bare_place: Path) -> None:
    (bare_place / "postgres").mkdir()
    (bare_place / "postgres" / "PG_VERSION").write_text("9\n")

    with pytest.raises(EmbeddedError, match="needs PostgreSQL 9; here is 16 and 18: dump it"):
        Embedded(bare_place).start()


def test_a_data_directory_that_is_none_is_named(bare_place: Path) -> None:
    (bare_place / "file").touch()

    with pytest.raises(EmbeddedError, match=f"cannot use {bare_place / 'file'}"):
        Embedded(bare_place / "file").start()


def test_a_server_that_does_not_start_says_why(place: Path) -> None:
    server = Embedded(place)
    server.start()
    server.stop()
    (server.cluster / "global" / "pg_control").unlink()

    with pytest.raises(EmbeddedError, match=r"does not start: .*could not find the database system"):
        server.start()
