from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from protocols.errors import ProtocolError
from protocols.nmea.dates import Calendar, day_of, time_of_day_us


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


def told(date: str, time: str) -> tuple[int, int]:
    day, moment = day_of(date), time_of_day_us(time)
    assert day is not None
    assert moment is not None
    return day, moment


def dated(date: str, time: str, received: str, *, valid: bool = True) -> int | None:
    return Calendar().time_us(time_of_day_us(time), told(date, time), us(received), valid=valid)


def test_a_date_of_two_digits_is_of_the_gps_age() -> None:
    assert us("2025-10-14T16:23:04.5") == dated("141025", "162304.5", "2025-10-14T16:23:05")
    assert us("1999-12-31T23:59:59") == dated("311299", "235959", "2000-01-01T00:00:00")


def test_a_leap_second_is_the_next_midnight_once_more() -> None:
    calendar, received = Calendar(), us("2017-01-01T00:00:01")

    times = [
        calendar.time_us(time_of_day_us(time), told(date, time), received, valid=True)
        for date, time in (("311216", "235959"), ("311216", "235960"), ("311216", "235960.5"), ("010117", "000000"))
    ]

    assert times == [us("2016-12-31T23:59:59"), us("2017-01-01"), us("2017-01-01T00:00:00.5"), us("2017-01-01")]


def test_a_leap_second_without_a_date_follows_the_second_before() -> None:
    calendar, received = Calendar(), us("2017-01-01T00:00:01")
    calendar.time_us(time_of_day_us("235959"), told("311216", "235959"), received, valid=True)

    assert us("2017-01-01") == calendar.time_us(time_of_day_us("235960"), None, received, valid=True)


def test_times_without_a_date_go_over_midnight() -> None:
    calendar = Calendar()
    calendar.time_us(time_of_day_us("235959"), told("280224", "235959"), us("2024-02-28T23:59:59"), valid=True)

    assert us("2024-02-29T00:00:01") == calendar.time_us(time_of_day_us("000001"), None, us("2024-02-29T00:00:01"), valid=True)
    assert us("2024-02-28T23:59:58") == calendar.time_us(time_of_day_us("235958"), None, us("2024-02-29T00:00:02"), valid=True)


def test_a_sentence_a_little_after_the_dated_one_may_lie_on_the_next_day() -> None:
    date = told("281224", "235959.9")

    assert us("2024-12-29") == Calendar().time_us(time_of_day_us("000000.0"), date, us("2024-12-29"), valid=True)


@pytest.mark.parametrize(
    ("expected", "time", "received"),
    [
        ("2026-01-02T03:04:00", "030400", "2026-01-02T03:04:05"),
        ("2026-01-01T23:59:59", "235959", "2026-01-02T00:00:01"),
        # stored for half a day
        ("2026-01-01T09:00:00", "090000", "2026-01-02T03:00:00"),
        # the server's clock is slow
        ("2026-01-02T00:10:00", "001000", "2026-01-01T23:59:59"),
    ],
)
def test_without_any_date_the_day_of_receipt_completes_the_time(expected: str, time: str, received: str) -> None:
    assert us(expected) == Calendar().time_us(time_of_day_us(time), None, us(received), valid=True)


@pytest.mark.parametrize(
    ("real", "roll_overs", "received"),
    [
        ("2025-10-14", 1, "2025-10-14T00:00:01"),
        ("2020-05-21", 1, "2020-05-21T00:00:01"),
        ("2025-10-14", 2, "2025-10-14T00:00:01"),
        # held back for months
        ("2025-10-14", 1, "2026-03-14T00:00:01"),
        # the server's clock is slow
        ("2025-10-14", 1, "2025-10-13T23:50:00"),
        # old, but not by a roll-over
        ("2007-01-01", 0, "2026-01-01T00:00:00"),
        # a clock that is ahead stays ahead
        ("2079-12-31", 0, "2026-01-01T00:00:00"),
    ],
)
def test_a_week_roll_over_is_undone(real: str, roll_overs: int, received: str) -> None:
    sent = datetime.fromisoformat(real) - timedelta(weeks=1024 * roll_overs)

    assert us(real) == dated(f"{sent:%d%m%y}", "000000", received)


def test_a_clock_that_was_never_set_is_no_date() -> None:
    assert dated("060180", "000021.263", "2026-01-02T03:04:05", valid=False) is None


def test_a_running_clock_is_believed_without_a_position() -> None:
    assert us("2022-10-25T02:16:37") == dated("251022", "021637.000", "2022-10-25T02:16:38", valid=False)


def test_a_time_of_day_alone_is_not_believed_without_a_position() -> None:
    assert Calendar().time_us(time_of_day_us("003100.799"), None, us("2026-01-02T03:04:05"), valid=False) is None


@pytest.mark.parametrize("text", ["1", "12345", "240000", "126000", "123461", "12345６", "-12345", "123456.x", "123456,7"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="time"):
        time_of_day_us(text)


@pytest.mark.parametrize("text", ["000000", "310225", "11025", "1410251", "14x025"])
def test_a_date_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match=r"da[ty]"):
        day_of(text)
