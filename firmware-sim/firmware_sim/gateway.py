"""A real gateway as a process of its own: `python -m dubhe serve` on free ports of 127.0.0.1, awaited until it is ready, ended by SIGTERM.

Only the standard library: whatever the gateway imports stays in its own process.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_sim.link import Address
from firmware_sim.signals import heard_later

START_S: Final = 90.0
"""The embedded database is made on the first start, which takes some seconds on a free machine."""
STOP_S: Final = 60.0
OK: Final = 200
PORTS: Final = range(15_000, 32_000)
"""Linux deals out 32768 to 60999, others higher ones still."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs."""

    to: Address
    """Where terminals connect."""
    http: Address
    """Health, readiness, metrics."""
    data_dir: Path
    log: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of an HTTP path."""
        connection = http.client.HTTPConnection(self.http.host, self.http.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def stop(self) -> int:
        """SIGTERM, and wait; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            msg = f"the gateway did not stop within {STOP_S:.0f} s of SIGTERM; its log:\n{self.tail()}"
            raise TimeoutError(msg) from None

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4_000:]


@contextlib.contextmanager
def running_gateway(data_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[Gateway]:
    """Start a gateway on `data_dir`; `settings` are names and values as in DUBHE_…, in lower case and without the prefix."""
    tcp, web = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DUBHE_")}
    chosen = {"data_dir": str(data_dir), "tcp_listen": f"127.0.0.1:{tcp}", "http_listen": f"127.0.0.1:{web}", **(settings or {})}
    environment |= {f"DUBHE_{name.upper()}": str(value) for name, value in chosen.items()}
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "serve.log"
    with contextlib.ExitStack() as stack:
        with heard_later():
            with log.open("ab") as file:
                process = subprocess.Popen(
                    [sys.executable, "-m", "dubhe", "serve"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    process_group=0,  # Ctrl-C is for who started it, and who hears the last answers before it ends
                )
            gateway = Gateway(Address("127.0.0.1", tcp), Address("127.0.0.1", web), data_dir, log, process)
            stack.callback(gateway.stop)
        _await_ready(gateway)
        yield gateway


def _await_ready(gateway: Gateway) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if gateway.process.poll() is not None:
            msg = f"the gateway ended with status {gateway.process.returncode} before it was ready; its log:\n{gateway.tail()}"
            raise RuntimeError(msg)
        try:
            if gateway.get("/readyz")[0] == OK:
                return
        except OSError:
            pass
        time.sleep(0.05)
    msg = f"the gateway was not ready within {START_S:.0f} s; its log:\n{gateway.tail()}"
    raise TimeoutError(msg)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now; none of those that the kernel deals out, for others would get it meanwhile."""
    while True:
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
