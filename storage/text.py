"""Text from outside, made fit for a table. Names, plates and models come off the wire and out of spreadsheets: every one is hostile.

PostgreSQL takes no NUL and no lone surrogate; people take no control characters; nobody takes a megabyte.
"""

from __future__ import annotations

import unicodedata
from typing import Final

NAME_MAX: Final = 64
PLATE_MAX: Final = 32
TEXT_MAX: Final = 128


def clean(text: str, length_max: int = TEXT_MAX) -> str:
    """The printable part of `text`, without outer spaces, cut to `length_max` characters."""
    if not text.isprintable():
        text = "".join(char for char in text[: 4 * length_max] if char.isprintable())
    return text.strip()[:length_max]


def is_name(name: str) -> bool:
    """`name` may be a terminal's: printable, neither empty nor endless."""
    return 0 < len(name) <= NAME_MAX and name.isprintable() and name == name.strip()


def plate_of(text: str) -> str:
    """A plate as the registry compares it, letters and digits alone: 川A·12345, 川a12345 and 川Ａ 12345 are the same."""
    wide = unicodedata.normalize("NFKC", clean(text, PLATE_MAX)).upper()
    return unicodedata.normalize("NFKC", "".join(char for char in wide if char.isalnum()))[:PLATE_MAX]
