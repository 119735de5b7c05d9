"""Plate colours of JT/T 697.7-2014 §5.6: the number that the wire and the tables have, and the words that people use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Colour(NamedTuple):
    """The words for a colour, without 色."""

    chinese: str
    english: str


COLOURS: Final[Mapping[int, Colour]] = {
    0: Colour("未上牌", "unplated"),
    1: Colour("蓝", "blue"),
    2: Colour("黄", "yellow"),
    3: Colour("黑", "black"),
    4: Colour("白", "white"),
    5: Colour("绿", "green"),
    9: Colour("其他", "other"),
    91: Colour("农黄", "agricultural_yellow"),
    92: Colour("农绿", "agricultural_green"),
    93: Colour("黄绿", "yellow_green"),
    94: Colour("渐变绿", "gradient_green"),
}
"""Unplated says that the vehicle has no plate and is known by its VIN."""


def colour_words(number: int | None) -> str:
    """A colour for people, as `yellow 黄`; a number that is none stands for itself, and nothing for none."""
    if number is None:
        return ""
    return f"{COLOURS[number].english} {COLOURS[number].chinese}" if number in COLOURS else str(number)
