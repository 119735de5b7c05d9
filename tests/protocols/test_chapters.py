"""What a chapter's messages mean: the senses, widths and forms that a round trip cannot show."""

from __future__ import annotations

import gzip
from contextlib import suppress
from datetime import datetime, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.adapters import GMT8
from protocols.errors import ProtocolError
from protocols.jt808.describe import describe
from protocols.jt808.header import EDITIONS, V2011, V2013, V2019, encode
from protocols.jt808.messages import MESSAGES, build, parse
from protocols.jt808.messages.parameters import PARAMETERS
from protocols.jt808.messages.passthrough import INFLATED_BYTES_MAX, deflate, inflate
from protocols.jt808.messages.registry import PARSE_BYTES_MAX
from protocols.jt808.messages.subiao import MARKS, TERMINAL_ID_BYTES
from protocols.jt808.messages.vehicle import doors
from protocols.parts import MOST_PARTS
from tracks.verdict import Reject
from vectors import jt808

NOON = datetime(2024, 5, 6, 12, 0, 0)  # noqa: DTZ001 - a wall clock


def vector(name: str) -> bytes:
    return next(bytes.fromhex(each["body_hex"]) for each in jt808.bodies() if each["id"] == name)


def there_and_back(message_id: int, edition: int, fields: dict[str, Any]) -> dict[str, Any]:
    return parse(message_id, edition, build(message_id, edition, fields))


# --- what may be left out, and what JSON may say --------------------------------------------------------------------------------------


def test_counts_and_lengths_are_found_when_they_are_not_given() -> None:
    assert build(0x8106, V2013, {"ids": [1, 0x13]}) == bytes.fromhex("02 00000001 00000013")
    assert build(0x8304, V2013, {"info_id": 1, "text": "路况"}) == b"\x01\x00\x04" + "路况".encode("gbk")


@pytest.mark.parametrize("command", [4, "reset", {"code": 4, "word": "reset"}])
def test_a_code_is_taken_as_number_as_word_and_as_json_has_it(command: Any) -> None:
    assert build(0x8105, V2013, {"command": command}) == b"\x04"


def test_a_word_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(ProtocolError, match=r"'explode' is none of upgrade, connect"):
        build(0x8105, V2013, {"command": "explode"})


@pytest.mark.parametrize("kinds", [1 << 20 | 1, ["emergency", "area_in_out"], {"bits": 1 << 20 | 1, "set": []}])
def test_flags_are_taken_as_number_as_words_and_as_json_has_them(kinds: Any) -> None:
    assert build(0x8203, V2013, {"alarm_serial": 0, "kinds": kinds}) == bytes.fromhex("0000 00100001")


def test_a_flag_that_is_none_is_refused() -> None:
    with pytest.raises(ProtocolError, match="typo"):
        build(0x8203, V2013, {"alarm_serial": 0, "kinds": ["typo"]})


@pytest.mark.parametrize("start", [NOON, "2024-05-06T12:00:00", "2024-05-06T04:00:00Z", NOON.replace(tzinfo=GMT8)])
def test_a_time_is_a_wall_clock_or_an_instant_that_is_told_in_gmt8(start: Any) -> None:
    fields = {"type": 0, "channel": 1, "event": 0, "start": start, "stop": None}

    assert build(0x8802, V2013, fields) == bytes.fromhex("00 01 00 240506120000 000000000000")


def test_octets_are_taken_in_hexadecimal_digits() -> None:
    assert build(0x8900, V2013, {"subtype": 0xF0, "data": "54455354"}) == b"\xf0TEST"


# --- lists and numbers that lie -------------------------------------------------------------------------------------------------------


def test_a_count_that_lies_changes_nothing_about_what_is_there() -> None:
    body = b"\x00\x01\xff" + bytes.fromhex("00000001 04 0000003c")
    fields = parse(0x0104, V2013, body)

    assert (fields["count"], len(fields["parameters"])) == (255, 1)
    assert build(0x0104, V2013, fields) == body


def test_a_broken_part_costs_itself_and_what_is_behind_it_only() -> None:
    fields = parse(0x0104, V2013, b"\x00\x01\x02" + bytes.fromhex("00000001 04 0000003c 00000013 ff 6162"))

    assert [each["value"] for each in fields["parameters"]] == [60]
    assert fields["rest"] == bytes.fromhex("00000013 ff 6162")


@pytest.mark.parametrize("message_id", [0x0104, 0x0608, 0x0802, 0x1205, 0x8600])
def test_a_list_is_read_up_to_a_bound_and_a_body_too_long_for_lists_not_at_all(message_id: int) -> None:
    fields = parse(message_id, V2013, bytes(PARSE_BYTES_MAX))
    longest = max((len(each) for each in fields.values() if isinstance(each, list)), default=0)

    assert longest <= MOST_PARTS
    with pytest.raises(ProtocolError) as caught:
        parse(message_id, V2013, bytes(PARSE_BYTES_MAX + 1))
    assert caught.value.reason == Reject.OVERSIZE


def test_a_file_in_a_message_may_be_as_long_as_it_is() -> None:
    picture = bytes(5 << 20)
    fields = {"media_id": 1, "type": 0, "format": 0, "event": 0, "channel": 1, "location": LOCATION, "data": picture}

    assert there_and_back(0x0801, V2013, fields)["data"] == picture


LOCATION: dict[str, Any] = {
    "alarm": 0,
    "status": 2,
    "lat": 31.0,
    "lon": 121.0,
    "altitude_m": 4,
    "speed_kmh": 0.0,
    "course_deg": 0,
    "time": NOON,
}


# --- parameters -----------------------------------------------------------------------------------------------------------------------


def parameter(number: int, value: bytes) -> dict[str, Any]:
    (read,) = parse(0x8103, V2013, b"\x01" + number.to_bytes(4, "big") + bytes([len(value)]) + value)["parameters"]
    return dict(read)


@pytest.mark.parametrize(
    ("number", "value", "told"),
    [
        (0x0001, "0000003c", {"name": "heartbeat_s", "value": 60}),
        # quirk G9: widths other than the printed ones
        (0x0090, "00000003", {"name": "gnss_systems", "value": 3, "width": 4}),
        (0x0055, "0078", {"name": "max_speed_kmh", "value": 120, "width": 2}),
        (0x0084, "00000001", {"name": "plate_colour", "value": 1, "width": 4}),
        (0x0001, "", {"name": "heartbeat_s", "raw": b""}),
        (0x0001, "010203", {"name": "heartbeat_s", "raw": b"\x01\x02\x03"}),
        (0xF555, "abcd", {"name": None, "raw": b"\xab\xcd"}),
        (
            0x0032,
            "16320a1e",
            {"name": "forbidden_hours", "value": {"start_hour": 22, "start_minute": 50, "stop_hour": 10, "stop_minute": 30}},
        ),
        (0x005D, "0a0f", {"name": "collision", "value": {"acceleration_g": 1.0, "time_steps": 15}}),
        (0x0083, "d4c142313233343500", {"name": "plate", "value": "粤B12345"}),
    ],
)
def test_a_parameter_is_told_by_name_in_the_width_it_came_in(number: int, value: str, told: dict[str, Any]) -> None:
    read = parameter(number, bytes.fromhex(value))

    assert read == {"id": number} | told
    assert build(0x8103, V2013, {"parameters": [read]})[6:].hex() == value


def test_a_parameter_is_set_and_asked_for_by_name_or_by_id() -> None:
    set_ = {"parameters": [{"name": "heartbeat_s", "value": 60}, {"id": "0x0013", "value": "example.org:6808"}]}

    assert build(0x8103, V2019, set_) == bytes.fromhex("02 00000001 04 0000003c 00000013 10") + b"example.org:6808"
    assert build(0x8106, V2019, {"ids": ["heartbeat_s", 0x13, "0x0083"]}) == bytes.fromhex("03 00000001 00000013 00000083")
    with pytest.raises(ProtocolError, match="'heart' is neither"):
        build(0x8106, V2019, {"ids": ["heart"]})


def test_every_parameter_has_a_name_of_its_own() -> None:
    names = [each.name for each in PARAMETERS.values()]

    assert len(set(names)) == len(names)
    assert {0x0110, 0x01FF} <= PARAMETERS.keys()


def test_2011_says_how_many_parameters_there_are_in_all() -> None:
    body = build(0x8103, V2011, {"total": 9, "parameters": [{"id": 1, "value": 5}]})

    assert body == bytes.fromhex("09 01 00000001 04 00000005")
    # which edition it is, the body tells: headers do not
    assert MESSAGES[0x8103].edition_of(V2013, body) == V2011
    assert parse(0x8103, V2013, body)["total"] == 9


@pytest.mark.parametrize(("name", "width"), [("b0133", 56), ("b0138", 64), ("b0134", 47), ("b0139", 66)])
def test_active_safety_is_set_in_the_form_of_each_province(name: str, width: int) -> None:
    (read,) = parse(0x8103, V2013, vector(name))["parameters"]

    assert (read["value"]["speed_kmh"], read["value"]["volume"], len(vector(name)) - 6) == (5, 45, width)
    assert ("solid_line" in read["value"]) == (name == "b0138")
    assert ("seat_belt" in read["value"]) == (name == "b0139")


# --- control --------------------------------------------------------------------------------------------------------------------------


def test_control_parameters_go_out_by_name_in_their_order_with_empty_ones_kept() -> None:
    connect = {"control": "0", "address": "203.0.113.7", "tcp_port": "6808", "time_limit_min": "60"}

    assert build(0x8105, V2013, {"command": "connect", "parameters": connect}) == b"\x020;;;;;203.0.113.7;6808;;60"
    assert there_and_back(0x8105, V2013, {"command": 2, "parameters": connect})["parameters"]["address"] == "203.0.113.7"
    with pytest.raises(ProtocolError, match="adress"):
        build(0x8105, V2013, {"command": 2, "parameters": {"adress": "x"}})


def test_control_parameters_of_any_number_are_a_list_and_text_goes_out_as_it_is() -> None:
    assert parse(0x8105, V2013, b"\x01a;b")["parameters"] == ["a", "b"]
    assert build(0x8105, V2013, {"command": 0x64, "parameters": "#0;1"}) == b"d#0;1"


def attributes(maker_width: int, edition: int) -> bytes:
    fields = {"kinds": 0, "maker": "MAKER", "model": "M", "terminal_id": "T", "iccid": "1", "hardware": "1.0", "firmware": "2"}
    return build(0x0107, edition, fields | {"maker_width": maker_width, "gnss": 3, "radio": 32})


@pytest.mark.parametrize("edition", [V2013, V2019])
@pytest.mark.parametrize("width", [5, 11])
def test_the_makers_id_in_the_attributes_has_the_width_that_adds_up(width: int, edition: int) -> None:
    body = attributes(width, edition)
    for header in (V2013, V2019):
        assert MESSAGES[0x0107].edition_of(header, body) == edition
        fields = parse(0x0107, header, body)
        assert (fields["maker_width"], fields["maker"], fields["gnss"].words) == (width, "MAKER", ["gps", "beidou"])


def test_attributes_without_their_last_two_bytes_are_read() -> None:
    fields = parse(0x0107, V2013, attributes(5, V2013)[:-2])

    assert (fields["firmware"], fields["gnss"], fields["radio"]) == ("2", None, None)


# --- doors, tracking, text ------------------------------------------------------------------------------------------------------------


def test_doors_are_locked_by_a_one_until_2013_and_by_a_zero_since_2019() -> None:
    assert [build(0x8500, V2013, doors(V2013, locked=locked)) for locked in (False, True)] == [b"\x00", b"\x01"]
    assert [build(0x8500, V2019, doors(V2019, locked=locked)) for locked in (False, True)] == [
        bytes.fromhex("0001 0001 01"),
        bytes.fromhex("0001 0001 00"),
    ]


def test_nothing_follows_the_interval_that_stops_tracking() -> None:
    assert build(0x8202, V2013, {"interval_s": 0}) == b"\x00\x00"
    assert build(0x8202, V2013, {"interval_s": 5, "valid_s": 600}) == bytes.fromhex("0005 00000258")


def test_nothing_follows_the_setting_that_deletes_all() -> None:
    assert build(0x8301, V2013, {"setting": "delete_all"}) == b"\x00"
    assert build(0x8301, V2011, {"setting": "update", "events": [{"id": 1, "text": "a"}]}) == bytes.fromhex("01 01 01 01 01 61")


def test_a_text_has_a_kind_since_2019() -> None:
    assert parse(0x8300, V2013, b"\x01\x01ab")["text"] == "\x01ab"
    assert parse(0x8300, V2019, b"\x01\x01ab")["kind"].word == "notice"


# --- areas ----------------------------------------------------------------------------------------------------------------------------


def circle(**more: Any) -> dict[str, Any]:
    return {"id": 1, "lat": -33.5, "lon": 151.25, "radius_m": 500} | more


def test_an_area_on_another_hemisphere_has_magnitudes_and_the_attribute_says_so() -> None:
    body = build(0x8600, V2013, {"action": "append", "areas": [circle()]})
    (area,) = parse(0x8600, V2013, body)["areas"]

    assert body.hex() == "0101" + "00000001" + "0040" + f"{33_500_000:08x}" + f"{151_250_000:08x}" + "000001f4"
    assert (area["lat"], area["lon"], area["attribute"].words) == (-33.5, 151.25, ["south"])


def test_fields_that_an_attribute_announces_announce_themselves() -> None:
    area = circle(start="22:00:00", stop=time(6, 30), max_speed_kmh=80, overspeed_s=10, night_max_speed_kmh=60, name="学校")
    (read,) = there_and_back(0x8600, V2019, {"action": 0, "areas": [area]})["areas"]

    assert read["attribute"].words == ["times", "speed_limit", "south"]
    # on every day: the date is zeros
    assert (read["start"], read["stop"], read["max_speed_kmh"], read["name"]) == (time(22), time(6, 30), 80, "学校")


def test_a_polygon_across_the_equator_cannot_be_said() -> None:
    polygon = {"id": 1, "vertices": [{"lat": 1.0, "lon": 10.0}, {"lat": -1.0, "lon": 10.0}, {"lat": 0.0, "lon": 11.0}]}
    with pytest.raises(ProtocolError, match="one hemisphere"):
        build(0x8604, V2013, polygon)


def test_the_fields_given_for_an_area_are_not_changed() -> None:
    area = circle()
    build(0x8600, V2013, {"action": 0, "areas": [area]})

    assert area == circle()


@pytest.mark.parametrize("edition", [V2011, V2013, V2019], ids=EDITIONS)
def test_a_route_is_told_apart_by_its_body(edition: int) -> None:
    point = {"segment_id": 7, "lat": 31.0, "lon": 121.0, "width_m": 20, "attribute": 0, "point_id": 1}
    limits = {"driving_time_s": 60} if edition == V2011 else {"too_long_s": 600, "too_short_s": 60}
    body = build(
        0x8606,
        edition,
        {"id": 3, "points": [point | limits, point | {"max_speed_kmh": 60, "overspeed_s": 5, "night_max_speed_kmh": 40}], "name": "x"},
    )

    assert MESSAGES[0x8606].edition_of(V2019 if edition == V2019 else V2013, body) == edition
    assert len(parse(0x8606, V2013, body)["points"]) == 2


# --- recorder, driver, media ----------------------------------------------------------------------------------------------------------


def test_a_recorder_is_asked_for_a_time_with_its_own_frame_and_checksum() -> None:
    data = {"start": NOON, "end": NOON, "most": 1}

    assert (
        build(0x8700, V2013, {"command": 8, "block": {"data": data}}).hex()
        == "08" + "aa75" + "08" + "000e" + "00" + 2 * "240506120000" + "0001" + "d8"
    )
    assert build(0x8700, V2013, {"command": "0x02"}).hex() == "02" + "aa75" + "02" + "0000" + "00" + "dd"


@pytest.mark.parametrize("at", [3, 6, 9, -1])
def test_a_recorder_block_that_does_not_add_up_stays_bytes(at: int) -> None:
    body = bytearray(vector("b0071"))
    body[at] ^= 1
    fields = parse(0x0700, V2013, bytes(body))

    assert fields["block"] == bytes(body[3:])
    assert build(0x0700, V2013, fields) == bytes(body)


def test_a_recorder_that_fails_says_so_without_data() -> None:
    assert parse(0x0700, V2013, vector("b0089"))["block"] == {"lead": 0x557A, "command": 0xFA, "reserved": 0}


def test_what_a_recorder_sends_is_told_record_by_record() -> None:
    speeds = parse(0x0700, V2013, vector("b0077"))["block"]["data"]["records"]
    mileage = parse(0x0700, V2013, vector("b0072"))["block"]["data"]

    assert (len(speeds), len(speeds[0]["seconds"]), speeds[0]["seconds"][0]) == (1, 60, {"speed_kmh": 10, "state": 20})
    assert (mileage["initial_mileage_km"], mileage["total_mileage_km"]) == (100.0, 500.0)


def test_a_recorder_block_of_2011_has_two_lengths_instead_of_a_serial_number() -> None:
    body = build(0x0700, V2011, {"command": 2, "total_length": 6, "data": b"abcdef"})

    assert parse(0x0700, V2013, body) == {"command": 2, "total_length": 6, "length": 6, "data": b"abcdef"}


DRIVER = {"name": "张三", "certificate": "123", "office": "运管", "expires_yyyymmdd": "20300101"}


@pytest.mark.parametrize(
    ("card", "length"),
    [({"card": "out"}, 7), ({"card": "in", "result": "card_locked"}, 8), ({"card": "out", "result": 0, "driver": DRIVER}, 42)],
    ids=["out", "unreadable", "out but told"],
)
def test_of_a_drivers_card_is_read_what_is_there(card: dict[str, Any], length: int) -> None:
    body = build(0x0702, V2013, card | {"time": NOON})
    fields = parse(0x0702, V2013, body)

    assert len(body) == length
    assert (fields["driver"] or {}).get("name") == card.get("driver", {}).get("name")


def test_a_driver_of_2011_has_no_card_and_one_of_2019_an_identity_card() -> None:
    old = build(0x0702, V2011, {"name": "张三", "id_card": "1", "certificate": "2", "office": "运管"})
    new = build(0x0702, V2019, {"card": 1, "time": NOON, "result": 0, "driver": DRIVER | {"id_card": "9"}})

    assert parse(0x0702, V2013, old)["id_card"] == "1"
    # also behind a header of 2013
    assert parse(0x0702, V2013, new)["driver"]["id_card"] == "9"


def test_media_of_2011_has_package_numbers_where_later_ones_have_a_place() -> None:
    media = {"media_id": 1, "type": 0, "format": 0, "event": 0, "channel": 1, "data": bytes(60)}
    old = build(0x0801, V2011, media | {"packages": 3, "package": 2})
    new = build(0x0801, V2013, media | {"location": LOCATION})

    assert parse(0x0801, V2013, old)["package"] == 2
    assert parse(0x0801, V2013, new)["location"]["lat"] == 31.0


def test_media_that_has_come_whole_is_answered_by_its_id_alone() -> None:
    assert build(0x8800, V2013, {"media_id": 7}) == bytes.fromhex("00000007")
    assert build(0x8800, V2013, {"media_id": 7, "indexes": [2, 5]}) == bytes.fromhex("00000007 02 0002 0005")
    assert build(0x0805, V2013, {"reply_serial": 1, "result": "failed"}) == bytes.fromhex("0001 01")


# --- transparent and compressed data --------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_what_is_compressed_comes_out_again(body: bytes) -> None:
    assert inflate(deflate(body)) == body
    assert inflate(gzip.compress(body)) == body


def test_a_bomb_does_not_go_off() -> None:
    bomb = gzip.compress(bytes(200 << 20))
    with pytest.raises(ProtocolError, match="swell") as caught:
        inflate(bomb)

    assert caught.value.reason == Reject.OVERSIZE
    assert len(inflate(gzip.compress(bytes(INFLATED_BYTES_MAX)))) == INFLATED_BYTES_MAX


@given(st.binary(max_size=100), st.binary(max_size=60), st.integers(0, 200))
def test_what_is_no_gzip_is_refused(body: bytes, noise: bytes, cut: int) -> None:
    for data in (noise, deflate(body)[:cut], deflate(body)[: cut // 2] + noise):
        with suppress(ProtocolError):
            assert inflate(data) == body


def test_transparent_data_of_2011_is_told_by_its_two_lengths() -> None:
    body = build(0x0900, V2011, {"subtype": 0x41, "total_length": 9, "data": b"abc"})

    assert parse(0x0900, V2013, body) == {"subtype": 0x41, "total_length": 9, "length": 3, "data": b"abc"}


# --- active safety --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", MARKS)
def test_the_mark_of_an_alarm_has_the_width_that_adds_up(width: int) -> None:
    mark = {"terminal_id": "T1", "time": NOON, "sequence": 1, "attachments": 2}
    order = {"mark_bytes": width, "address": "203.0.113.7", "tcp_port": 1, "udp_port": 0, "mark": mark, "alarm_number": "A1"}
    files = [{"name": "00_64_6401_0_A1.jpg", "bytes": 12}]
    announced = {"mark_bytes": width, "terminal_id": "T1", "mark": mark, "alarm_number": "A1", "info": 0, "files": files}

    assert there_and_back(0x9208, V2013, order)["mark_bytes"] == width
    read = there_and_back(0x1210, V2013, announced)
    assert (read["mark_bytes"], read["mark"]["terminal_id"], read["files"]) == (width, "T1", files)
    assert read["terminal_id"] == ("T1" if TERMINAL_ID_BYTES[width] else None)


def test_a_file_that_has_come_whole_is_answered_without_a_list() -> None:
    assert build(0x9212, V2013, {"name": "a", "type": 0, "result": "done"}) == bytes.fromhex("01 61 00 00 00")


# --- describe -------------------------------------------------------------------------------------------------------------------------


def test_codes_ids_and_daily_times_are_told_in_words() -> None:
    area = circle(start="22:00:00", stop="06:00:00")
    (told,) = describe(encode(0x8600, "1", 1, build(0x8600, V2013, {"action": 1, "areas": [area]}), V2013).hex())

    assert told["body"]["action"] == {"code": 1, "word": "append"}
    assert (told["body"]["areas"][0]["start"], told["body"]["areas"][0]["lat"]) == ("22:00:00", -33.5)
    (told,) = describe(encode(0x8106, "1", 1, build(0x8106, V2013, {"ids": [1]}), V2013).hex())
    assert told["body"]["ids"] == ["0x0001"]
