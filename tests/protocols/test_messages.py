"""Bodies: every declared message there and back, and the forms that only the body tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generated_jt808 import DWORDS, LOCATIONS, WALL_TIMES, WORDS
from protocols.errors import ProtocolError
from protocols.jt808.frames import frame_of
from protocols.jt808.header import EDITIONS, V2011, V2013, V2019
from protocols.jt808.messages import MESSAGES, build, parse
from protocols.jt808.messages.items import ITEMS
from protocols.jt808.messages.known import BOTH, DOWN, UP
from protocols.text import Text, decode, encode
from tracks.verdict import Reject
from vectors import jt808

BYTES = st.integers(0, 255)


def texts(most: int) -> st.SearchStrategy[str]:
    """Texts that fit `most` bytes and have no padding of their own."""
    letters = st.sampled_from("0123456789ABCabc-粤京测豫鲁")
    return st.text(letters, max_size=most).filter(lambda text: len(encode(text)) <= most)


GENERAL = st.fixed_dictionaries({"reply_serial": WORDS, "reply_id": WORDS, "result": BYTES})
REPORT = LOCATIONS.map(lambda fields: fields | {"time": fields["time"] and fields["time"].replace(microsecond=0)})
REPLY = st.builds(lambda serial, report: {"reply_serial": serial} | report, WORDS, REPORT.filter(lambda report: report["time"]))
BATCH = st.fixed_dictionaries(
    {"count": WORDS, "kind": st.integers(0, 1), "reports": st.lists(st.one_of(REPORT, st.binary(max_size=27)), max_size=3)}
)
PLATE = {"plate_colour": st.sampled_from([1, 2, 3, 4, 5, 9]), "plate": st.sampled_from(["粤B12345", "京AD12345", "豫Q00001", "鲁C3333学"])}
AREA = {"province": WORDS, "city": WORDS}


def registrations(maker: int, model: int, terminal_id: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(AREA | {"maker": texts(maker), "model": texts(model), "terminal_id": texts(terminal_id)} | PLATE)


ROUND_TRIPS: dict[tuple[int, int], st.SearchStrategy[dict[str, Any]]] = {
    (0x0001, V2013): GENERAL,
    (0x8001, V2019): GENERAL,
    (0x0002, V2013): st.just({}),
    (0x0003, V2013): st.just({}),
    (0x0004, V2019): st.just({}),
    (0x8004, V2019): st.fixed_dictionaries({"time": WALL_TIMES.map(lambda wall: wall.replace(tzinfo=UTC))}),
    (0x0100, V2011): registrations(5, 8, 7),
    (0x0100, V2013): registrations(5, 20, 7),
    (0x0100, V2019): registrations(11, 30, 30),
    (0x8100, V2013): st.fixed_dictionaries({"reply_serial": WORDS, "result": st.just(0), "auth_code": texts(40)}),
    (0x0102, V2013): st.fixed_dictionaries({"auth_code": texts(40)}),
    (0x0102, V2019): st.fixed_dictionaries({"auth_code": texts(40), "imei": texts(15), "software": texts(20)}),
    (0x0200, V2013): REPORT,
    (0x8201, V2013): st.just({}),
    (0x0201, V2013): REPLY,
    (0x0500, V2013): REPLY,
    (0x0704, V2013): BATCH,
}


def without_empty_rest(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_empty_rest(each) for name, each in value.items() if name != "rest" or each}
    return [without_empty_rest(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("message_id", "edition"), ROUND_TRIPS, ids=lambda value: f"{value:04x}" if value > 2 else EDITIONS[value])
@given(st.data())
def test_what_is_built_is_parsed_back_to_the_same_fields(message_id: int, edition: int, data: st.DataObject) -> None:
    fields = data.draw(ROUND_TRIPS[message_id, edition])
    body = build(message_id, edition, fields)

    assert without_empty_rest(parse(message_id, edition, body)) == without_empty_rest(fields)


def test_every_declared_message_has_a_round_trip() -> None:
    assert {message.id for message in MESSAGES.values() if message.supported} == {message_id for message_id, _ in ROUND_TRIPS}


PADDED = {
    # 0x0100 with pads that are read but not written: behind instead of before (2019), NUL instead of space (2011)
    "f0047",
    "f0049",
    "f0051",
    "f0244",
    "f0266",
    "f0330",
    "f0775",
}


@pytest.mark.parametrize("vector", jt808.frames(), ids=lambda vector: vector["id"])
def test_bodies_from_the_road_are_parsed_and_built_to_the_same_bytes(vector: dict) -> None:
    frame = frame_of(jt808.wire(vector))
    message = MESSAGES.get(frame.message_id)
    if not message or not message.supported or frame.total > 1 or (frame.message_id in {0x8001, 0x8100} and not frame.body):
        return
    fields = parse(frame.message_id, frame.edition, frame.body)
    rebuilt = build(frame.message_id, message.edition_of(frame.edition, frame.body), fields)

    assert rebuilt == frame.body or (vector["id"] in PADDED and parse(frame.message_id, frame.edition, rebuilt) == fields)


@pytest.mark.parametrize("vector", jt808.bodies(), ids=lambda vector: vector["id"])
def test_bodies_without_a_frame_are_read_or_refused(vector: dict) -> None:
    edition = V2019 if vector["version_hint"] == "2019" else V2013
    reason = Reject.NONE
    try:
        parse(int(vector["msg_id"], 16), edition, bytes.fromhex(vector["body_hex"]))
    except ProtocolError as error:
        reason = error.reason

    assert reason in {Reject.NONE, Reject.TRUNCATED, Reject.UNSUPPORTED, Reject.UNKNOWN_MESSAGE}


def registered(name: str) -> dict[str, Any]:
    frame = frame_of(jt808.synthetic(name))
    return parse(0x0100, frame.edition, frame.body)


@pytest.mark.parametrize("name", ["register_2013", "register_2011", "register_2019_front_pad", "register_utf8_plate"])
def test_a_registration_is_read_in_every_form_and_padding(name: str) -> None:
    fields = registered(name)

    assert fields == {
        "province": 44,
        "city": 303,
        "maker": "CTFO1",
        "model": "M-1",
        "terminal_id": "T000001",
        "plate_colour": 2,
        "plate": "粤B12345",
    }


@pytest.mark.parametrize(
    ("form", "colour", "plate"),
    [
        (V2011, 0, "LSVAA4182E2123456"),
        (V2013, 0, "LSVAA4182E2123456"),
        (V2011, 1, ""),
        (V2013, 1, ""),
        (V2011, 94, "粤AD12345"),
        (V2013, 9, "粤Z1234港"),
    ],
)
def test_2011_and_2013_registrations_are_told_apart_by_colour_and_plate(form: int, colour: int, plate: str) -> None:
    fields = {"province": 1, "city": 2, "maker": "MAKER", "model": "M8", "terminal_id": "T1", "plate_colour": colour, "plate": plate}

    assert MESSAGES[0x0100].edition_of(V2013, build(0x0100, form, fields)) == form


def test_a_registration_shorter_than_any_form_is_truncated() -> None:
    with pytest.raises(ProtocolError, match="register: 20 bytes end within terminal_id") as caught:
        parse(0x0100, V2013, bytes(20))

    assert caught.value.reason == Reject.TRUNCATED


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"\x041234" + b"5" * 15 + b"v1.0".ljust(20, b"\x00"), {"auth_code": "1234", "imei": "5" * 15, "software": "v1.0"}),
        (b"\x041234" + b"5" * 15 + b"v1", {"auth_code": "1234", "imei": "5" * 15, "software": "v1"}),
        (b"J10030000681", {"auth_code": "J10030000681"}),
        (b"", {"auth_code": ""}),
    ],
    ids=["2019", "short version", "no length byte", "nothing"],
)
def test_an_authentication_whose_length_byte_does_not_fit_is_all_code(body: bytes, fields: dict[str, str]) -> None:
    assert parse(0x0102, V2019, body) == fields


def test_a_refused_registration_is_answered_without_a_code() -> None:
    assert build(0x8100, V2013, {"reply_serial": 1, "result": 3, "auth_code": None}) == b"\x00\x01\x03"
    assert parse(0x8100, V2013, b"\x00\x01\x03")["auth_code"] is None


def test_a_heartbeat_with_a_body_is_a_heartbeat() -> None:
    assert parse(0x0002, V2013, b"\x64\x01") == {"rest": b"\x64\x01"}


def test_the_time_of_8004_is_utc_while_all_else_is_local() -> None:
    assert parse(0x8004, V2019, bytes.fromhex("191202101010"))["time"] == datetime(2019, 12, 2, 10, 10, 10, tzinfo=UTC)
    assert parse(0x0200, V2013, bytes(22) + bytes.fromhex("191202101010"))["time"].tzinfo is None


def test_text_is_gb18030_and_utf8_where_it_can_only_be_that() -> None:
    assert [decode("粤B12345".encode(each)) for each in ("gbk", "utf-8")] == ["粤B12345"] * 2
    # flawless UTF-8 of other letters, but plates of Shandong and Henan in GBK
    assert [decode(plate.encode("gbk")) for plate in ("鲁A12345", "豫A12345")] == ["鲁A12345", "豫A12345"]


def test_broken_text_is_shown_as_far_as_it_goes_and_goes_out_as_it_came() -> None:
    body = b"\x00\x01\x00" + b"code\xff\x30\xff"
    fields = parse(0x8100, V2013, body)

    assert fields["auth_code"].startswith("code")
    assert "\ufffd" in fields["auth_code"]
    assert fields["auth_code"].raw == b"code\xff\x30\xff"
    assert build(0x8100, V2013, fields) == body


@given(st.binary(max_size=30))
def test_any_bytes_are_some_text_that_writes_the_same_bytes(raw: bytes) -> None:
    text = decode(raw)

    assert isinstance(text, Text)
    assert encode(text) == raw or raw.decode("utf-8", "replace") == text


def test_a_text_too_long_for_its_field_is_not_cut_in_silence() -> None:
    fields = {"province": 1, "city": 2, "maker": "TOO LONG", "model": "", "terminal_id": "", "plate_colour": 1, "plate": ""}
    with pytest.raises(ProtocolError, match="takes 8 bytes, the field has 5"):
        build(0x0100, V2013, fields)


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(ProtocolError, match="reply_id"):
        build(0x8001, V2013, {"reply_serial": 1})


@pytest.mark.parametrize(("message_id", "reason"), [(0x8103, Reject.UNSUPPORTED), (0x7777, Reject.UNKNOWN_MESSAGE)])
def test_a_message_we_know_of_is_unsupported_and_any_other_unknown(message_id: int, reason: Reject) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(message_id, V2013, b"")

    assert caught.value.reason == reason


def test_names_are_unique_and_directions_follow_the_top_bit() -> None:
    names = [message.name for message in MESSAGES.values()]
    against = {message.id for message in MESSAGES.values() if message.direction != (DOWN if message.id & 0x8000 else UP)}

    assert len(set(names)) == len(names)
    # vendors' own
    assert against == {0x0310, 0x4401, 0x8888}
    assert MESSAGES[0x0310].direction == BOTH


def test_every_id_of_the_vectors_is_known_but_those_no_standard_has() -> None:
    ids = {int(vector["msg_id"], 16) for vector in jt808.frames()}

    assert ids - MESSAGES.keys() == {0x0091, 0x0093, 0x0304}


def test_item_names_are_unique() -> None:
    names = [item.name for item in ITEMS.values()]

    assert len(set(names)) == len(names)


@given(st.sampled_from(sorted(ITEMS)), st.binary(max_size=90))
def test_an_item_of_any_bytes_has_a_value_or_none(item_id: int, value: bytes) -> None:
    ITEMS[item_id].parse(value)


@given(st.sampled_from([0x01, 0x02, 0x03]), DWORDS)
def test_an_items_value_is_its_number_in_its_unit(item_id: int, number: int) -> None:
    size = ITEMS[item_id].forms[0].sizeof()
    number &= (1 << 8 * size) - 1

    assert ITEMS[item_id].parse(number.to_bytes(size, "big")) == number / 10


SAFETY = {
    each["id"]: each for each in jt808.bodies() if each["id"] in {"b0049", "b0051", "b0053", "b0054", "b0056", "b0057", "b0058", "b0059"}
}


@pytest.mark.parametrize("vector", SAFETY.values(), ids=SAFETY)
def test_active_safety_alarms_are_read_with_the_short_mark_and_the_long(vector: dict) -> None:
    (item,) = parse(0x0200, V2013, bytes.fromhex(vector["body_hex"]))["items"]
    value = ITEMS[item["id"]].parse(item["value"])

    assert value["alarm_id"] == 1
    assert value["time"] == datetime(2019, 12, 11, 18, 31)  # noqa: DTZ001 - a wall clock
    assert value["mark"]["terminal_id"].startswith(b"4444444")
    assert (value["mark"]["sequence"], value["mark"]["attachments"]) == (3, 2)
    assert [tyre["pressure_kpa"] for tyre in value.get("tyres", [])] in ([], [3, 8])
