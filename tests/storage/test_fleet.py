"""The fleet as the worker reads it, and the audit of whoever changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from fix_db import rows
from storage.enrol import add_terminal, add_vehicle, release_terminal
from storage.fleet import Fleet, FleetStore
from tracks.paper import ALWAYS_S, NEVER_S, Paper

YEAR = 365 * 86_400
AT = 1_780_272_000
"""2026-06-01, in the table and here."""
TIMES = {"2025": AT - YEAR, "2026": AT, "2027": AT + YEAR, "2028": AT + YEAR + 366 * 86_400}


def read(url: str) -> Fleet:
    async def story() -> Fleet:
        store = FleetStore(url)
        try:
            return await store.load()
        finally:
            await store.close()

    return asyncio.run(story())


def held(url: str) -> dict[str, list[tuple[int, str, str]]]:
    """Kind of paper → (vehicle, from, until), of those that bindings and onboarding do not make; years stand for their first of June."""
    names = {second: year for year, second in TIMES.items()} | {ALWAYS_S: "-", NEVER_S: "-"}
    found: dict[str, list[tuple[int, str, str]]] = {}
    papers = read(url).papers
    columns = (papers.vehicle_id, papers.paper, papers.from_s, papers.until_s)
    for vehicle, kind, start, stop in sorted(zip(*(column.tolist() for column in columns), strict=True)):
        if kind not in {Paper.TERMINAL, Paper.VETTING} and start < stop:
            found.setdefault(Paper(kind).name.lower(), []).append((vehicle, names[start], names[stop]))
    return found


@pytest.fixture
def url(store_url: str) -> Iterator[str]:
    """With vehicle 1 and line 1, 2, enterprise 1, driver 1."""
    add_vehicle(store_url, "川A12345", "黄")
    rows(store_url, "INSERT INTO lines (name) VALUES ('one'), ('two') RETURNING 1")
    rows(store_url, "INSERT INTO enterprises (name) VALUES ('company') RETURNING 1")
    rows(store_url, "INSERT INTO drivers (name, qualification) VALUES ('driver', '5101') RETURNING 1")
    return store_url


def enter(url: str, table: str, since: str = "", until: str = "", **values: Any) -> None:
    times = {name: f"{year}-06-01T00:00Z" for name, year in (("valid_from", since), ("valid_until", until)) if year}
    row = {"vehicle_id": 1} | times | values
    row = {name: value for name, value in row.items() if value is not None}
    rows(url, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))}) RETURNING 1", *row.values())


def test_papers_of_the_vehicle_are_read_with_their_infinities(url: str) -> None:
    enter(url, "papers", kind="certificate")
    enter(url, "papers", "2025", "2026", kind="review")
    enter(url, "papers", "2026", kind="review")
    enter(url, "papers", "2025", "2028", kind="carrier", superseded_at="2026-01-01")

    assert held(url) == {"certificate": [(1, "-", "-")], "review": [(1, "2025", "2026"), (1, "2026", "-")]}


def test_a_licence_counts_while_the_vehicle_belongs_to_its_enterprise(url: str) -> None:
    enter(url, "papers", "2025", "2027", vehicle_id=None, enterprise_id=1, kind="licence")
    enter(url, "memberships", "2026", "2028", kind="enterprise", party_id=1)

    assert held(url) == {"licence": [(1, "2026", "2027")]}


def test_a_qualification_counts_while_its_driver_drives_the_vehicle(url: str) -> None:
    enter(url, "papers", "2026", vehicle_id=None, driver_id=1, kind="qualification")
    enter(url, "papers", vehicle_id=None, driver_id=1, kind="driving_licence")
    enter(url, "assignments", "2025", "2027", driver_id=1)

    assert held(url) == {"crew": [(1, "2026", "2027")]}


def test_a_status_other_than_operating_bars(url: str) -> None:
    enter(url, "statuses", until="2026", status="operating")
    enter(url, "statuses", "2026", "2027", status="laid_up")

    assert held(url) == {"standstill": [(1, "2026", "2027")]}


@pytest.mark.parametrize(
    ("permitted", "served", "off"),
    [
        ([(1, "2025", "2028")], [(2, "2026", "2027")], [(1, "2026", "2027")]),
        ([(1, "2025", "2028")], [(1, "2026", "2027")], []),
        ([(None, "2025", "2028")], [(2, "2026", "2027")], []),
        ([(1, "2025", "2027")], [(2, "2026", "2028")], [(1, "2026", "2027")]),
        ([(1, "2025", "2028")], [(2, "2025", "2028"), (1, "2026", "2027")], [(1, "2025", "2026"), (1, "2027", "2028")]),
        ([(1, "2025", "2028"), (2, "2026", "2027")], [(2, "2025", "2027")], [(1, "2025", "2026")]),
        ([(1, "2025", "2026")], [(2, "2026", "2027")], []),
        ([], [(2, "2026", "2027")], []),
    ],
)
def test_a_vehicle_is_off_its_permits_while_they_are_for_other_lines_than_it_serves(
    url: str, permitted: list[Any], served: list[Any], off: list[Any]
) -> None:
    for line, since, until in permitted:
        enter(url, "papers", since, until, kind="permit", line_id=line)
    for line, since, until in served:
        enter(url, "memberships", since, until, kind="line", party_id=line)

    assert held(url).get("off_permit", []) == off


def test_what_a_terminal_s_vehicle_may_do_is_a_column(url: str) -> None:
    add_terminal(url, "138", "川A12345", "黄")
    add_terminal(url, "139", "川B00001", "黄")
    add_terminal(url, "140")
    rows(url, "UPDATE vehicles SET class = 'tour', max_kmh = 90 WHERE id = 1 RETURNING 1")
    fleet = read(url)

    assert min(zip(fleet.vehicle_id.tolist(), fleet.coach.tolist(), fleet.max_kmh.tolist(), strict=True)) == (1, True, 90.0)
    assert (fleet.coach.tolist().count(False), fleet.max_kmh.max()) == (1, float("inf"))


def test_bindings_remember_every_vehicle_a_terminal_had(url: str) -> None:
    add_terminal(url, "138", "川A12345", "黄")
    release_terminal(url, "138")
    add_terminal(url, "138", "川B00001", "黄")
    release_terminal(url, "138")
    add_terminal(url, "138", "川A12345", "黄")

    said = "SELECT plate, released_at = 'infinity' FROM bindings JOIN vehicles v ON v.id = vehicle_id ORDER BY bound_at"
    assert rows(url, said) == [("川A12345", False), ("川B00001", False), ("川A12345", True)]
    follows = "SELECT released_at <= lead(bound_at, 1, 'infinity') OVER (PARTITION BY terminal_id ORDER BY bound_at) FROM bindings"
    assert rows(url, follows) == [(True,)] * 3


def test_changes_are_told_and_many_at_once_only_once(url: str) -> None:
    async def story() -> None:
        store = FleetStore(url)
        changes = store.changes()
        async with asyncio.timeout(20):
            await anext(changes)
            before = (await store.load()).version
            for _ in range(20):
                await asyncio.to_thread(enter, url, "papers", kind="review")
            await anext(changes)
            assert (await store.load()).version == before + 20
            coming = asyncio.ensure_future(anext(changes))
            _, waiting = await asyncio.wait([coming], timeout=1.0)
            assert waiting
            await asyncio.to_thread(enter, url, "papers", kind="review")
            await coming
        await changes.aclose()
        await store.close()

    asyncio.run(story())


def test_every_change_is_in_the_audit_with_before_and_after(url: str) -> None:
    enter(url, "papers", kind="review")
    rows(url, "UPDATE papers SET superseded_at = now() RETURNING 1")
    rows(url, "UPDATE papers SET superseded_at = superseded_at RETURNING 1")
    moment = "before ->> 'superseded_at' IS NULL, after ->> 'superseded_at' IS NULL"
    said = f"SELECT action, {moment} FROM audit WHERE subject = 'papers' ORDER BY id"

    assert rows(url, said) == [("insert", True, True), ("update", True, False)]
    assert rows(url, "SELECT DISTINCT vehicle_id FROM audit WHERE subject IN ('papers', 'vehicles', 'onboarding')") == [(1,)]


def test_the_audit_names_who_acts_and_no_secrets(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("SELECT set_config('dubhe.by', '李四', true)")
        conn.execute("INSERT INTO lines (name) VALUES ('three')")
    add_terminal(url, "138")

    assert rows(url, "SELECT by FROM audit WHERE subject = 'lines' ORDER BY id DESC LIMIT 1") == [("李四",)]
    assert rows(url, "SELECT by, after ? 'auth_code' FROM audit WHERE subject = 'terminals'") == [("dubhe enrol", False)]


@pytest.mark.parametrize("wish", ["UPDATE audit SET by = 'nobody'", "DELETE FROM audit", "TRUNCATE audit", "DELETE FROM onboarding"])
def test_what_has_happened_cannot_be_changed(url: str, wish: str) -> None:
    with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        conn.execute(wish)
