from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nmea.build import sentence
from protocols.nmea.describe import describe, iso
from protocols.nmea.stream import name_line
from vectors.nmea import vectors

KEYS = {"ok", "reject", "protocol", "version", "message_id", "message", "terminal", "serial", "subpackage", "encrypted", "body", "fixes"}

ADDRESSES = "GNRMC GPGGA BDGSV GNGSA GNVTG GNZDA GNTXT GNGLL GNGNS GNGST BDDWR BDTXR BDBSI CCTXA PGID GPMWV"

RMC = "$GNRMC,162304.000,A,4544.97320,N,00450.24199,E,0.00,0.00,141025,,,A,V*03"
GGA = "$GNGGA,162304.000,4544.97320,N,00450.24199,E,1,07,1.1,152.8,M,50.2,M,,*46"


def one(line: str | bytes) -> dict[str, Any]:
    (told,) = describe(line)
    return told


def test_every_vector_is_told_and_exactly_the_broken_are_rejected() -> None:
    for vector in vectors():
        told = one(vector.sentence)
        assert (vector.state == "ok", vector.sentence[1:].split(b",")[0].decode()) == (told["ok"], told["message"])
        assert set(told) - {"why"} == KEYS
        assert told["reject"] == {"o": None, "b": "checksum", "s": "truncated"}[vector.state[0]]
        json.dumps(told, allow_nan=False)


def test_an_rmc_is_told_by_pynmea2s_names_with_the_fix_it_carries() -> None:
    told = one(RMC)

    assert ("nmea", "GNRMC", "0.00", "V") == (told["protocol"], told["message"], told["body"]["spd_over_grnd"], told["body"]["nav_status"])
    assert told["fixes"] == [
        {
            "time": "2025-10-14T16:23:04Z",
            "lat": 45.749553333,
            "lon": 4.8373665,
            "altitude_m": None,
            "speed_kmh": 0.0,
            "course_deg": 0.0,
            "valid": True,
            "alarms": [],
            "alarm_bits": 0,
            "status_bits": 2,
            "mileage_km": None,
            "items": {},
        }
    ]


def test_a_gga_alone_has_no_date_and_so_no_time() -> None:
    (fix,) = one(GGA)["fixes"]

    assert (None, 152.8, {"satellites": 7, "quality": 1, "hdop": 1.1}) == (fix["time"], fix["altitude_m"], fix["items"])


def test_a_clock_that_was_never_set_gives_no_time() -> None:
    assert one("$GNRMC,000021.263,V,2228.7216,N,11345.5625,E,0.000,0.00,060180,,,N*5D")["fixes"][0]["time"] is None


def test_satellites_are_told_by_system_and_signal() -> None:
    seen = one("$BDGSV,3,1,11,146,70,329,40,156,69,341,41,179,64,006,43,149,63,285,39*6C")["body"]
    used = one("$GNGSA,A,3,14,24,,,,,,,,,,,2.4,1.1,2.1,4*32")["body"]

    first = {"system": "beidou", "number": 6, "sent": "146", "elevation_deg": 70, "azimuth_deg": 329, "signal_db": 40}
    assert (11, first, [6, 16, 39, 9]) == (seen["in_view"], seen["satellites"][0], [each["number"] for each in seen["satellites"]])
    assert ("beidou", [{"system": "beidou", "number": 14}, {"system": "beidou", "number": 24}], "1.1") == (
        used["system"],
        used["used"],
        used["hdop"],
    )
    assert one("$GBGSV,3,1,10,03,54,167,,08,56,168,,13,68,188,,16,71,343,,5*7F")["body"]["signal"] == "B2a"


def test_short_messages_are_told_with_their_text_and_place() -> None:
    assert one("$BDTXR,1,0179773,2,,A468656C6C6F*43")["body"]["text"] == "hello"
    assert one("$CCTXA,0242407,1,2,A4B9E3D6DDBAA3C1C4BFC6BCBCD3D0CFDEB9ABCBBE*0F")["body"]["text"] == "广州海聊科技有限公司"
    assert one(sentence("BDTXR", 1, "0179773", 0, "", "北斗"))["body"]["text"] == "北斗"
    assert one(sentence("BDTXR", 1, "0179773", 0, "", "B1B1B6B7"))["body"]["text"] == "北斗"
    assert one(sentence("BDTXR", 1, "0179773", 0, "", "1234"))["body"]["text"] == "1234"
    assert one("$CCTXA,0247718,1,1,3132333435*70")["body"]["text"] is None
    assert one("$BDDWR,1,0242407,084936.50,2302.2434,N,11323.6667,E,14,M,-6,M,1,V,V,L*1F")["fixes"][0]["lat"] == pytest.approx(23.03739)
    # another card's position
    other = one("$BDWAA,0,,0312194,072236.37,3802.69000,N,11426.16000,E,61,M*05")
    assert (True, pytest.approx(38.0448333), []) == (other["ok"], other["body"]["lat_deg"], other["fixes"])


def test_names_are_told_as_terminals() -> None:
    lines = [one(name_line("013912345678")), one("ID=13912345678"), one("IMEI 860123456789012")]

    assert [("PGID", "13912345678"), ("name", "13912345678"), ("name", "860123456789012")] == [
        (told["message"], told["terminal"]) for told in lines
    ]


def test_makers_own_sentences_are_told_by_their_fields() -> None:
    assert one("$PCAS03,1,1,1,1,1,1,1,1,1,1,,,1,1*02")["body"] == {"maker": "CAS", "fields": [*"1111111111", "", "", "1", "1"]}
    assert one(sentence("PUBX", "00", "1"))["body"] == {"maker": "UBX", "fields": ["00", "1"]}


def test_a_line_of_fused_sentences_is_told_one_by_one() -> None:
    assert ["GNRMC", "GNGGA"] == [told["message"] for told in describe(RMC + GGA)]


def test_a_broken_sentence_still_says_what_it_was() -> None:
    told = one(RMC[:-1] + "4")

    assert ("GNRMC", "checksum", "checksum 04, but the bytes give 03") == (told["message"], told["reject"], told["why"])


def test_times_are_printed_with_the_fraction_they_have() -> None:
    assert ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.250Z", "1970-01-01T00:00:00.000001Z"] == [iso(0), iso(250_000), iso(1)]


@given(st.text(max_size=60) | st.binary(max_size=60) | st.sampled_from([RMC, GGA, RMC + GGA, "ID=1$", "$PGID,"]))
def test_any_line_is_told_and_nothing_raises(line: str | bytes) -> None:
    json.dumps(describe(line), allow_nan=False)


@given(
    st.sampled_from(ADDRESSES.split()),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["1", "4544.9", "N", "162304"]), max_size=20),
)
def test_any_fields_are_told_and_nothing_raises(address: str, fields: list[str]) -> None:
    told = describe(sentence(address, *fields))

    json.dumps(told, allow_nan=False)
    assert told[0]["message"] == address
