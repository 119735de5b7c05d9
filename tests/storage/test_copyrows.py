"""COPY bytes: psycopg's own formatter is the oracle, row by row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg._copy_base import BinaryFormatter
from psycopg.adapt import Transformer
from psycopg.postgres import types

from fix_db import NOON_US, fixes_of, rejects_of
from storage.copyrows import BLOCK_BYTES, FIXES, POSTGRES_EPOCH_US, QUARANTINE, Field, Table, copy_bytes
from tracks.batch import Batch
from tracks.fix import ABSENT, SOURCES, FixBatch
from tracks.reject import RejectBatch
from tracks.verdict import Reject

GOLDEN = Path(__file__).parents[1] / "golden"
TYPES = {"i8": "int8", "i4": "int4", "i2": "int2", "f8": "float8", "f4": "float4", "?": "bool"}


def value_of(batch: Batch, field: Field, row: int) -> Any:
    """What the field holds, as Python sees it; absence is None."""
    column = getattr(batch, field.of)
    if field.of == "raw":
        return column.bytes_at(row)
    if field.of == "origin":
        return column.bytes_at(row).decode()
    if field.words:
        return field.words[column[row]]
    value = column[row].item()
    if field.of.endswith("_us"):
        return value - POSTGRES_EPOCH_US
    absent = field.optional and (not math.isfinite(value) if isinstance(value, float) else value == ABSENT)
    return None if absent else value


def oracle(batch: Batch, table: Table) -> list[bytes]:
    """Each row of `batch` as psycopg writes it (a timestamptz travels as an int8)."""
    names = ["bytea" if field.of == "raw" else "text" if not field.wire else TYPES[field.wire.lstrip(">")] for field in table.fields]
    written = []
    for row in range(len(batch)):
        transformer = Transformer()
        formatter = BinaryFormatter(transformer)
        transformer.set_dumper_types([types[name].oid for name in names], formatter.format)
        formatter.write_row([value_of(batch, field, row) for field in table.fields])
        written.append(bytes(formatter.end())[19:-2])
    return written


def split(stream: bytes, table: Table) -> list[bytes]:
    """The rows of a COPY stream, read by its own lengths."""
    assert stream[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)

    at, found = 19, []
    while (count := int.from_bytes(stream[at : at + 2], signed=True)) != -1:
        assert count == len(table.fields)
        start, at = at, at + 2
        for _ in range(count):
            at += 4 + max(int.from_bytes(stream[at : at + 4], signed=True), 0)
        found.append(stream[start:at])
    assert at + 2 == len(stream)
    return found


FLOATS = st.floats(width=32) | st.just(math.nan)
DOUBLES = st.floats() | st.just(math.nan)
BIGINT = st.integers(-(2**63), 2**63 - 1)
SMALLINT = st.integers(-(2**15), 2**15 - 1)
TIME = st.integers(-(2**62), 2**62)


@st.composite
def fix_batches(draw: st.DrawFn) -> FixBatch:
    raw = draw(st.lists(st.binary(max_size=80), max_size=12))

    def many(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=len(raw), max_size=len(raw)))

    return fixes_of(
        raw,
        terminal_id=many(BIGINT),
        vehicle_id=many(BIGINT | st.just(ABSENT)),
        time_us=many(TIME),
        received_us=many(TIME),
        digest=many(BIGINT),
        lat=many(DOUBLES),
        lon=many(DOUBLES),
        mileage_km=many(DOUBLES),
        altitude_m=many(FLOATS),
        speed_kmh=many(FLOATS),
        course_deg=many(FLOATS),
        alarm_bits=many(BIGINT),
        status_bits=many(BIGINT),
        satellites=many(SMALLINT | st.just(ABSENT)),
        signal=many(SMALLINT | st.just(ABSENT)),
        valid=many(st.booleans()),
        dated=many(st.booleans()),
        backfill=many(st.booleans()),
        quality=many(st.integers(0, 0xFFFF)),
        source=many(st.integers(0, len(SOURCES) - 1)),
    )


@given(fix_batches())
def test_every_row_of_fixes_is_what_psycopg_would_write(batch: FixBatch) -> None:
    expected = sorted(oracle(batch, FIXES))

    assert sorted(split(b"".join(copy_bytes(batch, FIXES)), FIXES)) == expected


@given(st.lists(st.tuples(st.binary(max_size=40), st.sampled_from(Reject), BIGINT, st.integers(-1, 0xFFFF)), max_size=12))
def test_every_row_of_quarantine_is_what_psycopg_would_write(given_rows: list[tuple[bytes, Reject, int, int]]) -> None:
    plain = rejects_of([raw for raw, *_ in given_rows])
    batch = RejectBatch(
        frame=plain.frame,
        received_us=plain.received_us,
        terminal_id=np.array([terminal for _, _, terminal, _ in given_rows], np.int64),
        message_id=np.array([message for *_, message in given_rows], np.int32),
        reason=np.array([reason for _, reason, _, _ in given_rows], np.uint8),
        source=plain.source,
        origin=plain.origin,
        raw=plain.raw,
    )
    expected = sorted(oracle(batch, QUARANTINE))

    assert sorted(split(b"".join(copy_bytes(batch, QUARANTINE)), QUARANTINE)) == expected


def test_rows_of_one_shape_keep_their_order() -> None:
    batch = fixes_of([bytes([row]) * (row % 7) for row in range(50)])

    assert split(b"".join(copy_bytes(batch, FIXES)), FIXES) == oracle(batch, FIXES)


@pytest.mark.parametrize("lengths", [(28, 28), (28, 60), (0, 900)])
def test_raw_bytes_stand_in_their_own_row_however_ragged_they_are(lengths: tuple[int, int]) -> None:
    random = np.random.default_rng(808)
    batch = fixes_of([random.bytes(int(random.integers(lengths[0], lengths[1] + 1))) for _ in range(500)])

    assert split(b"".join(copy_bytes(batch, FIXES)), FIXES) == oracle(batch, FIXES)


def test_blocks_are_of_the_size_that_libpq_takes_well() -> None:
    blocks = copy_bytes(fixes_of([bytes(60)] * 3000), FIXES)

    assert len(blocks) > 1
    assert {len(block) for block in blocks[:-1]} == {BLOCK_BYTES}


def test_no_rows_are_an_empty_stream() -> None:
    assert split(b"".join(copy_bytes(FixBatch.empty(), FIXES)), FIXES) == []


def test_the_bytes_of_each_column_are_the_golden_ones() -> None:
    full = fixes_of([b"\x01\x02\x03"], vehicle_id=7, alarm_bits=1, quality=0x0140, time_us=NOON_US, digest=-2)
    bare = fixes_of([b""], lat=math.nan, lon=math.inf, altitude_m=math.nan, speed_kmh=-math.inf, course_deg=math.nan,
                    mileage_km=math.nan, satellites=ABSENT, signal=ABSENT, source=1, valid=False, digest=0)  # fmt: skip
    told = [
        *printed("fixes, everything present", full, FIXES),
        *printed("fixes, everything optional absent", bare, FIXES),
        *printed("quarantine", rejects_of([b"\x7e\x7e"]), QUARANTINE),
    ]

    assert told == (GOLDEN / "copy_rows.txt").read_text("utf-8").splitlines()


def printed(title: str, batch: Batch, table: Table) -> list[str]:
    """A row, one field a line: name, length, bytes."""
    (row,) = split(b"".join(copy_bytes(batch, table)), table)
    lines, at = [f"# {title}"], 2
    for field in table.fields:
        length = int.from_bytes(row[at : at + 4], signed=True)
        value = row[at + 4 : at + 4 + max(length, 0)]
        at += 4 + len(value)
        lines.append(f"{field.name:<12} {length:>3} {value.hex(' ')}".rstrip())
    return lines
