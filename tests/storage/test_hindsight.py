"""What is kept for late fixes: older states once a day, and the mark of who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from fix_db import NOON_US, fixes_of, rows
from storage.hindsight import HindsightStore, Retold
from storage.rules import RuleStore, SavedState, Told
from tracks.event import EventBatch

HOUR_US = 3_600_000_000
COPIES = "SELECT (extract(epoch FROM last_at) * 1000000)::bigint, packed FROM rule_copies ORDER BY last_at"
MARK = "INSERT INTO late_terminals (terminal_id, since) VALUES (%s, to_timestamp(0)) ON CONFLICT (terminal_id) DO UPDATE SET at = excluded.at RETURNING 1"  # noqa: E501
NONE = np.empty(0, np.int64)


def state(hour: int, terminal_id: int = 1) -> SavedState:
    """A state as it is saved so many hours after noon."""
    last_us = NOON_US + hour * HOUR_US
    return SavedState(terminal_id, last_us + 1, NOON_US, last_us - 1_000_000, last_us, b"%d" % hour)


def stores(url: str, story: Callable[[RuleStore, HindsightStore], Awaitable[None]]) -> None:
    async def whole() -> None:
        rules, hindsight = RuleStore(url), HindsightStore(url, "w1")
        await story(rules, hindsight)
        await rules.close()
        await hindsight.close()

    asyncio.run(whole())


def test_of_the_states_that_are_written_over_one_a_day_is_kept(store_url: str) -> None:
    async def story(rules: RuleStore, _: HindsightStore) -> None:
        for hour in range(0, 60, 5):
            await rules.save([state(hour), state(hour, 2)])

    stores(store_url, story)
    kept = [(NOON_US + hour * HOUR_US, b"%d" % hour) for hour in (0, 25, 50) for _ in (1, 2)]
    assert kept == rows(store_url, COPIES)
    assert rows(store_url, "SELECT packed FROM rule_states") == [(b"55",), (b"55",)]


def test_judging_begins_with_the_last_state_that_knows_nothing_so_late(store_url: str) -> None:
    async def story(rules: RuleStore, hindsight: HindsightStore) -> None:
        for hour in range(0, 60, 5):
            await rules.save([state(hour)])
        for hour, found in ((26, b"25"), (25, b"0"), (0, None)):
            first_us = {1: NOON_US + hour * HOUR_US}
            (beginning,) = await hindsight.beginnings(first_us, {1: NOON_US}, NOON_US - HOUR_US)
            assert found == beginning.packed
            assert not beginning.unknown
        (beginning,) = await hindsight.beginnings({1: NOON_US}, {1: NOON_US - 2 * HOUR_US}, NOON_US - HOUR_US)
        assert beginning.unknown

    stores(store_url, story)


def test_states_that_knew_too_little_go_and_the_new_one_stays(store_url: str) -> None:
    late = fixes_of([b"late"], time_us=NOON_US + 30 * HOUR_US, quality=4)
    nothing = Told(EventBatch.empty(), np.empty(0, np.uint32), NONE, NONE)

    async def story(rules: RuleStore, hindsight: HindsightStore) -> None:
        for hour in range(0, 80, 5):
            await rules.save([state(hour)])
        for _ in range(2):
            waiting = {1: 0}
            retold = Retold(waiting, {1: int(late.time_us[0])}, late, nothing, NONE, NONE, [state(40)], [state(33)])
            await hindsight.retell(retold)
            await hindsight.unflag(late)
        assert rows(store_url, COPIES) == [(NOON_US + hour * HOUR_US, b"%d" % hour) for hour in (0, 25, 33)]
        assert rows(store_url, "SELECT packed FROM rule_states") == [(b"40",)]
        await hindsight.tidy(NOON_US + 30 * HOUR_US)
        assert rows(store_url, COPIES) == [(NOON_US + hour * HOUR_US, b"%d" % hour) for hour in (25, 33)]

    stores(store_url, story)


def test_who_was_marked_again_meanwhile_still_waits(store_url: str) -> None:
    async def story(_: RuleStore, hindsight: HindsightStore) -> None:
        rows(store_url, MARK, 1), rows(store_url, MARK, 2)
        waiting = await hindsight.waiting([1, 2, 3], 10, quiet_s=0, patience_s=900)
        assert waiting.keys() == {1, 2}
        assert await hindsight.waiting([1, 2, 3], 10, quiet_s=60, patience_s=900) == {}
        assert await hindsight.waiting([1, 2, 3], 10, quiet_s=60, patience_s=0) == waiting
        rows(store_url, MARK, 2)
        await hindsight.settle(waiting)
        assert (await hindsight.waiting([1, 2], 10, quiet_s=0, patience_s=900)).keys() == {2}

    stores(store_url, story)
