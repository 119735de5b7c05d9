"""Links and sessions: who is where, and that nobody gets another's answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.links import NOBODY, LinkTable, SessionTable
from tracks.terminal import key_of


class Wire:
    """A link that remembers what was written and why it was closed."""

    def __init__(self, host: str = "10.0.0.1") -> None:
        self.host = host
        self.peer = f"{host}:1"
        self.written: list[bytes] = []
        self.closed: list[str] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self, reason: str) -> None:
        self.closed.append(reason)

    def pause(self) -> None: ...

    def resume(self) -> None: ...


def find(sessions: SessionTable, slot: int, name: str) -> int:
    high, low = key_of(name)
    found = sessions.find(np.array([slot]), np.array([high], np.uint64), np.array([low], np.uint64))
    return int(found[0])


@pytest.fixture
def links() -> LinkTable:
    return LinkTable(links_max=1_000)


@pytest.fixture
def sessions(links: LinkTable) -> SessionTable:
    return SessionTable(links)


def test_a_ticket_is_void_once_its_link_closed_even_when_the_slot_lives_again(links: LinkTable) -> None:
    first = links.open(Wire(), 0)
    links.close(first)
    second = links.open(Wire(), 0)

    assert links.slot_of(first) == links.slot_of(second)
    assert links.slots(np.array([first, second])).tolist() == [NOBODY, links.slot_of(second)]


def test_an_address_is_counted_while_it_is_connected_and_forgotten_after(links: LinkTable) -> None:
    tickets = [links.open(Wire("10.0.0.7"), 0) for _ in range(3)]

    assert links.by_address["10.0.0.7"] == 3
    for ticket in tickets:
        links.close(ticket)
    assert "10.0.0.7" not in links.by_address
    assert len(links) == 0


def test_only_the_quiet_links_are_idle(links: LinkTable) -> None:
    quiet, loud = Wire(), Wire()
    links.open(quiet, 0)
    ticket = links.open(loud, 0)
    links.hear(np.array([ticket]), np.array([66]), np.array([5_000_000]))

    assert links.idle(before_us=1_000_000) == [quiet]
    assert links.louder_than(65) == [(loud, 66)]
    assert links.louder_than(0) == []


def test_a_session_is_found_by_its_link_and_its_phone_together(links: LinkTable, sessions: SessionTable) -> None:
    here, there = (links.slot_of(links.open(Wire(), 0)) for _ in range(2))
    sessions.open(here, key_of("13800138000"), terminal_id=1, vehicle_id=9, login=1)

    assert find(sessions, here, "13800138000") != NOBODY
    assert find(sessions, here, "13800138001") == NOBODY
    assert find(sessions, there, "13800138000") == NOBODY


def test_the_newest_login_wins_and_the_old_link_is_left_to_be_closed(links: LinkTable, sessions: SessionTable) -> None:
    old, new = Wire(), Wire()
    old_slot, new_slot = links.slot_of(links.open(old, 0)), links.slot_of(links.open(new, 0))
    assert sessions.open(old_slot, key_of("1"), 1, -1, login=1) is None

    assert sessions.open(new_slot, key_of("1"), 1, -1, login=2) is old
    assert find(sessions, old_slot, "1") == NOBODY
    assert find(sessions, new_slot, "1") != NOBODY
    assert sessions.open(old_slot, key_of("1"), 1, -1, login=1) is None, "an older login that arrives late"
    assert find(sessions, old_slot, "1") == NOBODY


def test_a_login_elsewhere_ends_an_older_session_only(links: LinkTable, sessions: SessionTable) -> None:
    wire = Wire()
    slot = links.slot_of(links.open(wire, 0))
    sessions.open(slot, key_of("1"), 1, -1, login=5)

    assert sessions.supersede(1, login=5) is None
    assert sessions.supersede(1, login=4) is None
    assert sessions.supersede(1, login=6) is wire
    assert sessions.supersede(1, login=7) is None


def test_a_forwarders_link_carries_many_terminals_and_survives_one_leaving(links: LinkTable, sessions: SessionTable) -> None:
    forwarder, own = Wire(), Wire()
    slot, other = links.slot_of(links.open(forwarder, 0)), links.slot_of(links.open(own, 0))
    for number in range(1, 4):
        sessions.open(slot, key_of(str(number)), number, -1, login=number)

    assert sessions.open(other, key_of("1"), 1, -1, login=10) is None, "the forwarder still carries two others"
    assert [find(sessions, slot, name) != NOBODY for name in "123"] == [False, True, True]
    sessions.end_link(slot)
    assert sorted(sessions.ended) == [(1, 1), (2, 2), (3, 3)]
    assert [find(sessions, slot, name) for name in "123"] == [NOBODY] * 3
    assert find(sessions, other, "1") != NOBODY


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(0, 0xFFFF))
def test_serials_down_are_consecutive_per_session_and_wrap(pattern: list[int], begin: int) -> None:
    links = LinkTable(100)
    sessions = SessionTable(links)
    for number in range(5):
        sessions.open(links.slot_of(links.open(Wire(), 0)), key_of(str(number + 1)), number, -1, login=1)
    sessions.serial[:5] = begin
    rows = np.array(pattern, np.int64) - 1  # 0 stands for no session

    got = sessions.next_serials(rows).tolist()

    count = dict.fromkeys(range(5), begin)
    for row, serial in zip(rows.tolist(), got, strict=True):
        if row == NOBODY:
            assert serial == 0
        else:
            assert serial == count[row] & 0xFFFF
            count[row] += 1
