"""Where frames begin and end, wherever the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generated_jt808 import CHUNKS
from protocols.errors import Oversize
from protocols.jt808.framing import Deframer, closed, escape, unescape, unwrap, wrap
from tracks.spans import Spans
from tracks.verdict import Reject
from vectors import jt808

STREAMS = {each["id"]: bytes.fromhex(each["stream_hex"]) for each in jt808.streams()}
STREAMS |= {
    name: jt808.synthetic(name) for name in ("shared_delimiter", "empty_frames", "garbage_between", "start_mid_frame", "body_of_7e_7d")
}


def pieces_of(whole: bytes) -> list[bytes]:
    return [piece for piece in whole.split(b"\x7e") if piece]


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_stream_cut_at_any_byte_gives_the_same_pieces(stream: bytes) -> None:
    uncut = Deframer()
    expected = pieces_of(uncut.feed(stream))
    for cut in range(len(stream) + 1):
        deframer = Deframer()
        fed = deframer.feed(stream[:cut]) + deframer.feed(stream[cut:])

        assert pieces_of(fed) == expected
        assert deframer.tail == uncut.tail


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_stream_fed_byte_by_byte_gives_the_same_pieces(stream: bytes) -> None:
    deframer = Deframer()
    fed = b"".join(deframer.feed(stream[at : at + 1]) for at in range(len(stream)))

    assert pieces_of(fed) == pieces_of(Deframer().feed(stream))


PAIRED = {"s004": "its source takes flags in pairs and loses what lies between two pairs; 7E separates, so there are three pieces (§4.4.2)"}


@pytest.mark.parametrize("vector", [each for each in jt808.streams() if each["id"] not in PAIRED], ids=lambda vector: vector["id"])
def test_the_pieces_of_a_stream_are_those_its_source_names(vector: dict) -> None:
    expected = [bytes.fromhex(each["hex"]).strip(b"\x7e") for each in vector["naive_split"]]

    assert pieces_of(Deframer().feed(bytes.fromhex(vector["stream_hex"]) + b"\x7e")) == expected


@given(CHUNKS, st.data())
def test_feeding_loses_nothing_and_gives_only_ended_pieces(data: bytes, cuts: st.DataObject) -> None:
    deframer, fed, at = Deframer(), b"", 0
    while at < len(data):
        step = cuts.draw(st.integers(1, 40))
        whole = deframer.feed(data[at : at + step])
        assert not whole or whole.endswith(b"\x7e")
        fed, at = fed + whole, at + step

    assert fed + deframer.tail == data


def test_a_frame_that_never_ends_is_refused_and_forgotten() -> None:
    deframer = Deframer(frame_bytes_max=100)
    deframer.feed(b"\x7e" + bytes(200))
    with pytest.raises(Oversize, match="without a 7E") as caught:
        deframer.feed(b"\x00")

    assert caught.value.reason == Reject.OVERSIZE
    assert deframer.tail == b""


@given(st.lists(st.binary(min_size=1, max_size=30).map(lambda data: data.replace(b"\x7e", b"\x7d")), min_size=1, max_size=6))
def test_escapes_are_undone_as_the_plain_reader_undoes_them(parts: list[bytes]) -> None:
    buffer = np.frombuffer(b"".join(part + b"\x7e" for part in parts), np.uint8)
    stop = np.cumsum([len(part) + 1 for part in parts]) - 1
    clean, doubtful = unescape(Spans(buffer, stop - [len(part) for part in parts], stop))
    expected = [unwrap(part) for part in parts]

    assert list(clean) == [content for content, _ in expected]
    assert doubtful.tolist() == [stray for _, stray in expected]


def test_the_standards_own_example_travels_as_it_prints() -> None:
    assert unwrap(bytes.fromhex("307d02087d0155")) == (bytes.fromhex("307e087d55"), False)
    assert wrap(bytes.fromhex("307e087d55"))[1:-2] == bytes.fromhex("307d02087d0155")


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5))
def test_a_batch_is_escaped_as_each_frame_alone(contents: list[bytes]) -> None:
    room = b"".join(b"\x00" + content + b"\x00" for content in contents)
    stop = np.cumsum([len(content) + 2 for content in contents])
    start = stop - [len(content) + 2 for content in contents]
    escaped = [content.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02") for content in contents]

    assert list(escape(Spans(np.frombuffer(room, np.uint8).copy(), start, stop))) == [b"\x7e" + each + b"\x7e" for each in escaped]


def test_a_chunk_that_breaks_off_is_closed_and_the_next_one_starts_clean() -> None:
    chunks = [b"\x7eab\x7e", b"", b"cd\x7d", b"\x01e\x7e", b"f"]
    buffer, stop = closed(np.frombuffer(b"".join(chunks), np.uint8), np.cumsum([len(chunk) for chunk in chunks]))

    assert buffer.tobytes() == b"\x7eab\x7ecd\x7d\x7e\x01e\x7ef\x7e"
    assert stop.tolist() == [4, 4, 8, 11, 13]
