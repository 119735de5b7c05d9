"""JSON that carries position reports: fixes as this server prints them, and what EMQX's JT/T 808 gateway publishes.

*Fixes* (`dubhe/v1/{terminal}/fix`): an object with the fields of a fix of `dubhe decode --json`, or an array of them. Needed are `lat` and
`lon`; `time` must name its zone; what is absent stays absent. A bad fix of an array refuses itself alone; what is no JSON, all of it.

*EMQX* (`jt808/+/+/up`): `{"header": {"msg_id", "phone", "msg_sn", …}, "body": {…}}` with the raw integers of the wire: micro-degrees
without sign, 0.1 km/h, BCD digits of GMT+8. Read from its emqx_jt808_frame.erl and Data_Exchange_Guide_CN.md (2026).
EMQX has answered the terminal before it publishes; what is promised here is between it and us.

A name in the payload that is not the topic's refuses the payload. Nothing here raises, whatever the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, NoReturn

from protocols.errors import ProtocolError
from protocols.rows import NAN, POSITIONED, SOUTH, WEST, Rows
from tracks.fix import ABSENT
from tracks.terminal import canonical
from tracks.verdict import Reject

Json = Mapping[str, Any]

LOCATION_REPORT, LOCATION_REPLY, VEHICLE_REPLY, LOCATION_BATCH = 0x0200, 0x0201, 0x0500, 0x0704
NOTHING_TO_KEEP: Final = frozenset((0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0100, 0x0102))
"""Messages of a session that EMQX itself holds."""

GMT8: Final = timezone(timedelta(hours=8))
SIGN_BIT: Final = 1 << 31
UINT32_MAX: Final = (1 << 32) - 1
INT16_MAX: Final = (1 << 15) - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def read_fixes(payload: bytes, rows: Rows, *, terminal: str, alarms: Sequence[str], frame: int, received_us: int) -> None:
    """The fixes in `payload`. `terminal` is the topic's, canonical; `alarms` are the words of the alarm bits from bit 0."""
    try:
        values = _values(payload)
    except ProtocolError as error:
        rows.reject(error.reason, payload, frame=frame, received_us=received_us)
        return
    for value, raw in values:
        try:
            told = _object(value, "a fix")
            _same(told.get("terminal"), terminal)
            columns = _fix(told, alarms)
        except ProtocolError as error:
            rows.reject(error.reason, raw, frame=frame, received_us=received_us)
        else:
            rows.fix(**columns, raw=raw, frame=frame, received_us=received_us)


def read_emqx(payload: bytes, rows: Rows, *, terminal: str, frame: int, received_us: int) -> None:
    """The location reports in a message of EMQX's gateway. `terminal` is the topic's, canonical."""
    message_id = ABSENT
    try:
        ((value, _),) = _values(payload, arrays=False)
        message = _object(value, "a message")
        header = _object(message.get("header"), "header")
        message_id = _whole(header, "msg_id", 0, 0xFFFF)
        _same(header.get("phone") or "", terminal)
        reports, backfill = _reports(header, message_id, message.get("body", {}))
    except ProtocolError as error:
        rows.reject(error.reason, payload, frame=frame, received_us=received_us, message_id=message_id)
        return
    for report in reports:
        raw = payload
        try:
            # the report's own content: its message's serial would make a repeat look new
            raw = json.dumps(report, separators=(",", ":"), sort_keys=True).encode()
            columns = _report(_object(report, "a location"))
        except (ProtocolError, RecursionError) as error:
            rows.reject(getattr(error, "reason", Reject.BAD_FIELD), raw, frame=frame, received_us=received_us, message_id=message_id)
        else:
            rows.fix(**columns, backfill=backfill, raw=raw, frame=frame, received_us=received_us)


def _values(payload: bytes, *, arrays: bool = True) -> list[tuple[Any, bytes]]:
    """The value in `payload`, or with `arrays` the elements of an array, each with its own bytes."""
    try:
        text = payload.decode("utf-8-sig").strip()
        if not (arrays and text.startswith("[")):
            return [(_DECODER.decode(text), payload)]
        values, at = [], _skip(text, 1)
        while text[at : at + 1] != "]":
            value, stop = _DECODER.raw_decode(text, at)
            values.append((value, text[at:stop].encode("utf-8", "surrogatepass")))
            at = _skip(text, stop)
            if text[at : at + 1] == ",":
                at = _skip(text, at + 1)
            elif text[at : at + 1] != "]":
                _refuse(f"not JSON: no comma at {at}")
        if at != len(text) - 1:
            _refuse(f"not JSON: something follows the array at {at + 1}")
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, ProtocolError) else ProtocolError(Reject.BAD_FIELD, f"not JSON: {error}") from None
    return values


def _skip(text: str, at: int) -> int:
    """The next place that is no white space."""
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _no_constant(word: str) -> NoReturn:
    _refuse(f"{word} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def _fix(told: Json, alarms: Sequence[str]) -> dict[str, Any]:
    """The columns of one fix."""
    lat, lon = _measure(told, "lat", 1e6), _measure(told, "lon", 1e6)
    on_earth = abs(lat) <= 90 and abs(lon) <= 180  # noqa: PLR2004 - the globe
    bits = _optional(told, "status_bits", UINT32_MAX, ABSENT)
    valid = told.get("valid")
    if valid is None:
        valid = bits == ABSENT or bool(bits & POSITIONED)
    if not isinstance(valid, bool):
        _refuse(f"valid {_shown(valid)} is neither true nor false")
    valid = valid and on_earth
    items = told.get("items")
    beside = {**items, **told} if isinstance(items, dict) else told
    return {
        "time_us": _iso(told.get("time")),
        "lat": lat,
        "lon": lon,
        "valid": valid,
        "altitude_m": _measure(told, "altitude_m", 1e6, NAN),
        "speed_kmh": _measure(told, "speed_kmh", 1e6, NAN),
        "course_deg": _measure(told, "course_deg", 1e6, NAN),
        "alarm_bits": _alarm_bits(told, alarms),
        "status_bits": bits if bits != ABSENT else POSITIONED * valid | SOUTH * (lat < 0) | WEST * (lon < 0),
        "mileage_km": _measure(told, "mileage_km", 1e9, NAN),
        "satellites": _optional(beside, "satellites", INT16_MAX, ABSENT),
        "signal": _optional(beside, "signal", INT16_MAX, ABSENT),
        "backfill": told.get("backfill") is True,
    }


def _alarm_bits(told: Json, alarms: Sequence[str]) -> int:
    """The alarm word as a number, or from the words of its bits."""
    if told.get("alarm_bits") is not None:
        return _whole(told, "alarm_bits", 0, UINT32_MAX)
    words = told.get("alarms") or []
    if not isinstance(words, list) or any(word not in alarms for word in words):
        _refuse(f"alarms {_shown(words)}: not a list of the alarms' words")
    return sum({1 << alarms.index(word) for word in words})


def _reports(header: Json, message_id: int, body: Any) -> tuple[Sequence[Any], bool]:  # noqa: ANN401 - JSON
    """The location reports of a message, and whether they were stored while the terminal was offline."""
    if message_id in NOTHING_TO_KEEP:
        return [], False
    if header.get("frag_total") not in (None, 0, 1):
        raise ProtocolError(Reject.UNSUPPORTED, "a part of a message that EMQX did not join")
    body = _object(body, "body")
    if body.get("unknown_id"):
        raise ProtocolError(Reject.UNSUPPORTED, "a message that EMQX could not read")
    if message_id == LOCATION_REPORT:
        return [body], False
    if message_id == LOCATION_REPLY:
        return [body.get("params")], False
    if message_id == VEHICLE_REPLY:
        return [body.get("location")], False
    if message_id == LOCATION_BATCH:
        reports = body.get("location")
        return reports if isinstance(reports, list) else [reports], body.get("type") == 1
    raise ProtocolError(Reject.UNSUPPORTED, f"message 0x{message_id:04x} has no location that is kept")


def _report(report: Json) -> dict[str, Any]:
    """The columns of one location report; an additional item that cannot be read spoils itself alone."""
    status = _whole(report, "status", 0, UINT32_MAX)
    lat = _coordinate(report, "latitude", negative=bool(status & SOUTH))
    lon = _coordinate(report, "longitude", negative=bool(status & WEST))
    altitude = _whole(report, "altitude", 0, 0xFFFF)
    extra = report.get("extra")
    items = extra if isinstance(extra, dict) else {}
    mileage = _item(items, "mileage", UINT32_MAX)
    return {
        "time_us": _bcd_time(report.get("time")),
        "lat": lat,
        "lon": lon,
        "valid": bool(status & POSITIONED) and abs(lat) <= 90 and abs(lon) <= 180,  # noqa: PLR2004 - the globe
        # below the sea it is two's complement (quirk D6)
        "altitude_m": altitude - (1 << 16) if altitude > INT16_MAX else altitude,
        "speed_kmh": _whole(report, "speed", 0, 0xFFFF) / 10,
        "course_deg": _whole(report, "direction", 0, 0xFFFF),
        "alarm_bits": _whole(report, "alarm", 0, UINT32_MAX),
        "status_bits": status,
        "mileage_km": NAN if mileage == ABSENT else mileage / 10,
        "satellites": _item(items, "gnss_sat_num", 0xFF),
        "signal": _item(items, "rssi", 0xFF),
    }


def _coordinate(report: Json, name: str, *, negative: bool) -> float:
    """Micro-degrees; the hemisphere bit turns positive values only, as some senders write two's complement (quirk D5)."""
    value = _whole(report, name, 0, UINT32_MAX)
    if value & SIGN_BIT:
        return (value - (1 << 32)) / 1e6
    return (-value if negative else value) / 1e6


def _bcd_time(text: Any) -> int | None:  # noqa: ANN401 - JSON
    """`yymmddhhmmss` of GMT+8; None for what is no date, as a clock that was never set sends zeros (quirk D1)."""
    if not (isinstance(text, str) and len(text) == 12 and text.isascii() and text.isdecimal()):  # noqa: PLR2004 - six bytes of BCD
        return None
    try:
        moment = datetime.strptime(f"20{text}", "%Y%m%d%H%M%S").replace(tzinfo=GMT8)
    except ValueError:
        return None
    return (moment - _EPOCH) // _MICROSECOND


def _iso(text: Any) -> int | None:  # noqa: ANN401 - JSON
    """ISO 8601 with its zone; None when absent."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        _refuse(f"time {_shown(text)} is not ISO 8601")
    if moment.tzinfo is None:
        _refuse(f"time {_shown(text)} does not say its zone: write Z for UTC")
    return (moment - _EPOCH) // _MICROSECOND


def _measure(told: Json, name: str, size_max: float, default: float | None = None) -> float:
    """A number of at most `size_max`; NaN for null and, where there is a default, for what is absent."""
    value = told.get(name, default)
    if value is None and name in told:
        return NAN
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > size_max:
        _refuse(f"{name} {_shown(value)} is not a number of that kind")
    return float(value)


def _whole(told: Json, name: str, low: int, high: int) -> int:
    """An integer in a range."""
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        _refuse(f"{name} {_shown(value)} is not an integer from {low} to {high}")
    return value


def _optional(told: Json, name: str, high: int, default: int) -> int:
    """An integer, or what stands for its absence."""
    return default if told.get(name) is None else _whole(told, name, 0, high)


def _item(items: Json, name: str, high: int) -> int:
    """An additional item; ABSENT when it is not there or not what it should be."""
    value = items.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high else ABSENT


def _same(named: Any, terminal: str) -> None:  # noqa: ANN401 - JSON
    """The payload names no terminal or the topic's. EMQX's guide shows the phone as a number, its code sends digits."""
    if named is not None and canonical(_shown(named)) != terminal:
        raise ProtocolError(Reject.NOT_AUTHENTICATED, f"terminal {_shown(named)} published on the topic of {terminal}")


def _object(value: Any, what: str) -> Json:  # noqa: ANN401 - JSON
    if not isinstance(value, dict):
        _refuse(f"{what} is not an object")
    return value


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    """A value in a message or as a name, unless it is deep or long."""
    return f"of type {type(value).__name__}" if isinstance(value, list | dict) else str(value)[:40]


def _refuse(why: str) -> NoReturn:
    raise ProtocolError(Reject.BAD_FIELD, why)
