"""One line → one `Sentence`, or a reason why not: the guard in front of pynmea2.

pynmea2 (1.19) is right about the fields of the classic sentences, and `readings.py` and `describe.py` take names and conversions from
it. It is not used for the frame, which it gets wrong where real modules are odd:

- six-letter addresses (`BDSGGA`) do not parse; `$CCCXQ,` is taken for a query; short-message sentences are unknown types;
- the checksum is taken over characters, so that GBK text fails; a sentence without one passes;
- prefix text of a modem, NUL bytes and two sentences in one line are not taken apart.

Here the checksum is taken over bytes and must be there: a sentence without it may have been cut anywhere.
Fields are text with one character per byte (latin-1); `gb_text` reads the few that carry Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Final

from protocols.errors import Oversize, ProtocolError
from protocols.nmea.systems import TALKER_OF_LONG
from tracks.verdict import Reject

SENTENCE_BYTES_MAX: Final = 4096
"""NMEA's 82 is broken by everybody; a Beidou-3 short message of 14 000 bits takes 3 500 hexadecimal digits."""

HOST: Final = "CC"
"""Talker of the sentences from a host to a short-message unit."""
PROPRIETARY: Final = "P"

BINARY_TAGS: Final = frozenset(b"GLJC DWSQ TXSQ HZSQ BBSQ SJSC BBXX ICJC XTZJ GLZK DWXX TXXX HZXX SJXX FKXX ICXX ZJXX".split())
"""Beidou-1 "4.0" binary messages open with $ and one of these, and have no commas."""

_FRAME: Final = re.compile(rb"[$!]([^*]*)\*([0-9A-Fa-f]{2})")
_ADDRESS: Final = re.compile(r"P[A-Z]{3}[A-Z0-9]*|[A-Z]{2}[A-Z0-9]{3}|(?:BDS|GPS|GLO|GAL)[A-Z]{3}")
_PIECE: Final = re.compile(rb"[^$]*\$[^$]*|[^$]+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence whose checksum is right."""

    raw: bytes
    """The line as it came, whatever stood before and behind the sentence included."""
    address: str
    """As sent, in capitals: GNRMC, BDSGGA, PCAS03."""
    talker: str
    """Two letters, or P for a maker's own sentence."""
    kind: str
    """Three letters: RMC; for a maker's own its letters and number: CAS03."""
    fields: tuple[str, ...]
    """What stands between the commas behind the address."""


def parse(line: bytes) -> Sentence:
    """The sentence in `line`; raises ProtocolError with the reason to refuse it."""
    if len(line) > SENTENCE_BYTES_MAX:
        msg = f"a line of {len(line)} bytes; the longest allowed has {SENTENCE_BYTES_MAX}"
        raise Oversize(msg)
    clean = line.replace(b"\0", b"")
    start = clean.find(b"$")
    if start < 0 and clean.lstrip().startswith(b"!"):
        start = clean.find(b"!")
    if start < 0:
        raise ProtocolError(Reject.UNKNOWN_MESSAGE, "not a sentence: no $")
    if clean[start + 1 : start + 5] in BINARY_TAGS and clean[start + 5 : start + 6] != b",":
        raise ProtocolError(Reject.UNSUPPORTED, f"a Beidou-1 binary message, {clean[start + 1 : start + 5].decode()}")
    content = _checked(clean[start:])
    address, *fields = content.decode("latin-1").split(",")
    address = address.upper()
    if not _ADDRESS.fullmatch(address):
        raise ProtocolError(Reject.UNKNOWN_MESSAGE, f"{address[:12]!r} is not the address of a sentence")
    return Sentence(line, address, *_parts(address), tuple(field.strip() for field in fields))


def pieces(line: bytes) -> Iterator[bytes]:
    """`line` cut before every $ but the first: the sentences of a line that lost its line ends."""
    return (found.group() for found in _PIECE.finditer(line))


def checksum(content: bytes) -> int:
    """XOR of the bytes between $ and *."""
    return reduce(xor, content, 0)


def gb_text(field: str) -> str:
    """A field that may carry Chinese: GB 2312 and its supersets; what is neither shows as U+FFFD."""
    return field.encode("latin-1").decode("gb18030", "replace")


def _checked(framed: bytes) -> bytes:
    """What stands between $ and *, its checksum proven."""
    found = _FRAME.match(framed)
    if found is None:
        what = "the checksum has one digit" if re.search(rb"\*[0-9A-Fa-f]\s*$", framed) else "no checksum: the line is cut"
        raise ProtocolError(Reject.TRUNCATED, what)
    content, sent = found[1], int(found[2], 16)
    if (real := checksum(content)) != sent:
        raise ProtocolError(Reject.CHECKSUM, f"checksum {sent:02X}, but the bytes give {real:02X}")
    return content


def _parts(address: str) -> tuple[str, str]:
    """Talker and kind."""
    if address[0] == PROPRIETARY:
        return PROPRIETARY, address[1:]
    if len(address) > 5:  # noqa: PLR2004 - two letters of talker, three of kind
        return TALKER_OF_LONG[address[:3]], address[3:]
    return address[:2], address[2:]
