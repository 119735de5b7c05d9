"""What `dubhe decode --json` says of a frame, held against the vectors and the public words."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from protocols.jt808.describe import describe
from protocols.jt808.header import V2013, encode
from tracks.verdict import Reject
from vectors import jt808

EMPTY_RESPONSES = {
    # 0x8001 and 0x8100 without a body, which the standard does not have (§8.2, §8.6 of 2013)
    "f0243",
    "f0295",
    "f0350",
    "f0351",
    "f0352",
    "f0354",
    "f0356",
    "f0358",
}
ENCRYPTED = {
    # a 0x0801 that is too short for its fields, with the RSA bit set (quirk B4)
    "f0246",
}
UNKNOWN = {
    # made-up ids of demonstrations, and one (0x0304) that no edition has
    "f0019",
    "f0020",
    "f0022",
    "f0099",
    "f0100",
}


def told(vector: dict[str, Any]) -> dict[str, Any]:
    (only,) = describe(jt808.wire(vector).hex())
    json.dumps(only, allow_nan=False)
    return only


def expected_reject(vector: dict[str, Any]) -> str | None:
    other_form = any("OTHER header layout" in flag for flag in vector.get("flags", []))
    if not vector["checksum_ok"]:
        return "checksum"
    if not vector["length_ok"] and not other_form:
        return "length_mismatch"
    if vector["id"] in ENCRYPTED:
        return "encrypted"
    if vector["id"] in EMPTY_RESPONSES:
        return "truncated"
    return "unknown_message" if vector["id"] in UNKNOWN else None


@pytest.mark.parametrize("vector", jt808.frames(), ids=lambda vector: vector["id"])
def test_every_vector_is_one_frame_that_is_kept_or_refused_for_the_right_reason(vector: dict) -> None:
    frame = told(vector)

    assert frame["reject"] == expected_reject(vector)
    assert frame["ok"] == (frame["reject"] is None)
    assert frame["ok"] or frame["why"]
    assert frame["message_id"].lower() == vector["msg_id"].lower()
    assert frame["version"] in {"2011", "2013", "2019"}
    assert bool(vector.get("encrypt_bits")) == frame["encrypted"]


def utc(wall: str) -> str:
    return (datetime.fromisoformat(wall) - timedelta(hours=8)).isoformat() + "Z"


DECODED = [vector for vector in jt808.frames() if {"lat", "items"} & (vector.get("decoded") or {}).keys()]


@pytest.mark.parametrize("vector", DECODED, ids=lambda vector: vector["id"])
def test_positions_agree_with_an_independent_decode_also_in_refused_frames(vector: dict) -> None:
    decoded = vector["decoded"]
    expected = decoded["items"] if "count_field" in decoded else [decoded]
    found = told(vector)["fixes"]

    assert len(found) == len(expected)
    for fix, sample in zip(found, expected, strict=True):
        assert fix["time"] == utc(sample["time_local_gmt8"])
        assert (fix["lat"], fix["lon"]) == (sample["lat"], sample["lon"])
        assert (fix["altitude_m"], fix["speed_kmh"], fix["course_deg"]) == (sample["altitude"], sample["speed_kmh"], sample["course"])
        assert (fix["alarm_bits"], fix["status_bits"]) == (int(sample["alarm"], 16), int(sample["status"], 16))
        in_range = abs(fix["lat"]) <= 90 and abs(fix["lon"]) <= 180
        assert fix["valid"] == (bool(fix["status_bits"] & 2) and in_range)


ASSERTED = [vector for vector in jt808.frames() if vector.get("expected_kind") == "asserted" and "lat_raw" in vector["expected"]]


@pytest.mark.parametrize("vector", ASSERTED, ids=lambda vector: vector["id"])
def test_positions_agree_with_what_their_sources_assert(vector: dict) -> None:
    sample = vector["expected"]
    fix = told(vector)["fixes"][0]
    got = {
        "lat_raw": round(abs(fix["lat"]) * 1e6),
        "lon_raw": round(abs(fix["lon"]) * 1e6),
        "altitude": fix["altitude_m"],
        "speed_raw_0.1kmh": round(fix["speed_kmh"] * 10),
        "course": fix["course_deg"],
        "alarm": fix["alarm_bits"],
        "status": fix["status_bits"],
    }

    assert {name: got[name] for name in got if name in sample} == {
        name: abs(sample[name]) if name in {"lat_raw", "lon_raw"} else sample[name] for name in got if name in sample
    }
    assert "time" not in sample or fix["time"] == utc(sample["time"])


def test_a_location_report_is_told_in_the_public_words() -> None:
    (frame,) = describe("7e02000026123456789012007d02000000010000000200ba7f0e07e4f11c0028003c00001810151010100104000000640202007d01137e")
    body = frame.pop("body")
    (fix,) = frame.pop("fixes")

    assert frame == {
        "ok": True,
        "reject": None,
        "why": None,
        "protocol": "jt808",
        "version": "2013",
        "message_id": "0x0200",
        "message": "location_report",
        "terminal": "123456789012",
        "serial": 126,
        "subpackage": None,
        "encrypted": False,
    }
    assert fix == {
        "time": "2018-10-15T02:10:10Z",
        "lat": 12.222222,
        "lon": 132.444444,
        "altitude_m": 40,
        "speed_kmh": 6.0,
        "course_deg": 0,
        "valid": True,
        "alarms": ["emergency"],
        "alarm_bits": 1,
        "status_bits": 2,
        "mileage_km": 10.0,
        "satellites": None,
        "signal": None,
        "backfill": False,
        "items": {"mileage_km": 10.0, "fuel_l": 12.5},
    }
    assert body["alarm"] == {"bits": 1, "set": ["emergency"]}
    assert body["time"] == "2018-10-15T02:10:10Z"


@pytest.mark.parametrize(
    "text",
    [
        "7E 00 02 00 00 01 38 00 13 80 00 00 01 A9 7E",
        "000200000138001380000001a9",
        "7e000200000138001380000001a9",
        "000200000138001380000001a97e",
        "7e7e000200000138001380000001a97e7e\n",
        "0x7e,0x00,0x02,0x00,0x00,0x01,0x38,0x00,0x13,0x80,0x00,0x00,0x01,0xa9,0x7e",
    ],
)
def test_frames_are_understood_in_any_case_with_spaces_and_without_flags(text: str) -> None:
    (frame,) = describe(text)

    assert (frame["ok"], frame["message"], frame["terminal"], frame["serial"]) == (True, "heartbeat", "013800138000", 1)


@pytest.mark.parametrize("name", ["shared_delimiter", "empty_frames", "garbage_between", "start_mid_frame"])
def test_of_several_frames_in_one_line_each_is_told(name: str) -> None:
    frames = describe(jt808.synthetic(name).hex())

    assert [frame["serial"] for frame in frames if frame["ok"]] == ([2] if name == "start_mid_frame" else [1, 2])
    assert {frame["reject"] for frame in frames if not frame["ok"]} <= {"truncated"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("7e00zz", "bad_field"), ("GET / HTTP/1.1", "bad_field"), ("7e0002000001380013800000017", "truncated"), ("7", "truncated")],
)
def test_what_is_no_hex_is_refused_with_a_sentence(text: str, reason: str) -> None:
    (frame,) = describe(text)

    assert (frame["ok"], frame["reject"]) == (False, reason)
    assert frame["why"]


@pytest.mark.parametrize("text", ["", "   ", "\n", "7e7e", "7e"])
def test_nothing_is_no_frame(text: str) -> None:
    assert describe(text) == []


SYNTHETIC: dict[str, tuple[str | None, dict[str, Any]]] = {
    "plain_2013": (None, {"lat": 31.230416, "lon": 121.473701, "time": "2024-02-29T15:59:59Z", "speed_kmh": 45.6, "course_deg": 87}),
    "plain_2019": (None, {"lat": 31.230416, "lon": 121.473701, "time": "2024-02-29T15:59:59Z", "altitude_m": 12}),
    "zero_date": (None, {"valid": False, "time": None, "lat": 0.0, "lon": 0.0}),
    "bad_bcd_date": (None, {"time": None, "valid": True}),
    "feb30": (None, {"time": None, "valid": True}),
    "south_west": (None, {"lat": -33.86882, "lon": -70.64827}),
    "twos_complement": (None, {"lat": -33.86882, "lon": -70.64827}),
    "twos_complement_and_bits": (None, {"lat": -33.86882, "lon": -70.64827}),
    "negative_altitude": (None, {"altitude_m": -154}),
    "range_error": (None, {"valid": False, "lat": 119.552894}),
    "tlv_overrun": (None, {"mileage_km": 10.0, "items": {"mileage_km": 10.0, "rest": "3104aa"}}),
    "tlv_zero_len": (None, {"mileage_km": None, "items": {"0x01": "", "signal": 31, "satellites": 9}}),
    "tlv_one_stray_byte": (None, {"items": {"satellites": 9, "rest": "8c"}}),
    "tlv_duplicate": (None, {"satellites": 9, "items": {"satellites": [9, 10]}}),
    "temp_sign_magnitude": (None, {"items": {"carriage_temp_c": -5}}),
    "checksum_is_7e": (None, {"lat": 31.230416}),
    "checksum_is_7d": (None, {"lat": 31.230416}),
    "checksum_7d_not_escaped": (None, {"lat": 31.230416}),
    "bad_checksum": ("checksum", {"lat": 31.230416}),
    "declared_too_long": ("length_mismatch", {"lat": 31.230416}),
    "bit14_clear_2019_layout": (None, {"lat": 31.230416}),
    "bit14_set_2013_layout": (None, {"lat": 31.230416}),
}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_hand_made_reports_are_told_as_meant(name: str) -> None:
    reject, expected = SYNTHETIC[name]
    (frame,) = describe(jt808.synthetic(name).hex())
    (fix,) = frame["fixes"]

    assert frame["reject"] == reject
    assert fix | expected == fix
    assert frame["terminal"].lstrip("0") == "13800138000"


def test_a_body_too_short_for_a_position_is_truncated_and_shown_raw() -> None:
    (frame,) = describe(jt808.synthetic("short_body").hex())

    assert (frame["reject"], frame["message"], frame["fixes"]) == ("truncated", "location_report", [])
    assert len(frame["body"]["raw"]) == 2 * 27


def test_a_body_full_of_flags_and_escapes_is_told_as_it_was_meant() -> None:
    (frame,) = describe(jt808.synthetic("body_of_7e_7d").hex())

    assert (frame["ok"], frame["message"]) == (True, "transparent_up")
    assert frame["body"] == {
        "subtype": {"code": 0, "word": "gnss_detail"},
        "data": "7e7d7e7d01027e7d7e7d01027e7d7e7d01027e7d7e7d0102",
    }


def test_a_batch_tells_its_good_reports_and_its_bad_ones() -> None:
    (frame,) = describe(jt808.synthetic("batch_bad_item").hex())

    assert [fix["time"] for fix in frame["fixes"]] == ["2024-02-29T16:00:10Z"]
    assert frame["ok"]
    assert frame["body"]["reports"][0] == {"reject": "truncated", "raw": "000000000000000301dc"}


def test_a_batch_whose_count_lies_says_so() -> None:
    (frame,) = describe(jt808.synthetic("batch_count_wrong").hex())

    assert (frame["ok"], len(frame["fixes"]), frame["body"]["count"]) == (True, 2, 3)
    assert "announces 3 reports and holds 2" in frame["why"]


def test_a_batch_of_nothing_but_broken_reports_is_refused() -> None:
    (frame,) = describe(encode(0x0704, "1", 1, b"\x00\x01\x00\x00\x02ab", V2013).hex())

    assert (frame["ok"], frame["reject"]) == (False, "truncated")


@pytest.mark.parametrize("name", ["subpackages_in_order", "subpackages_shuffled_dup", "subpackage_gap"])
def test_packages_are_told_one_by_one(name: str) -> None:
    for frame in describe(jt808.synthetic(name).hex()):
        assert frame["ok"]
        assert frame["subpackage"]["total"] == 3
        assert 1 <= frame["subpackage"]["index"] <= 3
        assert frame["fixes"] == []


@pytest.mark.parametrize("name", ["register_2011", "register_2013", "register_2019_front_pad", "register_utf8_plate"])
def test_a_registration_says_which_edition_it_speaks(name: str) -> None:
    (frame,) = describe(jt808.synthetic(name).hex())

    assert frame["body"]["plate"] == "粤B12345"
    assert frame["version"] == ("2013" if name == "register_utf8_plate" else name.split("_")[1])


def test_broken_text_is_shown_with_its_bytes() -> None:
    (frame,) = describe(encode(0x0102, "1", 1, b"ab\xff", V2013).hex())

    assert frame["body"] == {"auth_code": "ab\ufffd", "auth_code_raw": "6162ff"}


def test_the_e7_variant_is_not_spoken_here() -> None:
    # s38: 0xE7-delimited trackers (quirk A7) need a port of their own; 7E is the flag of the standard (§4.4.2)
    assert not any(frame["ok"] for frame in describe(jt808.synthetic("e7_variant").hex()))


def test_reasons_are_the_public_words() -> None:
    assert Reject.LENGTH_MISMATCH.word == "length_mismatch"
    assert Reject.BAD_ESCAPE.word == "bad_escape"
