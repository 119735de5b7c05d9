"""Chapter 8.1 to 8.8: responses, heartbeat, registration, authentication, time."""

from __future__ import annotations

from construct import Int8ub, Int16ub, Struct

GENERAL_RESPONSE = Struct("reply_serial" / Int16ub, "reply_id" / Int16ub, "result" / Int8ub)
