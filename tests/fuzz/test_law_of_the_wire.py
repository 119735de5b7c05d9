"""The law of the wire: any bytes become rows or rejects, every frame gets a verdict, and nothing else is ever raised."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import reduce
from operator import xor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from generated_jt808 import CHUNKS, WORDS
from protocols.errors import Oversize, ProtocolError
from protocols.jt808.describe import describe
from protocols.jt808.fixes import CARRIERS, fixes
from protocols.jt808.frames import frame_of, split
from protocols.jt808.framing import Deframer
from protocols.jt808.messages import MESSAGES, parse
from tracks.verdict import Reject

SUPPORTED = sorted(message.id for message in MESSAGES.values() if message.supported)


@st.composite
def summed(draw: st.DrawFn) -> bytes:
    """Any header and body behind a right checksum, so that what is inside is looked at."""
    head = draw(st.sampled_from([*SUPPORTED, 0x1234])).to_bytes(2, "big")
    body = draw(st.binary(max_size=120))
    length = draw(st.one_of(st.just(len(body)), WORDS))
    attributes = (length & 0x03FF) | draw(st.sampled_from([0, 0, 0x4000, 0x2000, 0x0400, 0xFC00]))
    content = head + attributes.to_bytes(2, "big") + draw(st.binary(min_size=8, max_size=17)) + body
    content += bytes([reduce(xor, content, 0)])
    return b"\x7e" + content.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02") + b"\x7e"


STREAMS = st.lists(st.one_of(CHUNKS, summed(), st.binary(max_size=200)), max_size=5)


@given(STREAMS, st.integers(-12 * 3600, 14 * 3600))
def test_any_bytes_become_rows_or_rejects(chunks: list[bytes], zone_s: int) -> None:
    buffer = np.frombuffer(b"".join(chunks), np.uint8)
    frames = split(buffer, np.cumsum([len(chunk) for chunk in chunks], dtype=np.int64))
    pieces = [piece for chunk in chunks for piece in chunk.split(b"\x7e") if piece]

    # every byte that is no flag is in a row
    assert b"".join(bytes(raw).replace(b"\x7e", b"") for raw in frames.raw) == b"".join(pieces)
    assert all(Reject(reason) is not None for reason in frames.reject.tolist())

    carriers = np.flatnonzero(np.isin(frames.message_id, CARRIERS))
    found, refused = fixes(frames, carriers, np.arange(len(frames)), time_zone_s=zone_s)

    assert set(found.frame.tolist()) | set(refused.frame.tolist()) <= set(carriers.tolist())
    assert not np.isnan(found.lat).any()
    assert (refused.reason != Reject.NONE).all()
    assert int(found.raw.length.sum()) + int(refused.raw.length.sum()) <= 2 * len(buffer)


@given(STREAMS)
def test_every_frame_is_described_whatever_it_is(chunks: list[bytes]) -> None:
    for frame in describe(b"\x7e".join(chunks).hex()):
        json.dumps(frame, allow_nan=False)
        assert frame["ok"] is (frame["reject"] is None)
        assert frame["ok"] or frame["why"]


@given(st.text(max_size=80))
def test_every_text_is_described_whatever_it_is(text: str) -> None:
    for frame in describe(text):
        json.dumps(frame, allow_nan=False)


@given(st.binary(max_size=120))
def test_the_plain_reader_has_a_reason_for_any_bytes(data: bytes) -> None:
    assert isinstance(frame_of(data).reject, Reject)


@given(st.one_of(st.sampled_from(SUPPORTED), WORDS), st.integers(0, 2), st.binary(max_size=150))
def test_a_body_of_any_bytes_is_parsed_or_refused(message_id: int, edition: int, body: bytes) -> None:
    with suppress(ProtocolError):
        parse(message_id, edition, body)


@given(st.lists(st.binary(max_size=400), max_size=20))
def test_a_deframer_keeps_a_bounded_tail_or_says_oversize(reads: list[bytes]) -> None:
    deframer = Deframer(frame_bytes_max=50)
    for data in reads:
        with suppress(Oversize):
            deframer.feed(data)
        assert len(deframer.tail) <= 100
