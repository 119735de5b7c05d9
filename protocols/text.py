"""Text on the wire: gb18030 by the standard, UTF-8 by some senders, padded in every way, broken now and then (quirks C3, E1, E2).

Every text field decodes to a `Text`, a `str` that keeps its bytes when they do not spell it.
"""

from __future__ import annotations

from typing import Any, Final, Self

import construct

ENCODING: Final = "gb18030"
"""The superset of GBK that every Chinese terminal can be read with."""

_PADS: Final = b"\x00 "
_HAN: Final = ("\u4e00", "\u9fff")


class Text(str):
    """A text; `raw` has its bytes when some of them could not be read, else None."""

    __slots__ = ("raw",)

    raw: bytes | None

    def __new__(cls, value: str, raw: bytes | None = None) -> Self:
        """The text `value`, spelled by `raw` when that is more than `value` can say."""
        text = super().__new__(cls, value)
        text.raw = raw
        return text


def decode(raw: bytes) -> Text:
    """Text from bytes, whatever they are.

    UTF-8 is believed where it is flawless and spells Chinese: a GBK text does that only by a rare accident, while 鲁 and 豫 in GBK are
    flawless UTF-8 of other letters.
    """
    try:
        modern = raw.decode()
    except UnicodeDecodeError:
        modern = ""
    if any(_HAN[0] <= letter <= _HAN[1] for letter in modern):
        return Text(modern)
    try:
        return Text(raw.decode(ENCODING))
    except UnicodeDecodeError:
        return Text(raw.decode(ENCODING, "replace"), raw)


def encode(text: str) -> bytes:
    """The bytes of a text; a text that came broken goes out as it came."""
    raw: bytes | None = getattr(text, "raw", None)
    return text.encode(ENCODING) if raw is None else raw


class _TextAdapter(construct.Adapter):  # type: ignore[misc] # construct carries no types
    def _encode(self, obj: str, _context: object, _path: str) -> bytes:
        return encode(obj)


class RestText(_TextAdapter):
    """Text up to the end of the body; NULs behind it are not part of it."""

    def __init__(self) -> None:
        super().__init__(construct.GreedyBytes)

    def _decode(self, obj: bytes, _context: object, _path: str) -> Text:
        return decode(obj.rstrip(b"\x00"))


class CountedText(_TextAdapter):
    """Text behind its length of one byte or two."""

    def __init__(self, length: Any = construct.Int8ub) -> None:  # noqa: ANN401 - construct carries no types
        super().__init__(construct.Prefixed(length, construct.GreedyBytes))

    def _decode(self, obj: bytes, _context: object, _path: str) -> Text:
        return decode(obj)


class FixedText(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """Text in a field of fixed width, padded behind or (`front`) before it; the `last` of a body may come out of its width.

    Read either way: pads are stripped from both sides, and what follows a NUL inside is junk.
    """

    def __init__(self, width: int, *, pad: bytes = b"\x00", front: bool = False, last: bool = False) -> None:
        super().__init__(construct.GreedyBytes if last else construct.Bytes(width))
        self.width, self.pad, self.front = width, pad, front

    def _decode(self, obj: bytes, _context: object, _path: str) -> Text:
        return decode(obj.strip(_PADS).split(b"\x00")[0])

    def _encode(self, obj: str, _context: object, path: str) -> bytes:
        raw = encode(obj)
        if len(raw) > self.width:
            msg = f"{obj!r} takes {len(raw)} bytes, the field has {self.width}"
            raise construct.StringError(msg, path)
        return raw.rjust(self.width, self.pad) if self.front else raw.ljust(self.width, self.pad)
