"""`split` against its oracle `frame_of`, and the oracle against the world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generated_jt808 import CHUNKS, wires
from protocols.jt808.frames import Frame, FrameBatch, frame_of, split
from protocols.jt808.header import V2013, V2019, encode
from tracks.verdict import Reject
from vectors import jt808

COLUMNS = (
    "message_id",
    "edition",
    "protocol_version",
    "serial",
    "total",
    "index",
    "encryption",
    "reserved15",
    "declared",
    "actual",
    "reject",
)


def batch_of(*chunks: bytes) -> FrameBatch:
    stop = np.cumsum([len(chunk) for chunk in chunks], dtype=np.int64)
    return split(np.frombuffer(b"".join(chunks), np.uint8), stop)


def row_of(frames: FrameBatch, row: int) -> dict[str, object]:
    told = {name: getattr(frames, name)[row].item() for name in COLUMNS}
    return told | {"key": (int(frames.phone_high[row]), int(frames.phone_low[row])), "body": frames.body.bytes_at(row)}


def plainly(frame: Frame) -> dict[str, object]:
    return {name: getattr(frame, name) for name in (*COLUMNS, "key", "body")}


def assert_split_equals_oracle(chunks: Sequence[bytes]) -> None:
    frames = batch_of(*chunks)
    for row, raw in enumerate(frames.raw):
        assert row_of(frames, row) == plainly(frame_of(raw))
    for number, chunk in enumerate(chunks):
        rows = np.flatnonzero(frames.chunk == number).tolist()
        # every piece of the chunk is in a row, in order; a mended row holds several
        assert [part for row in rows for part in frames.raw.bytes_at(row).split(b"\x7e") if part] == [
            part for part in chunk.split(b"\x7e") if part
        ]


def test_all_vectors_in_one_batch_equal_the_oracle_row_by_row() -> None:
    assert_split_equals_oracle([jt808.wire(vector) for vector in jt808.frames()])


@given(st.lists(CHUNKS, max_size=4))
def test_any_chunks_equal_the_oracle_row_by_row(chunks: list[bytes]) -> None:
    assert_split_equals_oracle(chunks)


@given(st.lists(wires(), min_size=1, max_size=5))
def test_a_batch_reads_as_its_frames_one_by_one(chunks: list[bytes]) -> None:
    together = batch_of(*chunks)

    assert together.chunk.tolist() == list(range(len(chunks)))
    assert [row_of(together, row) for row in range(len(chunks))] == [row_of(batch_of(chunk), 0) for chunk in chunks]


@pytest.mark.parametrize("vector", jt808.frames(), ids=lambda vector: vector["id"])
def test_headers_checksums_and_lengths_are_what_the_vectors_say(vector: dict) -> None:
    frame = frame_of(jt808.wire(vector))
    other_form = any("OTHER header layout" in flag for flag in vector.get("flags", []))
    if not vector["checksum_ok"]:
        assert frame.reject == Reject.CHECKSUM
    else:
        assert frame.reject == (Reject.NONE if vector["length_ok"] or other_form else Reject.LENGTH_MISMATCH)
    assert f"0x{frame.message_id:04X}" == vector["msg_id"]
    if not other_form:
        assert frame.phone == vector["phone"]
        assert frame.serial == vector["sn"]
        assert frame.edition == (V2019 if vector["version"] == "2019" else V2013)
    assert (frame.total, frame.index) == (vector.get("pkg_total", 0), vector.get("pkg_index", 0))


@given(CHUNKS)
def test_garbage_in_one_chunk_never_touches_the_frames_of_another(noise: bytes) -> None:
    good = encode(0x0002, "13800138000", 7, b"", V2013)
    frames = batch_of(good, noise, good)
    mine = frames.take(frames.chunk != 1)

    assert mine.chunk.tolist() == [0, 2]
    assert mine.reject.tolist() == [Reject.NONE, Reject.NONE]


def test_no_chunks_and_chunks_of_flags_are_no_frames() -> None:
    assert len(batch_of()) == 0
    assert len(batch_of(b"\x7e\x7e", b"", b"\x7e")) == 0


@pytest.mark.parametrize("name", ["bit14_clear_2019_layout", "bit14_set_2013_layout"])
def test_the_header_form_is_the_one_whose_length_fits(name: str) -> None:
    frames = batch_of(jt808.synthetic(name))

    assert frames.reject.tolist() == [Reject.NONE]
    assert frames.phone_low.tolist() == [0x13800138000]


@pytest.mark.parametrize("edition", [V2013, V2019])
def test_a_vendors_short_serial_number_is_written_and_read_in_one_byte(edition: int) -> None:
    wire = encode(0x4401, "13800138000", 0x0107, b"\x55\x01\x00", edition)
    frames = batch_of(wire, encode(0x0002, "13800138000", 0x0107, b"", edition))

    assert (frames.serial.tolist(), frames.reject.tolist()) == ([0x07, 0x0107], [Reject.NONE] * 2)
    assert frames.body.bytes_at(0) == b"\x55\x01\x00"
    assert_split_equals_oracle([wire])


def test_a_checksum_of_7d_that_was_not_escaped_is_understood() -> None:
    assert batch_of(jt808.synthetic("checksum_7d_not_escaped")).reject.tolist() == [Reject.NONE]


def test_a_7d_in_the_body_that_was_not_escaped_is_understood_when_checksum_and_length_agree() -> None:
    proper = encode(0x0900, "1", 1, b"\x7d\x05", V2013)
    forgot = proper.replace(b"\x7d\x01\x05", b"\x7d\x05")

    assert batch_of(forgot).body.bytes_at(0) == b"\x7d\x05"
    assert batch_of(forgot).reject.tolist() == [Reject.NONE]
    assert batch_of(forgot.replace(b"\x7d\x05", b"\x7d\x06")).reject.tolist() == [Reject.BAD_ESCAPE]


def raw_7e(body: bytes) -> bytes:
    """A frame whose sender forgot to escape the 7E in its body."""
    return encode(0x0900, "13800138000", 1, body, V2013).replace(b"\x7d\x02", b"\x7e")


@pytest.mark.parametrize("body", [b"ab\x7ecd", b"\x7e", b"\x7e\x7e", b"a\x7e\x7eb\x7e", b"a\x7d\x7eb"])
def test_a_raw_7e_in_a_body_does_not_tear_the_frame(body: bytes) -> None:
    heartbeat = encode(0x0002, "13800138000", 7, b"", V2013)
    frames = batch_of(heartbeat + raw_7e(body) + heartbeat, heartbeat)

    assert frames.reject.tolist() == [Reject.NONE] * 4
    assert frames.body.bytes_at(1) == body
    assert frames.chunk.tolist() == [0, 0, 0, 1]


def test_torn_pieces_are_not_joined_across_chunks() -> None:
    before, after = raw_7e(b"ab\x7ecd").strip(b"\x7e").split(b"\x7e")
    frames = batch_of(b"\x7e" + before + b"\x7e", after + b"\x7e")

    assert Reject.NONE not in frames.reject.tolist()


def test_a_broken_frame_does_not_swallow_the_good_one_after_it() -> None:
    good = encode(0x0002, "13800138000", 7, b"", V2013)
    # declares a body that ends with the good frame's checksum, and its sum is made right over all of that
    head = bytearray(bytes.fromhex("090000000138001380000001"))
    head[3] = len(good) - 1
    content = bytes(head) + b"\x7e" + good[1:-1]
    content = content[:11] + bytes([content[11] ^ np.bitwise_xor.reduce(np.frombuffer(content, np.uint8))]) + content[12:]
    frames = batch_of(b"\x7e" + content + b"\x7e")

    assert frames.message_id.tolist() == [0x0900, 0x0002]
    assert frames.reject.tolist()[1] == Reject.NONE


@pytest.mark.parametrize(
    ("total", "index", "reason"), [(1, 1, Reject.NONE), (3, 3, Reject.NONE), (3, 0, Reject.BAD_SUBPACKAGE), (3, 4, Reject.BAD_SUBPACKAGE)]
)
def test_a_package_must_be_one_of_its_message(total: int, index: int, reason: Reject) -> None:
    assert batch_of(encode(0x0801, "1", 1, b"x", V2019, total=total, index=index)).reject.tolist() == [reason]


@pytest.mark.parametrize("edition", [V2013, V2019])
def test_of_a_frame_cut_in_its_header_what_is_there_is_read(edition: int) -> None:
    wire = encode(0x0200, "13800138000", 0x0102, bytes(28), edition).strip(b"\x7e")
    header = 12 if edition == V2013 else 17
    for size in range(1, header + 1):
        frames = batch_of(wire[:size] + b"\x7e")

        assert frames.reject.tolist() == [Reject.TRUNCATED]
        assert frames.message_id.tolist() == [0x0200 if size >= 4 else -1]
        assert frames.phone_low.tolist() == [0x13800138000 if size == header else 0]
        assert frames.body.length.tolist() == [0]


def test_encryption_and_the_reserved_bit_are_reported_and_refuse_nothing() -> None:
    encrypted = [vector for vector in jt808.frames() if vector.get("encrypt_bits")]
    frames = batch_of(*(jt808.wire(vector) for vector in encrypted))

    assert frames.encryption.tolist() == [vector["encrypt_bits"] for vector in encrypted]
    assert not frames.reject.any()


def test_a_header_carries_only_what_fits() -> None:
    with pytest.raises(ValueError, match="needs packages"):
        encode(0x0900, "1", 0, bytes(1024), V2013)
    with pytest.raises(ValueError, match="carries 12"):
        encode(0x0002, "1234567890123", 0, b"", V2013)
