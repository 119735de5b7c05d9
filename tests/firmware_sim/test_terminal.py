from collections.abc import Iterator

import pytest

from firmware_sim.manners import Identity, Manners
from firmware_sim.report import AT_ONCE, Due, Fix, report_body
from firmware_sim.states import State
from firmware_sim.terminal import Terminal
from protocols.jt808 import messages
from protocols.jt808.header import V2011, V2013, V2019
from tests.firmware_sim.platform_in_memory import CODE, Link, Platform, frames_in, reports_of, say

WHO = Identity(name="13900000071")


def fixes(count: int, *, every: float = 10.0, first: float = 0.0) -> Iterator[Due]:
    """A report every so many seconds, each with its own place and second."""
    for number in range(count):
        yield Due(first + number * every, Fix(time=1_700_000_000 + number, lat=31.2 + number / 1000, lon=121.4))


def bodies(count: int) -> list[bytes]:
    return [report_body(due.fix, V2013) for due in fixes(count)]


def online(terminal: Terminal, platform: Platform | None = None) -> Link:
    link = Link(terminal, platform or Platform())
    link.connect()
    assert terminal.state is State.ONLINE
    return link


@pytest.mark.parametrize("edition", [V2011, V2013, V2019])
def test_a_new_terminal_registers_then_authenticates_with_the_code_it_was_given(edition: int) -> None:
    platform = Platform()

    online(Terminal(Identity(name="13900000071", edition=edition, plate="沪A12345"), manners=Manners(leave=False)), platform)

    assert [0x0100, 0x0102] == platform.ids
    register, authenticate = (messages.parse(each.message_id, each.edition, each.body) for each in platform.heard)
    assert ("沪A12345", 2) == (register["plate"], register["plate_colour"])
    assert authenticate["auth_code"] == CODE
    assert (20 if edition == V2019 else 12) == len(platform.heard[0].phone)


def test_the_code_is_kept_across_links() -> None:
    terminal = Terminal(WHO, manners=Manners(leave=False))
    link = online(terminal)
    link.cut()

    link.platform.heard.clear()
    link.connect()

    assert [0x0102] == link.platform.ids
    assert CODE == terminal.code


def test_a_refused_registration_ends_the_link_and_is_tried_again_on_the_next() -> None:
    platform = Platform(results={0x0100: 4})
    terminal = Terminal(WHO, fixes(1))
    link = Link(terminal, platform)

    link.connect()

    assert State.OFFLINE is terminal.state
    assert terminal.hangup
    assert terminal.code is None
    assert 1 == terminal.counters.login_refusals
    platform.results.clear()
    link.connect()
    assert terminal.finished


def test_a_refused_code_is_forgotten_and_the_next_link_registers() -> None:
    platform = Platform(results={0x0102: 1})
    terminal = Terminal(WHO, manners=Manners(leave=False), code="old")
    link = Link(terminal, platform)
    link.connect()
    assert terminal.hangup

    platform.results.clear()
    link.connect()

    assert [0x0102, 0x0100, 0x0102] == platform.ids
    assert CODE == terminal.code


def test_nothing_but_the_login_is_said_before_it_succeeded() -> None:
    platform = Platform(results={0x0102: None})
    terminal = Terminal(WHO, fixes(5, every=1))
    link = Link(terminal, platform)

    link.connect()
    link.run(60)

    assert {0x0100, 0x0102} == set(platform.ids)


def test_without_login_the_first_frame_is_a_report() -> None:
    platform = Platform()

    Link(Terminal(WHO, fixes(1), Manners(login=False)), platform).connect()

    assert [0x0200, 0x0003] == platform.ids


def test_every_report_is_sent_once_when_due_and_the_terminal_then_leaves() -> None:
    terminal = Terminal(WHO, fixes(4))
    link = online(terminal)

    link.run(100)

    assert bodies(4) == link.platform.bodies
    assert [0, 10, 20, 30] == [at for at, out in link.sent if frames_in(out)[0].message_id == 0x0200]
    assert 0x0003 == link.platform.ids[-1]
    assert terminal.finished
    assert set(bodies(4)) == terminal.acknowledged
    assert (4, {0: 4}, 0) == (terminal.counters.sent, dict(terminal.counters.answered), terminal.counters.resent)


def test_a_heartbeat_goes_out_at_its_interval() -> None:
    link = online(Terminal(WHO, manners=Manners(heartbeat_s=30, leave=False)))

    link.run(100)

    assert [30, 60, 90] == [at for at, out in link.sent if frames_in(out)[0].message_id == 0x0002]


def test_silence_is_answered_by_the_same_bytes_after_t_2t_6t_and_then_the_terminal_gives_up() -> None:
    terminal = Terminal(WHO, fixes(1), Manners(answer_timeout_s=10, repeats=3, heartbeat_s=10_000))
    link = online(terminal, Platform(results={0x0200: None}))

    link.run(1_000)

    sent = [(at, out) for at, out in link.sent if frames_in(out)[0].message_id == 0x0200]
    assert [0, 10, 30, 90] == [at for at, _ in sent]
    assert 1 == len({out for _, out in sent})
    assert (3, 1) == (terminal.counters.resent, terminal.counters.given_up)
    assert State.OFFLINE is terminal.state
    assert terminal.hangup


def test_it_gives_up_when_the_wait_after_the_last_repeat_is_over() -> None:
    terminal = Terminal(WHO, fixes(1), Manners(answer_timeout_s=10, repeats=3, heartbeat_s=10_000))
    link = online(terminal, Platform(results={0x0200: None}))

    link.run(90 + 239.9)
    assert State.ONLINE is terminal.state
    link.run(90 + 240)

    assert State.OFFLINE is terminal.state


def test_no_more_reports_are_in_flight_than_the_window() -> None:
    platform = Platform(results={0x0200: None})
    link = online(Terminal(WHO, fixes(10, every=0), Manners(window=3)), platform)

    assert 3 == platform.ids.count(0x0200)
    assert 3 == len({frame.serial for frame in platform.heard if frame.message_id == 0x0200})

    first = next(frame for frame in platform.heard if frame.message_id == 0x0200)
    answer = {"reply_serial": first.serial, "reply_id": 0x0200, "result": 0}
    link.carry(link.machine.receive(say(first, 0x8001, messages.build(0x8001, V2013, answer)), link.now))
    assert 4 == platform.ids.count(0x0200)


def test_reports_missed_in_an_outage_go_up_oldest_first_as_kind_1_after_the_live_one() -> None:
    terminal = Terminal(WHO, fixes(9), Manners(batch_max=3))
    link = online(terminal)
    link.run(15)
    link.cut()
    link.now = 75.0
    link.connect()

    link.run(200)

    batches = [frame.body for frame in link.platform.heard if frame.message_id == 0x0704]
    assert [1, 1] == [body[2] for body in batches]
    assert [bodies(9)[2:5], bodies(9)[5:8]] == [reports_of(body) for body in batches]
    assert set(bodies(9)) == terminal.acknowledged
    assert 6 == terminal.counters.uploaded


def test_a_batch_never_outgrows_a_frame() -> None:
    terminal = Terminal(WHO, fixes(200), Manners(batch_max=1_000))
    link = online(terminal)
    link.cut()
    link.now = 1_995.0

    link.connect()

    batches = [frame.body for frame in link.platform.heard if frame.message_id == 0x0704]
    # 28 bytes and their length, after three of count and kind
    assert [34] * 5 == [len(reports_of(body)) for body in batches[:5]]
    assert set(bodies(200)) == terminal.acknowledged


def test_a_report_in_flight_when_the_link_broke_is_not_lost() -> None:
    platform = Platform(results={0x0200: None})
    terminal = Terminal(WHO, fixes(1))
    link = online(terminal, platform)
    link.cut()

    link.connect()

    assert bodies(1) == platform.bodies
    assert set(bodies(1)) == terminal.acknowledged
    assert 1 == terminal.counters.sent


def test_the_blind_zone_store_is_bounded_and_the_oldest_make_room() -> None:
    terminal = Terminal(WHO, fixes(20), Manners(store_max=4))
    link = online(terminal)
    link.cut()
    link.now = 195.0

    link.connect()

    assert bodies(20)[16:] == link.platform.bodies[1:]
    assert 15 == terminal.counters.overwritten


def test_a_terminal_switched_on_late_has_missed_nothing() -> None:
    link = Link(Terminal(WHO, fixes(3)), Platform(), now=1_000.0)

    link.connect()

    assert [0x0100, 0x0102, 0x0200, 0x0200, 0x0200, 0x0003] == link.platform.ids


def test_a_report_due_at_once_waits_for_room_and_not_for_the_clock() -> None:
    due = [each._replace(at=AT_ONCE) for each in fixes(100)]
    terminal = Terminal(WHO, due)

    online_and_gone = Link(terminal, Platform())
    online_and_gone.connect()

    assert terminal.finished
    assert bodies(100) == online_and_gone.platform.bodies


@pytest.mark.parametrize(("result", "kept"), [(0, True), (1, False), (2, False), (3, False), (4, True)])
def test_a_report_counts_as_acknowledged_only_when_the_platform_took_it(result: int, *, kept: bool) -> None:
    terminal = Terminal(WHO, fixes(1))

    Link(terminal, Platform(results={0x0200: result})).connect()

    assert (set(bodies(1)) if kept else set()) == terminal.acknowledged
    assert {result: 1} == dict(terminal.counters.answered)
    assert terminal.finished


def test_an_answer_must_fit_number_and_id() -> None:
    platform = Platform(results={0x0200: None})
    terminal = Terminal(WHO, fixes(1))
    link = online(terminal, platform)
    sent = platform.heard[-1]

    for serial, message_id in ((sent.serial, 0x0002), (sent.serial + 1, 0x0200)):
        answer = messages.build(0x8001, V2013, {"reply_serial": serial, "reply_id": message_id, "result": 0})
        link.carry(terminal.receive(say(sent, 0x8001, answer), link.now))

    assert not terminal.acknowledged
    assert 2 == terminal.counters.unexpected


def test_frames_for_others_and_broken_ones_are_only_counted() -> None:
    platform = Platform(results={0x0200: None})
    terminal = Terminal(WHO, fixes(1))
    online(terminal, platform)
    sent = platform.heard[-1]
    answer = messages.build(0x8001, V2013, {"reply_serial": sent.serial, "reply_id": 0x0200, "result": 0})
    good = messages.encode(0x8001, WHO.name, 0, answer, V2013)

    assert terminal.receive(messages.encode(0x8001, "13900000072", 0, answer, V2013), 0) == b""
    assert terminal.receive(good[:-3] + bytes([good[-3] ^ 1]) + good[-2:], 0) == b""

    assert not terminal.acknowledged
    assert 2 == terminal.counters.unreadable


@pytest.mark.parametrize(("message_id", "result"), [(0x8204, 0), (0x8F31, 3)])
def test_a_command_is_answered_by_a_general_response(message_id: int, result: int) -> None:
    link = online(Terminal(WHO, manners=Manners(leave=False)))

    link.carry(link.machine.receive(messages.encode(message_id, WHO.name, 4711, b"", V2013), link.now))

    answer = link.platform.heard[-1]
    assert 0x0001 == answer.message_id
    assert {"reply_serial": 4711, "reply_id": message_id, "result": result} == messages.parse(0x0001, V2013, answer.body)


def test_bytes_may_be_cut_anywhere() -> None:
    platform = Platform()
    terminal = Terminal(WHO, fixes(3), Manners(window=2))
    out = terminal.connected(0)
    for now in range(100):
        answer, out = platform.answer(out), b""
        for at in range(len(answer)):
            out += terminal.receive(answer[at : at + 1], now)
        out += terminal.tick(now)

    assert terminal.finished
    assert bodies(3) == platform.bodies


def test_a_gateway_that_closes_instead_of_answering_the_log_out_is_taken_at_its_word() -> None:
    terminal = Terminal(WHO, fixes(1))
    link = Link(terminal, Platform(results={0x0003: None}))
    link.connect()

    link.cut()

    assert terminal.finished


def test_serial_numbers_wrap() -> None:
    due = [each._replace(at=AT_ONCE) for each in fixes(3)]
    terminal = Terminal(WHO, due, Manners(login=False))
    terminal._serial = 0xFFFE
    link = Link(terminal, Platform())

    link.connect()

    assert [0xFFFE, 0xFFFF, 0, 1] == [frame.serial for frame in link.platform.heard]
