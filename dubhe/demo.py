"""`dubhe demo`: a real database, the real gateway, a fleet on Shanghai's line 71, and frames captured from real terminals.

The fleet registers, authenticates and reports over TCP as buses would, ten times as fast as the road; where Mosquitto is installed
a quarter of it through a broker of the demo's own; two more units stream NMEA. The captured frames are sent as they came, broken
ones included. The last line on standard output is one JSON object that says what became of it all.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dubhe.supervisor import database
from firmware_sim.broker import mosquitto, running_broker
from firmware_sim.fleet import Fleet, Plan
from firmware_sim.gateway import Gateway, free_port, running_gateway
from firmware_sim.link import Address
from firmware_sim.mqtt import Target
from firmware_sim.recordings import captured_frames
from ingest.settings import Settings
from protocols.jt808.frames import frame_of
from storage.enrol import add_terminal
from storage.health import arrivals

DATA_DIR: Final = Path(".demo")
SPEED: Final = 10.0
"""How much faster than the road the buses drive."""
MQTT_SHARE: Final = 4
"""One bus in so many sends through the broker."""
NMEA_UNITS: Final = 2
LAST_REPORTS_S: Final = 4.0
"""The slowest bus reports every 30 s of road; at ten times the pace its last report is out and answered within this."""
CAPTURE_TIMEOUT_S: Final = 1.0
"""How long to listen for answers to one captured terminal's frames: many are broken, and those get none."""


@dataclass(slots=True)
class Captured:
    """What became of the captured frames, counted at the terminal's end."""

    frames: int = 0
    answered: Counter[int] = field(default_factory=Counter)
    """By result of 0x8001."""


@dataclass(slots=True)
class Doors:
    """Where those connect who do not speak JT/T 808 over TCP."""

    nmea: Address
    broker: Target | None


def run(*, seconds: float, terminals: int, seed: int) -> int:
    """Run the demo; returns the exit status, 1 when an answered report is missing."""
    console = Console(stderr=True)
    os.environ.setdefault("DUBHE_DATA_DIR", str(DATA_DIR.absolute()))
    console.print("[bold]Dubhe 天枢[/] starting PostgreSQL and the gateway 启动数据库与网关 …")
    settings = Settings.load()
    with database(settings) as url:
        doors = Doors(Address("127.0.0.1", free_port()), None)
        chosen = {"database_url": url, "admission": "lenient", "log_level": "warning", "nmea_listen": f"127.0.0.1:{doors.nmea.port}"}
        with ExitStack() as stack:
            if mosquitto() is not None:
                broker = stack.enter_context(running_broker(Path(settings.data_dir) / "broker"))
                doors.broker = Target.of(broker.url)
                chosen["mqtt_url"] = broker.url
            else:
                console.print("no Mosquitto here 未安装: two of the three doors are shown; apt install mosquitto for the third")
            gateway = stack.enter_context(running_gateway(Path(settings.data_dir) / "demo", chosen))
            over_mqtt = terminals // MQTT_SHARE if doors.broker else 0
            plan = Plan(terminals=terminals, over_mqtt=over_mqtt, nmea=NMEA_UNITS, seed=seed, speed=SPEED, ramp_s=1.0)
            summary = asyncio.run(_demo(console, url, gateway, doors, plan, seconds=seconds))
    print(json.dumps(summary, ensure_ascii=False))  # noqa: T201 - the summary is the output
    return 0 if summary["sent"] == summary["answered"] == summary["stored"] else 1


async def _demo(console: Console, url: str, gateway: Gateway, doors: Doors, plan: Plan, *, seconds: float) -> dict[str, Any]:
    began = datetime.now(UTC)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    web = f"http://{gateway.http.host}:{gateway.http.port}"
    console.print(f"gateway 网关 {gateway.to.host}:{gateway.to.port} · ready? {web}/readyz · metrics 指标 {web}/metrics", soft_wrap=True)
    at = doors.broker.to if doors.broker else None
    console.print(f"NMEA {doors.nmea.host}:{doors.nmea.port} · MQTT {f'{at.host}:{at.port}' if at else '–'}", soft_wrap=True)
    fleet = Fleet(plan, start=int(time.time()), begin=loop.time(), stopping=stopping.is_set)
    for each in fleet.terminals:
        add_terminal(url, each.identity.name, plate=each.identity.plate, plate_colour=str(each.identity.plate_colour))
    names = [each.identity.name for each in fleet.terminals]
    if seconds:
        loop.call_later(max(seconds - LAST_REPORTS_S - (datetime.now(UTC) - began).total_seconds(), 1), stopping.set)
    captured = Captured()
    async with _progress(console, url, fleet, began):
        await asyncio.gather(_drive(fleet, gateway, doors, stopping), _send_captured(gateway, captured))
    tally = fleet.tally()
    streamed = await _streamed(url, began, fleet)
    found = await asyncio.to_thread(arrivals, url, began, names)
    return {
        "sent": tally["sent"],
        "answered": _acknowledged(fleet),
        "stored": found.fixes,
        "duplicates": tally["resent"],
        "events": {},
        "rejected": found.rejected,
        "captured": {"frames": captured.frames, "answered": dict(sorted(captured.answered.items())), "fixes": found.other_fixes - streamed},
        "mqtt": {"terminals": plan.over_mqtt},
        "nmea": {"sent": tally["streamed"], "stored": streamed},
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 1),
    }


async def _streamed(url: str, began: datetime, fleet: Fleet) -> int:
    """How many fixes the NMEA units have in the table; the last epoch of each waits for a silence."""
    names, end = [each.identity.name for each in fleet.trackers], time.monotonic() + LAST_REPORTS_S
    while True:
        found = await asyncio.to_thread(arrivals, url, began, names)
        if found.fixes >= fleet.tally()["streamed"] or time.monotonic() > end:
            return found.fixes
        await asyncio.sleep(0.1)


async def _drive(fleet: Fleet, gateway: Gateway, doors: Doors, stopping: asyncio.Event) -> None:
    """Run the fleet until it is told to stop and its last reports are answered; a bus that waits at its terminus is not waited for."""
    driving = asyncio.ensure_future(fleet.run(gateway.to, broker=doors.broker, nmea_to=doors.nmea))
    await asyncio.wait([driving, asyncio.ensure_future(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait([driving], timeout=LAST_REPORTS_S)
    while not driving.done() and fleet.tally()["sent"] != _acknowledged(fleet):  # noqa: ASYNC110 - counters have no event
        await asyncio.sleep(0.01)
    driving.cancel()
    await asyncio.wait([driving])


def _acknowledged(fleet: Fleet) -> int:
    return sum(each.counters.acknowledged for each in fleet.terminals)


async def _send_captured(gateway: Gateway, captured: Captured) -> None:
    """Send every captured frame as it came, one connection for each terminal that was heard, a few at a time."""
    by_phone: dict[str, list[bytes]] = {}
    for frame in captured_frames():
        by_phone.setdefault(frame_of(frame).phone, []).append(frame)
    few = asyncio.Semaphore(16)

    async def say(frames: list[bytes]) -> None:
        async with few:
            reader, writer = await asyncio.open_connection(gateway.to.host, gateway.to.port)
            writer.write(b"".join(frames))
            captured.frames += len(frames)
            heard = b""
            try:
                async with asyncio.timeout(CAPTURE_TIMEOUT_S):
                    while piece := await reader.read(65_536):
                        heard += piece
            except TimeoutError:
                pass
            writer.close()
            answers = (frame_of(piece) for piece in heard.split(b"\x7e") if piece)
            captured.answered.update(answer.body[-1] for answer in answers if answer.message_id == 0x8001)  # noqa: PLR2004 - the id

    await asyncio.gather(*(say(frames) for frames in by_phone.values()))


@asynccontextmanager
async def _progress(console: Console, url: str, fleet: Fleet, began: datetime) -> AsyncIterator[None]:
    """Show what the buses sent, what was answered and what is stored, while it happens."""

    async def watch(live: Live | None) -> None:
        names = [each.identity.name for each in fleet.terminals]
        while True:
            found = await asyncio.to_thread(arrivals, url, began, names)
            tally = fleet.tally()
            acknowledged = _acknowledged(fleet)
            elapsed = (datetime.now(UTC) - began).total_seconds()
            if live is None:
                print(f"{elapsed:5.1f} s  sent {tally['sent']}  answered {acknowledged}  stored {found.fixes}", file=sys.stderr)  # noqa: T201
            else:
                live.update(_table(elapsed, tally, acknowledged, found.fixes, found.rejected))
            await asyncio.sleep(0.5 if live else 2)

    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            watching = asyncio.ensure_future(watch(live))
            yield
    else:
        watching = asyncio.ensure_future(watch(None))
        yield
    watching.cancel()


def _table(elapsed_s: float, tally: dict[str, Any], acknowledged: int, stored: int, rejected: dict[str, int]) -> Table:
    table = Table(title=f"line 71 上海71路 · {elapsed_s:.0f} s · ×{SPEED:.0f}", min_width=60)
    for heading in ("logged in 在线", "sent 已发", "answered 已应答", "stored 已入库", "refused 隔离"):
        table.add_column(heading, justify="right")
    table.add_row(str(tally["logins"]), str(tally["sent"]), str(acknowledged), str(stored), str(sum(rejected.values())))
    return table
