"""Many terminals from one seed: who they are, where they drive and what goes wrong depends on the seed and on nothing else."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice, takewhile
from pathlib import Path
from random import Random
from typing import Any, Final

from firmware_sim.faults import Faulty, Rates, jumping
from firmware_sim.link import Address, BackOff, Machine, hold
from firmware_sim.manners import Counters, Identity, Manners
from firmware_sim.mqtt import OverMqtt, Target
from firmware_sim.report import Due, Fix, paced
from firmware_sim.roads import Road, line_71
from firmware_sim.runs import Habit, Pace, Run, driven, shuttle
from firmware_sim.terminal import Terminal
from firmware_sim.tracker import Tracker
from protocols.jt808.header import V2013

RUNS_KEPT: Final = 20
"""Of each bus; about a day's work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a fleet is."""

    terminals: int
    over_mqtt: int = 0
    """How many of the terminals send their frames through a broker."""
    nmea: int = 0
    """How many units stream NMEA beside the terminals; nothing is answered to them."""
    seed: int = 1
    edition: int = V2013
    first_name: int = 13_900_000_001
    """Phone number of the first terminal; the others follow."""
    reports_max: int | None = None
    """Reports per terminal; None: as long as the fleet runs."""
    speed: float = 1.0
    """How much faster than the road; 0: as fast as the answers come."""
    straying: int = 0
    """How many of the terminals, the first ones, leave their line for a while on every run."""
    departing: int = 0
    """How many of those after them are found at a terminus, about to leave."""
    ramp_s: float = 0.0
    """The first links open spread over this time."""
    manners: Manners = field(default_factory=Manners)
    pace: Pace = field(default_factory=Pace)
    rates: Rates = field(default_factory=Rates)
    back_off: BackOff = field(default_factory=BackOff)


class Fleet:
    """The terminals of a plan.

    `start` is the UTC second at which their buses are found on the road, `begin` is that moment by the clock that drives them. With
    `now`, the UTC second that it really is then, the time since `start` is driven at the plan's speed and what follows as it happens;
    without, a fleet that drives faster than the road dates its reports in the future.
    `runs` has the last runs of each bus, the one that it is on included: what it was to do.
    Once `stopping()` is true every terminal still sends the one report it has ready, waits for its answers and logs out.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        start: int,
        begin: float = 0.0,
        now: float | None = None,
        roads: Sequence[Road] | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> None:
        self.plan = plan
        self.start = start
        self.terminals: list[Terminal] = []
        self.trackers: list[Tracker] = []
        self.machines: list[Machine] = []
        self.runs: list[deque[Run]] = []
        roads = roads or line_71()
        for index in range(plan.terminals + plan.nmea):
            drawn = Random(f"{plan.seed}/{index}/faults")  # noqa: S311 - a simulation
            runs: deque[Run] = deque(maxlen=RUNS_KEPT)
            self.runs.append(runs)
            due = paced(_fixes(plan, index, roads, start, runs), begin=begin, speed=plan.speed, now=now)
            clocks = Random(f"{plan.seed}/{index}/clock")  # noqa: S311 - a simulation
            reports: Iterator[Due] = islice(jumping(due, plan.rates.clock_jump, clocks), plan.reports_max)
            if stopping is not None:
                reports = takewhile(lambda _: not stopping(), reports)
            machine: Terminal | Tracker
            if nmea := index >= plan.terminals:
                machine = Tracker(identity(plan, index), reports)
                self.trackers.append(machine)
            else:
                machine = Terminal(identity(plan, index), reports, plan.manners)
                self.terminals.append(machine)
            self.machines.append(Faulty(machine, plan.rates, drawn, lines=nmea) if plan.rates != Rates() else machine)

    def tally(self) -> dict[str, Any]:
        """The counters of all terminals together, and what the NMEA units have sent."""
        return total(each.counters for each in self.terminals) | {"streamed": sum(each.counters.sent for each in self.trackers)}

    @property
    def finished(self) -> bool:
        """Every terminal has said everything and left."""
        return all(each.finished for each in self.terminals) and all(each.finished for each in self.trackers)

    async def run(
        self,
        to: Address,
        *,
        broker: Target | None = None,
        nmea_to: Address | None = None,
        seconds: float | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Drive all terminals until they have finished, or for so many seconds; `to` is for those on TCP or UDP."""
        machines: list[tuple[Machine, Address]] = [(each, to) for each in self.machines]
        for index in range(self.plan.terminals - self.plan.over_mqtt, self.plan.terminals):
            assert broker is not None, "a plan with terminals over MQTT is run with a broker"
            machines[index] = OverMqtt(self.machines[index], self.terminals[index].identity.name, broker), broker.to
        for index in range(self.plan.terminals, len(self.machines)):
            assert nmea_to is not None, "a plan with NMEA units is run with their port"
            machines[index] = self.machines[index], nmea_to
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for index, (machine, at) in enumerate(machines):
                    group.create_task(self._drive(index, machine, at, clock))
        except TimeoutError:
            pass

    async def _drive(self, index: int, machine: Machine, to: Address, clock: Callable[[], float] | None) -> None:
        rng = Random(f"{self.plan.seed}/{index}/pauses")  # noqa: S311 - a simulation
        await asyncio.sleep(self.plan.ramp_s * index / len(self.machines))
        await hold(machine, to, rng=rng, back_off=self.plan.back_off, clock=clock)

    def save_codes(self, path: Path) -> None:
        """Keep the authentication codes, as terminals keep them over a power cut."""
        path.write_text(json.dumps({each.identity.name: each.code for each in self.terminals if each.code is not None}, indent=0))

    def load_codes(self, path: Path) -> None:
        """Take up the codes that `save_codes` kept."""
        codes = json.loads(path.read_text())
        for each in self.terminals:
            each.code = codes.get(each.identity.name, each.code)


def identity(plan: Plan, index: int) -> Identity:
    """Who the terminal number `index` of a plan is."""
    return Identity(
        name=str(plan.first_name + index),
        edition=plan.edition,
        plate=f"沪A{(plan.first_name + index) % 100_000:05d}",
        serial_number=f"S{index + 1:06d}",
        imei=f"86{plan.first_name + index:013d}"[:15],
    )


def habit(plan: Plan, index: int) -> Habit:
    """How the bus of terminal number `index` of a plan serves its line."""
    if index < plan.straying:
        return Habit.STRAYS
    return Habit.DEPARTS if index < plan.straying + plan.departing else Habit.SERVES


def _fixes(plan: Plan, index: int, roads: Sequence[Road], start: int, runs: deque[Run]) -> Iterator[Fix]:
    """What the bus reports; its runs are noted in `runs` as it begins them."""
    rng = Random(f"{plan.seed}/{index}/road")  # noqa: S311 - a simulation

    def noted() -> Iterator[Run]:
        for run in shuttle(roads, rng, start=start, pace=plan.pace, habit=habit(plan, index)):
            runs.append(run)
            yield run

    return driven(noted(), rng, start=start, noise_m=plan.pace.noise_m)


def total(all_counters: Iterable[Counters]) -> dict[str, Any]:
    """Counters added up, ready for JSON: results and message ids as words."""
    sums: dict[str, int] = {each.name: 0 for each in fields(Counters) if each.type == "int"}
    answered: Counter[int] = Counter()
    commands: Counter[int] = Counter()
    for counters in all_counters:
        for name in sums:
            sums[name] += getattr(counters, name)
        answered += counters.answered
        commands += counters.commands
    return sums | {
        "answered": {str(result): count for result, count in sorted(answered.items())},
        "commands": {f"0x{message_id:04X}": count for message_id, count in sorted(commands.items())},
    }
