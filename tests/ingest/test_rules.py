from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

import ingest.rules
from dubhe.shapes import import_corridors, import_fences, import_stops
from fix_db import rows
from fix_drives import Drive, grid, stretch
from fix_worker import PATIENCE_S, Raw, play, report, stored, until, worker
from geofence.check import Atlas, begin, check
from geofence.corridors import Assignment, Corridor, CorridorIndex
from geofence.datum import Datum, convert
from storage.enrol import add_terminal
from storage.geometry import Whom, remove_shapes, terminals_of
from storage.partitions import maintain
from storage.retention import forget
from storage.rules import FIX_COLUMNS, Told, fixes_of, tell
from storage.writer import TrackWriter
from tracks.fix import FixBatch

NAME = "13800138000"
LAT, LON = 31.230416, 121.473701
EAST = 1 / 95_300
"""Degrees of longitude in a metre, there."""
WORDS = "SELECT kind, ended_at IS NULL FROM events WHERE withdrawn_at IS NULL ORDER BY started_at"
STEP_S = 10


def square(east_m: float, half_m: float = 200.0, **properties: Any) -> dict[str, Any]:
    lon, half = LON + east_m * EAST, half_m * EAST
    ring = [[lon + x * half, LAT + y * half] for x, y in [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"name": "depot"} | properties}


def road(shift: tuple[float, float] = (0.0, 0.0)) -> dict[str, Any]:
    """Ten kilometres due east, from 2 km west of where the tests begin."""
    line = [[LON + east_m * EAST + shift[0], LAT + shift[1]] for east_m in range(-2_000, 8_001, 500)]
    return {"type": "Feature", "geometry": {"type": "LineString", "coordinates": line}, "properties": {"name": "line"}}


def at(step: int, east_m: float, north_m: float = 0.0) -> bytes:
    """A report so many metres from the middle, so many steps into the drive, at 36 km/h due east."""
    body = report(step * STEP_S, round((LAT + north_m / 111_000) * 1e6), round((LON + east_m * EAST) * 1e6))
    return body[:18] + (360).to_bytes(2, "big") + (90).to_bytes(2, "big") + body[22:]


def through(first: int, steps: int) -> list[bytes]:
    """A drive east at 100 m a step, along the road, from 600 m before the middle."""
    return [at(step, -600 + 100 * step) for step in range(first, first + steps)]


STRAY = [at(step, -600 + 100 * step, 300.0 if 10 <= step < 22 else 0.0) for step in range(40)]
"""Two minutes 300 m beside the road, and back."""


def registered(url: str, name: str = NAME) -> str:
    add_terminal(url, name)
    ((code,),) = rows(url, "SELECT auth_code FROM terminals WHERE name = %s", name)
    return str(code)


async def drive(port: int, code: str, bodies: list[bytes], name: str = NAME) -> Raw:
    terminal = await Raw.connect(port, name)
    assert await terminal.log_in(code) == 0
    for body in bodies:
        assert await terminal.result(0x0200, body) == 0
    return terminal


def test_a_vehicle_that_enters_and_leaves_a_fence_is_one_event_stored_with_its_fixes(database_url: str) -> None:
    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        async with worker(database_url) as (_, port):
            await drive(port, registered(database_url), through(0, 5))
            assert rows(database_url, WORDS) == []
            await drive(port, registered(database_url), through(5, 3))
            assert rows(database_url, WORDS) == [("inside", True)]
            await drive(port, registered(database_url), through(8, 12))
            assert rows(database_url, WORDS) == [("inside", False)]
            assert rows(
                database_url, "SELECT count(*) FROM events e JOIN fixes f USING (terminal_id, digest) WHERE f.time = e.started_at"
            ) == [(1,)]

    play(story())


def test_a_vehicle_between_the_parts_of_its_zone_has_strayed_and_in_either_it_has_not(database_url: str) -> None:
    rings = [square(east_m)["geometry"]["coordinates"] for east_m in (0, 1400)]
    zone = square(0, stay="in") | {"geometry": {"type": "MultiPolygon", "coordinates": rings}}

    async def story() -> None:
        import_fences(database_url, zone, Datum.WGS84)
        async with worker(database_url) as (_, port):
            code = registered(database_url)
            await drive(port, code, [at(step, -150 + 100 * step) for step in range(11)])
            assert rows(database_url, WORDS) == [("outside", True)]
            await drive(port, code, [at(step, -150 + 100 * step) for step in range(11, 18)])
        ((kind, ended, peak),) = rows(database_url, "SELECT kind, ended, peak FROM events")
        assert (kind, ended) == ("outside", "returned")
        assert 440 < peak < 460, "metres to the nearer of the two"

    play(story())


def test_a_vehicle_that_strays_from_its_corridor_and_returns_is_one_event(database_url: str) -> None:
    async def story() -> None:
        import_corridors(database_url, road(), Datum.WGS84)
        async with worker(database_url) as (_, port):
            await drive(port, registered(database_url), STRAY)
            assert rows(database_url, WORDS) == [("deviation", False)]
            ((ended, peak, start),) = rows(database_url, "SELECT ended, peak, started_at::text FROM events")
            assert (ended, start) == ("returned", "2026-11-24 00:01:40+00")
            assert 295 < peak < 305

    play(story())


@pytest.mark.parametrize(("offset_minutes", "told"), [(480, 0), (0, 1)], ids=["Beijing", "Greenwich"])
def test_the_hours_of_a_fence_are_those_of_the_local_time_in_the_settings(database_url: str, offset_minutes: int, told: int) -> None:
    midnight = {"days": list(range(7)), "from": "23:30", "to": "00:30"}

    async def story() -> None:
        import_fences(database_url, square(0, windows=[midnight]), Datum.WGS84)
        async with worker(database_url, utc_offset_minutes=offset_minutes) as (_, port):
            await drive(port, registered(database_url), through(0, 12))  # from 08:00 in Beijing
            assert len(rows(database_url, WORDS)) == told

    play(story())


def test_a_corridor_meant_for_one_terminal_judges_that_one_alone(database_url: str) -> None:
    async def story() -> None:
        codes = {name: registered(database_url, name) for name in (NAME, "13800138001")}
        import_corridors(database_url, road(), Datum.WGS84, Whom(terminals_of(database_url, [NAME])))
        async with worker(database_url) as (_, port):
            for name, code in codes.items():
                await drive(port, code, STRAY, name)
        found = rows(database_url, "SELECT t.name, e.kind FROM events e JOIN terminals t ON t.id = e.terminal_id")
        assert found == [(NAME, "deviation")]

    play(story())


def test_a_report_that_comes_again_adds_nothing(database_url: str) -> None:
    async def story() -> None:
        import_corridors(database_url, road(), Datum.WGS84)
        async with worker(database_url) as (_, port):
            await drive(port, registered(database_url), STRAY)
            before = rows(database_url, "SELECT * FROM events")
            await drive(port, registered(database_url), STRAY[15:] + STRAY[:15])
            assert rows(database_url, "SELECT * FROM events") == before
        async with worker(database_url, "w2") as (_, port):
            await drive(port, registered(database_url), STRAY)
            assert rows(database_url, "SELECT * FROM events") == before

    play(story())


@pytest.mark.parametrize("parting", [8, 12, 20, 23])
@pytest.mark.parametrize("saved", [True, False])
def test_a_restart_in_between_changes_nothing(database_url: str, parting: int, *, saved: bool) -> None:
    """Drained workers save what they remember; killed ones do not, and the stored fixes are judged again."""

    async def story() -> None:
        import_corridors(database_url, road(), Datum.WGS84)
        import_fences(database_url, square(700, 400), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url) as (_, port):
            await drive(port, code, STRAY[:parting])
        if not saved:
            rows(database_url, "DELETE FROM rule_states RETURNING 1")
        async with worker(database_url, "w2") as (_, port):
            await drive(port, code, STRAY[parting:])
        found = rows(database_url, "SELECT id, kind, started_at, opened_at, ended_at, peak, total, evidence FROM events ORDER BY id")
        for table in ("events", "fixes", "rule_states"):
            rows(database_url, f"DELETE FROM {table} RETURNING 1")
        async with worker(database_url, "w3") as (_, port):
            await drive(port, code, STRAY)
        assert found == rows(
            database_url, "SELECT id, kind, started_at, opened_at, ended_at, peak, total, evidence FROM events ORDER BY id"
        )
        assert len(found) == 2

    play(story())


def test_a_terminal_that_goes_from_worker_to_worker_and_back_keeps_its_incident(database_url: str) -> None:
    async def story() -> None:
        import_corridors(database_url, road(), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url, "w1") as (one, first), worker(database_url, "w2") as (other, second):
            await drive(first, code, STRAY[:9])
            await drive(second, code, STRAY[9:16])
            await until(lambda: not one.sessions.of_terminal and not len(one.rules._held))
            await drive(first, code, STRAY[16:24])
            await until(lambda: not other.sessions.of_terminal and not len(other.rules._held))
            await drive(second, code, STRAY[24:])
        assert rows(database_url, "SELECT kind, started_at::text, ended, evidence FROM events") == [
            ("deviation", "2026-11-24 00:01:40+00", "returned", 12)
        ]

    play(story())


def test_late_fixes_withdraw_what_did_not_happen(database_url: str) -> None:
    """Two positions barely inside are an entry, unless one that was clearly outside lay between them."""

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = registered(database_url)
        drive_by = [at(step, -600 + 100 * step, 300.0) for step in range(14)]
        early = [*drive_by[:5], at(5, -100, 225.0), at(7, 100, 225.0), *drive_by[8:]]
        async with worker(database_url) as (_, port):
            await drive(port, code, early)
            assert rows(database_url, "SELECT kind, withdrawn_at IS NULL FROM events") == [("inside", True)]
            await drive(port, code, [drive_by[6]])
        assert rows(database_url, "SELECT kind, withdrawn_at IS NULL FROM events") == [("inside", False)]
        assert len(rows(database_url, "SELECT FROM fixes")) == len(early) + 1

    play(story())


def test_a_stored_shape_that_is_nonsense_leaves_the_others_in_force(database_url: str) -> None:
    """However it came there; it was one stop, and no fence, corridor or stop was judged by any more."""

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        nonsense = '{"type": "Feature", "geometry": {"type": "Point", "coordinates": [121, 31]}, "properties": {"corridor_id": 1e30}}'
        rows(database_url, "INSERT INTO stops (feature) VALUES (%s) RETURNING 1", nonsense)
        async with worker(database_url) as (_, port):
            await drive(port, registered(database_url), through(0, 8))
            assert rows(database_url, WORDS) == [("inside", True)]

    play(story())


def test_a_terminal_that_was_forgotten_for_its_silence_begins_anew(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url) as (_, port):
            await drive(port, code, through(0, 8))
        assert rows(database_url, WORDS) == [("inside", True)]
        later = datetime.now(UTC) + timedelta(days=401)
        maintain(database_url, later)
        report = forget(database_url, tmp_path, later, fixes_days_max=400, events_days_max=1_100, messages_days_max=400, media_days_max=90)
        assert report.states == 1
        assert rows(database_url, "SELECT ended, ended_at = last_at FROM events") == [("gap", True)]
        async with worker(database_url) as (_, port):
            await drive(port, code, [at(60 + step, -600 + 100 * step) for step in range(20)])
        assert rows(database_url, WORDS) == [("inside", False), ("inside", False)]
        assert rows(database_url, "SELECT ended, last_at <= ended_at FROM events ORDER BY started_at") == [
            ("gap", True),
            ("returned", True),
        ]
        assert rows(database_url, "SELECT count(*) FROM rule_states") == [(1,)]

    play(story())


def test_an_alarm_stays_one_when_something_older_comes_after_it(database_url: str) -> None:
    """One report of before came minutes later: the past is judged again, but what had been told at once had been told at once."""
    line = grid((0, 0), (6000, 0))
    atlas = Atlas(corridors=CorridorIndex.of([Corridor(1, line)], [Assignment(1)]))
    bus = Drive(every_s=5, kmh=72)
    for way in (stretch(line, 0, 1500), stretch(line, 1500, 3000, 200), stretch(line, 3000, 5000)):
        bus.along(way)
    fixes, before = bus.fixes(), 5
    fixes.received_us[before] = fixes.time_us[-1] + 300_000_000
    state, told = begin(atlas), []
    for some in (np.delete(np.arange(len(fixes)), before), np.array([before])):
        checked = check(fixes.take(some), atlas, state)
        state.adopt(checked.change)
        told.append(
            Told(
                checked.events.take(checked.events.latest()), np.zeros(1, np.uint32), checked.rewound.terminal_id, checked.rewound.since_us
            )
        )
    assert [[False], [True]] == [each.events.retrospective.tolist() for each in told], "judged again, it is certain only now"

    async def story() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
            for each in told:
                await tell(conn, each)
                assert rows(database_url, "SELECT kind, retrospective, withdrawn_at FROM events") == [("deviation", False, None)]

    play(story())


def test_shapes_come_into_force_and_go_without_a_restart(database_url: str) -> None:
    async def story() -> None:
        code = registered(database_url)
        async with worker(database_url) as (running, port):
            terminal = await drive(port, code, through(0, 2))
            (number,) = import_fences(database_url, square(0), Datum.WGS84).ids
            await until(lambda: running.rules.atlas.value and len(running.rules.atlas.value.fences))
            for body in through(2, 6):
                assert await terminal.result(0x0200, body) == 0
            assert rows(database_url, WORDS) == [("inside", True)]
            remove_shapes(database_url, "fences", [number])
            import_fences(database_url, square(9_000), Datum.WGS84)
            await until(lambda: running.rules.atlas.value and running.rules.atlas.value.fences.id.tolist() == [number + 1])
            assert await terminal.result(0x0200, at(8, 200)) == 0
            await stored(database_url, "SELECT kind, ended FROM events", [("inside", "rule")])

    play(story())


def test_a_fence_that_is_replaced_while_one_is_inside_is_left_where_it_now_ends(database_url: str) -> None:
    async def story() -> None:
        code = registered(database_url)
        (number,) = import_fences(database_url, square(0), Datum.WGS84).ids
        async with worker(database_url) as (running, port):
            terminal = await drive(port, code, through(0, 8))
            ((event,),) = rows(database_url, "SELECT id FROM events WHERE kind = 'inside' AND ended_at IS NULL")
            before = running.rules.atlas.value
            assert import_fences(database_url, square(0, 800, id=number), Datum.WGS84, None, replacing=True).ids == [number]
            await until(lambda: running.rules.atlas.value is not before)
            for body in through(8, 14):
                assert await terminal.result(0x0200, body) == 0
            left = [(event, number, 1_400 // 100 * STEP_S)]
            lasted = "SELECT id, subject, extract(epoch FROM ended_at - (SELECT min(time) FROM fixes))::int FROM events"
            assert rows(database_url, lasted) == left, "at the first report beyond 800 m"

    play(story())


def test_a_fence_for_others_is_not_ours(database_url: str) -> None:
    async def story() -> None:
        code, other = registered(database_url), registered(database_url, "13800138001")
        ((number,),) = rows(database_url, "SELECT id FROM terminals WHERE name = '13800138001'")
        import_fences(database_url, square(0), Datum.WGS84, Whom([number]))
        async with worker(database_url) as (_, port):
            await drive(port, code, through(0, 12))
            await drive(port, other, through(0, 12), "13800138001")
        assert rows(database_url, "SELECT terminal_id, kind FROM events") == [(number, "inside")]

    play(story())


def test_without_shapes_driving_is_judged_all_the_same(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, speed_kmh_max=30) as (_, port):
            await drive(port, registered(database_url), through(0, 6))

    play(story())
    assert rows(database_url, WORDS) == [("overspeed", True)]


def test_when_the_rules_fail_fixes_are_kept_and_the_next_batch_is_judged(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = ingest.rules.check

    def breaks(fixes: FixBatch, *rest: Any) -> Any:
        if len(broken) < 3 and not broken.append(1):
            raise RuntimeError
        return judge(fixes, *rest)

    broken: list[int] = []
    monkeypatch.setattr(ingest.rules, "check", breaks)

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        async with worker(database_url) as (_, port):
            await drive(port, registered(database_url), through(0, 12))

    play(story())
    assert rows(database_url, "SELECT count(*) FROM fixes") == [(12,)]
    assert rows(database_url, WORDS) == [("inside", False)]


def test_a_stored_fix_that_breaks_the_rules_costs_itself_only(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does its terminal stay unjudged for as long as that fix is read again, nor does another that is taken up with it."""
    judge = ingest.rules.check

    def breaks(fixes: FixBatch, *rest: Any) -> Any:
        if (fixes.satellites == 99).any():
            raise RuntimeError
        return judge(fixes, *rest)

    monkeypatch.setattr(ingest.rules, "check", breaks)

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        codes = {name: registered(database_url, name) for name in (NAME, "13800138001")}
        async with worker(database_url, "w1") as (_, port):
            for name, code in codes.items():
                poison = at(3, -300) + bytes([0x31, 1, 99])
                await drive(port, code, [*through(0, 3), poison if name == NAME else at(3, -300), *through(4, 4)], name)
        assert rows(database_url, WORDS) == [("inside", True)] * 2
        assert rows(database_url, "DELETE FROM rule_states RETURNING 1")
        last = rows(database_url, f"SELECT DISTINCT ON (terminal_id) {FIX_COLUMNS} FROM fixes f ORDER BY f.terminal_id, f.time DESC")
        async with worker(database_url, "w2") as (running, _):
            assert await running.rules.judge(fixes_of(last)) is not None
            broken, whole = (running.rules.lasting([terminal_id]).start_us.tolist() for terminal_id in sorted(running.rules.begun_us()))
            assert [start_us - whole[0] for start_us in broken] == [2 * STEP_S * 1_000_000], "it begins where it was taken up"

    play(story())


def test_a_corridor_in_the_wrong_datum_is_taken_with_a_warning(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url) as (_, port):
            await drive(port, registered(database_url), through(0, 60))

    play(story())
    rows(database_url, "UPDATE fixes SET time = now() - (timestamptz '2026-11-25' - time) / 10 RETURNING 1")
    lon, lat = convert(np.array([LON]), np.array([LAT]), Datum.WGS84, Datum.GCJ02)
    drawn = road((float(lon[0]) - LON, float(lat[0]) - LAT))
    (warning,) = import_corridors(database_url, drawn, Datum.WGS84).warnings
    assert "gcj02" in warning
    assert import_corridors(database_url, drawn, Datum.GCJ02).warnings == []


def test_stops_in_the_wrong_datum_are_taken_with_a_warning_once_vehicles_have_stood_at_them(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url) as (_, port):
            await drive(port, registered(database_url), through(0, 60))

    def drawn(datum: Datum) -> dict[str, Any]:
        lon, lat = convert(LON + np.arange(0, 4_000, 500) * EAST, np.full(8, LAT), Datum.WGS84, datum)
        places = [{"type": "Point", "coordinates": [x, y]} for x, y in zip(lon.tolist(), lat.tolist(), strict=True)]
        return {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": at, "properties": {}} for at in places]}

    play(story())
    rows(database_url, "UPDATE fixes SET time = now() - (timestamptz '2026-11-25' - time) / 10 RETURNING 1")
    assert import_stops(database_url, drawn(Datum.GCJ02), Datum.WGS84).warnings == [], "nobody has stood anywhere yet"
    rows(database_url, "UPDATE fixes SET speed_kmh = 0 RETURNING 1")
    (warning,) = import_stops(database_url, drawn(Datum.GCJ02), Datum.WGS84).warnings
    assert "were they drawn on a gcj02 map" in warning
    assert import_stops(database_url, drawn(Datum.GCJ02), Datum.GCJ02).warnings == []


def test_what_cannot_be_read_is_said_by_feature_and_the_rest_is_taken(database_url: str) -> None:
    document = {"type": "FeatureCollection", "features": [square(0), road(), square(900)]}
    taken = import_fences(database_url, document, Datum.WGS84)
    assert len(taken.ids) == 2
    (problem,) = taken.problems
    assert "feature 2 line" in problem


def test_what_a_rule_made_since_finds_in_stored_fixes_is_told(database_url: str) -> None:
    """The fence comes while nobody is there to judge by it; what the vehicle does in it has begun before."""

    async def story() -> None:
        code = registered(database_url)
        async with worker(database_url, "w1") as (_, port):
            await drive(port, code, through(0, 7))
        rows(database_url, "DELETE FROM rule_states RETURNING 1")
        import_fences(database_url, square(0), Datum.WGS84)
        async with worker(database_url, "w2") as (_, port):
            await drive(port, code, through(7, 1))
        assert rows(database_url, "SELECT kind, started_at::text FROM events") == [("inside", "2026-11-24 00:00:50+00")]

    play(story())


def test_what_was_on_its_way_when_a_terminal_changed_worker_counts_there(database_url: str) -> None:
    """The old worker commits three fixes only after the new one has taken the terminal up."""

    async def story() -> None:
        import_corridors(database_url, road(), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url, "w1") as (one, first), worker(database_url, "w2") as (other, second):
            terminal = await drive(first, code, STRAY[:12])
            async with one.writer._line._busy:
                terminal.writer.write(b"".join(terminal.frame(0x0200, body) for body in STRAY[12:15]))
                await until(lambda: one.gather.backlog_bytes and not len(one.gather))
                there = await drive(second, code, STRAY[15:20])
                await until(lambda: not one.sessions.of_terminal)
            await until(lambda: not len(one.rules._held) and not one.rules._strays and not len(other.rules._held))
            for body in STRAY[20:]:
                assert await there.result(0x0200, body) == 0
        assert rows(database_url, "SELECT count(*) FROM fixes") == [(len(STRAY),)]
        assert rows(database_url, "SELECT kind, started_at::text, ended, evidence FROM events") == [
            ("deviation", "2026-11-24 00:01:40+00", "returned", 12)
        ]

    play(story())


def test_a_state_of_another_version_is_begun_anew_and_what_was_open_ends(database_url: str) -> None:
    """As after an upgrade that changed what is remembered, when the fixes that showed it are long past."""

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        code = registered(database_url)
        async with worker(database_url, "w1") as (_, port):
            await drive(port, code, through(0, 7))
        rows(database_url, "UPDATE rule_states SET packed = 'older' RETURNING 1")
        rows(database_url, "UPDATE fixes SET received_at = received_at - interval '1 day' RETURNING 1")
        async with worker(database_url, "w2") as (_, port):
            await drive(port, code, through(20, 3))
        assert rows(database_url, "SELECT kind, ended, ended_at = last_at FROM events") == [("inside", "gap", True)]

    play(story())


def test_making_room_for_a_terminal_never_costs_another_of_its_batch(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Terminals whose links have closed, that are more than are kept, and whose states are saved."""
    monkeypatch.setattr("ingest.rules.FORGOTTEN_AT", 0)
    first, second, third = (Drive(terminal_id=each, time_us=time.time_ns() // 1_000).along(grid((0, 0), (300, 0))) for each in (1, 2, 3))

    async def story() -> None:
        async with worker(database_url) as (running, _), asyncio.timeout(PATIENCE_S):
            rules = running.rules
            rules.settle(await rules.judge(FixBatch.concat([first.fixes(), second.fixes()])))
            await rules._save(1_000)
            rules.settle(await rules.judge(FixBatch.concat([first.along(grid((300, 0), (600, 0))).fixes(), third.fixes()])))
            assert rules.begun_us().keys() == {1, 3}

    play(story())


def test_many_fixes_of_one_terminal_at_once_are_judged_in_portions_as_if_they_came_one_by_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.rules, "PORTION", 7)
    sizes: list[int] = []
    judge = ingest.rules.check

    def counted(fixes: FixBatch, *rest: Any) -> Any:
        sizes.append(len(fixes))
        return judge(fixes, *rest)

    monkeypatch.setattr(ingest.rules, "check", counted)

    async def story() -> None:
        import_corridors(database_url, road(), Datum.WGS84)
        alone, crowd = registered(database_url), registered(database_url, "13800138001")
        async with worker(database_url) as (_, port):
            await drive(port, alone, STRAY)
            sizes.clear()
            terminal = await drive(port, crowd, [], "13800138001")
            shuffled = [STRAY[step] for step in np.random.default_rng(4).permutation(len(STRAY))]
            terminal.writer.write(b"".join(terminal.frame(0x0200, body) for body in shuffled))
            for _ in shuffled:
                assert (await terminal.hear()).body[4] == 0

    play(story())
    assert max(sizes) == 7
    told = "SELECT kind, started_at, ended_at, peak, evidence FROM events WHERE withdrawn_at IS NULL AND terminal_id = %s ORDER BY 1, 2"
    one_by_one, at_once = (rows(database_url, told, each) for (each,) in rows(database_url, "SELECT id FROM terminals ORDER BY name"))
    assert [event[0] for event in one_by_one] == ["deviation"]

    assert one_by_one == at_once


def test_a_batch_judged_on_top_of_one_that_was_not_committed_so_is_judged_again(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batch breaks our writer once, while the second is judged already and waits for its turn."""
    store, broken, waiting = TrackWriter.commit, [], asyncio.Event()
    judge = ingest.rules.Rules.judge

    async def breaks(writer: TrackWriter, fixes: FixBatch, *rest: Any) -> Any:
        if len(fixes) == 5 and not broken:
            broken.append(1)
            await waiting.wait()
            raise RuntimeError
        return await store(writer, fixes, *rest)

    async def told(rules: ingest.rules.Rules, fixes: FixBatch) -> Any:
        judged = await judge(rules, fixes)
        if len(fixes) == 7:
            waiting.set()
        return judged

    monkeypatch.setattr(TrackWriter, "commit", breaks)
    monkeypatch.setattr(ingest.rules.Rules, "judge", told)

    async def story() -> None:
        import_fences(database_url, square(0), Datum.WGS84)
        async with worker(database_url, batch_rows_max=2) as (_, port):
            terminal = await drive(port, registered(database_url), [])
            terminal.writer.write(b"".join(terminal.frame(0x0200, body) for body in through(0, 5)))
            await until(lambda: bool(broken))
            terminal.writer.write(b"".join(terminal.frame(0x0200, body) for body in through(5, 7)))
            assert [(await terminal.hear()).body[4] for _ in range(12)] == [0] * 12
            assert (len(broken), waiting.is_set()) == (1, True)

    play(story())
    assert rows(database_url, "SELECT count(*) FROM fixes") == [(12,)]
    assert rows(database_url, WORDS) == [("inside", False)]
    assert rows(database_url, "SELECT count(*) FROM quarantine") == [(0,)]


def test_a_terminal_of_which_nothing_can_be_judged_has_no_state_to_be_saved(database_url: str) -> None:
    """Its clock has never been set."""

    async def story() -> None:
        async with worker(database_url) as (running, port):
            await drive(port, registered(database_url), [at(0, 0.0)[:22] + bytes.fromhex("000101000000")])
            await running.rules._save(1_000)
            await drive(port, registered(database_url, "13800138001"), [at(0, 0.0)], "13800138001")
            await running.rules._save(1_000)
        assert rows(database_url, "SELECT name FROM rule_states JOIN terminals ON id = terminal_id") == [("13800138001",)]

    play(story())


def test_a_batch_given_up_in_the_middle_of_its_judging_leaves_no_state_behind(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a drain that runs out of time does."""
    monkeypatch.setattr(ingest.rules, "PORTION", 1)
    fixes = Drive(terminal_id=1, time_us=time.time_ns() // 1_000).along(grid((0, 0), (3000, 0))).fixes()

    async def story() -> None:
        async with worker(database_url) as (running, _):
            rules = running.rules
            rules.settle(await rules.judge(fixes.take(np.arange(1))))
            judging = asyncio.ensure_future(rules.judge(fixes.take(np.arange(1, len(fixes)))))
            while not len(rules._in_hand):
                await asyncio.sleep(0)
            judging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await judging
            assert (rules.begun_us(), len(rules._held)) == ({}, 0)

    play(story())
