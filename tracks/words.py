"""What somebody may have meant by a word that is none of those that are known."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

ALIKE: Final = 0.6
"""How alike two words are that are one with a slip: difflib's own measure and default."""
LIKENESSES_MAX: Final = 3
LENGTH_MAX: Final = 64
"""Nobody mistypes a longer word, and comparing takes the square of the time."""


def alike(word: str, known: Collection[str]) -> list[str]:
    """Those of the known words that are like this one, the likest first; or the one that differs by capitals and dashes alone."""
    plain = {_plain(each): each for each in known}
    if (same := plain.get(_plain(word))) is not None:
        return [same]
    return [plain[each] for each in get_close_matches(_plain(word)[:LENGTH_MAX], plain, LIKENESSES_MAX, ALIKE)]


def did_you_mean(likely: Collection[str]) -> str:
    """The question that follows a sentence about a word; nothing where nothing is likely."""
    return f"; did you mean 是否指 {' or '.join(likely)}?" if likely else ""


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_")
