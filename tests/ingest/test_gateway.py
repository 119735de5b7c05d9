"""What a terminal meets at the gateway: a real worker, a real database, frames over a real socket."""

from __future__ import annotations

import asyncio
import csv
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dubhe.export import write_track
from firmware_sim.recordings import read_csv
from fix_db import rows
from fix_terminals import until
from fix_worker import Raw, batch, play, report, worker
from geofence.quality import Quality
from ingest.conversation import Lockout
from ingest.gather import Gathered
from ingest.pipeline import Pipeline
from ingest.reading import Reader
from protocols.jt808 import messages
from protocols.jt808.frames import frame_of
from protocols.jt808.header import V2013, V2019
from storage.enrol import add_terminal
from storage.writer import TrackWriter
from tracks.fix import FixBatch

NAME, CODE = "13800138000", "SELECT auth_code FROM terminals WHERE name = '13800138000'"


def registration(plate: str = "沪A12345", edition: int = V2013) -> bytes:
    fields = {
        "province": 31,
        "city": 100,
        "maker": "DUBHE",
        "model": "T1",
        "terminal_id": "0000001",
        "plate_colour": 2 if plate else 0,
        "plate": plate,
    }
    return messages.build(0x0100, edition, fields)


def test_a_report_is_in_the_table_when_its_answer_comes(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)

            assert await raw.result(0x0200, report()) == 0
            stored = rows(database_url, "SELECT time, lat, lon, altitude_m, speed_kmh, course_deg, valid, source, raw FROM fixes")
            assert stored == [
                (datetime(2026, 11, 24, 0, 0, tzinfo=UTC), 31.230416, 121.473701, 12.0, pytest.approx(45.6), 87.0, True, "jt808", report())
            ]

    play(story())


def test_a_report_sent_again_is_answered_ok_and_stored_once_also_inside_a_batch(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)
            frame = raw.frame(0x0200, report())
            raw.writer.write(frame + frame)

            assert [(await raw.hear()).body[4] for _ in range(2)] == [0, 0]
            assert await raw.result(0x0704, batch(report(), report(1))) == 0
            assert await raw.result(0x0200, report(1)) == 0
            kept = rows(database_url, "SELECT raw, backfill FROM fixes ORDER BY time")
            assert kept == [(report(), False), (report(1), True)]

    play(story())


def test_two_different_reports_of_one_second_are_two_rows(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)

            assert await raw.result(0x0704, batch(report(lat=31_000_000), report(lat=31_000_001))) == 0
            assert rows(database_url, "SELECT count(*) FROM fixes") == [(2,)]

    play(story())


def test_one_bad_report_in_a_batch_spoils_neither_the_others_nor_the_answer(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)

            assert await raw.result(0x0704, batch(report(), b"short", report(1))) == 0
            assert rows(database_url, "SELECT count(*) FROM fixes") == [(2,)]
            refused = rows(database_url, "SELECT reason, t.name FROM quarantine JOIN terminals t ON t.id = terminal_id")
            assert refused == [("truncated", NAME)]
            assert await raw.result(0x0200, b"short") == 2

    play(story())


@pytest.mark.parametrize("edition", [V2013, V2019])
def test_a_known_terminal_registers_authenticates_and_reports(database_url: str, edition: int) -> None:
    add_terminal(database_url, NAME, "沪A12345", "2")

    async def story() -> None:
        async with worker(database_url) as (_, port):
            raw = await Raw.connect(port, NAME, edition)
            answer = await raw.ask(0x0100, registration(edition=edition))
            said = messages.parse(0x8100, edition, answer.body)
            assert said["result"] == 0
            login = {"auth_code": said["auth_code"], "imei": "860000000000000", "software": "1"}
            assert await raw.result(0x0102, messages.build(0x0102, edition, login)) == 0
            assert await raw.result(0x0200, report()) == 0
            stored = rows(database_url, "SELECT v.plate FROM fixes f JOIN vehicles v ON v.id = f.vehicle_id")
            assert stored == [("沪A12345",)]

    play(story())


@pytest.mark.parametrize(
    ("known", "plate", "result"),
    [
        ([(NAME, "沪A12345")], "沪A12345", 0),
        ([(NAME, ""), ("1", "沪A12345")], "沪A12345", 1),
        ([(NAME, "")], "沪A12345", 2),
        ([(NAME, "沪A12345"), ("1", "沪A99999"), ("1", None)], "沪A99999", 3),
        ([], "沪A12345", 4),
    ],
    ids=["ok", "vehicle taken", "no such vehicle", "terminal taken", "no such terminal"],
)
def test_registration_knows_all_five_answers(database_url: str, known: list[tuple[str, str | None]], plate: str, result: int) -> None:
    for name, its_plate in known:
        if its_plate is None:
            rows(database_url, "UPDATE terminals SET vehicle_id = NULL WHERE name = %s RETURNING id", name)
        else:
            add_terminal(database_url, name, its_plate, "2" if its_plate else "")

    async def story() -> None:
        async with worker(database_url) as (_, port):
            answer = await (await Raw.connect(port)).ask(0x0100, registration(plate))

            assert messages.parse(0x8100, V2013, answer.body)["result"] == result

    play(story())


def test_who_has_not_authenticated_is_refused_and_its_report_kept_as_evidence(database_url: str) -> None:
    add_terminal(database_url, NAME)

    async def story() -> None:
        async with worker(database_url) as (_, port):
            raw = await Raw.connect(port)

            assert await raw.result(0x0200, report()) == 1
            assert await raw.result(0x0002) == 1
            assert rows(database_url, "SELECT count(*) FROM fixes") == [(0,)]
            reasons = rows(database_url, "SELECT reason, message_id FROM quarantine ORDER BY id")
            assert reasons == [("not_authenticated", 0x0200), ("not_authenticated", 0x0002)]

    play(story())


def test_after_too_many_wrong_codes_even_the_right_one_is_refused(database_url: str) -> None:
    add_terminal(database_url, NAME)
    [(code,)] = rows(database_url, CODE)

    async def story() -> None:
        async with worker(database_url, login_failures_max=3) as (_, port):
            raw = await Raw.connect(port)

            assert [await raw.log_in("wrong") for _ in range(3)] == [1, 1, 1]
            assert await raw.log_in(code) == 1

    play(story())


def test_a_lock_out_ends_and_concerns_one_address_only() -> None:
    lockout = Lockout(failures_max=2, lockout_us=1_000)
    for _ in range(2):
        lockout.wrong("1", "evil", 0)

    assert lockout.locked("1", "evil", 999)
    assert not lockout.locked("1", "bus", 999)
    assert not lockout.locked("1", "evil", 1_000)
    assert not lockout.locked("1", "evil", 0), "the count starts anew"


def test_the_code_of_a_terminal_outlives_the_gateway(database_url: str) -> None:
    add_terminal(database_url, NAME)

    async def story() -> None:
        codes = []
        for _ in range(2):
            async with worker(database_url) as (_, port):
                raw = await Raw.connect(port)
                answer = await raw.ask(0x0100, registration(""))
                codes.append(messages.parse(0x8100, V2013, answer.body)["auth_code"])
        async with worker(database_url) as (_, port):
            assert await (await Raw.connect(port)).log_in(codes[0]) == 0

        assert codes[0] == codes[1] != ""

    play(story())


def test_the_newest_login_wins_and_the_older_link_is_closed(database_url: str) -> None:
    add_terminal(database_url, NAME)
    [(code,)] = rows(database_url, CODE)

    async def story() -> None:
        async with worker(database_url) as (_, port):
            old, new = await Raw.connect(port), await Raw.connect(port)
            assert await old.log_in(code) == 0
            assert await new.log_in(code) == 0

            assert await old.closed()
            assert await new.result(0x0200, report()) == 0

    play(story())


def test_the_newest_login_wins_across_workers(database_url: str) -> None:
    add_terminal(database_url, NAME)
    [(code,)] = rows(database_url, CODE)

    async def story() -> None:
        async with worker(database_url, "w1") as (_, first), worker(database_url, "w2") as (_, second):
            old, new = await Raw.connect(first), await Raw.connect(second)
            assert await old.log_in(code) == 0
            assert await new.log_in(code) == 0

            assert await old.closed()
            assert await new.result(0x0200, report()) == 0
            assert rows(database_url, "SELECT worker FROM sessions") == [("w2",)]

    play(story())


def test_a_second_terminal_on_a_link_is_refused_unless_forwarders_are_allowed(database_url: str) -> None:
    async def story(many: int, result: int) -> None:
        async with worker(database_url, admission="lenient", terminals_per_link_max=many) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0200, report(), name="1") == 0

            assert await raw.result(0x0200, report(), name="2") == result
            assert await raw.result(0x0200, report(1), name="1") == 0

    play(story(1, 1))
    play(story(2, 0))


def test_an_unsupported_message_is_answered_so_and_its_bytes_are_kept(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)

            assert await raw.result(0x0F42, b"\x01\x02\x7e") == 3
            [(reason, message_id, kept)] = rows(database_url, "SELECT reason, message_id, raw FROM quarantine")
            assert (reason, message_id, frame_of(kept).body) == ("unsupported", 0x0F42, b"\x01\x02\x7e")

    play(story())


def test_a_frame_cut_anywhere_is_answered_once(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)
            raw.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            whole = raw.frame(0x0002)
            for cut in range(1, len(whole)):
                raw.writer.write(whole[:cut])
                await raw.writer.drain()
                await asyncio.sleep(0)
                raw.writer.write(whole[cut:])

                assert (await raw.hear()).body[4] == 0

    play(story())


def test_a_broken_frame_meets_silence_and_harms_neither_its_neighbours_nor_the_link(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)
            broken = bytearray(raw.frame(0x0200, report()))
            broken[20] ^= 1
            raw.writer.write(b"GET / HTTP/1.1\r\n\r\n" + bytes(broken) + raw.frame(0x0200, report(1)))

            assert (await raw.hear()).body[:5] == bytes.fromhex("0002020000")
            assert await raw.silent()
            assert await raw.result(0x0200, report(2)) == 0
            refused = rows(database_url, "SELECT reason, raw FROM quarantine ORDER BY raw DESC")
            assert refused == [("checksum", b"GET / HTTP/1.1\r\n\r\n"), ("checksum", bytes(broken[1:-1]))]

    play(story())


def test_bytes_without_end_close_the_link(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, frame_bytes_max=64) as (running, port):
            raw = await Raw.connect(port)
            raw.writer.write(b"\x7e" + b"a" * 200)

            assert await raw.closed()
            assert running.porter.closed == {"oversize": 1}

    play(story())


def test_a_link_that_says_nothing_is_closed_and_its_terminal_logged_out(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (running, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            running.links.heard_us[:] = 0

            assert await raw.closed()
            assert len(running.links) == len(running.sessions) == 0

    play(story())


def test_caps_on_connections_hold(database_url: str) -> None:
    async def story(**caps: int) -> str:
        async with worker(database_url, **caps) as (running, port):
            first, second = await Raw.connect(port), await Raw.connect(port)
            assert await second.closed()
            assert not first.reader.at_eof()
            return next(iter(running.porter.refused))

    async def stories() -> None:
        for cap in ("links_max", "links_per_address_max", "connects_per_second_max"):
            assert await story(**{cap: 1}) == cap

    play(stories())


def test_a_log_out_is_answered_before_the_link_closes(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (running, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0

            assert await raw.result(0x0003) == 0
            assert await raw.closed()
            assert running.sessions.of_terminal == {}

    play(story())


def test_a_terminal_that_has_logged_out_is_not_online_in_the_registry(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            [(login,)] = rows(database_url, "SELECT login FROM sessions")
            assert await raw.result(0x0003) == 0

            await until(lambda: not rows(database_url, "SELECT FROM sessions WHERE login = %s", login))

    play(story())


def test_the_server_tells_its_time_in_utc(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port, NAME, V2019)
            answer = await raw.ask(0x0004)

            told = messages.parse(0x8004, V2019, answer.body)["time"]
            assert abs((told.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()) < 60

    play(story())


def test_answers_of_one_link_come_in_the_order_of_its_frames_and_number_themselves(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            raw.writer.write(b"".join(raw.frame(0x0200, report(second)) for second in range(50)))
            answers = [await raw.hear() for _ in range(50)]

            assert [int.from_bytes(each.body[:2], "big") for each in answers] == list(range(2, 52))
            assert [each.serial for each in answers] == list(range(1, 51))

    play(story())


def test_a_terminal_over_udp_is_served_alike(database_url: str) -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        async with worker(database_url, admission="lenient", udp_listen=f"127.0.0.1:{port}"):
            loop = asyncio.get_running_loop()
            heard: asyncio.Queue[bytes] = asyncio.Queue()

            class Peer(asyncio.DatagramProtocol):
                def datagram_received(self, data: bytes, addr: Any) -> None:
                    del addr
                    heard.put_nowait(data)

            transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", port))
            transport.sendto(messages.encode(0x0200, NAME, 7, report(), V2013))

            assert frame_of(await asyncio.wait_for(heard.get(), 10)).body == bytes.fromhex("0007020000")
            assert rows(database_url, "SELECT count(*) FROM fixes") == [(1,)]
            transport.close()

    play(story())


def test_a_packet_that_breaks_the_pipeline_costs_itself_only(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ingest import reading  # noqa: PLC0415

    good_split = reading.split

    def split(buffer: Any, stop: Any) -> Any:
        if b"\xab\xcd\xef" in buffer.tobytes():
            raise ZeroDivisionError
        return good_split(buffer, stop)

    monkeypatch.setattr(reading, "split", split)

    async def story() -> None:
        async with worker(database_url, admission="lenient", batch_age_ms_max=50) as (_, port):
            poison, good = await Raw.connect(port, "1"), await Raw.connect(port, "2")
            poison.writer.write(poison.frame(0x0F00, b"\xab\xcd\xef"))

            assert await good.result(0x0200, report()) == 0
            assert await poison.silent()
            assert await poison.result(0x0200, report()) == 0
            assert rows(database_url, "SELECT reason FROM quarantine") == [("unstorable",)]

    play(story())


@pytest.mark.parametrize("singly", [False, True])
def test_many_terminals_that_speak_at_once_are_each_answered_once(database_url: str, *, singly: bool) -> None:
    """Read and written together, or each for itself where the system offers nothing else."""
    names = [f"138001{number:05}" for number in range(50)]

    async def story() -> None:
        async with worker(database_url, admission="lenient", singly=singly) as (running, port):
            assert (running.aio is None) == singly
            terminals = [await Raw.connect(port, name) for name in names]
            for second in range(4):
                frames = [raw.frame(0x0200, report(second)) for raw in terminals]
                for raw, frame in zip(terminals, frames, strict=True):
                    raw.writer.write(frame if second % 2 else frame[:20])
                await asyncio.sleep(0.01)
                for raw, frame in zip(terminals, frames, strict=True):
                    raw.writer.write(b"" if second % 2 else frame[20:])
                answers = [await raw.hear() for raw in terminals]
                assert [answer.body[4] for answer in answers] == [0] * 50
                assert [answer.phone[-11:] for answer in answers] == names
            assert rows(database_url, "SELECT count(*), count(DISTINCT terminal_id) FROM fixes") == [(200, 50)]

    play(story())


def test_who_hangs_up_while_its_last_report_is_being_answered_is_offline_though_nobody_speaks_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, kept, go = Pipeline.answer, asyncio.Event(), asyncio.Event()

    async def waits(pipeline: Pipeline, *given: Any) -> None:
        kept.set()
        await go.wait()
        await answer(pipeline, *given)

    monkeypatch.setattr(Pipeline, "answer", waits)

    async def story() -> None:
        async with worker(database_url, admission="lenient") as (running, port):
            raw = await Raw.connect(port, "13800200001")
            raw.writer.write(raw.frame(0x0200, report()))
            await kept.wait()
            raw.writer.close()
            await until(lambda: all(link._ticket < 0 for link in running.links.open_links()))
            go.set()
            await until(lambda: rows(database_url, "SELECT FROM sessions") == [])

    play(story())


def test_no_stranger_hears_the_answers_of_those_who_hung_up_before_the_commit(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their descriptors are the strangers' by then."""
    commit, sent, go = TrackWriter.commit, asyncio.Event(), asyncio.Event()

    async def waits(writer: TrackWriter, fixes: FixBatch, *rest: Any) -> Any:
        if len(fixes):
            sent.set()
            await go.wait()
        return await commit(writer, fixes, *rest)

    monkeypatch.setattr(TrackWriter, "commit", waits)

    async def story() -> None:
        async with worker(database_url, admission="lenient", batch_age_ms_max=300) as (running, port):
            gone = [await Raw.connect(port, f"138002{number:05}") for number in range(40)]
            for raw in gone:
                raw.writer.write(raw.frame(0x0200, report()))
            await sent.wait()
            for raw in gone:
                raw.writer.write(raw.frame(0x0200, report(1)))  # with it their links are kept in mind for one batch more
            await until(lambda: len(running.gather) >= 40)
            for raw in gone:
                raw.writer.close()
            await until(lambda: sum(running.porter.closed.values()) == 40)
            strangers = [await Raw.connect(port, f"138003{number:05}") for number in range(40)]
            await until(lambda: len(running.links) == 80)
            go.set()
            for raw in strangers:
                raw.writer.write(raw.frame(0x0200, report()))
            answers = [await raw.hear() for raw in strangers]
            assert [answer.phone[-11:] for answer in answers] == [raw.name for raw in strangers]
            assert rows(database_url, "SELECT count(*) FROM fixes") == [(120,)]

    play(story())


def test_a_drain_answers_what_was_received_and_takes_nothing_more(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", batch_age_ms_max=200) as (running, port):
            raw = await Raw.connect(port)
            raw.writer.write(raw.frame(0x0200, report()))
            while not len(running.gather):
                await asyncio.sleep(0.001)
            await asyncio.wait_for(running.drain(), 10)

            assert (await raw.hear()).body[4] == 0
            assert await raw.closed()
            assert rows(database_url, "SELECT count(*) FROM fixes") == [(1,)]
            with pytest.raises(ConnectionError):
                await Raw.connect(port)

    play(story())


def test_the_commit_of_a_batch_begins_before_the_next_is_read(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the database would wait while one is read and judged, instead of working at the same time."""
    names, done = [f"1380013800{number}" for number in range(6)], list[str]()
    read, commit = Reader.read, TrackWriter.commit

    async def reads(reader: Reader, gathered: Gathered) -> Any:
        done.append("read")
        return await read(reader, gathered)

    async def commits(writer: TrackWriter, *rows_of_it: Any) -> Any:
        done.append("commit")
        return await commit(writer, *rows_of_it)

    async def story() -> None:
        async with worker(database_url, admission="lenient", batch_rows_max=1) as (running, port):
            terminals = [await Raw.connect(port, name) for name in names]
            for terminal in terminals:
                assert await terminal.log_in("any") == 0
            monkeypatch.setattr(Reader, "read", reads)
            monkeypatch.setattr(TrackWriter, "commit", commits)
            async with running.writer._line._busy:
                for terminal in terminals:
                    terminal.writer.write(terminal.frame(0x0200, report()))
                await until(lambda: len(running.gather) == len(names) - 2)
            assert [(await terminal.hear()).body[4] for terminal in terminals] == [0] * len(names)
        assert ["read", "commit"] * len(names) == done

    play(story())


def test_too_much_backlog_pauses_reading_and_loses_nothing(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", backlog_bytes_max=65_536, batch_rows_max=4) as (running, port):
            raw = await Raw.connect(port)
            frames = [raw.frame(0x0200, report(second % 3_600, lat=30_000_000 + second)) for second in range(4_000)]
            most = 0

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, running.gather.backlog_bytes)
                    await asyncio.sleep(0)

            watching = asyncio.ensure_future(watch())
            raw.writer.write(b"".join(frames))
            answers = [await raw.hear() for _ in frames]
            watching.cancel()

            assert {each.body[4] for each in answers} == {0}
            assert rows(database_url, "SELECT count(*) FROM fixes") == [(4_000,)]
            assert most < len(b"".join(frames)), "the whole was never taken in at once"
            assert running.gather.paused == set()

    play(story())


def test_a_forged_ticket_or_a_reused_slot_never_gets_anothers_answer(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", batch_age_ms_max=100) as (running, port):
            gone = await Raw.connect(port, "1")
            gone.writer.write(gone.frame(0x0200, report()))
            while not len(running.gather):
                await asyncio.sleep(0.001)
            gone.writer.transport.abort()
            while not running.porter.closed:
                await asyncio.sleep(0.001)
            heir = await Raw.connect(port, "2")

            assert await heir.silent()
            # what was received is kept, though nobody is there to hear it
            await until(lambda: rows(database_url, "SELECT count(*) FROM fixes") == [(1,)])
            assert await heir.silent()
            assert running.sessions.of_terminal == {}
            assert len(running.links) == 1

    play(story())


def test_whoever_takes_the_slot_of_a_link_that_logs_in_is_not_logged_in(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add_terminal(database_url, NAME)
    [(code,)] = rows(database_url, CODE)

    async def story() -> None:
        async with worker(database_url) as (running, port):
            asked, go_on = asyncio.Event(), asyncio.Event()
            find = running.registry.find

            async def slow_find(names: Any) -> Any:
                asked.set()
                await go_on.wait()
                return await find(names)

            monkeypatch.setattr(running.registry, "find", slow_find)
            rightful = await Raw.connect(port)
            rightful.writer.write(rightful.frame(0x0102, code.encode()))
            await asked.wait()
            rightful.writer.transport.abort()
            while not running.porter.closed:
                await asyncio.sleep(0.001)
            thief = await Raw.connect(port)
            while len(running.links) < 2:
                await asyncio.sleep(0.001)
            go_on.set()

            assert await thief.result(0x0200, report()) == 1
            assert rows(database_url, "SELECT count(*) FROM fixes") == [(0,)]

    play(story())


def test_reports_of_a_terminal_that_hung_up_are_its_own_and_not_a_strangers(database_url: str) -> None:
    add_terminal(database_url, NAME)
    [(code,)] = rows(database_url, CODE)

    async def story() -> None:
        async with worker(database_url, batch_age_ms_max=100) as (running, port):
            raw = await Raw.connect(port)
            assert await raw.log_in(code) == 0
            raw.writer.write(b"".join(raw.frame(0x0200, report(second)) for second in range(5)))
            while not len(running.gather):
                await asyncio.sleep(0.001)
            raw.writer.transport.abort()
            while running.gather.backlog_bytes or len(running.links):
                await asyncio.sleep(0.001)

            assert rows(database_url, "SELECT count(*) FROM fixes") == [(5,)]
            assert rows(database_url, "SELECT count(*) FROM quarantine") == [(0,)]

    play(story())


def test_noise_full_of_flags_is_one_row_of_evidence_and_closes_its_link(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", broken_frames_max=100) as (running, port):
            noisy, good = await Raw.connect(port, "1"), await Raw.connect(port, "2")
            noisy.writer.write(b"\x7e\x00" * 20_000 + b"\x7e")

            assert await good.result(0x0200, report()) == 0
            assert await noisy.closed()
            assert running.porter.closed == {"broken frames": 1}
            [(count,)] = rows(database_url, "SELECT count(*) FROM quarantine")
            assert 1 <= count <= 10, "a row for each packet that TCP made of it, not for each piece"

    play(story())


def test_a_log_out_ends_its_own_session_even_when_the_terminal_logs_in_again_meanwhile(database_url: str) -> None:
    add_terminal(database_url, NAME)
    [(code,)] = rows(database_url, CODE)

    async def story() -> None:
        async with worker(database_url, batch_age_ms_max=100) as (_, port):
            old, new = await Raw.connect(port), await Raw.connect(port)
            assert await old.log_in(code) == 0
            old.writer.write(old.frame(0x0003))
            new.writer.write(new.frame(0x0102, code.encode()))

            assert (await new.hear()).body[4] == 0
            assert await new.result(0x0200, report()) == 0

    play(story())


def test_login_report_and_log_out_in_one_packet_are_all_answered_ok(database_url: str) -> None:
    add_terminal(database_url, NAME)
    [(code,)] = rows(database_url, CODE)

    async def story() -> None:
        async with worker(database_url) as (running, port):
            raw = await Raw.connect(port)
            raw.writer.write(raw.frame(0x0102, code.encode()) + raw.frame(0x0200, report()) + raw.frame(0x0003))

            assert [(await raw.hear()).body[4] for _ in range(3)] == [0, 0, 0]
            assert await raw.closed()
            assert running.sessions.of_terminal == {}

    play(story())


def test_a_batch_that_is_tried_again_counts_a_wrong_code_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from storage.errors import StoreUnavailable  # noqa: PLC0415

    add_terminal(database_url, NAME)
    add_terminal(database_url, "2")
    [(code,)] = rows(database_url, CODE)

    async def story() -> None:
        async with worker(database_url, login_failures_max=2, batch_age_ms_max=50) as (running, port):
            login, tries = running.registry.login, 0

            async def failing_login(*given: Any) -> Any:
                nonlocal tries
                tries += 1
                if tries <= 3:
                    raise StoreUnavailable("away")  # noqa: EM101
                return await login(*given)

            monkeypatch.setattr(running.registry, "login", failing_login)
            wrong, right = await Raw.connect(port), await Raw.connect(port, "2")
            [(other,)] = rows(database_url, "SELECT auth_code FROM terminals WHERE name = '2'")
            wrong.writer.write(wrong.frame(0x0102, b"wrong"))
            assert await right.log_in(other) == 0
            assert (await wrong.hear()).body[4] == 1

            assert await wrong.log_in(code) == 0, "one wrong code is not two"

    play(story())


def test_a_sub_packaged_login_is_no_login(database_url: str) -> None:
    add_terminal(database_url, NAME)
    [(code,)] = rows(database_url, CODE)

    async def story() -> None:
        async with worker(database_url) as (running, port):
            raw = await Raw.connect(port)
            raw.writer.write(messages.encode(0x0102, NAME, 1, code.encode(), V2013, total=2, index=1))

            await raw.hear()
            assert running.sessions.of_terminal == {}

    play(story())


def test_a_flood_of_registrations_on_one_link_waits_its_turn(database_url: str) -> None:
    add_terminal(database_url, NAME)

    async def story() -> None:
        async with worker(database_url, batch_age_ms_max=50) as (_, port):
            raw = await Raw.connect(port)
            raw.writer.write(b"".join(raw.frame(0x0100, registration("")) for _ in range(50)))

            assert (await raw.hear()).message_id == 0x8100
            assert await raw.silent()

    play(story())


def test_a_lenient_link_makes_no_more_terminals_than_it_may_carry(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient", batch_age_ms_max=50) as (_, port):
            raw = await Raw.connect(port)
            raw.writer.write(b"".join(raw.frame(0x0200, report(), name=str(number + 1)) for number in range(50)))

            results = [(await raw.hear()).body[4] for _ in range(50)]
            assert sorted(results) == [0] + [1] * 49
            assert rows(database_url, "SELECT count(*) FROM terminals") == [(1,)]

    play(story())


def test_a_clock_that_is_years_ahead_makes_no_days_of_its_own(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)
            body = report()[:22] + b"\x99" + report()[23:]

            assert await raw.result(0x0200, body) == 0
            assert rows(database_url, "SELECT time = received_at, dated, raw FROM fixes") == [(True, False, body)]
            assert await raw.result(0x0200, report()) == 0

    play(story())


def test_what_is_wrong_with_a_fix_is_stored_with_it_also_without_shapes(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with worker(database_url, admission="lenient") as (_, port):
            raw = await Raw.connect(port)
            lost = report(1)[:4] + bytes(4) + report(1)[8:]
            far = report(2, lat=1_000_000)

            assert await raw.result(0x0704, batch(report(), lost, far)) == 0

    play(story())
    file = tmp_path / "track.csv"
    write_track(database_url, "13800138000", start="2026-11-24", stop="2026-11-25", form="csv", output=file)
    with file.open(encoding="utf-8", newline="") as lines:
        words = [(row["valid"], row["quality"]) for row in csv.DictReader(lines)]

    assert [(0,), (int(Quality.NOT_POSITIONED),), (int(Quality.OUTSIDE_CHINA),)] == rows(
        database_url, "SELECT quality FROM fixes ORDER BY time"
    )
    assert [("true", ""), ("false", "not_positioned"), ("true", "outside_china")] == words
    assert [True, False, True] == [fix.valid for fix in read_csv(file)]


def test_a_frame_too_long_closes_the_link_however_tcp_cuts_it(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, frame_bytes_max=1_000) as (running, port):
            raw = await Raw.connect(port)
            raw.writer.write(b"\x7e" + b"a" * 10_000 + b"\x7e")

            assert await raw.closed()
            assert running.porter.closed == {"oversize": 1}

    play(story())
