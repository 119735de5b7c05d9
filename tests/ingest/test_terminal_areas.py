"""Fences and corridors pushed through a real gateway to simulated terminals of each edition, and how what they keep drifts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from dubhe.drift import State
from fix_cli import Dubhe
from fix_db import rows
from fix_terminals import command, online, until
from fix_worker import Raw, play, worker
from protocols.jt808 import messages
from protocols.jt808.header import EDITIONS, V2013, V2019
from storage.enrol import add_terminal
from storage.geometry import add_shapes

NAME = "13800138000"
LENIENT = {"admission": "lenient"}
CIRCLE = {"type": "Point", "coordinates": [121.47, 31.23]}
BOX = {"type": "Polygon", "coordinates": [[[121.4, 31.2], [121.5, 31.2], [121.5, 31.3], [121.4, 31.3], [121.4, 31.2]]]}
WAY = {"type": "LineString", "coordinates": [[121.4, 31.2], [121.5, 31.2], [121.5, 31.3]]}

Run = Callable[..., Any]


@pytest.fixture
def run(dubhe: Dubhe) -> Run:
    """`dubhe` with these words, beside the test: its exit status and its lines of JSON."""

    async def run(*words: str) -> tuple[int, list[dict[str, Any]]]:
        status, out, _ = await asyncio.to_thread(dubhe, *words, "--json")
        return status, [json.loads(line) for line in out.splitlines() if line.startswith("{")]  # the gateway logs there, too

    return run


def shapes(url: str) -> None:
    """Fence 1 a circle, fence 2 a rectangle, corridor 1."""
    fences = [(CIRCLE, {"name": "站场", "radius_m": 500, "stay": "in", "day_kmh": 30}), (BOX, {"name": "市区"})]
    add_shapes(url, "fences", [{"type": "Feature", "geometry": shape, "properties": about} for shape, about in fences])
    add_shapes(url, "corridors", [{"type": "Feature", "geometry": WAY, "properties": {"name": "71路"}}])


async def states(run: Run, *words: str) -> tuple[int, dict[str, str]]:
    status, lines = await run("terminal", "areas", NAME, *words)
    return status, {f"{each['noun']} {each['id']}": each["state"] for each in lines}


def change(url: str, radius_m: int) -> None:
    rows(url, f"UPDATE fences SET feature = jsonb_set(feature, '{{properties,radius_m}}', '{radius_m}') WHERE id = 1 RETURNING id")


@pytest.mark.parametrize("edition", [V2013, V2019], ids=EDITIONS.__getitem__)
def test_what_is_pushed_is_kept_and_drift_is_found_on_either_side(database_url: str, run: Run, edition: int) -> None:
    shapes(database_url)
    ask = ["--ask"] if edition == V2019 else []

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port), online(port, edition=edition) as terminal:
            places = terminal.equipment.places
            assert await states(run) == (0, dict.fromkeys(["corridor 1", "fence 1", "fence 2"], State.NEVER_SENT))

            status, told = await run("fence", "push", "1", "2", "--to", NAME)
            assert (status, [(each["kind"], each["state"], each["result"]) for each in told]) == (
                0,
                [("circle", "answered", "ok"), ("rectangle", "answered", "ok")],
            )
            assert (await run("corridor", "push", "1", "--to", NAME))[0] == 0
            assert [list(places[kind]) for kind in (1, 2, 3, 4)] == [[1], [2], [], [1]]
            assert await states(run, *ask) == (0, dict.fromkeys(["corridor 1", "fence 1", "fence 2"], State.SAME))

            change(database_url, 300)
            assert await states(run, *ask) == (1, {"corridor 1": State.SAME, "fence 1": State.CHANGED, "fence 2": State.SAME})
            assert (await run("fence", "push", "1", "--to", NAME))[0] == 0
            assert places[1][1]["radius_m"] == 300
            assert (await states(run, *ask))[0] == 0

            assert (await run("fence", "recall", "2", "--from", NAME))[0] == 0
            assert (places[2], (await states(run, *ask))[1]["fence 2"]) == ({}, State.RECALLED)
            assert (await run("fence", "push", "2", "--to", NAME))[0] == 0
            assert (await states(run, *ask))[1]["fence 2"] == State.SAME
            rows(database_url, "DELETE FROM corridors RETURNING id")
            assert (await states(run, *ask))[1]["corridor 1"] == State.UNKNOWN

    play(story())


def test_a_terminal_that_is_asked_shows_what_it_lost_and_what_others_gave_it(database_url: str, run: Run) -> None:
    shapes(database_url)

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port), online(port, edition=V2019) as terminal:
            places = terminal.equipment.places
            await run("fence", "push", "1", "2", "--to", NAME)
            stranger = {**places[1].pop(1), "id": 77}
            places[1][77] = stranger
            places[2][2] = {**places[2][2], "top_lat": 31.4}

            assert await states(run, "--ask") == (
                1,
                {"corridor 1": State.NEVER_SENT, "fence 1": State.MISSING, "fence 2": State.DIFFERS, "fence 77": State.UNKNOWN},
            )
            assert (await run("fence", "push", "1", "2", "--to", NAME))[0] == 0
            assert (await run("fence", "recall", "77", "--from", NAME))[0] == 0
            assert (await states(run, "--ask"))[0] == 0

    play(story())


def test_a_fence_that_becomes_another_kind_of_area_leaves_nothing_behind(database_url: str, run: Run) -> None:
    shapes(database_url)

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port), online(port, edition=V2019) as terminal:
            await run("fence", "push", "1", "--to", NAME)
            box = json.dumps(BOX)
            rows(database_url, "UPDATE fences SET feature = jsonb_set(feature, '{geometry}', %s) WHERE id = 1 RETURNING id", box)
            assert (await states(run, "--ask"))[1]["fence 1"] == State.CHANGED
            status, told = await run("fence", "push", "1", "--to", NAME)

            assert (status, [each["kind"] for each in told]) == (0, ["rectangle", "circle"])
            assert [list(terminal.equipment.places[kind]) for kind in (1, 2)] == [[], [1]]
            assert (await states(run, "--ask"))[0] == 0

    play(story())


def test_a_terminal_that_refuses_keeps_what_it_had(database_url: str, run: Run) -> None:
    shapes(database_url)

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port), online(port) as terminal:
            await run("fence", "push", "1", "--to", NAME)
            change(database_url, 300)
            terminal.equipment.places_max = 0
            status, (told,) = await run("fence", "push", "1", "--to", NAME)
            assert (status, told["result"]) == (1, "failed")

            status, lines = await run("terminal", "areas", NAME)
            standing = next(each for each in lines if (each["noun"], each["id"]) == ("fence", 1))
            assert (status, standing["state"], standing["why"]) == (1, State.NOT_CONFIRMED, "failed")
            assert (standing["here"]["radius_m"], standing["kept"]["radius_m"]) == (300, 500)

    play(story())


def test_unsupported_and_silence_confirm_nothing(database_url: str, run: Run) -> None:
    shapes(database_url)

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            pushing = asyncio.ensure_future(run("fence", "push", "1", "--to", NAME))
            asked = await raw.hear()
            unsupported = messages.build(0x0001, V2013, {"reply_serial": asked.serial, "reply_id": 0x8600, "result": 3})
            raw.writer.write(raw.frame(0x0001, unsupported))
            status, (told,) = await pushing
            assert (status, told["result"]) == (1, "unsupported")

            status, (told,) = await run("fence", "push", "2", "--to", NAME, "--timeout-s", "0.1")
            assert (status, told["state"]) == (1, "timed_out")
            assert rows(database_url, "SELECT area_id, result, kept FROM terminal_areas ORDER BY 1") == [
                (1, "unsupported", None),
                (2, "no answer within 0.1 s", None),
            ]

    play(story())


def test_an_offline_terminal_gets_nothing_without_an_expiry_and_all_of_it_with_one(database_url: str, run: Run) -> None:
    shapes(database_url)
    add_terminal(database_url, NAME, "沪A38000", "黄")

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            status, (told,) = await run("fence", "push", "1", "--to", "沪A38000")
            assert (status, told["state"], told["result"]) == (1, "failed", "the terminal is offline")
            assert (await states(run))[1]["fence 1"] == State.NEVER_SENT

            status, (told,) = await run("fence", "push", "2", "--to", "沪A38000", "--expires-s", "600")
            assert (status, told["state"]) == (0, "queued")
            assert (await states(run))[1]["fence 2"] == State.WAITING
            async with online(port):
                await until(lambda: rows(database_url, "SELECT result FROM terminal_areas") == [("ok",)])
                assert (await states(run))[1]["fence 2"] == State.SAME

    play(story())


def test_what_is_queued_is_said_with_since_and_until_when_it_waits(database_url: str, run: Run, dubhe: Dubhe) -> None:
    shapes(database_url)
    add_terminal(database_url, NAME)

    async def standing(which: int) -> tuple[str, bool | None]:
        _, lines = await run("terminal", "areas", NAME)
        told = next(each for each in lines if each["id"] == which and each["noun"] == "fence")
        return told["state"], told["queued"] and told["queued"]["sets"]

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            async with online(port):
                assert (await run("fence", "push", "1", "--to", NAME))[0] == 0
            await until(lambda: rows(database_url, "SELECT count(*) FROM sessions") == [(0,)])
            change(database_url, 300)
            assert (State.CHANGED, None) == await standing(1)
            for verb, whom, sets in (("push", "--to", True), ("recall", "--from", False)):
                assert (await run("fence", verb, "1", whom, NAME, "--expires-s", "600"))[0] == 0
                assert (State.CHANGED, sets) == await standing(1), "until it comes the terminal keeps what it had"

            assert (await run("fence", "push", "2", "--to", NAME, "--expires-s", "600"))[0] == 0
            rows(database_url, "UPDATE commands SET created_at = '2026-11-24T00:00Z', expires_at = '2099-11-25T00:00Z' RETURNING id")
            assert (State.WAITING, True) == await standing(2)
            told = (await asyncio.to_thread(dubhe, "terminal", "areas", NAME))[1]
            waits = "queued 排队 since 2026-11-24T08:00:00+08:00 until 2099-11-25T08:00:00+08:00"
            assert f"waiting for the terminal 等待终端上线; its setting 设置 is {waits}" in told
            assert f"its deletion 删除 is {waits}" in told

            rows(database_url, "DELETE FROM fences WHERE id = 2 RETURNING id")
            assert (State.WAITING, True) == await standing(2), "it is on its way all the same"
            rows(database_url, "UPDATE commands SET expires_at = now() RETURNING id")
            assert (State.CHANGED, None) == await standing(1)

    play(story())


def test_what_a_terminal_cannot_keep_is_not_sent(database_url: str, run: Run) -> None:
    add_terminal(database_url, NAME)
    weekly = {"radius_m": 500, "windows": [{"days": [0], "from": "07:00", "to": "09:00"}]}
    add_shapes(database_url, "fences", [{"type": "Feature", "geometry": CIRCLE, "properties": weekly}])

    async def story() -> None:
        status, (told,) = await run("fence", "push", "1", "--to", NAME)
        assert (status, told["state"], "days of the week" in told["result"]) == (1, "refused", True)
        assert await states(run) == (0, {"fence 1": State.CANNOT})
        assert rows(database_url, "SELECT count(*) FROM commands") == [(0,)]

    play(story())


def test_areas_that_any_command_sets_or_deletes_are_remembered(database_url: str) -> None:
    circle = {"lat": 31.2, "lon": 121.4, "radius_m": 500}
    areas = [{"id": 1, **circle}, {"id": 2, **circle}, {"id": 1, **circle}]
    kept = "SELECT area_id, kept IS NOT NULL, removed_at IS NOT NULL FROM terminal_areas ORDER BY 1"

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port), online(port):
            assert (await command(database_url, NAME, 0x8600, {"action": "append", "areas": areas})).ok
            assert rows(database_url, kept) == [(1, True, False), (2, True, False)]
            assert (await command(database_url, NAME, 0x8600, {"action": "update", "areas": [{"id": 3, **circle}]})).ok
            assert rows(database_url, kept) == [(1, False, True), (2, False, True), (3, True, False)]
            assert (await command(database_url, NAME, 0x8603, {"ids": []})).ok
            assert rows(database_url, kept)[2] == (3, True, False), "those were the rectangles"
            assert (await command(database_url, NAME, 0x8601, {"ids": []})).ok
            assert rows(database_url, kept)[2] == (3, False, True)

    play(story())
