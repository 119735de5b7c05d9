"""The mirror of `fixes`: general responses (0x8001) for a whole batch, as frames on the wire.

A receipt has one shape per header form, so a batch of them is at most two tables of bytes: fill the columns, sum the rows, escape once.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols.adapters import write_phone
from protocols.columnar import Layout
from protocols.jt808.framing import escape
from protocols.jt808.header import HEADER_2013_LAYOUT, HEADER_2019_LAYOUT, V2019, VERSION_BIT
from protocols.jt808.messages.session import GENERAL_RESPONSE
from tracks.spans import Spans

PLATFORM_GENERAL_RESPONSE: Final = 0x8001

_BODY: Final = Layout.of(GENERAL_RESPONSE)


def general_responses(  # noqa: PLR0917 - columns of one table
    edition: NDArray[np.uint8],
    phone_high: NDArray[np.uint64],
    phone_low: NDArray[np.uint64],
    serial: NDArray[np.uint16],
    reply_serial: NDArray[np.uint16],
    reply_id: NDArray[Any],
    result: NDArray[np.uint8],
    *,
    protocol_version: ArrayLike = 1,
) -> Spans:
    """One whole frame per row, in the header form of the terminal it goes to (`edition`, position in EDITIONS).

    `serial` is the platform's own number; `reply_serial` and `reply_id` are those of the frame that is answered.
    """
    columns: dict[str, NDArray[Any]] = {
        "phone_high": phone_high,
        "phone_low": phone_low,
        "serial": serial,
        "reply_serial": reply_serial,
        "reply_id": reply_id,
        "result": result,
        "protocol_version": np.broadcast_to(np.asarray(protocol_version, np.uint8), edition.shape),
    }
    modern = edition == V2019
    if modern.all() or not modern.any():
        return _frames(HEADER_2019_LAYOUT if modern.any() else HEADER_2013_LAYOUT, columns)
    old, new = np.flatnonzero(~modern), np.flatnonzero(modern)
    both = Spans.concat(
        [
            _frames(layout, {name: value[rows] for name, value in columns.items()})
            for layout, rows in ((HEADER_2013_LAYOUT, old), (HEADER_2019_LAYOUT, new))
        ]
    )
    return both.take(np.argsort(np.concatenate((old, new))))


def _frames(header: Layout, columns: dict[str, NDArray[Any]]) -> Spans:
    """The frames of rows that share a header form."""
    count = len(columns["serial"])
    # room for the flags at both ends
    shape = np.dtype([("open", "u1"), ("header", header.dtype), ("body", _BODY.dtype), ("checksum", "u1"), ("close", "u1")])
    table = np.zeros(count, shape)
    head, body = table["header"], table["body"]
    head["message_id"] = PLATFORM_GENERAL_RESPONSE
    head["attributes"] = _BODY.itemsize
    if header is HEADER_2019_LAYOUT:
        head["attributes"] |= VERSION_BIT
        head["protocol_version"] = columns["protocol_version"]
    write_phone(head["phone"], columns["phone_high"], columns["phone_low"])
    head["serial"] = columns["serial"]
    for name in _BODY.column_of:
        body[name] = columns[name]
    octets = table.view(np.uint8).reshape(count, shape.itemsize)
    table["checksum"] = np.bitwise_xor.reduce(octets, axis=1)
    start = np.arange(count, dtype=np.int64) * shape.itemsize
    return escape(Spans(octets.ravel(), start, start + shape.itemsize))
