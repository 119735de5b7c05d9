from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from firmware_sim.faults import JUMPS_S, Faulty, Rates, jumping, spoil
from firmware_sim.manners import Identity, Manners
from firmware_sim.report import AT_ONCE, Due, Fix
from firmware_sim.terminal import Terminal
from protocols.jt808 import messages
from tests.firmware_sim.platform_in_memory import Link, Platform, frames_in
from tracks.verdict import Reject

COUNT = 200


def reports() -> Iterator[Due]:
    for number in range(COUNT):
        yield Due(AT_ONCE, Fix(time=1_700_000_000 + number, lat=31.2, lon=121.4))


def drive(rates: Rates, seed: int = 1) -> tuple[Link, Terminal, Faulty]:
    """Let a terminal say everything over a bad road, on a virtual clock, reconnecting whenever it must."""
    terminal = Terminal(Identity(name="13900000071"), reports(), Manners(answer_timeout_s=5))
    faulty = Faulty(terminal, rates, Random(seed))
    link = Link(faulty, Platform())
    for _ in range(10_000):
        if faulty.finished:
            break
        link.now += 1
        if not link.up:
            link.connect()
        link.run(link.now + 1_000)
    return link, terminal, faulty


ALL = Rates(cut=0.05, half_open=0.02, duplicate=0.1, spoiled=0.1)


@pytest.mark.parametrize(
    "rates",
    [Rates(cut=0.1), Rates(half_open=0.05), Rates(duplicate=0.3), Rates(spoiled=0.2), ALL],
    ids=["cut", "half_open", "duplicate", "spoiled", "all"],
)
def test_whatever_goes_wrong_every_report_arrives_and_only_what_arrived_counts_as_acknowledged(rates: Rates) -> None:
    link, terminal, faulty = drive(rates)

    assert terminal.finished
    assert COUNT == len(terminal.acknowledged)
    assert terminal.acknowledged <= set(link.platform.bodies)
    assert faulty.struck.total()


def test_the_same_seed_goes_wrong_in_the_same_way() -> None:
    first, second, other = (drive(ALL, seed)[0].sent for seed in (7, 7, 8))

    assert first == second
    assert first != other


def test_a_sound_road_changes_nothing() -> None:
    link, terminal, faulty = drive(Rates())

    plain = Link(Terminal(Identity(name="13900000071"), reports(), Manners(answer_timeout_s=5)), Platform(), now=1.0)
    plain.connect()
    assert [out for _, out in plain.sent] == [out for _, out in link.sent]
    assert not faulty.struck.total()
    assert 0 == terminal.counters.resent


def test_a_duplicate_is_the_same_frame_again() -> None:
    link, _, faulty = drive(Rates(duplicate=0.3))

    repeats = sum(count - 1 for count in Counter(frame for _, out in link.sent for frame in out.split(b"\x7e") if frame).values())
    assert repeats == faulty.struck["duplicate"]


def test_a_cut_breaks_the_frame_and_the_link() -> None:
    faulty = Faulty(Terminal(Identity(name="13900000071")), Rates(cut=1), Random(1))

    whole = Terminal(Identity(name="13900000071")).connected(0)
    out = faulty.connected(0)

    assert whole.startswith(out)
    assert len(out) < len(whole)
    assert faulty.hangup
    assert not faulty.silent


def test_a_half_open_link_carries_nothing_in_either_direction_until_the_terminal_gives_up() -> None:
    terminal = Terminal(Identity(name="13900000071"), manners=Manners(answer_timeout_s=10, repeats=2))
    faulty = Faulty(terminal, Rates(half_open=1), Random(1))
    answer = messages.encode(0x8204, "13900000071", 0, b"", 1)

    assert faulty.connected(0) == b""
    assert faulty.receive(answer, 1) == b""
    assert not terminal.counters.commands
    for now in (10, 30, 90):
        assert not faulty.hangup
        assert faulty.tick(now) == b""

    assert faulty.hangup
    assert faulty.silent


@pytest.mark.parametrize("seed", range(50))
def test_a_spoiled_frame_is_one_frame_with_a_false_checksum(seed: int) -> None:
    wire = messages.encode(0x0200, "13900000071", 0x7D7E, bytes(range(0x70, 0x90)), 1)

    spoiled = spoil(wire, Random(seed))

    (frame,) = frames_in(spoiled)
    assert frame.reject is Reject.CHECKSUM
    assert len(wire) == len(spoiled)


def test_clock_jumps_change_the_reported_time_and_not_when_it_is_reported() -> None:
    sound = list(reports())

    jumped = list(jumping(sound, 0.1, Random(3)))

    assert [due.at for due in sound] == [due.at for due in jumped]
    off = {round(after.fix.time - before.fix.time) for before, after in zip(sound, jumped, strict=True)}
    assert off - {0}
    assert off <= {0, *JUMPS_S}
    assert jumped == list(jumping(sound, 0.1, Random(3)))


def test_a_rate_beyond_1_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"half_open=1\.5"):
        Rates(half_open=1.5)
