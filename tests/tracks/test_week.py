"""Weekly windows as people write them."""

from __future__ import annotations

from itertools import combinations

import pytest

from tracks.week import DAY_MINUTES, Window, calendar, runs_of_days, windows_of

EVERY_DAY = frozenset(range(7))


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("", []),
        ("05:30-22:00", [Window(EVERY_DAY, 330, 1320)]),
        ("Mon-Fri 5:30-22:00, sat 07:00-24:00", [Window(frozenset(range(5)), 330, 1320), Window(frozenset({5}), 420, 1440)]),
        ("sat-mon 22:00-02:00", [Window(frozenset({5, 6, 0}), 1320, 120)]),
    ],
)
def test_windows_are_read(text: str, windows: list[Window]) -> None:
    assert windows == windows_of(text)


@pytest.mark.parametrize("text", ["always", "25:00-26:00", "06:70-07:00", "someday 06:00-07:00", "06:00", "mon-fri"])
def test_what_is_no_window_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"no|is not"):
        windows_of(text)


@pytest.mark.parametrize("days", [set(each) for n in range(1, 8) for each in combinations(range(7), n)])
def test_days_written_out_are_read_as_the_same(days: set[int]) -> None:
    read = windows_of(", ".join(f"{run} 05:30-22:00".strip() for run in runs_of_days(days)))

    assert days == {day for window in read for day in window.days}
    assert len(days) == sum(len(window.days) for window in read)


def test_a_window_past_midnight_ends_on_the_next_day_and_past_sunday_on_monday() -> None:
    minutes = calendar(windows_of("sun 22:00-02:00"))

    assert minutes[6 * DAY_MINUTES + 1320 :].all()
    assert minutes[:120].all()
    assert 240 == minutes.sum()
