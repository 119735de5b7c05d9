"""Datums and metres against known points, there and back, and the geodesic."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geofence.datum import Datum, convert, distance_m

KNOWN = [
    # WGS-84 and GCJ-02, latitude first: the vectors that the public implementations share (googollee/eviltransform)
    ((31.1774276, 121.5272106), (31.17530398364597, 121.531541859215)),
    ((22.543847, 113.912316), (22.540796131694766, 113.9171764808363)),
    ((39.911954, 116.377817), (39.91334545536069, 116.38404722455657)),
]


@pytest.mark.parametrize(("wgs84", "gcj02"), KNOWN)
def test_gcj02_is_what_everyone_computes(wgs84: tuple[float, float], gcj02: tuple[float, float]) -> None:
    lat, lon = (np.array([value]) for value in wgs84)
    there_lon, there_lat = convert(lon, lat, Datum.WGS84, Datum.GCJ02)

    assert gcj02 == pytest.approx((there_lat[0], there_lon[0]), abs=1e-9)


def _china(count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20)
    return rng.uniform(74, 134, count), rng.uniform(4, 53, count)


@pytest.mark.parametrize("source", Datum)
@pytest.mark.parametrize("target", Datum)
def test_there_and_back_is_exact(source: Datum, target: Datum) -> None:
    lon, lat = _china()
    back_lon, back_lat = convert(*convert(lon, lat, source, target), target, source)

    assert distance_m(lon, lat, back_lon, back_lat).max() < 1e-4


@pytest.mark.parametrize(("target", "least_m", "most_m"), [(Datum.GCJ02, 10, 900), (Datum.BD09, 100, 2000)])
def test_a_map_of_another_datum_is_hundreds_of_metres_off(target: Datum, least_m: float, most_m: float) -> None:
    lon, lat = _china()
    away_m = distance_m(lon, lat, *convert(lon, lat, Datum.WGS84, target))

    assert least_m < away_m.min()
    assert away_m.max() < most_m
    assert np.median(away_m) > 250


def test_outside_china_nothing_is_shifted() -> None:
    lon, lat = np.array([2.35, -70.0, 140.0]), np.array([48.85, -33.0, 36.0])

    assert np.array_equal((lon, lat), convert(lon, lat, Datum.WGS84, Datum.GCJ02))


@pytest.mark.parametrize(("away_m", "part"), [(100, 1e-5), (10_000, 1e-5), (100_000, 1e-4), (1_000_000, 1e-2)])
def test_metres_are_those_of_the_geodesic(away_m: float, part: float) -> None:
    rng = np.random.default_rng(int(away_m))
    for _ in range(200):
        lon, lat, way = rng.uniform(74, 130), rng.uniform(4, 50), rng.uniform(0, 2 * math.pi)
        there = lon + away_m * math.sin(way) / 111_000 / math.cos(math.radians(lat)), lat + away_m * math.cos(way) / 111_000
        if not 0 < there[1] < 56:
            continue
        true_m = _vincenty_m(lon, lat, *there)

        assert distance_m(lon, lat, *there) == pytest.approx(true_m, rel=part, abs=1e-3)


def _vincenty_m(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """The inverse formula of T. Vincenty, Survey Review 23 (1975), on WGS-84."""
    a, f = 6378137.0, 1 / 298.257223563
    b = (1 - f) * a
    u1, u2 = (math.atan((1 - f) * math.tan(math.radians(lat))) for lat in (lat1, lat2))
    apart = turn = math.radians(lon2 - lon1)
    for _ in range(100):
        sin_s = math.hypot(math.cos(u2) * math.sin(turn), math.cos(u1) * math.sin(u2) - math.sin(u1) * math.cos(u2) * math.cos(turn))
        cos_s = math.sin(u1) * math.sin(u2) + math.cos(u1) * math.cos(u2) * math.cos(turn)
        s = math.atan2(sin_s, cos_s)
        sin_a = math.cos(u1) * math.cos(u2) * math.sin(turn) / sin_s
        cos2_a = 1 - sin_a**2
        cos_2m = cos_s - 2 * math.sin(u1) * math.sin(u2) / cos2_a if cos2_a else 0.0
        c = f / 16 * cos2_a * (4 + f * (4 - 3 * cos2_a))
        before, turn = turn, apart + (1 - c) * f * sin_a * (s + c * sin_s * (cos_2m + c * cos_s * (2 * cos_2m**2 - 1)))
        if abs(turn - before) < 1e-13:
            break
    k2 = cos2_a * (a * a - b * b) / (b * b)
    big_a = 1 + k2 / 16384 * (4096 + k2 * (k2 * (320 - 175 * k2) - 768))
    big_b = k2 / 1024 * (256 + k2 * (k2 * (74 - 47 * k2) - 128))
    inner = cos_s * (2 * cos_2m**2 - 1) - big_b / 6 * cos_2m * (4 * sin_s**2 - 3) * (4 * cos_2m**2 - 3)
    return b * big_a * (s - big_b * sin_s * (cos_2m + big_b / 4 * inner))
