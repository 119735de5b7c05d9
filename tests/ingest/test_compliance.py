"""Who may run, through the gateway: verdicts beside events, running without papers, and what the registry corrects afterwards."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from compliance.vehicles import Reason
from dubhe.shapes import import_fences
from fix_db import rows
from fix_worker import play, stored, until, worker
from geofence.datum import Datum
from ingest.worker import Worker
from storage.enrol import add_terminal
from test_rules import drive, square, through

NAME = "13800138000"
ASKED: dict[str, Any] = {
    "compliance_requires": "not_vetted, suspended, annual_review_missing, annual_review_overdue",
    "offline_minutes_max": 525_600,
}
VERDICTS = "SELECT kind, reasons, record_only FROM events WHERE withdrawn_at IS NULL ORDER BY kind"


FACTS = """
SELECT id, kind, started_at, opened_at, ended_at, reasons,
    CASE WHEN ended_at IS NOT NULL THEN (peak, round(total::numeric, 3), evidence)::text END
FROM events WHERE withdrawn_at IS NULL ORDER BY id
"""
"""What is told of incidents; of those that last, what will not change."""


def in_a_vehicle(url: str, state: str = "active", reviewed_until: str = "infinity", name: str = NAME) -> str:
    """A terminal in an approved vehicle; its code."""
    add_terminal(url, name, "沪A" + name[-5:], "黄")
    rows(
        url,
        "INSERT INTO onboarding (vehicle_id, at, action, state, by) SELECT id, '2020-01-01', '', %s, '' FROM vehicles RETURNING 1",
        state,
    )
    rows(url, "INSERT INTO papers (kind, vehicle_id, valid_until) SELECT 'review', id, %s FROM vehicles RETURNING 1", reviewed_until)
    ((code,),) = rows(url, "SELECT auth_code FROM terminals WHERE name = %s", name)
    return str(code)


def version(running: Worker) -> int:
    """Of the registry that the rules judge by."""
    regime = running.rules.regime.value
    return regime.version if regime else 0


def review(url: str, until: str) -> None:
    """The review has held until then after all."""
    rows(url, "UPDATE papers SET superseded_at = now() RETURNING 1")
    rows(url, "INSERT INTO papers (kind, vehicle_id, valid_until) SELECT 'review', id, %s FROM vehicles RETURNING 1", until)


@pytest.mark.parametrize(
    ("state", "reviewed_until", "reasons"),
    [("active", "infinity", 0), ("active", "2026-11-20", Reason.ANNUAL_REVIEW_OVERDUE), ("suspended", "infinity", Reason.SUSPENDED)],
)
def test_what_happens_to_a_vehicle_that_may_not_run_is_for_the_record(
    database_url: str, state: str, reviewed_until: str, reasons: int
) -> None:
    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        async with worker(database_url, **ASKED) as (_, port):
            await drive(port, in_a_vehicle(database_url, state, reviewed_until), through(0, 12))

    play(story())
    running: list[Any] = [("non_compliant_running", reasons, False)] if reasons else []
    assert rows(database_url, VERDICTS) == [("inside", reasons, bool(reasons)), *running]
    assert rows(database_url, "SELECT count(*) FROM fixes") == [(12,)]


def test_a_terminal_that_nobody_has_bound_has_no_verdict(database_url: str) -> None:
    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        add_terminal(database_url, NAME)
        ((code,),) = rows(database_url, "SELECT auth_code FROM terminals")
        async with worker(database_url) as (_, port):
            await drive(port, code, through(0, 12))

    play(story())
    assert rows(database_url, VERDICTS) == [("inside", 0, False)]


def test_a_change_of_the_registry_holds_from_the_next_fix_on(database_url: str) -> None:
    async def story() -> None:
        code = in_a_vehicle(database_url, reviewed_until="2026-11-20")
        async with worker(database_url, **ASKED) as (running, port):
            terminal = await drive(port, code, through(0, 8))
            assert rows(database_url, VERDICTS) == [("non_compliant_running", Reason.ANNUAL_REVIEW_OVERDUE, False)]
            before = version(running)
            review(database_url, "2027-11-20")
            await until(lambda: version(running) > before)
            for body in through(8, 2):
                assert await terminal.result(0x0200, body) == 0
        assert rows(database_url, VERDICTS) == [], "it was compliant after all, so this did not happen"
        assert rows(database_url, "SELECT ended FROM events") == [("returned",)]

    play(story())


def test_a_correction_after_the_fact_mends_the_events_of_the_past(database_url: str) -> None:
    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = in_a_vehicle(database_url)
        async with worker(database_url, **ASKED) as (running, port):
            await drive(port, code, through(0, 14))
            assert rows(database_url, VERDICTS) == [("inside", 0, False)]
            before = version(running)
            review(database_url, "2026-11-20")
            await until(lambda: version(running) > before)
            await running.sweeper.sweep()
            await stored(database_url, VERDICTS, [("inside", Reason.ANNUAL_REVIEW_OVERDUE, True)])

    play(story())


def test_a_vehicles_own_speed_limit_holds_without_a_restart(database_url: str) -> None:
    async def story() -> None:
        code = in_a_vehicle(database_url)
        async with worker(database_url, **ASKED) as (running, port):
            terminal = await drive(port, code, through(0, 5))
            before = version(running)
            rows(database_url, "UPDATE vehicles SET max_kmh = 30 RETURNING 1")
            await until(lambda: version(running) > before)
            for body in through(5, 5):
                assert await terminal.result(0x0200, body) == 0

    play(story())
    assert rows(database_url, "SELECT kind, started_at::text FROM events") == [("overspeed", "2026-11-24 00:00:50+00")]


def test_how_batches_and_workers_come_changes_nothing(database_url: str) -> None:
    """One at a time, all at once, out of order, and from worker to worker: the same events with the same verdicts."""
    bodies = through(0, 24)

    def found() -> str:
        told = rows(database_url, FACTS)
        for table in ("events", "fixes", "rule_states"):
            rows(database_url, f"DELETE FROM {table} RETURNING 1")
        return json.dumps(told, default=str)

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = in_a_vehicle(database_url, reviewed_until="2026-11-24 00:01:00+00")
        asked = ASKED | {"speed_kmh_max": 30}
        async with worker(database_url, **asked) as (_, port):
            await drive(port, code, bodies)
        alone = found()
        assert "non_compliant_running" in alone
        async with worker(database_url, "w2", batch_age_ms_max=200, **asked) as (_, port):
            terminal = await drive(port, code, [])
            terminal.writer.write(b"".join(terminal.frame(0x0200, body) for body in bodies))
            for _ in bodies:
                await terminal.hear()
        assert found() == alone
        late = [bodies[nth] for nth in np.argsort(np.arange(len(bodies)) + np.random.default_rng(7).integers(0, 11, len(bodies)))]
        async with worker(database_url, "w3", **asked) as (_, port):
            await drive(port, code, late)
        assert found() == alone
        for number, first in enumerate(range(0, len(bodies), 5)):
            async with worker(database_url, f"x{number}", **asked) as (_, port):
                await drive(port, code, bodies[first : first + 5])
            if number == 2:
                rows(database_url, "DELETE FROM rule_states RETURNING 1")  # as if that worker had been killed
        assert found() == alone

    play(story())


def test_what_a_terminal_has_kept_belongs_to_the_vehicle_that_it_was_in_then(database_url: str) -> None:
    """Moved at noon, it sends the morning's reports from the other vehicle."""

    async def story() -> None:
        code = in_a_vehicle(database_url)
        rows(database_url, "INSERT INTO vehicles (plate, plate_colour) VALUES ('沪A99999', 2) RETURNING 1")
        rows(database_url, "UPDATE bindings SET bound_at = '2026-11-01' RETURNING 1")
        rows(database_url, "UPDATE terminals SET vehicle_id = (SELECT max(id) FROM vehicles) RETURNING 1")
        rows(database_url, "UPDATE bindings SET released_at = '2026-11-24 00:01:00+00' WHERE bound_at = '2026-11-01' RETURNING 1")
        async with worker(database_url) as (_, port):
            await drive(port, code, through(3, 6))  # half a minute into the drive until a minute and a half

    play(story())
    early = "min(time) < '2026-11-24 00:01:00+00'"
    told = f"SELECT plate, count(*), {early} FROM fixes JOIN vehicles v ON v.id = vehicle_id GROUP BY 1 ORDER BY 1"
    assert rows(database_url, told) == [("沪A" + NAME[-5:], 3, True), ("沪A99999", 3, False)]
