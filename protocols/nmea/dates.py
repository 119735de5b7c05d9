"""NMEA's time: a time of day, now and then a date with two digits for the year, made into microseconds since 1970.

- *Without a date* (GGA alone, an empty date field) the day is the one that brings the time of day nearest to what is expected: the
  terminal's last time plus what has passed since. So midnight needs no rule of its own. Before its first time it is the day that
  makes the time the latest before the receipt, with `EARLY_US_MAX` for a server's clock that is slow.
- *Leap second*: 23:59:60 is the 86 400th second of its day, which in microseconds since 1970 is the next midnight once more. A module
  that rounds up to 60 seconds elsewhere comes out right by the same sum.
- *Week roll-over*: GPS counts weeks modulo 1024, and old modules give dates 1024 weeks (19.6 years) early. No living terminal holds
  back its reports for so long, so a date that is 1024 weeks or more before the receipt is put forward by whole roll-overs.
- *A clock that was never set* (06-01-80 after a cold start) is no date: without a position such an old date is not believed at all.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from protocols.errors import ProtocolError
from tracks.verdict import Reject

DAY_US: Final = 86_400_000_000
EARLY_US_MAX: Final = 3_600_000_000
ROLL_OVER_DAYS: Final = 1024 * 7
FIRST_YEAR: Final = 80
"""GPS began in January 1980: a smaller two-digit year is of this century."""

_TIME: Final = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)(?:\.(\d{0,9}))?", re.ASCII)
_DATE: Final = re.compile(r"(\d\d)(\d\d)(\d\d)", re.ASCII)
_EPOCH: Final = date(1970, 1, 1).toordinal()


def time_of_day_us(text: str) -> int | None:
    """`hhmmss.sss` as microseconds since midnight; None when empty."""
    if not text:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        raise ProtocolError(Reject.BAD_FIELD, f"time {text!r} is not hhmmss.sss")
    seconds = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])
    return seconds * 1_000_000 + int((found[4] or "")[:6].ljust(6, "0"))


def day_of(text: str) -> int | None:
    """`ddmmyy` as days since 1970; None when empty."""
    if not text:
        return None
    found = _DATE.fullmatch(text)
    if found is None:
        raise ProtocolError(Reject.BAD_FIELD, f"date {text!r} is not ddmmyy")
    year = int(found[3])
    return day_number(year + (1900 if year >= FIRST_YEAR else 2000), int(found[2]), int(found[1]))


def day_number(year: int, month: int, day: int) -> int:
    """Days since 1970."""
    try:
        return date(year, month, day).toordinal() - _EPOCH
    except ValueError as error:
        raise ProtocolError(Reject.BAD_FIELD, f"no such day: {year}-{month}-{day} ({error})") from None


def rolled_forward(day: int, received_us: int) -> int:
    """`day` put forward by as many roll-overs as leave it no later than the day after the receipt."""
    return day + max(0, (received_us // DAY_US + 1 - day) // ROLL_OVER_DAYS) * ROLL_OVER_DAYS


class Calendar:
    """What day it is for one terminal."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def time_us(self, time_of_day: int | None, told: tuple[int, int] | None, received_us: int, *, valid: bool) -> int | None:
        """The moment of a solution; None when it cannot be dated.

        `told` is a day that the terminal named, with the time of day it was named with (that of another sentence, perhaps across
        midnight). Without one only a valid solution is dated: a receiver that has no position may have no clock either.
        """
        if told is not None:
            day = rolled_forward(told[0], received_us)
            if day != told[0] and not valid:
                return None
            expected = day * DAY_US + told[1]
        elif not valid:
            return None
        elif self._last is None:
            expected = received_us + EARLY_US_MAX - DAY_US // 2
        else:
            expected = self._last[0] + received_us - self._last[1]
        if time_of_day is None:
            return None
        time = (expected - time_of_day + DAY_US // 2) // DAY_US * DAY_US + time_of_day
        self._last = time, received_us
        return time
