"""Terminal control, attributes, upgrades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import construct
from construct import IfThenElse, Int8ub, Int16ub, Int32ub, Optional, Struct, this

from protocols.adapters import Bits
from protocols.jt808.header import V2013, V2019
from protocols.jt808.messages.registry import declare
from protocols.jt808.messages.session import EMPTY
from protocols.parts import Bcd, Coded, LengthOf, Octets, Solved
from protocols.text import CountedText, FixedText, decode, encode

COMMANDS: Final = {
    1: "upgrade",
    2: "connect",
    3: "power_off",
    4: "reset",
    5: "factory_settings",
    6: "close_data_link",
    7: "close_radio",
    # vendors: trackers' engine relay, two of several numberings
    0x64: "vendor_cut_engine",
    0x65: "vendor_restore_engine",
    0xF0: "vendor_engine_0",
    0xF1: "vendor_engine_1",
}

_DIAL: Final = ("apn", "user", "password", "address", "tcp_port", "udp_port")
PARAMETERS: Final = {
    1: ("url", *_DIAL, "maker", "hardware", "firmware", "time_limit_min"),
    2: ("control", "supervisor_auth_code", *_DIAL, "time_limit_min"),
}
"""What a command's parameters are, in their order; all text, ports and times too."""

_MERGED: Final = (
    "control",
    *_DIAL,
    "maker",
    "supervisor_auth_code",
    "hardware",
    "firmware",
    "url",
    "time_limit_min",
    "end",
)
"""All parameters in the order of the standard's table of them: two libraries send this for either command, and numbers as binary."""
_BINARY: Final = {"control": 1, "tcp_port": 2, "udp_port": 2, "time_limit_min": 2}


class ControlParameters(construct.Adapter):  # type: ignore[misc] # construct carries no types
    """Texts between semicolons: by name where their number is what the command takes, else a list. Missing names are left empty."""

    def __init__(self) -> None:
        super().__init__(construct.GreedyBytes)
        self.flagbuildnone = True

    def _decode(self, obj: bytes, context: Any, _path: str) -> Any:  # noqa: ANN401 - construct carries no types
        if not obj:
            return None
        pieces = obj.split(b";")
        names = next((each for each in (PARAMETERS.get(context.command, ()), _MERGED) if len(each) == len(pieces)), None)
        if names is None:
            return [decode(piece) for piece in pieces]
        return {name: _value(name, piece) if names is _MERGED else decode(piece) for name, piece in zip(names, pieces, strict=True)}

    def _encode(self, obj: Any, context: Any, path: str) -> bytes:  # noqa: ANN401 - as Python or JSON has it
        if obj is None:
            return b""
        if isinstance(obj, str):
            return encode(obj)
        if not isinstance(obj, Mapping):
            return b";".join(encode(piece) for piece in obj)
        merged = "end" in obj or context.command not in PARAMETERS
        names = _MERGED if merged else PARAMETERS[context.command]
        unknown = obj.keys() - set(names)
        if unknown:
            msg = f"{sorted(unknown)} are none of {names}"
            raise construct.MappingError(msg, path)
        return b";".join(_piece(name, obj.get(name, "")) for name in names)


def _value(name: str, piece: bytes) -> Any:  # noqa: ANN401 - text or number
    """A parameter of the merged order: a number where it is binary."""
    width = _BINARY.get(name)
    return int.from_bytes(piece, "big") if width == len(piece) and not piece.isdigit() else decode(piece)


def _piece(name: str, value: str | int) -> bytes:
    return encode(value) if isinstance(value, str) else value.to_bytes(_BINARY.get(name, 2), "big")


declare(0x8105, Struct("command" / Coded(Int8ub, COMMANDS), "parameters" / ControlParameters()))

TERMINAL_KINDS: Final = (
    "passenger",
    "dangerous_goods",
    "goods",
    "taxi",
    None,
    None,
    "disk_video",
    "split",
    "trailer",
)
GNSS_SYSTEMS: Final = ("gps", "beidou", "glonass", "galileo")
RADIO_SYSTEMS: Final = ("gprs", "cdma", "td_scdma", "wcdma", "cdma2000", "td_lte", None, "other")

_MAKER_SHORT, _MAKER_LONG = 5, 11
_ID_BYTES: Final = {V2013: (20, 7), V2019: (30, 30)}
"""Model and terminal id."""
_HEAD_BYTES, _ICCID_BYTES, _TAIL_BYTES = 2, 10, 2


def _maker_width(edition: int, behind_type: bytes) -> int:
    """Bytes of the maker's id with which the rest of a 0x0107 adds up, 0 when none does (quirk E5).

    One terminal in the field leaves out the two bytes at the end.
    """
    fixed = sum(_ID_BYTES[edition]) + _ICCID_BYTES
    for tail in (_TAIL_BYTES, 0):
        for width in (_MAKER_SHORT, _MAKER_LONG):
            at = width + fixed
            for _ in ("hardware", "firmware"):
                at += 1 + (behind_type[at] if at < len(behind_type) else len(behind_type))
            if at + tail == len(behind_type):
                return width
    return 0


def _attributes(edition: int) -> Struct:
    model, terminal_id = _ID_BYTES[edition]
    return Struct(
        "kinds" / Bits(Int16ub, TERMINAL_KINDS),
        # 5 bytes as printed, 11 as 2019 gave 0x0100: terminals of both kinds are on the road
        "maker_width" / Solved(_MAKER_SHORT, lambda follows: _maker_width(edition, follows) or _MAKER_SHORT),
        "maker" / IfThenElse(this.maker_width == _MAKER_LONG, FixedText(_MAKER_LONG), FixedText(_MAKER_SHORT)),
        "model" / FixedText(model),
        "terminal_id" / FixedText(terminal_id),
        "iccid" / Bcd(_ICCID_BYTES),
        "hardware" / CountedText(),
        "firmware" / CountedText(),
        "gnss" / Optional(Bits(Int8ub, GNSS_SYSTEMS)),
        "radio" / Optional(Bits(Int8ub, RADIO_SYSTEMS)),
    )


def attributes_edition(edition: int, body: bytes) -> int:
    """The form of a 0x0107: the one whose lengths add up, the header's first."""
    mine = max(edition, V2013)
    order = (mine, V2013 + V2019 - mine)
    return next((form for form in order if _maker_width(form, body[_HEAD_BYTES:])), edition)


declare(0x8107, EMPTY)
declare(0x0107, {edition: _attributes(edition) for edition in _ID_BYTES}, attributes_edition)

UPGRADED: Final = {
    0: "terminal",
    12: "ic_card_reader",
    52: "beidou_module",
    # T/JSATL 12
    0x64: "adas",
    0x65: "dsm",
    0x66: "tyre_pressure",
    0x67: "blind_zone",
}
UPGRADE_RESULTS: Final = {
    0: "ok",
    1: "failed",
    2: "cancelled",
    # T/JSATL 12
    0x10: "no_device",
    0x11: "wrong_hardware",
    0x12: "same_version",
    0x13: "wrong_version",
}
_PACKAGE: Final = Octets()

declare(
    0x8108,
    Struct(
        "upgraded" / Coded(Int8ub, UPGRADED),
        "maker" / FixedText(5),
        "version" / CountedText(),
        "length" / LengthOf(Int32ub, "data", _PACKAGE),
        "data" / _PACKAGE,
    ),
    bulk=True,
)
declare(0x0108, Struct("upgraded" / Coded(Int8ub, UPGRADED), "result" / Coded(Int8ub, UPGRADE_RESULTS)))
