from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracks.binding import BindingBatch, served

PRESENT = 99
Times = st.lists(st.integers(-5, 40), min_size=2, max_size=8, unique=True).map(sorted)


@given(st.dictionaries(st.integers(1, 4), Times, max_size=4), st.lists(st.tuples(st.integers(1, 5), st.integers(-5, 45)), max_size=12))
def test_a_fix_belongs_to_the_vehicle_that_its_terminal_served_then(bounds: dict[int, list[int]], fixes: list[tuple[int, int]]) -> None:
    rows = [
        (terminal, 10 * terminal + number, begin, end)
        for terminal, times in bounds.items()
        for number, (begin, end) in enumerate(zip(times[::2], times[1::2], strict=False))
    ]
    past = BindingBatch(*np.array(rows[::-1], np.int64).reshape(-1, 4).T).sorted()
    terminal, second = np.array(fixes, np.int64).reshape(-1, 2).T
    expected = [
        next((vehicle for mine, vehicle, begin, end in rows if mine == each and begin <= max(at, 0) < end), PRESENT) for each, at in fixes
    ]

    assert expected == served(past, terminal, second * 1_000_000, np.full(len(fixes), PRESENT)).tolist()
