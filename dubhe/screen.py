"""What a person sees of the demo: counters and the latest incidents, as a table that changes or as plain lines, in both languages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from compliance.vehicles import SENTENCES, Reason
from storage.incidents import Incident, counted
from tracks.event import KINDS, Kind
from tracks.week import BEIJING

CHINESE: Final = {
    "entered": "进入围栏", "left": "离开围栏", "strayed": "偏离", "returned": "返回", "dwelt": "滞留", "overspeed_inside": "围栏内超速",
    "detour": "绕行", "wrong_direction": "逆行", "shortcut": "漏行路段", "arrived": "到站", "departed": "离站", "overspeed": "超速",
    "fatigue": "疲劳驾驶", "day_driving": "日累计超时", "night_coach": "夜间禁行", "parked": "超时停车", "offline": "离线",
    "alarm_raised": "终端报警", "alarm_cleared": "报警解除", "non_compliant_running": "不合规运营",
}  # fmt: skip
"""Words of `KINDS` in Chinese; a word that is not here stands for itself, and one that ends in _over is the other's end 结束."""
LINES: Final = 6
"""So many of the latest incidents stand on the screen; as many calls at stops, which are by far the most, stand below them."""


class Line(NamedTuple):
    """A word that was told of an incident, and the time it is about."""

    at: datetime
    word: str
    incident: Incident


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it has come."""

    elapsed_s: float
    tally: dict[str, Any]
    answered: int
    stored: int
    rejected: int
    found: list[Incident]


def told(found: Iterable[Incident]) -> Iterator[Line]:
    """All words of incidents, in no order."""
    for each in found:
        for at, word in zip((each.started_at, each.ended_at), each.words, strict=False):
            yield Line(at or each.opened_at, word, each)


def _when(line: Line) -> datetime:
    return line.at


def chinese(word: str) -> str:
    """A word of `KINDS` in Chinese."""
    plain = word.removesuffix("_over")
    return CHINESE.get(plain, plain) + ("结束" if plain != word else "")


def readable(line: Line, name: str) -> str:
    """One line about it: when (UTC+8), who, what, where or why, how bad at the worst so far."""
    each, about = line.incident, KINDS[line.incident.kind]
    what = name if each.record_only else " ".join([name, *(" ".join(SENTENCES[reason]) for reason in Reason(each.reasons))]).strip()
    peak = f", {each.peak:.0f} {about.peak}" if about.peak else ""
    late = " (found late 补判)" if each.retrospective else ""
    record = " (for the record only 仅存档)" if each.record_only else ""
    at = f"{line.at.astimezone(BEIJING):%H:%M:%S}"
    return f"{at} {each.plate or each.terminal} {line.word} {chinese(line.word)}: {what}{peak}{late}{record}"


class Plain:
    """Lines for a log: each incident but calls at stops once, and the counters."""

    def __init__(self, name: Callable[[Incident], str]) -> None:
        self._name = name
        self._said: set[tuple[int, str]] = set()

    def lines(self, now: Progress) -> list[str]:
        """What is new."""
        new = [
            line for line in told(now.found) if line.incident.kind != Kind.STOP_VISIT and (line.incident.id, line.word) not in self._said
        ]
        self._said |= {(line.incident.id, line.word) for line in new}
        counters = f"{now.elapsed_s:5.1f} s  sent {now.tally['sent']}  answered {now.answered}  stored {now.stored}"
        words = "  ".join(f"{word} {chinese(word)} {count}" for word, count in counted(now.found).items())
        return [
            *(f"         {readable(line, self._name(line.incident))}" for line in sorted(new, key=_when)),
            f"{counters}  {words}".rstrip(),
        ]


def table(title: str, now: Progress, name: Callable[[Incident], str]) -> RenderableType:
    """The counters, and the latest that was told."""
    doors = Table(title=title, min_width=60)
    for heading in ("logged in 在线", "sent 已发", "answered 已应答", "stored 已入库", "refused 隔离"):
        doors.add_column(heading, justify="right")
    doors.add_row(str(now.tally["logins"]), str(now.tally["sent"]), str(now.answered), str(now.stored), str(now.rejected))
    words = Table(min_width=60)
    counts = counted(now.found)
    for word in counts:
        words.add_column(f"{word} {chinese(word)}", justify="right")
    words.add_row(*map(str, counts.values()))
    lines = sorted(told(now.found), key=_when)
    calls = [line for line in lines if line.incident.kind == Kind.STOP_VISIT]
    others = [line for line in lines if line.incident.kind != Kind.STOP_VISIT]
    shown = [readable(line, name(line.incident)) for some in (others, calls) for line in some[-LINES:]]
    return Group(doors, words, Text("\n".join(shown), no_wrap=True, overflow="ellipsis")) if counts else doors
