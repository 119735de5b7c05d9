"""`dubhe demo`: a real database, the real gateway, a fleet on Shanghai's line 71, and frames captured from real terminals.

The fleet registers, authenticates and reports over TCP as buses would; where Mosquitto is installed a quarter of it through a broker of
the demo's own; two more units stream NMEA. Some buses stray from their line and come back, some are about to leave their terminus, one has
no valid insurance (`dubhe/papers.py`): what the gateway finds of it, with all rules at their defaults, is read from the table of events.
The buses are found some minutes in the past, which they drive ten times as fast as the road until they have caught up with the clock; so
no report is dated ahead of it, which no rule would believe.
The captured frames are sent as they came, broken ones included.
The last line on standard output is one JSON object that says what became of it all.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from dubhe.scene import Places, Strays, compare, enter, names, place, rested
from dubhe.screen import Plain, Progress, table
from dubhe.supervisor import database, on_ending
from firmware_sim.broker import mosquitto, running_broker
from firmware_sim.fleet import Fleet, Plan
from firmware_sim.gateway import Gateway, free_port, running_gateway
from firmware_sim.link import Address
from firmware_sim.mqtt import Target
from firmware_sim.recordings import captured_frames
from ingest.settings import Settings
from protocols.jt808.frames import frame_of
from storage.health import arrivals
from storage.incidents import Incident, counted, incidents

DATA_DIR: Final = Path(".demo")
SPEED: Final = 10.0
"""How much faster than the road the buses drive, until they have caught up with the clock."""
FAST_S: Final = 60.0
"""How long that takes; a demo that ends sooner catches up at its end."""
STRAYING, DEPARTING = 4, 5
"""One bus in so many strays from its line, one in so many is found about to leave its terminus."""
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
        fast_s = min(max(seconds - LAST_REPORTS_S, 1), FAST_S) if seconds else FAST_S
        behind_s = (SPEED - 1) * fast_s
        plan = Plan(
            terminals=terminals,
            straying=-(-terminals // STRAYING),
            departing=terminals // DEPARTING,
            nmea=NMEA_UNITS,
            seed=seed,
            speed=SPEED,
            ramp_s=1.0,
        )
        plan = rested(url, plan, datetime.now(UTC) - timedelta(seconds=behind_s))
        places = enter(url, plan)
        doors = Doors(Address("127.0.0.1", free_port()), None)
        chosen = {"database_url": url, "admission": "lenient", "log_level": "warning", "nmea_listen": f"127.0.0.1:{doors.nmea.port}"}
        with ExitStack() as stack:
            if mosquitto() is not None:
                broker = stack.enter_context(running_broker(Path(settings.data_dir) / "broker"))
                doors.broker = Target.of(broker.url)
                chosen["mqtt_url"] = broker.url
                plan = replace(plan, over_mqtt=terminals // MQTT_SHARE)
            else:
                console.print("no Mosquitto here 未安装: two of the three doors are shown; apt install mosquitto for the third")
            gateway = stack.enter_context(running_gateway(Path(settings.data_dir) / "demo", chosen))
            show = _Show(console, url, gateway, doors, places)
            summary = asyncio.run(_demo(show, plan, seconds=seconds, behind_s=behind_s))
    print(json.dumps(summary, ensure_ascii=False))  # noqa: T201 - the summary is the output
    return 0 if summary["sent"] == summary["answered"] == summary["stored"] else 1


@dataclass(frozen=True, slots=True)
class _Show:
    """What the demo runs on."""

    console: Console
    url: str
    gateway: Gateway
    doors: Doors
    places: Places

    def found(self, fleet: Fleet) -> list[Incident]:
        """What the gateway has found of the fleet."""
        return incidents(self.url, datetime.fromtimestamp(fleet.start, UTC), names(fleet.plan))


async def _demo(show: _Show, plan: Plan, *, seconds: float, behind_s: float) -> dict[str, Any]:
    began = datetime.now(UTC)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    on_ending(stopping)
    url, gateway, doors = show.url, show.gateway, show.doors
    web = f"http://{gateway.http.host}:{gateway.http.port}"
    at = doors.broker.to if doors.broker else None
    show.console.print(
        f"gateway 网关 {gateway.to.host}:{gateway.to.port} · ready? {web}/readyz · metrics 指标 {web}/metrics", soft_wrap=True
    )
    show.console.print(
        f"NMEA {doors.nmea.host}:{doors.nmea.port} · MQTT {f'{at.host}:{at.port}' if at else '–'} · times 时刻 UTC+8", soft_wrap=True
    )
    now = began.timestamp()
    fleet = Fleet(plan, start=int(now - behind_s), begin=loop.time(), now=now, stopping=stopping.is_set)
    if seconds:
        loop.call_later(max(seconds - LAST_REPORTS_S, 1), stopping.set)
    captured = Captured()
    async with _progress(show, fleet, began):
        await asyncio.gather(_drive(fleet, gateway, doors, stopping), _send_captured(gateway, captured))
    tally = fleet.tally()
    streamed = await _streamed(url, began, fleet)
    stored = await asyncio.to_thread(arrivals, url, began, [each.identity.name for each in fleet.terminals])
    found = await asyncio.to_thread(show.found, fleet)
    strays = compare(fleet, found)
    show.console.print(_verdict(strays), soft_wrap=True)
    return {
        "sent": tally["sent"],
        "answered": _acknowledged(fleet),
        "stored": stored.fixes,
        "duplicates": tally["resent"],
        "events": counted(found),
        "strays": asdict(strays),
        "rejected": stored.rejected,
        "captured": {
            "frames": captured.frames,
            "answered": dict(sorted(captured.answered.items())),
            "fixes": stored.other_fixes - streamed,
        },
        "mqtt": {"terminals": plan.over_mqtt},
        "nmea": {"sent": tally["streamed"], "stored": streamed},
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 1),
    }


def _verdict(strays: Strays) -> str:
    """One sentence about planned and found."""
    planned = f"strays driven to the end 计划偏离 {strays.planned}, found with their begin and end 已识别 {strays.found}"
    return f"{planned}, found where there was none 误报 {strays.unplanned}"


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
async def _progress(show: _Show, fleet: Fleet, began: datetime) -> AsyncIterator[None]:
    """Show what the buses sent, what was answered and stored, and what was found, while it happens."""
    terminals = [each.identity.name for each in fleet.terminals]
    name = partial(place, places=show.places)
    plain = Plain(name)

    async def watch(live: Live | None) -> None:
        while True:
            stored = await asyncio.to_thread(arrivals, show.url, began, terminals)
            found = await asyncio.to_thread(show.found, fleet)
            elapsed_s = (datetime.now(UTC) - began).total_seconds()
            now = Progress(elapsed_s, fleet.tally(), _acknowledged(fleet), stored.fixes, sum(stored.rejected.values()), found)
            if live is None:
                print(*plain.lines(now), sep="\n", file=sys.stderr, flush=True)  # noqa: T201 - the progress is the output
            else:
                live.update(table(f"line 71 上海71路 · {elapsed_s:.0f} s", now, name))
            await asyncio.sleep(0.5 if live else 2)

    with Live(console=show.console, refresh_per_second=4) if show.console.is_terminal else nullcontext() as live:
        watching = asyncio.ensure_future(watch(live))
        yield
        watching.cancel()
