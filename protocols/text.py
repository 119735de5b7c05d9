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
    """A text; `raw` has its bytes when some of them could not be read, else None.

    `field` has the whole field as it came when writing the text would give other bytes: other pads, UTF-8, junk behind a NUL.
    """

    __slots__ = ("field", "raw")

    raw: bytes | None
    field: bytes | None

    def __new__(cls, value: str, raw: bytes | None = None, field: bytes | None = None) -> Self:
        """The text `value`, spelled by `raw` when that is more than `value` can say."""
        text = super().__new__(cls, value)
        text.raw = raw
        text.field = field
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
    """Reads a field with `_read` and writes it with `_write`; what came goes out again with the very same bytes."""

    def _decode(self, obj: bytes, _context: object, path: str) -> Text:
        text = self._read(obj)
        try:
            same = self._write(text, path) == obj
        except construct.StringError:
            same = False
        return text if same else Text(text, text.raw, obj)

    def _encode(self, obj: str, _context: object, path: str) -> bytes:
        field: bytes | None = getattr(obj, "field", None)
        same = field is not None and self._fits(field) and self._read(field) == obj
        return field if field is not None and same else self._write(obj, path)

    def _read(self, field: bytes) -> Text:
        return decode(field)

    def _write(self, text: str, _path: str) -> bytes:
        return encode(text)

    def _fits(self, _field: bytes) -> bool:
        return True


class RestText(_TextAdapter):
    """Text up to the end of the body; NULs behind it are not part of it."""

    def __init__(self) -> None:
        super().__init__(construct.GreedyBytes)

    def _read(self, field: bytes) -> Text:
        return decode(field.rstrip(b"\x00"))


class WideText(_TextAdapter):
    """UTF-16 up to the end of the body, as one vendor writes it (quirk E3); line ends and NULs behind it are not part of it."""

    def __init__(self) -> None:
        super().__init__(construct.GreedyBytes)

    def _read(self, field: bytes) -> Text:
        try:
            return Text(field.decode("utf-16-be").rstrip("\x00\r\n"))
        except UnicodeDecodeError:
            return Text(field.decode("utf-16-be", "replace"), field)

    def _write(self, text: str, _path: str) -> bytes:
        raw: bytes | None = getattr(text, "raw", None)
        return text.encode("utf-16-be", "surrogatepass") if raw is None else raw


class CountedText(_TextAdapter):
    """Text behind its length of one byte or two."""

    def __init__(self, length: Any = construct.Int8ub) -> None:  # noqa: ANN401 - construct carries no types
        super().__init__(construct.Prefixed(length, construct.GreedyBytes))
        self.most: int = 256 ** length.sizeof() - 1

    def _write(self, text: str, path: str) -> bytes:
        raw = encode(text)
        if len(raw) > self.most:
            msg = f"{text!r} takes {len(raw)} bytes, its length counts to {self.most}"
            raise construct.StringError(msg, path)
        return raw

    def _fits(self, field: bytes) -> bool:
        return len(field) <= self.most


class FixedText(_TextAdapter):
    """Text in a field of fixed width, padded behind or (`front`) before it; the `last` of a body may come out of its width.

    Read either way: pads are stripped from both sides, and what follows a NUL inside is junk.
    """

    def __init__(self, width: int, *, pad: bytes = b"\x00", front: bool = False, last: bool = False) -> None:
        super().__init__(construct.GreedyBytes if last else construct.Bytes(width))
        self.width, self.pad, self.front, self.last = width, pad, front, last

    def _read(self, field: bytes) -> Text:
        return decode(field.strip(_PADS).split(b"\x00")[0])

    def _write(self, text: str, path: str) -> bytes:
        raw = encode(text)
        if len(raw) > self.width:
            msg = f"{text!r} takes {len(raw)} bytes, the field has {self.width}"
            raise construct.StringError(msg, path)
        return raw.rjust(self.width, self.pad) if self.front else raw.ljust(self.width, self.pad)

    def _fits(self, field: bytes) -> bool:
        return self.last or len(field) == self.width
