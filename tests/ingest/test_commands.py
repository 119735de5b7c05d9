"""Commands through a real gateway: a row → a worker → the wire → a terminal → its reply → the row."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from fix_db import rows
from fix_terminals import command, online, until
from fix_worker import Raw, play, report, worker
from protocols.jt808 import messages
from protocols.jt808.commands import COMMANDS, ready
from protocols.jt808.header import EDITIONS, V2011, V2013, V2019
from storage.commands import AT_ONCE_S, CommandError, CommandStore, command_result, send_command
from storage.enrol import add_terminal

NAME = "13800138000"
LOCATE, LOCATED, GENERAL = 0x8201, 0x0201, 0x0001
LENIENT = {"admission": "lenient"}


def general(serial: int, message_id: int, result: int) -> bytes:
    return messages.build(GENERAL, V2013, {"reply_serial": serial, "reply_id": message_id, "result": result})


def located(serial: int) -> bytes:
    return serial.to_bytes(2, "big") + report()


async def stands(url: str, number: int, state: str) -> None:
    await until(lambda: rows(url, f"SELECT state FROM commands WHERE id = {number}") == [(state,)])


@pytest.mark.parametrize("edition", [V2011, V2013, V2019], ids=EDITIONS.__getitem__)
def test_every_command_comes_back_with_the_terminals_answer(database_url: str, edition: int) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port), online(port, edition=edition) as terminal:
            for message_id, asked in ready().items():
                got = await command(database_url, NAME, message_id, dict(asked.example))

                assert (hex(message_id), got.state, got.result) == (hex(message_id), "answered", "ok")
                assert got.reply_message_id in (asked.replies or (GENERAL, *asked.later))
                assert terminal.counters.commands[message_id] == 1
                if asked.later:
                    await until(lambda got=got, asked=asked: command_result(database_url, got.id).reply_message_id in asked.later)
            assert rows(database_url, "SELECT count(*) FROM quarantine") == [(0,)], "every answer was understood"
            ids = {number for (number,) in rows(database_url, "SELECT DISTINCT message_id FROM messages")}
            assert {each for asked in ready().values() for each in asked.replies + asked.later} - {LOCATED, 0x0500} <= ids

    play(story())


def test_the_answer_is_read_into_the_row_and_its_position_into_the_track(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port), online(port):
            got = await command(database_url, NAME, LOCATE)

            assert got.ok
            assert got.reply_message_id == LOCATED
            assert got.reply is not None
            assert (got.reply["lat"], got.reply["lon"]) == (31.230416, 121.473701)
            await until(lambda: rows(database_url, "SELECT count(*) FROM fixes") == [(1,)])

    play(story())


def test_without_an_expiry_an_offline_terminal_gets_nothing_now_or_later(database_url: str) -> None:
    add_terminal(database_url, NAME)

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            began = time.monotonic()
            got = await command(database_url, NAME, LOCATE)

            assert (got.state, got.result) == ("failed", "the terminal is offline")
            assert time.monotonic() - began < AT_ONCE_S
            async with online(port) as terminal:
                assert (await command(database_url, NAME, LOCATE)).ok
                assert terminal.counters.commands[LOCATE] == 1

    play(story())


def test_with_an_expiry_it_waits_for_the_terminal_and_goes_out_when_it_logs_in(database_url: str) -> None:
    add_terminal(database_url, NAME)

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            got = await command(database_url, NAME, LOCATE, expires_s=600)
            assert got.state == "queued"
            async with online(port):
                await stands(database_url, got.id, "answered")

    play(story())


def test_a_queued_command_whose_time_has_passed_is_never_sent(database_url: str) -> None:
    add_terminal(database_url, NAME)

    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            got = await command(database_url, NAME, LOCATE, expires_s=600)
            rows(database_url, "UPDATE commands SET expires_at = now() - interval '1 s' RETURNING id")
            async with online(port) as terminal:
                assert (await command(database_url, NAME, LOCATE)).ok

                assert command_result(database_url, got.id).state == "expired"
                assert terminal.counters.commands[LOCATE] == 1

    play(story())


def test_a_queued_command_survives_the_gateway(database_url: str) -> None:
    add_terminal(database_url, NAME)

    async def story() -> None:
        async with worker(database_url, **LENIENT):
            got = await command(database_url, NAME, LOCATE, expires_s=600)
        async with worker(database_url, **LENIENT) as (_, port), online(port):
            await stands(database_url, got.id, "answered")

    play(story())


def test_an_answer_that_comes_to_the_next_gateway_still_counts(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            waiting = asyncio.ensure_future(command(database_url, NAME, LOCATE))
            asked = await raw.hear()
            assert asked.message_id == LOCATE
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)

            assert await raw.result(LOCATED, located(asked.serial)) == 0
            assert (await waiting).ok

    play(story())


def test_a_command_inserted_anywhere_is_heard_by_the_worker_that_holds_the_session(database_url: str) -> None:
    async def story() -> None:
        first, second = worker(database_url, "w1", **LENIENT), worker(database_url, "w2", **LENIENT)
        async with first as (_, one), second as (_, two), online(one, "1380"), online(two, "1381"):
            assert (await command(database_url, "1381", LOCATE)).ok
            assert (await command(database_url, "01380", LOCATE)).ok
            sent = rows(database_url, "SELECT t.name, worker FROM commands c JOIN terminals t ON t.id = terminal_id ORDER BY c.id")
            assert sent == [("1381", "w2"), ("1380", "w1")]

    play(story())


def test_an_answer_with_another_serial_or_id_answers_nothing(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            waiting = asyncio.ensure_future(command(database_url, NAME, LOCATE))
            asked = await raw.hear()
            raw.writer.write(raw.frame(GENERAL, general(asked.serial + 1, LOCATE, 1)))
            raw.writer.write(raw.frame(GENERAL, general(asked.serial, 0x8104, 1)))
            assert await raw.result(LOCATED, located(asked.serial + 1)) == 0
            assert rows(database_url, "SELECT state FROM commands") == [("sent",)]
            raw.writer.write(raw.frame(GENERAL, general(asked.serial, LOCATE, 1)))

            got = await waiting
            assert (got.state, got.result, got.reply_message_id) == ("answered", "failed", GENERAL)
            assert not got.ok

    play(story())


def test_two_commands_at_once_are_told_apart_by_their_serials(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            waiting = [asyncio.ensure_future(command(database_url, NAME, LOCATE)) for _ in range(2)]
            first, second = await raw.hear(), await raw.hear()
            assert first.serial != second.serial
            raw.writer.write(raw.frame(GENERAL, general(second.serial, LOCATE, 3)))
            raw.writer.write(raw.frame(LOCATED, located(first.serial)))

            got = {each.result for each in await asyncio.gather(*waiting)}
            assert got == {"ok", "unsupported"}

    play(story())


def test_silence_ends_in_a_clear_timeout_and_an_acknowledgement_without_reply_too(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            got = await command(database_url, NAME, LOCATE, timeout_s=0.1)
            assert (got.state, got.result) == ("timed_out", "no answer within 0.1 s")
            await raw.hear()

            waiting = asyncio.ensure_future(command(database_url, NAME, LOCATE, timeout_s=0.3))
            asked = await raw.hear()
            raw.writer.write(raw.frame(GENERAL, general(asked.serial, LOCATE, 0)))
            got = await waiting
            assert got.state == "timed_out"
            assert got.result == "the terminal acknowledged it, but its reply did not follow within 0.3 s"

    play(story())


def test_a_terminal_holds_only_so_many_unanswered_commands_and_the_rest_follow(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            insert = "INSERT INTO commands (terminal_id, message_id, expires_at) SELECT id, %s, now() + interval '1 h' FROM terminals"
            for _ in range(6):
                rows(database_url, f"{insert} RETURNING id", LOCATE)
            asked = [await raw.hear() for _ in range(4)]
            assert await raw.silent()
            raw.writer.write(raw.frame(LOCATED, located(asked[0].serial)))

            assert {(await raw.hear()).message_id for _ in range(2)} == {0x8001, LOCATE}
            assert await raw.silent()

    play(story())


def test_fields_that_make_no_message_fail_with_the_reason(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            got = await command(database_url, NAME, 0x8003, {"first_serial": "many"})

            assert got.state == "failed"
            assert got.result is not None
            assert got.result.startswith("it cannot be built: platform_resend_request of 2013:")

    play(story())


def test_an_unknown_terminal_is_said_to_be_unknown(database_url: str) -> None:
    with pytest.raises(CommandError, match="'4711' is not in the registry"):
        send_command(database_url, "4711", LOCATE, {})


def test_the_claim_of_a_worker_that_has_lost_the_session_is_refused(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            assert await raw.result(0x0002) == 0
            [(terminal_id, login)] = rows(database_url, "SELECT terminal_id, login FROM sessions")
        add = "INSERT INTO commands (terminal_id, message_id, expires_at) VALUES (%s, %s, now() + interval '1 h') RETURNING id"
        [(number,)] = rows(database_url, add, terminal_id, LOCATE)
        again = "INSERT INTO sessions (terminal_id, login, worker, peer) VALUES (%s, %s, 'w2', '') RETURNING login"
        rows(database_url, again, terminal_id, login + 1)
        store = CommandStore(database_url, "w1")

        assert await store.claim([(number, login, 1)]) == set()
        assert await store.claim([(number, login + 1, 1)]) == {number}
        assert await store.claim([(number, login + 1, 2)]) == set(), "once"
        await store.close()

    play(story())


def test_hostile_text_in_a_reply_is_kept_without_harm(database_url: str) -> None:
    async def story() -> None:
        async with worker(database_url, **LENIENT) as (_, port):
            raw = await Raw.connect(port)
            text = b"a\x00b\x1b\xff\xfe"

            assert await raw.result(0x0701, len(text).to_bytes(4, "big") + text) == 0
            [(fields, kept)] = rows(database_url, "SELECT fields, raw FROM messages")
            assert fields["content"].startswith("a\ufffdb")
            assert bytes(kept)[4:] == text
            raw.serial -= 1
            assert await raw.result(0x0701, len(text).to_bytes(4, "big") + text) == 0
            assert rows(database_url, "SELECT count(*) FROM messages") == [(1,)], "sent again, kept once"

    play(story())


def test_the_table_of_commands_names_messages_that_go_down_and_replies_that_come_up() -> None:
    def goes(number: int) -> Any:
        return messages.MESSAGES[number].direction

    assert {goes(number) for number in COMMANDS} == {"down"}
    assert {goes(each) for asked in COMMANDS.values() for each in asked.replies + asked.later} == {"up"}
