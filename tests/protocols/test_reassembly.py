"""Sub-packages: whatever a terminal and the air do to them, a message comes out whole once, or is given up in bounded memory."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.jt808.describe import describe
from protocols.jt808.frames import Frame, frame_of
from protocols.jt808.header import V2011, V2013, V2019
from protocols.jt808.messages import build, parse
from protocols.jt808.packages import Sent, packages
from protocols.jt808.reassembly import Added, Limits, Outcome, Reassembly, Whole, Why
from tracks.verdict import Reject
from vectors import jt808

TERMINAL = "13800138000"


def put(reassembly: Reassembly, wire: bytes, now_s: float = 0.0, **more: Any) -> Added:
    frame = frame_of(wire)
    return reassembly.add(frame.phone.lstrip("0"), **told(frame), now_s=now_s, **more)


def told(frame: Frame) -> dict[str, Any]:
    return {name: getattr(frame, name) for name in ("edition", "message_id", "serial", "total", "index", "body")}


def pieces(body: bytes, first_serial: int = 100, *, size: int = 10, message_id: int = 0x0801, edition: int = V2013) -> list[bytes]:
    return packages(message_id, TERMINAL, first_serial, body, edition, body_bytes_max=size)


def wholes(reassembly: Reassembly, wires: list[bytes]) -> list[bytes]:
    return [added.whole.body for added in (put(reassembly, wire) for wire in wires) if added.whole]


@given(st.binary(min_size=21, max_size=200), st.integers(0, 0xFFFF), st.randoms(use_true_random=False))
def test_a_message_comes_out_whole_once_in_any_order_and_however_often_a_package_comes(
    body: bytes, first_serial: int, chance: random.Random
) -> None:
    wires = pieces(body, first_serial)
    sent = wires + chance.choices(wires, k=len(wires))
    chance.shuffle(sent)
    reassembly = Reassembly()

    assert wholes(reassembly, sent) == [body]
    assert (len(reassembly), reassembly.held_bytes) == (0, 0)


@given(st.integers(0, 0xFFFF), st.randoms(use_true_random=False))
def test_messages_of_one_kind_and_length_may_interleave(first_serial: int, chance: random.Random) -> None:
    bodies = [bytes([number]) * 35 for number in range(3)]
    sent = [wire for number, body in enumerate(bodies) for wire in pieces(body, (first_serial + 4 * number) & 0xFFFF)]
    chance.shuffle(sent)

    assert sorted(wholes(Reassembly(), sent)) == bodies


def test_messages_of_different_terminals_do_not_meet() -> None:
    one, other = (packages(0x0801, terminal, 7, body * 20, V2013, body_bytes_max=10) for terminal, body in (("1", b"a"), ("2", b"b")))

    assert wholes(Reassembly(), [one[0], other[1], other[0], one[1]]) == [b"b" * 20, b"a" * 20]


@pytest.mark.parametrize("name", ["subpackages_in_order", "subpackages_shuffled_dup"])
def test_hand_made_packages_are_put_together(name: str) -> None:
    wires = [b"\x7e" + piece + b"\x7e" for piece in jt808.synthetic(name).split(b"\x7e") if piece]
    (body,) = wholes(Reassembly(), wires)

    assert parse(frame_of(wires[0]).message_id, V2013, body)


def test_a_gap_leaves_the_message_waiting() -> None:
    wires = [b"\x7e" + piece + b"\x7e" for piece in jt808.synthetic("subpackage_gap").split(b"\x7e") if piece]
    reassembly = Reassembly()

    assert wholes(reassembly, wires) == []
    assert [request.indexes for request in reassembly.due(3.0).requests] == [(2,)]


@pytest.mark.parametrize(("first", "last", "message_id", "items"), [("f0656", "f0673", 0x1205, 180), ("f0253", "f0258", 0x1205, 0)])
def test_lists_of_recordings_from_the_road_are_put_together(first: str, last: str, message_id: int, items: int) -> None:
    names = [vector["id"] for vector in jt808.frames()]
    vectors = jt808.frames()[names.index(first) : names.index(last) + 1]
    reassembly = Reassembly()
    found = [added.whole for added in (put(reassembly, jt808.wire(vector)) for vector in vectors) if added.whole]

    # the second list was recorded with packages of several days in it: it is no list any more, but one message
    assert len(found) == 1
    assert not items or len(parse(message_id, found[0].edition, found[0].body)["recordings"]) == items


@pytest.mark.parametrize(("total", "index"), [(0, 0), (3, 0), (3, 4)])
def test_a_package_that_cannot_be_is_refused(total: int, index: int) -> None:
    added = Reassembly().add("1", edition=V2013, message_id=1, serial=1, total=total, index=index, body=b"", now_s=0)

    assert added == Added(Outcome.REFUSED, reason=Reject.BAD_SUBPACKAGE)


def test_one_package_of_one_is_a_message() -> None:
    added = Reassembly().add("1", edition=V2013, message_id=2, serial=9, total=1, index=1, body=b"x", now_s=0)

    assert added == Added(Outcome.COMPLETE, Whole("1", V2013, 2, 9, 1, b"x"))


def test_packages_of_a_finished_message_are_known_for_a_while() -> None:
    wires = pieces(bytes(range(30)))
    reassembly = Reassembly(Limits(finished_s_max=10))
    for wire in wires:
        put(reassembly, wire)

    assert put(reassembly, wires[1], now_s=9).outcome == Outcome.REPEATED
    assert put(reassembly, wires[1], now_s=10).outcome == Outcome.KEPT


def test_a_package_that_contradicts_begins_a_newer_message() -> None:
    old, new = pieces(b"a" * 30), pieces(b"b" * 30)
    reassembly = Reassembly()

    assert wholes(reassembly, [old[0], old[1], new[1], new[0], new[2]]) == [b"b" * 30]
    assert [(lost.why, sorted(lost.parts)) for lost in reassembly.due(0).lost] == [(Why.CONTRADICTED, [1, 2])]


def test_packages_without_consecutive_serial_numbers_are_put_together_loosely() -> None:
    body = bytes(range(30))
    reassembly = Reassembly()
    parts = [body[at : at + 10] for at in (0, 10, 20)]

    for _ in range(2):
        added = [
            reassembly.add(
                "1", edition=V2013, message_id=0x0801, serial=7, total=3, index=index + 1, body=parts[index], now_s=0, loose=True
            )
            for index in (2, 0, 1)
        ]
        assert [each.outcome for each in added] == [Outcome.KEPT, Outcome.KEPT, Outcome.COMPLETE]
        assert added[-1].whole
        assert added[-1].whole.body == body


def test_missing_packages_are_asked_for_with_growing_pauses_and_then_given_up() -> None:
    reassembly = Reassembly(Limits(pause_s=3, requests_max=3))
    put(reassembly, pieces(bytes(40))[1], now_s=100)
    asked: list[int] = []
    lost = []
    for second in range(100, 200):
        due = reassembly.due(second)
        asked += [second] * len(due.requests)
        lost += [(second, each.why, each.parts) for each in due.lost]

    assert asked == [103, 109, 118]
    assert lost == [(130, Why.SILENCE, {2: bytes(10)})]
    assert len(reassembly) == 0


def test_a_package_starts_the_pauses_anew_but_nothing_lives_for_ever() -> None:
    reassembly = Reassembly(Limits(pause_s=3, life_s_max=50))
    wires = pieces(bytes(1000))
    why = []
    for second in range(60):
        put(reassembly, wires[second], now_s=second)
        why += [lost.why for lost in reassembly.due(second).lost]

    assert why == [Why.AGE]


@pytest.mark.parametrize(("edition", "width"), [(V2013, 1), (V2019, 2)])
def test_a_request_counts_in_the_width_of_its_edition(edition: int, width: int) -> None:
    reassembly = Reassembly()
    put(reassembly, pieces(bytes(40), 500, message_id=0x0104, edition=edition)[2])
    (request,) = reassembly.due(3).requests
    message_id, fields = request.message

    assert (message_id, request.terminal) == (0x8003, TERMINAL)
    assert build(message_id, edition, fields) == b"\x01\xf4" + (3).to_bytes(width, "big") + b"\x00\x01\x00\x02\x00\x04"


def test_a_terminal_of_2011_is_not_asked_for_it_would_not_understand() -> None:
    reassembly = Reassembly()
    reassembly.add("1", edition=V2011, message_id=0x0801, serial=1, total=3, index=1, body=b"x", now_s=0)

    assert reassembly.due(3).requests == []


def test_missing_packages_of_media_are_asked_for_by_the_medias_own_answer() -> None:
    reassembly = Reassembly()
    put(reassembly, pieces(b"\x00\x00\x00\x07" + bytes(26))[0])
    (request,) = reassembly.due(3).requests

    assert request.message == (0x8800, {"media_id": 7, "indexes": [2, 3]})


def test_a_request_never_names_more_packages_than_one_message_carries() -> None:
    reassembly = Reassembly(Limits(indexes_max=200))
    reassembly.add("1", edition=V2013, message_id=1, serial=1, total=5000, index=1, body=b"x", now_s=0)
    (request,) = reassembly.due(3).requests

    assert request.indexes == tuple(range(2, 202))
    assert len(build(*request.message[:1], V2013, request.message[1])) <= 1023


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.integers(0, 0xFFFF), st.integers(0, 5), st.integers(0, 6), st.binary(max_size=60), st.integers(0, 4)
        ),
        max_size=60,
    )
)
def test_whatever_is_sent_the_bounds_hold_and_every_package_has_an_outcome(sent: list[tuple[int, int, int, int, bytes, int]]) -> None:
    limits = Limits(
        message_bytes_max=600, terminal_bytes_max=900, terminal_messages_max=2, bytes_max=1500, messages_max=4, finished_packages_max=10
    )
    reassembly = Reassembly(limits)
    now_s = 0
    for terminal, serial, total, index, body, later in sent:
        now_s += later
        added = reassembly.add(
            str(terminal), edition=V2013, message_id=0x0801, serial=serial, total=total, index=index, body=body, now_s=now_s
        )
        due = reassembly.due(now_s)

        assert isinstance(added.outcome, Outcome)
        assert (added.whole is not None) == (added.outcome is Outcome.COMPLETE)
        assert len(reassembly) <= limits.messages_max
        assert 0 <= reassembly.held_bytes <= max(limits.bytes_max, limits.message_bytes_max)
        assert len(due.requests) <= limits.messages_max
        assert reassembly._finished_packages == sum(len(sums) for _, sums in reassembly._finished.values()) <= 10
        assert reassembly.held_bytes == sum(each.size for each in reassembly._partials.values())
    for terminal in range(6):
        reassembly.forget(str(terminal))

    assert (len(reassembly), reassembly.held_bytes, reassembly._terminals) == (0, 0, {})


def test_a_message_that_announces_too_much_is_refused_at_its_first_package() -> None:
    reassembly = Reassembly()
    added = reassembly.add("1", edition=V2013, message_id=0x0801, serial=1, total=0xFFFF, index=1, body=bytes(1000), now_s=0)

    assert (added.outcome, added.reason, len(reassembly)) == (Outcome.REFUSED, Reject.OVERSIZE, 0)


def test_never_ending_messages_of_one_terminal_cost_only_its_own() -> None:
    reassembly = Reassembly(Limits(terminal_messages_max=4))
    put(reassembly, pieces(bytes(30))[0])
    for serial in range(0, 1000, 7):
        reassembly.add("hostile", edition=V2013, message_id=0x0801, serial=serial, total=9, index=2, body=bytes(900), now_s=0)

    assert len(reassembly) == 5
    assert wholes(reassembly, pieces(bytes(30))[1:]) == [bytes(30)]
    assert {lost.why for lost in reassembly.due(0).lost} == {Why.NO_ROOM}


def test_what_is_lost_at_once_is_not_kept_without_bound() -> None:
    reassembly = Reassembly(Limits(terminal_messages_max=1, terminal_bytes_max=5000, messages_max=50))
    for serial in range(0, 1000, 7):
        reassembly.add("hostile", edition=V2013, message_id=0x0801, serial=serial, total=9, index=2, body=bytes(900), now_s=0)
    lost = reassembly.due(0).lost

    assert len(lost) == 50
    assert sum(len(each.parts) for each in lost) < 5
    assert reassembly.due(0).lost == []


def test_a_picture_over_a_link_that_loses_one_in_twenty_arrives_whole() -> None:
    chance = random.Random(808)
    picture = chance.randbytes(5 << 20)
    sent, reassembly = Sent(), Reassembly()
    frames = packages(0x0801, TERMINAL, 65_000, b"\x00\x00\x00\x01" + picture, V2019)
    sent.keep(TERMINAL, 65_000, frames, 0)
    whole = None
    way = list(frames)
    now_s = 0.0
    while whole is None:
        for wire in way:
            now_s += 0.01
            if chance.random() >= 0.05:
                added = put(reassembly, wire, now_s)
                whole = added.whole or whole
        now_s += 3
        way = [wire for request in reassembly.due(now_s).requests for wire in sent.again(TERMINAL, request.first_serial, request.indexes)]
        assert now_s < 600

    assert whole.body[4:] == picture


def test_a_body_that_fits_is_one_frame_without_numbers() -> None:
    (wire,) = packages(0x8300, TERMINAL, 5, bytes(1000), V2013)
    frame = frame_of(wire)

    assert (frame.serial, frame.total, len(frame.body)) == (5, 0, 1000)


@given(st.binary(max_size=60), st.integers(0, 0xFFFF), st.sampled_from([V2013, V2019]))
def test_what_is_cut_is_put_together_and_described_as_packages(body: bytes, first_serial: int, edition: int) -> None:
    wires = pieces(body, first_serial, size=7, edition=edition, message_id=0x8900)

    assert [frame_of(wire).reject for wire in wires] == [Reject.NONE] * len(wires)
    assert len(wires) == 1 or wholes(Reassembly(), wires) == [body]
    assert all(told["ok"] for wire in wires if len(wires) > 1 for told in describe(wire.hex()))


def test_a_body_with_more_packages_than_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 65536 packages"):
        packages(0x8108, TERMINAL, 0, bytes(65536), V2013, body_bytes_max=1)


def test_what_is_sent_again_is_the_same_to_the_byte_and_each_once() -> None:
    frames = pieces(bytes(range(40)))
    sent = Sent()
    sent.keep(TERMINAL, 100, frames, 0)

    assert sent.again(TERMINAL, 100, [3, 1, 3, 0, 9]) == [frames[0], frames[2]]
    assert sent.again(TERMINAL, 101, [1]) == []
    assert sent.again("another", 100, [1]) == []


def test_what_was_sent_is_forgotten_by_age_by_bytes_and_with_its_terminal() -> None:
    frames = pieces(bytes(40))
    size = sum(map(len, frames))
    sent = Sent(bytes_max=2 * size, age_s_max=60)
    for number, terminal in enumerate(["1", "2", "3"]):
        sent.keep(terminal, 0, frames, number)
    assert (len(sent), sent.held_bytes) == (2, 2 * size)

    sent.forget("2")
    assert (sent.again("2", 0, [1]), sent.again("3", 0, [1])) == ([], frames[:1])

    sent.expire(62)
    assert (len(sent), sent.held_bytes) == (0, 0)
