from pathlib import Path

import pytest

from firmware_sim.recordings import RecordingError, captured_frames, read_csv, read_frames, read_gpx, read_nmea
from firmware_sim.report import Fix
from protocols.jt808.frames import frame_of
from tests.vectors import jt808 as vectors

CSV = """time,lat,lon,altitude_m,speed_kmh,course_deg,valid,mileage_km,satellites
2024-05-01T00:00:00Z,31.2,121.4,5,30.5,90,true,1000.1,12
2024-05-01T08:00:10+08:00,31.201,121.401,,,,false,,
1714521620,-31.2,-121.4,,,,,,
"""
GPX = """<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
<trkpt lat="31.20" lon="121.40"><ele>12.5</ele><time>2024-05-01T00:00:00Z</time></trkpt>
<trkpt lat="31.21" lon="121.40"><time>2024-05-01T00:01:40Z</time></trkpt>
<trkpt lat="31.21" lon="121.41"><time>2024-05-01T00:03:20Z</time><extensions><speed>5</speed><course>45</course></extensions></trkpt>
</trkseg></trk></gpx>
"""
NMEA = """$GNGGA,000000.00,3112.0000,N,12124.0000,E,1,08,1.0,10.0,M,,M,,*51
$BDRMC,000000.50,A,3112.0000,N,12124.0000,E,10.0,90.0,010524,,,A*45
$GPRMC,000010,V,,,,,,,010524,,,N*50
$GPRMC,000020,A,3112.0000,S,12124.0000,W,10.0,90.0,010524,,,A*72
$GPRMC,000030,A,3112.0000,S,12124.0000,W,10.0,90.0,010524,,,A*00
$GPRMC,000040,A,3112.0000,S,12124.0000,W,10.0,90.0,,,,A*76
"""
LOG = """# heartbeat
7e0002 0000 0139 00000071 00007e

2024-05-01T00:00:00Z rx 7E00027E
2024-05-01 08:00:10+08:00 7e7e
"""
MAY = 1_714_521_600


def test_times_without_a_zone_are_utc_8_and_in_a_gpx_utc_as_its_standard_says(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,lat,lon\n2024-05-01 08:00:00,31.2,121.4\n")
    (tmp_path / "a.log").write_text("2024-05-01 08:00:00 7e7e\n")
    (tmp_path / "a.gpx").write_text(GPX.replace("00Z", "00").replace("40Z", "40").replace("20Z", "20"))

    assert [MAY] == [fix.time for fix in read_csv(tmp_path / "a.csv")]
    assert [MAY] == [frame.time for frame in read_frames(tmp_path / "a.log")]
    assert MAY == next(iter(read_gpx(tmp_path / "a.gpx"))).time


def test_a_csv_is_read_by_its_heading_in_any_zone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)

    fixes = list(read_csv(tmp_path / "a.csv"))

    assert [MAY, MAY + 10, MAY + 20] == [fix.time for fix in fixes]
    assert [True, False, True] == [fix.valid for fix in fixes]
    assert Fix(MAY, 31.2, 121.4, 5, 30.5, 90, mileage_km=1000.1, satellites=12) == fixes[0]
    assert (-31.2, -121.4) == (fixes[2].lat, fixes[2].lon)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("lat,lon\n1,2\n", "line 1: the heading lacks time"),
        ("time,lat,lon\n2024-05-01,1,x\n", "line 2: could not convert string to float: 'x'"),
        ("time,lat,lon\n2024-05-01,1,2\nyesterday,1,2\n", "line 3: Invalid isoformat string: 'yesterday'"),
        ("time,lat,lon\n2024-05-01\n", "line 2"),
    ],
)
def test_a_bad_csv_is_refused_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.csv").write_text(text)

    with pytest.raises(RecordingError, match=why):
        list(read_csv(tmp_path / "a.csv"))


def test_a_gpx_without_speeds_gets_them_from_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.gpx").write_text(GPX)

    first, north, east = read_gpx(tmp_path / "a.gpx")

    assert Fix(MAY, 31.2, 121.4, 12.5) == first
    assert (pytest.approx(40.03, abs=0.01), pytest.approx(0)) == (north.speed_kmh, north.course_deg)
    assert (18, 45) == (east.speed_kmh, east.course_deg)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GPX.replace("<time>2024-05-01T00:01:40Z</time>", ""), "point 2: no time"),
        (GPX.replace('lon="121.41"', ""), "point 3: 'lon'"),
        (GPX[:300], "line 4: not well-formed"),
    ],
)
def test_a_bad_gpx_is_refused_with_its_point(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.gpx").write_text(text)

    with pytest.raises(RecordingError, match=why):
        list(read_gpx(tmp_path / "a.gpx"))


def test_of_an_nmea_log_rmc_with_date_and_true_checksum_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.nmea").write_text(NMEA)

    fixes = list(read_nmea(tmp_path / "a.nmea"))

    assert [MAY + 0.5, MAY + 10, MAY + 20] == [fix.time for fix in fixes]
    assert [True, False, True] == [fix.valid for fix in fixes]
    assert (pytest.approx(31.2), pytest.approx(121.4), pytest.approx(18.52), 90) == (
        fixes[0].lat,
        fixes[0].lon,
        fixes[0].speed_kmh,
        fixes[0].course_deg,
    )
    assert (pytest.approx(-31.2), pytest.approx(-121.4)) == (fixes[2].lat, fixes[2].lon)


def test_a_log_of_frames_is_read_with_and_without_times(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(
        "# heartbeat\n7e0002 0000 0139 00000071 00007e\n\n2024-05-01T00:00:00Z rx 7E00027E\n2024-05-01 08:00:10+08:00 7e7e\n"
    )

    frames = list(read_frames(tmp_path / "a.log"))

    assert [None, MAY, MAY + 10] == [frame.time for frame in frames]
    assert [bytes.fromhex("7e0002000001390000007100007e"), bytes.fromhex("7e00027e"), b"\x7e\x7e"] == [frame.wire for frame in frames]


def test_a_line_without_a_frame_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("7e00027e\n7e0002\n")

    with pytest.raises(RecordingError, match="line 2: no frame"):
        list(read_frames(tmp_path / "a.log"))


def test_the_captured_frames_are_what_terminals_sent_among_the_vectors() -> None:
    expected = [vectors.wire(each) for each in vectors.frames() if int(each["msg_id"], 16) < 0x8000]

    captured = captured_frames()

    assert expected == captured
    assert {0x0100, 0x0102, 0x0200, 0x0704} <= {frame_of(frame).message_id for frame in captured}
