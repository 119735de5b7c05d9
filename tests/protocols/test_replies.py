"""Receipts by the batch against the scalar encoder, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generated_jt808 import EDITIONS, WORDS, terminals
from protocols.jt808 import messages
from protocols.jt808.header import V2011, V2013, V2019
from protocols.jt808.replies import general_responses
from tracks.terminal import canonical, key_of

ROWS = st.lists(
    EDITIONS.flatmap(
        lambda edition: st.tuples(st.just(edition), terminals(edition), WORDS, WORDS, WORDS, st.integers(0, 4), st.integers(0, 255))
    ),
    max_size=12,
)


@given(ROWS)
def test_a_batch_of_receipts_is_what_the_scalar_encoder_writes(rows: list[tuple[int, str, int, int, int, int, int]]) -> None:
    editions, names, serials, reply_serials, reply_ids, results, versions = zip(*rows, strict=True) if rows else [()] * 7
    keys = np.array([key_of(canonical(name)) for name in names], np.uint64).reshape(-1, 2)
    replies = general_responses(
        np.array(editions, np.uint8),
        keys[:, 0],
        keys[:, 1],
        np.array(serials, np.uint16),
        np.array(reply_serials, np.uint16),
        np.array(reply_ids, np.int32),
        np.array(results, np.uint8),
        protocol_version=np.array(versions, np.uint8),
    )
    expected = [
        messages.encode(
            0x8001,
            name,
            serial,
            messages.build(0x8001, edition, {"reply_serial": reply_serial, "reply_id": reply_id, "result": result}),
            edition,
            protocol_version=version,
        )
        for edition, name, serial, reply_serial, reply_id, result, version in rows
    ]

    assert list(replies) == expected


@pytest.mark.parametrize("edition", [V2011, V2013])
def test_receipts_for_2011_and_2013_are_the_same_bytes(edition: int) -> None:
    one = np.array([0x13800138000], np.uint64)
    replies = general_responses(np.array([edition], np.uint8), one * 0, one, *np.array([[0x7E], [0x7D], [0x0200], [0]], np.uint16))

    assert replies.bytes_at(0).hex() == "7e8001000501380013800000" + "7d02" + "00" + "7d01" + "0200002f7e"


def test_a_2019_receipt_has_version_one_unless_told_otherwise() -> None:
    one = np.array([1], np.uint64)
    replies = general_responses(np.array([V2019], np.uint8), one * 0, one, *np.array([[1], [1], [0x0200], [0]], np.uint16))

    assert replies.bytes_at(0)[5] == 1
