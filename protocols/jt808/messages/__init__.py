"""The messages: `MESSAGES` by id, `parse` and `build` for their bodies, `encode` for a whole frame.

Importing this package imports every chapter, and importing a chapter declares its messages.
"""

from protocols.jt808.header import encode
from protocols.jt808.messages import location, session
from protocols.jt808.messages.registry import MESSAGES, Message, build, parse

__all__ = ["MESSAGES", "Message", "build", "encode", "location", "parse", "session"]
