"""Fixes that come hours late, through a worker and a real database: in the end events are those of one pass over the stored track."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from dubhe.geometry import import_corridors, import_fences
from fix_db import rows
from fix_worker import Raw, batch, play, until, worker
from geofence.again import Account
from geofence.datum import Datum
from geofence.quality import Quality
from ingest.hindsight import Case
from ingest.worker import Worker
from storage.errors import StoreUnavailable
from storage.hindsight import Retold
from storage.rules import FIX_COLUMNS, STALE, fixes_of
from test_rules import EAST, LAT, LON, registered, road, square
from tracks.event import Ended, Kind
from tracks.fix import ABSENT

pytestmark = pytest.mark.slow
NAME = "13800138000"
STEP_S = 10
BEGUN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
"""The tests' drives are of today: late fixes are judged for some days only."""
TOLD = (
    "SELECT id, kind, subject, (extract(epoch FROM started_at) * 1000000)::bigint, (extract(epoch FROM ended_at) * 1000000)::bigint, ended,"
    " peak, total, evidence FROM events WHERE withdrawn_at IS NULL"
)


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have nothing else to do."""
    monkeypatch.setattr("ingest.hindsight.REST", 0.0)


def at(step: int, east_m: float, north_m: float = 0.0, kmh: float = 36.0) -> bytes:
    """A report so many metres from the middle, so many steps into the drive, due east."""
    clock = (BEGUN + timedelta(seconds=step * STEP_S, hours=8)).strftime("%y%m%d%H%M%S")
    place = round((LAT + north_m / 111_000) * 1e6).to_bytes(4, "big") + round((LON + east_m * EAST) * 1e6).to_bytes(4, "big")
    motion = (12).to_bytes(2, "big") + round(10 * kmh).to_bytes(2, "big") + (90).to_bytes(2, "big")
    return bytes(4) + (3).to_bytes(4, "big") + place + motion + bytes.fromhex(clock)


def drive(rng: np.random.Generator, steps: int) -> list[bytes]:
    """Up and down ten kilometres of road through a fence, now and then beside it or standing."""
    told, east_m, way, north_m = [], -600.0, 1, 0.0
    while len(told) < steps:
        stands = rng.random() < 0.1
        north_m = float(rng.choice([0.0, 0.0, 300.0]))
        for _ in range(int(rng.integers(8, 40))):
            told.append(at(len(told), east_m, north_m, 0.0 if stands else 36.0))
            east_m += 0 if stands else 100 * way
            way = -1 if east_m > 2_500 else 1 if east_m < -1_500 else way
    return told[:steps]


async def send(port: int, code: str, reports: list[bytes], name: str = NAME) -> Raw:
    """The reports in their order, thirty in a message."""
    terminal = await Raw.connect(port, name)
    assert await terminal.log_in(code) == 0
    for first in range(0, len(reports), 30):
        assert await terminal.result(0x0704, batch(*reports[first : first + 30])) == 0
    return terminal


async def look_back(running: Worker) -> None:
    """Judge what waits, without waiting."""
    running.hindsight._quiet_s = 0.0
    while await running.hindsight.look():
        pass


async def save(running: Worker) -> None:
    """Save what the rules remember, as it is once a minute."""
    await running.rules._save(1_000)


async def one_pass(running: Worker, url: str) -> set[tuple[Any, ...]]:
    """What one pass over all that is stored tells."""
    account = Account(await running.rules.atlas.get(), (await running.rules.regime.get()).rules)
    account.judge(fixes_of(rows(url, f"SELECT {FIX_COLUMNS} FROM fixes f ORDER BY f.time, f.digest")))
    events = account.events()
    words = [(Kind(kind).name.lower(), Ended(ended)) for kind, ended in zip(events.kind.tolist(), events.ended.tolist(), strict=True)]
    return {
        (number, kind, subject, start_us, None if end_us == ABSENT else end_us, ended.name.lower() if ended else None, *sums)
        for number, (kind, ended), subject, start_us, end_us, *sums in zip(
            events.id.tolist(), words, events.subject.tolist(), events.start_us.tolist(), events.end_us.tolist(),
            events.peak.tolist(), events.total.tolist(), events.evidence.tolist(), strict=True
        )
    }  # fmt: skip


def same(one: set[tuple[Any, ...]], other: set[tuple[Any, ...]]) -> bool:
    """Of what lasts the table says how it was when last told."""
    lasting = {row[0] for row in one | other if row[4] is None}
    return {row[:6] for row in one} == {row[:6] for row in other} and {row for row in one if row[0] not in lasting} == {
        row for row in other if row[0] not in lasting
    }


def stale(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM fixes WHERE quality & %s <> 0", int(Quality.STALE))[0][0])


def test_the_flag_of_what_waits_is_the_gates() -> None:
    assert Quality.STALE == STALE


@pytest.mark.parametrize(("seed", "restarts"), [(1, False), (2, True)])
def test_a_block_that_comes_late_gives_what_one_pass_in_order_gives(store_url: str, seed: int, *, restarts: bool) -> None:
    rng = np.random.default_rng(seed)
    reports = drive(rng, 700)
    first = int(rng.integers(30, 120))
    late, early = reports[first : first + 210], reports[:first] + reports[first + 210 :]

    async def story() -> None:
        import_corridors(store_url, road(), Datum.WGS84)
        import_fences(store_url, square(0), Datum.WGS84)
        code = registered(store_url)
        async with worker(store_url, "w1") as (_, port):
            await send(port, code, early[: first + 300])
            if not restarts:
                await send(port, code, early[first + 300 :] + late)
        async with worker(store_url, "w2") as (running, port):
            if restarts:
                await send(port, code, early[first + 300 :] + late)
            else:
                await send(port, code, reports[-1:])
            before = set(rows(store_url, TOLD))
            assert stale(store_url) > 100
            expected = await one_pass(running, store_url)
            assert not same(before, expected)
            await look_back(running)
            assert stale(store_url) == 0
            assert rows(store_url, "SELECT FROM late_terminals") == []
            assert same(set(rows(store_url, TOLD)), expected)
            news = {row[0] for row in expected} - {row[0] for row in before}
            assert news
            assert rows(store_url, "SELECT count(*) FROM events WHERE id = ANY(%s) AND NOT retrospective", list(news)) == [(0,)]
            await send(port, code, [at(700 + step, -600 + 100 * step) for step in range(40)])
            assert same(set(rows(store_url, TOLD)), await one_pass(running, store_url))

    play(story())


def test_late_fixes_are_judged_together_also_after_a_worker_was_killed(database_url: str) -> None:
    """The state that its successor finds is older, and reaches back to some of them."""
    reports = drive(np.random.default_rng(5), 500)
    late, early = reports[20:80] + reports[140:300], reports[:20] + reports[80:140] + reports[300:]

    async def story() -> None:
        import_corridors(database_url, road(), Datum.WGS84)
        import_fences(database_url, square(0), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url, "w1") as (running, port):
            await send(port, code, early[:210])
            await save(running)
            (kept,) = rows(database_url, "SELECT packed, at, reach_at, last_at FROM rule_states")
            await send(port, code, early[210:] + late)
        rows(database_url, "UPDATE rule_states SET packed = %s, at = %s, reach_at = %s, last_at = %s RETURNING 1", *kept)
        assert rows(database_url, "SELECT count(*) FROM fixes WHERE quality & %s <> 0 AND time > %s", STALE, kept[2]) == [(160,)]
        assert stale(database_url) == len(late)
        async with worker(database_url, "w2") as (running, port):
            await send(port, code, [at(500 + step, -600 + 100 * step) for step in range(20)])
            await look_back(running)
            assert stale(database_url) == 0
            assert same(set(rows(database_url, TOLD)), await one_pass(running, database_url))

    play(story())


def test_a_stay_that_began_long_before_ends_when_late_fixes_say_so_and_stays_one_incident(database_url: str) -> None:
    """What showed its begin is no longer stored: it is remembered by the state that was kept."""
    inside = [at(step, -100 + step % 3) for step in range(160)]
    away = [at(160 + step, 100 + 100 * step) for step in range(100)]
    back = [at(260 + step, 10_000 - 100 * step, 300.0) for step in range(100)]
    again = [at(360 + step, step % 3) for step in range(200)]

    async def story() -> None:
        (number,) = import_fences(database_url, square(0), Datum.WGS84).ids
        code = registered(database_url)
        async with worker(database_url) as (running, port):
            for part in (inside[:80], inside[80:], again):
                await send(port, code, part)
                await save(running)
            ((first,),) = rows(database_url, "SELECT id FROM events WHERE ended_at IS NULL")
            assert rows(database_url, "SELECT count(*) FROM rule_copies") == [(1,)]
            gone = "DELETE FROM fixes f USING rule_copies c WHERE f.time < c.last_at - interval '5 minutes' RETURNING 1"
            assert rows(database_url, gone)
            await send(port, code, away + back)
            await look_back(running)
            assert stale(database_url) == 0
            ((this, ended, subject), (other, lasts, same_fence)) = rows(
                database_url, "SELECT id, ended, subject FROM events WHERE withdrawn_at IS NULL ORDER BY started_at"
            )
            assert (this, ended, subject, lasts, same_fence) == (first, "returned", number, None, number)
            await send(port, code, [at(560 + step, 300 + 100 * step) for step in range(5)])
            assert rows(database_url, "SELECT id, ended FROM events WHERE withdrawn_at IS NULL ORDER BY started_at") == [
                (first, "returned"),
                (other, "returned"),
            ]

    play(story())


def test_terminals_are_judged_again_together_and_go_on_meanwhile(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One drives on while all are judged; one moves to another worker and is left to that."""
    names = [f"1380013800{number}" for number in range(4)]
    drives = {name: drive(np.random.default_rng(number), 430) for number, name in enumerate(names)}

    async def story() -> None:
        import_corridors(database_url, road(), Datum.WGS84)
        import_fences(database_url, square(0), Datum.WGS84)
        codes = {name: registered(database_url, name) for name in names}
        async with worker(database_url, "w1") as (one, port), worker(database_url, "w2") as (_, other):
            for name, reports in drives.items():
                await send(port, codes[name], reports[:40] + reports[120:400] + reports[40:120], name)
            finish = one.hindsight._finish

            async def meanwhile(case: Case) -> None:
                await send(port, codes[names[0]], drives[names[0]][400:], names[0])
                if len(case.waiting) == len(names):
                    await send(other, codes[names[1]], drives[names[1]][400:], names[1])
                    await until(lambda: len(one.rules.begun_us()) == len(names) - 1)
                await finish(case)

            monkeypatch.setattr(one.hindsight, "_finish", meanwhile)
            await look_back(one)
            assert stale(database_url) == 80
        async with worker(database_url, "w3") as (third, port):
            for name in names:
                await send(port, codes[name], [at(430 + step, -600 + 100 * step) for step in range(10)], name)
            await look_back(third)
            assert stale(database_url) == 0
            assert same(set(rows(database_url, TOLD)), await one_pass(third, database_url))

    play(story())


def test_a_batch_that_was_judged_before_late_fixes_were_is_judged_again_on_top_of_them(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch is being committed, the story of the late fixes waits for its turn, and behind it a batch that is judged already."""
    inside, again = [at(step, step % 3) for step in range(160)], [at(360 + step, step % 3) for step in range(200)]
    away = [at(160 + step, 100 + 100 * step) for step in range(100)] + [at(260 + step, 10_000 - 100 * step, 300.0) for step in range(100)]
    leaves = [at(561 + step, 300 + 100 * step) for step in range(5)]
    undone: list[bool] = []

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url) as (running, port):
            terminal = await send(port, code, inside + again + away)
            rules, undo, turn = running.rules, running.rules.undo, running.hindsight._still.__self__._turn  # type: ignore[attr-defined]
            monkeypatch.setattr(rules, "undo", lambda: undone.append(bool(rules._ahead)) or undo())
            async with running.writer._line._busy:
                terminal.writer.write(terminal.frame(0x0200, at(560, 0.0)))
                await until(turn.locked)
                looking = asyncio.create_task(look_back(running))
                await until(lambda: turn._waiters)
                terminal.writer.write(terminal.frame(0x0704, batch(*leaves)))
                await until(lambda: len(turn._waiters) == 2)
            await looking
            assert [(await terminal.hear()).body[4] for _ in range(2)] == [0, 0]
            assert undone[0]
            assert stale(database_url) == 0
            assert same(set(rows(database_url, TOLD)), await one_pass(running, database_url))
            assert rows(database_url, "SELECT ended FROM events WHERE withdrawn_at IS NULL") == [("returned",), ("returned",)]

    play(story())


@pytest.mark.parametrize("noticed", [False, True])
def test_a_terminal_that_moves_while_its_past_is_told_anew_goes_on_with_that(
    database_url: str, monkeypatch: pytest.MonkeyPatch, *, noticed: bool
) -> None:
    """It stood in the fence all the time, as the other worker takes it up; then it is known that it was away for a while."""
    inside, again = [at(step, step % 3) for step in range(160)], [at(360 + step, step % 3) for step in range(200)]
    away = [at(160 + step, 100 + 100 * step) for step in range(100)] + [at(260 + step, 10_000 - 100 * step, 300.0) for step in range(100)]

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url, "w1") as (one, port), worker(database_url, "w2") as (two, other):
            await send(port, code, inside + again + away)
            await save(one)
            retell = one.hindsight._store.retell

            async def meanwhile(retold: Retold) -> None:
                await send(other, code, [at(560, 0.0)])
                if noticed:
                    await until(lambda: not one.rules.begun_us())
                await retell(retold)

            monkeypatch.setattr(one.hindsight._store, "retell", meanwhile)
            await look_back(one)
            await until(lambda: not one.rules.begun_us() and not two.rules.begun_us())
            await send(other, code, [at(561 + step, 300 + 100 * step) for step in range(5)])
            assert same(set(rows(database_url, TOLD)), await one_pass(two, database_url))
            assert rows(database_url, "SELECT ended FROM events WHERE withdrawn_at IS NULL") == [("returned",), ("returned",)]

    play(story())


def test_fixes_later_than_is_asked_for_stay_unjudged_and_are_counted(database_url: str) -> None:
    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url, late_days_max=0) as (running, port):
            await send(port, code, [at(300 + step, 9_000.0) for step in range(200)])
            await send(port, code, [at(step, 0.0) for step in range(30)])
            assert running.rules.late["too_late"] == 30
            await look_back(running)
        assert stale(database_url) == 30
        assert rows(database_url, "SELECT FROM late_terminals") == rows(database_url, "SELECT FROM events") == []

    play(story())


def test_late_fixes_before_a_past_that_is_forgotten_stay_unjudged(database_url: str) -> None:
    """As after an upgrade that changed what is remembered: what was under way then is not known any more."""

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url, "w1") as (_, port):
            await send(port, code, [at(step, 9_000.0) for step in range(30)])
        rows(database_url, "UPDATE rule_states SET packed = 'older' RETURNING 1")
        rows(database_url, "UPDATE fixes SET received_at = time RETURNING 1")
        async with worker(database_url, "w2") as (running, port):
            await send(port, code, [at(300 + step, 9_000.0) for step in range(200)])
            await send(port, code, [at(40 + step, 0.0) for step in range(30)])
            await look_back(running)
        assert stale(database_url) == 30
        assert rows(database_url, "SELECT FROM late_terminals") == rows(database_url, "SELECT FROM events") == []

    play(story())


@pytest.mark.parametrize("committed", [False, True])
def test_when_the_connection_breaks_at_the_end_it_is_done_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    """Committed or not, whoever cannot know takes the terminal up anew, and the events are the same."""
    reports = drive(np.random.default_rng(3), 500)
    late, early = reports[50:160], reports[:50] + reports[160:]

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url) as (running, port):
            await send(port, code, early + late)
            store = running.hindsight._store

            async def breaks(retold: Retold) -> None:
                monkeypatch.undo()
                if committed:
                    await store.retell(retold)
                raise StoreUnavailable

            monkeypatch.setattr(store, "retell", breaks)
            with pytest.raises(StoreUnavailable):
                await look_back(running)
            assert stale(database_url) == len(late)
            assert not running.rules.begun_us()
            await send(port, code, [at(500 + step, -600 + 100 * step) for step in range(40)])
            running.hindsight._aside.clear()
            await look_back(running)
            assert stale(database_url) == 0
            assert same(set(rows(database_url, TOLD)), await one_pass(running, database_url))

    play(story())
