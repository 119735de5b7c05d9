"""The hot path: location reports of a frame batch as one `FixBatch`.

0x0200 is one report; 0x0201 and 0x0500 carry one behind a serial number (a 2011 terminal's 0x0201 has none); 0x0704 is a run of them.
First every report becomes a span (`walk` for 0x0704), then all spans are one `cast`, and their additional items one `walk` and a few
`spread`s. A report that is too short is refused by itself: the other reports of its 0x0704 stand (quirk D19), and a bad item never
harms its fix (quirk D9).
Meaning is a handful of ufunc lines (`position`, `dating`) that serve one value and a million alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from construct import Struct
from numpy.typing import NDArray

from protocols.adapters import micros
from protocols.columnar import Column, Layout, spread, walk
from protocols.jt808.alarms import alarms, alarms_of
from protocols.jt808.frames import FrameBatch
from protocols.jt808.messages.items import ITEMS
from protocols.jt808.messages.location import LOCATION_LAYOUT, POSITIONED, SERIAL_BYTES, SOUTH, WEST, replies_with_serial
from tracks.fix import ABSENT, SOURCES, FixBatch, digest64
from tracks.reject import RejectBatch
from tracks.spans import Index, Mask, Spans
from tracks.verdict import Reject

LOCATION_REPORT, LOCATION_REPLY, VEHICLE_REPLY, LOCATION_BATCH = 0x0200, 0x0201, 0x0500, 0x0704
CARRIERS: Final = (LOCATION_REPORT, LOCATION_REPLY, VEHICLE_REPLY, LOCATION_BATCH)
"""The messages that carry location reports."""

GMT8_S: Final = 8 * 3600
"""The standard's clock (JT/T 808-2013 §8.18: times are GMT+8)."""

LOCATION_BYTES: Final = LOCATION_LAYOUT.itemsize
BATCH_HEAD_BYTES: Final = 3
"""Count and kind before the reports of a 0x0704."""
LENGTH_BYTES: Final = 2
"""The length word before each of its reports."""
STORED_OFFLINE: Final = 1
"""Kind of a 0x0704 whose reports the terminal kept while it had no link."""
YEAR_2001_S: Final = 978_307_200

_ITEM_LAYOUTS: Final = {item_id: Layout.of(Struct("value" / ITEMS[item_id].forms[0])) for item_id in (0x01, 0x30, 0x31)}


def fixes(frames: FrameBatch, rows: Index, received_us: NDArray[np.int64], *, time_zone_s: int = GMT8_S) -> tuple[FixBatch, RejectBatch]:
    """The fixes that the frames at `rows` carry, and what of them could not be read.

    `rows` are frames whose message id is one of CARRIERS; `received_us` has one entry per frame of the batch.
    A fix without a real date of its own takes the time of receipt. The registry's keys are left ABSENT for the gateway to fill.
    """
    reports, parts, whole = _reports(frames, rows)
    short = reports.spans.length < LOCATION_BYTES
    if short.any():
        alone = short & (frames.message_id[reports.frame] != LOCATION_BATCH)
        whole = np.concatenate((whole, reports.frame[alone]))
        parts = _Reports.concat((parts, reports.take(short & ~alone)))
        reports = reports.take(~short)
    found = _decoded(reports, received_us[reports.frame], time_zone_s)
    secret = (frames.encryption[found.frame] != 0) & ~(found.dated & _on_earth(found.lat, found.lon))
    if secret.any():
        whole = np.concatenate((whole, np.unique(reports.frame[secret])))
        found = found.take(~secret)
    if len(whole) == 0 and len(parts.frame) == 0:
        return found, RejectBatch.empty()
    return found, _refused(frames, parts, whole, received_us)


def with_alarms(stored: FixBatch) -> FixBatch:
    """Fixes that come from the table, with the alarms that their reports' items tell: columns that are not stored, for `raw` is."""
    rows = np.flatnonzero((stored.source == SOURCES.index("jt808")) & (stored.raw.length >= LOCATION_BYTES))
    told = alarms_of(stored.raw.take(rows))
    columns = {name: getattr(stored, name).copy() for name in told}
    for name, column in told.items():
        columns[name][rows] = column
    return replace(stored, **columns)


def position(lat: Column, lon: Column, status: Column) -> tuple[Column, Column, Mask]:
    """Latitude and longitude with their signs, and whether they are a position.

    The hemisphere bits turn positive values only: some senders write negative numbers, with the bits or without (quirk D5).
    """
    lat = np.where((status & SOUTH != 0) & (lat > 0), -lat, lat)
    lon = np.where((status & WEST != 0) & (lon > 0), -lon, lon)
    valid = (status & POSITIONED != 0) & _on_earth(lat, lon)
    return lat, lon, valid


def dating(wall: Column, status: Column) -> Mask:
    """Whether a time of the terminal's is a real date; before its first fix a clock that starts in the year 2000 is none (quirk D1)."""
    seconds = np.asarray(wall, "datetime64[s]").view(np.int64)
    real: Mask = (seconds >= YEAR_2001_S) | ((seconds > 0) & (status & POSITIONED != 0))
    return real


def _on_earth(lat: Column, lon: Column) -> Mask:
    inside: Mask = (np.abs(lat) <= 90) & (np.abs(lon) <= 180)  # noqa: PLR2004 - the globe
    return inside


def _decoded(reports: _Reports, received_us: NDArray[np.int64], zone_s: int) -> FixBatch:
    """One fix per report; every report is long enough."""
    spans = reports.spans
    count = len(spans)
    base = LOCATION_LAYOUT.cast(spans.buffer, spans.start)
    lat, lon, valid = position(base["lat"], base["lon"], base["status"])
    dated = dating(base["time"], base["status"])
    items = _items(spans)
    return FixBatch(
        frame=reports.frame.astype(np.int32),
        terminal_id=np.full(count, ABSENT, np.int64),
        vehicle_id=np.full(count, ABSENT, np.int64),
        time_us=np.where(dated, micros(base["time"], zone_s), received_us),
        dated=dated,
        lat=lat,
        lon=lon,
        altitude_m=base["altitude_m"].astype(np.float32),
        speed_kmh=base["speed_kmh"].astype(np.float32),
        course_deg=base["course_deg"].astype(np.float32),
        valid=valid,
        alarm_bits=base["alarm"],
        status_bits=base["status"],
        raised=items["raised"],
        cleared=items["cleared"],
        place=items["place"],
        mileage_km=items["mileage_km"],
        satellites=items["satellites"],
        signal=items["signal"],
        source=np.full(count, SOURCES.index("jt808"), np.uint8),
        backfill=reports.backfill,
        received_us=received_us,
        quality=np.zeros(count, np.uint16),
        digest=digest64(spans),
        raw=spans,
    )


def _items(reports: Spans) -> dict[str, Column]:
    """The additional items that have a column of their own; the first of its id that has the right length counts."""
    columns: dict[str, Column] = {
        "mileage_km": np.full(len(reports), np.nan),
        "satellites": np.full(len(reports), ABSENT, np.int16),
        "signal": np.full(len(reports), ABSENT, np.int16),
    }
    walked = walk(Spans(reports.buffer, reports.start + LOCATION_BYTES, reports.stop), id_bytes=1, length_bytes=1)
    ids, length = reports.buffer[walked.begin], walked.values.length
    for item_id, layout in _ITEM_LAYOUTS.items():
        chosen = np.flatnonzero((ids == item_id) & (length == layout.itemsize))
        if len(chosen):
            values = layout.cast(reports.buffer, walked.values.start[chosen])["value"]
            spread(values, walked.parent[chosen], into=columns[ITEMS[item_id].name])
    return columns | alarms(walked, ids, len(reports))


@dataclass(frozen=True, slots=True)
class _Reports:
    """Bytes of location reports, the frame each is in, and whether it was stored while offline."""

    frame: Index
    spans: Spans
    backfill: Mask

    def take(self, rows: Index | Mask) -> _Reports:
        return _Reports(self.frame[rows], self.spans.take(rows), self.backfill[rows])

    @staticmethod
    def concat(parts: Sequence[_Reports]) -> _Reports:
        """All parts in order; they lie in one buffer."""
        return _Reports(
            np.concatenate([part.frame for part in parts]),
            Spans(
                parts[0].spans.buffer,
                np.concatenate([part.spans.start for part in parts]),
                np.concatenate([part.spans.stop for part in parts]),
            ),
            np.concatenate([part.backfill for part in parts]),
        )


def _reports(frames: FrameBatch, rows: Index) -> tuple[_Reports, _Reports, Index]:
    """The reports of these frames; the ends of 0x0704 bodies that no report fits; frames that promise reports and have none."""
    batched = frames.message_id[rows] == LOCATION_BATCH
    if not batched.any():
        single = _singles(frames, rows)
        return single, single.take(rows[:0]), rows[:0]
    several, torn, hollow = _batches(frames, rows[batched])
    if batched.all():
        return several, torn, hollow
    return _Reports.concat((_singles(frames, rows[~batched]), several)), torn, hollow


def _singles(frames: FrameBatch, rows: Index) -> _Reports:
    """The one report of each frame."""
    ids, body = frames.message_id[rows], frames.body.take(rows)
    skip = np.where(ids == VEHICLE_REPLY, SERIAL_BYTES, 0)
    replies = np.flatnonzero(ids == LOCATION_REPLY)
    if len(replies):
        skip[replies] = np.where(replies_with_serial(body.take(replies)), SERIAL_BYTES, 0)
    start = np.minimum(body.start + skip, body.stop)
    return _Reports(rows, Spans(body.buffer, start, body.stop), np.zeros(len(rows), np.bool_))


def _batches(frames: FrameBatch, rows: Index) -> tuple[_Reports, _Reports, Index]:
    """The reports of 0x0704 frames, in the order of their bytes; the count is not believed (quirk D19), what is there counts."""
    headed = frames.body.length[rows] >= BATCH_HEAD_BYTES
    headless, rows = rows[~headed], rows[headed]
    body = frames.body.take(rows)
    buffer, begin = body.buffer, body.start + BATCH_HEAD_BYTES
    run = walk(Spans(buffer, begin, body.stop), id_bytes=0, length_bytes=LENGTH_BYTES)
    order = np.argsort(run.begin, kind="stable")
    parent = run.parent[order]
    backfill = buffer[begin - 1] == STORED_OFFLINE
    torn = body.stop - run.end >= LENGTH_BYTES
    promised = buffer[body.start].astype(np.int64) + buffer[body.start + 1]
    hollow = (np.bincount(parent, minlength=len(rows)) == 0) & ~torn & (promised > 0)
    return (
        _Reports(rows[parent], run.values.take(order), backfill[parent]),
        _Reports(rows[torn], Spans(buffer, run.end[torn] + LENGTH_BYTES, body.stop[torn]), backfill[torn]),
        np.concatenate((headless, rows[hollow])),
    )


def _refused(frames: FrameBatch, parts: _Reports, whole: Index, received_us: NDArray[np.int64]) -> RejectBatch:
    """Refused parts of 0x0704 bodies with their length words, neighbours as one row; and frames refused as a whole.

    One row for neighbours keeps a body of zero-length reports from becoming five hundred rows.
    """
    order = np.argsort(parts.spans.start, kind="stable")
    begin, stop, frame = parts.spans.start[order] - LENGTH_BYTES, parts.spans.stop[order], parts.frame[order]
    opens = np.ones(len(begin), np.bool_)
    opens[1:] = begin[1:] != stop[:-1]
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(begin))[: len(first)] - 1
    pieces = Spans(parts.spans.buffer, begin[first], stop[last]).packed()
    row = np.concatenate((whole, frame[first]))
    return RejectBatch(
        frame=row.astype(np.int32),
        received_us=received_us[row],
        terminal_id=np.full(len(row), ABSENT, np.int64),
        message_id=frames.message_id[row],
        reason=np.where(frames.encryption[row] != 0, Reject.ENCRYPTED, Reject.TRUNCATED).astype(np.uint8),
        source=np.full(len(row), SOURCES.index("jt808"), np.uint8),
        origin=Spans.blank(len(row)),
        raw=Spans.concat((frames.raw.take(whole).packed(), pieces)),
    )
