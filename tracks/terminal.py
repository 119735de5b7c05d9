"""Terminal keys: the phone number of the JT/T 808 header as one canonical name and as two integer columns.

The header carries 6 or 10 bytes of BCD, so 12 or 20 digits; the canonical name drops the leading zeros,
so that the same terminal is known under 013800138000, 13800138000 and 00000000013800138000 (quirk B9).
Some devices put other things there (quirk B8, B10), so the nibbles are read as hexadecimal digits and never as a number.
"""

from __future__ import annotations


def canonical(digits: str) -> str:
    """The terminal's name: digits without leading zeros, but at least one of them."""
    return digits.strip().lower().lstrip("0") or "0"


def phone_bytes(terminal: str, width: int) -> bytes:
    """The phone field of `width` bytes (6 or 10) that carries `terminal`; raises ValueError when it cannot."""
    digits = canonical(terminal)
    if len(digits) > 2 * width:
        msg = f"terminal {terminal!r} has {len(digits)} digits; a phone field of {width} bytes carries {2 * width}"
        raise ValueError(msg)
    try:
        return bytes.fromhex(digits.zfill(2 * width))
    except ValueError:
        msg = f"terminal {terminal!r} is not made of digits"
        raise ValueError(msg) from None


def key_of(name: str) -> tuple[int, int]:
    """The two unsigned columns (upper 16 bits, lower 64 bits) that stand for a canonical name of up to 20 digits."""
    number = int(name, 16)
    return number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF


def name_of(high: int, low: int) -> str:
    """The canonical name of a key made by `key_of`."""
    return f"{(int(high) << 64) | int(low):x}"
