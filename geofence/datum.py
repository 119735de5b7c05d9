"""Datums of Chinese maps, and metres.

Everything stored and judged is WGS-84. Maps of AMap and Tencent are in GCJ-02, Baidu's in BD-09: shapes drawn on them are converted
once, at import, and the shift between the datums is 250–700 m, enough to put every bus off its road.
The way in and the way back are exact: the inverses iterate until they move less than a ten-thousandth of a millimetre.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Degrees = NDArray[np.float64]
Metres = NDArray[np.float64]


class Datum(StrEnum):
    """What a pair of coordinates refers to."""

    WGS84 = "wgs84"
    """Also CGCS2000: they agree to decimetres."""
    GCJ02 = "gcj02"
    BD09 = "bd09"


CHINA_BOX: Final = (72.004, 0.8293, 137.8347, 55.8271)
"""West, south, east, north of where the offset is applied, as every public implementation has it; crude, and part of the definition."""

STEP_DEG: Final = 1e-12
STEPS_MAX: Final = 30


def convert(lon: Degrees, lat: Degrees, source: Datum, target: Datum) -> tuple[Degrees, Degrees]:
    """The same places in another datum."""
    if source == target:
        return lon, lat
    if source == Datum.BD09:
        lon, lat = _bd09_to_gcj02(lon, lat)
    if source == Datum.WGS84:
        lon, lat = _wgs84_to_gcj02(lon, lat)
    if target == Datum.WGS84:
        return _undo(_wgs84_to_gcj02, lon, lat)
    return _gcj02_to_bd09(lon, lat) if target == Datum.BD09 else (lon, lat)


def _wgs84_to_gcj02(lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    west, south, east, north = CHINA_BOX
    inside = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    x, y = lon - 105.0, lat - 35.0
    common = _wave(x, (20, 6), (20, 2))
    root = np.sqrt(np.abs(x))
    north_m = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + common
    north_m += _wave(y, (20, 1), (40, 1 / 3)) + _wave(y, (160, 1 / 12), (320, 1 / 30))
    east_m = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + common
    east_m += _wave(x, (20, 1), (40, 1 / 3)) + _wave(x, (150, 1 / 12), (300, 1 / 30))
    phi = np.radians(lat)
    bulge = 1 - KRASOVSKY_E2 * np.sin(phi) ** 2
    north_deg = np.degrees(north_m / (KRASOVSKY_M * (1 - KRASOVSKY_E2) / bulge**1.5))
    east_deg = np.degrees(east_m / (KRASOVSKY_M / np.sqrt(bulge) * np.cos(phi)))
    return lon + np.where(inside, east_deg, 0.0), lat + np.where(inside, north_deg, 0.0)


KRASOVSKY_M: Final = 6378245.0
KRASOVSKY_E2: Final = 0.00669342162296594323


def _wave(at: Degrees, *terms: tuple[float, float]) -> Metres:
    """Two thirds of a sum of sines, given as amplitude and half-waves per degree."""
    total: Metres = sum((amount * np.sin(at * np.pi * pace) for amount, pace in terms), np.zeros_like(at))
    return total * (2 / 3)


def _gcj02_to_bd09(lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    radius = np.hypot(lon, lat) + 0.00002 * np.sin(lat * BAIDU_PI)
    angle = np.arctan2(lat, lon) + 0.000003 * np.cos(lon * BAIDU_PI)
    return radius * np.cos(angle) + 0.0065, radius * np.sin(angle) + 0.006


BAIDU_PI: Final = np.pi * 3000.0 / 180.0


def _bd09_to_gcj02(lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    return _undo(_gcj02_to_bd09, lon, lat)


def _undo(shift: Callable[[Degrees, Degrees], tuple[Degrees, Degrees]], lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    """The places that `shift` takes to `lon`, `lat`: walk back by the error until there is none (the shift is nearly constant)."""
    guess_lon, guess_lat = lon, lat
    for _ in range(STEPS_MAX):
        there_lon, there_lat = shift(guess_lon, guess_lat)
        error_lon, error_lat = there_lon - lon, there_lat - lat
        guess_lon, guess_lat = guess_lon - error_lon, guess_lat - error_lat
        if max(np.abs(error_lon).max(initial=0.0), np.abs(error_lat).max(initial=0.0)) < STEP_DEG:
            break
    return guess_lon, guess_lat


def metres_per_degree(lat: Any) -> tuple[Any, Any]:  # noqa: ANN401 - a number or an array, as given
    """Metres per degree of longitude and of latitude at `lat`, on the ellipsoid of WGS-84 (good to 20 cm in 100 km)."""
    cos = np.cos(np.radians(lat))
    cos2 = 2 * cos * cos - 1
    east = cos * (111412.84 - 93.5 * (2 * cos2 - 1))
    north = 111132.954 - 559.822 * cos2 + 1.175 * (2 * cos2 * cos2 - 1)
    return east, north


def apart_deg(difference_deg: Degrees) -> Degrees:
    """How far apart two courses are, 0 to 180, from their difference."""
    apart: Degrees = np.abs((difference_deg + 180) % 360 - 180)
    return apart


def distance_m(lon1: Any, lat1: Any, lon2: Any, lat2: Any) -> Any:  # noqa: ANN401 - numbers or arrays, as given
    """Metres between two places: flat, at the latitude half-way, on the ellipsoid.

    Against the geodesic, below 56° N: 1e-5 of the distance up to 10 km, 1e-4 up to 100 km, 1 % up to 1000 km (test_datum.py).
    """
    east, north = metres_per_degree((lat1 + lat2) / 2)
    return np.hypot((lon2 - lon1) * east, (lat2 - lat1) * north)
