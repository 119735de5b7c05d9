"""The alarms of items as incidents: raised, held, ended, flags that never end, several at once, and one with what others find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compliance.driving import Driving, Limit, Limits
from fix_drives import NOON_US, Drive, Ledger, batch, cut, grid, judged, shuffled
from geofence.check import Atlas
from geofence.evidence import EVIDENCE
from geofence.fences import Circle, Fence, FenceIndex
from tracks.alarms import ALARMS, BIT_OF, BITS, HELD_FROM, WORD_BITS, named, subject
from tracks.event import Ended, Kind, Level
from tracks.fix import ABSENT, FixBatch

RULES = [Driving(Limits.of([]))]
LASTS_S = EVIDENCE[Kind.TERMINAL_ALARM].lasts_s


def bit(word: str) -> int:
    return 1 << BIT_OF[word]


def reports(said: dict[int, dict[str, int]], count: int = 30, every_s: int = 10, **others: Any) -> FixBatch:
    """A drive of so many fixes; at some of them items speak."""
    made = Drive(every_s=every_s).along(grid((0, 0), (10.0 * every_s * count - 1, 0)), **others)
    return batch([row | said.get(number, {}) for number, row in enumerate(made.rows)])


def alarms(ledger: Ledger) -> list[tuple[int, float, float, Ended]]:
    """Subject, begin, end and why it ended, in seconds since noon; one that lasts ends at infinity."""

    def second(time_us: int) -> float:
        return np.inf if time_us == ABSENT else (time_us - NOON_US) / 1e6

    rows = ledger.incidents(Kind.TERMINAL_ALARM)
    return [(row["subject"], second(row["start_us"]), second(row["end_us"]), Ended(row["ended"])) for row in rows]


def told(said: dict[int, dict[str, int]], atlas: Atlas | None = None, **others: Any) -> Ledger:
    return judged([reports(said, **others)], atlas or Atlas(), RULES)


# what follows flags

LANE, PHONE = subject(BIT_OF["adas_lane_departure"], 0), subject(BIT_OF["dsm_phone"], 0)


def test_a_flag_raises_silence_holds_and_a_flag_ends() -> None:
    ledger = told({3: {"raised": bit("dsm_phone")}, 9: {"cleared": bit("dsm_phone")}})

    assert [(PHONE, 30, 90, Ended.RETURNED)] == alarms(ledger)
    assert ["alarm_raised", "alarm_cleared"] == ledger.words
    assert Level.WARNING == ledger.incidents()[0]["level"]


def test_a_flag_that_is_never_ended_ends_where_it_was_last_seen() -> None:
    assert [(PHONE, 30, np.inf, Ended.OPEN)] == alarms(told({3: {"raised": bit("dsm_phone")}}, count=3 + int(LASTS_S // 10)))
    assert [(PHONE, 30, 30, Ended.GAP)] == alarms(told({3: {"raised": bit("dsm_phone")}}, count=5 + int(LASTS_S // 10)))


def test_raised_again_it_is_still_one_and_lasts_on() -> None:
    said = {3: {"raised": bit("dsm_phone")}, 40: {"raised": bit("dsm_phone")}, 80: {"cleared": bit("dsm_phone")}}

    assert [(PHONE, 30, 800, Ended.RETURNED)] == alarms(told(said, count=100))


def test_an_end_without_a_begin_is_nothing() -> None:
    assert [] == alarms(told({3: {"cleared": bit("dsm_phone")}}))


def test_two_alarms_at_once_are_two_incidents() -> None:
    both = bit("dsm_phone") | bit("adas_lane_departure")
    ledger = told({3: {"raised": both}, 5: {"cleared": bit("adas_lane_departure")}, 9: {"cleared": bit("dsm_phone")}})

    assert {(LANE, 30, 50, Ended.RETURNED), (PHONE, 30, 90, Ended.RETURNED)} == set(alarms(ledger))


def test_moments_are_over_when_they_are_told_and_each_is_one() -> None:
    moment = {"raised": bit("adas_lane_departure"), "cleared": bit("adas_lane_departure")}
    ledger = told({3: moment, 4: moment})

    assert [(LANE, 30, 30, Ended.RETURNED), (LANE, 40, 40, Ended.RETURNED)] == alarms(ledger)
    assert 2 * ["alarm_raised", "alarm_cleared"] == ledger.words


def test_a_moment_ends_nothing_that_lasts() -> None:
    lane = bit("adas_lane_departure")
    ledger = told({3: {"raised": lane}, 5: {"raised": lane, "cleared": lane}, 9: {"cleared": lane}})

    assert {(LANE, 30, 90, Ended.RETURNED), (LANE, 50, 50, Ended.RETURNED)} == set(alarms(ledger))


def test_a_terminal_without_a_position_is_heard_all_the_same() -> None:
    ledger = told({3: {"raised": bit("dsm_phone")}, 9: {"cleared": bit("dsm_phone")}}, valid=False)

    assert [(PHONE, 30, 90, Ended.RETURNED)] == alarms(ledger)


# what is held


def test_what_is_held_lasts_as_long_as_reports_say_so() -> None:
    lost = {"raised": bit("signal_lost") | bit("overcrowded")}
    ledger = told({3: lost, 4: lost, 5: {"raised": bit("overcrowded")}})

    assert {
        (subject(BIT_OF["signal_lost"], 0), 30, 50, Ended.RETURNED),
        (subject(BIT_OF["overcrowded"], 0), 30, 60, Ended.RETURNED),
    } == set(alarms(ledger))


def test_overspeed_is_of_an_area_and_of_another_it_is_another() -> None:
    at = {number: {"raised": bit("overspeed_in_area"), "place": 5 if number < 6 else 7} for number in range(3, 9)}

    assert [
        (subject(BIT_OF["overspeed_in_area"], 5), 30, 60, Ended.RETURNED),
        (subject(BIT_OF["overspeed_in_area"], 7), 60, 90, Ended.RETURNED),
    ] == alarms(told(at))


def test_a_way_in_is_over_when_last_said_and_repeated_it_is_one() -> None:
    entered = {"raised": bit("entered_area"), "place": 2**32 - 1}

    assert [(subject(BIT_OF["entered_area"], 2**32 - 1), 30, 50, Ended.RETURNED)] == alarms(told({3: entered, 4: entered, 5: entered}))


def test_the_place_is_only_that_of_alarms_about_places() -> None:
    ledger = told({3: {"raised": bit("left_route") | bit("signal_lost") | (bit("entered_area") << 1), "place": 9}})

    assert {subject(BIT_OF["left_route"], 9), subject(BIT_OF["signal_lost"], 0), subject(BIT_OF["entered_area"] + 1, 0)} == {
        each for each, *_ in alarms(ledger)
    }


def test_every_alarm_has_a_word_in_both_languages_and_a_number_of_its_own() -> None:
    assert "dsm_phone 接打手持电话" == named(PHONE)
    assert "entered_area 进入区域 7" == named(subject(BIT_OF["entered_area"], 7))
    assert "alarm_200" == named(200)
    assert len({alarm.word for number, alarm in ALARMS.items() if number >= WORD_BITS and not alarm.placed}) == len(ALARMS) - WORD_BITS - 8
    assert (41, 72, 86) == (PHONE, WORD_BITS + BIT_OF["entered_route"], WORD_BITS + BIT_OF["abnormal_driving"]), "they are stored"


# one with the alarm word and with what we find


@pytest.mark.parametrize(
    ("word", "detail", "place"),
    [(1, "overspeed_in_area", 5), (1, "overspeed", 0), (20, "left_area", 5), (21, "entered_route", 5), (22, "segment_too_slow", 5)],
)
def test_an_item_that_details_a_bit_is_one_incident_with_it(word: int, detail: str, place: int) -> None:
    rows = told({3: {"raised": bit(detail), "place": place, "alarm_bits": 1 << word}}).incidents()
    by_subject = {row["subject"]: row for row in rows}

    assert {word, subject(BIT_OF[detail], place)} == by_subject.keys()
    assert by_subject[word]["id"] == by_subject[subject(BIT_OF[detail], place)]["same_as"]


def test_a_way_in_that_item_bit_and_fence_tell_is_one_incident() -> None:
    fence = Atlas(fences=FenceIndex.of([Fence(5, Circle(*grid((1000, 0))[0], 300.0))]))
    rows = told({8: {"raised": bit("entered_area"), "place": 5, "alarm_bits": 1 << 20}}, fence).incidents()
    alone = told({8: {"raised": bit("entered_area"), "place": 5}}, fence).incidents()

    for found in (rows, alone):
        inside = next(row["id"] for row in found if row["kind"] == Kind.INSIDE)
        first = min((row for row in found), key=lambda row: (row["opened_us"], row["kind"], row["subject"]))
        assert {first["id"]} == {row["same_as"] for row in found if row is not first}
        assert inside in {row["id"] for row in found}
    assert (3, 2) == (len(rows), len(alone))


def test_overspeed_that_item_bit_and_we_find_is_one_incident() -> None:
    said = {number: {"raised": bit("overspeed_in_area"), "place": 5, "alarm_bits": 2, "speed_kmh": 90} for number in range(6, 20)}
    rules = [Driving(Limits.of([], Limit(max_kmh=80)))]
    rows = judged([reports(said)], Atlas(), rules).incidents()
    first = min(rows, key=lambda row: row["opened_us"])

    assert 3 == len(rows)
    assert {first["id"]} == {row["same_as"] for row in rows if row is not first}


def test_an_item_that_comes_when_what_we_found_is_long_forgotten_is_one_with_it_all_the_same() -> None:
    """The bit of the word, which lasts, knows what it is one with."""
    said = {number: {"alarm_bits": 2} for number in range(8, 70)} | {69: {"alarm_bits": 2, "raised": bit("overspeed_in_area"), "place": 5}}
    said |= {number: {"speed_kmh": 90} | said.get(number, {}) for number in range(4, 12)}
    rows = judged([reports(said, count=80, every_s=30)], Atlas(), [Driving(Limits.of([], Limit(max_kmh=80)))]).incidents()
    ours = next(row["id"] for row in rows if row["kind"] == Kind.OVERSPEED)

    assert [ours, ours] == [row["same_as"] for row in rows if row["kind"] == Kind.TERMINAL_ALARM]


def test_a_behaviour_is_one_incident_with_the_abnormal_driving_it_details() -> None:
    rows = told({3: {"raised": bit("abnormal_driving") | bit("behaviour_phone")}}).incidents()
    by_subject = {row["subject"] - WORD_BITS: row for row in rows}

    assert by_subject[BIT_OF["abnormal_driving"]]["id"] == by_subject[BIT_OF["behaviour_phone"]]["same_as"]


# any alarms at all, against one fix at a time


def random_fixes(rng: np.random.Generator, terminals: int = 3, count: int = 60) -> FixBatch:
    """Terminals whose items speak at every third fix or so, of a few alarms of each sort, with gaps."""
    flags = bit("dsm_phone") | bit("adas_lane_departure") | bit("tyre_hot")
    held = bit("signal_lost") | bit("overspeed_in_area") | bit("entered_area") | (bit("left_area") << 1) | bit("segment_too_slow")
    parts = []
    for terminal_id in range(1, terminals + 1):
        made = Drive(terminal_id=terminal_id, every_s=20)
        while len(made.rows) < count:
            made.along(grid((terminal_id, 200.0 * len(made.rows)), (terminal_id, 200.0 * len(made.rows) + 2000)))
            made.silence(float(rng.choice([0, 300, 900])))
        for row in made.rows:
            if rng.random() < 0.4:
                row |= {"raised": int(rng.integers(0, 2**63)) & (flags | held), "cleared": int(rng.integers(0, 2**32)) & flags}
                row |= {"place": int(rng.choice([0, 5, 2**32 - 1]))}
        parts.append(batch(made.rows))
    every = FixBatch.concat(parts)
    return every.take(np.argsort(every.received_us, kind="stable"))


def plainly(fixes: FixBatch) -> list[tuple[int, int, int, int, Ended]]:
    """Terminal, subject, begin, end, why: one fix after the other, as the table of alarms says it."""
    found: list[tuple[int, int, int, int, Ended]] = []
    for terminal_id in sorted(set(fixes.terminal_id.tolist())):
        rows = np.flatnonzero(fixes.terminal_id == terminal_id)
        begun: dict[int, tuple[int, int]] = {}
        for row in rows[np.lexsort((fixes.digest[rows], fixes.time_us[rows]))].tolist():
            said = said_at(fixes, row)
            for about in sorted(said.keys() | begun.keys()):
                says = said.get(about, "silent" if about % 256 < WORD_BITS + HELD_FROM else "over")
                found += [(terminal_id, about, *ended) for ended in weighed(begun, about, says, int(fixes.time_us[row]))]
        found += [(terminal_id, about, start_us, ABSENT, Ended.OPEN) for about, (start_us, _) in begun.items()]
    return sorted(found)


def said_at(fixes: FixBatch, row: int) -> dict[int, str]:
    """What the items of a fix say of which subject."""
    said = {}
    for at in range(BITS):
        up, down = (int(bits[row]) >> at & 1 for bits in (fixes.raised, fixes.cleared))
        if up or down:
            place = int(fixes.place[row]) if ALARMS[at + WORD_BITS].placed else 0
            said[at + WORD_BITS + 256 * place] = "moment" if up and down else "raised" if up else "cleared"
    return said


def weighed(begun: dict[int, tuple[int, int]], about: int, says: str, time_us: int) -> list[tuple[int, int, Ended]]:
    """What ends; `begun` has begin and last sight of what lasts."""
    start_us, last_us = begun.get(about, (time_us, time_us))
    if says == "moment":
        return [(time_us, time_us, Ended.RETURNED)]
    if says == "raised":
        begun[about] = start_us, time_us
    if says == "raised" or (says == "silent" and time_us - last_us <= LASTS_S * 1e6) or begun.pop(about, None) is None:
        return []
    if says == "silent":
        return [(start_us, last_us, Ended.GAP)]
    return [(start_us, last_us if says == "over" and ALARMS[about % 256].passes else time_us, Ended.RETURNED)]


@pytest.mark.parametrize("seed", range(5))
def test_any_alarms_are_what_one_fix_at_a_time_makes_of_them(seed: int) -> None:
    fixes = random_fixes(np.random.default_rng(seed))
    rows = judged([fixes], Atlas(), RULES).incidents(Kind.TERMINAL_ALARM)
    found = sorted((row["terminal_id"], row["subject"], row["start_us"], row["end_us"], Ended(row["ended"])) for row in rows)

    assert len(found) > 100, "too little happens"
    assert plainly(fixes) == found


@pytest.mark.parametrize("seed", range(3))
def test_how_the_fixes_come_changes_no_alarm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fixes = random_fixes(rng)
    together = judged([fixes], Atlas(), RULES).facts()
    late = shuffled(fixes, rng)

    assert together == judged(cut(fixes, 1), Atlas(), RULES).facts(), "one at a time"
    assert together == judged(cut(late, 7), Atlas(), RULES).facts(), "out of order"
    assert together == judged(cut(late, 5), Atlas(), RULES, restart_every=2).facts(), "out of order, restarting"
