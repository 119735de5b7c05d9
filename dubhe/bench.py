"""`dubhe bench`: this machine's numbers, counted at the terminals' end, with the database, the gateway and the load on one machine.

Four runs against a gateway of its own with lenient admission: reports one at a time per terminal, many in flight, an open loop at a
fixed rate, and idle connections for their memory. The database is the setting's when there is one (give it an empty one), else an
embedded one in a folder that goes away afterwards.
"""

from __future__ import annotations

import asyncio
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

from dubhe.supervisor import database
from dubhe.tree import Tree, running_tree
from ingest.settings import Settings
from storage.health import versions

IN_FLIGHT: Final = 20
"""Reports in flight per terminal in the second run: frames then share packets."""
IDLE_PER_ADDRESS: Final = 20_000
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def bench(settings: Settings, *, terminals: int, window: int, messages: int, rate: float) -> dict[str, Any]:
    """Run all and return the figures; progress goes to standard error."""
    console = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        if not settings.database_url:
            settings = replace(settings, data_dir=stack.enter_context(tempfile.TemporaryDirectory(prefix="dubhe-bench-")))
        url = stack.enter_context(database(settings))
        return asyncio.run(_bench(console, url, workers=settings.workers, terminals=terminals, window=window, messages=messages, rate=rate))


async def _bench(console: Console, url: str, *, workers: int, terminals: int, window: int, messages: int, rate: float) -> dict[str, Any]:
    figures: dict[str, Any] = {"machine": _machine(), "database": versions(url), "workers": workers, "reports": {}}
    runs = {
        f"{window} in flight": ("--window", str(window)),
        f"{IN_FLIGHT} in flight": ("--window", str(IN_FLIGHT)),
        f"{rate:.0f} per second": ("--window", "64", "--rate", str(rate)),
    }
    if not rate:
        del runs["0 per second"]
    async with running_tree(database_url=url, admission="lenient", workers=workers) as tree:
        for number, (name, words) in enumerate(runs.items()):
            console.print(f"{messages:,} reports of {terminals:,} terminals, {name} …")
            before = _stages(tree)
            block = ("--first-name", str(13_900_000_001 + number * 1_000_000))
            figures["reports"][name] = await asyncio.to_thread(_load, tree, terminals, messages, *words, *block)
            figures["reports"][name]["us_per_report"] = _spent(before, _stages(tree))
        console.print(f"{terminals:,} idle connections …")
        figures["idle"] = await asyncio.to_thread(_idle, tree, terminals, workers)
    return figures


def _load(tree: Tree, terminals: int, messages: int, *words: str) -> dict[str, Any]:
    """One run of the load generator, in a process of its own."""
    command = [sys.executable, "-m", "firmware_sim", "load", "--to", tree.tcp, "--terminals", str(terminals), "--messages", str(messages)]
    done = subprocess.run([*command, *words], stdout=subprocess.PIPE, check=False)  # noqa: S603 - our own module
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _stages(tree: Tree) -> dict[str, float]:
    """Seconds by stage and frames so far, of all workers."""
    text = tree.get("/metrics").decode()
    found = dict(re.findall(r'^gateway_stage_seconds_total\{stage="(\w+)"\} (\S+)$', text, re.MULTILINE))
    frames = re.search(r"^gateway_frames_total (\S+)$", text, re.MULTILINE)
    return {name: float(seconds) for name, seconds in found.items()} | {"frames": float(frames[1]) if frames else 0}


def _spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Microseconds per frame and stage between two looks; `commit` is the wait for the database, in which the gateway reads on."""
    frames = max(after["frames"] - before["frames"], 1)
    return {name: round((after[name] - before.get(name, 0)) / frames * 1e6, 2) for name in after if name != "frames"}


def _idle(tree: Tree, terminals: int, workers: int) -> dict[str, Any]:
    """Resident memory of the gateway per connection that says nothing."""
    pids = _workers(tree.pid)
    before = sum(map(_resident, pids))
    host, port = tree.tcp_address
    with _sockets(host, port, terminals) as sockets:
        deadline = time.monotonic() + 30
        while (links := _links(tree)) < terminals and time.monotonic() < deadline:
            time.sleep(0.2)
        grown = sum(map(_resident, pids)) - before
        return {"connections": int(links), "opened": len(sockets), "bytes_per_connection": round(grown / max(links, 1)), "workers": workers}


def _links(tree: Tree) -> float:
    found = re.search(r"^gateway_links (\S+)$", tree.get("/metrics").decode(), re.MULTILINE)
    return float(found[1]) if found else 0


@contextlib.contextmanager
def _sockets(host: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for number in range(count):
            local = (f"127.0.0.{1 + number // IDLE_PER_ADDRESS}", 0)
            sockets.append(stack.enter_context(socket.create_connection((host, port), source_address=local)))
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
