"""The five verbs against plain Python, and layouts against construct."""

from __future__ import annotations

from functools import reduce
from operator import xor
from pathlib import Path

import construct
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import columnar
from protocols.columnar import FEW_ROWS, Layout
from protocols.errors import NotFixedWidth
from protocols.jt808.header import HEADER_2013_LAYOUT, HEADER_2019_LAYOUT, LEAD_LAYOUT, PACKAGE_LAYOUT
from protocols.jt808.messages.location import LOCATION, LOCATION_LAYOUT
from protocols.jt808.messages.session import GENERAL_RESPONSE
from tracks.spans import Spans

GOLDEN = Path(__file__).parents[1] / "golden" / "layouts.txt"
LAYOUTS = {
    "header lead": LEAD_LAYOUT,
    "header of 2013": HEADER_2013_LAYOUT,
    "header of 2019": HEADER_2019_LAYOUT,
    "package item": PACKAGE_LAYOUT,
    "location body": LOCATION_LAYOUT,
    "general response": Layout.of(GENERAL_RESPONSE),
}

pieces = st.lists(st.binary(max_size=12), max_size=8)


@given(st.binary(max_size=60).map(lambda data: data.replace(b"\x00", b"\x7e")))
def test_split_gives_what_lies_between_flags_and_nothing_empty(data: bytes) -> None:
    ended = data[: data.rfind(b"\x7e") + 1]
    expected = [piece for piece in ended.split(b"\x7e") if piece]

    assert list(columnar.split(np.frombuffer(data, np.uint8), 0x7E)) == expected


@given(pieces)
def test_xor_is_the_xor_of_each_span_and_zero_for_an_empty_one(parts: list[bytes]) -> None:
    expected = [reduce(xor, part, 0) for part in parts]

    assert columnar.xor(Spans.of(parts)).tolist() == expected


def test_xor_does_not_mind_spans_that_overlap_or_come_in_any_order() -> None:
    spans = Spans(np.array([1, 2, 4], np.uint8), np.array([1, 0, 0, 2]), np.array([3, 3, 0, 3]))

    assert columnar.xor(spans).tolist() == [6, 7, 0, 4]


def walked_plainly(data: bytes, id_bytes: int, length_bytes: int) -> tuple[list[bytes], int]:
    """The values of the items in `data`, and how far they reach."""
    at, head, values = 0, id_bytes + length_bytes, []
    while at + head <= len(data):
        stop = at + head + int.from_bytes(data[at + id_bytes : at + head], "big")
        if stop > len(data):
            break
        values.append(data[at + head : stop])
        at = stop
    return values, at


runs = st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=5)), max_size=6).map(
    lambda items: b"".join(key + bytes([len(value)]) + value for key, value in items)
)


@pytest.mark.parametrize("copies", [1, FEW_ROWS + 1])
@given(st.lists(st.one_of(runs, st.binary(max_size=20)), max_size=6), st.sampled_from([(1, 1), (0, 2), (0, 1)]))
def test_walk_finds_the_items_that_a_plain_loop_finds_for_few_rows_and_for_many(
    copies: int, parts: list[bytes], shape: tuple[int, int]
) -> None:
    parts *= copies
    walked = columnar.walk(Spans.of(parts), id_bytes=shape[0], length_bytes=shape[1])
    expected = [walked_plainly(part, *shape) for part in parts]
    found: list[list[bytes]] = [[] for _ in parts]
    for value, parent in zip(walked.values, walked.parent.tolist(), strict=True):
        found[parent].append(value)

    assert found == [values for values, _ in expected]
    assert (walked.end - Spans.of(parts).start).tolist() == [end for _, end in expected]
    assert (walked.begin + sum(shape) == walked.values.start).all()


@pytest.mark.parametrize("rows", [1, 100])
def test_a_walk_never_finds_more_items_than_there_are_heads(rows: int) -> None:
    walked = columnar.walk(Spans.of([bytes(60_000 // rows)] * rows), id_bytes=1, length_bytes=1)

    assert len(walked.parent) == 30_000


def test_of_values_for_one_row_the_first_stays() -> None:
    into = np.zeros(3)
    columnar.spread(np.array([1.0, 2.0, 3.0]), np.array([2, 0, 2]), into)

    assert into.tolist() == [2.0, 0.0, 1.0]


@given(st.lists(st.binary(min_size=28, max_size=28), min_size=1, max_size=40))
def test_the_location_layout_equals_construct_row_by_row_on_any_bytes(bodies: list[bytes]) -> None:
    spans = Spans.of(bodies)
    columns = LOCATION_LAYOUT.cast(spans.buffer, spans.start)
    expected = [LOCATION.parse(body) for body in bodies]

    for name, column in columns.items():
        assert column.tolist() == [row[name] for row in expected]


def test_construct_and_numpy_agree_that_a_long_has_four_bytes() -> None:
    layout = Layout.of(construct.Struct("long" / construct.Int32ub, "quad" / construct.Int64sb, "short" / construct.Int16sb))

    assert layout.dtype.descr == [("long", ">u4"), ("quad", ">i8"), ("short", ">i2")]


@pytest.mark.parametrize(
    "field",
    [construct.GreedyBytes, construct.Prefixed(construct.Byte, construct.GreedyBytes), construct.Int24ub, construct.Int16ul],
    ids=["greedy", "prefixed", "three bytes", "little end first"],
)
def test_what_has_no_column_is_refused_when_the_layout_is_made(field: construct.Construct) -> None:
    with pytest.raises(NotFixedWidth, match="ragged"):
        Layout.of(construct.Struct("ragged" / field))


def test_the_derived_layouts_are_the_reviewed_ones() -> None:
    derived = "\n\n".join(f"{name} ({layout.itemsize} bytes)\n{layout.describe()}" for name, layout in LAYOUTS.items())

    assert derived.splitlines() == GOLDEN.read_text("utf-8").splitlines(), derived
