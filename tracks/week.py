"""Local time as the rules need it: minute of the week, night, and weekly windows as one bit per minute."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta, timezone
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracks.spans import Index, Mask

BEIJING: Final = timezone(timedelta(hours=8))
"""The zone of times that people write without one."""
DAY_ALONE: Final = re.compile(r"\d{4}-?\d{2}-?\d{2}")
"""A day without a time; where something lasts until it, the day is the last."""
DAY_US: Final = 86_400_000_000
DAY_MINUTES: Final = 24 * 60
WEEK_MINUTES: Final = 7 * DAY_MINUTES
EPOCH_WEEKDAY: Final = 3
"""1 January 1970 was a Thursday; Monday is 0."""

NIGHT: Final = (22 * 60, 6 * 60)
"""The night of the driving rules, 22:00 to 06:00 local time (交运发〔2016〕160号 as widely applied)."""


class Window(NamedTuple):
    """A stretch of the day on some days of the week; when it stops before it starts, it runs past midnight."""

    days: frozenset[int]
    """Days it starts on, Monday 0."""
    start_minute: int
    stop_minute: int


DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW: Final = re.compile(r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?(?P<start>\d?\d:\d\d)-(?P<stop>\d?\d:\d\d)")


def windows_of(text: str) -> list[Window]:
    """Windows as people write them: `mon-fri 05:30-22:00, sat 07:00-20:00`; without days, every day. Raises ValueError."""
    return [_window(part.strip().lower()) for part in text.split(",") if part.strip()]


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    if found is None:
        msg = f"{text!r} is no window such as 'mon-fri 05:30-22:00'"
        raise ValueError(msg)
    first = DAYS.index(found["first"] or "mon")
    last = DAYS.index(found["last"] or found["first"] or "sun")
    days = frozenset((first + nth) % len(DAYS) for nth in range((last - first) % len(DAYS) + 1))
    return Window(days, _minute(found["start"]), _minute(found["stop"]))


def runs_of_days(days: Collection[int]) -> list[str]:
    """Days of the week (Monday 0) as `windows_of` reads them: `mon-fri`, one for each run of days; empty for every day."""
    if len(set(days)) == len(DAYS):
        return [""]
    runs = []
    for first in sorted(set(days)):
        if (first - 1) % len(DAYS) not in days:
            last = first
            while (last + 1) % len(DAYS) in days:
                last = (last + 1) % len(DAYS)
            runs.append(DAYS[first] + (f"-{DAYS[last]}" if last != first else ""))
    return runs


def _minute(clock: str) -> int:
    hours, minutes = map(int, clock.split(":"))
    if minutes >= 60 or hours * 60 + minutes > DAY_MINUTES:  # noqa: PLR2004 - minutes of an hour
        msg = f"{clock} is no time of day"
        raise ValueError(msg)
    return hours * 60 + minutes


def minute_of_week(time_us: Index, zone_s: int) -> Index:
    """Minutes since Monday 00:00 local time."""
    minutes: Index = (time_us // 1_000_000 + zone_s) // 60
    return (minutes + EPOCH_WEEKDAY * DAY_MINUTES) % WEEK_MINUTES


def within_day(minute_of_week_: Index, span: tuple[int, int]) -> Mask:
    """Whether the time of day lies in `span` (start and stop minute, possibly past midnight)."""
    minute = minute_of_week_ % DAY_MINUTES
    start, stop = span
    inside: Mask = (minute >= start) & (minute < stop) if start <= stop else (minute >= start) | (minute < stop)
    return inside


def calendars(windows: Iterable[Sequence[Window]]) -> tuple[NDArray[np.bool_], Index]:
    """The different weeks of some things, a row for each, the first without windows; and the week of each thing."""
    weeks: dict[tuple[Window, ...], int] = {(): 0}
    week = [weeks.setdefault(tuple(each), len(weeks)) for each in windows]
    return np.stack([calendar(each) for each in weeks]), np.array(week, np.int64)


def calendar(windows: Iterable[Window]) -> NDArray[np.bool_]:
    """One element per minute of the week; all true when there are no windows."""
    minutes = np.zeros(WEEK_MINUTES, np.bool_)
    any_window = False
    for window in windows:
        any_window = True
        length = (window.stop_minute - window.start_minute) % DAY_MINUTES or DAY_MINUTES
        for day in window.days:
            minutes[(day * DAY_MINUTES + window.start_minute + np.arange(length)) % WEEK_MINUTES] = True
    return minutes if any_window else np.ones(WEEK_MINUTES, np.bool_)
