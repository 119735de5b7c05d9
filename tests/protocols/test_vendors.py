"""Makers' items: a meaning beside the bytes, by length, by content, by model; and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.jt808.describe import describe
from protocols.jt808.frames import frame_of
from protocols.jt808.header import V2013, encode
from protocols.jt808.messages import parse
from protocols.jt808.messages.items import ITEMS
from protocols.jt808.vendors import PROFILES, meaning
from vectors import jt808

IDS = sorted({item_id for profile in PROFILES for item_id in profile.items})
MODELS = sorted({model for profile in PROFILES for model in profile.models})


def told(name: str) -> dict[str, Any]:
    vector = next(each for each in jt808.frames() if each["id"] == name)
    (frame,) = describe(jt808.wire(vector).hex())
    return dict(frame["fixes"][0]["items"])


@pytest.mark.parametrize(
    ("vector", "item", "raw", "name", "value"),
    [
        ("f0553", "0x82", "0092", "power", {"power_v": 14.6}),
        ("f0553", "0x51", "0123", "temperatures_c", [29.1]),
        ("f0555", "0x51", "8017" + 14 * "ff", "temperatures_c", [-2.3] + 7 * [None]),
        ("f0582", "0x8b", "3132333435363738394142434445464748", "vin", "123456789ABCDEFGH"),
        ("f0582", "0xa0", "50353338662c5530323966", "fault_codes", {"text": "P538f,U029f"}),
        ("f0620", "0xe4", "0064", "charge", {"charging": {"code": 0, "word": "yes"}, "battery_percent": 100}),
        ("f0617", "0xf1", "0000308c", "power", {"power_v": 12.428}),
    ],
)
def test_items_of_trackers_are_told_with_their_bytes_and_a_meaning(vector: str, item: str, raw: str, name: str, value: Any) -> None:
    assert told(vector)[item] == {"raw": raw, "profile": "trackers", "name": name, "value": value}


def test_one_id_has_the_meaning_of_its_content() -> None:
    cells, zone, records = bytes.fromhex("01cc 00 2664 7dc9 17"), b"UTC+08:00", bytes.fromhex("0004 00ce 0a57")
    found = [meaning(0xEB, value) for value in (cells, zone, records)]

    assert [each.value for each in found if each] == [
        {"mcc": 460, "mnc": 0, "cells": [{"area": 0x2664, "cell": 0x7DC9, "signal": 0x17}]},
        {"text": "UTC+08:00"},
        {"records": [{"id": 0xCE, "value": b"\x0a\x57"}]},
    ]


def test_one_id_has_the_meaning_of_its_model() -> None:
    steps, degrees = meaning(0xF8, b"\x02\x58", "C5"), meaning(0xF8, b"\x02\x58")

    assert steps
    assert (steps.profile, steps.value) == ("step_counters", 600)
    assert degrees
    assert (degrees.profile, degrees.value) == ("trackers", {"temperature_c": 10.0})


def test_a_cold_chain_tracker_tells_its_sensors_by_a_mask() -> None:
    items = {item["id"]: item["value"] for item in _report("f0633")["items"]}
    sensors = meaning(0xF6, items[0xF6], "GL100")
    identity = meaning(0xF8, items[0xF8], "GL100")

    assert sensors
    assert (sensors.value["illuminance"], sensors.value["temperature_c"], sensors.value["air_pressure"]) == (2539, 35.0, None)
    assert identity
    assert (identity.value["imei"], identity.value["hardware"]) == ("0865413051529609", "GL100-LA")
    assert meaning(0xF6, items[0xF6]) is None


def _report(name: str) -> dict[str, Any]:
    frame = frame_of(jt808.wire(next(each for each in jt808.frames() if each["id"] == name)))
    return parse(frame.message_id, frame.edition, frame.body)


def test_an_item_that_no_profile_reads_is_its_bytes() -> None:
    assert meaning(0x52, b"\x03") is None
    assert meaning(0x82, b"\x03") is None
    assert meaning(0xF4, b"") is None
    assert told("f0026")["0x52"] == "03"


def test_the_standards_come_first() -> None:
    # 0x2B of four bytes is the standard's analogue inputs, whatever a maker makes of it
    assert ITEMS[0x2B].parse(b"\x00\x01\x00\x02") == {"ad1": 1, "ad0": 2}
    assert 0x2B not in {item_id for profile in PROFILES if not profile.models for item_id in profile.items}


@given(st.sampled_from(IDS), st.binary(max_size=70), st.sampled_from(["", *MODELS]))
def test_an_item_of_any_bytes_has_a_meaning_or_none(item_id: int, value: bytes, model: str) -> None:
    found = meaning(item_id, value, model)

    assert found is None or found.profile in {profile.name for profile in PROFILES}


@given(st.lists(st.tuples(st.sampled_from(IDS), st.binary(max_size=40)), max_size=5))
def test_items_of_any_bytes_are_told_as_json(items: list[tuple[int, bytes]]) -> None:
    body = bytes(28) + b"".join(bytes([item_id, len(value)]) + value for item_id, value in items)
    (frame,) = describe(encode(0x0200, "1", 1, body, V2013).hex())

    assert frame["ok"]
    json.dumps(frame, allow_nan=False)
