"""A real PostgreSQL in the user's data directory, for when no database URL is given. The server's binaries come from a wheel.

Only a Unix socket is opened, in a directory that its owner alone may enter, so trust authentication admits nobody else.
Whoever holds `postgres.lock` owns the server and stops it; the lock goes with its process, also by kill -9. A second process
on the same data directory uses the running server and leaves it alone. A server that outlived its owner is adopted.

The wheel's own starter is not used: it takes any process under the old server's number for the server, gives a recovering
server ten seconds, opens every parent directory for reading, and may put a socket where every local user can reach it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

import psycopg

from storage import host
from storage.errors import EmbeddedError

SOCKET_PATH_MAX: Final = 103
"""Bytes of a Unix socket's path that every system takes (Linux 107, macOS 103)."""

START_S_MAX: Final = 600
"""Recovery after a crash replays at most `max_wal_size` of WAL; unmeasured on slow disks, hence generous."""

STOP_S_MAX: Final = 60
"""A fast shutdown writes one checkpoint; after this the server is stopped at once and recovers at the next start."""

SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "synchronous_commit": "on",  # an answer is a promise: every commit reaches the disk
    "fsync": "on",
    "full_page_writes": "on",
    "max_connections": "64",
    "wal_buffers": "16MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "max_locks_per_transaction": "256",  # one history may touch 400 daily partitions and their indexes
    "jit": "off",
    "timezone": "UTC",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_min_error_statement": "panic",  # a refused COPY is answered by the writer, not by the log
}
"""What our load asks for: inserts only, few connections, a log that never outgrows a week."""


class Embedded:
    """The server of one data directory; `start` and `stop` come in pairs."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self.cluster = self.data_dir / "postgres"
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._account: pwd.struct_passwd | None = None
        self._logged: dict[Path, int] = {}

    @property
    def url(self) -> str:
        """The connection string of the database `dubhe`."""
        return self._url("dubhe")

    def start(self) -> str:
        """Start or adopt the server, make the database `dubhe`, return its URL; raises `EmbeddedError`."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._account = host.account(self.cluster)
            self._lock = host.take_lock(self.data_dir / "postgres.lock")
            if self._lock is not None:
                self._bring_up()
            self._await_answer()
            self._create_database()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                msg = f"the embedded PostgreSQL cannot use {self.data_dir}: {error}"
                raise EmbeddedError(msg) from error
            if isinstance(error, psycopg.Error):
                msg = f"the embedded PostgreSQL in {self.cluster} refuses us: {str(error).strip()}"
                raise EmbeddedError(msg) from error
            raise
        return self.url

    def stop(self) -> None:
        """Stop the server if it is ours; everything answered is on disk already."""
        if self._lock is None:
            return
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, never needed so far
            if (pid := self._running()) is None:
                break
            os.kill(pid, how)
            deadline = time.monotonic() + STOP_S_MAX
            while self._running() is not None and time.monotonic() < deadline:
                time.sleep(0.02)
        if self._process is not None:
            self._process.wait()
            self._process = None
        self._lock.close()
        self._lock = None

    def _bring_up(self) -> None:
        if self._account is not None:
            host.let_through([self.data_dir, self._binary("postgres").parent])
        if not (self.cluster / "PG_VERSION").exists():
            self._create_cluster()
        if self._running() is not None:
            return
        for stale in (self.cluster / "postmaster.pid", self._socket_dir() / ".s.PGSQL.5432.lock"):
            stale.unlink(missing_ok=True)
        self._launch()

    def _create_cluster(self) -> None:
        """Run initdb beside the place and rename, so that a killed initdb leaves nothing that looks like a cluster."""
        draft = self.data_dir / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._give_away(draft)
        arguments = ["-D", str(draft), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        with self._spawn("initdb", arguments, subprocess.PIPE) as made:
            said, _ = made.communicate()
        if made.returncode != 0:
            msg = f"the embedded PostgreSQL cannot be created in {self.data_dir}: {_reason(said.decode(errors='replace'))}"
            raise EmbeddedError(msg)
        draft.rename(self.cluster)

    def _launch(self) -> None:
        options = SETTINGS | {
            "shared_buffers": f"{host.shared_buffers_mb()}MB",
            "unix_socket_directories": str(self._make_socket_dir()),
        }
        arguments = ["-D", str(self.cluster), *(word for each in options.items() for word in ("-c", "=".join(each)))]
        (self.data_dir / "postgres.start.log").unlink(missing_ok=True)
        self._logged = self._logs()
        with (self.data_dir / "postgres.start.log").open("wb") as log:
            self._process = self._spawn("postgres", arguments, log)

    def _await_answer(self) -> None:
        """Wait until the server answers; a server that ends meanwhile is started again if it only waited for its forerunner."""
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            if self._ended():
                last = self._last_words()
                # Backends of a killed server hold its shared memory for a moment, until they notice.
                if "shared memory block" not in last:
                    msg = f"the embedded PostgreSQL in {self.cluster} does not start: {_reason(last)}"
                    raise EmbeddedError(msg)
                self._launch()
            try:
                psycopg.connect(self._url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        msg = f"the embedded PostgreSQL in {self.cluster} gives no answer after {START_S_MAX} s; see its log there"
        raise EmbeddedError(msg)

    def _create_database(self) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as conn:
            if conn.execute("SELECT FROM pg_database WHERE datname = 'dubhe'").fetchone() is not None:
                return
            try:
                conn.execute("CREATE DATABASE dubhe")
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                return  # another process was faster

    def _spawn(self, name: str, arguments: list[str], log: IO[bytes] | int) -> subprocess.Popen[bytes]:
        who = self._account
        return subprocess.Popen(  # noqa: S603 - our own binary, an argument list, no shell
            [self._binary(name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"},
            start_new_session=True,  # Ctrl-C is for the supervisor, which drains first
            user=who.pw_uid if who else None,
            group=who.pw_gid if who else None,
            extra_groups=[] if who else None,
        )

    def _binary(self, name: str) -> Path:
        """The wheel's binary, of the version that made the cluster."""
        have = host.binaries()
        mark = self.cluster / "PG_VERSION"
        version = int(mark.read_text("ascii")) if mark.exists() else max(have, default=0)
        if version not in have:
            here = " and ".join(map(str, sorted(have))) or "none"
            msg = f"{self.cluster} needs PostgreSQL {version}; here is {here}: dump it with its own version and restore it"
            raise EmbeddedError(msg)
        return have[version] / name

    def _socket_dir(self) -> Path:
        """The cluster itself, or where its path is too long for a socket a private directory named after it."""
        if len(os.fsencode(self.cluster / ".s.PGSQL.5432")) <= SOCKET_PATH_MAX:
            return self.cluster
        name = hashlib.sha256(os.fsencode(self.cluster)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"dubhe-{name}"

    def _make_socket_dir(self) -> Path:
        place = self._socket_dir()
        if place != self.cluster:
            place.mkdir(mode=0o700, exist_ok=True)
            if place.is_symlink() or place.stat().st_uid not in {os.geteuid(), self._account.pw_uid if self._account else -1}:
                msg = f"{place} belongs to somebody else; remove it or use a data directory with a shorter path"
                raise EmbeddedError(msg)
            place.chmod(0o700)
            self._give_away(place)
        return place

    def _url(self, database: str) -> str:
        return f"postgresql:///{database}?host={quote(str(self._socket_dir()), safe='')}&user=postgres"

    def _give_away(self, folder: Path) -> None:
        if self._account is not None:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)

    def _pid(self) -> int | None:
        try:
            return int((self.cluster / "postmaster.pid").read_text("ascii").split()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _running(self) -> int | None:
        """The server's number while it runs: one of ours from its first moment, before it works in the cluster and says so there."""
        if self._process is not None and not self._ended():
            return self._process.pid
        pid = self._pid()
        return pid if host.runs_in(pid, self.cluster) else None

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _logs(self) -> dict[Path, int]:
        """The server's logs, oldest first, and their sizes."""
        logs = [log for log in (*(self.cluster / "log").glob("*.log"), self.data_dir / "postgres.start.log") if log.exists()]
        return {log: log.stat().st_size for log in sorted(logs, key=lambda log: log.stat().st_mtime)}

    def _last_words(self) -> str:
        """What was logged since the last launch, but for what our own asking caused."""
        said = [log.read_bytes()[self._logged.get(log, 0) :].decode("utf-8", "replace") for log in self._logs()]
        return "\n".join(line for line in "\n".join(said).splitlines() if "the database system is starting up" not in line)


def _reason(log: str) -> str:
    """The last line that names a reason, or the last few."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    named = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
    return named[-1] if named else " ".join(lines[-3:]) or "it left no word"
