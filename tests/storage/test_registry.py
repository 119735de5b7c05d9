"""The registry: who may register, who is admitted, who is logged in; every text is hostile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix_db import break_connections, rows
from storage.enrol import add_terminal, add_vehicle
from storage.errors import StoreUnavailable
from storage.registry import PAIRS_PER_NOTICE, Registration, Registry
from storage.text import NAME_MAX, TEXT_MAX, clean, is_name, plate_of

Answer = TypeVar("Answer")
SAID = Registration(
    province=51, city=107, maker="70111", model="BD-808", serial_number="A000001", plate_colour=2, plate="川A12345", edition="2013"
)
UNPLATED = replace(SAID, plate="", plate_colour=0)


def asked(url: str, question: Callable[[Registry], Awaitable[Answer]]) -> Answer:
    """The registry's answer to `question`."""

    async def ask() -> Answer:
        registry = Registry(url)
        try:
            return await question(registry)
        finally:
            await registry.close()

    return asyncio.run(ask())


def registered(url: str, name: str, said: Registration = SAID, *, lenient: bool = False) -> tuple[int, str]:
    return asked(url, lambda registry: registry.register(name, said, lenient=lenient))


def bindings(url: str) -> list[tuple[str, str]]:
    """Which terminal serves which vehicle."""
    return rows(url, "SELECT t.name, v.plate FROM terminals t JOIN vehicles v ON v.id = t.vehicle_id ORDER BY 1")


@dataclass(frozen=True)
class Situation:
    """What is known before, what terminal 138 says, and the result of 0x8100 that it gets.

    0 done, 1 vehicle already registered, 2 no such vehicle, 3 terminal already registered, 4 no such terminal.
    """

    strict: int
    lenient: int
    terminals: tuple[tuple[str, ...], ...] = ()
    vehicles: tuple[tuple[str, str], ...] = ()
    said: Registration = SAID


FREE, HIS, OTHERS, ELSEWHERE = ("138",), ("138", "川A12345", "黄"), ("139", "川A12345", "黄"), ("138", "川B00001", "黄")
SITUATIONS = {
    "nothing is known": Situation(4, 0),
    "nothing is known and no plate is given": Situation(4, 0, said=UNPLATED),
    "only the vehicle is known": Situation(4, 0, vehicles=(("川A12345", "黄"),)),
    "only the terminal is known": Situation(2, 0, terminals=(FREE,)),
    "the terminal is known and no plate is given": Situation(0, 0, terminals=(FREE,), said=UNPLATED),
    "the plate is known in another colour": Situation(2, 0, terminals=(FREE,), vehicles=(("川A12345", "蓝"),)),
    "both are known and free": Situation(0, 0, terminals=(FREE,), vehicles=(("川A12345", "黄"),)),
    "they are bound already": Situation(0, 0, terminals=(HIS,)),
    "they are bound and no plate is given": Situation(0, 0, terminals=(HIS,), said=UNPLATED),
    "the vehicle is another terminal's": Situation(1, 1, terminals=(FREE, OTHERS)),
    "the vehicle is another terminal's and this one is unknown": Situation(4, 1, terminals=(OTHERS,)),
    "the terminal is another vehicle's": Situation(3, 3, terminals=(ELSEWHERE,), vehicles=(("川A12345", "黄"),)),
    "the terminal is another vehicle's and the plate is new": Situation(2, 3, terminals=(ELSEWHERE,)),
    "each is another's": Situation(1, 1, terminals=(ELSEWHERE, OTHERS)),
}


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
@pytest.mark.parametrize("name", SITUATIONS)
def test_a_registration_gets_the_result_of_its_situation(database_url: str, name: str, *, lenient: bool) -> None:
    situation = SITUATIONS[name]
    for terminal in situation.terminals:
        add_terminal(database_url, *terminal)
    for vehicle in situation.vehicles:
        add_vehicle(database_url, *vehicle)
    expected = situation.lenient if lenient else situation.strict

    result, code = registered(database_url, "138", situation.said, lenient=lenient)

    assert (result, bool(code)) == (expected, expected == 0)
    assert registered(database_url, "138", situation.said, lenient=lenient) == (result, code)


def test_a_refused_registration_changes_nothing(database_url: str) -> None:
    add_terminal(database_url, "138")
    registered(database_url, "138")
    registered(database_url, "139")

    assert rows(database_url, "SELECT name, vehicle_id, last_registered_at FROM terminals") == [("138", None, None)]
    assert rows(database_url, "SELECT FROM vehicles") == []


def test_registering_binds_for_good_and_notes_what_the_terminal_says_of_itself(database_url: str) -> None:
    registered(database_url, "138", lenient=True)
    said = "SELECT maker, model, serial_number, province, city, edition, vetted, last_registered_at IS NULL FROM terminals"

    assert bindings(database_url) == [("138", "川A12345")]
    assert rows(database_url, "SELECT count(*) FROM bindings") == [(1,)]
    assert rows(database_url, said) == [("70111", "BD-808", "A000001", 51, 107, "2013", False, False)]
    assert rows(database_url, "SELECT vetted FROM vehicles") == [(False,)]


def test_plates_are_the_same_however_they_are_typed(database_url: str) -> None:
    add_vehicle(database_url, "川a·12345", "黄色")
    add_terminal(database_url, "138")

    assert registered(database_url, "138", replace(SAID, plate=" 川Ａ 12345\0"))[0] == 0
    assert bindings(database_url) == [("138", "川A12345")]


def test_an_unplated_vehicle_is_known_by_its_vin(database_url: str) -> None:
    vin = "LZYTBTE61G1000001"
    registered(database_url, "138", replace(SAID, plate=vin, plate_colour=0), lenient=True)

    assert rows(database_url, "SELECT plate, plate_colour, vin FROM vehicles") == [(vin, 0, vin)]


def test_codes_differ_between_terminals(database_url: str) -> None:
    codes = {terminal.auth_code for terminal in asked(database_url, lambda it: it.admit([str(n) for n in range(50)])).values()}

    assert len(codes) == 50
    assert {len(code) for code in codes} == {16}


def test_terminals_registering_for_one_vehicle_at_once_are_told_apart(database_url: str) -> None:
    async def race() -> list[int]:
        registries = [Registry(database_url) for _ in range(8)]
        answers = await asyncio.gather(*(registry.register(str(138 + n), SAID, lenient=True) for n, registry in enumerate(registries)))
        for registry in registries:
            await registry.close()
        return sorted(result for result, _ in answers)

    assert asyncio.run(race()) == [0, 1, 1, 1, 1, 1, 1, 1]


def test_admitting_makes_unknown_terminals_once_and_unvetted(database_url: str) -> None:
    add_terminal(database_url, "138", "川A12345", "黄")
    first = asked(database_url, lambda it: it.admit(["138", "139", "139"]))
    second = asked(database_url, lambda it: it.admit(["139", "138"]))

    assert first == second
    assert {name: (terminal.vetted, terminal.vehicle_id is None) for name, terminal in first.items()} == {
        "138": (True, False),
        "139": (False, True),
    }


def test_workers_admitting_the_same_terminals_at_once_agree(database_url: str) -> None:
    names = [str(number) for number in range(300)]

    async def race() -> list[dict[str, Any]]:
        registries = [Registry(database_url) for _ in range(6)]
        found = await asyncio.gather(*(it.admit(names if n % 2 else names[::-1]) for n, it in enumerate(registries)))
        for registry in registries:
            await registry.close()
        return list(found)

    first, *others = asyncio.run(race())

    assert set(first) == set(names)
    assert all(other == first for other in others)


def test_finding_makes_nothing(database_url: str) -> None:
    asked(database_url, lambda it: it.admit(["138"]))

    assert set(asked(database_url, lambda it: it.find(["138", "139"]))) == {"138"}
    assert asked(database_url, lambda it: it.find([])) == {}
    assert rows(database_url, "SELECT count(*) FROM terminals") == [(1,)]


HOSTILE = ["", " ", "\0", "1\x002", "\ud800", "1" * (NAME_MAX + 1), "\u202e138", "138\n", "'; DROP TABLE terminals; --"]


def test_a_name_that_cannot_be_one_is_left_out(database_url: str) -> None:
    assert set(asked(database_url, lambda it: it.admit([*HOSTILE, "138"]))) == {"138", HOSTILE[-1]}
    assert set(asked(database_url, lambda it: it.find([*HOSTILE, "138"]))) == {"138", HOSTILE[-1]}
    assert [registered(database_url, name, lenient=True)[0] for name in HOSTILE[:-1]] == [4] * 8


@pytest.mark.parametrize("text", [*HOSTILE, "品牌" * 1000, "\x7f\x80\x9f", "null\\N"])
def test_hostile_texts_register_as_their_printable_part(database_url: str, text: str) -> None:
    said = replace(SAID, maker=text, model=text, serial_number=text, plate=text, edition=text)

    assert registered(database_url, "138", said, lenient=True)[0] == 0
    assert rows(database_url, "SELECT maker, edition FROM terminals") == [(clean(text), clean(text))]


@given(st.text(st.characters(), max_size=300))
def test_cleaned_text_is_printable_and_short_and_stays_so(text: str) -> None:
    kept = clean(text)

    assert kept.isprintable()
    assert len(kept) <= TEXT_MAX
    assert clean(kept) == kept
    assert kept.encode().decode() == kept
    assert plate_of(plate_of(text)) == plate_of(text)
    assert not is_name(text) or clean(text, NAME_MAX) == text


def test_the_largest_numbers_of_the_wire_fit_their_columns(database_url: str) -> None:
    said = replace(SAID, province=0xFFFF, city=0xFFFF, plate_colour=0xFF)

    assert registered(database_url, "138", said, lenient=True)[0] == 0


def test_logins_are_numbered_and_the_latest_stands(database_url: str) -> None:
    ids = [terminal.id for terminal in asked(database_url, lambda it: it.admit(["1", "2"])).values()]
    first = asked(database_url, lambda it: it.login(ids, "worker 1", ["a", "b"]))
    second = asked(database_url, lambda it: it.login(ids[:1], "worker 2", ["c\0"]))

    assert set(first) == set(ids)
    assert second[ids[0]] > max(first.values())
    assert rows(database_url, "SELECT terminal_id, login, worker, peer FROM sessions ORDER BY login") == [
        (ids[1], first[ids[1]], "worker 1", "b"),
        (ids[0], second[ids[0]], "worker 2", "c"),
    ]


def test_a_terminal_twice_in_one_login_counts_once(database_url: str) -> None:
    (terminal,) = asked(database_url, lambda it: it.admit(["1"])).values()

    assert set(asked(database_url, lambda it: it.login([terminal.id] * 2, "w", ["a", "b"]))) == {terminal.id}
    assert rows(database_url, "SELECT peer FROM sessions") == [("b",)]
    assert asked(database_url, lambda it: it.login([], "w", [])) == {}


def test_a_late_logout_does_not_end_the_newer_login(database_url: str) -> None:
    (terminal,) = asked(database_url, lambda it: it.admit(["1"])).values()
    old = asked(database_url, lambda it: it.login([terminal.id], "w", ["a"]))
    new = asked(database_url, lambda it: it.login([terminal.id], "w", ["a"]))

    asked(database_url, lambda it: it.logout(old.items()))
    assert rows(database_url, "SELECT login FROM sessions") == [(new[terminal.id],)]

    asked(database_url, lambda it: it.logout(new.items()))
    asked(database_url, lambda it: it.logout([]))
    assert rows(database_url, "SELECT login FROM sessions") == []


def test_every_worker_hears_every_login_however_many(database_url: str) -> None:
    async def listen() -> tuple[dict[int, int], dict[int, int]]:
        speaker, listener = Registry(database_url), Registry(database_url)
        names = [str(number) for number in range(3 * PAIRS_PER_NOTICE + 7)]
        ids = [terminal.id for terminal in (await speaker.admit(names)).values()]
        stream = listener.logins("v")
        before = await speaker.login(ids[:1], "w", ["p"])
        assert dict(await anext(stream)) == before
        expected = await speaker.login(ids, "w", ["p"] * len(ids))
        told: dict[int, int] = {}
        while told != expected:
            told |= dict(await anext(stream))
        await stream.aclose()
        await speaker.close()
        return told, expected

    told, expected = asyncio.run(listen())

    assert told == expected


def test_a_listener_that_lost_its_connection_hears_what_it_missed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.connect.RETRY_S", 0)

    async def listen() -> bool:
        speaker, listener = Registry(database_url), Registry(database_url)
        (terminal,) = (await speaker.admit(["1"])).values()
        first = await speaker.login([terminal.id], "w", ["p"])
        stream = listener.logins("v")
        assert dict(await anext(stream)) == first
        break_connections(database_url, "dubhe logins")
        second = await speaker.login([terminal.id], "w", ["p"])
        while dict(await anext(stream)) != second:
            pass
        await stream.aclose()
        await speaker.close()
        return True

    assert asyncio.run(listen())


def test_a_worker_does_not_hear_its_own_logins(database_url: str) -> None:
    async def listen() -> tuple[dict[int, int], dict[int, int]]:
        speaker, listener = Registry(database_url), Registry(database_url)
        ours, theirs = [terminal.id for terminal in (await speaker.admit(["1", "2"])).values()]
        stream = listener.logins("v")
        await speaker.login([ours], "v", ["p"])
        expected = await speaker.login([theirs], "w", ["p"])
        standing = await anext(stream)
        await speaker.login([ours], "v", ["p"])
        expected |= await speaker.login([theirs], "w", ["p"])
        told = dict(standing) | dict(await anext(stream))
        await stream.aclose()
        await speaker.close()
        return told, expected

    told, expected = asyncio.run(listen())

    assert told == expected


def test_noise_on_the_channel_is_no_login(database_url: str) -> None:
    async def listen() -> list[tuple[int, int]]:
        speaker, listener = Registry(database_url), Registry(database_url)
        (terminal,) = (await speaker.admit(["1"])).values()
        await speaker.login([terminal.id], "w", ["p"])
        stream = listener.logins("v")
        await anext(stream)
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute("NOTIFY dubhe_logins, 'hello'")
            admin.execute("NOTIFY dubhe_logins, ''")
            admin.execute("NOTIFY dubhe_logins, '7:8'")
        pairs = await anext(stream)
        await stream.aclose()
        await speaker.close()
        return pairs

    assert asyncio.run(listen()) == [(7, 8)]


def test_a_registry_without_a_database_says_so() -> None:
    with pytest.raises(StoreUnavailable, match="the database is away"):
        asked("postgresql://nobody@127.0.0.1:1/nothing", lambda it: it.find(["138"]))
