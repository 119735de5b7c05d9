"""What bodies are made of besides numbers and text: codes with words, octets, BCD digits, clocks, counts, runs. Scalar only.

Building takes what Python holds and also what JSON made of it, so that a body which was read, printed and edited can be sent:
a code as number, word or `{"code": …}`, octets as hexadecimal digits, times as ISO 8601.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time
from io import BytesIO
from typing import Any, Final, Self

import construct

from protocols.adapters import BcdTime

MOST_PARTS: Final = 4096
"""Parts that one list of a body may have; reading so many takes a quarter of a second (2-core EPYC), what is behind them stays bytes."""


class Code(int):
    """A number that stands for something, and the word for it, None where nobody has given one."""

    word: str | None = None

    @classmethod
    def of(cls, value: int, words: Mapping[int, str]) -> Self:
        """The code `value` of a table."""
        code = cls(value)
        code.word = words.get(value)
        return code


class Coded(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """A number of a table `words`; other numbers pass as well."""

    def __init__(self, subcon: Any, words: Mapping[int, str]) -> None:  # noqa: ANN401 - construct carries no types
        super().__init__(subcon)
        self.words = dict(words)
        self.codes = {word: code for code, word in self.words.items()}

    def _decode(self, obj: int, _context: object, _path: str) -> Code:
        return Code.of(obj, self.words)

    def _encode(self, obj: Any, _context: object, path: str) -> int:  # noqa: ANN401 - as Python or JSON has it
        if isinstance(obj, Mapping):
            obj = obj["code"]
        if isinstance(obj, str):
            if obj not in self.codes:
                msg = f"{obj!r} is none of {', '.join(self.codes)}"
                raise construct.MappingError(msg, path)
            return self.codes[obj]
        return int(obj)

    def _build(self, obj: Any, stream: BytesIO, context: Any, path: str) -> int:  # noqa: ANN401 - construct carries no types
        # what other fields see is the number, however it was given
        code = self._encode(obj, context, path)
        self.subcon._build(code, stream, context, path)  # noqa: SLF001 - how constructs call one another
        return code


class Hex(int):
    """A number that people know by its hexadecimal digits; `width` of them."""

    width: int = 4


class Numbered(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """An id that is printed in hexadecimal digits; read also as "0x0001"."""

    def _decode(self, obj: int, _context: object, _path: str) -> Hex:
        number = Hex(obj)
        number.width = min(4, 2 * self.subcon.sizeof())
        return number

    def _encode(self, obj: int | str, _context: object, _path: str) -> int:
        return int(obj, 0) if isinstance(obj, str) else obj


def octets(value: Any) -> bytes:  # noqa: ANN401 - as Python or JSON has it
    """Bytes, or the hexadecimal digits of bytes."""
    return bytes.fromhex(value) if isinstance(value, str) else bytes(value)


class Octets(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """Bytes without a meaning of their own: `width` of them, or all up to the end."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(construct.GreedyBytes if width is None else construct.Bytes(width))

    def _decode(self, obj: bytes, _context: object, _path: str) -> bytes:
        return obj

    def _encode(self, obj: Any, _context: object, _path: str) -> bytes:  # noqa: ANN401 - as Python or JSON has it
        return octets(obj)


class Bcd(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """`width` bytes of BCD as the digits they spell; nibbles above nine come out as letters and go back as they came."""

    def __init__(self, width: int) -> None:
        super().__init__(construct.Bytes(width))

    def _decode(self, obj: bytes, _context: object, _path: str) -> str:
        return obj.hex()

    def _encode(self, obj: str, _context: object, path: str) -> bytes:
        digits = 2 * self.subcon.length
        if len(obj) > digits:
            msg = f"{obj!r} has more than {digits} digits"
            raise construct.StringError(msg, path)
        return bytes.fromhex(obj.zfill(digits))


class BcdNumber(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """A decimal number of `width` BCD bytes that counts parts of a unit; refuses what is no number."""

    def __init__(self, width: int, parts: int = 1) -> None:
        super().__init__(Bcd(width))
        self.parts = parts

    def _decode(self, obj: str, _context: object, path: str) -> float:
        if not obj.isdecimal():
            msg = f"{obj!r} is no decimal number"
            raise construct.MappingError(msg, path)
        return int(obj) / self.parts if self.parts > 1 else int(obj)

    def _encode(self, obj: float, _context: object, _path: str) -> str:
        return str(round(obj * self.parts))


class BcdClock(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """hhmmss and milliseconds in four digits, five BCD bytes, as text "hh:mm:ss.mmmm"; without a date it is no instant."""

    def __init__(self) -> None:
        super().__init__(Bcd(5))

    def _decode(self, obj: str, _context: object, _path: str) -> str:
        return f"{obj[:2]}:{obj[2:4]}:{obj[4:6]}.{obj[6:]}"

    def _encode(self, obj: str, _context: object, _path: str) -> str:
        return obj.replace(":", "").replace(".", "")


class WindowTime(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """An end of a window of time in six BCD bytes: a wall-clock `datetime`, or a `time` where the date is zeros and every day is meant.

    Digits that are neither stay digits.
    """

    def __init__(self) -> None:
        super().__init__(construct.Bytes(6))

    def _decode(self, obj: bytes, context: object, path: str) -> datetime | time | str:
        daily = obj[:3] == bytes(3)
        moment = _MOMENT._decode(b"\x00\x01\x01" + obj[3:] if daily else obj, context, path)  # noqa: SLF001 - the same bytes and rule
        if moment is None:
            return obj.hex()
        return moment.time() if daily else moment

    def _encode(self, obj: datetime | time | str | None, context: object, path: str) -> bytes:
        if isinstance(obj, str) and ":" not in obj:
            return bytes.fromhex(obj)
        if isinstance(obj, str) and "-" not in obj:
            obj = time.fromisoformat(obj)
        if isinstance(obj, time):
            return bytes(3) + bytes.fromhex(f"{obj:%H%M%S}")
        return _MOMENT._encode(obj, context, path)  # noqa: SLF001 - likewise


_MOMENT: Final = BcdTime()


class Several(construct.Subconstruct):  # type: ignore[misc] # construct carries no types
    """Parts one after the other, up to the end of the body or to what is no whole part, and not more than `most`.

    Counts in front of them are not believed: what is there counts, and what is no part is left for `rest`.
    """

    def __init__(self, subcon: Any, most: int = MOST_PARTS) -> None:  # noqa: ANN401 - construct carries no types
        super().__init__(subcon)
        self.most = most

    def _parse(self, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ANN401 - construct carries no types
        found = construct.ListContainer()
        while len(found) < self.most:
            at = stream.tell()
            try:
                part = self.subcon._parsereport(stream, context, path)  # noqa: SLF001 - how constructs call one another
            except construct.ConstructError:
                stream.seek(at)
                break
            if stream.tell() == at:
                break
            found.append(part)
        return found

    def _build(self, obj: Any, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ANN401 - construct carries no types
        for part in obj:
            self.subcon._build(part, stream, context, path)  # noqa: SLF001 - how constructs call one another
        return obj

    def _sizeof(self, _context: object, path: str) -> int:
        msg = "a run of parts has any size"
        raise construct.SizeofError(msg, path)


class When(construct.Subconstruct):  # type: ignore[misc] # construct carries no types
    """A field that is there when `condition` of the fields before it holds; else None, and it need not be given."""

    def __init__(self, condition: Any, subcon: Any) -> None:  # noqa: ANN401 - construct carries no types
        super().__init__(subcon)
        self.condition = condition
        self.flagbuildnone = True

    def _parse(self, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ANN401 - construct carries no types
        return self.subcon._parsereport(stream, context, path) if self.condition(context) else None  # noqa: SLF001 - how constructs call one another

    def _build(self, obj: Any, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ANN401 - construct carries no types
        if not self.condition(context):
            return None
        if obj is None:
            msg = "the fields before it announce this one, and it is missing"
            raise construct.MappingError(msg, path)
        return self.subcon._build(obj, stream, context, path)  # noqa: SLF001 - how constructs call one another

    def _sizeof(self, _context: object, path: str) -> int:
        msg = "a field that may be absent has any size"
        raise construct.SizeofError(msg, path)


def Exactly(subcon: Any, most: int = MOST_PARTS) -> Any:  # noqa: ANN401, N802 - used like a construct class
    """As many parts as the field `count` says, where more follows behind them; not more than `most`."""

    def count(context: Any) -> int:  # noqa: ANN401 - construct carries no types
        if context.count > most:
            msg = f"{context.count} parts are more than the {most} that one list may have"
            raise construct.RangeError(msg)
        return int(context.count)

    return construct.Array(count, subcon)


def Count(subcon: Any, parts: str) -> Any:  # noqa: ANN401, N802 - used like a construct class
    """How many `parts` follow: as it stands when reading, what is true when building without it."""
    return construct.Default(subcon, lambda context: len(context.get(parts) or ()))


class Tally(construct.Subconstruct):  # type: ignore[misc] # construct carries no types
    """A count that is left out together with its `parts`: None at the end of a body, and not written when `absent` says so."""

    def __init__(self, subcon: Any, parts: str, absent: Callable[[Any], bool]) -> None:  # noqa: ANN401 - construct carries no types
        super().__init__(subcon)
        self.parts, self.absent = parts, absent
        self.flagbuildnone = True

    def _parse(self, stream: BytesIO, context: Any, path: str) -> int | None:  # noqa: ANN401 - construct carries no types
        at = stream.tell()
        if not stream.read(1):
            return None
        stream.seek(at)
        count: int = self.subcon._parsereport(stream, context, path)  # noqa: SLF001 - how constructs call one another
        return count

    def _build(self, obj: int | None, stream: BytesIO, context: Any, path: str) -> int | None:  # noqa: ANN401 - construct carries no types
        parts = context.get(self.parts) or []
        if obj is None and not parts and self.absent(context):
            return None
        count = len(parts) if obj is None else obj
        self.subcon._build(count, stream, context, path)  # noqa: SLF001 - how constructs call one another
        return count


def LengthOf(subcon: Any, name: str, part: Any) -> Any:  # noqa: ANN401, N802 - used like a construct class
    """The length of the last field `name`: as it stands when reading, what is true when building without it.

    The field itself reads to the end of the body: a length that lies neither cuts it nor reads past it.
    """
    return construct.Default(subcon, lambda context: len(part.build(context[name])))


class Solved(construct.Construct):  # type: ignore[misc] # construct carries no types
    """A number that the body does not carry: `solve` finds it from what follows when reading; building takes it, or `usual`."""

    def __init__(self, usual: int, solve: Callable[[bytes], int]) -> None:
        super().__init__()
        self.usual, self.solve = usual, solve
        self.flagbuildnone = True

    def _parse(self, stream: BytesIO, _context: object, _path: str) -> int:
        at = stream.tell()
        follows = stream.read()
        stream.seek(at)
        return self.solve(follows)

    def _build(self, obj: int | None, _stream: BytesIO, _context: object, _path: str) -> int:
        return self.usual if obj is None else obj

    def _sizeof(self, _context: object, _path: str) -> int:
        return 0


def ends_well(form: Any, body: bytes) -> bool:  # noqa: ANN401 - construct carries no types
    """Whether `form` reads `body` to its last byte and, not told its count or length, builds the same bytes."""
    try:
        fields = form.parse(body)
        told = {name: value for name, value in fields.items() if not value or name not in {"count", "length"}}
        built: bytes = form.build(told)
    except (construct.ConstructError, KeyError, TypeError, ValueError):
        return False
    return built == body
