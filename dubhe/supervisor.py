"""One supervised tree: an embedded database if none is given, N gateway workers on one port, one window.

A child that dies is started again, with a growing pause; a child that says starting again will not help stops everything.
SIGTERM drains: the workers settle and answer what they have received, then the window goes, then the embedded database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from ingest import log as logs
from ingest import metrics
from ingest.settings import EX_CONFIG, Settings, host_port
from storage.embedded import Embedded
from storage.health import is_empty
from storage.migrate import migrate, require_current
from storage.partitions import maintain
from storage.retention import forget

log: Final = logs.get("dubhe.supervisor")

RESTART_PAUSE_S_MAX: Final = 10.0
RESTART_FORGOTTEN_S: Final = 60.0
"""A child that ran for so long starts again at once when it dies."""
MAINTAIN_EVERY_S: Final = 3_600
KILL_AFTER_S: Final = 5.0
"""Grace beyond a child's own drain timeout."""


class CannotStart(RuntimeError):  # noqa: N818 - it reads as a sentence where it is raised
    """Why the tree cannot be started, with the cure."""


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of a database at the current schema; an embedded one for as long as the context lasts when none is given.

    An empty database is given the schema. One with an older schema is left alone and refused: `dubhe migrate` is a decision.
    Whoever is asked to end meanwhile stops first what it has started.
    """
    with ended_in_order():
        if settings.database_url:
            if is_empty(settings.database_url):
                migrate(settings.database_url)
            require_current(settings.database_url)
            yield settings.database_url
            return
        embedded = Embedded(Path(settings.data_dir))
        url = embedded.start()
        try:
            migrate(url)
            yield url
        finally:
            _hear_no_more()
            embedded.stop()


@dataclass(slots=True)
class Supervisor:
    """Keeps the children running."""

    settings: Settings
    url: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    exit_code: int = 0
    _children: dict[str, Process] = field(default_factory=dict)

    async def run(self) -> int:
        """Run until one of `endings` comes, or a child says it cannot; returns the exit code."""
        on_ending(self.stopping)
        maintaining = asyncio.ensure_future(self._maintain())
        window = asyncio.ensure_future(self._keep("window", "dubhe.window"))
        workers = [asyncio.ensure_future(self._keep(f"worker-{n}", "ingest.worker")) for n in range(self.settings.workers)]
        await self.stopping.wait()
        log.info("stopping")
        await self._end([name for name in self._children if name != "window"], workers)
        await self._end(["window"], [window])
        maintaining.cancel()
        return self.exit_code

    async def _keep(self, name: str, module: str) -> None:
        """Start a child, and start it again whenever it dies."""
        pause_s = 0.25
        while not self.stopping.is_set():
            started = time.monotonic()
            child = await asyncio.create_subprocess_exec(sys.executable, "-m", module, stdin=PIPE)
            self._children[name] = child
            assert child.stdin is not None, "asked for a pipe"
            who = f"{socket.gethostname()}:{host_port(self.settings.tcp_listen)[1]}/{name}"
            child.stdin.write(f"{self.settings.to_json()}\n{self.url}\n{who}\n".encode())
            code = await child.wait()
            metrics.forget(child.pid)
            if self.stopping.is_set():
                return
            if code == EX_CONFIG:
                self.exit_code = EX_CONFIG
                self.stopping.set()
                return
            if time.monotonic() - started > RESTART_FORGOTTEN_S:
                pause_s = 0.25
            log.error("child died; starting it again", child=name, pid=child.pid, exit_code=code, pause_s=pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause_s)
            pause_s = min(2 * pause_s, RESTART_PAUSE_S_MAX)

    async def _end(self, names: list[str], keepers: Sequence[asyncio.Future[None]]) -> None:
        """Ask children to stop, and make those stop that do not."""
        for name in names:
            with contextlib.suppress(ProcessLookupError, KeyError):
                self._children[name].send_signal(signal.SIGTERM)
        _done, late = await asyncio.wait(keepers, timeout=self.settings.drain_timeout_s + KILL_AFTER_S)
        if late:
            for name in names:
                with contextlib.suppress(ProcessLookupError):
                    self._children[name].kill()
            await asyncio.wait(late)

    async def _maintain(self) -> None:
        """Partitions ahead and retention, now and every hour."""
        at = self.settings
        while True:
            try:
                await asyncio.to_thread(
                    maintain,
                    self.url,
                    datetime.now(UTC),
                    fixes_days_max=at.fixes_days_max,
                    quarantine_days_max=at.quarantine_days_max,
                    quarantine_rows_max=at.quarantine_rows_max,
                )
                report = await asyncio.to_thread(
                    forget,
                    self.url,
                    Path(at.data_dir) / "media",
                    datetime.now(UTC),
                    fixes_days_max=at.fixes_days_max,
                    events_days_max=at.events_days_max,
                    messages_days_max=at.messages_days_max,
                    media_days_max=at.media_days_max,
                )
                if gone := {name: count for name, count in asdict(report).items() if count}:
                    log.info("what was too old has gone", **gone)
            except Exception as error:  # noqa: BLE001 - the database may be away; the next hour tries again
                log.warning("maintenance failed; it is tried again within the hour", why=str(error).strip())
            await asyncio.sleep(MAINTAIN_EVERY_S)


def endings() -> list[signal.Signals]:
    """The signals that end us in order: a closed terminal window is one, unless whoever started us says that we outlive it (nohup)."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if outlives else [signal.SIGHUP])]


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """While it lasts, the first of `endings` is a SystemExit where it comes, so that all that was started is stopped; no other is heard.

    Else SIGTERM and SIGHUP would end this process alone, and what runs in sessions of its own would go on.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are not heard there
        yield
        return
    before = {number: signal.getsignal(number) for number in endings()}
    for number in before:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    _hear_no_more()
    raise SystemExit(128 + number)  # as a shell tells a death by it


def _hear_no_more() -> None:
    """What is being stopped is not left half stopped. SIGKILL and SIGQUIT still end it."""
    if threading.current_thread() is threading.main_thread():
        for number in endings():
            signal.signal(number, lambda _number, _frame: None)  # not SIG_IGN, which children would inherit


def on_ending(stopping: asyncio.Event) -> None:
    """Within `ended_in_order`, have `endings` set an event of the running loop instead; after the loop they are not heard.

    The loop's own handlers are gone when it closes, and then what it ran on is still to be stopped.
    """
    loop = asyncio.get_running_loop()

    def heard(_number: int, _frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stopping.set)

    for number in endings():
        signal.signal(number, heard)


def serve(settings: Settings) -> int:
    """Run the whole tree; returns the exit code."""
    _require_free(settings.tcp_listen, "tcp_listen")
    _require_free(settings.http_listen, "http_listen")
    if settings.nmea_listen:
        _require_free(settings.nmea_listen, "nmea_listen")
    if settings.udp_listen:
        _require_free(settings.udp_listen, "udp_listen", socket.SOCK_DGRAM)
    _raise_file_limit(settings)
    with tempfile.TemporaryDirectory(prefix="dubhe-metrics-") as folder:
        os.environ[metrics.FOLDER] = folder
        with database(settings) as url:
            return asyncio.run(Supervisor(settings, url).run())


def _require_free(listen: str, setting: str, kind: int = socket.SOCK_STREAM) -> None:
    """Workers share their port, so a second Dubhe would share it too: refuse before anything starts."""
    host, port = host_port(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:  # for datagrams it would let two bind one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as error:
            msg = f"setting {setting} is {listen}: no such host; name an address of this machine, such as 0.0.0.0"
            raise CannotStart(msg) from error
        except OSError as error:
            msg = f"setting {setting} is {listen}: {error.strerror}; stop what listens there or choose another port"
            raise CannotStart(msg) from error


def _raise_file_limit(settings: Settings) -> None:
    """A connection is a file: ask for what the system grants, and say so when that is less than the setting."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < settings.links_max + 100:
        log.warning("fewer connections than links_max", links_max=settings.links_max, open_files_max=hard, cure="raise ulimit -n")
