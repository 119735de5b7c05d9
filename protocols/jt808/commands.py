"""What a platform may ask of a terminal: one row per command, with the replies that answer it and fields that make one.

A command is answered by 0x0001, or by a reply of its own; `later` are messages that may follow long after the 0x0001 which ended the
waiting. Most replies name the serial of their command in `reply_serial`; those that do not answer the oldest command of their kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from protocols.errors import ProtocolError
from protocols.jt808.header import EDITIONS
from protocols.jt808.messages.registry import MESSAGES, build, parse

GENERAL_RESPONSE: Final = 0x0001
RESULTS: Final = {0: "ok", 1: "failed", 2: "bad_message", 3: "unsupported"}
"""Results of 0x0001 (JT/T 808-2019 §8.1)."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. Its name is its message's."""

    example: Mapping[str, Any] = field(default_factory=dict)
    """Fields that make one, in every edition that has it."""
    replies: tuple[int, ...] = ()
    later: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    """Shorter names."""
    usual: tuple[str, ...] = ()
    """Fields that need not be said: the example's are meant then."""

    def filled(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with what is usual where nothing is said."""
        return {name: self.example[name] for name in self.usual} | dict(fields)


_POSITION: Final = {"lat": 31.230416, "lon": 121.473701}
_SQUARE: Final = [{"lat": 31.2, "lon": 121.4}, {"lat": 31.3, "lon": 121.4}, {"lat": 31.3, "lon": 121.5}]
_ADDRESS: Final = {"address": "10.0.0.1", "tcp_port": 6809, "udp_port": 0}
_DAY: Final = {"start": "2026-11-24T00:00:00", "stop": "2026-11-25T00:00:00"}
_NIGHT: Final = {"start": "2026-11-24T00:00:00", "end": "2026-11-25T00:00:00"}
_MEDIA: Final = {"type": "image", "channel": 0, "event": "platform_command", **_DAY}
_LIMITS: Final = {"start": "08:00:00", "stop": "20:00:00", "max_speed_kmh": 60, "overspeed_s": 10, "night_max_speed_kmh": 40}
_SEGMENT: Final = {
    "width_m": 20,
    "too_long_s": 600,
    "too_short_s": 60,
    "driving_time_s": 600,
    "max_speed_kmh": 60,
    "overspeed_s": 10,
    "night_max_speed_kmh": 40,
}
_SHOT: Final = {
    "channel": 1,
    "shots": 1,
    "interval_s": 0,
    "save": "upload",
    "resolution": "640x480",
    "quality": 5,
    "brightness": 128,
    "contrast": 64,
    "saturation": 64,
    "chroma": 128,
}
_RECORDED: Final = {"channel": 1, **_NIGHT, "alarms": 0, "kind": "audio_and_video", "stream": "main", "store": "any"}

COMMANDS: Final[Mapping[int, Command]] = {
    0x8103: Command({"parameters": [{"id": 0x0001, "value": 30}, {"id": 0x0029, "value": 10}]}, words=("set",)),
    0x8104: Command(replies=(0x0104,), words=("parameters",)),
    0x8106: Command({"ids": [0x0001, 0x0029]}, replies=(0x0104,), words=("get",)),
    0x8105: Command({"command": "reset"}, words=("control",)),
    0x8107: Command(replies=(0x0107,), words=("attributes",)),
    0x8108: Command({"upgraded": "terminal", "maker": "DUBHE", "version": "1.1", "data": "00ff"}, later=(0x0108,), words=("upgrade",)),
    0x8201: Command(replies=(0x0201,), words=("locate",)),
    0x8202: Command({"interval_s": 5, "valid_s": 60}, words=("track",)),
    0x8203: Command({"alarm_serial": 0, "kinds": ["emergency"]}),
    0x8204: Command(words=("ping",)),
    0x8300: Command({"flag": ["show", "tts"], "kind": "notice", "text": "前方拥堵，请绕行"}, usual=("flag", "kind")),
    0x8301: Command({"setting": "update", "events": [{"id": 1, "text": "装货"}]}),
    0x8302: Command({"flag": ["tts"], "question": "今天到几点？", "answers": [{"id": 1, "text": "六点"}]}, later=(0x0302,)),
    0x8303: Command({"setting": "update", "infos": [{"id": 1, "name": "天气"}]}, later=(0x0303,)),
    0x8304: Command({"info_id": 1, "text": "晴，二十度"}),
    0x8400: Command({"mode": "call", "number": "10086"}, words=("call",)),
    0x8401: Command({"setting": "update", "contacts": [{"calls": "both", "number": "10086", "name": "客服"}]}),
    0x8500: Command({"flag": ["lock_doors"], "controls": [{"control": "door", "parameter": 0}]}, replies=(0x0500,), words=("vehicle",)),
    0x8600: Command(
        {"action": "update", "areas": [{"id": 1, **_POSITION, "radius_m": 500, **_LIMITS, "name": "站场"}]}, words=("circles",)
    ),
    0x8601: Command({"ids": [1]}),
    0x8602: Command(
        {
            "action": "update",
            "areas": [{"id": 2, "top_lat": 31.3, "left_lon": 121.4, "bottom_lat": 31.2, "right_lon": 121.5, **_LIMITS, "name": "市区"}],
        },
        words=("rectangles",),
    ),
    0x8603: Command({"ids": [2]}),
    0x8604: Command({"id": 3, **_LIMITS, "vertices": _SQUARE, "name": "园区"}, words=("polygon",)),
    0x8605: Command({"ids": [3]}),
    0x8606: Command(
        {
            "id": 4,
            "start": "08:00:00",
            "stop": "20:00:00",
            "points": [{"point_id": n, "segment_id": n, **each, **_SEGMENT} for n, each in enumerate(_SQUARE, 1)],
            "name": "71路",
        },
        words=("route",),
    ),
    0x8607: Command({"ids": [4]}),
    0x8608: Command({"kind": "circle"}, replies=(0x0608,), words=("areas",)),
    0x8700: Command({"command": 0x00}, replies=(0x0700,), words=("recorder",)),
    0x8701: Command({"command": 0x83, "block": {"data": {"time": "2026-11-24T08:00:00"}}}),
    0x8702: Command(replies=(0x0702,), words=("driver",)),
    0x8801: Command(_SHOT, replies=(0x0805,), words=("photo",), usual=tuple(_SHOT)),
    0x8802: Command(_MEDIA, replies=(0x0802,), usual=("type", "channel", "event")),
    0x8803: Command(_MEDIA | {"delete": "keep"}, usual=("type", "channel", "event", "delete")),
    0x8804: Command({"command": "start", "time_s": 5, "save": "upload", "rate": "8_khz"}, usual=("command", "save", "rate")),
    0x8805: Command({"media_id": 1, "delete": "keep"}, usual=("delete",)),
    0x8900: Command({"subtype": 0xF0, "data": "0102", "total_length": 2}, later=(0x0900,), words=("passthrough",)),
    0x8A00: Command({"e": 65537, "n": "ab" * 128}, later=(0x0A00,)),
    0x9003: Command(replies=(0x1003,)),
    0x9101: Command(
        _ADDRESS | {"channel": 1, "kind": "video", "stream": "sub"}, words=("live",), usual=("udp_port", "channel", "kind", "stream")
    ),
    0x9102: Command({"channel": 1, "control": "close", "close": "audio_and_video", "stream": "main"}),
    0x9105: Command({"channel": 1, "loss_percent": 3}),
    0x9201: Command(
        _ADDRESS | {"channel": 1, "kind": "audio_and_video", "stream": "main", "store": "any", "mode": "normal", "speed": "1x", **_NIGHT},
        replies=(0x1205,),
        words=("playback",),
    ),
    0x9202: Command({"channel": 1, "control": "end", "speed": "none", "position": None}),
    0x9205: Command(_RECORDED, replies=(0x1205,), words=("recordings",)),
    0x9206: Command(
        {"address": "10.0.0.1", "port": 21, "user": "ftp", "password": "ftp", "path": "/", **_RECORDED, "conditions": ["wifi"]},
        later=(0x1206,),
    ),
    0x9207: Command({"reply_serial": 1, "control": "cancel"}),
    0x9301: Command({"channel": 1, "direction": "left", "speed": 10}),
    0x9302: Command({"channel": 1, "focus": "larger"}),
    0x9303: Command({"channel": 1, "aperture": "larger"}),
    0x9304: Command({"channel": 1, "wiper": "start"}),
    0x9305: Command({"channel": 1, "infrared": "start"}),
    0x9306: Command({"channel": 1, "zoom": "larger"}),
    0x9208: Command(
        _ADDRESS
        | {
            "mark": {"terminal_id": "SIM0001", "time": "2026-11-24T08:00:00", "sequence": 1, "attachments": 1},
            "alarm_number": "A0001",
        },
        words=("attachments",),
    ),
}
"""The commands by message id."""

ANSWERS: Final[Mapping[int, tuple[int, ...]]] = {
    reply: tuple(number for number, command in COMMANDS.items() if reply in command.replies + command.later)
    for reply in sorted({each for command in COMMANDS.values() for each in command.replies + command.later})
}
"""Reply id → the commands it may answer."""


def ready() -> dict[int, Command]:
    """The commands whose body is declared."""
    return {number: command for number, command in COMMANDS.items() if MESSAGES[number].supported}


def command_named(word: str) -> int | None:
    """The message id of a command by its name (`set_parameters`, `set-parameters`), a short name, or its number (`0x8103`)."""
    plain = word.strip().lower().replace("-", "_")
    for number, command in ready().items():
        if plain in {MESSAGES[number].name, f"0x{number:04x}", f"{number:04x}", *command.words}:
            return number
    return None


def objection(message_id: int, fields: Mapping[str, Any]) -> str | None:
    """Why no edition can make a command of these fields, or None."""
    why = None
    for edition in reversed(range(len(EDITIONS))):
        try:
            build(message_id, edition, fields)
        except ProtocolError as error:
            why = why or error.why
        else:
            return None
    return why


def fields_read(message_id: int, fields: Mapping[str, Any]) -> list[str]:
    """The names of the fields that the command has in the editions that can be made of these."""
    names: dict[str, None] = {}
    for edition in range(len(EDITIONS)):
        with suppress(ProtocolError):
            names |= dict.fromkeys(parse(message_id, edition, build(message_id, edition, fields)))
    return list(names)


def ends(message_id: int, result: int) -> bool:
    """Whether a 0x0001 with this result ends the waiting for the answer to `message_id`."""
    command = COMMANDS.get(message_id)
    return result != 0 or command is None or not command.replies
