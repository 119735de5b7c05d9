"""The signalling of video (JT/T 1078-2016): what is asked for and answered over JT/T 808; the streams themselves travel elsewhere."""

from __future__ import annotations

from typing import Final

from construct import Int8ub, Int16ub, Int32ub, Int64ub, Struct

from protocols.adapters import BcdTime, Bits
from protocols.jt808.messages.items import VIDEO_ALARMS
from protocols.jt808.messages.location import ALARMS
from protocols.jt808.messages.registry import declare
from protocols.jt808.messages.session import EMPTY
from protocols.parts import Coded, Count, Several
from protocols.text import CountedText

CODECS: Final = {
    6: "g711a",
    7: "g711u",
    8: "g726",
    19: "aac",
    26: "adpcm",
    98: "h264",
    99: "h265",
    100: "avs",
}
STREAMS: Final = {0: "main", 1: "sub"}
MEDIA_KINDS: Final = {0: "audio_and_video", 1: "audio", 2: "video", 3: "video_or_both"}
LIVE_KINDS: Final = {0: "audio_and_video", 1: "video", 2: "talk", 3: "listen", 4: "broadcast", 5: "transparent"}
STORES: Final = {0: "any", 1: "main", 2: "backup"}

_ADDRESS: Final = "address" / CountedText()
_PORTS: Final = ("tcp_port" / Int16ub, "udp_port" / Int16ub)
_CHANNEL: Final = "channel" / Int8ub
_STREAM: Final = "stream" / Coded(Int8ub, STREAMS)
_WINDOW: Final = ("start" / BcdTime(), "end" / BcdTime())
_RECORDED: Final = (
    # one word of 64 bits: those of location reports, then those of item 0x14 (older senders had four bytes, quirk G10)
    "alarms" / Bits(Int64ub, (*ALARMS, *VIDEO_ALARMS)),
    "kind" / Coded(Int8ub, MEDIA_KINDS),
    _STREAM,
    "store" / Coded(Int8ub, STORES),
)

declare(0x9003, EMPTY)
declare(
    0x1003,
    Struct(
        "audio_codec" / Coded(Int8ub, CODECS),
        "audio_channels" / Int8ub,
        "sample_rate" / Coded(Int8ub, {0: "8_khz", 1: "22.05_khz", 2: "44.1_khz", 3: "48_khz"}),
        "sample_bits" / Coded(Int8ub, {0: "8", 1: "16", 2: "32"}),
        "audio_frame_bytes" / Int16ub,
        "audio_output" / Int8ub,
        "video_codec" / Coded(Int8ub, CODECS),
        "audio_channels_max" / Int8ub,
        "video_channels_max" / Int8ub,
    ),
)
declare(0x1005, Struct(*_WINDOW, "boarded" / Int16ub, "alighted" / Int16ub))

declare(0x9101, Struct(_ADDRESS, *_PORTS, _CHANNEL, "kind" / Coded(Int8ub, LIVE_KINDS), _STREAM))
declare(
    0x9102,
    Struct(
        _CHANNEL,
        "control" / Coded(Int8ub, {0: "close", 1: "switch_stream", 2: "pause", 3: "resume", 4: "end_talk"}),
        "close" / Coded(Int8ub, {0: "audio_and_video", 1: "audio", 2: "video"}),
        _STREAM,
    ),
)
declare(0x9105, Struct(_CHANNEL, "loss_percent" / Int8ub))

PLAYBACK_MODES: Final = {0: "normal", 1: "fast_forward", 2: "key_frames_back", 3: "key_frames", 4: "single_frame"}
PLAYBACK_SPEEDS: Final = {0: "none", 1: "1x", 2: "2x", 3: "4x", 4: "8x", 5: "16x"}
declare(
    0x9201,
    Struct(
        _ADDRESS,
        *_PORTS,
        _CHANNEL,
        "kind" / Coded(Int8ub, MEDIA_KINDS),
        _STREAM,
        "store" / Coded(Int8ub, STORES),
        "mode" / Coded(Int8ub, PLAYBACK_MODES),
        "speed" / Coded(Int8ub, PLAYBACK_SPEEDS),
        *_WINDOW,
    ),
)
PLAYBACK_CONTROLS: Final = {
    0: "start",
    1: "pause",
    2: "end",
    3: "fast_forward",
    4: "key_frames_back",
    5: "drag",
    6: "key_frames",
}
declare(
    0x9202,
    Struct(
        _CHANNEL,
        "control" / Coded(Int8ub, PLAYBACK_CONTROLS),
        "speed" / Coded(Int8ub, PLAYBACK_SPEEDS),
        "position" / BcdTime(),
    ),
)
declare(0x9205, Struct(_CHANNEL, *_WINDOW, *_RECORDED))
declare(
    0x1205,
    Struct(
        "reply_serial" / Int16ub,
        "count" / Count(Int32ub, "recordings"),
        "recordings" / Several(Struct(_CHANNEL, *_WINDOW, *_RECORDED, "bytes" / Int32ub)),
    ),
)
declare(
    0x9206,
    Struct(
        _ADDRESS,
        "port" / Int16ub,
        "user" / CountedText(),
        "password" / CountedText(),
        "path" / CountedText(),
        _CHANNEL,
        *_WINDOW,
        *_RECORDED,
        "conditions" / Bits(Int8ub, ("wifi", "lan", "cellular")),
    ),
)
declare(0x1206, Struct("reply_serial" / Int16ub, "result" / Coded(Int8ub, {0: "ok", 1: "failed"})))
declare(0x9207, Struct("reply_serial" / Int16ub, "control" / Coded(Int8ub, {0: "pause", 1: "resume", 2: "cancel"})))

LARGER: Final = {0: "larger", 1: "smaller"}
SWITCH: Final = {0: "stop", 1: "start"}
declare(
    0x9301,
    Struct(_CHANNEL, "direction" / Coded(Int8ub, {0: "stop", 1: "up", 2: "down", 3: "left", 4: "right"}), "speed" / Int8ub),
)
declare(0x9302, Struct(_CHANNEL, "focus" / Coded(Int8ub, LARGER)))
declare(0x9303, Struct(_CHANNEL, "aperture" / Coded(Int8ub, LARGER)))
declare(0x9304, Struct(_CHANNEL, "wiper" / Coded(Int8ub, SWITCH)))
declare(0x9305, Struct(_CHANNEL, "infrared" / Coded(Int8ub, SWITCH)))
declare(0x9306, Struct(_CHANNEL, "zoom" / Coded(Int8ub, LARGER)))
