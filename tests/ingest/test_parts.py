"""Messages in packages through a real gateway: joined whatever happens to them, asked for when they are missing, bounded, kept safely."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from firmware_sim.link import Machine
from firmware_sim.terminal import Terminal
from fix_db import rows
from fix_terminals import command, online, until
from fix_worker import Raw, batch, play, report, worker
from ingest.worker import Worker
from protocols.jt808 import messages
from protocols.jt808.commands import COMMANDS
from protocols.jt808.frames import Frame, frame_of, split
from protocols.jt808.header import V2013, V2019
from protocols.jt808.packages import packages
from protocols.jt808.reassembly import Limits, Reassembly
from storage.media import content_of
from tracks.spans import Spans
from tracks.verdict import Verdict

NAME = "13800138000"
LENIENT: dict[str, Any] = {"admission": "lenient", "link_bytes_per_second_max": 1 << 30}
BATCH = batch(*(report(second) for second in range(60)))
"""A 0x0704 of about 1800 bytes."""


def cut(message_id: int, body: bytes, first_serial: int, size: int = 500) -> list[bytes]:
    return packages(message_id, NAME, first_serial, body, V2013, body_bytes_max=size)


def impatient(running: Worker, **limits: Any) -> None:
    running.parts.reassembly = Reassembly(Limits(**{"pause_s": 0.1, **limits}))
    running.parts.every_s = 0.02


async def answers(raw: Raw, count: int) -> list[Frame]:
    return [await raw.hear() for _ in range(count)]


def test_packages_out_of_order_doubled_and_interleaved_become_their_messages(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            other = batch(*(report(second, lat=30_000_000) for second in range(60)))
            frames = cut(0x0704, BATCH, 100) + cut(0x0704, other, 200)
            frames += frames[:3]
            Random(7).shuffle(frames)
            raw.writer.write(b"".join(frames))
            heard = await answers(raw, len(frames))

            assert {each.body[4] for each in heard} == {0}
            asked = sorted(frame_of(frame.strip(b"\x7e")).serial for frame in frames)
            assert sorted(int.from_bytes(each.body[:2], "big") for each in heard) == asked, "each package is answered once"
            assert rows(database_url, "SELECT count(*), count(DISTINCT raw) FROM fixes") == [(120, 120)]
            assert rows(database_url, "SELECT count(*) FROM quarantine") == [(0,)]

    play(story())


def test_a_missing_package_is_asked_for_in_the_terminals_own_edition(database_url: str) -> None:
    async def story(edition: int) -> None:
        async with worker(database_url, **LENIENT) as (running, port):
            impatient(running)
            raw = await Raw.connect(port, NAME, edition)
            frames = packages(0x0704, NAME, 100, BATCH, edition, body_bytes_max=500)
            raw.writer.write(b"".join(frames[:1] + frames[3:]))
            await answers(raw, len(frames) - 2)
            asked = await raw.hear()
            assert asked.message_id == 0x8003
            fields = messages.parse(0x8003, edition, asked.body)
            assert (fields["first_serial"], fields["indexes"]) == (100, [2, 3])
            raw.writer.write(frames[1] + frames[2])
            assert [each.body[4] for each in await answers(raw, 2)] == [0, 0]
            await until(lambda: rows(database_url, "SELECT count(*) FROM fixes") == [(60,)])

    for edition in (V2013, V2019):
        play(story(edition))


def test_a_message_that_never_ends_is_given_up_and_what_came_of_it_is_evidence(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (running, port):
            impatient(running, pause_s=0.02, requests_max=2)
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0, "who has not been answered yet is asked for nothing"
            raw.writer.write(cut(0x0704, BATCH, 100)[0])
            heard = await answers(raw, 3)
            assert sorted(each.message_id for each in heard) == [0x8001, 0x8003, 0x8003], (
                "in any order: so impatient, it may ask before it answers"
            )
            await until(lambda: rows(database_url, "SELECT reason, raw FROM quarantine") == [("bad_subpackage", BATCH[:500])])
            assert len(running.parts.reassembly) == running.parts.reassembly.held_bytes == 0

    play(story())


def test_hostile_packages_are_bounded_and_cost_only_themselves(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT, reassembly_bytes_max=1 << 20, message_bytes_max=100_000) as (running, port):
            evil, good = await Raw.connect(port, "666"), await Raw.connect(port)
            frames = [
                messages.encode(0x0801, "666", serial, bytes(1000), V2013, total=total, index=1)
                for serial, total in enumerate([65_535, 2, 3, 50] * 500)
            ]
            evil.writer.write(b"".join(frames))
            results = [each.body[4] for each in await answers(evil, len(frames))]

            assert results.count(2) == 500, "what announces too much is refused"
            assert running.parts.reassembly.held_bytes <= 1 << 20
            assert len(running.parts.reassembly) <= Limits().terminal_messages_max
            assert await good.result(0x0200, report()) == 0

    play(story())


def test_a_whole_is_found_again_until_its_batch_is_settled(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (running, _):
            wire = Spans.of([b"".join(cut(0x0704, BATCH, 100))])
            frames = split(wire.buffer, wire.stop)
            terminal = np.full(len(frames), 7, np.int64)

            first, again = running.parts.join(frames, terminal), running.parts.join(frames, terminal)
            assert first.frames.body.bytes_at(len(frames)) == BATCH
            assert again.frames.body.bytes_at(len(frames)) == BATCH, "the database was away in between"
            running.parts.settled(again.wholes)
            late = running.parts.join(frames, terminal)
            assert len(late.frames) == len(frames)
            assert {verdict for verdict, _ in late.outcome.values()} == {Verdict.COMMITTED}

    play(story())


class Lossy:
    """A machine whose packages are lost now and then, by seed."""

    def __init__(self, machine: Terminal, rate: float, seed: int) -> None:
        self.machine, self.rate, self.rng, self.lost = machine, rate, Random(seed), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.machine, name)

    def connected(self, now: float) -> bytes:
        return self.passed(self.machine.connected(now))

    def receive(self, data: bytes, now: float) -> bytes:
        return self.passed(self.machine.receive(data, now))

    def tick(self, now: float) -> bytes:
        return self.passed(self.machine.tick(now))

    def passed(self, out: bytes) -> bytes:
        kept = []
        for piece in out.split(b"\x7e"):
            packaged = len(piece) > 500
            if packaged and self.rng.random() < self.rate:
                self.lost += 1
            elif piece:
                kept.append(b"\x7e" + piece + b"\x7e")
        return b"".join(kept)


def test_a_photo_of_5_mb_over_a_link_that_loses_5_percent_arrives_whole(database_url: str, tmp_path: Path) -> None:
    lossy: list[Lossy] = []

    def around(terminal: Terminal) -> Machine:
        terminal.equipment.picture_bytes = 5_000_000
        lossy.append(Lossy(terminal, 0.05, seed=808))
        return lossy[0]

    async def story() -> None:
        async with worker(database_url, **LENIENT, data_dir=str(tmp_path)) as (running, port), online(port, around=around) as terminal:
            impatient(running)
            got = await command(database_url, NAME, 0x8801, dict(COMMANDS[0x8801].example))
            assert got.reply is not None
            assert (got.result, got.reply["media_ids"]) == ("ok", [1])
            await until(lambda: rows(database_url, "SELECT count(*) FROM media") == [(1,)])

            [(path, content, size, lat, media_id)] = rows(database_url, "SELECT path, content, bytes, lat, media_id FROM media")
            sent = terminal.equipment.media[1].data
            assert (tmp_path / "media" / path).read_bytes() == sent
            assert (content, size, lat, media_id) == ("jpg", len(sent), 31.230416, 1)
            assert lossy[0].lost > 200
            assert terminal.packages.repeated >= lossy[0].lost / 2
            await until(lambda: not len(running.parts.reassembly))
            assert rows(database_url, "SELECT count(*) FROM quarantine") == [(0,)]

    play(story())


def upload(data: bytes, media_id: int = 1) -> bytes:
    return media_id.to_bytes(4, "big") + bytes([0, 0, 0, 1]) + report()[:28] + data


def test_an_upload_is_answered_by_0x8800_and_the_same_upload_is_one_file_and_one_row(database_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT, data_dir=str(tmp_path)) as (_, port):
            raw = await Raw.connect(port)
            for data in (b"\xff\xd8\xffpicture", b"\xff\xd8\xffpicture", b"../../etc/passwd"):
                raw.writer.write(raw.frame(0x0801, upload(data)))
                heard = await answers(raw, 2)
                assert [each.message_id for each in heard] == [0x8001, 0x8800]
                assert messages.parse(0x8800, V2013, heard[1].body)["media_id"] == 1
            kept = rows(database_url, "SELECT content, path FROM media ORDER BY id")
            assert [content for content, _ in kept] == ["jpg", "bin"], "by what is in it"
            files = sorted(each for each in tmp_path.rglob("*") if each.is_file())
            assert files == sorted(tmp_path / "media" / path for _, path in kept)

    play(story())


def test_an_upload_that_cannot_be_written_is_evidence_and_stops_nothing(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "media").write_text("no folder")

    async def story() -> None:
        async with worker(database_url, **LENIENT, data_dir=str(tmp_path)) as (_, port):
            raw = await Raw.connect(port)

            assert await raw.result(0x0801, upload(b"\xff\xd8\xffpicture")) == 2
            assert rows(database_url, "SELECT reason FROM quarantine") == [("unstorable",)]
            assert await raw.result(0x0200, report()) == 0

    play(story())


def test_what_a_file_is_is_seen_from_its_bytes() -> None:
    assert content_of(b"RIFF\x00\x00\x00\x00WAVEfmt ") == "wav"
    assert content_of(b"\x00\x00\x00\x18ftypmp42") == "mp4"
    assert content_of(b"") == "bin"


def test_a_gzip_bomb_is_refused_and_an_honest_one_is_read(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            bomb, honest = gzip.compress(bytes(50 << 20)), gzip.compress(b"what it holds")
            frames = cut(0x0901, len(bomb).to_bytes(4, "big") + bomb, 1000)
            raw.writer.write(b"".join(frames))
            assert [each.body[4] for each in await answers(raw, len(frames))][-1] == 2
            assert await raw.result(0x0901, len(honest).to_bytes(4, "big") + honest) == 0
            [(fields,)] = rows(database_url, "SELECT fields FROM messages")
            assert bytes.fromhex(fields["inflated"]) == b"what it holds"
            assert rows(database_url, "SELECT reason FROM quarantine") == [("oversize",)]

    play(story())


def test_transparent_data_is_kept_by_subtype_and_a_key_with_its_terminal(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)

            assert await raw.result(0x0900, b"\x41hello") == 0
            assert await raw.result(0x0900, b"\xf1\x00\x7e") == 0
            assert rows(database_url, "SELECT subtype, raw FROM messages ORDER BY id") == [(0x41, b"\x41hello"), (0xF1, b"\xf1\x00\x7e")]
            assert await raw.result(0x0A00, (65_537).to_bytes(4, "big") + bytes(range(128))) == 0
            [(key,)] = rows(database_url, "SELECT rsa_key FROM terminals")
            assert (key["e"], key["n"]) == (65_537, bytes(range(128)).hex())

    play(story())


def test_a_long_command_goes_in_packages_and_those_asked_for_are_sent_again_as_they_were(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port, NAME, V2019)
            assert await raw.result(0x0002) == 0
            data = Random(3).randbytes(4_500).hex()
            fields = {"upgraded": "terminal", "maker": "DUBHE", "version": "2", "data": data}
            waiting = asyncio.ensure_future(command(database_url, NAME, 0x8108, fields))
            sent = await answers(raw, 5)
            assert [(each.index, each.total) for each in sent] == [(n, 5) for n in range(1, 6)]
            body = b"".join(each.body for each in sent)
            assert messages.parse(0x8108, V2019, body)["data"].hex() == data
            missing = {"first_serial": sent[0].serial, "indexes": [2, 4, 9]}
            raw.writer.write(raw.frame(0x0005, messages.build(0x0005, V2019, missing)))
            again = await answers(raw, 3)
            assert again[0].message_id == 0x8001
            assert again[1:] == [sent[1], sent[3]]
            answer = {"reply_serial": sent[0].serial, "reply_id": 0x8108, "result": 0}
            raw.writer.write(raw.frame(0x0001, messages.build(0x0001, V2019, answer)))

            assert (await waiting).ok

    play(story())
