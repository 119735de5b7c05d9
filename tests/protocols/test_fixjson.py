from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fixjson import read_emqx, read_fixes
from protocols.rows import Rows
from tracks.fix import ABSENT, SOURCES, FixBatch
from tracks.reject import RejectBatch
from tracks.verdict import Reject

NOW = 1_767_323_045_000_000
"""2026-01-02T03:04:05Z"""
ALARMS = ("emergency", "overspeed", "fatigue", "danger", "gnss_fault", "gnss_antenna_cut")

FIX = {
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
    "items": {"satellites": 9, "signal": 25},
}
"""The example of the interface, with two items that have columns."""

REPORT = {
    "alarm": 1,
    "status": 2,
    "latitude": 12222222,
    "longitude": 132444444,
    "altitude": 40,
    "speed": 60,
    "direction": 0,
    "time": "181015101010",
    "extra": {"mileage": 100, "rssi": 25, "gnss_sat_num": 9},
}
"""The same report as EMQX publishes it."""


def fixes(payload: Any, terminal: str = "13912345678") -> tuple[FixBatch, RejectBatch]:
    rows = Rows("mqtt")
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    read_fixes(data, rows, terminal=terminal, alarms=ALARMS, frame=3, received_us=NOW)
    return rows.fixes(), rows.rejects()


def emqx(message_id: int, body: Any, **header: Any) -> tuple[FixBatch, RejectBatch]:
    rows = Rows("mqtt")
    head = {"msg_id": message_id, "encrypt": 0, "len": 36, "phone": "013912345678", "msg_sn": 126, **header}
    read_emqx(json.dumps({"header": head, "body": body}).encode(), rows, terminal="13912345678", frame=3, received_us=NOW)
    return rows.fixes(), rows.rejects()


def columns(batch: FixBatch) -> list[dict[str, Any]]:
    names = [name for name in batch.columns() if name not in {"raw", "digest", "quality"}]
    return [{name: getattr(batch, name)[row].item() for name in names} for row in range(len(batch))]


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


def test_a_fix_as_this_server_prints_it_is_read_back() -> None:
    found, rejects = fixes(FIX)

    assert len(rejects) == 0
    assert columns(found) == [
        {
            "frame": 3,
            "terminal_id": ABSENT,
            "vehicle_id": ABSENT,
            "time_us": us("2018-10-15T02:10:10"),
            "dated": True,
            "lat": 12.222222,
            "lon": 132.444444,
            "altitude_m": 40.0,
            "speed_kmh": 6.0,
            "course_deg": 0.0,
            "valid": True,
            "alarm_bits": 1,
            "status_bits": 2,
            "raised": 0,
            "cleared": 0,
            "place": 0,
            "mileage_km": 10.0,
            "satellites": 9,
            "signal": 25,
            "source": SOURCES.index("mqtt"),
            "backfill": False,
            "received_us": NOW,
        }
    ]
    assert json.loads(found.raw.bytes_at(0)) == FIX


def test_emqx_tells_the_same_report_the_same_way() -> None:
    theirs, rejects = emqx(0x0200, REPORT)

    assert len(rejects) == 0
    assert columns(fixes(FIX)[0]) == columns(theirs)


def test_an_array_keeps_its_good_fixes_each_with_its_own_bytes() -> None:
    first, bad, last = b'{"lat": 1, "lon" : 2}', b'{"lat": "x", "lon": 2}', b'{"lon":-4,"lat":-3, "note": "\xe5\x8c\x97"}'

    found, rejects = fixes(b"\xef\xbb\xbf [" + b" ,\r\n".join([first, bad, last]) + b" ]\n")

    assert [first, last] == list(found.raw)
    assert [(Reject.BAD_FIELD, bad)] == list(zip(rejects.reason, rejects.raw, strict=True))
    assert ([1.0, -3.0], [0b10, 0b1110]) == (found.lat.tolist(), found.status_bits.tolist())


def test_an_empty_array_is_nothing() -> None:
    assert (0, 0) == tuple(map(len, fixes(b" [ ] ")))


def test_what_is_absent_stays_absent() -> None:
    (fix,) = columns(fixes({"lat": 1.5, "lon": 2.5})[0])

    assert (NOW, False, True, 0, 2, ABSENT, ABSENT) == tuple(
        fix[name] for name in ("time_us", "dated", "valid", "alarm_bits", "status_bits", "satellites", "signal")
    )
    assert all(math.isnan(fix[name]) for name in ("altitude_m", "speed_kmh", "course_deg", "mileage_km"))


def test_a_fix_without_a_position_is_a_row_that_is_not_valid() -> None:
    (fix,) = columns(fixes({"lat": None, "lon": None, "time": "2026-01-02T03:04:05Z"})[0])

    assert (False, 0) == (fix["valid"], fix["status_bits"])


@pytest.mark.parametrize(
    ("valid", "more"), [(True, {"status_bits": 2}), (False, {"status_bits": 0}), (False, {"valid": False}), (False, {"lat": 91})]
)
def test_a_fix_is_valid_by_its_word_or_its_status_and_only_on_earth(valid: bool, more: dict[str, Any]) -> None:  # noqa: FBT001
    assert [valid] == fixes({"lat": 1, "lon": 2, **more})[0].valid.tolist()


def test_alarm_words_become_bits() -> None:
    assert [0b100001] == fixes({"lat": 1, "lon": 2, "alarms": ["emergency", "gnss_antenna_cut", "emergency"]})[0].alarm_bits.tolist()


@pytest.mark.parametrize("time", ["2018-10-15T10:10:10+08:00", "2018-10-15T02:10:10.000Z", "20181015T021010Z"])
def test_times_of_any_zone_are_taken_to_utc(time: str) -> None:
    assert [us("2018-10-15T02:10:10")] == fixes({**FIX, "time": time})[0].time_us.tolist()


@pytest.mark.parametrize(
    "more",
    [
        {"time": "2018-10-15T02:10:10"},
        {"time": "yesterday"},
        {"time": 1539569410},
        {"lat": "12"},
        {"lat": True},
        {"lat": 1e300},
        {"lat": 10**400},
        {"altitude_m": 1e39},
        {"speed_kmh": [1]},
        {"satellites": 1 << 15},
        {"satellites": 1.5},
        {"alarm_bits": -1},
        {"alarm_bits": 1 << 32},
        {"alarm_bits": None, "alarms": ["no such alarm"]},
        {"alarm_bits": None, "alarms": "emergency"},
        {"valid": "yes"},
    ],
)
def test_a_field_that_is_none_refuses_its_fix(more: dict[str, Any]) -> None:
    found, rejects = fixes({**FIX, **more})

    assert (0, [Reject.BAD_FIELD]) == (len(found), rejects.reason.tolist())


def test_a_fix_needs_latitude_and_longitude() -> None:
    assert (0, 1) == tuple(map(len, fixes({"lat": 1})))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[",
        b"[{}",
        b'[{"lat":1,"lon":2} {"lat":1,"lon":2}]',
        b'[{"lat":1,"lon":2}] x',
        b'{"lat":NaN,"lon":2}',
        b'{"lat":1,"lon":-Infinity}',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"lat":' + b"1" * 5000 + b',"lon":2}',
    ],
)
def test_what_is_no_json_is_refused_whole(payload: bytes) -> None:
    found, rejects = fixes(payload)

    assert (0, [payload], [Reject.BAD_FIELD]) == (len(found), list(rejects.raw), rejects.reason.tolist())


def test_a_terminal_other_than_the_topics_is_refused() -> None:
    other, rejects = fixes([{**FIX, "terminal": "000013912345678"}, {**FIX, "terminal": "13912345679"}, FIX])

    assert (2, [Reject.NOT_AUTHENTICATED]) == (len(other), rejects.reason.tolist())
    assert (0, [Reject.NOT_AUTHENTICATED]) == (len(emqx(0x0200, REPORT, phone="1")[0]), emqx(0x0200, REPORT, phone="1")[1].reason.tolist())


@pytest.mark.parametrize("phone", ["013912345678", "00000000013912345678", 13912345678])
def test_emqx_may_write_the_phone_as_digits_or_as_a_number(phone: Any) -> None:
    assert len(emqx(0x0200, REPORT, phone=phone)[0]) == 1


@pytest.mark.parametrize(
    ("message_id", "body"),
    [(0x0200, REPORT), (0x0201, {"seq": 7, "params": REPORT}), (0x0500, {"seq": 7, "location": REPORT})],
)
def test_every_carrier_of_a_report_is_read(message_id: int, body: Any) -> None:
    assert columns(fixes(FIX)[0]) == columns(emqx(message_id, body)[0])


def test_a_batch_is_backfill_by_its_type_and_a_bad_report_refuses_itself() -> None:
    body = {"type": 1, "length": 3, "location": [REPORT, {**REPORT, "latitude": "x"}, {**REPORT, "speed": 61}]}

    stored, rejects = emqx(0x0704, body)

    assert ([True, True], [6.0, pytest.approx(6.1)]) == (stored.backfill.tolist(), stored.speed_kmh.tolist())
    assert [(Reject.BAD_FIELD, 0x0704)] == list(zip(rejects.reason, rejects.message_id, strict=True))
    assert [False] == emqx(0x0704, {**body, "type": 0, "location": [REPORT]})[0].backfill.tolist()


def test_a_report_sent_again_in_another_message_is_the_same_report() -> None:
    first, again = emqx(0x0200, REPORT, msg_sn=1)[0], emqx(0x0200, dict(reversed(REPORT.items())), msg_sn=2)[0]

    assert (list(first.raw), first.digest.tolist()) == (list(again.raw), again.digest.tolist())


def test_hemispheres_come_from_the_status_and_signs_are_kept() -> None:
    south_west = {**REPORT, "status": 0b1110}
    signed = {**REPORT, "latitude": (1 << 32) - 12222222, "longitude": (1 << 32) - 132444444}

    for report in (south_west, signed, {**signed, "status": 0b1110}):
        (fix,) = columns(emqx(0x0200, report)[0])
        assert (-12.222222, -132.444444, True) == (fix["lat"], fix["lon"], fix["valid"])


def test_below_the_sea_altitudes_are_negative() -> None:
    assert [-40.0] == emqx(0x0200, {**REPORT, "altitude": 65496})[0].altitude_m.tolist()


@pytest.mark.parametrize("time", ["000000000000", "181315101010", "18101510101", "1810151010ff", 181015101010, None])
def test_a_time_that_is_no_date_leaves_the_report_undated(time: Any) -> None:
    (fix,) = columns(emqx(0x0200, {**REPORT, "time": time})[0])

    assert (NOW, False) == (fix["time_us"], fix["dated"])


def test_a_bad_additional_item_spoils_only_itself() -> None:
    (fix,) = columns(emqx(0x0200, {**REPORT, "extra": {"mileage": "x", "rssi": -1, "gnss_sat_num": 9, "custome": {"225": "AA=="}}})[0])

    assert (True, ABSENT, 9) == (math.isnan(fix["mileage_km"]), fix["signal"], fix["satellites"])


@pytest.mark.parametrize("message_id", [0x0001, 0x0002, 0x0003, 0x0004, 0x0100, 0x0102])
def test_a_sessions_messages_leave_nothing(message_id: int) -> None:
    assert (0, 0) == tuple(map(len, emqx(message_id, {})))


@pytest.mark.parametrize(
    ("reason", "message_id", "body", "header"),
    [
        (Reject.UNSUPPORTED, 0x0900, {"type": 1, "data": "AA=="}, {}),
        (Reject.UNSUPPORTED, 0x0F01, {"unknown_id": True, "data": "AA=="}, {}),
        (Reject.UNSUPPORTED, 0x0200, {"unknown_id": True, "data": "AA=="}, {}),
        (Reject.UNSUPPORTED, 0x0704, REPORT, {"frag_total": 2, "frag_sn": 1}),
        (Reject.BAD_FIELD, 0x0200, [], {}),
        (Reject.BAD_FIELD, 0x0200, {}, {}),
        (Reject.BAD_FIELD, 0x0201, {"seq": 1}, {}),
        (Reject.BAD_FIELD, ABSENT, REPORT, {"msg_id": "0x0200"}),
        (Reject.NOT_AUTHENTICATED, 0x0200, REPORT, {"phone": None}),
    ],
)
def test_other_messages_are_kept_with_reason_and_id(reason: Reject, message_id: int, body: Any, header: dict[str, Any]) -> None:
    found, rejects = emqx(message_id, body, **header)

    assert (0, [(reason, message_id)]) == (len(found), list(zip(rejects.reason, rejects.message_id, strict=True)))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2018-10-15T02:10:10Z", 512, 2, "0001-01-01T00:00:00+23:59"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*FIX, *REPORT, "header", "body", "msg_id", "phone"]), inner, max_size=8)
    ),
    max_leaves=20,
)


@given(st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_payload_becomes_fixes_or_rejects(payload: bytes) -> None:
    rows = Rows("mqtt")
    read_fixes(payload, rows, terminal="1", alarms=ALARMS, frame=0, received_us=NOW)
    read_emqx(payload, rows, terminal="1", frame=0, received_us=NOW)

    assert len(rows.rejects()) + len(rows.fixes()) >= 1


@given(st.dictionaries(st.sampled_from(list(FIX)), JSON), st.dictionaries(st.sampled_from(list(REPORT)), JSON))
def test_any_field_becomes_a_fix_or_a_reject(fix: dict[str, Any], report: dict[str, Any]) -> None:
    assert sum(map(len, fixes({**FIX, **fix}))) == 1
    assert sum(map(len, emqx(0x0200, {**REPORT, **report}))) == 1
