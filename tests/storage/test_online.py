"""Who is online: the sessions of workers that live."""

from __future__ import annotations

import asyncio

from fix_db import rows
from fix_terminals import until
from storage.online import WORKERS
from storage.registry import Registry
from storage.roster import roster


def online(url: str) -> set[str]:
    return {entry.terminal for entry in roster(url) if entry.online_since}


def test_who_was_connected_to_a_worker_that_died_is_offline_and_nobody_else(store_url: str) -> None:
    async def story() -> None:
        one, other = Registry(store_url), Registry(store_url)
        ids = [terminal.id for terminal in (await one.admit(["1", "2"])).values()]
        for registry, name, terminal_id in zip((one, other), ("w1", "w2"), ids, strict=True):
            await registry.begin(name)
            await registry.login([terminal_id], name, ["a"])
        assert online(store_url) == {"1", "2"}
        await one.close()
        await until(lambda: online(store_url) == {"2"})
        listening = one.logins("w1")
        await anext(listening)

        assert online(store_url) == {"1", "2"}, "it lives: only a connection was lost"
        await listening.aclose()
        await other.close()
        await until(lambda: online(store_url) == set())

    asyncio.run(story())


def test_a_worker_of_the_same_name_at_another_database_of_the_server_keeps_nobody_online(database_url: str, empty_url: str) -> None:
    async def story() -> None:
        registry = Registry(database_url)
        (terminal,) = (await registry.admit(["1"])).values()
        rows(empty_url, "SELECT pg_advisory_lock_shared(%s, hashtext('w'))", WORKERS)
        await registry.login([terminal.id], "w", ["a"])
        assert online(database_url) == set()
        rows(database_url, "SELECT pg_advisory_lock_shared(%s, hashtext('w'))", WORKERS)
        assert online(database_url) == {"1"}
        await registry.close()

    asyncio.run(story())
