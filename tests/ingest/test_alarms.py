"""The terminal's own alarms through the gateway: what terminal and platform both find is one incident; and what is counted."""

from __future__ import annotations

from typing import Any

import pytest

from dubhe.shapes import import_corridors, import_fences
from fix_db import rows
from fix_worker import play, worker
from geofence.datum import Datum
from ingest import metrics
from test_rules import STRAY, drive, registered, road, square, through

BIT_OF = "SELECT subject FROM events WHERE kind = 'terminal_alarm'"
PAIRS = """
SELECT a.kind, a.subject, b.kind FROM events a JOIN events b ON a.same_as = b.id AND a.terminal_id = b.terminal_id
"""


def raised(bodies: list[bytes], bit: int, where: range) -> list[bytes]:
    """The reports, with an alarm bit set in some of them."""
    word = (1 << bit).to_bytes(4, "big")
    return [word + body[4:] if number in where else body for number, body in enumerate(bodies)]


@pytest.mark.parametrize(
    ("bit", "where", "bodies", "kind", "settings"),
    [
        (23, range(11, 20), STRAY, "deviation", {}),
        (21, range(11, 12), STRAY, "deviation", {}),
        (20, range(5, 6), through(0, 14), "inside", {}),
        (20, range(10, 11), through(0, 14), "inside", {}),
        (1, range(2, 18), through(0, 20), "overspeed", {"speed_kmh_max": 30}),
        (2, range(70, 88), through(0, 90), "fatigue", {"driving_day_minutes_max": 10}),
        (18, range(70, 88), through(0, 90), "day_driving", {"driving_24h_minutes_max": 10}),
    ],
)
def test_what_terminal_and_platform_both_find_is_one_incident(
    database_url: str, bit: int, where: range, bodies: list[bytes], *, kind: str, settings: dict[str, Any]
) -> None:
    async def story() -> None:
        import_corridors(database_url, road(), Datum.WGS84)
        import_fences(database_url, square(0), Datum.WGS84)
        async with worker(database_url, **settings) as (_, port):
            await drive(port, registered(database_url), raised(bodies, bit, where))

    play(story())
    assert rows(database_url, BIT_OF) == [(bit,)]
    ((one, subject, other),) = rows(database_url, PAIRS)
    assert {one, other} == {"terminal_alarm", kind}
    assert subject == (bit if one == "terminal_alarm" else subject)


def test_a_way_in_that_only_the_terminal_knows_is_its_own_while_a_fence_of_ours_lasts(database_url: str) -> None:
    async def story() -> None:
        import_fences(database_url, square(2_000, 2_300), Datum.WGS84)
        async with worker(database_url) as (_, port):
            await drive(port, registered(database_url), raised(through(0, 40), 20, range(25, 26)))

    play(story())
    assert rows(database_url, "SELECT kind FROM events ORDER BY kind") == [("inside",), ("terminal_alarm",)]
    assert rows(database_url, PAIRS) == []


def test_what_is_told_is_counted_by_its_word(database_url: str) -> None:
    def counted(word: str) -> float:
        return float(metrics.EVENTS.labels(word)._value.get())

    before = counted("entered"), counted("left")

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        async with worker(database_url) as (running, port):
            await drive(port, registered(database_url), through(0, 14))
            running._publish()

    play(story())
    assert (counted("entered"), counted("left")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("saved", [True, False])
def test_an_alarm_whose_end_another_worker_hears_is_one_incident(database_url: str, *, saved: bool) -> None:
    """What items say has no columns: after a crash it is read again of the stored reports."""

    def dsm(flag: int) -> bytes:
        return bytes([0x65, 47, 0, 0, 0, 9, flag, 2]) + bytes(41)

    bodies = through(0, 12)
    bodies[2] += dsm(1)
    bodies[9] += dsm(2)

    async def story() -> None:
        code = registered(database_url)
        async with worker(database_url, "w1") as (_, port):
            await drive(port, code, bodies[:6])
        if not saved:
            rows(database_url, "DELETE FROM rule_states RETURNING 1")
        async with worker(database_url, "w2") as (_, port):
            await drive(port, code, bodies[6:])

    play(story())
    assert rows(database_url, "SELECT kind, subject, extract(epoch FROM ended_at - started_at)::int, ended FROM events") == [
        ("terminal_alarm", 41, 70, "returned")
    ]
