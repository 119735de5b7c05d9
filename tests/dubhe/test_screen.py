from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from compliance.vehicles import Reason
from dubhe.screen import Line, Plain, Progress, chinese, readable
from storage.incidents import Incident, counted
from tracks.event import Kind

BEGAN, ENDED = datetime(2026, 11, 25, 5, 48, 56, tzinfo=UTC), datetime(2026, 11, 25, 5, 50, 44, tzinfo=UTC)
STRAY = Incident(7, "13900000003", "沪A00003", Kind.DEVIATION, 1, 1, BEGAN, BEGAN, None, 214.4, 300.0, retrospective=False)
CALL = replace(STRAY, id=8, kind=Kind.STOP_VISIT, subject=4, ended_at=ENDED)
SKIPPED = replace(STRAY, id=9, kind=Kind.SHORTCUT, ended_at=ENDED)


@pytest.mark.parametrize(
    ("incident", "word", "line"),
    [
        (STRAY, "strayed", "13:48:56 沪A00003 strayed 偏离: 71路, 214 m from the corridor"),
        (replace(STRAY, plate=""), "strayed", "13:48:56 13900000003 strayed 偏离: 71路, 214 m from the corridor"),
        (replace(STRAY, kind=Kind.INSIDE), "entered", "13:48:56 沪A00003 entered 进入围栏: 71路"),
        (replace(STRAY, retrospective=True, kind=Kind.INSIDE), "left", "13:48:56 沪A00003 left 离开围栏: 71路 (found late 补判)"),
        (
            replace(STRAY, reasons=Reason.CARRIER_INSURANCE_EXPIRED, record_only=True),
            "strayed",
            "13:48:56 沪A00003 strayed 偏离: 71路, 214 m from the corridor (for the record only 仅存档)",
        ),
    ],
)
def test_a_line_says_when_who_what_where_and_how_bad(incident: Incident, word: str, line: str) -> None:
    assert line == readable(Line(BEGAN, word, incident), "71路")


def test_a_line_about_running_says_what_forbids_it() -> None:
    running = replace(STRAY, kind=Kind.NON_COMPLIANT_RUNNING, subject=0, reasons=Reason.CARRIER_INSURANCE_EXPIRED, peak=43.2)
    line = "13:48:56 沪A00003 non_compliant_running 不合规运营: the carrier liability insurance has expired 承运人责任险已过期, 43 km/h"

    assert line == readable(Line(BEGAN, "non_compliant_running", running), "")


def test_words_are_counted_as_they_were_told() -> None:
    assert {"strayed": 1, "shortcut": 1, "arrived": 1, "departed": 1} == counted([STRAY, CALL, SKIPPED])
    assert {"strayed": 1, "returned": 1} == counted([replace(STRAY, ended_at=ENDED)])


def test_an_end_without_a_word_of_its_own_is_the_end_of_the_other() -> None:
    assert "超速" == chinese("overspeed")
    assert "超速结束" == chinese("overspeed_over")


def test_plain_lines_tell_each_incident_once_and_calls_only_as_a_number() -> None:
    plain = Plain(lambda _: "71路")
    now = Progress(1.0, {"sent": 2}, 2, 2, 0, [STRAY, CALL])

    first, again = plain.lines(now), plain.lines(now)
    returned = plain.lines(replace(now, found=[replace(STRAY, ended_at=ENDED), CALL]))

    assert ["strayed" in line for line in first] == [True, True]
    assert 1 == len(again)
    assert "arrived 到站 1" in again[0]
    assert "13:50:44 沪A00003 returned 返回: 71路" in returned[0]
    assert 2 == len(returned)
