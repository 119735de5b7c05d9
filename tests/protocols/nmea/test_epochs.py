from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nmea.build import Position, View, burst, gga, gsa, gsv, rmc, sentence
from protocols.nmea.epochs import EPOCH_SENTENCES_MAX, IDLE_US, Epochs
from protocols.nmea.stream import Lines
from protocols.rows import Rows
from tracks.fix import ABSENT, SOURCES, FixBatch
from tracks.reject import RejectBatch
from tracks.spans import Spans
from tracks.verdict import Reject
from vectors.nmea import of_source, vectors

NOW = 1_767_323_045_000_000
"""2026-01-02T03:04:05Z"""

MOVING = Position(NOW, 31.2, 121.4, 12.3, 45.6, 90.1, used={"gps": [1, 2, 3], "beidou": [6, 7]}, in_view={"gps": [View(1, 30, 40, 33)]})


class Unit:
    """A terminal whose sentences arrive one after the other."""

    def __init__(self) -> None:
        self.epochs = Epochs()
        self.rows = Rows("nmea")
        self.now = NOW

    def say(self, *data: bytes) -> int:
        """Take whole sentences; how many fixes there are by now."""
        for line in Lines().feed(b"".join(data) + b"\r\n"):
            self.epochs.feed(line.raw, self.rows, frame=7, received_us=self.now)
        return len(self.rows.fixes())

    def wait(self, us: int = IDLE_US) -> int:
        self.now += us
        self.epochs.flush(self.rows, frame=7, now_us=self.now)
        return len(self.rows.fixes())

    def finish(self) -> tuple[FixBatch, RejectBatch]:
        self.epochs.finish(self.rows, frame=7)
        return self.rows.fixes(), self.rows.rejects()


def at(seconds: float, **more: Any) -> Position:
    return Position(NOW + round(seconds * 1_000_000), 31.2, 121.4, 12.3, 45.6, 90.1, **more)


def us(text: str | None) -> int:
    return NOW if text is None else round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


def run(lines: list[bytes]) -> tuple[FixBatch, RejectBatch]:
    unit = Unit()
    unit.say(*[line + b"\r\n" for line in lines])
    return unit.finish()


nan = math.nan

FIXES: list[tuple[str, list[Any]]] = [
    # source, then per fix: time, lat, lon, altitude, speed, course, valid, status bits, satellites, sentences
    ("public file: nmealib", ["2020-05-21T08:48:46", 22.895382, 113.845048, nan, 0, 285.74, True, 0x2, ABSENT, 6]),
    ("public file: nmealib", ["2020-05-21T08:48:47", 22.895381, 113.845048, 85.1, nan, nan, True, 0xC0002, 16, 8]),
    ("public file: no fix", ["2022-10-25T02:16:37", nan, nan, nan, nan, nan, False, 0, 0, 15]),
    ("public file: Lyon", ["2025-10-14T16:23:04", 45.749553, 4.837367, 152.8, 0, 0, True, 0xC0002, 7, 7]),
    ("public file: cold start", [None, 22.478693, 113.759375, 153.3, 0, 0, False, 0, 0, 7]),
    ("public file: MTK", [None, nan, nan, nan, 0, 0, False, 0, 0, 4]),
    ("AeroRust", ["2025-06-10T11:01:33", 55.646191, 12.540063, 35.6, nan, nan, True, 0x40002, 5, 5]),
    ("public file / 32108080894", ["2024-10-12T06:15:33", nan, nan, nan, nan, nan, False, 0, 0, 9]),
    ("public file: Suzhou", ["2020-06-11T06:05:36", 31.279686, 120.530798, nan, 2.83356, 322.05, True, 0x2, ABSENT, 1]),
    ("public file: Suzhou", ["2020-06-11T06:05:38", 31.279698, 120.530790, nan, 0.05, nan, True, 0x2, ABSENT, 3]),
    ("public file: Shenzhen", ["2026-01-02T02:36:56", 22.676927, 113.997752, 96.53, nan, nan, True, 0x80002, 23, 1]),
    ("public file: second line", ["2026-01-01T09:55:28", 23.301888, 113.328683, 55.1, nan, nan, True, 0x2, 6, 1]),
    ("SignalK", ["2020-07-08T11:11:03.6", 50.906582, -1.12992, 50.8, 0.03704, 0, True, 0xA, 12, 3]),
    ("esp32-nmea2000", [None, nan, nan, nan, nan, nan, False, 0, 0, 3]),
    ("Beidou short message, same", ["2026-01-01T08:49:36.5", 23.03739, 113.394445, 14, nan, nan, True, 0x80002, ABSENT, 1]),
]


@pytest.mark.parametrize("source", dict.fromkeys(source for source, _ in FIXES))
def test_epochs_of_public_logs_assemble_to_these_fixes(source: str) -> None:
    fixes, _ = run(of_source(source))

    assert [told for name, told in FIXES if name == source] == [
        [told[0] if fixes.dated[row] and us(told[0]) == fixes.time_us[row] else None, *approximately(fixes, row)]
        for row, told in enumerate(told for name, told in FIXES if name == source)
    ]
    assert len(fixes) == len([source for name, _ in FIXES if name == source])


def approximately(fixes: FixBatch, row: int) -> list[Any]:
    numbers = [column[row] for column in (fixes.lat, fixes.lon, fixes.altitude_m, fixes.speed_kmh, fixes.course_deg)]
    shown = [pytest.approx(float(value), abs=2e-6, rel=1e-6, nan_ok=True) for value in numbers]
    count = len(fixes.raw.bytes_at(row).split(b"\r\n"))
    return [*shown, bool(fixes.valid[row]), int(fixes.status_bits[row]), int(fixes.satellites[row]), count]


def test_no_sentence_of_public_logs_is_lost() -> None:
    fixes, rejects = run([vector.sentence for vector in vectors()])
    kept = [line for raw in (*fixes.raw, *rejects.raw) for line in raw.split(b"\r\n")]

    assert sorted(vector.sentence for vector in vectors()) == sorted(kept)


def test_a_fix_carries_what_the_gateway_needs() -> None:
    unit = Unit()
    unit.say(burst(MOVING))
    fixes, rejects = unit.finish()

    assert len(rejects) == 0
    assert (7, ABSENT, ABSENT, NOW, SOURCES.index("nmea"), False) == tuple(
        column[0] for column in (fixes.frame, fixes.terminal_id, fixes.vehicle_id, fixes.received_us, fixes.source, fixes.backfill)
    )
    assert burst(MOVING).strip() == fixes.raw.bytes_at(0)


def test_two_bursts_teach_the_end_and_the_third_waits_for_nothing() -> None:
    unit = Unit()

    assert [0, 1, 3, 4] == [unit.say(burst(at(second))) for second in range(4)]


def test_silence_closes_an_epoch_and_teaches_too() -> None:
    unit = Unit()
    seen = [(unit.say(burst(at(30 * turn))), unit.wait(IDLE_US - 1), unit.wait(1)) for turn in range(3)]

    assert seen == [(0, 0, 1), (1, 1, 2), (3, 3, 3)]


@pytest.mark.parametrize("last", [1, 4, 5, 9, 13])
def test_the_end_is_learnt_though_the_number_of_satellites_varies(last: int) -> None:
    unit = Unit()
    for second, count in enumerate((3, 8, last)):
        seen = [View(number, 10, 20, 30) for number in range(count)]
        position = at(second, in_view={"gps": seen, "beidou": seen})
        total = unit.say(rmc(position), gga(position), *gsv(position))

    assert total == 3


def test_a_seldom_sentence_after_the_end_does_no_harm() -> None:
    unit = Unit()
    for second in range(6):
        extra = sentence("GNZDA", "030408.000", "02", "01", "2026", "", "") if second == 3 else b""
        unit.say(rmc(at(second)), gga(at(second)), extra)
    fixes, rejects = unit.finish()

    assert (6, 0) == (len(fixes), len(rejects))
    assert [NOW + second * 1_000_000 for second in range(6)] == fixes.time_us.tolist()


def test_an_end_that_was_none_is_forgotten_and_its_epochs_are_whole_again() -> None:
    unit = Unit()
    for second in range(20):
        altitude = gga(at(second)) if second % 5 == 4 else b""
        unit.say(rmc(at(second)), altitude)
    fixes, _ = unit.finish()

    assert len(fixes) == 20
    # the first GGA came after an epoch that had been believed complete
    assert [9, 14, 19] == [row for row in range(20) if fixes.altitude_m[row] == pytest.approx(12.3)]


def test_a_late_sentence_makes_no_second_fix_of_its_time() -> None:
    unit = Unit()
    for second in range(3):
        unit.say(gga(at(second)))
        unit.wait()
    unit.say(rmc(at(2)), gga(at(3)), rmc(at(3)))
    fixes, _ = unit.finish()

    assert [NOW + second * 1_000_000 for second in range(4)] == fixes.time_us.tolist()


def test_sentences_a_little_apart_are_one_epoch_until_the_step_is_that_small() -> None:
    unit = Unit()
    for second in range(3):
        unit.say(gga(at(second)), rmc(at(second + 0.1)))
    slow, _ = unit.finish()
    for tick in range(10):
        unit.say(rmc(at(10 + tick / 10)), gga(at(10 + tick / 10)))
    both, _ = unit.finish()

    assert (3, 13) == (len(slow), len(both))


def test_a_module_without_a_clock_has_one_fix_a_burst() -> None:
    lines = [line + b"\r\n" for line in of_source("esp32-nmea2000")]
    unit = Unit()

    assert [0, 1, 3, 4] == [unit.say(*lines) for _ in range(4)]


def test_a_clock_that_stands_still_has_one_fix_a_burst() -> None:
    unit = Unit()

    assert [0, 1, 3, 4] == [unit.say(rmc(at(0)), gga(at(0))) for _ in range(4)]


def test_the_combined_solution_counts_among_several_talkers() -> None:
    other = Position(NOW, 30.0, 120.0, 5.0, 10.0, 10.0)
    unit = Unit()
    unit.say(gga(other, "GP"), gga(MOVING, "GN"), gga(other, "BD"), rmc(other, "GP"), rmc(MOVING, "GN"))
    fixes, _ = unit.finish()

    assert (1, pytest.approx(31.2), pytest.approx(12.3)) == (len(fixes), fixes.lat[0], fixes.altitude_m[0])


def test_a_solution_is_denied_by_any_of_its_sentences() -> None:
    denied = Position(NOW, 31.2, 121.4, valid=False)
    unit = Unit()
    unit.say(rmc(MOVING), gga(denied), rmc(at(1)), gga(at(1)))
    fixes, _ = unit.finish()

    assert [False, True] == fixes.valid.tolist()
    assert fixes.lat[0] == pytest.approx(31.2)


@pytest.mark.parametrize(
    ("bits", "systems"), [(1 << 18, ["gps"]), (1 << 19, ["beidou"]), (0b11 << 20, ["glonass", "galileo"]), (0, ["qzss", "navic"])]
)
def test_status_bits_tell_the_systems_used(bits: int, systems: list[str]) -> None:
    position = Position(NOW, -31.2, -121.4, used={system: [1, 2] for system in systems})
    unit = Unit()
    unit.say(gga(position), *gsa(position))
    fixes, _ = unit.finish()

    assert [0b1110 | bits] == fixes.status_bits.tolist()
    assert [2 * len(systems)] == fixes.satellites.tolist()


def test_a_combined_gsa_without_system_id_is_resolved_by_what_is_in_view() -> None:
    used = sentence("GNGSA", "A", "3", "03", "67", "09", *[""] * 9, "1.5", "0.8", "1.2")
    in_view = [sentence("GPGSV", 1, 1, "02", "03", "", "", "", "09", "", "", ""), sentence("BDGSV", 1, 1, "01", "09", "", "", "")]
    unit = Unit()
    unit.say(rmc(MOVING), used, *in_view, sentence("GLGSV", 1, 1, "01", "67", "", "", ""))
    fixes, _ = unit.finish()

    # 9 may be either's
    assert [0b10 | 1 << 18 | 1 << 20] == fixes.status_bits.tolist()


def test_the_antennas_state_lasts_until_the_next_text() -> None:
    unit = Unit()
    for second, text in enumerate([None, "ANTENNA OPEN", None, "ANTENNA SHORT", "ANTENNA OK", None]):
        unit.say(rmc(at(second)), sentence("GNTXT", "01", "01", "01", text) if text else b"")
    fixes, _ = unit.finish()

    assert [0, 1 << 5, 1 << 5, 1 << 6, 0, 0] == fixes.alarm_bits.tolist()


def test_a_short_messages_own_position_does_not_disturb_the_epoch() -> None:
    own = sentence("BDDWR", 1, "0242407", "030405.50", "3112.0", "N", "12124.0", "E", "14", "M", "-6", "M", 1, "V", "V", "L")
    others = sentence("BDDWR", 2, "0242408", "030405.50", "3112.0", "N", "12124.0", "E", "14", "M", "-6", "M", 1, "V", "V", "L")
    unit = Unit()
    unit.say(rmc(MOVING), own, others, gga(MOVING))
    fixes, rejects = unit.finish()

    assert [own.strip(), (rmc(MOVING) + gga(MOVING)).strip()] == list(fixes.raw)
    assert [(Reject.UNSUPPORTED, others.strip())] == list(zip(rejects.reason, rejects.raw, strict=True))
    assert [NOW + 500_000, NOW] == fixes.time_us.tolist()


def test_a_bad_sentence_costs_only_itself() -> None:
    unit = Unit()
    unit.say(gga(MOVING), b"$GNGSA,broken*00\r\n", rmc(MOVING))
    fixes, rejects = unit.finish()

    assert ([(gga(MOVING) + rmc(MOVING)).strip()], [b"$GNGSA,broken*00"]) == (list(fixes.raw), list(rejects.raw))


def test_sentences_that_never_come_to_a_position_are_bounded_and_kept() -> None:
    unit = Unit()
    unit.say(*[sentence("GPGSV", 1, 1, "00")] * (2 * EPOCH_SENTENCES_MAX))

    assert (0, [Reject.UNSUPPORTED] * 2) == (len(unit.rows.fixes()), unit.rows.rejects().reason.tolist())
    assert unit.epochs.oldest is None


def test_an_epoch_without_end_is_bounded() -> None:
    unit = Unit()
    unit.say(rmc(MOVING), *[sentence("GPGSV", 1, 1, "00")] * EPOCH_SENTENCES_MAX)

    assert len(unit.rows.fixes()) == 1


def test_the_oldest_ticket_is_the_first_sentence_that_waits() -> None:
    epochs, rows = Epochs(), Rows("nmea")
    seen = []
    for ticket, data in enumerate([rmc(at(0)), gga(at(0)), rmc(at(1)), gga(at(1)), rmc(at(2)), gga(at(2)), b"junk"]):
        epochs.feed(data.strip(), rows, frame=0, received_us=NOW, ticket=ticket)
        seen.append(epochs.oldest)

    assert [0, 0, 2, 2, 4, None, None] == seen


SENTENCES = [
    *[vector.sentence for vector in vectors()],
    *(line for second in (0, 0.1, 1, 86400) for line in burst(at(second, used=MOVING.used, in_view=MOVING.in_view)).splitlines()),
    b"ID=1",
    b"$BDDWR*52",
]


ADDRESSES = "GNRMC GPGGA BDGSV GNGSA GNVTG GNZDA GNTXT GNGLL GNGNS BDDWR BDTXR BDWAA CCTXA PX"


@st.composite
def some_sentence(draw: st.DrawFn) -> bytes:
    """A sentence with a right checksum and perhaps wrong fields."""
    address = draw(st.sampled_from(ADDRESSES.split()))
    likely = st.sampled_from(["", "A", "V", "1", "3", "162304", "235960.0", "141025", "4544.9", "N", "E", "9" * 30, "nan", "-1", "\0", "é"])
    fields = draw(st.lists(likely | st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=22))
    return sentence(address, *fields).strip()


@given(st.lists(st.sampled_from(SENTENCES) | some_sentence() | st.binary(max_size=40), max_size=25), st.data())
def test_any_bytes_become_fixes_or_rejects_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"\r\n".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole, cut = gathered([stream]), gathered([stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)])

    assert table(whole[0]) == table(cut[0])
    assert table(whole[1]) == table(cut[1])
    kept = sorted(line for raw in (*whole[0].raw, *whole[1].raw) for line in raw.split(b"\r\n"))
    cutter = Lines()
    assert sorted(line.raw for line in cutter.feed(stream) + cutter.finish()) == kept


def gathered(stream: list[bytes]) -> tuple[FixBatch, RejectBatch]:
    lines, epochs, rows = Lines(), Epochs(), Rows("nmea")
    for piece in stream:
        for line in lines.feed(piece):
            epochs.feed(line.raw, rows, frame=0, received_us=NOW)
    for line in lines.finish():
        epochs.feed(line.raw, rows, frame=0, received_us=NOW)
    epochs.finish(rows, frame=0)
    return rows.fixes(), rows.rejects()


def table(batch: FixBatch | RejectBatch) -> list[Any]:
    values = {name: getattr(batch, name) for name in batch.columns()}
    return [list(value) if isinstance(value, Spans) else value.tobytes() for value in values.values()]
