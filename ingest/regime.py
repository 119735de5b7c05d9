"""What vehicles may do, and which of them may run: the county's settings and the fleet's papers, as the rules judge by them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

import numpy as np

from compliance.driving import Driving, Hours, Limit, Limits
from compliance.running import Running, reasons_against
from compliance.vehicles import Policy, Reasons, Standings
from ingest.settings import Settings
from storage.fleet import Fleet, FleetStore
from tracks.fix import ABSENT
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
    version: int = 0

    @classmethod
    def of(cls, fleet: Fleet | None, settings: Settings) -> Self:
        """What holds for a fleet; None is one of which nothing is known."""
        limits = Limits.of(
            _own_limits(fleet, settings) if fleet else (),
            _limit(settings),
            hours=Hours(
                day_s=60.0 * settings.driving_day_minutes_max,
                night_s=60.0 * settings.driving_night_minutes_max,
                in_24h_s=60.0 * settings.driving_24h_minutes_max,
                rest_s=60.0 * settings.rest_minutes_min,
            ),
            zone_s=60 * settings.utc_offset_minutes,
        )
        papers, version = (fleet.papers, fleet.version) if fleet else (PaperBatch.empty(), 0)
        policy = Policy.of(settings.compliance_requires, settings.compliance_grace_days)
        standings = Standings.of(papers, policy, version=version)
        running = Running(standings, calendar(windows_of(settings.duty_hours)), 60 * settings.utc_offset_minutes)
        return cls(limits, standings, (Driving(limits), running), version)

    def reasons(self, vehicle_id: Index, time_us: Index) -> Reasons:
        """Why each vehicle might not run at a time; 0 where it might, and where there is no vehicle."""
        return reasons_against(self.standings, vehicle_id, time_us)


async def regime_now(store: FleetStore, settings: Settings) -> Regime:
    """The regime as the registry has it now, made beside the loop."""
    return await asyncio.to_thread(Regime.of, await store.load(), settings)


def _limit(settings: Settings, terminal_id: int = ABSENT, *, coach: bool = False, max_kmh: float = np.inf) -> Limit:
    """What a vehicle may do, or those of which nothing is said."""
    return Limit(
        terminal_id=terminal_id,
        max_kmh=max_kmh if np.isfinite(max_kmh) else float(settings.speed_kmh_max),
        night_part=settings.night_speed_percent / 100 if coach else 1.0,
        coach=coach,
        parked_max_s=60.0 * settings.parked_minutes_max,
        offline_max_s=60.0 * settings.offline_minutes_max,
        duty=windows_of(settings.duty_hours),
    )


def _own_limits(fleet: Fleet, settings: Settings) -> list[Limit]:
    """Of the terminals whose vehicles are unlike the others."""
    unlike = np.flatnonzero(fleet.coach | np.isfinite(fleet.max_kmh))
    columns = fleet.terminal_id[unlike].tolist(), fleet.coach[unlike].tolist(), fleet.max_kmh[unlike].tolist()
    return [_limit(settings, each, coach=coach, max_kmh=max_kmh) for each, coach, max_kmh in zip(*columns, strict=True)]
