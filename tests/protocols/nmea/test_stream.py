from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nmea.stream import Heard, Line, Lines, Link, Named, Refused, name_line
from tracks.verdict import Reject

RMC = b"$GNRMC,162304.000,A,4544.97320,N,00450.24199,E,0.00,0.00,141025,,,A,V*03"
GGA = b"$GNGGA,162304.000,4544.97320,N,00450.24199,E,1,07,1.1,152.8,M,50.2,M,,*46"


def lines(data: bytes, line_bytes_max: int = 200) -> list[Line]:
    cutter = Lines(line_bytes_max)
    return cutter.feed(data) + cutter.finish()


def whole(*texts: bytes) -> list[Line]:
    return [Line(text, whole=True) for text in texts]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\r\r\n\n", b""])
def test_a_line_ends_at_any_line_end_or_at_the_next_dollar(end: bytes) -> None:
    assert whole(RMC, GGA) == lines(RMC + end + GGA + end)


def test_text_before_a_dollar_stays_with_its_sentence_and_a_bare_line_stands_alone() -> None:
    data = b"+GPSRD:" + RMC + b"\r\nIMEI 860123456789012\r\n!AIVDM,1*00\r\n" + b"x" * 65 + GGA

    assert whole(b"+GPSRD:" + RMC, b"IMEI 860123456789012", b"!AIVDM,1*00", b"x" * 65, GGA) == lines(data)


def test_blank_lines_are_nothing() -> None:
    assert lines(b"\r\n\0\r\n  \t\r\n\n") == []


def test_a_line_that_is_too_long_is_cut_once_and_the_next_is_whole() -> None:
    data = b"$" + b"A" * 5000 + b"\r\n" + RMC + b"\r\n"

    assert [Line(b"$" + b"A" * 199, whole=False), *whole(RMC)] == lines(data)


def test_an_endless_line_costs_no_memory() -> None:
    cutter = Lines(200)
    found = [line for _ in range(1000) for line in cutter.feed(b"A" * 1000)]

    assert [Line(b"A" * 200, whole=False)] == found
    assert cutter.finish() == []


@given(
    st.lists(st.sampled_from([RMC, GGA, b"$", b"!", b"\r", b"\n", b"\r\n", b"\0", b"+X:", b"A" * 70, b"$" + b"B" * 250, b"*"])), st.data()
)
def test_lines_do_not_depend_on_how_the_bytes_were_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cutter, found = Lines(200), []
    for piece in pieces(stream, data):
        found += cutter.feed(piece)

    assert lines(stream) == found + cutter.finish()


def pieces(stream: bytes, data: st.DataObject) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@pytest.mark.parametrize(
    ("line", "terminal"),
    [
        (name_line("013912345678").strip(), "13912345678"),
        (b"$pgid,13912345678*00", None),
        (b"IMEI 860123456789012", "860123456789012"),
        (b"IMEI:860123456789012", "860123456789012"),
        (b"imei=860123456789012,", "860123456789012"),
        (b"ID=13912345678", "13912345678"),
        (b"id = 0", "0"),
        (b"ID=AB12", "ab12"),
        (b"\0ID=1\0", "1"),
        (b"ID=", None),
        (b"ID=bus-7", None),
        (b"ID=123456789012345678901", None),
        (b"IMEI", None),
        (b"IDENTIFY", None),
        (name_line("").strip(), None),
        (name_line("1")[:-3], None),
    ],
)
def test_a_unit_names_itself(line: bytes, terminal: str | None) -> None:
    link = Link()
    heard = link.feed(line + b"\r\n")

    assert terminal == link.terminal
    if terminal is None:
        assert heard.answer.startswith(b"ERROR ")
        assert heard.answer.endswith(b"\r\n")
        assert [line] == [event.raw for event in heard.events if isinstance(event, Refused)]
    else:
        assert Heard([Named(terminal, line)]) == heard


def test_sentences_before_a_name_are_refused_and_the_unit_is_told_once() -> None:
    link = Link()
    first, second = link.feed(RMC + b"\r\n"), link.feed(GGA + b"\r\n")

    assert b"ERROR sentence before a name: send $PGID,<terminal>*hh" in first.answer
    assert second.answer == b""
    assert [(Reject.NOT_AUTHENTICATED, RMC), (Reject.NOT_AUTHENTICATED, GGA)] == [
        (event.reason, event.raw) for event in first.events + second.events if isinstance(event, Refused)
    ]


def test_after_a_name_lines_are_the_terminals_and_a_later_name_takes_over() -> None:
    data = b"ID=1\r\n" + RMC + b"\r\nID=2\r\n" + GGA + b"\r\n"

    assert Heard([Named("1", b"ID=1"), RMC, Named("2", b"ID=2"), GGA]) == Link().feed(data)


def test_a_name_may_stand_before_its_sentence() -> None:
    line = b"ID=1," + RMC

    assert Heard([Named("1", line), line]) == Link().feed(line + b"\r\n")


def test_an_oversized_line_is_refused_and_the_link_goes_on() -> None:
    heard = Link(100).feed(b"ID=1\r\n" + b"$" + b"A" * 200 + b"\r\n" + RMC + b"\r\n")

    assert Heard([Named("1", b"ID=1"), Refused(Reject.OVERSIZE, b"$" + b"A" * 99, "a line of more than 100 bytes"), RMC]) == heard


def test_what_the_peer_left_unended_is_a_line_too() -> None:
    link = Link()
    link.feed(b"ID=1\r\n" + RMC)

    assert Heard([RMC]) == link.finish()


@given(st.binary(max_size=300), st.data())
def test_a_link_hears_the_same_however_the_bytes_are_cut(noise: bytes, data: st.DataObject) -> None:
    stream = data.draw(st.permutations([noise, b"ID=12\r\n", RMC + b"\r\n", b"ID=?\n", name_line("5")])).__iter__()
    joined = b"".join(stream)
    link, heard = Link(), Heard()
    for piece in pieces(joined, data):
        some = link.feed(piece)
        heard.events += some.events
        heard.answer += some.answer

    assert Link().feed(joined) == heard
