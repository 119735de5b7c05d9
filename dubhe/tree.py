"""A whole Dubhe as a child process on free loopback ports: what the demo and the benchmark run against."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import urllib.request
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from ingest.settings import host_port

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Tree:
    """Where a running Dubhe listens."""

    tcp: str
    http: str
    pid: int

    @property
    def tcp_address(self) -> tuple[str, int]:
        """Host and port for terminals."""
        return host_port(self.tcp)

    def get(self, path: str) -> bytes:
        """What the window says at `path`."""
        return _ask(f"http://{self.http}{path}")


@asynccontextmanager
async def running_tree(**settings: Any) -> AsyncIterator[Tree]:  # noqa: ANN401 - settings are of many kinds
    """Start `dubhe serve` with `settings` over the environment's, wait until it is ready, and drain it in the end."""
    tcp, http = (f"127.0.0.1:{_free_port()}" for _ in range(2))
    given = {"tcp_listen": tcp, "http_listen": http, "log_level": "warning", **settings}
    environment = os.environ | {f"DUBHE_{name.upper()}": str(value) for name, value in given.items()}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dubhe", "serve", env=environment, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        await asyncio.wait_for(_ready(child, http), START_TIMEOUT_S)
        yield Tree(tcp, http, child.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            child.kill()


async def _ready(child: Process, http: str) -> None:
    """Return once `/readyz` says so."""
    while child.returncode is None:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(_ask, f"http://{http}/readyz")
            return
        await asyncio.sleep(0.05)
    msg = "dubhe serve did not start; its own last words stand above"
    raise RuntimeError(msg)


def _ask(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
        body: bytes = answer.read()
        return body


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
