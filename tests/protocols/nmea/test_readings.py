from __future__ import annotations

import math
from typing import Any

import pynmea2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.nmea.build import sentence
from protocols.nmea.dates import day_number, time_of_day_us
from protocols.nmea.readings import KMH_PER_KNOT, Reading, degrees, read
from protocols.nmea.sentences import parse
from tracks.verdict import Reject
from vectors.nmea import vectors


def reading(address: str, *fields: str | int) -> Reading:
    return read(parse(sentence(address, *fields).strip()))


def rmc(status: str = "A", mode: str | None = "A", *more: str, date: str = "141025", time: str = "162304.00") -> Reading:
    return reading("GNRMC", time, status, "4544.97", "N", "450.24", "E", "0.5", "1", date, "", "", *([] if mode is None else [mode]), *more)


def gga(quality: str) -> Reading:
    return reading("GNGGA", "162304", "4544.97", "N", "00450.24", "E", quality, "07", "1.1", "152.8", "M", "50.2", "M", "", "")


@pytest.mark.parametrize("mode", [("A",), ("A", "V"), ("D", "S"), ("E",), ("F",), ("P",), ("R", "V"), (None,), ("",)])
def test_rmc_is_valid_by_status_and_mode_whatever_its_navigational_status(mode: tuple[Any, ...]) -> None:
    assert rmc("A", *mode).valid


@pytest.mark.parametrize(
    "mode", [("A", "N"), ("A", "M"), ("A", "S", "S"), ("V", "A"), ("V", "N", "V"), ("V", "M", "V"), ("V", None), ("", "A")]
)
def test_rmc_is_not_valid_without_a_measured_position(mode: tuple[Any, ...]) -> None:
    assert not rmc(*mode).valid


def test_gga_is_valid_by_quality_with_dead_reckoning_and_without_manual_and_simulated() -> None:
    assert {1, 2, 3, 4, 5, 6, 9} == {quality for quality in range(10) if gga(str(quality)).valid}
    assert not gga("").valid


def test_gns_is_valid_when_one_system_has_a_position() -> None:
    fields = ("162304", "4544.97", "N", "00450.24", "E")

    assert reading("GNGNS", *fields, "NANN", "12", "0.8", "50.1", "", "", "").valid
    assert not reading("GNGNS", *fields, "NNNN", "00", "", "", "", "", "").valid


def test_what_is_empty_is_absent_and_never_zero() -> None:
    empty = reading("GNRMC", "", "V", "", "", "", "", "", "", "", "", "", "N")

    assert (None, None) == (empty.time_of_day, empty.day)
    assert all(math.isnan(value) for value in (empty.lat, empty.lon, empty.speed_kmh, empty.course_deg))


def test_degrees_need_no_decimal_point_and_no_leading_zeros() -> None:
    assert [45.75, 4.75, -0.5, -113.5] == [
        degrees("4545", "N", "NS"),
        degrees("445.0", "E", "EW"),
        degrees("30", "S", "NS"),
        degrees("11330.", "W", "EW"),
    ]


@pytest.mark.parametrize("text", ["", "45.4x", "4560.0", "-4530", "1e3", "nan", "12345678.0", "４５３０"])
def test_degrees_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="degrees"):
        degrees(text, "N", "NS")


@pytest.mark.parametrize("bad", ["nan", "inf", "1_0", "1e5", "0x1", "--1", "1.2.3", "+-1"])
def test_a_number_that_only_python_would_take_refuses_the_sentence(bad: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        reading("GNGGA", "162304", "4544.97", "N", "00450.24", "E", "1", "07", "1.1", bad, "M", "", "M", "", "")

    assert caught.value.reason == Reject.BAD_FIELD


@pytest.mark.parametrize(
    ("system", "address", "fields"),
    [
        ("gps", "GPGSA", ["1.5", "0.8", "1.2"]),
        ("beidou", "BDGSA", ["1.5", "0.8", "1.2"]),
        ("beidou", "GBGSA", ["1.5", "0.8", "1.2"]),
        ("beidou", "GNGSA", ["1.5", "0.8", "1.2", "4"]),
        ("navic", "GIGSA", ["1.5", "0.8", "1.2", "6"]),
        (None, "GNGSA", ["1.5", "0.8", "1.2"]),
        (None, "GNGSA", ["1.5", "0.8", "1.2", "9"]),
    ],
)
def test_gsa_says_of_which_system_by_id_or_talker(system: str | None, address: str, fields: list[str]) -> None:
    assert (system, (3, 7)) == ((found := reading(address, "A", "3", "03", "07", *[""] * 10, *fields)).system, found.used)


def test_a_gsa_without_a_fix_uses_nothing() -> None:
    assert reading("GPGSA", "A", "1", "03", "07", *[""] * 10, "", "", "").used == ()


def test_gsv_tells_its_signal_id_from_a_satellite() -> None:
    found = {vector.sentence: read(parse(vector.sentence)) for vector in vectors() if b"GSV" in vector.sentence}

    assert ((26, 29, 31), "1") == views(found[b"$GPGSV,3,3,11,26,49,301,08,29,58,056,37,31,50,235,22,1*55"])
    assert ((37,), "0") == views(found[b"$BDGSV,2,2,05,37,14,087,20,0*4D"])
    assert ((), "") == views(found[b"$BDGSV,1,1,00*68"])
    assert ((), "0") == views(found[b"$BDGSV,1,1,00,0*74"])
    assert ((1, 2, 3, 5), "0") == views(found[b"$BDGSV,4,1,16,01,,,37,02,,,38,03,,,39,05,,,37,0,4*6A"])
    assert ((3, 7), "") == views(found[b"$GQGSV,1,1,02,03,39,162,45,07,42,163,40,,,,,,,,*76"])
    assert ((30,), "C") == views(reading("GBGSV", 1, 1, "01", "30", "10", "100", "33", "C"))


def views(found: Reading) -> tuple[tuple[int, ...], str]:
    return found.seen, found.signal_id


@pytest.mark.parametrize(
    ("antenna", "text"), [("OK", "ANTENNA OK"), ("OPEN", "antenna open"), ("SHORT", "ANTSTATUS=SHORT"), (None, "u-blox")]
)
def test_texts_of_the_antenna_are_understood(antenna: str | None, text: str) -> None:
    assert antenna == reading("GNTXT", "01", "01", "01", text).antenna


def test_a_text_may_have_commas() -> None:
    assert reading("GNTXT", "01", "01", "02", "a", "b", "ANTENNA SHORT").antenna == "SHORT"


def test_vtg_gives_kilometres_from_knots_where_it_has_only_those() -> None:
    assert reading("GNVTG", "", "T", "", "M", "10", "N", "", "K", "A").speed_kmh == pytest.approx(18.52)


def test_readings_agree_with_pynmea2_where_it_is_right() -> None:
    kinds = {"RMC", "GGA", "GLL", "VTG", "ZDA"}
    compared = 0
    for vector in vectors():
        if vector.state != "ok" or vector.sentence[3:6].decode() not in kinds:
            continue
        theirs = pynmea2.parse(vector.sentence.decode(), check=True)
        ours = read(parse(vector.sentence))
        compared += 1
        assert_same(ours, theirs)
    assert compared == 35


@given(
    lat=st.floats(-89.99, 89.99),
    lon=st.floats(-179.99, 179.99),
    knots=st.floats(0, 200),
    moment=st.datetimes(),
    status=st.sampled_from("AV"),
)
def test_generated_rmc_agree_with_pynmea2(lat: float, lon: float, knots: float, moment: Any, status: str) -> None:
    place = (
        f"{int(abs(lat)):02}{abs(lat) % 1 * 59.9:08.5f}",
        "NS"[lat < 0],
        f"{int(abs(lon)):03}{abs(lon) % 1 * 59.9:08.5f}",
        "EW"[lon < 0],
    )
    line = sentence("BDRMC", f"{moment:%H%M%S}.250", status, *place, f"{knots:.3f}", "", f"{moment:%d%m}25", "", "", "A").strip()

    assert_same(read(parse(line)), pynmea2.parse(line.decode(), check=True))


def assert_same(ours: Reading, theirs: Any) -> None:
    """Every value that pynmea2 has and gets right is ours."""
    if theirs.sentence_type in {"RMC", "GGA", "GLL"} and theirs.lat:
        assert (theirs.latitude, theirs.longitude) == (ours.lat, ours.lon)
    if getattr(theirs, "timestamp", None):
        assert time_of_day_us(f"{theirs.timestamp:%H%M%S.%f}") == ours.time_of_day
    if theirs.sentence_type == "RMC":
        assert same(theirs.spd_over_grnd, ours.speed_kmh / KMH_PER_KNOT)
        assert same(theirs.true_course, ours.course_deg)
        day = theirs.datestamp
        assert (None if day is None else day_number(day.year, day.month, day.day)) == ours.day
    if theirs.sentence_type == "GGA":
        assert theirs.gps_qual == ours.quality
        assert same(theirs.altitude, ours.altitude_m)
        assert theirs.is_valid == ours.valid
    if theirs.sentence_type == "VTG":
        assert same(theirs.spd_over_grnd_kmph, ours.speed_kmh)
    if theirs.sentence_type == "ZDA":
        assert day_number(theirs.year, theirs.month, theirs.day) == ours.day


def same(theirs: float | None, ours: float) -> bool:
    return math.isnan(ours) if theirs is None else ours == pytest.approx(theirs)
