"""Vehicle control: doors, whose two senses are opposite in 2013 and 2019 (quirk G1)."""

from __future__ import annotations

from typing import Any, Final

from construct import Int8ub, Int16ub, Struct

from protocols.adapters import Bits
from protocols.jt808.header import V2011, V2019
from protocols.jt808.messages.registry import declare
from protocols.parts import Coded, Count, Several

DOOR: Final = 1
CONTROLS: Final = {DOOR: "door"}
"""2 to 0x8000 are reserved, 0xF001 to 0xFFFF the makers'. Every parameter met so far has one byte."""

declare(
    0x8500,
    {
        V2011: Struct("flag" / Bits(Int8ub, ("lock_doors",))),
        # the offset behind the count is printed as if it had one byte, a slip (quirk G2)
        V2019: Struct(
            "count" / Count(Int16ub, "controls"),
            "controls" / Several(Struct("control" / Coded(Int16ub, CONTROLS), "parameter" / Int8ub)),
        ),
    },
)


def doors(edition: int, *, locked: bool) -> dict[str, Any]:
    """The fields of a 0x8500 that locks or unlocks the doors: bit 0 set locks until 2013, parameter 0 locks since 2019."""
    if edition == V2019:
        return {"controls": [{"control": DOOR, "parameter": 0 if locked else 1}]}
    return {"flag": ["lock_doors"] if locked else []}
