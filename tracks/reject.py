"""`RejectBatch`: what could not be kept as a fix, with its bytes and the reason; the table `quarantine` follows this list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracks.batch import Batch, column
from tracks.spans import Spans


@dataclass(frozen=True, slots=True)
class RejectBatch(Batch):
    """One row per refused frame, or refused part of a frame."""

    frame: NDArray[np.int32] = column("int32", "", "row of the frame batch it came in (lineage, not stored)")
    received_us: NDArray[np.int64] = column("int64", "µs since 1970 UTC", "when the bytes reached the gateway")
    terminal_id: NDArray[np.int64] = column("int64", "", "the registry's key of the terminal, or absent")
    message_id: NDArray[np.int32] = column("int32", "", "message id, or absent when the header could not be read")
    reason: NDArray[np.uint8] = column("uint8", "", "Reject; its word is stored")
    source: NDArray[np.uint8] = column("uint8", "", "door it came through, position in SOURCES")
    origin: Spans = column(None, "", "where they came from, as text: a topic, or the address of a connection; empty when unknown")
    raw: Spans = column(None, "", "the refused bytes as they came")
