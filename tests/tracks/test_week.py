"""Weekly windows as people write them."""

from __future__ import annotations

import pytest

from tracks.week import DAY_MINUTES, Window, calendar, windows_of

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


def test_a_window_past_midnight_ends_on_the_next_day_and_past_sunday_on_monday() -> None:
    minutes = calendar(windows_of("sun 22:00-02:00"))

    assert minutes[6 * DAY_MINUTES + 1320 :].all()
    assert minutes[:120].all()
    assert 240 == minutes.sum()
