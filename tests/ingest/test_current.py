"""What the rules judge by, read when it is first asked for and at each change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from structlog.testing import capture_logs

from ingest.current import Current
from storage.enrol import add_vehicle
from storage.fleet import FleetStore
from storage.geometry import GeometryStore, add_shapes


@dataclass(frozen=True)
class Shapes:
    version: int
    names: tuple[str, ...] = ()


def changes(times: int) -> Callable[[], AsyncIterator[None]]:
    """A listener that hears of so many changes."""

    async def heard() -> AsyncIterator[None]:
        for _ in range(times):
            yield

    return heard


def test_what_is_read_again_without_a_change_is_told_once_and_a_change_between_reading_and_listening_is_not_lost() -> None:
    there = [Shapes(1), Shapes(1, ("committed since under the same number",)), Shapes(2), Shapes(2), Shapes(1)]
    read = iter(there)
    told: list[Shapes] = []

    async def make() -> Shapes:
        return next(read)

    async def story() -> None:
        current = Current("shapes", make, changes(len(there) - 1))
        current.followers.append(told.append)
        assert there[0] == await current.get()
        await current.listen()
        assert Shapes(2) == await current.get()

    with capture_logs() as logs:
        asyncio.run(story())

    assert [("in force", 1), ("in force", 2)] == [(each["event"], each["version"]) for each in logs]
    assert there[:4] == told, "an older one that comes late is passed over"


def test_who_asks_first_and_who_begins_to_listen_do_not_make_two_at_a_time() -> None:
    under_way, at_a_time = 0, []

    async def make() -> Shapes:
        nonlocal under_way
        under_way += 1
        at_a_time.append(under_way)
        for _ in range(9):
            await asyncio.sleep(0)
        under_way -= 1
        return Shapes(1)

    async def story() -> None:
        current = Current("shapes", make, changes(1))
        assert [Shapes(1), None, Shapes(1)] == await asyncio.gather(current.get(), current.listen(), current.get())

    asyncio.run(story())

    assert [1, 1] == at_a_time, "one for whoever asks, and another for what may have changed before there was a listener"


def test_who_asks_first_and_gives_up_does_not_keep_the_others_waiting() -> None:
    begun, made = asyncio.Event(), []

    async def make() -> Shapes:
        made.append(len(made) + 1)
        if len(made) == 1:
            begun.set()
            await asyncio.Event().wait()
        return Shapes(len(made))

    async def story() -> None:
        current = Current("shapes", make, changes(0))
        first = asyncio.create_task(current.get())
        await begun.wait()
        second = asyncio.create_task(current.get())
        await asyncio.sleep(0)
        first.cancel()
        assert Shapes(2) == await second
        assert first.cancelled()
        assert Shapes(2) == await current.get()

    asyncio.run(story())

    assert [1, 2] == made


def test_shapes_are_read_again_after_a_reader_was_cancelled_wherever_it_was(database_url: str) -> None:
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [121.47, 31.23]}, "properties": {"name": "桥头"}}
    add_shapes(database_url, "stops", [point] * 300)

    async def story() -> None:
        store = GeometryStore(database_url)
        whole = await store.load()
        for turns in (1, 2, 4, 8, 16, 32, 64):
            reader = asyncio.create_task(store.load())
            for _ in range(turns):
                await asyncio.sleep(0)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            assert whole == await store.load()
        await store.close()

    asyncio.run(story())


def test_the_first_shape_and_the_first_vehicle_of_a_database_make_new_versions(database_url: str) -> None:
    async def versions() -> tuple[int, int]:
        geometry, fleet = GeometryStore(database_url), FleetStore(database_url)
        found = (await geometry.load()).version, (await fleet.load()).version
        await geometry.close()
        await fleet.close()
        return found

    before = asyncio.run(versions())
    add_shapes(
        database_url, "stops", [{"type": "Feature", "geometry": {"type": "Point", "coordinates": [121.47, 31.23]}, "properties": {}}]
    )
    add_vehicle(database_url, "沪A38000", "黄")
    after = asyncio.run(versions())

    assert (0, 0) == before
    assert after > before
    assert after[1] > before[1]
