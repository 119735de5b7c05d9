"""The two forms of each adapter are one."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from construct import Int8sb, Int16ub, Int32sb, Int32ub
from hypothesis import given
from hypothesis import strategies as st

from protocols.adapters import BcdTime, Bits, MicroDegrees, Phone, Scaled, SignMagnitude, UtcBcdTime, micros, wall_clock, write_phone
from tracks.terminal import canonical, key_of


def column_of(adapter: Scaled | Bits | SignMagnitude | BcdTime | Phone, raw: bytes) -> np.ndarray:
    return adapter.column(np.frombuffer(raw, adapter.wire))


@pytest.mark.parametrize(
    "adapter", [SignMagnitude(), Scaled(Int16ub, 10), Bits(Int16ub, ["first", None, "third"])], ids=["sign", "scaled", "bits"]
)
def test_every_word_means_the_same_to_the_scalar_and_to_the_column(adapter: Scaled | Bits | SignMagnitude) -> None:
    words = np.arange(65536, dtype=">u2").tobytes()
    expected = [adapter.parse(words[at : at + 2]) for at in range(0, len(words), 2)]

    assert column_of(adapter, words).tolist() == expected


@pytest.mark.parametrize("adapter", [Scaled(Int8sb, 4), Scaled(Int32sb, 1_000_000), Bits(Int32ub, [])], ids=["i1", "i4", "u4"])
@given(st.binary(min_size=8, max_size=8))
def test_numbers_of_any_width_and_sign_mean_the_same_to_both(adapter: Scaled | Bits, raw: bytes) -> None:
    size = adapter.sizeof()
    expected = [adapter.parse(raw[at : at + size]) for at in range(0, len(raw), size)]

    assert column_of(adapter, raw).tolist() == expected


@given(st.integers(-180_000_000, 180_000_000))
def test_degrees_survive_the_wire_to_the_last_millionth(millionths: int) -> None:
    degrees = millionths / 1_000_000

    assert MicroDegrees().parse(MicroDegrees().build(degrees)) == degrees


def test_every_day_of_the_century_is_a_date() -> None:
    days = [datetime(2000, 1, 1, 23, 59, 58) + timedelta(days=day) for day in range(36_525)]  # noqa: DTZ001 - wall clocks
    raw = b"".join(BcdTime().build(day) for day in days)

    assert column_of(BcdTime(), raw).tolist() == days


@given(
    st.lists(st.one_of(st.binary(min_size=6, max_size=6), st.text("0123456789", min_size=12, max_size=12).map(bytes.fromhex)), min_size=1)
)
def test_what_is_no_date_is_none_to_both(raws: list[bytes]) -> None:
    expected = [BcdTime().parse(raw) for raw in raws]

    assert column_of(BcdTime(), b"".join(raws)).tolist() == expected


@pytest.mark.parametrize(
    "raw", ["000000000000", "240230120000", "24fa32256161", "240229240000", "240229236000", "240229235960", "230229000000"]
)
def test_impossible_dates_are_none(raw: str) -> None:
    assert BcdTime().parse(bytes.fromhex(raw)) is None
    assert np.isnat(column_of(BcdTime(), bytes.fromhex(raw)))[0]


def test_no_date_is_written_as_zeros() -> None:
    assert BcdTime().build(None) == bytes(6)


def test_where_the_standard_says_utc_the_time_knows_it() -> None:
    assert UtcBcdTime().parse(bytes.fromhex("191202101010")).isoformat() == "2019-12-02T10:10:10+00:00"


def test_a_wall_clock_and_its_microseconds_find_back_to_each_other() -> None:
    zone_s = 8 * 3600
    wall = np.array(["2024-02-29T23:59:59"], "datetime64[s]")

    assert wall_clock(int(micros(wall, zone_s)[0]), zone_s) == wall[0].astype(datetime)


@pytest.mark.parametrize("width", [6, 10])
@given(st.binary(min_size=10, max_size=10))
def test_a_phone_number_and_its_key_columns_are_one_whatever_its_nibbles(width: int, raw: bytes) -> None:
    raw = raw[:width]
    phone = Phone(width)
    high, low = column_of(phone, raw)
    back = np.zeros(1, phone.wire)
    write_phone(back, high, low)

    assert (int(high[0]), int(low[0])) == key_of(canonical(phone.parse(raw)))
    assert back.tobytes() == raw
    assert phone.build(phone.parse(raw)) == raw


def test_a_word_of_flags_names_its_bits_and_numbers_the_unnamed() -> None:
    assert Bits(Int16ub, ["first", None, "third"]).parse(b"\x80\x07").words == ["first", "bit_1", "third", "bit_15"]
