"""What became of a frame, and why one was refused.

Verdicts are ordered so that the verdict of a frame is the `max` of its parts; `REPLY_RESULT` is the one table from verdict to wire.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Verdict(IntEnum):
    """What became of a frame; worse is larger. RETRY is worst: the terminal must send the frame again."""

    COMMITTED = 0
    """Stored, or a repeat of what is stored, or nothing to store: answered with result 0."""
    UNSUPPORTED = 1
    """A message id that we know of but do nothing with; its bytes are kept."""
    FAILED = 2
    """Understood and declined: wrong authentication code, or not logged in."""
    REJECTED = 3
    """The frame is broken; its bytes are in quarantine with the reason."""
    SILENT = 4
    """Nothing may be answered: the frame's own header cannot be trusted, or the message takes no answer."""
    RETRY = 5
    """Not stored this time; silence makes the terminal send it again."""


REPLY_RESULT: Final = {Verdict.COMMITTED: 0, Verdict.FAILED: 1, Verdict.REJECTED: 2, Verdict.UNSUPPORTED: 3}
"""Result byte of 0x8001 (JT/T 808-2019 §8.2, table 5); a verdict that is not here is answered by silence."""


class Reject(IntEnum):
    """Why a frame, or a part of one, was not kept. The lower-case name is the public word."""

    NONE = 0
    CHECKSUM = 1
    TRUNCATED = 2
    LENGTH_MISMATCH = 3
    BAD_ESCAPE = 4
    UNKNOWN_MESSAGE = 5
    BAD_FIELD = 6
    OVERSIZE = 7
    BAD_SUBPACKAGE = 8
    ENCRYPTED = 9
    NOT_AUTHENTICATED = 10
    UNKNOWN_TERMINAL = 11
    UNSUPPORTED = 12
    UNSTORABLE = 13

    @property
    def word(self) -> str:
        """The word used in JSON, logs, metrics and the quarantine table."""
        return self.name.lower()
