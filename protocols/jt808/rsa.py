"""Bodies under RSA (encryption bit 10 of the header), with the keys that 0x0A00 and 0x8A00 carry.

The standard gives the key as e and a modulus n of 128 bytes, and nothing about padding; terminals' libraries use PKCS#1 v1.5, and so does
this. A body is as many blocks of 128 bytes as it takes, 117 bytes of text in each. One block takes about two milliseconds to decrypt in
Python (2-core EPYC), so bodies are few and short: keys and commands, not position reports.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

from protocols.errors import ProtocolError
from protocols.jt808.messages.passthrough import RSA_BYTES
from tracks.verdict import Reject

PADDING_BYTES: Final = 11
TEXT_BYTES: Final = RSA_BYTES - PADDING_BYTES
KEY_BITS_MIN: Final = 8 * RSA_BYTES - 8
BLOCKS_MAX: Final = 64
"""Blocks of one message that are decrypted: nobody makes us calculate for longer."""


@dataclass(frozen=True, slots=True)
class Key:
    """One half of a key: modulus and exponent. The private exponent is never printed."""

    n: int
    exponent: int

    def __repr__(self) -> str:
        return f"Key of {self.n.bit_length()} bits"

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Key:
        """The public key in the fields of a 0x0A00 or 0x8A00; raises ProtocolError for what cannot be one."""
        n, e = int.from_bytes(fields["n"], "big"), int(fields["e"])
        if n.bit_length() < KEY_BITS_MIN or not n & 1 or not e & 1 or e == 1:
            msg = f"a modulus of {n.bit_length()} bits and an exponent of {e} are no key"
            raise ProtocolError(Reject.BAD_FIELD, msg)
        return cls(n, e)

    def fields(self) -> dict[str, Any]:
        """The fields of the 0x8A00 that tells a terminal this public key."""
        return {"e": self.exponent, "n": self.n.to_bytes(RSA_BYTES, "big")}


def encrypt(text: bytes, public: Key) -> bytes:
    """The body that only the holder of the private half can read."""
    return b"".join(_sealed(text[at : at + TEXT_BYTES], public) for at in range(0, max(len(text), 1), TEXT_BYTES))


def _sealed(text: bytes, public: Key) -> bytes:
    noise = bytes(secrets.choice(range(1, 256)) for _ in range(RSA_BYTES - 3 - len(text)))
    block = b"\x00\x02" + noise + b"\x00" + text
    return pow(int.from_bytes(block, "big"), public.exponent, public.n).to_bytes(RSA_BYTES, "big")


def decrypt(body: bytes, private: Key) -> bytes:
    """The text of an encrypted body; raises ProtocolError with ENCRYPTED for what is not for this key, one sentence for every fault."""
    blocks, rest = divmod(len(body), RSA_BYTES)
    if rest or not 1 <= blocks <= BLOCKS_MAX:
        msg = f"{len(body)} bytes are not one to {BLOCKS_MAX} blocks of {RSA_BYTES}"
        raise ProtocolError(Reject.ENCRYPTED, msg)
    return b"".join(_opened(body[at : at + RSA_BYTES], private) for at in range(0, len(body), RSA_BYTES))


def _opened(sealed: bytes, private: Key) -> bytes:
    number = int.from_bytes(sealed, "big")
    block = pow(number, private.exponent, private.n).to_bytes(RSA_BYTES, "big") if number < private.n else b""
    end = block.find(b"\x00", PADDING_BYTES - 1)
    if block[:2] != b"\x00\x02" or end < 0 or 0 in block[2:end]:
        msg = "the body does not open with this key"
        raise ProtocolError(Reject.ENCRYPTED, msg)
    return block[end + 1 :]
