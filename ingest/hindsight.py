"""`Hindsight`: fixes that came too late for the window are judged after all, a while later, with the terminal's stored track.

Such a fix is stored with its flag, and its terminal is marked in the same transaction. When no more have come for a while, the track is
judged twice, from the last state kept that knows nothing as late as the first of them: without them and with them (`geofence/again.py`).
That is done in a thread beside the gateway, a page at a time and with pauses. Then, between two commits, what was committed meanwhile
is added, and in one transaction what late fixes change is told and the state that knows them is saved, which is the terminal's from then
on. Their flags go afterwards, and last the mark. A worker looks at the terminals that live with it, so nobody else judges them meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import structlog

from geofence.again import Account, difference
from geofence.state import NEVER
from ingest.gather import now_us
from ingest.regime import Regime
from ingest.rules import Rules, saved_of
from protocols.jt808.fixes import with_alarms
from storage.errors import StoreUnavailable
from storage.hindsight import OVERLAP_US, Beginning, HindsightStore, Retold, Waiting
from storage.rules import SavedState, Told
from tracks.fix import FixBatch
from tracks.spans import Mask, Spans
from tracks.week import DAY_US

log: Final = structlog.get_logger("dubhe.hindsight")

EVERY_S: Final = 10.0
QUIET_S: Final = 30.0
"""A terminal that sends what it has stored is judged again when it has been done with that for so long …"""
PATIENCE_S: Final = 900.0
"""… or has gone on for so long."""
TOGETHER: Final = 16
"""Terminals judged together, which takes hardly longer than one."""
REST: Final = 3.0
"""So many seconds of rest for each of judging: the gateway's own work comes first."""
ASIDE_S: Final = 600.0
"""Terminals that could not be judged are left alone for so long."""
TIDY_S: Final = 3_600.0


@dataclass(slots=True)
class Case:
    """Terminals judged again, as far as it has come."""

    waiting: Waiting
    first_us: Mapping[int, int]
    """Of each terminal: its first late fix …"""
    since_us: Mapping[int, int]
    """… from when on its track is read …"""
    begun_us: Mapping[int, int]
    """… since when its state knows what happened …"""
    copied_us: dict[int, int]
    """… and the last fix of the state that was kept last."""
    without: Account
    within: Account
    horizon_us: int
    """Late fixes that are older stay as they are."""
    looked_us: int
    """When the table was last looked at for what has come."""
    late: list[FixBatch] = field(default_factory=list)
    """The late fixes, without their bytes: those would keep the bytes of the whole track."""
    copies: list[SavedState] = field(default_factory=list)
    seen: set[tuple[int, int, int]] = field(default_factory=set)
    """Terminal, time and digest of what was received so lately that it will be read again."""

    def judge(self, fixes: FixBatch, late: Mask) -> None:
        """The next fixes of each terminal."""
        fixes = with_alarms(fixes)
        self.without.judge(fixes.take(~late))
        taken = ~late | (fixes.time_us >= self.horizon_us)
        fixes, late = fixes.take(taken), late[taken]
        fixes = replace(fixes, quality=self.within.judge(fixes).quality)
        self.late.append(replace(fixes.take(late), raw=Spans.blank(int(late.sum()))))
        self.seen.update(_keys(fixes.take(fixes.received_us >= self.looked_us - OVERLAP_US)))
        state = self.within.state
        ids = state.terminals()
        for terminal_id, last_us in zip(ids.tolist(), state.last_us(ids).tolist(), strict=True):
            if last_us - self.copied_us.setdefault(terminal_id, last_us) >= DAY_US:
                self.copies += saved_of(state, {terminal_id: self.begun_us[terminal_id]}, last_us)
                self.copied_us[terminal_id] = last_us

    def add(self, fixes: FixBatch, late: Mask) -> bool:
        """What was committed meanwhile; False where that is too late itself for one of the two accounts, so that all is to do again."""
        new = np.fromiter((key not in self.seen for key in _keys(fixes)), np.bool_, len(fixes)) & ~late
        self.seen.update(_keys(fixes))
        fixes = with_alarms(fixes.take(new))
        return not any(len(account.judge(fixes).stale) for account in (self.without, self.within))


class Hindsight:
    """Judges late fixes for one worker."""

    def __init__(
        self,
        store: HindsightStore,
        rules: Rules,
        still: Callable[[], AbstractAsyncContextManager[None]],
        calm: Callable[[], bool],
        *,
        late_days_max: int,
        quiet_s: float = QUIET_S,
        every_s: float = EVERY_S,
        now_us: Callable[[], int] = now_us,
    ) -> None:
        self._store = store
        self._rules = rules
        self._still = still
        """While it lasts, nothing is committed and nothing judged."""
        self._calm = calm
        self._late_us_max = late_days_max * DAY_US
        self._quiet_s = quiet_s
        self._every_s = every_s
        self._now_us = now_us
        self._aside: dict[int, float] = {}
        """Terminals that are left alone until a moment of the loop's clock."""
        self._together = TOGETHER

    async def run(self) -> None:
        """Look for late fixes, for ever."""
        tidy_s = 0.0
        while True:
            await asyncio.sleep(self._every_s)
            try:
                while await self.look():
                    pass
                if (now_s := asyncio.get_running_loop().time()) >= tidy_s:
                    await self._store.tidy(self._now_us() - self._late_us_max)
                    tidy_s = now_s + TIDY_S
            except StoreUnavailable as error:
                log.warning("late fixes are put off", why=str(error))

    async def close(self) -> None:
        """Close the connection."""
        await self._store.close()

    async def look(self) -> bool:
        """Judge some terminals again; False where none waits. Raises `StoreUnavailable`."""
        now_s = asyncio.get_running_loop().time()
        self._aside = {each: until_s for each, until_s in self._aside.items() if until_s > now_s}
        ids = self._rules.begun_us().keys() - self._aside.keys()
        waiting = await self._store.waiting(list(ids), self._together, quiet_s=self._quiet_s, patience_s=PATIENCE_S)
        if not waiting:
            self._together = TOGETHER
            return False
        try:
            if (case := await self._begin(waiting)) is not None:
                await self._read(case)
                await self._finish(case)
        except Exception as error:
            if len(waiting) == 1:
                self._aside |= dict.fromkeys(waiting, now_s + ASIDE_S)
            self._together = 1  # so that one of them does not keep the others from it
            if isinstance(error, StoreUnavailable):
                raise
            log.exception("late fixes could not be judged; it is tried again", terminals=list(waiting))
        return True

    async def _begin(self, waiting: Waiting) -> Case | None:
        """Find out what to begin with; who has nothing to be judged is settled."""
        now_us = self._now_us()
        horizon_us = now_us - self._late_us_max
        earliest_us = horizon_us - DAY_US
        first_us = await self._store.first_us(list(waiting), horizon_us)
        begun_us = self._rules.begun_us()
        beginnings = await self._store.beginnings(
            {each: first_us[each] for each in first_us.keys() & begun_us.keys()}, begun_us, earliest_us
        )
        atlas, rules = await self._rules.atlas.get(), (await self._rules.regime.get()).rules
        without, within = Account(atlas, rules), Account(atlas, rules)
        copied_us, since_us, unknown = {}, {}, set()
        for each in beginnings:
            terminal_id = each.terminal_id
            if _taken_up(each, without, within):
                begun_us[terminal_id], copied_us[terminal_id] = each.begun_us, each.last_us
                since_us[terminal_id] = each.reach_us or earliest_us
            elif not each.unknown:
                begun_us[terminal_id] = min(begun_us[terminal_id], first_us[terminal_id])
                since_us[terminal_id] = earliest_us
            else:
                unknown.add(terminal_id)
                log.warning("late fixes stay unjudged: what was remembered before them is not kept", terminal_id=terminal_id)
        if settled := {each: at for each, at in waiting.items() if each in unknown or each not in first_us}:
            await self._store.settle(settled)
        if not since_us:
            return None
        return Case(
            waiting={each: waiting[each] for each in since_us},
            first_us={each: first_us[each] for each in since_us},
            since_us=since_us,
            begun_us={each: begun_us[each] for each in since_us},
            copied_us=copied_us,
            without=without,
            within=within,
            horizon_us=horizon_us,
            looked_us=now_us,
        )

    async def _read(self, case: Case) -> None:
        """Judge the stored track, until hardly anything is left that has been committed since."""
        after = {each: (since_us, NEVER) for each, since_us in case.since_us.items()}
        while True:
            fixes, late = await self._store.page(after)
            began_s = time.perf_counter()
            await asyncio.to_thread(case.judge, fixes, late)
            await asyncio.sleep(REST * (time.perf_counter() - began_s))
            while not self._calm():  # noqa: ASYNC110 - load is no event
                await asyncio.sleep(self._every_s)
            after |= {terminal_id: (time_us, digest) for terminal_id, time_us, digest in _keys(fixes)}
            if len(fixes) <= len(after):
                return

    async def _finish(self, case: Case) -> None:
        """Between two commits: add what was committed meanwhile, store what has changed, and go on with the state that knows it."""
        regime = await self._rules.regime.get()
        if not await self._catch_up(case):
            return
        async with self._still(), self._rules.saving:
            if not case.waiting.keys() <= self._rules.begun_us().keys():
                return
            if self._rules.concerned(case.waiting):
                self._rules.undo()  # what is judged and not committed is judged again, on top of the new state
            if not await self._catch_up(case):
                return
            retold = self._retold(case, regime)
            try:
                await self._store.retell(retold)
                self._rules.replace(retold.states)
            except BaseException:
                self._rules.put_down(case.waiting)  # committed or not, the table knows
                raise
        await self._store.unflag(retold.late)
        await self._store.settle(case.waiting)
        self._rules.late["judged"] += len(retold.late)
        self._rules.words.update(retold.told.events.words())
        log.info(
            "late fixes judged",
            terminals=len(case.waiting),
            fixes=len(retold.late),
            told=len(retold.told.events),
            withdrawn=len(retold.gone),
        )

    async def _catch_up(self, case: Case) -> bool:
        """Add what was committed since the last look; False where it cannot be added."""
        looked_us = self._now_us()
        added = case.add(*await self._store.received(case.since_us, case.looked_us))
        case.looked_us = looked_us
        return added

    def _retold(self, case: Case, regime: Regime) -> Retold:
        """What late fixes change; and where rules have changed since, what is under way goes on as the new state has it."""
        without, within = case.without.events(), case.within.events()
        found = difference(without, within)
        live, lasting = self._rules.lasting(list(case.waiting)).id, case.within.lasting().id
        turned = np.isin(within.id, live) != np.isin(within.id, lasting)
        events = within.take(turned | np.isin(within.id, found.told.id))
        none = np.empty(0, np.int64)
        return Retold(
            waiting=case.waiting,
            first_us=case.first_us,
            late=FixBatch.concat(case.late),
            told=Told(events, regime.reasons(events.vehicle_id, events.start_us), none, none),
            gone=found.gone,
            over=live[~np.isin(live, np.concatenate((found.gone, within.id)))],
            states=self._rules.remade(case.within.state, case.begun_us),
            copies=case.copies,
        )


def _taken_up(beginning: Beginning, *accounts: Account) -> bool:
    """Whether the accounts begin with a state that was kept; there may be none, or one of another version."""
    if beginning.packed is None:
        return False
    try:
        for account in accounts:
            account.state.unpack(beginning.packed)
    except ValueError:
        return False
    return True


def _keys(fixes: FixBatch) -> list[tuple[int, int, int]]:
    return list(zip(fixes.terminal_id.tolist(), fixes.time_us.tolist(), fixes.digest.tolist(), strict=True))
