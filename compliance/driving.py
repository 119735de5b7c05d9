"""How vehicles are driven: speed, fatigue, the small hours, standing too long, silence on duty, and the terminal's own alarms.

A rule like those of the geofence room: it looks at tracks, remembers a few sums for each terminal, and answers with signals, which the
same machine turns into incidents. What a vehicle may do comes from `Limits`; the road's own limit stands in the track batch, where
the rule of corridors has written it. Who drives is not known from a fix: hours of driving are the vehicle's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from compliance.alarms import item_alarms, word_alarms
from tracks.event import KIND, LEVEL, NO_SIGNALS, VALUE, Ended, EventBatch, Kind, Phase, Signals, event_ids, together
from tracks.fix import ABSENT, FixBatch
from tracks.spans import Index, Mask
from tracks.track import Memory, Standing, TrackBatch, pick, put, steps, telling
from tracks.week import NIGHT, WEEK_MINUTES, Window, calendar, minute_of_week, within_day

SMALL_HOURS: Final = (2 * 60, 5 * 60)
"""When long-distance coaches stop or hand over (交运发〔2016〕160号, 客车凌晨2-5时违规运行)."""
DRIVING_KMH: Final = 5.0
SAME_PLACE_M: Final = 500.0
"""A vehicle that was silent and is no further than that was at rest. Unmeasured."""
TIERS: Final = (1.1, 1.2)
"""Overspeed by less than a tenth is NOTICE, by less than a fifth WARNING, else MAJOR. Our own."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one vehicle may do. Infinite or false where nothing is asked."""

    terminal_id: int = ABSENT
    max_kmh: float = np.inf
    night_part: float = 1.0
    """Of its own and the road's limit at night; 0.8 for coaches."""
    coach: bool = False
    """Has to rest from two to five."""
    parked_max_s: float = np.inf
    offline_max_s: float = np.inf
    duty: Sequence[Window] = ()
    """When it has to be online; always, when there are none."""


@dataclass(frozen=True, slots=True)
class Hours:
    """How long one may drive, in seconds (《道路运输车辆动态监督管理办法》 and provincial rules after it)."""

    day_s: float = 4 * 3600.0
    night_s: float = 2 * 3600.0
    in_24h_s: float = 8 * 3600.0
    rest_s: float = 20 * 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits as columns, in the order of terminals; the first is for those that have none of their own."""

    terminal_id: Index
    max_kmh: NDArray[np.float64]
    night_part: NDArray[np.float64]
    coach: Mask
    parked_max_s: NDArray[np.float64]
    offline_max_s: NDArray[np.float64]
    duty: Index
    """Which row of `weeks` says when it has to be online."""
    weeks: NDArray[np.bool_]
    hours: Hours
    zone_s: int

    @classmethod
    def of(cls, limits: Sequence[Limit] = (), others: Limit = Limit(), *, hours: Hours = Hours(), zone_s: int = 28800) -> Self:
        """Limits by terminal, and those of all other terminals."""
        rows = [others, *sorted(limits, key=lambda limit: limit.terminal_id)]
        weeks: dict[tuple[Window, ...], int] = {}
        return cls(
            terminal_id=np.array([ABSENT, *(limit.terminal_id for limit in rows[1:])], np.int64),
            max_kmh=np.array([limit.max_kmh for limit in rows]),
            night_part=np.array([limit.night_part for limit in rows]),
            coach=np.array([limit.coach for limit in rows]),
            parked_max_s=np.array([limit.parked_max_s for limit in rows]),
            offline_max_s=np.array([limit.offline_max_s for limit in rows]),
            duty=np.array([weeks.setdefault(tuple(limit.duty), len(weeks)) for limit in rows]),
            weeks=np.stack([calendar(windows) for windows in weeks]),
            hours=hours,
            zone_s=zone_s,
        )

    def row(self, terminal_id: Index) -> Index:
        """Which limits hold for each terminal."""
        row = np.minimum(np.searchsorted(self.terminal_id, terminal_id), len(self.terminal_id) - 1)
        return np.where(self.terminal_id[row] == terminal_id, row, 0)

    def on_duty(self, row: Index, time_us: Index) -> Mask:
        """Whether vehicles have to be online at a time."""
        on_duty: Mask = self.weeks.ravel()[self.duty[row] * WEEK_MINUTES + minute_of_week(time_us, self.zone_s)]
        return on_duty


DRIVE: Final = np.dtype(
    [("last_us", "i8"), ("driven_s", "f8"), ("night_s", "f8"), ("rest_s", "f8"), ("still_us", "i8"), ("hour", "i8"), ("hours", "f4", 24)]
)
"""`last_us`: last fix of any quality; `driven_s` and, of it, `night_s`: since the last full rest; `rest_s`: at rest since it last drove;
`still_us`: standing since, 0 when not; `hours`: seconds driven in each of the last 24 hours, that of `hour` (since 1970) at hour % 24."""


@dataclass(frozen=True, slots=True)
class Driving:
    """Judges how vehicles are driven."""

    limits: Limits
    name = "driving"
    memory = DRIVE

    def judge(self, track: TrackBatch, memory: Memory, standing: Standing) -> Signals:
        """Signals about everything of this file's title."""
        row, minute = self.limits.row(track.terminal_id), minute_of_week(track.time_us, self.limits.zone_s)
        book = _Book.blank(len(track))
        for at in steps(track.owner):
            _keep_books(track, at, memory, book, night=within_day(minute[at], NIGHT), hours=self.limits.hours)
        good = np.flatnonzero(track.good)
        scene = _Scene(track, good, row[good], minute[good], standing)
        return together(
            (
                self._overspeed(scene),
                *self._hours(scene, book),
                self._small_hours(scene, book),
                self._parked(scene, book),
                self._offline(track, row, book),
                word_alarms(track, standing),
                item_alarms(track, standing),
            )
        )

    def _overspeed(self, scene: _Scene) -> Signals:
        track, fix, row = scene.track, scene.fix, scene.row
        night_part = np.where(within_day(scene.minute, NIGHT), self.limits.night_part[row], 1.0)
        limit_kmh = np.minimum(self.limits.max_kmh[row], track.limit_kmh[fix]) * night_part
        over = track.speed_kmh[fix] / limit_kmh
        value = np.where(over > 1, VALUE.BAD, VALUE.GOOD).astype(np.int8)
        level = np.where(over < TIERS[0], LEVEL.NOTICE, np.where(over < TIERS[1], LEVEL.WARNING, LEVEL.MAJOR))
        return scene.tell(KIND.OVERSPEED, value, measure=track.speed_kmh[fix], amount=track.moved_m[fix], level=level)

    def _hours(self, scene: _Scene, book: _Book) -> list[Signals]:
        hours, fix = self.limits.hours, scene.fix
        driven_s, day_s, rested = book.driven_s[fix], book.day_s[fix], book.rest_s[fix] >= hours.rest_s
        tired = (driven_s > hours.day_s) | (book.night_s[fix] > hours.night_s)
        fatigue = np.where(tired, VALUE.BAD, np.where(rested, VALUE.GOOD, VALUE.NEUTRAL)).astype(np.int8)
        day = np.where(day_s > hours.in_24h_s, VALUE.BAD, VALUE.GOOD).astype(np.int8)
        return [
            scene.tell(KIND.FATIGUE, fatigue, measure=driven_s, level=LEVEL.WARNING),
            scene.tell(KIND.DAY_DRIVING, day, measure=day_s, level=LEVEL.WARNING),
        ]

    def _small_hours(self, scene: _Scene, book: _Book) -> Signals:
        track, fix = scene.track, scene.fix
        forbidden = within_day(scene.minute, SMALL_HOURS) & self.limits.coach[scene.row]
        at_rest = ~forbidden | (book.rest_s[fix] >= self.limits.hours.rest_s)
        drives = np.where(track.speed_kmh[fix] > DRIVING_KMH, VALUE.BAD, VALUE.NEUTRAL)
        value = np.where(at_rest, VALUE.GOOD, drives).astype(np.int8)
        return scene.tell(KIND.NIGHT_COACH, value, measure=track.speed_kmh[fix], amount=track.moved_m[fix], level=LEVEL.WARNING)

    def _parked(self, scene: _Scene, book: _Book) -> Signals:
        still_us = book.still_us[scene.fix]
        still_s = np.where(still_us != 0, (scene.track.time_us[scene.fix] - still_us) / 1e6, 0.0)
        too_long = (still_us != 0) & (still_s >= self.limits.parked_max_s[scene.row])
        value = np.where(too_long, VALUE.BAD, np.where(still_s > 0, VALUE.NEUTRAL, VALUE.GOOD)).astype(np.int8)
        return scene.tell(KIND.PARKED, value, measure=still_s, since_us=still_us, level=LEVEL.NOTICE)

    def _offline(self, track: TrackBatch, row: Index, book: _Book) -> Signals:
        """Silence that is over; of silence that lasts, `silent` tells."""
        limit_us = _limit_us(self.limits, row)
        silent = np.flatnonzero((book.before_us != 0) & (track.time_us - book.before_us >= limit_us))
        silent = silent[self.limits.on_duty(row[silent], book.before_us[silent] + limit_us[silent])]
        since_us, until_us = book.before_us[silent], track.time_us[silent]
        times = {"since_us": since_us, "until_us": until_us, "measure": (until_us - since_us) / 1e6}
        return Signals.of(silent, KIND.OFFLINE, 0, VALUE.MOMENT, level=LEVEL.WARNING, **times)


@dataclass(frozen=True, slots=True)
class _Scene:
    """The good fixes of a batch, and the incidents under way."""

    track: TrackBatch
    fix: Index
    row: Index
    """Of the limits."""
    minute: Index
    standing: Standing

    def tell(self, kind: Kind, value: NDArray[np.int8], **columns: NDArray[np.generic] | float) -> Signals:
        """Signals of a kind about the good fixes, as far as they can matter."""
        some = telling(self.track, self.fix, value, kind, self.standing)
        if len(some) == 0:
            return NO_SIGNALS
        picked = {name: column[some] if isinstance(column, np.ndarray) else column for name, column in columns.items()}
        return Signals.of(self.fix[some], kind, 0, value[some], **picked)


@dataclass(frozen=True, slots=True)
class _Book:
    """The sums after each fix of a batch."""

    before_us: Index
    """The fix before, of any quality; 0 for none."""
    driven_s: NDArray[np.float64]
    night_s: NDArray[np.float64]
    day_s: NDArray[np.float64]
    rest_s: NDArray[np.float64]
    still_us: Index

    @classmethod
    def blank(cls, count: int) -> Self:
        """Columns to fill."""
        whole, real = np.zeros((2, count), np.int64), np.zeros((4, count))
        return cls(before_us=whole[0], driven_s=real[0], night_s=real[1], day_s=real[2], rest_s=real[3], still_us=whole[1])


def _keep_books(track: TrackBatch, at: Index | slice, memory: Memory, book: _Book, *, night: Mask, hours: Hours) -> None:
    """The next fix of each of several terminals.

    Between a fix at which a vehicle drives and one at which it stands, nobody knows when it stopped: half of the time is each's.
    """
    owner = track.owner[at]
    mine = pick(memory, owner)
    book.before_us[at] = mine["last_us"]
    mine[track.another[at]] = 0
    mine["last_us"] = track.time_us[at]
    good, gap, known = track.good[at], track.gap[at], track.previous_us[at] != ABSENT
    lapse_s = np.where(known, track.lapse_s[at], 0.0)
    drove, goes = track.previous_kmh[at] > DRIVING_KMH, track.speed_kmh[at] > DRIVING_KMH
    moves = goes | (track.apart_m[at] * 3.6 > DRIVING_KMH * lapse_s)
    drives = good & ~gap & moves
    rests = good & np.where(gap, known & (track.apart_m[at] <= SAME_PLACE_M), ~moves)
    leaves = drives & goes & ~drove
    part = np.where(drives & (goes != drove), 0.5, 1.0)
    driven_s, rested_s = np.where(drives, part * lapse_s, 0.0), np.where(rests, lapse_s, np.where(drives, (1 - part) * lapse_s, 0.0))
    rest_s = np.where(good & ~rests & ~leaves, 0.0, mine["rest_s"]) + rested_s
    anew = rest_s >= hours.rest_s
    mine["rest_s"] = np.where(leaves, 0.0, rest_s)
    mine["driven_s"] = np.where(anew, 0.0, mine["driven_s"]) + np.where(anew & ~leaves, 0.0, driven_s)
    mine["night_s"] = np.where(anew, 0.0, mine["night_s"]) + np.where(night & ~(anew & ~leaves), driven_s, 0.0)
    stands = track.speed_kmh[at] <= DRIVING_KMH
    stays = stands & rests & (mine["still_us"] != 0)
    mine["still_us"] = np.where(good & ~stays, np.where(stands, track.time_us[at], 0), mine["still_us"])
    _count_hours(track.time_us[at], driven_s, mine)
    put(memory, owner, mine)
    for name in ("driven_s", "night_s", "still_us"):
        getattr(book, name)[at] = mine[name]
    book.rest_s[at] = rest_s
    book.day_s[at] = mine["hours"].sum(axis=1)


def _count_hours(time_us: Index, driven_s: NDArray[np.float64], mine: Memory) -> None:
    """Add to the hour; hours that have fallen out of the last 24 begin anew."""
    hour = time_us // 3_600_000_000
    new = np.flatnonzero(hour != mine["hour"])
    meant = hour[new, None] - (hour[new, None] - np.arange(24)) % 24
    mine["hours"][new] = np.where(meant > mine["hour"][new, None], 0.0, mine["hours"][new])
    mine["hour"] = hour
    mine["hours"][np.arange(len(hour)), hour % 24] += driven_s


def silent(limits: Limits, last: FixBatch, *, now_us: int, before_us: int) -> EventBatch:
    """Silence that lasts: terminals on duty whose time ran out after `before_us` and until `now_us`; `last` has the last fix of each.

    Each has the id that `Driving` closes it with, so telling one again adds nothing.
    A silence that is filled later by what the terminal had stored never was one.
    """
    row = limits.row(last.terminal_id)
    limit_us = _limit_us(limits, row)
    due_us = last.time_us + limit_us
    some = np.flatnonzero((due_us > before_us) & (due_us <= now_us))
    some = some[limits.on_duty(row[some], due_us[some])]
    last, count = last.take(some), len(some)
    nothing, unknown = np.zeros(count, np.int64), np.full(count, ABSENT, np.int64)
    return EventBatch(
        id=event_ids(last.terminal_id, KIND.OFFLINE, nothing, last.time_us),
        kind=np.full(count, KIND.OFFLINE, np.uint8),
        phase=np.full(count, Phase.OPENED, np.uint8),
        ended=np.full(count, Ended.OPEN, np.uint8),
        level=np.full(count, LEVEL.WARNING, np.uint8),
        terminal_id=last.terminal_id,
        vehicle_id=last.vehicle_id,
        subject=nothing,
        start_us=last.time_us,
        end_us=unknown,
        opened_us=due_us[some],
        last_us=last.time_us,
        lat=last.lat,
        lon=last.lon,
        peak=limit_us[some] / 1e6,
        total=np.zeros(count),
        evidence=np.ones(count, np.int32),
        digest=last.digest,
        retrospective=np.zeros(count, np.bool_),
        same_as=unknown,
        version=nothing,
    )


def _limit_us(limits: Limits, row: Index) -> Index:
    """How long each may be silent; without a limit, longer than any time there is."""
    return np.minimum(limits.offline_max_s[row] * 1e6, 1e17).astype(np.int64)
