"""Reports built ahead: report number k of every terminal as a whole frame, made as columns, a wave at a time.

A wave is the next few reports of all terminals; waves are built before they are needed and dropped when every terminal has said its part.
The bytes around the columns (items, header form) come from one report that the ordinary declarations built.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_sim.report import BEIJING_S, LOCATION_REPORT, Fix, report_body
from protocols.adapters import BcdTime, wall_clock, write_phone
from protocols.jt808.framing import escape
from protocols.jt808.header import HEADER_2013_LAYOUT, HEADER_2019_LAYOUT, V2019, VERSION_BIT
from protocols.jt808.messages.location import LOCATION_LAYOUT
from tracks.spans import Spans
from tracks.terminal import key_of

WAVE_FRAMES: Final = 8_192
"""Reports built at once, unless there are more terminals: some milliseconds of work, so that a wave built late delays little."""
AHEAD_FRAMES: Final = 500_000
"""Reports built before the clock starts; about 60 MB."""
REPORTS_PER_LAP: Final = 5_000
REPORT_M: Final = 5.7
"""How far a terminal drives from one report to the next, about."""
MILEAGE_HEAD: Final = 2
"""Id and length before the mileage, the first item of a report."""


class Waves:
    """Reports of terminals `names`, at most `per_terminal` of each, a second apart from UTC second `base_s` on."""

    def __init__(self, names: list[str], *, edition: int, base_s: int, per_terminal: int) -> None:
        self._base_s = base_s
        self._terminals = len(names)
        self._per_wave = max(1, min(WAVE_FRAMES // len(names), per_terminal))
        self._first = _first_reports(names, edition, base_s)
        self._waves: dict[int, tuple[list[bytes], int]] = {}
        waves = -(-per_terminal // self._per_wave)
        for wave in range(min(waves, max(1, AHEAD_FRAMES // (self._per_wave * len(names))))):
            self._waves[wave] = self._build(wave), len(names)

    def frames(self, row: int, k: int, count: int) -> bytes:
        """Reports `k` to `k + count - 1` of the terminal `row`, end to end."""
        per_wave = self._per_wave
        wave, at = divmod(k, per_wave)
        if wave not in self._waves:
            self._waves[wave] = self._build(wave), self._terminals
        frames, left = self._waves[wave]
        begin = row * per_wave + at
        if at + count < per_wave:
            return frames[begin] if count == 1 else b"".join(frames[begin : begin + count])
        # this terminal's last of the wave; the wave goes with the last terminal
        taken = per_wave - at
        said = b"".join(frames[begin : begin + taken])
        if left == 1:
            del self._waves[wave]
        else:
            self._waves[wave] = frames, left - 1
        return said if taken == count else said + self.frames(row, k + taken, count - taken)

    def _build(self, wave: int) -> list[bytes]:
        k = np.arange(wave * self._per_wave, (wave + 1) * self._per_wave)
        row = np.arange(self._terminals)[:, None]
        table = np.repeat(self._first, self._per_wave, axis=1)
        table["header"]["serial"] = k & 0xFFFF
        body = table["body"]
        place = body["location"]
        place["lat"], place["lon"] = places(row, k)
        place["speed_kmh"] = 300 + k % 300
        place["course_deg"] = (k * 7) % 360
        place["time"] = self._times(wave)
        body["mileage"] = k
        octets = table.view(np.uint8).reshape(-1, table.itemsize)
        table["checksum"] = np.bitwise_xor.reduce(octets, axis=1).reshape(table.shape)
        start = np.arange(len(octets)) * table.itemsize
        wire = escape(Spans(octets.reshape(-1), start, start + table.itemsize))
        text = wire.buffer.tobytes()
        return [text[begin:end] for begin, end in zip(wire.start.tolist(), wire.stop.tolist(), strict=True)]

    def _times(self, wave: int) -> NDArray[Any]:
        """One second per report number, as the wire writes it."""
        time_of = BcdTime()
        seconds = range(self._base_s + wave * self._per_wave, self._base_s + (wave + 1) * self._per_wave)
        written = b"".join(time_of.build(wall_clock(second * 1_000_000, BEIJING_S)) for second in seconds)
        return np.frombuffer(written, LOCATION_LAYOUT.dtype["time"])


def places(row: NDArray[Any], k: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Latitude and longitude of report number `k` of the terminal `row`, in millionths of a degree.

    Each begins at a place of its own and drives `REPORT_M` a report to the north-east; after `REPORTS_PER_LAP` it begins there again.
    """
    along = k % REPORTS_PER_LAP
    return 29_000_000 + (row * 7_919) % 2_000_000 + along * 37, 102_000_000 + (row * 104_729) % 2_000_000 + along * 41


def _first_reports(names: list[str], edition: int, base_s: int) -> NDArray[Any]:
    """One row per terminal, one report in each, of which the waves change what changes; flags and checksum are still zero."""
    keys = np.array([key_of(name) for name in names], np.uint64)
    template = report_body(Fix(time=base_s, lat=30, lon=103, altitude_m=500, mileage_km=0.0, satellites=20, signal=28), edition)
    header = (HEADER_2019_LAYOUT if edition == V2019 else HEADER_2013_LAYOUT).dtype
    tail = len(template) - LOCATION_LAYOUT.itemsize - MILEAGE_HEAD - 4
    body = np.dtype([("location", LOCATION_LAYOUT.dtype), ("head", "u1", MILEAGE_HEAD), ("mileage", ">u4"), ("tail", "u1", tail)])
    shape = np.dtype([("open", "u1"), ("header", header), ("body", body), ("checksum", "u1"), ("close", "u1")])
    table = np.zeros((len(names), 1), shape)
    table["body"] = np.frombuffer(template, body)
    head = table["header"]
    head["message_id"] = LOCATION_REPORT
    head["attributes"] = body.itemsize
    if edition == V2019:
        head["attributes"] |= VERSION_BIT
        head["protocol_version"] = 1
    write_phone(head["phone"], keys[:, :1], keys[:, 1:])
    return table
