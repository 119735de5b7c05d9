"""`Sweeper`: what no fix shows. One worker of all does it, as long as it holds the lease.

Silence that lasts has no fix that tells of it: twice a minute the sweeper looks for terminals on duty whose time has run out. It asks the
table of fixes and remembers nothing, so another may go on with it at any time. A membership that begins or ends by its date changes no
row: the sweeper tells the workers when the date has come. When the registry changes, it also corrects the reasons of events that began
lately. What vehicles do from the next fix on is the rules' own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np
import structlog

from compliance.driving import silent
from compliance.vehicles import changed
from ingest.current import Current
from ingest.gather import now_us
from ingest.regime import Regime
from storage.errors import StoreUnavailable
from storage.lease import Lease
from storage.sweep import SweepStore
from tracks.event import KINDS, Kind

log: Final = structlog.get_logger("dubhe.sweep")

EVERY_S: Final = 30.0
RETURN_S: Final = 300.0
"""After a start, a change of sweeper or an absence of the database terminals have so long to come back before silence counts."""
LOOK_BACK_S: Final = 86_400
"""Silence whose time ran out longer ago is told when it ends."""
REVIEW_DAYS: Final = 31
"""So far back the reasons of events follow the registry, and silence that was filled after all is withdrawn."""


class Sweeper:
    """Sweeps for all workers."""

    def __init__(
        self,
        lease: Lease,
        store: SweepStore,
        regime: Current[Regime],
        *,
        every_s: float = EVERY_S,
        return_s: float = RETURN_S,
        now_us: Callable[[], int] = now_us,
    ) -> None:
        self._lease = lease
        self._store = store
        self._regime = regime
        self._every_s = every_s
        self._return_s = return_s
        self._now_us = now_us
        self._reviewed: Regime | None = None
        self.words: Counter[str] = Counter()
        """What has been told since the metrics were last published."""

    async def run(self) -> None:
        """Sweep whenever it is ours to do, for ever."""
        while True:
            await self._lease.acquire()
            try:
                await self._review(await self._regime.get())
                await self._watch()
            except StoreUnavailable as error:
                log.warning("the sweep is put off", why=str(error))
                await asyncio.sleep(self._every_s)
            except Exception:
                log.exception("the sweep failed; it is tried again")
                await asyncio.sleep(self._every_s)

    async def _watch(self) -> None:
        """Sweep as long as the lease holds, and tell of memberships that begin or end by their date when it comes."""
        now_s = asyncio.get_running_loop().time
        due_s, told = now_s() + self._return_s, None
        while await self._lease.held():
            if now_s() >= due_s:
                await self.sweep()
                due_s = now_s() + self._every_s
            told, next_s = await self._store.tell_memberships(told)
            await asyncio.sleep(min(next_s, self._every_s, max(due_s - now_s(), 0.0)))

    async def close(self) -> None:
        """Let another sweep."""
        await self._lease.release()
        await self._store.close()

    async def sweep(self) -> None:
        """One round. Raises `StoreUnavailable`."""
        regime, now_us = await self._regime.get(), self._now_us()
        if regime is not self._reviewed:
            await self._review(regime)
        before_us = now_us - LOOK_BACK_S * 1_000_000
        longest_s, shortest_s = (float(edge(regime.limits.offline_max_s)) for edge in (np.max, np.min))
        last = await self._store.last_fixes(before_us - int(longest_s * 1e6), now_us - int(shortest_s * 1e6))
        events = silent(regime.limits, last, now_us=now_us, before_us=before_us)
        new = await self._store.tell_silent(events, regime.reasons(events.vehicle_id, events.start_us), REVIEW_DAYS)
        self.words[KINDS[Kind.OFFLINE].opened] += new

    async def _review(self, regime: Regime) -> None:
        """Bring the reasons of events up to date with the registry, of vehicles about which it has changed."""
        after = (0, 0)
        vehicles = changed(self._reviewed.standings, regime.standings) if self._reviewed else None
        while True:
            ids, vehicle_id, start_us, reasons = await self._store.events_to_review(after, REVIEW_DAYS, vehicles)
            if len(ids) == 0:
                break
            now = regime.reasons(vehicle_id, start_us)
            wrong = now != reasons
            if wrong.any():
                await self._store.correct(ids[wrong], now[wrong])
            after = int(start_us[-1]), int(ids[-1])
        self._reviewed = regime
