"""The raster answers too often, never too seldom."""

from __future__ import annotations

import numpy as np
import pytest

from geofence.raster import Raster


def boxes(rng: np.random.Generator, count: int, size: float) -> np.ndarray:
    corner = rng.uniform((100, 20), (110, 30), (count, 2))
    return np.concatenate((corner, corner + rng.uniform(0, size, (count, 2))), axis=1)


@pytest.mark.parametrize("size", [0.0, 0.01, 3.0])
def test_a_rectangle_that_meets_a_box_is_never_passed_over(size: float) -> None:
    rng = np.random.default_rng(3)
    some, asked = boxes(rng, 200, size), np.concatenate((boxes(rng, 2_000, 0.0), boxes(rng, 2_000, 0.2), boxes(rng, 200, 0.01)))
    asked[-200:] = some
    low, high = asked[:, None, :2], asked[:, None, 2:]
    meets = ((low <= some[:, 2:]) & (high >= some[:, :2])).all(axis=2).any(axis=1)
    touched = Raster.of(some).touched(*asked.T)

    assert meets[-200:].all()
    assert touched[meets].all()
    assert touched[:2_000].mean() < meets[:2_000].mean() + 0.05


def test_what_lies_elsewhere_or_nowhere_touches_nothing() -> None:
    elsewhere = np.array([[-170.0, -80.0], [170.0, 80.0], [100.5, 80.0], [np.nan, 25.0], [np.inf, 25.0]])
    raster = Raster.of(np.array([[100.0, 20.0, 110.0, 30.0]]))

    assert not raster.touched(*elsewhere.T, *elsewhere.T).any()
    assert not Raster.of(np.empty((0, 4))).touched(*elsewhere.T, *elsewhere.T).any()
