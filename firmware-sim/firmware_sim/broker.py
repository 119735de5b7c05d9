"""A Mosquitto of one's own as a process: on a free port of 127.0.0.1, with its own configuration and store, ended when it is left.

For tests, the demo and the benchmark. Only the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_sim.gateway import free_port
from firmware_sim.link import Address
from firmware_sim.signals import heard_later

START_S: Final = 10.0
STOP_S: Final = 10.0
SETTINGS: Final = (
    "allow_anonymous true",
    "max_queued_messages 0",  # 0 is without bound; the default of 1000 drops what a persistent session has not read
    "max_inflight_messages 0",  # for MQTT 3.1.1, where the client has no say: the default of 20 is 20 messages per commit
    "persistence true",
)


def mosquitto() -> str | None:
    """Where the broker's program is, also where a user's PATH does not look."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


@dataclass(slots=True)
class Broker:
    """A broker that runs, or ran."""

    folder: Path
    port: int
    program: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For DUBHE_MQTT_URL."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def address(self) -> Address:
        """Where terminals connect."""
        return Address("127.0.0.1", self.port)

    def start(self) -> None:
        """Run it on what it has stored, and wait until it listens."""
        with heard_later(), (self.folder / "mosquitto.log").open("ab") as log:
            command = [self.program, "-c", str(self.folder / "mosquitto.conf")]
            self.process = subprocess.Popen(  # noqa: S603 - the program that was found
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C is for who started it
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.port)):
                    return
            time.sleep(0.02)
        msg = f"Mosquitto does not listen; its log:\n{(self.folder / 'mosquitto.log').read_text(errors='replace')[-2_000:]}"
        raise RuntimeError(msg)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, by default so that it stores what it has; SIGKILL is a power cut."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def running_broker(folder: Path, settings: Sequence[str] = ()) -> Iterator[Broker]:
    """Start a broker in `folder`; `settings` are further lines of its configuration. Raises FileNotFoundError where there is none."""
    program = mosquitto()
    if program is None:
        msg = "no Mosquitto on this machine; apt install mosquitto, or make services"
        raise FileNotFoundError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    broker = Broker(folder, free_port(), program)
    root = ("user root",) if os.geteuid() == 0 else ()  # else it becomes a user that cannot write here
    lines = [f"listener {broker.port} 127.0.0.1", f"persistence_location {folder}/", *root, *SETTINGS, *settings]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
