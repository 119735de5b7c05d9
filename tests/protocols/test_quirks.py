"""docs/quirks.md: every quirk has its decision, every decision its test; and the quirks that no other file tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocols.jt808.describe import describe
from protocols.jt808.frames import frame_of
from protocols.jt808.header import V2013, V2019, encode
from protocols.jt808.messages import build, parse
from protocols.jt808.messages.items import ITEMS
from tracks.terminal import name_of
from vectors import jt808

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "quirks.md").read_text("utf-8")
LAST = {"A": 13, "B": 11, "C": 14, "D": 21, "E": 5, "F": 6, "G": 12}
"""The last number of each letter."""


def test_every_quirk_has_one_row_with_a_decision_and_a_test() -> None:
    rows = re.findall(r"^\| ([A-G]\d+) \| .+ \| (.+) \| (`test_.+`) \|$", PAGE, re.MULTILINE)

    assert [number for number, _, _ in rows] == [f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)]


def test_every_test_that_the_page_names_exists() -> None:
    written = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))}

    assert set(re.findall(r"`(test_\w+)`", PAGE)) - written == set()


def test_every_quirk_that_the_code_names_is_on_the_page() -> None:
    code = "".join(path.read_text("utf-8") for room in ("protocols", "ingest", "storage", "tracks") for path in (ROOT / room).rglob("*.py"))
    named = {number for group in re.findall(r"quirks? ((?:[A-G]\d+(?:, | and )?)+)", code) for number in re.findall(r"[A-G]\d+", group)}

    assert named <= {f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)}
    assert named


def test_leading_zeros_make_no_other_terminal() -> None:
    names = {
        name_of(*frame_of(encode(0x0002, terminal, 1, b"", edition)).key)
        for terminal in ("013800138000", "13800138000", "00000000013800138000")
        for edition in (V2013, V2019)
    }

    assert names == {"13800138000"}


@pytest.mark.parametrize(
    ("item_id", "value", "told"),
    [
        (0x13, "00000007 003c 01", {"segment_id": 7, "time_s": 60, "result": 1}),
        (0x13, "00000007 003c 0001", {"segment_id": 7, "time_s": 60, "result": 1}),
        (0x17, "0003", 3),
        (0x17, "03", 3),
        (0x18, "0002", {"behaviours": 2}),
        (0x18, "0002 40", {"behaviours": 2, "fatigue_degree": 64}),
        (0x18, "0002 40 00", {"behaviours": 2, "fatigue_degree": 64, "reserved": b"\x00"}),
        (0x11, "00", {"place_kind": 0}),
        (0x2B, "0001 0002 0003 0004", None),
    ],
)
def test_items_of_other_lengths_are_read_where_they_are_known(item_id: int, value: str, told: object) -> None:
    assert ITEMS[item_id].parse(bytes.fromhex(value)) == told


def report(status: int, tail: bytes = b"") -> bytes:
    return bytes(4) + status.to_bytes(4, "big") + bytes.fromhex("01dc9a00 073d3f00 0004 0000 0000 240506120000") + tail


def test_a_fixed_tail_instead_of_items_harms_no_position() -> None:
    (frame,) = describe(encode(0x0200, "1", 1, report(2, bytes(range(0x60, 0x74))), V2013).hex())

    assert frame["ok"]
    assert (frame["fixes"][0]["lat"], frame["fixes"][0]["valid"]) == (31.234560, True)


def test_offset_coordinates_are_told_as_they_came() -> None:
    plain, offset = (describe(encode(0x0200, "1", 1, report(status), V2013).hex())[0] for status in (2, 2 | 1 << 5))

    assert offset["fixes"][0]["lat"] == plain["fixes"][0]["lat"]
    assert "offset_coordinates" in offset["body"]["status"]["set"]


def test_a_short_batch_and_a_battery_are_told_apart() -> None:
    vector = next(each for each in jt808.frames() if each["msg_id"] == "0x0210")
    batch = parse(0x0210, V2013, frame_of(jt808.wire(vector)).body)

    assert len(batch["reports"]) == 8
    assert all(each["lat"] == pytest.approx(22.606370, abs=1) for each in batch["reports"] if isinstance(each, dict))
    assert parse(0x0210, V2013, bytes.fromhex("55 240506120000"))["battery_percent"] == 0x55


def test_a_text_in_utf16_is_read() -> None:
    body = b"\x00\x01" + "设置成功\r".encode("utf-16-be")

    assert parse(0x1300, V2013, body)["text"] == "设置成功"
    assert build(0x1300, V2013, parse(0x1300, V2013, body)) == body
    assert parse(0x1300, V2013, body + b"\x00")["text"].raw == body[2:] + b"\x00"


def test_an_upload_of_files_names_64_alarm_bits() -> None:
    vector = next(bytes.fromhex(each["body_hex"]) for each in jt808.bodies() if each["id"] == "b0191")
    fields = parse(0x9206, V2013, vector)

    assert (fields["alarms"], fields["alarms"].words, fields["conditions"].words) == (1, ["emergency"], ["wifi", "lan", "cellular"])
    assert parse(0x9206, V2013, build(0x9206, V2013, fields | {"alarms": ["signal_lost"]}))["alarms"] == 1 << 32
