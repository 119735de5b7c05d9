"""`Rules`: the batch's fixes against shapes, driving rules and papers, before its commit; events are stored with the fixes.

A batch is judged while the one before is being committed, so the state runs ahead of the database by the batches under way.
Where a batch is not committed as it was judged, its terminals and those of the batches judged on top are put down.

Fences, corridors and stops are the atlas; what vehicles may do, and which of them may run, is the regime. Both are always there, if empty.
A terminal is taken up when its first fixes come: its last saved state, and the stored fixes received since. So a restart, a crash or
another worker in between changes nothing of what is found; incidents have deterministic ids, so telling one again adds nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import structlog

from geofence.again import lasting
from geofence.check import Atlas, Checked, RewoundBatch, begin, check
from geofence.state import State
from ingest.atlas import atlas_now
from ingest.current import Current
from ingest.held import Held
from ingest.regime import Regime, regime_now
from ingest.settings import Settings
from protocols.jt808.fixes import with_alarms
from storage.errors import StoreUnavailable
from storage.fleet import FleetStore
from storage.geometry import GeometryStore
from storage.rules import RuleStore, SavedState, Told
from tracks.event import EventBatch
from tracks.fix import ABSENT, FixBatch
from tracks.spans import Index
from tracks.track import among, distinct, ranks

log: Final = structlog.get_logger("dubhe.rules")

SAVE_AFTER_S: Final = 60.0
SAVED_A_SECOND: Final = 200
"""A state is saved so long after it changed, and at most so many a second: 2.4 MB/s (12 KB each), half of it where PostgreSQL has lz4."""
PORTION: Final = 64
"""Fixes of one terminal that are judged before the loop has its turn: each takes about a millisecond, of however many terminals."""
FORGOTTEN_AT: Final = 1_000
"""So many terminals that have gone are forgotten together; one alone costs as much."""
NONE: Final = np.empty(0, np.int64)
"""No terminals."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules make of a batch; their state counts on its commit."""

    told: Told | None
    """None where nothing has happened, which spares a batch its own BEGIN and COMMIT."""
    fixes: FixBatch
    """With the flags of the quality gate, and the vehicles of their time."""
    terminal_ids: Index
    """Whose state it has moved on, ascending."""
    words: list[str]
    """What it tells, for counters."""
    received_us: int
    """When the batch's first fix was received."""
    too_late: int
    """Fixes that are never judged: they came later than `late_days_max` allows."""


class Rules:
    """The rules of one worker. Batches are judged one at a time, and settled in the same order."""

    def __init__(self, geometry: GeometryStore, fleet: FleetStore, store: RuleStore, here: Collection[int], settings: Settings) -> None:
        self.store = store
        self.here = here
        """Terminals with a session at this worker."""
        self.atlas: Current[Atlas] = Current("shapes", lambda: atlas_now(geometry, settings.zone_s), geometry.changes)
        self.regime: Current[Regime] = Current("vehicles", lambda: regime_now(fleet, settings), fleet.changes)
        self._stores = (store, geometry, fleet)
        self._state = begin(Atlas(), Regime.of(None, settings).rules)
        self._held = Held()
        """The terminals that are taken up."""
        self._elsewhere: set[int] = set()
        """Terminals that have logged in at another worker since they did here."""
        self._strays: set[int] = set()
        """Those of which something was committed here after that: the other has to look again."""
        self._recalled: list[Checked] = []
        """What stored fixes amount to of terminals taken up, and is not told yet."""
        self._ahead: list[Judged] = []
        """Judged and not committed yet, in order."""
        self._in_hand: Index = NONE
        """Terminals of the batch that is being judged."""
        self._fewer = asyncio.Event()
        """Set when some of them are committed or undone."""
        self._heard_us = 0
        self.words: Counter[str] = Counter()
        """What has been told since the metrics were last published."""
        self.late: Counter[str] = Counter()
        """What has become of fixes that came too late for the window, likewise."""
        self.saving = asyncio.Lock()
        """Held while states are written, so that an older one never follows a newer."""
        self._late_us_max = settings.late_days_max * 86_400_000_000

    async def judge(self, fixes: FixBatch) -> Judged | None:
        """What is to be stored beside the fixes; None when there is nothing to judge, or when we fail: fixes are kept all the same."""
        try:
            ids = distinct(fixes.terminal_id[fixes.terminal_id != ABSENT])
            if not len(ids):
                return None
            atlas, regime = await self.atlas.get(), await self.regime.get()
            while len(new := self._held.missing(ids)):
                await self._take_up(new, fixes, atlas, regime)
            self._in_hand = ids
            fixes = regime.at_their_time(fixes)
            parts = [_Part(rows, self._checked(portion, atlas, regime)) async for rows, portion in _portions(fixes)]
            judged = self._judged(fixes, parts, regime)
        except (StoreUnavailable, asyncio.CancelledError):
            self.put_down(self._in_hand)  # a drain that ran out of time must not save what was judged and will not be committed
            raise
        except Exception:
            log.exception("the rules failed on a batch; its fixes are stored without events", fixes=len(fixes))
            self.put_down(self._in_hand)  # perhaps it is judged in part
            return None
        finally:
            self._in_hand = NONE
        self._recalled.clear()
        self._ahead.append(judged)
        return judged

    def _checked(self, fixes: FixBatch, atlas: Atlas, regime: Regime) -> Checked:
        """Judge fixes, and go on from there."""
        checked = check(fixes, atlas, self._state, regime.rules)
        self._state.adopt(checked.change)
        return checked

    def stands(self, judged: Judged | None) -> bool:
        """Whether all that a batch was judged on top of is in the database, or may come there; else judge it again."""
        return judged is None or any(each is judged for each in self._ahead)

    def settle(self, judged: Judged | None) -> None:
        """The batch is committed, the first of those under way."""
        if judged is None:
            return
        assert self._ahead[0] is judged, "batches are committed in the order in which they were judged"
        del self._ahead[0]
        self._fewer.set()
        self.words.update(judged.words)
        if judged.too_late:
            self.late["too_late"] += judged.too_late
        self._heard_us = judged.received_us
        self._held.move_on(judged.terminal_ids, time.monotonic())
        if self._elsewhere:
            heard = self._elsewhere.intersection(judged.terminal_ids.tolist())
            strays = heard.difference(self.here)
            self._elsewhere -= heard - strays
            self._held.put_down(strays)
            self._strays |= strays

    def undo(self) -> None:
        """What is under way will not be committed as it was judged; its terminals are taken up anew from what is in the database."""
        for judged in self._ahead:
            self.put_down(judged.terminal_ids)
        self._ahead.clear()
        self._fewer.set()

    def concerned(self, terminal_ids: Collection[int]) -> bool:
        """Whether one of them is in a batch under way."""
        ids = np.fromiter(terminal_ids, np.int64, len(terminal_ids))
        return any(among(ids, judged.terminal_ids).any() for judged in self._ahead)

    def moved(self, terminal_ids: Iterable[int]) -> None:
        """These may report to another worker now; when they come back, they are taken up anew."""
        gone = set(terminal_ids).difference(self.here)
        self._elsewhere |= gone
        self._held.put_down(gone)

    async def look_again(self) -> None:
        """Take terminals up anew of which another worker has committed something that was on its way when they came here, for ever."""
        async for terminal_id in self.store.strays():
            self._held.put_down([terminal_id])

    def begun_us(self) -> dict[int, int]:
        """The terminals that live here, and since when their states know what happened."""
        ids = self._held.ids
        begun_us = zip(ids.tolist(), self._held.begun_us(ids, 0).tolist(), strict=True)
        return {each: since_us for each, since_us in begun_us if each not in self._elsewhere}

    def lasting(self, terminal_ids: Sequence[int]) -> EventBatch:
        """What is under way of some terminals."""
        return lasting(self._state, np.array(terminal_ids, np.int64))

    def remade(self, state: State, begun_us: Mapping[int, int]) -> list[SavedState]:
        """States made anew of all that is committed, as they are to be saved."""
        return saved_of(state, begun_us, self._heard_us)

    def replace(self, states: Iterable[SavedState]) -> None:
        """They are saved: go on with them, but for terminals that have gone to another worker meanwhile."""
        saved = [each for each in states if each.terminal_id not in self._elsewhere]
        self._state.forget([each.terminal_id for each in saved])
        for each in saved:
            self._state.unpack(each.packed)
        self._held.take_up({each.terminal_id: each.begun_us for each in saved})

    def put_down(self, terminal_ids: Iterable[int]) -> None:
        """Take these up anew when they are heard again."""
        self._held.put_down(terminal_ids)

    async def keep(self) -> None:
        """Save what has waited for long enough, for ever."""
        while True:
            await asyncio.sleep(1)
            await self._tell_strays()
            await self._save(SAVED_A_SECOND, time.monotonic() - SAVE_AFTER_S)

    async def close(self) -> None:
        """Save everything."""
        await self._tell_strays()
        while await self._save(2 * SAVED_A_SECOND):
            pass
        for store in self._stores:
            await store.close()

    async def _tell_strays(self) -> None:
        strays, self._strays = self._strays, set()
        try:
            if strays:
                await self.store.tell_strays(strays)
        except StoreUnavailable:  # in a second it is tried again
            self._strays |= strays

    async def _save(self, many: int, before_s: float = np.inf) -> bool:
        """Save at most so many states that have been newer than what is saved since `before_s`; whether some were."""
        async with self.saving:
            ahead = np.concatenate((self._in_hand, *(judged.terminal_ids for judged in self._ahead)))  # they know more than the database
            ids = self._held.unsaved(before_s)
            ids = ids[~among(ids, np.sort(ahead))][:many]
            if not len(ids):
                return False
            newer_s, begun_us = self._held.save(ids), self._held.begun_us(ids, 0)
            states = saved_of(self._state, dict(zip(ids.tolist(), begun_us.tolist(), strict=True)), self._heard_us)
            try:
                await self.store.save(states)
            except StoreUnavailable as error:
                log.warning("what the rules remember could not be saved; it is tried again", why=str(error))
                self._held.move_on(ids, newer_s)
                return False
            return True

    async def _take_up(self, new: Index, fixes: FixBatch, atlas: Atlas, regime: Regime) -> None:
        """Bring in terminals: what was saved of them, and on top of it the fixes stored since; first what is under way has to be stored."""
        while self.concerned(new):
            self._fewer.clear()
            await self._fewer.wait()
        first_us = _first_us(fixes)
        begun_us = {each: first_us[each] for each in new.tolist()}
        self._forget_gone(fixes)
        saved, since = await self.store.recall(begun_us, int(fixes.received_us.max()))
        if (stale := np.intersect1d(self._state.terminals(), np.array(list(begun_us), np.int64))).size:
            self._state.forget(stale.tolist())
        foreign = []
        for each in saved:
            try:
                self._state.unpack(each.packed)
                begun_us[each.terminal_id] = each.begun_us
            except ValueError:
                foreign.append(each.terminal_id)
        if foreign:
            log.warning("saved states are another version's; judging begins anew, and what was open ends", terminals=len(foreign))
            await self.store.abandon(foreign)
        known = {each.terminal_id for each in saved}
        for terminal_id, at_us in _first_us(since).items():
            if terminal_id not in known:
                begun_us[terminal_id] = min(begun_us[terminal_id], at_us)
        if len(since):
            self._recall(with_alarms(since), atlas, regime)
        self._held.take_up(begun_us)

    def _recall(self, fixes: FixBatch, atlas: Atlas, regime: Regime) -> None:
        """Judge stored fixes. A terminal one of whose breaks the rules goes on from what was saved, or all its batches would fail."""
        try:
            self._recalled.append(self._checked(fixes, atlas, regime))
        except Exception:
            ids = np.unique(fixes.terminal_id)
            if len(ids) == 1:
                log.exception("the rules failed on stored fixes; their terminal goes on without", terminal_id=int(ids[0]), fixes=len(fixes))
                return
            first = fixes.terminal_id < ids[len(ids) // 2]
            for half in (first, ~first):
                self._recall(fixes.take(half), atlas, regime)

    def _forget_gone(self, fixes: FixBatch) -> None:
        """Make room, but never of those whose fixes these are: taking up one would put down another for ever."""
        if len(self._held) > 2 * len(self.here) + FORGOTTEN_AT:
            gone = set(self._held.ids.tolist()).difference(self.here, self._held.unsaved().tolist(), fixes.terminal_id.tolist())
            self._state.forget(gone)
            self._held.put_down(gone)

    def _judged(self, fixes: FixBatch, parts: Sequence[_Part], regime: Regime) -> Judged:
        """What stored fixes have shown is told again with it: the rules may have changed since they were judged."""
        every = [*self._recalled, *(part.checked for part in parts)]
        events = EventBatch.empty()
        for each in every:
            events = each.after(events)
        rewound = RewoundBatch.concat([each.rewound for each in every])
        stale = fixes.take(np.concatenate([part.rows[part.checked.stale] for part in parts]))
        late = stale.take(stale.received_us - stale.time_us <= self._late_us_max)
        told = None
        if len(events) or len(rewound) or len(late):
            now_us = int(fixes.received_us.max())  # for one that has logged in elsewhere meanwhile
            begun = self._held.begun_us(rewound.terminal_id, now_us)
            told = Told(
                events=events,
                reasons=regime.reasons(events.vehicle_id, events.start_us),
                rewound_id=rewound.terminal_id,
                since_us=np.maximum(rewound.since_us, begun - 1),
                late=_first_us(late),
            )
        quality = np.empty(len(fixes), np.uint16)
        for part in parts:
            quality[part.rows] = part.checked.quality
        return Judged(
            told=told,
            fixes=replace(fixes, quality=quality),
            terminal_ids=distinct(np.concatenate([part.checked.change.work.terminal_id for part in parts])),
            words=[word for part in parts for word in part.checked.events.words()],
            received_us=int(fixes.received_us.min()),
            too_late=len(stale) - len(late),
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """Fixes of a batch that were judged together."""

    rows: Index
    checked: Checked


async def _portions(fixes: FixBatch) -> AsyncGenerator[tuple[Index, FixBatch], None]:
    """Rows to judge together, at most PORTION of each terminal, in the order of time; in between the loop has its turn."""
    ids = np.sort(fixes.terminal_id)
    if not (ids[PORTION:] == ids[:-PORTION]).any():
        yield np.arange(len(ids)), fixes
        return
    order = np.lexsort((fixes.time_us, fixes.terminal_id))
    number = ranks(fixes.terminal_id[order]) // PORTION
    for nth in range(int(number.max()) + 1):
        yield (rows := np.sort(order[number == nth])), fixes.take(rows)
        await asyncio.sleep(0)


def saved_of(state: State, begun_us: Mapping[int, int], at_us: int) -> list[SavedState]:
    """What is remembered of terminals, to be kept; `at_us`: everything received before is in it."""
    ids = np.fromiter(begun_us, np.int64, len(begun_us))
    columns = (ids.tolist(), begun_us.values(), state.reach_us(ids).tolist(), state.last_us(ids).tolist(), state.pack(ids))
    return [SavedState(each, at_us, *rest) for each, *rest in zip(*columns, strict=True)]


def _first_us(fixes: FixBatch) -> dict[int, int]:
    """When the earliest fix of each terminal was."""
    ids, owner = np.unique(fixes.terminal_id, return_inverse=True)
    first_us = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(first_us, owner, fixes.time_us)
    return dict(zip(ids.tolist(), first_us.tolist(), strict=True))
