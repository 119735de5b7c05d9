"""What the scalar doors raise. Column code never raises for a bad row: it writes the same `Reject` reason into a column."""

from __future__ import annotations

from tracks.verdict import Reject


class ProtocolError(ValueError):
    """Bytes that break the protocol, with the reason that a bad row of a batch would carry."""

    def __init__(self, reason: Reject, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why


class Oversize(ProtocolError):  # noqa: N818 - named for what is wrong
    """A peer sends on and on without ending a frame."""

    def __init__(self, why: str) -> None:
        super().__init__(Reject.OVERSIZE, why)


class NotFixedWidth(TypeError):  # noqa: N818 - named for what is wrong
    """A declaration that no column layout can follow; it stays with construct."""
