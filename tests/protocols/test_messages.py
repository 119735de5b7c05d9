"""Bodies: every declared message there and back, and the forms that only the body tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generated_jt808 import DWORDS
from protocols.errors import ProtocolError
from protocols.jt808.frames import frame_of
from protocols.jt808.header import V2011, V2013, V2019
from protocols.jt808.messages import MESSAGES, build, parse
from protocols.jt808.messages.items import ITEMS
from protocols.text import Text, decode, encode
from tracks.verdict import Reject
from vectors import jt808


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


def test_an_id_that_nobody_has_defined_is_unknown() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(0x7777, V2013, b"")

    assert caught.value.reason == Reject.UNKNOWN_MESSAGE


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
    assert value["mark"]["terminal_id"] == "4444444"
    assert (value["mark"]["sequence"], value["mark"]["attachments"]) == (3, 2)
    assert [tyre["pressure_kpa"] for tyre in value.get("tyres", [])] in ([], [3, 8])
