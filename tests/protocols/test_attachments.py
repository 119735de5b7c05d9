"""Frames and file data on one link, however it is cut."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import Oversize
from protocols.jt808.attachments import MAGIC, Attachments, Piece, piece_bytes
from protocols.jt808.frames import frame_of
from protocols.jt808.header import V2013, encode
from tracks.verdict import Reject

FRAMES = st.binary(max_size=40).map(lambda body: encode(0x1211, "1", 1, body, V2013))
PIECES = st.builds(lambda offset, data: piece_bytes("00_64_6401_0.jpg", offset, data), st.integers(0, 1000), st.binary(max_size=60))


def fed(link: Attachments, stream: bytes, cuts: list[int]) -> list[bytes | Piece]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [each for start, stop in pairwise(edges) for each in link.feed(stream[start:stop])]


@given(st.lists(st.one_of(FRAMES, PIECES), max_size=6), st.lists(st.integers(0, 1000), max_size=8))
def test_frames_and_pieces_come_in_their_order_wherever_the_stream_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    link = Attachments()
    found = fed(link, b"".join(parts), cuts)

    assert [each if isinstance(each, bytes) else piece_bytes(each.name, each.offset, each.data) for each in found] == parts
    assert link.skipped == 0


def test_one_flag_between_two_frames_is_enough() -> None:
    one, other = (encode(0x1211, "1", number, b"", V2013) for number in (1, 2))
    found = Attachments().feed(one + other[1:] + piece_bytes("a", 0, b"x"))

    assert found[:2] == [one, other]
    assert found[2:] == [Piece("a", 0, b"x")]


def test_garbage_before_either_is_skipped() -> None:
    link = Attachments()
    frame = encode(0x1212, "1", 1, b"", V2013)

    assert link.feed(b"GET / 30 0" + frame + piece_bytes("a", 5, b"\x7e\x7d") + b"01\r\n" + frame) == [
        frame,
        Piece("a", 5, b"\x7e\x7d"),
        frame,
    ]
    assert link.skipped == 14


def test_a_text_of_the_magic_inside_a_frame_is_the_frames() -> None:
    frame = encode(0x1211, "1", 1, MAGIC * 3, V2013)

    assert Attachments().feed(frame) == [frame]


@pytest.mark.parametrize("stream", [MAGIC + bytes(50) + b"\x00\x00\x00\x00\xff\xff\xff\xff", b"\x7e" + b"x" * 3000])
def test_what_is_longer_than_any_may_be_is_oversize(stream: bytes) -> None:
    with pytest.raises(Oversize):
        Attachments().feed(stream)


@given(st.lists(st.one_of(st.binary(max_size=200), st.just(MAGIC), st.just(b"\x7e"), FRAMES, PIECES), max_size=12))
def test_any_stream_is_taken_apart_in_bounded_memory(reads: list[bytes]) -> None:
    link = Attachments(piece_bytes_max=100)
    for data in reads:
        try:
            found = link.feed(data)
        except Oversize:
            return
        assert all(isinstance(each, Piece) or isinstance(frame_of(each).reject, Reject) for each in found)
        assert len(link._tail) <= 2200


def test_a_long_file_comes_in_pieces_of_64_kib() -> None:
    file = random.Random(12).randbytes(300_000)
    stream = b"".join(piece_bytes("movie.mp4", at, file[at : at + 65536]) for at in range(0, len(file), 65536))
    found = fed(Attachments(), stream, list(range(0, len(stream), 1460)))

    assert b"".join(each.data for each in found if isinstance(each, Piece)) == file
