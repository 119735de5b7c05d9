"""Fixes by the batch against construct report by report, and the rules of JT/T 808 positions one by one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generated_jt808 import CARRIED, LOCATIONS, wires
from plain_alarms import alarms_plainly
from protocols.adapters import EPOCH
from protocols.columnar import FEW_ROWS
from protocols.jt808 import messages
from protocols.jt808.fixes import CARRIERS, GMT8_S, dating, fixes, position
from protocols.jt808.frames import FrameBatch, frame_of, split
from protocols.jt808.framing import wrap
from protocols.jt808.header import V2013, V2019, encode
from protocols.jt808.messages.items import ITEMS
from protocols.jt808.messages.location import REPORT
from tracks.fix import ABSENT, SOURCES, FixBatch, digest64
from tracks.reject import RejectBatch
from tracks.spans import Spans
from tracks.verdict import Reject
from vectors import jt808

RECEIVED_US = 1_700_000_000_000_000
SHORTEST = 28
REAL = bytes.fromhex("000000000000000301dc89d0073d8aa5000c01c80057240229235959")
"""A location body that is dated, positioned and on Earth."""


def batch_of(*wires: bytes) -> FrameBatch:
    stop = np.cumsum([len(wire) for wire in wires], dtype=np.int64)
    return split(np.frombuffer(b"".join(wires), np.uint8), stop)


def decoded(*wires: bytes) -> tuple[FixBatch, RejectBatch]:
    frames = batch_of(*wires)
    rows = np.flatnonzero(np.isin(frames.message_id, CARRIERS))
    return fixes(frames, rows, RECEIVED_US + np.arange(len(frames)))


def carried(message_id: int, body: bytes, edition: int = V2013) -> bytes:
    return encode(message_id, "13800138000", 1, body, edition)


def batch_body(*reports: bytes, count: int | None = None, kind: int = 0) -> bytes:
    body = b"".join(len(report).to_bytes(2, "big") + report for report in reports)
    return (len(reports) if count is None else count).to_bytes(2, "big") + bytes([kind]) + body


def reports_of(message_id: int, edition: int, body: bytes) -> list[bytes]:
    """The reports of a body, as a reader with construct in hand would find them."""
    if message_id == 0x0704:
        reports, at = [], 3
        while at + 2 <= len(body):
            stop = at + 2 + int.from_bytes(body[at : at + 2], "big")
            if stop > len(body):
                break
            reports.append(body[at + 2 : stop])
            at = stop
        return reports
    bare = message_id == 0x0200 or (message_id == 0x0201 and messages.MESSAGES[0x0201].edition_of(edition, body) == 0)
    return [body if bare else body[2:]]


def read_plainly(report: bytes, received_us: int) -> dict[str, Any]:
    """The columns of one report, by construct and the table of items."""
    fields = REPORT.parse(report)
    lat, lon, valid = position(fields.lat, fields.lon, fields.status)
    dated = bool(dating(fields.time, fields.status))
    items: dict[str, Any] = {"mileage_km": None, "satellites": ABSENT, "signal": ABSENT}
    for item in reversed(fields["items"]):
        known = ITEMS.get(item.id)
        if known and known.name in items and (value := known.parse(item.value)) is not None:
            items[known.name] = value
    time_us = int((fields.time - EPOCH).total_seconds() - GMT8_S) * 1_000_000 if dated else received_us
    return (
        items
        | alarms_plainly(fields["items"])
        | {
            "lat": float(lat),
            "lon": float(lon),
            "valid": bool(valid),
            "dated": dated,
            "time_us": time_us,
            "altitude_m": fields.altitude_m,
            "speed_kmh": float(np.float32(fields.speed_kmh)),
            "course_deg": fields.course_deg,
            "alarm_bits": fields.alarm,
            "status_bits": fields.status,
            "raw": report,
        }
    )


def row_of(found: FixBatch, row: int) -> dict[str, Any]:
    names = (
        "lat",
        "lon",
        "valid",
        "dated",
        "time_us",
        "altitude_m",
        "speed_kmh",
        "course_deg",
        "alarm_bits",
        "status_bits",
        "raised",
        "cleared",
        "place",
        "satellites",
        "signal",
    )
    mileage = found.mileage_km[row].item()
    told = {name: getattr(found, name)[row].item() for name in names}
    return told | {"mileage_km": None if np.isnan(mileage) else mileage, "raw": found.raw.bytes_at(row)}


def assert_fixes_equal_oracle(*wires: bytes) -> None:
    frames = batch_of(*wires)
    found, refused = decoded(*wires)
    expected: list[tuple[int, bytes]] = []
    short: set[int] = set()
    for row, raw in enumerate(frames.raw):
        frame = frame_of(raw)
        if frame.message_id in CARRIERS:
            reports = reports_of(frame.message_id, frame.edition, frame.body)
            expected += [(row, report) for report in reports if len(report) >= SHORTEST]
            short |= {row for report in reports if len(report) < SHORTEST}
    order = np.lexsort((found.raw.start, found.frame)).tolist()

    assert [(int(found.frame[row]), found.raw.bytes_at(row)) for row in order] == expected
    assert [row_of(found, row) for row in order] == [read_plainly(report, RECEIVED_US + frame) for frame, report in expected]
    assert short <= set(refused.frame.tolist())
    assert set(refused.reason.tolist()) <= {Reject.TRUNCATED}


def test_every_location_of_the_vectors_equals_construct() -> None:
    assert_fixes_equal_oracle(*(jt808.wire(vector) for vector in jt808.frames()))


@given(st.lists(wires(CARRIED), min_size=1, max_size=6))
def test_any_reports_equal_construct_row_by_row(generated: list[bytes]) -> None:
    assert_fixes_equal_oracle(*generated)


@given(st.lists(LOCATIONS, min_size=FEW_ROWS + 1, max_size=FEW_ROWS + 2))
def test_many_reports_at_once_equal_construct_row_by_row(fields: list[dict[str, Any]]) -> None:
    assert_fixes_equal_oracle(*(carried(0x0200, messages.build(0x0200, V2013, each)[:1000]) for each in fields))


@given(st.lists(wires(CARRIED), min_size=1, max_size=4))
def test_every_frame_of_a_carrier_becomes_fixes_or_rejects_or_promised_none(generated: list[bytes]) -> None:
    frames = batch_of(*generated)
    found, refused = decoded(*generated)
    silent = set(range(len(frames))) - set(found.frame.tolist()) - set(refused.frame.tolist())

    for row in silent:
        assert frames.message_id[row] == 0x0704
        assert frames.body.bytes_at(row)[:2] == b"\x00\x00"


def test_every_fix_remembers_its_frame_and_when_it_came() -> None:
    found, refused = decoded(carried(0x0002, b""), carried(0x0704, batch_body(REAL, b"short", REAL)), carried(0x0200, REAL))

    assert sorted(found.frame.tolist()) == [1, 1, 2]
    assert found.received_us.tolist() == [RECEIVED_US + frame for frame in found.frame.tolist()]
    assert refused.frame.tolist() == [1]
    assert refused.received_us.tolist() == [RECEIVED_US + 1]


def test_a_fix_is_from_the_jt808_door_and_knows_no_registry() -> None:
    found, _ = decoded(carried(0x0200, REAL))

    assert SOURCES[found.source[0]] == "jt808"
    assert found.terminal_id.tolist() == found.vehicle_id.tolist() == [ABSENT]
    assert found.digest.tolist() == digest64(Spans.of([REAL])).tolist()


@pytest.mark.parametrize(
    ("name", "lat", "lon"),
    [
        ("plain_2013", 31.230416, 121.473701),
        ("south_west", -33.86882, -70.64827),
        ("twos_complement", -33.86882, -70.64827),
        ("twos_complement_and_bits", -33.86882, -70.64827),
    ],
)
def test_hemisphere_bits_turn_positive_values_only(name: str, lat: float, lon: float) -> None:
    found, _ = decoded(jt808.synthetic(name))

    assert (found.lat[0], found.lon[0], found.valid[0]) == (lat, lon, True)


def test_altitude_has_a_sign() -> None:
    assert decoded(jt808.synthetic("negative_altitude"))[0].altitude_m.tolist() == [-154]


def test_a_position_off_the_globe_is_a_row_as_reported_but_not_valid() -> None:
    found, refused = decoded(jt808.synthetic("range_error"))

    assert (found.lat[0], found.valid[0], len(refused)) == (119.552894, False, 0)


@pytest.mark.parametrize("name", ["zero_date", "bad_bcd_date", "feb30"])
def test_a_fix_without_a_real_date_takes_the_time_of_receipt(name: str) -> None:
    found, _ = decoded(jt808.synthetic(name))

    assert (found.dated[0], found.time_us[0]) == (False, RECEIVED_US)


@pytest.mark.parametrize(("status", "dated"), [(0, False), (2, True)])
def test_a_clock_of_the_year_2000_counts_only_once_there_is_a_fix(status: int, *, dated: bool) -> None:
    body = REAL[:7] + bytes([status]) + REAL[8:22] + bytes.fromhex("000615120000")

    assert decoded(carried(0x0200, body))[0].dated.tolist() == [dated]


def test_the_terminals_clock_is_beijings_unless_told_otherwise() -> None:
    frames = batch_of(carried(0x0200, REAL))
    rows, received = np.array([0]), np.array([RECEIVED_US])
    utc_us = int((datetime(2024, 2, 29, 23, 59, 59) - EPOCH).total_seconds()) * 1_000_000  # noqa: DTZ001 - a wall clock

    assert fixes(frames, rows, received)[0].time_us.tolist() == [utc_us - 8 * 3_600_000_000]
    assert fixes(frames, rows, received, time_zone_s=0)[0].time_us.tolist() == [utc_us]


@pytest.mark.parametrize(
    ("name", "mileage_km", "satellites", "signal"),
    [
        ("tlv_overrun", 10.0, ABSENT, ABSENT),
        ("tlv_zero_len", None, 9, 31),
        ("tlv_one_stray_byte", None, 9, ABSENT),
        ("tlv_duplicate", None, 9, ABSENT),
    ],
)
def test_a_bad_item_spoils_itself_alone_and_of_equals_the_first_counts(
    name: str, mileage_km: float | None, satellites: int, signal: int
) -> None:
    found, refused = decoded(jt808.synthetic(name))
    row = row_of(found, 0)

    assert (row["mileage_km"], row["satellites"], row["signal"]) == (mileage_km, satellites, signal)
    assert len(refused) == 0


def test_a_body_shorter_than_a_position_is_refused_with_the_whole_frame() -> None:
    wire = jt808.synthetic("short_body")
    found, refused = decoded(wire)

    assert len(found) == 0
    assert refused.reason.tolist() == [Reject.TRUNCATED]
    assert list(refused.raw) == [wire.strip(b"\x7e")]
    assert (refused.message_id[0], refused.terminal_id[0]) == (0x0200, ABSENT)


@pytest.mark.parametrize(
    ("body", "expected"), [(REAL, True), (b"\x00\x07" + REAL, True), (REAL[:27], False)], ids=["2011", "2013", "short"]
)
@pytest.mark.parametrize("edition", [V2013, V2019])
def test_a_location_reply_is_read_with_its_serial_number_or_without(body: bytes, edition: int, *, expected: bool) -> None:
    found, refused = decoded(carried(0x0201, body, edition))

    assert list(found.raw) == ([REAL] if expected else [])
    assert len(refused) == (not expected)


def test_a_vehicle_control_reply_carries_a_fix() -> None:
    assert list(decoded(carried(0x0500, b"\x00\x07" + REAL))[0].raw) == [REAL]


@pytest.mark.parametrize("kind", [0, 1])
def test_what_was_stored_while_offline_is_backfill(kind: int) -> None:
    found, _ = decoded(carried(0x0704, batch_body(REAL, REAL, kind=kind)), carried(0x0200, REAL))

    assert found.backfill[found.frame == 0].tolist() == [kind == 1] * 2
    assert found.backfill[found.frame == 1].tolist() == [False]


def test_fixes_of_a_batch_come_in_the_order_they_were_sent() -> None:
    sent = [REAL[:26] + bytes([minute, second]) for minute in range(6) for second in range(5)]
    found, _ = decoded(carried(0x0704, batch_body(*sent)))

    assert list(found.raw) == sent


def test_a_count_that_lies_changes_nothing() -> None:
    found, refused = decoded(jt808.synthetic("batch_count_wrong"))

    assert (len(found), len(refused)) == (2, 0)


def test_a_bad_report_of_a_batch_refuses_itself_alone_with_its_bytes() -> None:
    found, refused = decoded(jt808.synthetic("batch_bad_item"))

    assert len(found) == 1
    assert [each.hex() for each in refused.raw] == ["000a000000000000000301dc"]


def test_a_report_that_runs_over_the_end_of_a_batch_is_refused_from_where_it_starts() -> None:
    found, refused = decoded(carried(0x0704, batch_body(REAL) + b"\x00\x1d" + REAL))

    assert list(found.raw) == [REAL]
    assert list(refused.raw) == [b"\x00\x1d" + REAL]


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00\x01", b"\xff\xff\x01", b"\x00\x01\x00\x00"])
def test_a_batch_that_promises_reports_and_holds_none_is_refused(body: bytes) -> None:
    found, refused = decoded(carried(0x0704, body))

    assert len(found) == 0
    assert refused.reason.tolist() == [Reject.TRUNCATED]


def test_an_empty_batch_that_says_so_is_nothing_to_complain_about() -> None:
    found, refused = decoded(carried(0x0704, b"\x00\x00\x00"))

    assert (len(found), len(refused)) == (0, 0)


@pytest.mark.parametrize("filler", [b"\x00\x00", b"\x00\x01\x00"])
def test_a_batch_of_nothings_is_one_reject_and_not_five_hundred(filler: bytes) -> None:
    body = b"\xff\xff\x01" + filler * (1020 // len(filler))
    _, refused = decoded(carried(0x0704, body))

    assert list(refused.raw) == [body[3:]]


def test_rejects_of_one_batch_frame_never_take_more_bytes_than_it_had() -> None:
    body = batch_body(b"", REAL, b"", b"x", REAL, b"", count=0xFFFF)
    found, refused = decoded(carried(0x0704, body), carried(0x0704, body))

    assert found.frame.tolist() == [0, 0, 1, 1]
    assert refused.frame.tolist() == [0, 0, 0, 1, 1, 1]
    assert [len(each) for each in refused.raw] == [2, 5, 2, 2, 5, 2]


def encrypted(body: bytes) -> bytes:
    """A 2013 frame of 0x0200 with the RSA bit set."""
    return wrap(b"\x02\x00" + (len(body) | 0x0400).to_bytes(2, "big") + bytes.fromhex("013800138000") + b"\x00\x01" + body)


def test_a_body_that_is_in_clear_although_its_header_says_encrypted_is_a_fix() -> None:
    found, refused = decoded(encrypted(REAL))

    assert (len(found), len(refused)) == (1, 0)


def test_an_encrypted_body_is_refused_as_such_and_never_stored_as_a_place() -> None:
    wire = encrypted(bytes(range(100, 228)))
    found, refused = decoded(wire)

    assert len(found) == 0
    assert refused.reason.tolist() == [Reject.ENCRYPTED]
    assert list(refused.raw) == [wire.strip(b"\x7e")]
