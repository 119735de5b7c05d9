"""Who may run at a moment: the papers of a vehicle in, a verdict with its reasons out.

A verdict is a set of reasons, one bit each; the empty set is a compliant vehicle. It is found at the fix's own time, from papers as
half-open intervals. `verdict_at` says it of one vehicle and one moment, with dates, for people; `Standings` is the same for all
vehicles and all times, made once for each version of the registry, and `compliant` looks a batch up in it.

Two reasons are not about papers: TERMINAL_OFFLINE_24H is for those who judge a moment without a fix (a fix is a report), and
OVER_CAPACITY for those who count passengers. They add the bit themselves. Of a driver DRIVER_UNQUALIFIED tells apart from the vehicle:
it counts only where it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tracks.paper import ALWAYS_S, NEVER_S, TIME_BITS, Paper, PaperBatch
from tracks.spans import Index

Reasons = NDArray[np.uint32]

DAY_S: Final = 86_400
VEHICLES_MAX: Final = 1 << (62 - TIME_BITS)
"""Keys of vehicles are smaller, so that vehicle and second fit into one number."""


class Reason(IntFlag):
    """Why a vehicle may not run. Bits are stored with events: add, never renumber."""

    NOT_VETTED = 1 << 0
    RETIRED = 1 << 1
    SUSPENDED = 1 << 2
    NOT_OPERATING = 1 << 3
    ENTERPRISE_LICENCE_MISSING = 1 << 4
    ENTERPRISE_LICENCE_EXPIRED = 1 << 5
    ROAD_CERT_MISSING = 1 << 6
    ROAD_CERT_EXPIRED = 1 << 7
    ANNUAL_REVIEW_MISSING = 1 << 8
    ANNUAL_REVIEW_OVERDUE = 1 << 9
    INSPECTION_MISSING = 1 << 10
    INSPECTION_OVERDUE = 1 << 11
    COMPULSORY_INSURANCE_MISSING = 1 << 12
    COMPULSORY_INSURANCE_EXPIRED = 1 << 13
    CARRIER_INSURANCE_MISSING = 1 << 14
    CARRIER_INSURANCE_EXPIRED = 1 << 15
    PERMIT_MISSING = 1 << 16
    PERMIT_EXPIRED = 1 << 17
    PERMIT_ROUTE_MISMATCH = 1 << 18
    TERMINAL_UNBOUND = 1 << 19
    TERMINAL_OFFLINE_24H = 1 << 20
    DRIVER_UNQUALIFIED = 1 << 21
    OVER_CAPACITY = 1 << 22

    @property
    def word(self) -> str:
        """As settings, tables and JSON write it."""
        return str(self.name).lower()


SENTENCES: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.NOT_VETTED: ("the authority has not approved the vehicle", "车辆未通过准入审核"),
    Reason.RETIRED: ("the vehicle has been retired", "车辆已退出营运"),
    Reason.SUSPENDED: ("an officer has suspended the vehicle", "车辆已被暂停营运"),
    Reason.NOT_OPERATING: ("its operating status is not 营运", "经营状态不是营运"),
    Reason.ENTERPRISE_LICENCE_MISSING: ("no operating licence of its enterprise is on file", "无业户经营许可证"),
    Reason.ENTERPRISE_LICENCE_EXPIRED: ("the operating licence of its enterprise has expired", "业户经营许可证已过期"),
    Reason.ROAD_CERT_MISSING: ("no road transport certificate is on file", "无道路运输证"),
    Reason.ROAD_CERT_EXPIRED: ("the road transport certificate has expired", "道路运输证已过期"),
    Reason.ANNUAL_REVIEW_MISSING: ("no annual review is on file", "无年审记录"),
    Reason.ANNUAL_REVIEW_OVERDUE: ("the annual review is overdue", "年审逾期"),
    Reason.INSPECTION_MISSING: ("no technical inspection is on file", "无技术等级评定记录"),
    Reason.INSPECTION_OVERDUE: ("the technical inspection is overdue", "技术等级评定逾期"),
    Reason.COMPULSORY_INSURANCE_MISSING: ("no compulsory insurance is on file", "无交强险"),
    Reason.COMPULSORY_INSURANCE_EXPIRED: ("the compulsory insurance has expired", "交强险已过期"),
    Reason.CARRIER_INSURANCE_MISSING: ("no carrier liability insurance is on file", "无承运人责任险"),
    Reason.CARRIER_INSURANCE_EXPIRED: ("the carrier liability insurance has expired", "承运人责任险已过期"),
    Reason.PERMIT_MISSING: ("no line or zone permit is on file", "无班线或区域经营许可"),
    Reason.PERMIT_EXPIRED: ("the line or zone permit has expired", "班线或区域经营许可已过期"),
    Reason.PERMIT_ROUTE_MISMATCH: ("no permit is for a line that it serves", "所营线路与许可线路不符"),
    Reason.TERMINAL_UNBOUND: ("no terminal is bound to the vehicle", "未绑定车载终端"),
    Reason.TERMINAL_OFFLINE_24H: ("the terminal has been silent for 24 hours", "终端离线超过24小时"),
    Reason.DRIVER_UNQUALIFIED: ("no driver with a valid qualification is assigned", "无从业资格有效的驾驶员"),
    Reason.OVER_CAPACITY: ("more passengers than seats", "超员"),
}
"""Each reason for people: English, 中文."""

ALL: Final = ~Reason.DRIVER_UNQUALIFIED
"""What counts unless somebody chooses: everything about the vehicle."""


class Need(NamedTuple):
    """What it means to have no valid paper of a kind: there has never been one, or the last has lapsed."""

    missing: Reason
    lapsed: Reason


NEEDS: Final[Mapping[Paper, Need]] = {
    Paper.VETTING: Need(Reason.NOT_VETTED, Reason.RETIRED),
    Paper.LICENCE: Need(Reason.ENTERPRISE_LICENCE_MISSING, Reason.ENTERPRISE_LICENCE_EXPIRED),
    Paper.CERTIFICATE: Need(Reason.ROAD_CERT_MISSING, Reason.ROAD_CERT_EXPIRED),
    Paper.REVIEW: Need(Reason.ANNUAL_REVIEW_MISSING, Reason.ANNUAL_REVIEW_OVERDUE),
    Paper.INSPECTION: Need(Reason.INSPECTION_MISSING, Reason.INSPECTION_OVERDUE),
    Paper.COMPULSORY: Need(Reason.COMPULSORY_INSURANCE_MISSING, Reason.COMPULSORY_INSURANCE_EXPIRED),
    Paper.CARRIER: Need(Reason.CARRIER_INSURANCE_MISSING, Reason.CARRIER_INSURANCE_EXPIRED),
    Paper.PERMIT: Need(Reason.PERMIT_MISSING, Reason.PERMIT_EXPIRED),
    Paper.TERMINAL: Need(Reason.TERMINAL_UNBOUND, Reason.TERMINAL_UNBOUND),
    Paper.CREW: Need(Reason.DRIVER_UNQUALIFIED, Reason.DRIVER_UNQUALIFIED),
}
LAPSES: Final = frozenset(need.lapsed for need in NEEDS.values() if need.lapsed != need.missing)
"""Reasons that a paper's end is."""
GRACE_DAYS_MAX: Final = 3_650
BARS: Final[Mapping[Paper, Reason]] = {
    Paper.SUSPENSION: Reason.SUSPENDED,
    Paper.STANDSTILL: Reason.NOT_OPERATING,
    Paper.OFF_PERMIT: Reason.PERMIT_ROUTE_MISMATCH,
}
BEFORE_ALL: Final = np.iinfo(np.int64).min
NOTHING: Final = int(np.bitwise_or.reduce([need.missing for need in NEEDS.values()]))
"""What is said of a vehicle of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a county asks for."""

    requires: Reason = ALL
    """Reasons that count."""
    grace_days: Mapping[Reason, int] | None = None
    """How long a paper still counts after its end, by the reason that its lapse is; not at all where nothing is said."""

    @classmethod
    def of(cls, requires: str, grace_days: str) -> Self:
        """The policy that settings write: `all -permit_missing`, `annual_review_overdue=15`. Raises KeyError or ValueError."""
        chosen = Reason(0)
        for word in _words(requires):
            reason = ALL if word.removeprefix("-") == "all" else Reason[word.removeprefix("-").upper()]
            chosen = chosen & ~reason if word.startswith("-") else chosen | reason
        pairs = [word.partition("=") for word in _words(grace_days)]
        grace = {Reason[word.upper()]: int(days) for word, _, days in pairs}
        if wrong := [reason.word for reason, days in grace.items() if reason not in LAPSES or not 0 <= days <= GRACE_DAYS_MAX]:
            msg = f"no grace of that length can be given to {wrong[0]}"
            raise ValueError(msg)
        return cls(chosen, grace)

    def grace_s(self, paper: Paper) -> int:
        """The grace of a kind of paper."""
        return (self.grace_days or {}).get(NEEDS[paper].lapsed, 0) * DAY_S if paper in NEEDS else 0


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


@dataclass(frozen=True, slots=True)
class Standings:
    """Every vehicle's reasons as a function of time, constant between changes. Immutable; a change of the registry makes another."""

    key: Index
    """Vehicle and second of each change as one number, in order; the first row is before all vehicles."""
    reasons: Reasons
    """From that second on."""
    nothing: np.uint32
    """Of vehicles that are not known."""
    version: int = 0

    @classmethod
    def of(cls, papers: PaperBatch, policy: Policy = Policy(), *, version: int = 0) -> Self:
        """The standings that papers amount to."""
        grace_s = np.array([0, *(policy.grace_s(paper) for paper in Paper)])
        papers = papers.take(papers.from_s < papers.until_s)
        vehicles, owner = np.unique(papers.vehicle_id, return_inverse=True)
        assert len(vehicles) == 0 or 0 <= vehicles[0] <= vehicles[-1] < VEHICLES_MAX, "vehicle and second fit into one number"
        from_s = np.clip(papers.from_s, ALWAYS_S, NEVER_S)
        until_s = np.clip(papers.until_s + grace_s[papers.paper], ALWAYS_S, NEVER_S)
        blank = np.zeros(len(vehicles), np.int64)
        row = np.concatenate([np.arange(len(vehicles)), owner, owner])
        second = np.concatenate([blank, from_s, until_s])
        paper = np.concatenate([blank, papers.paper, papers.paper])
        step = np.concatenate([blank, np.ones_like(from_s), -np.ones_like(until_s)])
        order = np.lexsort((second, row))
        row, second, paper, step = row[order], second[order], paper[order], step[order]
        reasons = _reasons(paper, step, first=np.searchsorted(row, row)) & np.uint32(policy.requires)
        nothing = np.uint32(NOTHING & policy.requires)
        key = np.append(BEFORE_ALL, (vehicles[row] << TIME_BITS) | second)
        reasons = np.append(nothing, reasons)
        last = np.append(key[1:] != key[:-1], True) & (key & NEVER_S != NEVER_S)
        key, reasons = key[last], reasons[last]
        new = np.append(True, (reasons[1:] != reasons[:-1]) | (key[1:] >> TIME_BITS != key[:-1] >> TIME_BITS))
        return cls(key[new], reasons[new], nothing, version)

    def history(self, vehicle_id: int) -> list[tuple[int, Reason]]:
        """All changes of a vehicle in order, as (second, reasons from then on); the first is at ALWAYS_S."""
        start, stop = np.searchsorted(self.key, [vehicle_id << TIME_BITS, (vehicle_id + 1) << TIME_BITS])
        seconds = (self.key[start:stop] & NEVER_S).tolist()
        return list(zip(seconds, map(Reason, self.reasons[start:stop].tolist()), strict=True)) or [(ALWAYS_S, Reason(int(self.nothing)))]


def compliant(standings: Standings, vehicle_id: Index, time_us: Index) -> Reasons:
    """The reasons against each vehicle at each time; 0 where it is compliant."""
    key = (vehicle_id << TIME_BITS) | np.clip(time_us // 1_000_000, ALWAYS_S, NEVER_S - 1)
    order = np.argsort(key)  # searched in order, 10 000 vehicles cost 31 ns a fix instead of 121 (8192 fixes, 213 563 changes, 2-core EPYC)
    row = np.empty_like(order)
    row[order] = np.searchsorted(standings.key, key[order], side="right") - 1
    known = standings.key[row] >> TIME_BITS == vehicle_id
    reasons: Reasons = np.where(known, standings.reasons[row], standings.nothing)
    return reasons


def changed(before: Standings, after: Standings) -> Index:
    """The vehicles of which the two do not say the same at all times."""
    key, reasons = np.concatenate((before.key, after.key)), np.concatenate((before.reasons, after.reasons))
    order = np.lexsort((reasons, key))
    key, reasons = key[order], reasons[order]
    twin = (key[1:] == key[:-1]) & (reasons[1:] == reasons[:-1])
    alone = ~(np.append(twin, False) | np.append(False, twin))
    return np.unique(key[alone] >> TIME_BITS)


def _reasons(paper: Index, step: Index, first: Index) -> Reasons:
    """Reasons after each change: `step` is +1 where a paper begins and −1 where it ends; `first` is the first change of its vehicle."""
    reasons = np.zeros(len(paper), np.uint32)
    for kind, (missing, lapsed) in NEEDS.items():
        mine = paper == kind
        begun = np.cumsum(mine & (step > 0))
        lacking = np.where(begun > begun[first], np.uint32(lapsed), np.uint32(missing))
        reasons |= np.where(np.cumsum(step * mine) > 0, np.uint32(0), lacking)
    for kind, reason in BARS.items():
        reasons |= np.where(np.cumsum(step * (paper == kind)) > 0, np.uint32(reason), np.uint32(0))
    return reasons


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one vehicle at one moment."""

    reasons: Reason
    since_s: Mapping[Reason, int | None]
    """Each reason that counts → when it began: the lapse of a paper, the order of an officer; None for what has never been there."""


def verdict_at(papers: PaperBatch, at_s: int, policy: Policy = Policy()) -> Verdict:
    """The verdict on the vehicle that all these papers belong to. Plain, and what `Standings` must equal."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for kind, from_s, until_s in zip(papers.paper.tolist(), papers.from_s.tolist(), papers.until_s.tolist(), strict=True):
        if from_s <= at_s and from_s < until_s:
            spans.setdefault(kind, []).append((from_s, until_s))
    since_s: dict[Reason, int | None] = {}
    for kind, need in NEEDS.items():
        ends = [until_s for _, until_s in spans.get(kind, [])]
        if not ends:
            since_s[need.missing] = None
        elif max(ends) + policy.grace_s(kind) <= at_s:
            since_s[need.lapsed] = max(ends)
    for kind, reason in BARS.items():
        if starts := [from_s for from_s, until_s in spans.get(kind, []) if at_s < until_s]:
            since_s[reason] = min(starts)
    since_s = {reason: since for reason, since in since_s.items() if reason & policy.requires}
    return Verdict(Reason(sum(since_s)), since_s)
