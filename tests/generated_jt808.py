"""Hypothesis strategies for JT/T 808: location reports, frames, and streams that are good, bent and broken."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from protocols.jt808 import messages
from protocols.jt808.header import V2013, V2019

EDITIONS = st.sampled_from([V2013, V2019])
WORDS = st.integers(0, 0xFFFF)
DWORDS = st.integers(0, 0xFFFF_FFFF)
WALL_TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31, 23, 59, 59)).map(lambda when: when.replace(microsecond=0))  # noqa: DTZ001 - a wall clock


@st.composite
def terminals(draw: st.DrawFn, edition: int) -> str:
    return draw(st.text("0123456789abcdef", min_size=1, max_size=20 if edition == V2019 else 12))


PLACE_IDS = st.sampled_from([bytes(4), b"\0\0\0\7", b"\xff\xff\xff\xff"])


@st.composite
def tyre_alarms(draw: st.DrawFn) -> bytes:
    """A 0x66 of either width; its count may lie."""
    head, tyre = draw(st.sampled_from([(40, 9), (64, 10)]))
    tyres = draw(st.integers(0, 3))
    count = draw(st.sampled_from([tyres, tyres, tyres, 0, 255]))
    flag = draw(st.integers(0, 3))
    at = tyre - 8
    words = [bytes(at) + draw(st.sampled_from([bytes(2), b"\0\1", b"\0\2", b"\xff\xff"])) + bytes(6) for _ in range(tyres)]
    return bytes([0, 0, 0, 9, flag]) + bytes(head - 5) + bytes([count]) + b"".join(words)


ALARM_ITEMS = st.one_of(
    st.tuples(st.sampled_from([0x11, 0x12, 0x13]), st.builds(lambda kind, place: bytes([kind]) + place, st.integers(0, 5), PLACE_IDS)),
    st.tuples(st.just(0x11), st.binary(min_size=1, max_size=1)),
    st.tuples(st.just(0x12), st.builds(lambda kind, to, place: bytes([kind]) + place + bytes([to]), *[st.integers(0, 4)] * 2, PLACE_IDS)),
    st.tuples(st.just(0x13), st.builds(lambda place, end: place + end, PLACE_IDS, st.binary(min_size=3, max_size=4))),
    st.tuples(st.integers(0x14, 0x18), st.binary(min_size=1, max_size=5)),
    st.tuples(
        st.sampled_from([0x64, 0x65, 0x67]),
        st.builds(
            lambda flag, kind, rest: bytes([0, 0, 0, 9, flag, kind]) + bytes(rest),
            st.integers(0, 3), st.integers(0, 255), st.sampled_from([35, 41, 65, 59, 40]),
        ),
    ),
    st.tuples(st.just(0x66), tyre_alarms()),
).map(lambda pair: {"id": pair[0], "value": pair[1]})  # fmt: skip
"""Items that tell alarms, mostly of a length that is known."""

ITEMS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "id": st.one_of(st.sampled_from([0x01, 0x30, 0x31]), st.integers(0, 255)),
                "value": st.one_of(st.binary(max_size=1), st.binary(min_size=4, max_size=4), st.binary(max_size=60)),
            }
        ),
        ALARM_ITEMS,
    ),
    max_size=8,
)
"""Additional items, often those that have a column, often of a wrong length, often repeated."""

LOCATIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "alarm": DWORDS,
        "status": st.one_of(st.integers(0, 15), DWORDS),
        "lat": st.one_of(st.integers(-90_000_000, 90_000_000), st.integers(-(2**31), 2**31 - 1)).map(lambda micro: micro / 1_000_000),
        "lon": st.one_of(st.integers(-180_000_000, 180_000_000), st.integers(-(2**31), 2**31 - 1)).map(lambda micro: micro / 1_000_000),
        "altitude_m": st.integers(-0x8000, 0x7FFF),
        "speed_kmh": WORDS.map(lambda tenths: tenths / 10),
        "course_deg": WORDS,
        "time": st.one_of(WALL_TIMES, st.none()),
        "items": ITEMS,
        "rest": st.sampled_from([b"", b"\x8c", b"\x01\x04\x00"]),
    }
)
"""Fields of 0x0200; half of the positions lie on Earth."""

LOCATION_BODIES = LOCATIONS.map(lambda fields: messages.build(0x0200, V2013, fields))
REPORTS = st.one_of(LOCATION_BODIES, st.binary(min_size=28, max_size=90), st.binary(max_size=40))
"""What may stand where a location report should: a report, any bytes long enough, bytes too short."""


@st.composite
def batches(draw: st.DrawFn) -> bytes:
    """A 0x0704 body: its count and its last length may lie."""
    reports = draw(st.lists(st.one_of(REPORTS, st.just(b"")), max_size=6))
    count = draw(st.one_of(st.just(len(reports)), WORDS))
    body = count.to_bytes(2, "big") + draw(st.sampled_from([b"\x00", b"\x01"]))
    body += b"".join(len(report).to_bytes(2, "big") + report for report in reports)
    return (body + draw(st.sampled_from([b"", b"\x00", b"\xff\xff", b"\x00\x40\x01"])))[:1023]


CARRIED = st.one_of(
    st.tuples(st.just(0x0200), REPORTS),
    st.tuples(st.just(0x0201), REPORTS),
    st.tuples(st.just(0x0201), REPORTS.map(lambda report: b"\x00\x07" + report)),
    st.tuples(st.just(0x0500), REPORTS.map(lambda report: b"\x00\x07" + report)),
    st.tuples(st.just(0x0704), batches()),
)
"""Message id and body of messages that carry location reports."""

BODIES = st.one_of(CARRIED, st.tuples(WORDS, st.binary(max_size=60)))


@st.composite
def wires(draw: st.DrawFn, bodies: st.SearchStrategy[tuple[int, bytes]] = BODIES) -> bytes:
    """One sound frame on the wire."""
    message_id, body = draw(bodies)
    edition = draw(EDITIONS)
    total = draw(st.sampled_from([0, 0, 0, 1, 3]))
    index = draw(st.integers(0, total + 1)) if total else 0
    return messages.encode(message_id, draw(terminals(edition)), draw(WORDS), body, edition, total=total, index=index)


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A frame with a byte changed, put in or cut out, flags and escapes before all."""
    wire = bytearray(draw(wires()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(wire) - 1))
        wire[at : at + draw(st.integers(0, 2))] = draw(
            st.one_of(st.sampled_from([b"", b"\x7e", b"\x7d", b"\x7d\x01"]), st.binary(max_size=2))
        )
        if not wire:
            break
    return bytes(wire)


CHUNKS = st.lists(st.one_of(wires(), bent(), st.binary(max_size=80), st.just(b"\x7e")), max_size=6).map(b"".join)
"""What one connection may deliver at once."""
