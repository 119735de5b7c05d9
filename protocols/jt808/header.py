"""The header in its two forms (JT/T 808-2019 §4.4.3): six bytes of phone number until 2013, a version byte and ten bytes since 2019.

2011 and 2013 share one form and cannot be told apart by it.
"""

from __future__ import annotations

from typing import Final

from construct import Int8ub, Int16ub, Struct

from protocols.adapters import Phone
from protocols.columnar import Layout
from protocols.jt808.framing import wrap
from tracks.terminal import phone_bytes

EDITIONS: Final = ("2011", "2013", "2019")
"""Editions of the standard; an `edition` column or argument is the position in this tuple."""
V2011, V2013, V2019 = range(3)

LENGTH_BITS: Final = 0x03FF
ENCRYPTION_SHIFT, ENCRYPTION_BITS = 10, 0b111
PACKAGED_BIT: Final = 0x2000
VERSION_BIT: Final = 0x4000
RESERVED_BIT: Final = 0x8000

PHONE_2013_BYTES, PHONE_2019_BYTES = 6, 10

SHORT_SERIAL_IDS: Final = (0x4401, 0x5501, 0x5502)
"""Messages of one vendor whose serial number has one byte (quirk B6)."""

LEAD = Struct("message_id" / Int16ub, "attributes" / Int16ub)
HEADER_2013 = Struct("message_id" / Int16ub, "attributes" / Int16ub, "phone" / Phone(PHONE_2013_BYTES), "serial" / Int16ub)
HEADER_2019 = Struct(
    "message_id" / Int16ub, "attributes" / Int16ub, "protocol_version" / Int8ub, "phone" / Phone(PHONE_2019_BYTES), "serial" / Int16ub
)
PACKAGE = Struct("total" / Int16ub, "index" / Int16ub)

LEAD_LAYOUT, HEADER_2013_LAYOUT, HEADER_2019_LAYOUT, PACKAGE_LAYOUT = map(Layout.of, (LEAD, HEADER_2013, HEADER_2019, PACKAGE))

BYTES_2013, BYTES_2019, PACKAGE_BYTES = HEADER_2013_LAYOUT.itemsize, HEADER_2019_LAYOUT.itemsize, PACKAGE_LAYOUT.itemsize
VERSION_BYTES: Final = BYTES_2019 - BYTES_2013
"""How much longer a 2019 header is."""


def encode(
    message_id: int,
    terminal: str,
    serial: int,
    body: bytes,
    edition: int,
    *,
    total: int = 0,
    index: int = 0,
    protocol_version: int = 1,
) -> bytes:
    """One whole frame on the wire, with the header form of `edition`; package `index` of `total` when `total` is given.

    Raises ValueError for a body that needs packages, or a terminal whose name the header cannot carry.
    A serial number of one byte is the lower one.
    """
    if len(body) > LENGTH_BITS:
        msg = f"a body of {len(body)} bytes needs packages: one frame carries {LENGTH_BITS}"
        raise ValueError(msg)
    modern = edition == V2019
    fields = {
        "message_id": message_id,
        "attributes": len(body) | (VERSION_BIT if modern else 0) | (PACKAGED_BIT if total else 0),
        "protocol_version": protocol_version,
        "phone": phone_bytes(terminal, PHONE_2019_BYTES if modern else PHONE_2013_BYTES).hex(),
        "serial": serial,
    }
    head: bytes = (HEADER_2019 if modern else HEADER_2013).build(fields)
    if message_id in SHORT_SERIAL_IDS:
        head = head[:-2] + head[-1:]
    package = PACKAGE.build({"total": total, "index": index}) if total else b""
    return wrap(head + package + body)
