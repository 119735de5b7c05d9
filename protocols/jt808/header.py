"""The header in its two forms (JT/T 808-2019 §4.4.3): six bytes of phone number until 2013, a version byte and ten bytes since 2019.

2011 and 2013 share one form and cannot be told apart by it.
"""

from __future__ import annotations

from typing import Final

from construct import Int8ub, Int16ub, Struct

from protocols.adapters import Phone
from protocols.columnar import Layout

EDITIONS: Final = ("2011", "2013", "2019")
"""Editions of the standard; an `edition` column or argument is the position in this tuple."""
V2011, V2013, V2019 = range(3)

LENGTH_BITS: Final = 0x03FF
ENCRYPTION_SHIFT, ENCRYPTION_BITS = 10, 0b111
PACKAGED_BIT: Final = 0x2000
VERSION_BIT: Final = 0x4000
RESERVED_BIT: Final = 0x8000

LEAD = Struct("message_id" / Int16ub, "attributes" / Int16ub)
HEADER_2013 = Struct("message_id" / Int16ub, "attributes" / Int16ub, "phone" / Phone(6), "serial" / Int16ub)
HEADER_2019 = Struct("message_id" / Int16ub, "attributes" / Int16ub, "protocol_version" / Int8ub, "phone" / Phone(10), "serial" / Int16ub)
PACKAGE = Struct("total" / Int16ub, "index" / Int16ub)

LEAD_LAYOUT, HEADER_2013_LAYOUT, HEADER_2019_LAYOUT, PACKAGE_LAYOUT = map(Layout.of, (LEAD, HEADER_2013, HEADER_2019, PACKAGE))

BYTES_2013, BYTES_2019, PACKAGE_BYTES = HEADER_2013_LAYOUT.itemsize, HEADER_2019_LAYOUT.itemsize, PACKAGE_LAYOUT.itemsize
VERSION_BYTES: Final = BYTES_2019 - BYTES_2013
"""How much longer a 2019 header is."""
