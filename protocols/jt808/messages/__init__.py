"""The messages: `MESSAGES` by id, `parse` and `build` for their bodies, `encode` for a whole frame.

Importing this package imports every chapter, and importing a chapter declares its messages.
"""

from protocols.jt808.header import encode
from protocols.jt808.messages import (
    areas,
    control,
    driver,
    location,
    media,
    parameters,
    passthrough,
    recorder,
    session,
    subiao,
    texts,
    trackers,
    vehicle,
    video,
)
from protocols.jt808.messages.registry import MESSAGES, Message, build, parse

__all__ = [
    "MESSAGES",
    "Message",
    "areas",
    "build",
    "control",
    "driver",
    "encode",
    "location",
    "media",
    "parameters",
    "parse",
    "passthrough",
    "recorder",
    "session",
    "subiao",
    "texts",
    "trackers",
    "vehicle",
    "video",
]
