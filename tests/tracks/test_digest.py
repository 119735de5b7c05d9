"""The digest of a report is stored for ever, so it must never change, and it must see every byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracks.fix import digest64
from tracks.spans import Spans

GOLDEN = {
    b"": 0,
    b"\x00": -2977935340885044111,
    b"1234567": -5470592506062868151,
    b"12345678": -7933674971439238988,
    b"123456789": -6457556314641068344,
    bytes(range(60)): 6014877085141046307,
}


def one(piece: bytes) -> int:
    return int(digest64(Spans.of([piece]))[0])


def test_the_digest_of_known_bytes_is_what_is_in_peoples_databases() -> None:
    assert {piece: one(piece) for piece in GOLDEN} == GOLDEN


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_a_report_has_the_same_digest_alone_and_in_any_company(pieces: list[bytes]) -> None:
    assert [one(piece) for piece in pieces] == digest64(Spans.of(pieces)).tolist()


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_changed_byte_or_length_changes_the_digest(piece: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(piece) - 1))
    other = bytearray(piece)
    other[at] ^= data.draw(st.integers(1, 255))

    assert len({one(piece), one(bytes(other)), one(piece + b"\x00"), one(piece[:-1])}) == 4
