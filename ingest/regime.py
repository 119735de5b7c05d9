"""What vehicles may do, and which of them may run: the county's settings and the fleet's papers, as the rules judge by them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from compliance.driving import Driving, Hours, Limit, Limits
from compliance.running import Running, reasons_against
from compliance.vehicles import Reasons, Standings
from ingest.settings import Settings
from storage.fleet import Fleet, FleetStore
from tracks.binding import BindingBatch, served
from tracks.fix import FixBatch
from tracks.paper import PaperBatch
from tracks.spans import Index
from tracks.track import Rule
from tracks.week import calendar, windows_of


@dataclass(frozen=True, slots=True)
class Regime:
    """Immutable; a change of the registry makes another."""

    limits: Limits
    standings: Standings
    rules: tuple[Rule, ...]
    vehicle_of: Mapping[int, int] = field(default_factory=dict)
    """Terminal → the vehicle that it serves."""
    past: BindingBatch = field(default_factory=BindingBatch.empty)
    """Which vehicles terminals served before."""
    version: int = 0

    @classmethod
    def of(cls, fleet: Fleet | None, settings: Settings) -> Self:
        """What holds for a fleet; None is one of which nothing is known."""
        plain = Limit(
            max_kmh=float(settings.speed_kmh_max),
            parked_max_s=60.0 * settings.parked_minutes_max,
            offline_max_s=60.0 * settings.offline_minutes_max,
            duty=windows_of(settings.duty_hours),
        )
        limits = Limits.of(
            _own_limits(fleet, plain, settings.night_speed_percent / 100) if fleet else (),
            plain,
            hours=Hours(
                day_s=60.0 * settings.driving_day_minutes_max,
                night_s=60.0 * settings.driving_night_minutes_max,
                in_24h_s=60.0 * settings.driving_24h_minutes_max,
                rest_s=60.0 * settings.rest_minutes_min,
            ),
            zone_s=settings.zone_s,
        )
        papers, version = (fleet.papers, fleet.version) if fleet else (PaperBatch.empty(), 0)
        standings = Standings.of(papers, settings.policy, version=version)
        running = Running(standings, calendar(plain.duty), settings.zone_s)
        vehicle_of = dict(zip(fleet.terminal_id.tolist(), fleet.vehicle_id.tolist(), strict=True)) if fleet else {}
        return cls(limits, standings, (Driving(limits), running), vehicle_of, fleet.past if fleet else BindingBatch.empty(), version)

    def at_their_time(self, fixes: FixBatch) -> FixBatch:
        """The fixes with the vehicles that their terminals served when they were taken."""
        return replace(fixes, vehicle_id=served(self.past, fixes.terminal_id, fixes.time_us, fixes.vehicle_id)) if len(self.past) else fixes

    def reasons(self, vehicle_id: Index, time_us: Index) -> Reasons:
        """Why each vehicle might not run at a time; 0 where it might, and where there is no vehicle."""
        return reasons_against(self.standings, vehicle_id, time_us)


async def regime_now(store: FleetStore, settings: Settings) -> Regime:
    """The regime as the registry has it now, made beside the loop."""
    return await asyncio.to_thread(Regime.of, await store.load(), settings)


def _own_limits(fleet: Fleet, plain: Limit, night_part: float) -> list[Limit]:
    """Of the terminals whose vehicles are unlike the others: coaches, and those with a limit of their own."""
    unlike = np.flatnonzero(fleet.coach | np.isfinite(fleet.max_kmh))
    max_kmh = np.where(np.isfinite(fleet.max_kmh), fleet.max_kmh, plain.max_kmh)
    columns = fleet.terminal_id[unlike].tolist(), fleet.coach[unlike].tolist(), max_kmh[unlike].tolist()
    return [
        replace(plain, terminal_id=each, coach=coach, night_part=night_part if coach else 1.0, max_kmh=own)
        for each, coach, own in zip(*columns, strict=True)
    ]
