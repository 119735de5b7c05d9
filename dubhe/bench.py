"""`dubhe bench`: this machine's numbers, counted at the terminals' end, with the database, the gateway and the load on one machine.

Four runs against a gateway of its own with lenient admission: idle connections for their memory, reports one at a time per terminal,
many in flight, and an open loop at a fixed rate. The database is the setting's when there is one (give it an empty one), else an
embedded one in a folder that goes away afterwards. With fences and corridors (`planted.py`) the rules have something to find: the shapes
are entered before the gateway starts, nothing is measured before all workers judge by them, and idle connections are left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from dubhe.planted import plant
from dubhe.supervisor import database
from firmware_sim.broker import running_broker
from firmware_sim.gateway import Gateway, running_gateway
from firmware_sim.link import Address
from ingest.settings import Settings
from storage.geometry import version_now
from storage.health import versions
from storage.incidents import events_written

IN_FLIGHT: Final = 20
"""Reports in flight per terminal in the second run: frames then share packets."""
FIRST_NAME: Final = 13_900_000_001
NAMES_PER_RUN: Final = 1_000_000
"""Each run has terminals of its own, so that no report of one repeats another's."""
IDLE_PER_ADDRESS: Final = 20_000
IN_FORCE_S: Final = 120
"""The shapes of a benchmark are made into indexes within seconds."""
MQTT_RATE: Final = 10_000
MQTT_PATIENCE_S: Final = 300
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def bench(
    settings: Settings, *, terminals: int, window: int, messages: int, rate: float, fences: int = 0, corridors: int = 0
) -> dict[str, Any]:
    """Run all and return the figures; progress goes to standard error."""
    console = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        if not settings.database_url:
            settings = replace(settings, data_dir=stack.enter_context(tempfile.TemporaryDirectory(prefix="dubhe-bench-")))
        url = stack.enter_context(database(settings))
        runs = _runs(window, rate)
        names = [FIRST_NAME + number * NAMES_PER_RUN for number in range(len(runs))]
        if fences or corridors:
            console.print(f"{fences:,} fences and {corridors:,} corridors are planted …")
        reports = -(-messages // terminals)
        planted = plant(url, fences=fences, corridors=corridors, terminals=terminals, reports=reports, first_names=names)
        chosen = {"database_url": url, "admission": "lenient", "workers": str(settings.workers), "log_level": "warning"}
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dubhe-bench-"))
        gateway = stack.enter_context(running_gateway(Path(folder), chosen))
        _await_shapes(gateway, settings.workers, version_now(url))
        figures = {"machine": _machine(), "database": versions(url), "planted": planted, "reports": {}}
        if not (fences or corridors):  # and first of all: a process that has worked, or indexed shapes, has memory to give away
            console.print(f"{terminals:,} idle connections …")
            figures["idle"] = _idle(gateway, terminals)
        for first, (name, words) in zip(names, runs.items(), strict=True):
            console.print(f"{messages:,} reports of {terminals:,} terminals, {name} …")
            before, events = _stages(gateway), events_written(url)
            figures["reports"][name] = _load(gateway, terminals, messages, *words, "--first-name", str(first))
            figures["reports"][name]["us_per_report"] = _spent(before, _stages(gateway))
            figures["reports"][name]["events"] = events_written(url) - events
        return figures


def _runs(window: int, rate: float) -> dict[str, tuple[str, ...]]:
    """What each run is called, and how the load is told of it."""
    runs = {f"{each} in flight": ("--window", str(each)) for each in (window, IN_FLIGHT)}
    return runs | ({f"{rate:.0f} per second": ("--window", "64", "--rate", str(rate))} if rate else {})


def _await_shapes(gateway: Gateway, workers: int, version: int) -> None:
    """Wait until every worker judges by the shapes of this version."""
    deadline = time.monotonic() + IN_FORCE_S
    while time.monotonic() < deadline:
        found = re.findall(r"^gateway_shapes_version\{.*\} (\S+)$", gateway.get("/metrics")[1], re.MULTILINE)
        if sum(float(each) >= version for each in found) >= workers:
            return
        time.sleep(0.1)
    msg = f"the gateway does not judge by the shapes within {IN_FORCE_S} s; its log:\n{gateway.tail()}"
    raise TimeoutError(msg)


def bench_mqtt(settings: Settings, *, terminals: int, messages: int) -> dict[str, Any]:
    """QoS 1 messages of JT/T 808 through a Mosquitto of our own: as fast as they are taken, and at an even rate."""
    console = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        if not settings.database_url:
            settings = replace(settings, data_dir=stack.enter_context(tempfile.TemporaryDirectory(prefix="dubhe-bench-")))
        url = stack.enter_context(database(settings))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dubhe-bench-")))
        broker = stack.enter_context(running_broker(folder / "broker"))
        chosen = {
            "database_url": url,
            "admission": "lenient",
            "mqtt_url": broker.url,
            "mqtt_version": settings.mqtt_version,
            "log_level": "warning",
        }
        gateway = stack.enter_context(running_gateway(folder, chosen))
        figures: dict[str, Any] = {"machine": _machine(), "database": versions(url), "mqtt_version": settings.mqtt_version, "published": {}}
        for number, rate in enumerate((0, MQTT_RATE)):
            name = f"{rate} per second" if rate else "as fast as taken"
            console.print(f"{messages:,} messages of {terminals:,} terminals, {name} …")
            first = FIRST_NAME + number * NAMES_PER_RUN
            figures["published"][name] = _published(gateway, broker.url, terminals, messages, rate=rate, first=first)
        return figures


def _published(gateway: Gateway, url: str, terminals: int, messages: int, *, rate: int, first: int) -> dict[str, Any]:
    """One run: from the first message until the gateway has committed the last."""
    before, (pid,) = _stages(gateway), _workers(gateway.process.pid)
    stored, cpu_s = _counter(gateway, "gateway_fixes_stored_total"), _cpu_s(pid)
    words = ["--mqtt", url, "--terminals", str(terminals), "--messages", str(messages), "--rate", str(rate), "--first-name", str(first)]
    command = [sys.executable, "-m", "firmware_sim", "publish", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own module
    told: dict[str, Any] = json.loads(done.stdout)
    while _counter(gateway, "gateway_fixes_stored_total") - stored < messages and time.time() - told["began"] < MQTT_PATIENCE_S:
        time.sleep(0.05)
    seconds = time.time() - told["began"]
    committed = int(_counter(gateway, "gateway_fixes_stored_total") - stored)
    return {
        "published": told["acknowledged"],
        "published_per_second": round(told["per_second"]),
        "committed": committed,
        "committed_per_second": round(committed / seconds),
        "worker_cpu_us_per_message": round((_cpu_s(pid) - cpu_s) / max(committed, 1) * 1e6, 1),
        "us_per_report": _spent(before, _stages(gateway)),
    }


def _counter(gateway: Gateway, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", gateway.get("/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0


def _cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _load(gateway: Gateway, terminals: int, messages: int, *words: str) -> dict[str, Any]:
    """One run of the load generator, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "firmware_sim",
        "load",
        "--to",
        f"{gateway.to.host}:{gateway.to.port}",
        "--terminals",
        str(terminals),
        "--messages",
        str(messages),
    ]
    done = subprocess.run([*command, *words], stdout=subprocess.PIPE, check=False)  # noqa: S603 - our own module
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _stages(gateway: Gateway) -> dict[str, float]:
    """Seconds by stage and frames so far, of all workers."""
    text = gateway.get("/metrics")[1]
    found = dict(re.findall(r'^gateway_stage_seconds_total\{stage="(\w+)"\} (\S+)$', text, re.MULTILINE))
    frames = re.search(r"^gateway_frames_total (\S+)$", text, re.MULTILINE)
    return {name: float(seconds) for name, seconds in found.items()} | {"frames": float(frames[1]) if frames else 0}


def _spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Microseconds per frame and stage between two looks; `commit` is the wait for the database, in which the gateway reads on."""
    frames = max(after["frames"] - before["frames"], 1)
    return {name: round((after[name] - before.get(name, 0)) / frames * 1e6, 2) for name in after if name != "frames"}


def _idle(gateway: Gateway, terminals: int) -> dict[str, Any]:
    """Resident memory of the gateway per connection that says nothing."""
    pids = _workers(gateway.process.pid)
    before = sum(map(_resident, pids))
    with _sockets(gateway.to, terminals) as sockets:
        deadline = time.monotonic() + 30
        while (links := _links(gateway)) < terminals and time.monotonic() < deadline:
            time.sleep(0.2)
        grown = sum(map(_resident, pids)) - before
        return {
            "connections": int(links),
            "opened": len(sockets),
            "bytes_per_connection": round(grown / max(links, 1)),
            "workers": len(pids),
        }


def _links(gateway: Gateway) -> float:
    found = re.search(r"^gateway_links (\S+)$", gateway.get("/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0


@contextlib.contextmanager
def _sockets(to: Address, count: int) -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for number in range(count):
            local = (f"127.0.0.{1 + number // IDLE_PER_ADDRESS}", 0)
            sockets.append(stack.enter_context(socket.create_connection((to.host, to.port), source_address=local)))
        yield sockets


def _workers(supervisor: int) -> list[int]:
    """Process ids of the gateway workers under a supervisor."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [int(pid) for pid in children if b"ingest.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def _machine() -> dict[str, Any]:
    """What the figures hold for."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or None,
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
