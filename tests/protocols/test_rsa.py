"""Keys and bodies under RSA."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.jt808.header import V2013
from protocols.jt808.messages import build, parse
from protocols.jt808.rsa import RSA_BYTES, Key, decrypt, encrypt
from tracks.verdict import Reject


def key_pair() -> tuple[Key, Key]:
    """A key of 1024 bits from two primes of that size together, found by counting up."""
    p = next(number for number in range((1 << 511) + 1, 1 << 512, 2) if number % 3 == 2 and _prime(number))
    q = next(number for number in range((3 << 510) + 1, 1 << 512, 2) if number % 3 == 2 and _prime(number))
    return Key(p * q, 3), Key(p * q, pow(3, -1, (p - 1) * (q - 1)))


def _prime(number: int) -> bool:
    """Fermat's test; enough for a test."""
    return all(pow(base, number - 1, number) == 1 for base in (2, 3, 5))


PUBLIC, PRIVATE = key_pair()


@settings(max_examples=20)
@given(st.binary(max_size=300))
def test_what_is_encrypted_opens_with_the_other_half_only(text: bytes) -> None:
    body = encrypt(text, PUBLIC)

    assert decrypt(body, PRIVATE) == text
    assert len(body) % RSA_BYTES == 0
    with pytest.raises(ProtocolError):
        decrypt(body, PUBLIC)


def test_two_encryptions_of_one_text_differ() -> None:
    assert all(one != other for one, other in pairwise(encrypt(b"same", PUBLIC) for _ in range(3)))


@pytest.mark.parametrize("body", [b"", bytes(100), bytes(128), b"\xff" * 128, bytes(128 * 65)], ids=len)
def test_what_is_not_for_this_key_is_encrypted(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decrypt(body, PRIVATE)

    assert caught.value.reason == Reject.ENCRYPTED


def test_a_key_travels_in_0x8a00_and_back_in_0x0a00() -> None:
    body = build(0x8A00, V2013, PUBLIC.fields())

    assert len(body) == 4 + RSA_BYTES
    assert Key.of(parse(0x0A00, V2013, body)) == PUBLIC


@pytest.mark.parametrize(("n", "e"), [(0, 3), (1 << 1023, 3), (1 << 500 | 1, 3), (1 << 1023 | 1, 1), (1 << 1023 | 1, 2)])
def test_what_cannot_be_a_key_is_none(n: int, e: int) -> None:
    with pytest.raises(ProtocolError, match="are no key"):
        Key.of({"e": e, "n": n.to_bytes(RSA_BYTES, "big")})


def test_a_key_is_not_printed() -> None:
    assert str(PRIVATE.exponent) not in repr(PRIVATE)
