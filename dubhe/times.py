"""Times on the command line: how people write them, how they are shown to people, and how programs get them.

People write and read UTC+8, the zone of every clock where Dubhe runs: a time without a zone is meant so, and what a command prints for
eyes says so (+08:00), whatever zone the machine or the database has. JSON and files are for programs: UTC with Z.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tracks.week import BEIJING, DAY_ALONE

FIRST_YEAR, LAST_YEAR = 1970, 2199
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class TimeError(ValueError):
    """What is no time that can be meant, with the cure."""


def moment(text: str) -> datetime:
    """A moment from ISO 8601; without a zone it is UTC+8."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or not FIRST_YEAR <= time.year <= LAST_YEAR:
        msg = f"{text!r} is no time between {FIRST_YEAR} and {LAST_YEAR}; write 2026-11-25, 2026-11-25T08:00 or 2026-11-25T00:00Z"
        raise TimeError(msg)
    return time if time.tzinfo else time.replace(tzinfo=BEIJING)


def end(text: str) -> datetime:
    """The same for what something lasts until; of a day alone its end, for that is the last day, as on papers and shapes."""
    return moment(text) + (timedelta(days=1) if DAY_ALONE.fullmatch(text) else timedelta())


def local(time: datetime | None) -> str:
    """A moment for people, ISO 8601 in UTC+8; nothing for none."""
    return time.astimezone(BEIJING).isoformat(timespec="seconds") if time else ""


def stamp(time: datetime | None, timespec: str = "seconds") -> str:
    """A moment for programs, ISO 8601 in UTC; nothing for none."""
    return time.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z") if time else ""


def shown(value: Any) -> Any:  # noqa: ANN401 - JSON is of many kinds
    """What JSON has for programs as people are shown it: a moment in UTC+8, all else as it is."""
    try:
        return (
            datetime.fromisoformat(value).astimezone(BEIJING).isoformat() if isinstance(value, str) and _STAMP.fullmatch(value) else value
        )
    except (ValueError, OverflowError):  # a text that only looks like a moment
        return value
