"""Frames for people and other programs: one JSON-ready object per frame, whatever the bytes are. The words are public.

Everything that could be read is told, also of a frame that is refused: a wrong checksum hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from functools import reduce
from operator import xor
from typing import Any, Final

import numpy as np

from protocols.adapters import EPOCH, Flags
from protocols.errors import ProtocolError
from protocols.jt808.fixes import CARRIERS, GMT8_S, fixes, position
from protocols.jt808.frames import FrameBatch, split
from protocols.jt808.framing import unwrap
from protocols.jt808.header import BYTES_2013, BYTES_2019, EDITIONS, PHONE_2013_BYTES, PHONE_2019_BYTES, V2013, V2019
from protocols.jt808.messages.items import ITEMS
from protocols.jt808.messages.location import ALARMS, REPORT
from protocols.jt808.messages.registry import MESSAGES, parse, plain
from protocols.jt808.vendors import meaning
from protocols.parts import Code, Hex
from protocols.text import Text
from tracks.fix import ABSENT, FixBatch
from tracks.reject import RejectBatch
from tracks.verdict import Reject

_SEPARATORS: Final = re.compile(r"0[xX]|[\s,;:-]+")
_NOT_HEX: Final = re.compile(r"[^0-9a-fA-F]")


def describe(text: str, *, time_zone_s: int = GMT8_S) -> list[dict[str, Any]]:
    """The frames written in `text` as hexadecimal digits, with or without flags and spaces; one object each. Never raises.

    `time_zone_s` says how far ahead of UTC the terminal's clock is.
    """
    digits = _SEPARATORS.sub("", text)
    if not digits:
        return []
    wrong = _NOT_HEX.search(digits)
    if wrong:
        why = f"{wrong.group()!r} at digit {wrong.start() + 1} is not hexadecimal 不是十六进制"
        return [_empty() | {"reject": Reject.BAD_FIELD.word, "why": why}]
    told = describe_bytes(bytes.fromhex(digits[: len(digits) // 2 * 2]), time_zone_s=time_zone_s)
    if len(digits) % 2:
        told = told or [_empty()]
        told[-1] |= {"ok": False, "reject": Reject.TRUNCATED.word, "why": "the last byte has one digit only 末字节不完整"}
    return told


def describe_bytes(wire: bytes, *, time_zone_s: int = GMT8_S) -> list[dict[str, Any]]:
    """The frames of `wire`, one object each."""
    frames = split(np.frombuffer(wire, np.uint8), np.array([len(wire)], np.int64))
    rows = np.flatnonzero(np.isin(frames.message_id, CARRIERS) & (frames.reject != Reject.TRUNCATED) & (frames.total <= 1))
    found, refused = fixes(frames, rows, np.zeros(len(frames), np.int64), time_zone_s=time_zone_s)
    return [_frame(frames, row, found, refused, time_zone_s) for row in range(len(frames))]


def _empty() -> dict[str, Any]:
    """Of a frame of which nothing is known."""
    return {
        "ok": False,
        "reject": None,
        "why": None,
        "protocol": "jt808",
        "version": None,
        "message_id": None,
        "message": None,
        "terminal": None,
        "serial": None,
        "subpackage": None,
        "encrypted": False,
        "body": {},
        "fixes": [],
    }


def _frame(frames: FrameBatch, row: int, found: FixBatch, refused: RejectBatch, zone_s: int) -> dict[str, Any]:
    """Everything about one frame."""
    told = _empty() | _header(frames, row)
    reason, why = Reject(int(frames.reject[row])), _why(frames, row)
    if reason != Reject.TRUNCATED:
        body, trouble, note = _body(frames, row, zone_s)
        mine = np.flatnonzero(found.frame == row)
        told |= {"body": body, "fixes": [_fix(found, each, zone_s) for each in mine.tolist()]}
        parts = np.flatnonzero(refused.frame == row)
        if len(parts) and not len(mine) and not trouble:
            trouble = Reject(int(refused.reason[parts[0]]))
            note = "it holds no location report that can be read 没有可读的位置汇报"
        elif len(parts):
            note = note or f"{len(parts)} part of it holds no location report 有部分数据不是位置汇报"
        if reason == Reject.NONE:
            reason, why = trouble, note
    return told | {"ok": reason == Reject.NONE, "reject": reason.word if reason else None, "why": why}


def _header(frames: FrameBatch, row: int) -> dict[str, Any]:
    """The header's fields, as far as the header goes."""
    edition, message_id, total = int(frames.edition[row]), int(frames.message_id[row]), int(frames.total[row])
    digits = 2 * (PHONE_2019_BYTES if edition == V2019 else PHONE_2013_BYTES)
    size = len(unwrap(frames.raw.bytes_at(row))[0])
    whole = size >= (BYTES_2019 if edition == V2019 else BYTES_2013)
    known = MESSAGES.get(message_id)
    if known and edition == V2013:
        # the header of 2011 is the same; some bodies tell
        edition = known.edition_of(edition, frames.body.bytes_at(row))
    return {
        "version": EDITIONS[edition] if whole else None,
        "message_id": None if message_id == ABSENT else f"0x{message_id:04x}",
        "message": known.name if known else None,
        "terminal": f"{int(frames.phone_high[row]) << 64 | int(frames.phone_low[row]):0{digits}x}" if whole else None,
        "serial": int(frames.serial[row]) if whole else None,
        "subpackage": {"total": total, "index": int(frames.index[row])} if total else None,
        "encrypted": bool(frames.encryption[row]),
    }


def _why(frames: FrameBatch, row: int) -> str | None:
    """The sentence to a frame's own reason."""
    content = unwrap(frames.raw.bytes_at(row))[0]
    match Reject(int(frames.reject[row])):
        case Reject.TRUNCATED:
            return f"{len(content)} bytes are no whole header 报文头不完整"
        case Reject.BAD_ESCAPE:
            return "a 7d is followed by neither 01 nor 02, and the frame does not add up with it 转义错误"
        case Reject.CHECKSUM:
            return f"the checksum is 0x{content[-1]:02x}, the bytes give 0x{reduce(xor, content[:-1], 0):02x} 校验码不符"
        case Reject.LENGTH_MISMATCH:
            return f"the header declares {frames.declared[row]} bytes of body, there are {frames.actual[row]} 消息体长度不符"
        case Reject.BAD_SUBPACKAGE:
            return f"there is no package {frames.index[row]} of {frames.total[row]} 分包序号错误"
        case _:
            return None


def _body(frames: FrameBatch, row: int, zone_s: int) -> tuple[dict[str, Any], Reject, str | None]:
    """The body's fields; why it cannot be kept; a sentence about either."""
    body = frames.body.bytes_at(row)
    if frames.total[row] > 1:
        return {"package": body.hex()}, Reject.NONE, "one package of a message; its fields come together with the others 分包"
    try:
        fields = parse(int(frames.message_id[row]), int(frames.edition[row]), body)
    except ProtocolError as error:
        reason = error.reason
        if reason == Reject.UNSUPPORTED:
            reason = Reject.NONE
        elif frames.encryption[row] and reason != Reject.UNKNOWN_MESSAGE:
            reason = Reject.ENCRYPTED
        return {"raw": body.hex()}, reason, error.why
    note = None
    if "reports" in fields and len(fields["reports"]) != fields.get("count", len(fields["reports"])):
        note = f"it announces {fields['count']} reports and holds {len(fields['reports'])} 汇报条数不符"
    told: dict[str, Any] = _told(fields, zone_s)
    return told, Reject.NONE, note


def _fix(found: FixBatch, row: int, zone_s: int) -> dict[str, Any]:
    """One fix by the public names."""
    report = plain(REPORT.parse(found.raw.bytes_at(row)))
    alarm_bits = int(found.alarm_bits[row])
    mileage = float(found.mileage_km[row])
    satellites, signal = int(found.satellites[row]), int(found.signal[row])
    return {
        "time": _instant(EPOCH + timedelta(microseconds=int(found.time_us[row]))) if found.dated[row] else None,
        "lat": float(found.lat[row]),
        "lon": float(found.lon[row]),
        "altitude_m": int(found.altitude_m[row]),
        "speed_kmh": round(float(found.speed_kmh[row]), 1),
        "course_deg": int(found.course_deg[row]),
        "valid": bool(found.valid[row]),
        "alarms": Flags.of(alarm_bits, ALARMS).words,
        "alarm_bits": alarm_bits,
        "status_bits": int(found.status_bits[row]),
        "mileage_km": None if np.isnan(mileage) else mileage,
        "satellites": None if satellites == ABSENT else satellites,
        "signal": None if signal == ABSENT else signal,
        "backfill": bool(found.backfill[row]),
        "items": _items(report["items"], report["rest"], zone_s),
    }


def _items(items: list[dict[str, Any]], rest: bytes, zone_s: int) -> dict[str, Any]:
    """Items by name, those outside the standards by their id; a list where an id comes again; `rest` is no whole item."""
    told: dict[str, list[Any]] = {}
    for item in items:
        known = ITEMS.get(item["id"])
        value = known.parse(item["value"]) if known else None
        if known is None or value is None:
            told.setdefault(f"0x{item['id']:02x}", []).append(_vendors(item["id"], item["value"], zone_s))
        else:
            told.setdefault(known.name, []).append(_told(value, zone_s))
    once = {name: values[0] if len(values) == 1 else values for name, values in told.items()}
    return once | ({"rest": rest.hex()} if rest else {})


def _vendors(item_id: int, value: bytes, zone_s: int) -> Any:  # noqa: ANN401 - text or an object
    """An item outside the standards: its bytes in hex and, where a maker's table has it, what it may mean."""
    known = meaning(item_id, value)
    if known is None:
        return value.hex()
    return {"raw": value.hex(), "profile": known.profile, "name": known.name, "value": _told(known.value, zone_s)}


def _told(value: Any, zone_s: int) -> Any:  # noqa: ANN401 - fields are of many kinds
    """A field's value as JSON has it: instants in UTC, bytes in hex, flags and codes as number and words."""
    told = value
    match value:
        case Mapping():
            told = _fields(value, zone_s)
        case list():
            told = [_told(each, zone_s) for each in value]
        case datetime():
            told = _instant(value if value.tzinfo else value - timedelta(seconds=zone_s))
        case time():
            told = value.isoformat()
        case bytes():
            told = value.hex()
        case Flags():
            told = {"bits": int(value), "set": value.words}
        case Code():
            told = {"code": int(value), "word": value.word}
        case Hex():
            told = f"0x{value:0{value.width}x}"
    return told


def _fields(fields: Mapping[str, Any], zone_s: int) -> dict[str, Any]:
    """The fields of a body or of a part of one."""
    told: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "items":
            told[name] = _items(value, fields.get("rest", b""), zone_s)
        elif name == "reports":
            told[name] = [
                {"reject": Reject.TRUNCATED.word, "raw": each.hex()} if isinstance(each, bytes) else _fields(each, zone_s) for each in value
            ]
        elif name != "rest" or ("items" not in fields and value):
            told[name] = _told(value, zone_s)
            if isinstance(value, Text) and value.raw is not None:
                told[f"{name}_raw"] = value.raw.hex()
    if "status" in told and "lat" in told:
        lat, lon, _ = position(fields["lat"], fields["lon"], fields["status"])
        told |= {"lat": float(lat), "lon": float(lon)}
    return told


def _instant(utc: datetime) -> str:
    return f"{utc.replace(tzinfo=None).isoformat()}Z"


def tell(fields: Mapping[str, Any], *, time_zone_s: int = GMT8_S) -> dict[str, Any]:
    """The fields that `parse` read from a body, as JSON has them."""
    return _fields(fields, time_zone_s)
