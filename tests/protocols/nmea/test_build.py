from __future__ import annotations

import math

import pynmea2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nmea.build import Position, View, burst, gsa, gsv, rmc
from protocols.nmea.epochs import Epochs
from protocols.rows import Rows
from tracks.fix import FixBatch

NOW = 1_767_323_045_000_000


def back(data: bytes) -> FixBatch:
    epochs, rows = Epochs(), Rows("nmea")
    for line in data.splitlines():
        epochs.feed(line, rows, frame=0, received_us=NOW)
    epochs.finish(rows, frame=0)
    assert len(rows.rejects()) == 0
    return rows.fixes()


@given(
    lat=st.floats(-90, 90),
    lon=st.floats(-180, 180),
    altitude=st.floats(-400, 9000) | st.just(math.nan),
    speed=st.floats(0, 300) | st.just(math.nan),
    course=st.floats(0, 359.99),
    seconds=st.integers(-10 * 365 * 86400, 0),
    valid=st.booleans(),
    used=st.dictionaries(
        st.sampled_from(["gps", "beidou", "glonass", "galileo"]), st.sets(st.integers(1, 32), min_size=1, max_size=30).map(sorted)
    ),
)
def test_what_is_built_comes_back_as_the_same_fix(
    *, lat: float, lon: float, altitude: float, speed: float, course: float, seconds: int, valid: bool, used: dict[str, list[int]]
) -> None:
    position = Position(NOW + seconds * 1_000_000, lat, lon, altitude, speed, course, valid=valid, used=used)

    fixes = back(burst(position))

    assert (1, valid, True) == (len(fixes), fixes.valid[0], fixes.dated[0])
    assert position.time_us == fixes.time_us[0]
    assert (pytest.approx(lat, abs=1e-7), pytest.approx(lon, abs=1e-7)) == (fixes.lat[0], fixes.lon[0])
    assert pytest.approx(altitude, abs=0.051, nan_ok=True) == fixes.altitude_m[0]
    assert pytest.approx(speed, abs=0.001, nan_ok=True, rel=1e-6) == fixes.speed_kmh[0]
    assert sum(map(len, used.values())) == fixes.satellites[0]


def test_minutes_that_round_up_to_sixty_are_carried() -> None:
    assert b",3200.00000,N,12200.00000,E," in rmc(Position(NOW, 31.99999999999, 121.99999999999))


def test_pynmea2_reads_what_is_built() -> None:
    position = Position(
        NOW, 31.2, -121.4, 12.3, 45.6, 90.1, used={"gps": list(range(1, 15))}, in_view={"beidou": [View(6, 10, 20, 30)] * 5}
    )
    lines = burst(position).decode().splitlines()

    assert ["GGA", "GSA", "GSA", "GSV", "GSV", "RMC"] == [pynmea2.parse(line, check=True).sentence_type for line in lines]
    assert (pytest.approx(31.2), pytest.approx(-121.4)) == ((found := pynmea2.parse(lines[-1])).latitude, found.longitude)


def test_a_burst_without_satellites_says_so() -> None:
    nothing = Position(NOW, 31.2, 121.4, valid=False, in_view={"gps": []})

    assert [b"$GNGSA,A,1,,,,,,,,,,,,,1.53,0.90,1.26*15\r\n"] == list(gsa(nothing))
    assert [b"$GPGSV,1,1,00,0*65\r\n"] == list(gsv(nothing))
