"""The plain version: one terminal, one fix, one rule at a time, in the order of time. It knows no batches, so it cannot depend on them.

It says again, in ifs and loops, what the rooms say in columns: the quality gate, the machine, fences, corridors and stops.
Thresholds are taken from the rooms; everything else is its own.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import shapely

from geofence import corridors, evidence, fences, fencing, following, incidents, passing, quality, sight, stops
from geofence.datum import distance_m, metres_per_degree
from geofence.fences import Circle, Fence, Stay, polygon_of
from geofence.stops import Stop
from tracks.event import Ended, Kind, Level
from tracks.fix import FixBatch

Fix = dict[str, Any]
Said = tuple[Kind, int, str, dict[str, float]]
"""Kind, subject, what it says, and what it says it with."""


@dataclass
class Plain:
    """Judges by the same fences, corridors (in force for everyone) and stops as an atlas made of them."""

    fences: list[Fence] = field(default_factory=list)
    corridors: list[corridors.Corridor] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)

    def judge(self, fixes: FixBatch) -> list[dict[str, Any]]:
        rows = [
            {name: getattr(fixes, name)[row].item() for name in FixBatch.columns() if name != "raw"} | {"faults": int(flags)}
            for row, flags in enumerate(quality.faults(fixes))
        ]
        found: list[dict[str, Any]] = []
        for terminal_id in sorted({row["terminal_id"] for row in rows}):
            mine = {
                (row["time_us"], row["digest"]): row
                for row in rows
                if row["terminal_id"] == terminal_id and not row["faults"] & int(quality.CLOCK)
            }
            found += _Terminal(self).run([mine[key] for key in sorted(mine)])
        return sorted(found, key=lambda row: (row["start_us"], row["kind"], row["subject"], row["terminal_id"]))


class _Terminal:
    def __init__(self, plain: Plain) -> None:
        self.plain = plain
        self.last: Fix | None = None
        self.jumps: list[Fix] = []
        self.heard_us = 0
        self.incidents: dict[tuple[Kind, int], dict[str, Any]] = {}
        self.closed: list[dict[str, Any]] = []
        self.course = {
            "state": "lost",
            "corridor": 0,
            "chainage": 0.0,
            "seen_us": 0,
            "driven": 0.0,
            "nowhere": False,
            "maybe": None,
            "back_us": 0,
            "shadow": None,
            "beside": 0.0,
        }

    def run(self, fixes: list[Fix]) -> list[dict[str, Any]]:
        for fix in fixes:
            self.heard_us = max(self.heard_us, fix["received_us"])
            if self.gate(fix):
                for said in [*self.corridor_rule(fix), *self.fence_rule(fix), *self.stop_rule(fix)]:
                    self.machine(fix, said)
                self.last = fix
        return [incident for incident in [*self.closed, *self.incidents.values()] if incident["opened_us"]]

    # the quality gate

    def gate(self, fix: Fix) -> bool:
        last = self.last
        fix |= {"gap": True, "held": False, "moved": 0.0, "previous": last, "way": False}
        if fix["faults"]:
            return False
        stands = fix["speed_kmh"] <= 1 or (not fix["status_bits"] & 1 and fix["speed_kmh"] <= 10)
        fix["stands"] = stands
        if last is None:
            self.jumps = []
            return True
        lapse_s = (fix["time_us"] - last["time_us"]) / 1e6
        away = distance_m(last["lon"], last["lat"], fix["lon"], fix["lat"])
        believed = False
        if away - 60 > 160 / 3.6 * lapse_s:
            before = self.jumps[-1] if self.jumps else None
            agrees = before is not None and (
                distance_m(before["lon"], before["lat"], fix["lon"], fix["lat"]) - 60
                <= 160 / 3.6 * (fix["time_us"] - before["time_us"]) / 1e6
            )
            self.jumps = [*self.jumps, fix] if agrees else [fix]
            believed = len(self.jumps) >= 3 and fix["time_us"] - self.jumps[0]["time_us"] >= 10e6
            if not believed:
                return False
        elif lapse_s > 0 and abs(fix["speed_kmh"] - last["speed_kmh"]) > 8 * 3.6 * lapse_s:
            return False
        elif stands and last["stands"] and away < 50:
            fix["lon"], fix["lat"], away, fix["held"] = last["lon"], last["lat"], 0.0, True
        self.jumps = []
        fix["gap"] = lapse_s > 180 or believed
        fix["moved"] = 0.0 if fix["gap"] else away
        return True

    # the machine

    def machine(self, fix: Fix, said: Said) -> None:  # noqa: C901, PLR0912 - the plain version is one long look
        kind, subject, value, about = said
        rule, now, key = evidence.EVIDENCE[kind], fix["time_us"], (kind, subject)
        if value == "moment":
            self.closed.append(self.fresh(fix, kind, subject, about) | {
                "start_us": about["since_us"], "opened_us": now, "last_us": about["until_us"], "end_us": about["until_us"],
                "ended": Ended.RETURNED,
                "evidence": 1, "level": about["level"], "retrospective": self.heard_us - now > incidents.LIVE_US,
            })  # fmt: skip
            return
        it = self.incidents.get(key)
        if it and fix["gap"] and rule.gap != evidence.Gap.BRIDGE and not (fix["held"] and rule.gap == evidence.Gap.KEEP):
            if not it["opened_us"]:
                it = self.incidents.pop(key) and None
            elif rule.gap == evidence.Gap.CLOSE:
                it = self.close(key, it["over_us"] or max(fix["previous"]["time_us"], it["last_us"]), Ended.GAP)
            else:
                it["over_us"], it["recovery"] = 0, 0
        if value == "bad" and it and it["recovery"] >= rule.close_fixes and (now - it["over_us"]) / 1e6 >= rule.close_s:
            it = self.close(key, it["last_us"] if rule.ends_at_last else it["over_us"], Ended.RETURNED)
        if value == "bad" and it is None:
            it = self.incidents[key] = self.fresh(fix, kind, subject, about)
        if it is None:
            return
        if value in {"bad", "hold"}:
            it["over_us"], it["recovery"] = 0, 0
            it["evidence"] += 1
            it["proof"] += about.get("weight", 1)
            it["total"] += about.get("amount", 0.0)
            it["peak"] = (min if rule.least else max)(it["peak"], about.get("measure", 0.0))
            it["level"] = max(it["level"], about.get("level", Level.INFO))
            it["last_us"] = about.get("until_us", now)
        elif value in {"good", "end"}:
            if not it["opened_us"]:
                del self.incidents[key]
                return
            it["over_us"] = it["over_us"] or max(about.get("since_us", now), it["last_us"])
            it["recovery"] += about.get("weight", 1)
        elif not it["opened_us"] and now - it["last_us"] > rule.doubt_s * 1e6:
            del self.incidents[key]
            return
        elif rule.ends_at_doubt and it["opened_us"]:
            it["over_us"] = it["over_us"] or max(about.get("since_us", now), it["last_us"])
        lasted_s = (it["last_us"] - it["start_us"]) / 1e6
        if not it["opened_us"]:
            long_enough = lasted_s >= about.get("wait_s", rule.seconds) and it["proof"] >= rule.fixes
            far_enough = it["total"] >= rule.or_total and it["proof"] >= rule.or_fixes
            if long_enough or far_enough:
                it["opened_us"], it["retrospective"] = now, self.heard_us - now > incidents.LIVE_US
        if lasted_s > rule.major_s:
            it["level"] = Level.MAJOR
        if value == "end":
            self.close(key, it["last_us"] if rule.ends_at_last else it["over_us"], Ended.RULE)
        elif value == "good" and it["recovery"] >= rule.close_fixes and (now - it["over_us"]) / 1e6 >= rule.close_s:
            self.close(key, it["last_us"] if rule.ends_at_last else it["over_us"], Ended.RETURNED)

    def fresh(self, fix: Fix, kind: Kind, subject: int, about: dict[str, float]) -> dict[str, Any]:
        start = about.get("since_us", fix["time_us"])
        return {
            "kind": kind, "subject": subject, "terminal_id": fix["terminal_id"], "start_us": start, "opened_us": 0, "last_us": start,
            "end_us": -1, "ended": Ended.OPEN, "level": Level.INFO, "peak": about.get("measure", 0.0), "total": 0.0, "evidence": 0,
            "proof": 0, "over_us": 0, "recovery": 0, "lat": fix["lat"], "lon": fix["lon"], "digest": fix["digest"], "retrospective": False,
        }  # fmt: skip

    def close(self, key: tuple[Kind, int], end_us: float, ended: Ended) -> None:
        it = self.incidents.pop(key)
        self.closed.append(it | {"end_us": end_us, "ended": ended})

    def stands_in(self, kind: Kind, subject: int) -> bool:
        return (kind, subject) in self.incidents

    # fences in force for everyone at all times

    def fence_rule(self, fix: Fix) -> list[Said]:
        said: list[Said] = []
        for fence in self.plain.fences:
            inside, edge = _in_fence(fence, fix), _edge_m(fence, fix)
            margin = fence.margin_m
            if fence.stay == Stay.IN:
                value = "good" if inside else "bad" if edge > margin else "neutral"
                level = Level.MAJOR if not inside and edge > fencing.MAJOR_M else Level.WARNING
                measure = 0.0 if inside else edge
                said.append((Kind.OUTSIDE, fence.id, value, {"measure": measure, "amount": fix["moved"], "level": level}))
                continue
            value = "bad" if inside else "good" if edge > margin else "neutral"
            deep = edge > (fences.DEEP_M if inside else margin + fences.DEEP_M)
            level = Level.WARNING if fence.stay == Stay.OUT else Level.INFO
            about: dict[str, float] = {"weight": (4 if inside else 2) if deep else 1, "level": level}
            if passage := self.passage(fence, fix, inside=inside, deep=inside and deep):
                since_us, until_us = passage
                said.append((Kind.INSIDE, fence.id, "bad", {"weight": 4, "level": level, "since_us": since_us, "until_us": until_us}))
                about |= {} if inside else {"since_us": until_us}
            said.append((Kind.INSIDE, fence.id, value, about))
            if fence.dwell_s < math.inf:
                said.append((Kind.DWELT, fence.id, value, {"wait_s": fence.dwell_s, "level": Level.NOTICE}))
            if fence.day_kmh < math.inf:
                pace = "end" if not inside else "bad" if fix["speed_kmh"] > fence.day_kmh else "good"
                said.append(
                    (Kind.OVERSPEED_INSIDE, fence.id, pace, {"measure": fix["speed_kmh"], "amount": fix["moved"], "level": Level.WARNING})
                )
        return said

    def passage(self, fence: Fence, fix: Fix, *, inside: bool, deep: bool) -> tuple[int, int] | None:  # noqa: PLR0911 - likewise
        """When the way from the fix before came into the fence and went out of it, if it went through."""
        last, long_m = self.last, fix["moved"]
        if last is None or deep or not 2 * fences.DEEP_M < long_m <= passing.WAY_M_MAX:
            return None
        lapse_us, begun = fix["time_us"] - last["time_us"], _in_fence(fence, last)
        if (fix["speed_kmh"] + last["speed_kmh"]) / 7.2 * lapse_us / 1e6 > passing.LONGER * long_m + 2 * fences.DEEP_M:
            return None
        if begun and (inside or _edge_m(fence, last) > fences.DEEP_M):
            return None
        way_deg = math.degrees(math.atan2(*_flat_at(fix["lat"], fix["lon"] - last["lon"], fix["lat"] - last["lat"])))
        turns = [abs((each["course_deg"] - way_deg + 180) % 360 - 180) for each in (fix, last) if each["speed_kmh"] >= sight.MOVING_KMH]
        if not turns or max(turns) + passing.COURSE_DEG >= 90:
            return None
        aside_m = long_m / 2 * math.tan(math.radians(max(turns) + passing.COURSE_DEG) / 2)

        def at(part: float) -> Fix:
            return {name: last[name] + part * (fix[name] - last[name]) for name in ("lon", "lat")}

        count = math.ceil(long_m / passing.STEP_M)
        parts = [_in_fence(fence, at((nth + 0.5) / count)) for nth in range(count)]
        runs = [[*group] for held, group in itertools.groupby(range(count), parts.__getitem__) if held]
        if not runs:
            return None
        run = max(runs, key=len)
        enters, leaves = run[0] / count, (run[-1] + 1) / count
        if _edge_m(fence, at((enters + leaves) / 2)) <= fences.DEEP_M + aside_m:
            return None
        return last["time_us"] + int(enters * lapse_us), last["time_us"] + int(leaves * lapse_us)

    # corridors

    def passages(self, fix: Fix) -> list[dict[str, Any]]:
        found = []
        for corridor in self.plain.corridors:
            along, run = 0.0, -2
            for number, (a, b) in enumerate(zip(corridor.points, corridor.points[1:], strict=False)):
                away, part = _to_segment(fix, a, b)
                length = distance_m(*a[:2], *b[:2])
                if away <= corridor.half_width_m + corridors.MARGIN_M:
                    near = away <= 0.8 * corridor.half_width_m
                    passage = {"corridor": corridor.id, "chainage": along + part * length, "away": away, "near": near,
                               "course": _course(a, b), "directed": corridor.directed}  # fmt: skip
                    begins = math.hypot(*_flat(*a[:2], fix["lon"], fix["lat"])) <= corridor.half_width_m + corridors.MARGIN_M
                    turn = abs((_course(a, b) - _course(corridor.points[number - 1], a) + 180) % 360 - 180) if number else 0
                    if number == run + 1 and begins and turn <= corridors.TURN_BACK_DEG:
                        if away < found[-1]["away"]:
                            found[-1] = passage
                    else:
                        found.append(passage)
                    run = number
                along += length
        for passage in found:
            turn = abs((fix["course_deg"] - passage["course"] + 180) % 360 - 180)
            moving = fix["speed_kmh"] >= sight.MOVING_KMH
            passage["forward"] = moving and turn <= 60
            passage["backward"] = moving and turn >= 120 and passage["directed"]
            passage["alone"] = [each["corridor"] for each in found].count(passage["corridor"]) == 1
            passage["parallel"] = not moving or turn <= 60 or turn >= 120
        return found

    def corridor_rule(self, fix: Fix) -> list[Said]:  # noqa: C901 - likewise
        if not self.plain.corridors:
            return []
        c, now = self.course, fix["time_us"]
        if fix["gap"]:
            lapse_s = (now - fix["previous"]["time_us"]) / 1e6 if fix["previous"] else math.inf
            c["state"] = "lost" if lapse_s > following.LOST_S else "off" if c["state"] == "following" else c["state"]
            c |= {"seen_us": 0, "back_us": 0, "maybe": None, "nowhere": False, "shadow": None}
        c["driven"] += fix["moved"]
        passages = self.passages(fix)
        here, there = self.choose(fix, passages)
        maybe = c["maybe"]
        places = there and there["near"] and (fix["speed_kmh"] >= sight.MOVING_KMH or there["alone"])
        agrees = places and maybe and maybe["corridor"] == there["corridor"]
        agrees = agrees and abs(there["chainage"] - maybe["chainage"]) <= _reach(now - maybe["us"])
        if any(
            distance_m(fix["lon"], fix["lat"], *end[:2]) <= corridor.terminus_m
            for corridor in self.plain.corridors
            for end in (corridor.points[0], corridor.points[-1])
        ):
            seen = "terminus"
        elif agrees:
            seen = "confirmed"
        else:
            seen = "followed" if here else "beside" if there else "crossing" if passages else "nowhere"
        c["back_us"] = (c["back_us"] or now) if any(p["near"] for p in passages) else 0
        begun_us = self.shadowed(fix, seen)
        said = self.corridor_says(fix, seen, here, there)
        if begun_us:
            said[0][3]["since_us"] = begun_us
        placed = {"followed": here, "confirmed": there}.get(seen)
        old_maybe = c["maybe"]
        c["nowhere"] = seen == "nowhere"
        if placed:
            c |= {"corridor": placed["corridor"], "chainage": placed["chainage"], "seen_us": now, "driven": 0.0}
        elif seen == "terminus":
            c |= {"seen_us": 0, "driven": 0.0}
        c["maybe"] = old_maybe if seen == "beside" else None
        if there and there["near"] and seen != "confirmed":
            c["maybe"] = {"corridor": there["corridor"], "chainage": there["chainage"], "us": now}
        if placed:
            c["state"] = "following"
        elif seen == "terminus":
            c["state"] = "lost"
        elif c["state"] == "following":
            c["state"] = "off"
        return said

    def shadowed(self, fix: Fix, seen: str) -> int:
        """Since when a vehicle that was lost runs along a corridor and beside it, once it has for long enough to be on a trip; or 0."""
        c, old = self.course, self.course["shadow"]
        ways = []
        for corridor in self.plain.corridors:
            along, best = 0.0, None
            for a, b in zip(corridor.points, corridor.points[1:], strict=False):
                away, part = _to_segment(fix, a, b)
                length = distance_m(*a[:2], *b[:2])
                if best is None or away < best[0]:
                    best = (away, along + part * length, _course(a, b))
                along += length
            turn = abs((fix["course_deg"] - best[2] + 180) % 360 - 180)
            if best[0] <= corridor.half_width_m + corridors.SHADOW_M and (turn <= 60 or (turn >= 120 and not corridor.directed)):
                ways.append((best[0], corridor.id, best[1]))
        if c["state"] != "lost" or seen != "nowhere" or fix["speed_kmh"] < sight.MOVING_KMH or not ways:
            c["shadow"] = None
            return 0
        _, number, chainage = min(ways)
        ahead = abs(chainage - old["chainage"]) if old else 0.0
        if not old or old["corridor"] != number or ahead > fix["moved"] + following.SLACK_M:
            c["shadow"], c["beside"] = {"corridor": number, "chainage": chainage, "us": fix["time_us"]}, 0.0
            return 0
        c["shadow"], c["beside"] = {"corridor": number, "chainage": chainage, "us": old["us"]}, c["beside"] + ahead
        if c["beside"] < following.SHADOWED_M:
            return 0
        c["state"], c["corridor"] = "off", number
        return int(old["us"])

    def choose(self, fix: Fix, passages: list[dict[str, Any]]) -> tuple[Any, Any]:
        c = self.course

        def cost(p: dict[str, Any]) -> float:
            known = p["corridor"] == c["corridor"] and c["seen_us"]
            doubt = min(max(0.2 * (abs(abs(p["chainage"] - c["chainage"]) - c["driven"]) - 100), 0), 60) if known else 60
            return p["away"] + doubt + (40 if p["backward"] else 0)

        reach = _reach(fix["time_us"] - c["seen_us"])
        mine = [
            p
            for p in passages
            if c["state"] == "following" and c["seen_us"] and p["corridor"] == c["corridor"] and abs(p["chainage"] - c["chainage"]) <= reach
        ]
        here = min(mine, key=cost, default=None)
        others = [p for p in passages if (p["forward"] and here["backward"] if here else p["parallel"])]
        return here, min(others, key=cost, default=None)

    def corridor_says(self, fix: Fix, seen: str, here: Any, there: Any) -> list[Said]:  # noqa: C901 - likewise
        c = self.course
        placed = {"followed": here, "confirmed": there}.get(seen)
        subject = c["corridor"] or (placed["corridor"] if placed else 0)
        if not subject:
            return []
        judged = c["state"] != "lost"
        on = here if seen == "followed" else there
        deviation = {"crossing": "neutral", "nowhere": "bad"}.get(seen, "good")
        if seen in {"followed", "beside"} and not on["near"]:
            deviation = "neutral"
        if not judged:
            deviation = "good"
        about: dict[str, float] = {}
        if deviation == "bad":
            corridor = next(each for each in self.plain.corridors if each.id == subject)
            away = min(_to_segment(fix, a, b)[0] for a, b in zip(corridor.points, corridor.points[1:], strict=False))
            level = Level.NOTICE if away < 2 * corridor.half_width_m else Level.WARNING if away <= following.MAJOR_M else Level.MAJOR
            about = {
                "measure": away,
                "amount": fix["moved"] if c["nowhere"] else 0.0 if fix["gap"] else max(away - corridor.half_width_m, 0),
                "level": level,
            }
        if deviation == "good" and c["back_us"]:
            about = {"since_us": c["back_us"]}
        said: list[Said] = [(Kind.DEVIATION, subject, deviation, about)]
        ahead = placed["chainage"] - c["chainage"] if placed else 0.0
        direction, about = "neutral" if judged and seen != "terminus" else "good", {"level": Level.WARNING}
        if seen == "followed":
            direction = "good" if here["forward"] and ahead > 0 else "neutral"
            if here["backward"] and not there and ahead < 0:
                direction, about = "bad", about | {"amount": -ahead}
        if seen == "confirmed":
            if there["corridor"] != subject:
                direction = "end"
            elif there["backward"]:
                direction = "bad"
                about |= {"amount": abs(there["chainage"] - c["maybe"]["chainage"]), "since_us": c["maybe"]["us"]}
        said.append((Kind.WRONG_DIRECTION, subject, direction, about))
        skipped = ahead - c["driven"]
        if seen == "confirmed" and there["corridor"] == subject and c["seen_us"] and not there["backward"] and skipped > 500:
            times = {"since_us": c["seen_us"], "until_us": c["maybe"]["us"], "measure": skipped, "level": Level.WARNING}
            said.append((Kind.SHORTCUT, subject, "moment", times))
        return said

    # stops

    def stop_rule(self, fix: Fix) -> list[Said]:
        said: list[Said] = []
        last, now = self.last, fix["time_us"]
        for stop in self.plain.stops:
            b = _flat(fix["lon"], fix["lat"], stop.lon, stop.lat)
            a = _flat(last["lon"], last["lat"], stop.lon, stop.lat) if last else b
            if fix["gap"] and math.dist(a, b) >= stops.STILL_M:
                a, lapse_us = b, 0
            else:
                lapse_us = now - last["time_us"] if last else 0
            dx, dy = b[0] - a[0], b[1] - a[1]
            length = math.hypot(dx, dy)
            middle = -(a[0] * dx + a[1] * dy) / max(length * length, 1e-9)
            at = min(max(middle, 0), 1)
            nearest = math.hypot(a[0] + at * dx, a[1] + at * dy)
            aside2 = max(a[0] ** 2 + a[1] ** 2 - middle**2 * max(length * length, 1e-9), 0)
            half = math.sqrt(max(stop.radius_m**2 - aside2, 0) / max(length * length, 1e-9))
            enters, leaves = min(max(middle - half, 0), 1), min(max(middle + half, 0), 1)
            still = length < stops.STILL_M
            course = fix["course_deg"] if still else math.degrees(math.atan2(dx, dy))
            turn = abs((course - stop.course_deg + 180) % 360 - 180)
            moves = not still or fix["speed_kmh"] > stops.SLOW_KMH
            close = nearest <= stop.radius_m
            slow = 1.0 if still else ((fix["speed_kmh"] <= 5) + (last["speed_kmh"] <= 5)) / 2
            if close and (math.isnan(turn) or (moves and turn <= 90)):
                value = "bad"
            elif close and not moves:
                value = "hold" if self.stands_in(Kind.STOP_VISIT, stop.id) else "neutral"
            else:
                value = "neutral" if math.hypot(*b) <= 3 * stop.radius_m else "good"
            about = {
                "measure": nearest, "amount": (leaves - enters) * lapse_us / 1e6 * slow,
                "since_us": now - lapse_us + int(enters * lapse_us), "until_us": now - lapse_us + int(leaves * lapse_us),
            }  # fmt: skip
            said.append((Kind.STOP_VISIT, stop.id, value, about))
        return said


def _flat(lon: float, lat: float, lon0: float, lat0: float) -> tuple[float, float]:
    east, north = metres_per_degree(lat0)
    return (lon - lon0) * east, (lat - lat0) * north


def _flat_at(lat: float, east_deg: float, north_deg: float) -> tuple[float, float]:
    east, north = metres_per_degree(lat)
    return east_deg * east, north_deg * north


def _to_segment(fix: Fix, a: Any, b: Any) -> tuple[float, float]:
    (ax, ay), (bx, by) = (_flat(*end[:2], fix["lon"], fix["lat"]) for end in (a, b))
    dx, dy = bx - ax, by - ay
    part = min(max(-(ax * dx + ay * dy) / max(dx * dx + dy * dy, 1e-12), 0), 1)
    return math.hypot(ax + part * dx, ay + part * dy), part


def _course(a: Any, b: Any) -> float:
    east, north = metres_per_degree(a[1])
    return math.degrees(math.atan2((b[0] - a[0]) * east, (b[1] - a[1]) * north)) % 360


def _reach(lapse_us: float) -> float:
    return following.SLACK_M + 160 / 3.6 * min(lapse_us / 1e6, 180)


def _in_fence(fence: Fence, fix: Fix) -> bool:
    if isinstance(fence.shape, Circle):
        return bool(distance_m(fence.shape.lon, fence.shape.lat, fix["lon"], fix["lat"]) <= fence.shape.radius_m)
    return bool(polygon_of(fence.shape).intersects(shapely.Point(fix["lon"], fix["lat"])))


def _edge_m(fence: Fence, fix: Fix) -> float:
    if isinstance(fence.shape, Circle):
        return float(abs(distance_m(fence.shape.lon, fence.shape.lat, fix["lon"], fix["lat"]) - fence.shape.radius_m))
    shape = polygon_of(fence.shape)
    rings = [ring for part in shapely.get_parts(shape) for ring in (part.exterior, *part.interiors)]
    return min(_to_segment(fix, a, b)[0] for ring in rings for a, b in zip(ring.coords, ring.coords[1:], strict=False))
