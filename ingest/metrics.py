"""Metrics, named for the questions people ask; the only importer of prometheus_client.

With several workers each process keeps its numbers in a file of a shared folder (PROMETHEUS_MULTIPROC_DIR, set by the
supervisor before a worker starts), and whoever serves `/metrics` adds them up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from tracks.fix import SOURCES
from tracks.verdict import Reject

if TYPE_CHECKING:  # the supervisor and the window count and show; what a gateway is made of they need not read
    from ingest.pipeline import BatchReport

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
AGES_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REGISTRY: Final = CollectorRegistry()
RECEIPT_AGE = Histogram(
    "gateway_receipt_age_seconds", "From a packet's arrival to its answer, commit included", buckets=AGES_S, registry=REGISTRY
)
STAGE = Counter("gateway_stage_seconds", "Where the time of batches goes", ["stage"], registry=REGISTRY)
BATCH_ROWS = Histogram(
    "gateway_batch_rows", "Frames settled in one transaction", buckets=(1, 4, 16, 64, 256, 1024, 4096, 16384), registry=REGISTRY
)
FRAMES = Counter("gateway_frames", "Frames received, good or not", registry=REGISTRY)
ANSWERS = Counter("gateway_answers", "Frames answered", registry=REGISTRY)
STORED = Counter("gateway_fixes_stored", "Fixes committed", registry=REGISTRY)
DUPLICATES = Counter("gateway_fixes_repeated", "Fixes sent again that were stored before", registry=REGISTRY)
REJECTS = Counter("gateway_rejects", "Frames and reports refused, by reason", ["reason"], registry=REGISTRY)
REFUSED = Counter("gateway_connections_refused", "Connections turned away, by the bound they hit", ["reason"], registry=REGISTRY)
CLOSED = Counter("gateway_connections_closed", "Connections ended, by reason", ["reason"], registry=REGISTRY)
EVENTS = Counter(
    "gateway_events",
    "Incidents opened and closed, by word; what late fixes have judged again is counted again",
    ["word"],
    registry=REGISTRY,
)
LATE = Counter(
    "gateway_late_fixes",
    "Fixes that came too late to be judged with those around them, by what has become of them: judged after all, or too_late for that",
    ["fate"],
    registry=REGISTRY,
)
FIXES = Counter("gateway_fixes", "Fixes committed or repeated, by the door they came through", ["door"], registry=REGISTRY)
MQTT_MESSAGES = Counter("gateway_mqtt_messages", "Messages from the broker, by what they carry", ["kind"], registry=REGISTRY)
MQTT_AGAIN = Counter("gateway_mqtt_redelivered", "Messages that the broker sent a second time", registry=REGISTRY)
MQTT_WAITING = Gauge("gateway_mqtt_unacknowledged", "Messages that wait for their commit", registry=REGISTRY, multiprocess_mode="livesum")
MQTT_CONNECTED = Gauge("gateway_mqtt_connected", "Workers that read from the broker", registry=REGISTRY, multiprocess_mode="livesum")
LINKS = Gauge("gateway_links", "Open connections", registry=REGISTRY, multiprocess_mode="livesum")
SESSIONS = Gauge("gateway_sessions", "Terminals logged in", registry=REGISTRY, multiprocess_mode="livesum")
BACKLOG = Gauge("gateway_backlog_bytes", "Bytes received and not yet settled", registry=REGISTRY, multiprocess_mode="livesum")
PAUSED = Gauge("gateway_links_paused", "Connections not read for now", registry=REGISTRY, multiprocess_mode="livesum")
SHAPES = Gauge(
    "gateway_shapes_version",
    "Version of the fences, corridors and stops in force; a worker that lags behind the others still judges by older ones",
    ["worker"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
AWAY = Gauge("gateway_database_away", "Workers that wait for the database", registry=REGISTRY, multiprocess_mode="livesum")

_REJECT: Final[dict[int, Callable[[float], None]]] = {reason: REJECTS.labels(reason.word).inc for reason in Reject if reason}

_DOOR: Final = [FIXES.labels(source).inc for source in SOURCES]


def observe_batch(report: BatchReport) -> None:
    """Add one batch's report."""
    for stage, seconds in report.seconds.items():
        STAGE.labels(stage).inc(seconds)
    BATCH_ROWS.observe(report.frames)
    FRAMES.inc(report.frames)
    ANSWERS.inc(report.answered)
    STORED.inc(report.stored)
    DUPLICATES.inc(report.duplicates)
    for door in np.flatnonzero(report.fixes):
        _DOOR[int(door)](int(report.fixes[door]))
    for reason in np.flatnonzero(report.rejects):
        _REJECT[int(reason)](int(report.rejects[reason]))
    _observe_many(RECEIPT_AGE, report.receipt_age_s)


def observe_counts(counter: Counter, counts: dict[str, int]) -> None:
    """Move counts by reason into a counter."""
    while counts:
        reason, count = counts.popitem()
        counter.labels(reason).inc(count)


def _observe_many(histogram: Histogram, values: NDArray[np.float64]) -> None:
    """Observe a whole column: `observe` row by row would cost more than the rest of the gateway.

    The library has no public way to do this, so its two private parts are touched here and nowhere else; a test holds them.
    """
    if not len(values):
        return
    count = np.bincount(np.searchsorted(AGES_S, values), minlength=len(AGES_S) + 1)
    histogram._sum.inc(float(values.sum()))  # noqa: SLF001 - see above
    for bucket in np.flatnonzero(count):
        histogram._buckets[bucket].inc(int(count[bucket]))  # noqa: SLF001 - see above


def exposition() -> bytes:
    """All workers' metrics in Prometheus' text format; this process's own when there is no shared folder."""
    if not os.environ.get(FOLDER):
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call] # the library's constructor carries no types
    return generate_latest(together)


def forget(pid: int) -> None:
    """A worker died: its gauges no longer count."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call] # the library's function carries no types
