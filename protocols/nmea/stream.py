"""Bytes of one NMEA link → lines, and who sends them: sans-IO, the caller owns the socket.

A line ends at CR, at LF, or where the next $ begins a sentence, as modules lose line ends; so nothing depends on how the bytes were cut.
Text before a $ (`+GPSRD:` of a modem) stays with its sentence.

A unit opens with its name, as existing trackers do: `$PGID,<terminal>*hh`, a bare line `IMEI <digits>` or `ID=<terminal>`, alone or in
front of a sentence. What comes before a name is refused, and the unit is told so once. A later name holds from there on, so that
one link can carry several terminals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocols.errors import ProtocolError
from protocols.nmea.sentences import SENTENCE_BYTES_MAX, checksum, parse
from tracks.terminal import canonical
from tracks.verdict import Reject

PREFIX_BYTES_MAX: Final = 64
"""Text that still counts as standing before a sentence; longer is a line of its own."""

HOW_TO_NAME: Final = "$PGID,<terminal>*hh or IMEI <digits> or ID=<terminal>, with up to 20 hexadecimal digits"

_BARE_NAME: Final = re.compile(rb"\W*(?:IMEI[\s:=]*|ID\s*[:=]\s*)([^\s,;]*)[\s,;]*", re.IGNORECASE)
_NAME_SENTENCE: Final = "PGID"
_DIGITS: Final = re.compile(r"[0-9A-Fa-f]{1,20}")
_BLANK: Final = b" \t\0"


class Line(NamedTuple):
    """One line without its end."""

    raw: bytes
    whole: bool
    """False: the line was longer than allowed, and this is its beginning."""


class Lines:
    """Cuts a stream into lines; keeps at most one unfinished."""

    __slots__ = ("_prefix", "_skipping", "_tail", "line_bytes_max")

    def __init__(self, line_bytes_max: int = SENTENCE_BYTES_MAX) -> None:
        self.line_bytes_max = line_bytes_max
        self._prefix = b""
        self._tail = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[Line]:
        """The lines that `data` completes."""
        lines: list[Line] = []
        *whole, rest = re.split(rb"[\r\n]", data)
        for text in whole:
            self._add(text, lines)
            self._end(lines)
        self._add(rest, lines)
        return lines

    def finish(self) -> list[Line]:
        """The stream has ended: what is left is a line."""
        lines: list[Line] = []
        self._end(lines)
        return lines

    def _add(self, text: bytes, lines: list[Line]) -> None:
        """Text without CR and LF."""
        first, *sentences = text.split(b"$")
        self._grow(first, lines)
        for each in sentences:
            self._dollar(lines)
            self._grow(b"$" + each, lines)

    def _grow(self, text: bytes, lines: list[Line]) -> None:
        """Bytes of the line at hand."""
        if self._skipping:
            return
        self._tail += text
        if len(self._tail) > self.line_bytes_max:
            lines.append(Line(self._prefix + self._tail[: self.line_bytes_max], whole=False))
            self._prefix = self._tail = b""
            self._skipping = True

    def _dollar(self, lines: list[Line]) -> None:
        """A sentence begins: what is at hand has ended, or is its prefix."""
        if not self._skipping and self._tail[:1] not in (b"$", b"!") and len(self._tail) <= PREFIX_BYTES_MAX and not self._prefix:
            self._prefix, self._tail = self._tail, b""
        else:
            self._end(lines)

    def _end(self, lines: list[Line]) -> None:
        line = self._prefix + self._tail
        if line.strip(_BLANK):
            lines.append(Line(line, whole=True))
        self._prefix = self._tail = b""
        self._skipping = False


@dataclass(frozen=True, slots=True)
class Named:
    """From here on the sentences are those of `terminal`, in its canonical name."""

    terminal: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is no sentence of a terminal, and why."""

    reason: Reject
    raw: bytes
    why: str


@dataclass(slots=True)
class Heard:
    """What a link has said, in order, and what it is to be answered."""

    events: list[Named | Refused | bytes] = field(default_factory=list)
    """Bytes are a line of the terminal named last."""
    answer: bytes = b""


class Link:
    """The conversation with one unit."""

    __slots__ = ("_lines", "_told", "terminal")

    def __init__(self, line_bytes_max: int = SENTENCE_BYTES_MAX) -> None:
        self._lines = Lines(line_bytes_max)
        self._told = False
        self.terminal: str | None = None

    def feed(self, data: bytes) -> Heard:
        """Take what came."""
        return self._hear(self._lines.feed(data))

    def finish(self) -> Heard:
        """The peer has closed: what is left is a line."""
        return self._hear(self._lines.finish())

    def _hear(self, lines: list[Line]) -> Heard:
        heard = Heard()
        for line in lines:
            if not line.whole:
                why = f"a line of more than {self._lines.line_bytes_max} bytes"
                heard.events.append(Refused(Reject.OVERSIZE, line.raw, why))
                continue
            try:
                self._line(line.raw, heard)
            except ProtocolError as error:
                heard.events.append(Refused(error.reason, line.raw, error.why))
                heard.answer += _error(error.why)
        return heard

    def _line(self, raw: bytes, heard: Heard) -> None:
        name = name_in(raw)
        if name is not None:
            self.terminal, self._told = name, False
            heard.events.append(Named(name, raw))
            if b"$" not in raw or _is_name_sentence(raw):
                return
        if self.terminal is not None:
            heard.events.append(raw)
            return
        why = f"sentence before a name: send {HOW_TO_NAME} first"
        heard.events.append(Refused(Reject.NOT_AUTHENTICATED, raw, why))
        if not self._told:
            self._told = True
            heard.answer += _error(why)


def name_in(line: bytes) -> str | None:
    """The terminal that a line names, canonical; None when it names none. Raises ProtocolError for a name that cannot be one."""
    bare, dollar, _ = line.replace(b"\0", b"").partition(b"$")
    if found := _BARE_NAME.fullmatch(bare):
        return _name(found[1].decode("latin-1"))
    if dollar and _is_name_sentence(line):
        return _name("".join(parse(line).fields[:1]))
    return None


def name_line(terminal: str) -> bytes:
    """The line by which a unit names itself."""
    content = f"{_NAME_SENTENCE},{terminal}".encode()
    return b"$%s*%02X\r\n" % (content, checksum(content))


def _is_name_sentence(line: bytes) -> bool:
    start = line.find(b"$")
    return line[start + 1 : start + 6].upper() == b"PGID,"


def _name(text: str) -> str:
    if not _DIGITS.fullmatch(text):
        raise ProtocolError(Reject.BAD_FIELD, f"{text!r} is no name: send {HOW_TO_NAME}")
    return canonical(text)


def _error(why: str) -> bytes:
    return f"ERROR {why}\r\n".encode("ascii", "backslashreplace")
