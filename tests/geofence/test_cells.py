"""Cells find what meets, wherever it lies and however large it is."""

from __future__ import annotations

import numpy as np
import pytest

from geofence.cells import CELL_DEG, COARSER, SIDE_MIN, Cells


def boxes(rng: np.random.Generator, count: int, size: float) -> np.ndarray:
    corner = rng.uniform((100, 20), (110, 30), (count, 2))
    return np.concatenate((corner, corner + rng.uniform(0, size, (count, 2))), axis=1)


def meeting(some: np.ndarray, asked: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(*(each.tolist() for each in Cells.of(some).meeting(*asked.T)), strict=True))


@pytest.mark.parametrize("size", [0.0, 0.01, 0.3, 9.0])
def test_boxes_that_meet_are_found_in_order_and_no_others(size: float) -> None:
    rng = np.random.default_rng(3)
    some = np.concatenate((boxes(rng, 200, size), boxes(rng, 50, 0.04), boxes(rng, 3, 5.0)))
    asked = np.concatenate((boxes(rng, 1_000, 0.0), boxes(rng, 1_000, 0.05), some[:200]))
    low, high = asked[:, None, :2], asked[:, None, 2:]
    place, row = np.nonzero(((low <= some[:, 2:]) & (high >= some[:, :2])).all(axis=2))

    assert len(place) > 400
    assert list(zip(place.tolist(), row.tolist(), strict=True)) == meeting(some, asked)


def test_an_edge_is_part_of_a_box_on_the_lines_between_cells_too() -> None:
    line = 100.0 + CELL_DEG * np.arange(4)
    some = np.array([[line[1], 20.0, line[2], 20.0 + CELL_DEG]])
    places = np.stack((line, np.full(4, 20.0), line, np.full(4, 20.0)), axis=1)

    assert [(1, 0), (2, 0)] == meeting(some, places)
    assert [(0, 0)] == meeting(places[2:3], some)


@pytest.mark.parametrize("coarser", [1, COARSER, COARSER**3])
def test_what_lies_where_the_map_is_folded_meets_nothing(coarser: int) -> None:
    some = np.array([[-70.0, 20.0, -70.0 + coarser * CELL_DEG, 20.001]])
    again = some + SIDE_MIN * CELL_DEG * coarser * np.array([[1, 0, 1, 0]])

    assert [] == meeting(some, again)
    assert [] == meeting(np.empty((0, 4)), some)
    assert [] == meeting(some, np.empty((0, 4)))
