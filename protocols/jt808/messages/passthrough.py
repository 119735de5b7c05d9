"""Transparent data, compressed reports, RSA keys."""

from __future__ import annotations

import zlib
from typing import Any, Final

import construct
from construct import Int8ub, Int16ub, Int32ub, Prefixed, Struct

from protocols.adapters import Bits
from protocols.errors import ProtocolError
from protocols.jt808.header import V2011, V2013
from protocols.jt808.messages.registry import declare
from protocols.parts import Coded, Count, LengthOf, Octets, Several
from protocols.text import CountedText
from tracks.verdict import Reject

SUBTYPES: Final = {
    0x00: "gnss_detail",
    0x0B: "transport_permit_card",
    0x41: "serial_port_1",
    0x42: "serial_port_2",
    # T/JSATL 12
    0xF7: "peripheral_status",
    0xF8: "peripheral_information",
}
"""0xF0 to 0xFF are the makers'."""

PERIPHERALS: Final = {0x64: "adas", 0x65: "dsm", 0x66: "tyre_pressure", 0x67: "blind_zone"}
WORKING: Final = {1: "working", 2: "standby", 3: "upgrading", 4: "abnormal", 0x10: "offline"}
FAULTS: Final = (
    "camera",
    "main_memory",
    "backup_memory",
    "infrared",
    "speaker",
    "battery",
    None,
    None,
    None,
    None,
    "communication_module",
    "positioning_module",
)
_PERIPHERAL: Final = "peripheral" / Coded(Int8ub, PERIPHERALS)
STATUS: Final = Struct(
    "count" / Count(Int8ub, "peripherals"),
    "peripherals"
    / Several(
        Struct(_PERIPHERAL, "state" / Prefixed(Int8ub, Struct("working" / Coded(Int8ub, WORKING), "faults" / Bits(Int32ub, FAULTS)))),
    ),
)
INFORMATION: Final = Struct(
    "count" / Count(Int8ub, "peripherals"),
    "peripherals"
    / Several(
        Struct(
            _PERIPHERAL,
            "about"
            / Prefixed(
                Int8ub,
                Struct(
                    "company" / CountedText(),
                    "model" / CountedText(),
                    "hardware" / CountedText(),
                    "firmware" / CountedText(),
                    "device_id" / CountedText(),
                    "customer_code" / CountedText(),
                ),
            ),
        )
    ),
)
QUERY: Final = Struct("count" / Count(Int8ub, "peripherals"), "peripherals" / Several(Coded(Int8ub, PERIPHERALS)))


class Passed(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """Data by its subtype: fields where its layout is known and reads it to its end, else bytes."""

    def __init__(self, layouts: dict[int, Struct]) -> None:
        super().__init__(Octets())
        self.layouts = layouts

    def _decode(self, obj: bytes, context: Any, _path: str) -> Any:  # noqa: ANN401 - construct carries no types
        layout = self.layouts.get(context.subtype)
        try:
            fields = layout.parse(obj) if layout else obj
        except construct.ConstructError:
            return obj
        return fields if layout and layout.build(fields) == obj else obj

    def _encode(self, obj: Any, context: Any, _path: str) -> bytes | str:  # noqa: ANN401 - as Python or JSON has it
        layout = self.layouts.get(context.subtype)
        if layout and isinstance(obj, dict):
            built: bytes = layout.build(obj)
            return built
        return obj  # type: ignore[no-any-return] # octets, which say themselves what they take


_SUBTYPE: Final = "subtype" / Coded(Int8ub, SUBTYPES)
_DATA: Final = Octets()
_PASSED_2011: Final = Struct(_SUBTYPE, "total_length" / Int32ub, "length" / LengthOf(Int16ub, "data", _DATA), "data" / _DATA)
_HEAD_2011_BYTES: Final = 7


def passed_edition(edition: int, body: bytes) -> int:
    """The form of transparent data: 2011's when its two lengths are true."""
    total, length = int.from_bytes(body[1:5], "big"), int.from_bytes(body[5:7], "big")
    return V2011 if total >= length == len(body) - _HEAD_2011_BYTES else max(edition, V2013)


declare(
    0x0900, {V2011: _PASSED_2011, V2013: Struct(_SUBTYPE, "data" / Passed({0xF7: STATUS, 0xF8: INFORMATION}))}, passed_edition, bulk=True
)
declare(0x8900, {V2011: _PASSED_2011, V2013: Struct(_SUBTYPE, "data" / Passed({0xF7: QUERY, 0xF8: QUERY}))}, passed_edition, bulk=True)

declare(0x0901, Struct("length" / LengthOf(Int32ub, "data", _DATA), "data" / _DATA), bulk=True)

INFLATED_BYTES_MAX: Final = 1 << 20
"""Nothing that a terminal reports in one message is longer; a bomb stops here."""
_GZIP_WINDOW: Final = 31


def inflate(data: bytes, bytes_max: int = INFLATED_BYTES_MAX) -> bytes:
    """The message body inside the data of a 0x0901; raises ProtocolError for what is no gzip, is cut, or swells beyond `bytes_max`."""
    gzip = zlib.decompressobj(_GZIP_WINDOW)
    try:
        body = gzip.decompress(data, bytes_max + 1)
    except zlib.error as error:
        msg = f"compressed report: {error}"
        raise ProtocolError(Reject.BAD_FIELD, msg) from None
    if len(body) > bytes_max:
        msg = f"compressed report: {len(data)} bytes swell beyond {bytes_max}"
        raise ProtocolError(Reject.OVERSIZE, msg)
    if not gzip.eof:
        msg = f"compressed report: {len(data)} bytes of gzip end too soon"
        raise ProtocolError(Reject.TRUNCATED, msg)
    return body


def deflate(body: bytes) -> bytes:
    """The data of a 0x0901 that carries `body`."""
    gzip = zlib.compressobj(wbits=_GZIP_WINDOW)
    return gzip.compress(body) + gzip.flush()


RSA_BYTES: Final = 128
KEY: Final = Struct("e" / Int32ub, "n" / Octets(RSA_BYTES))
declare(0x0A00, KEY)
declare(0x8A00, KEY)
