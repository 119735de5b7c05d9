"""Rows in order and in groups."""

from __future__ import annotations

import numpy as np
import pytest

from tracks.track import changes, ordered, ranks


@pytest.mark.parametrize("bits", [3, 15, 16, 17, 32, 40, 62])
def test_rows_come_in_the_order_of_their_ids_and_equal_ones_stay_in_turn(bits: int) -> None:
    ids = np.random.default_rng(bits).integers(0, 2**bits, 1000)
    ids[500:] = ids[:500]

    assert np.array_equal(np.argsort(ids, kind="stable"), ordered(ids))


def test_no_ids_have_no_order() -> None:
    assert len(ordered(np.empty(0, np.int64))) == 0


def test_the_first_of_each_group_changes_and_the_others_are_counted_from_it() -> None:
    group = np.array([4, 4, 7, 9, 9, 9])

    assert changes(group).tolist() == [True, False, True, True, False, False]
    assert ranks(group).tolist() == [0, 1, 0, 0, 1, 2]
    assert ranks(group[1:4]).tolist() == [0, 0, 0]
