"""Print the pages that repeat what the code says: settings, metrics, commands, messages, reasons, events, alarms.

`python docs/generate.py` writes them; `--check` fails, naming the page, when one is no longer what the code says.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import typer.main
from typer.core import TyperGroup

from compliance.vehicles import BARS, NEEDS, SENTENCES, Reason
from dubhe.cli import app
from dubhe.screen import chinese
from ingest.metrics import REGISTRY
from ingest.settings import ENVIRONMENT_PREFIX, Settings
from protocols.jt808.messages import MESSAGES
from tracks.alarms import ALARMS, HELD_FROM, WORD_BITS
from tracks.event import KINDS, EventBatch, Level
from tracks.fix import ABSENT

HERE: Final = Path(__file__).parent
VECTORS: Final = ("tests/vectors/jt808_frames.jsonl", "tests/vectors/jt808_bodies.jsonl")
HEAD: Final = "<!-- Printed by docs/generate.py; do not edit. -->\n\n"


def settings() -> str:
    """Every setting with its environment variable, default and bounds."""
    lines = [
        "# Settings 设置",
        "",
        "From a TOML file (`--config FILE`, names as below), then environment variables, then flags.",
        "",
        "| setting | environment | default | allowed | meaning |",
        "|---|---|---|---|---|",
    ]
    for name, (about, default) in Settings.about().items():
        shown = "`~/.local/share/dubhe`" if name == "data_dir" else f"`{default}`" if default != "" else "(empty)"
        lines.append(f"| `{name}` | `{ENVIRONMENT_PREFIX}{name.upper()}` | {shown} | {about.allowed} | {about.meaning} |")
    return "\n".join(lines)


def metrics() -> str:
    """Every metric with its question."""
    lines = [
        "# Metrics 指标",
        "",
        "`GET /metrics` on `http_listen`, the sum over all workers.",
        "",
        "| metric | kind | meaning |",
        "|---|---|---|",
    ]
    for family in sorted(REGISTRY.collect(), key=lambda each: each.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        lines.append(f"| `{name}` | {family.type} | {family.documentation} |")
    return "\n".join(lines)


def commands() -> str:
    """The help of every command."""
    lines = ["# Commands 命令", ""]
    for path, help_text in _commands(typer.main.get_command(app), "dubhe"):
        lines += [f"## `{path}`", "", "```", *(line.rstrip() for line in help_text.splitlines()), "```", ""]
    return "\n".join(lines).rstrip()


def _commands(command: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - typer carries click's classes under its own name
    """Path and help of a command and of those below it."""
    context = command.context_class(command, info_name=path, terminal_width=100, max_content_width=100)
    yield path, command.get_help(context)
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            yield from _commands(command.get_command(context, name), f"{path} {name}")


def reasons() -> str:
    """Every reason for which a vehicle may not run."""
    lines = [
        "# Reasons 不合规原因",
        "",
        "Why a vehicle is not compliant at a moment. All of them count unless the setting `compliance_requires` says otherwise;",
        "`driver_unqualified` counts only where it is asked for. The bit is its place in the number that is stored.",
        "",
        "| bit | reason | meaning | 含义 |",
        "|---|---|---|---|",
    ]
    given = {reason for need in NEEDS.values() for reason in need} | set(BARS.values())
    rows = []
    for reason in Reason:
        english, chinese = SENTENCES[reason]
        reserved = "" if reason in given else " (reserved: nothing gives it yet)"
        rows.append(f"| {reason.bit_length() - 1} | `{reason.word}` | {english}{reserved} | {chinese} |")
    return "\n".join([*lines, *rows])


def events() -> str:
    """The columns of the table of events, and what each kind is about."""
    lines = [
        "# Events 事件",
        "",
        "The table `events` has one row per incident, as it was last told, stored with the fixes that showed it. What lasts has no",
        "`ended_at`, what did not happen after all has `withdrawn_at`; what is `retrospective` or `record_only` is no alarm.",
        "What is absent is null.",
        "",
        "`dubhe events` lists them, the newest first, for eyes or as JSON and CSV ([commands.md](commands.md)); SQL asks anything else:",
        "",
        "```sql",
        "SELECT e.started_at, e.ended_at, v.plate, e.kind, e.subject, e.level, e.peak, e.total",
        "FROM events e LEFT JOIN vehicles v ON v.id = e.vehicle_id",
        "WHERE e.withdrawn_at IS NULL AND e.started_at >= now() - interval '1 day' ORDER BY e.started_at;",
        "```",
        "",
        "`psql $DUBHE_DATABASE_URL` asks a database of your own. The embedded one listens on a socket in its directory, for the user that",
        "runs it and while `dubhe serve` runs: `psql -h ~/.local/share/dubhe/postgres -U postgres dubhe` (an absolute path; `postgres` in",
        "`data_dir`). Where there is no psql, the embedded database brings one: `find .venv -name psql`.",
        "",
        "| column | unit | meaning |",
        "|---|---|---|",
        *(f"| `{name}` | {unit} | {meaning} |" for name, unit, meaning in _event_columns()),
        "",
        f"`level` is {', '.join(f'{each.value} {each.name.lower()}' for each in Level)}.",
        "`ended` is `returned`, `gap` (what followed is unknown) or `rule` (the rule ended first).",
        "",
        "## Kinds",
        "",
        "An incident's opening and its closing have a word each; events are counted under them. Those that are a moment have one.",
        "",
        "| kind | opened | closed | subject | peak | total |",
        "|---|---|---|---|---|---|",
    ]
    for kind, about in KINDS.items():
        words = (f"`{word}` {chinese(word)}" for word in (about.opened, about.closed))
        lines.append(f"| `{kind.name.lower()}` | {' | '.join((*words, about.subject, about.peak, about.total))} |")
    return "\n".join(lines)


def _event_columns() -> Iterator[tuple[str, str, str]]:
    """Name, unit and meaning of each column."""
    times = {"start_us": "started_at", "end_us": "ended_at", "opened_us": "opened_at", "last_us": "last_at"}
    words = {
        "kind": "what it is about, see below",
        "subject": "fence, corridor, stop, alarm ([alarms.md](alarms.md)); 0 where there is none",
        "ended": "why it is over, or absent while it lasts",
    }
    for name, about in EventBatch.columns().items():
        if name != "phase":
            unit = "" if name in times else about.unit.replace("KINDS says", "its kind says")
            yield times.get(name, name), unit, words.get(name, about.meaning)
    yield "reasons", "", "why the vehicle was not compliant when it began, one bit each ([reasons.md](reasons.md)); 0: nothing"
    yield "record_only", "", "found of a vehicle that should not have been running: kept, and no alarm"
    yield "withdrawn_at", "", "when late fixes, or a correction of the registry, showed that it did not happen"


def alarms() -> str:
    """Every alarm that a terminal tells."""
    lines = [
        "# Alarms 终端报警",
        "",
        "What the subject of an event of kind `terminal_alarm` says: `subject & 255` is the number below, `subject >> 8` the id of",
        "the area, route or segment that the terminal names, 0 for none. Numbers 0 to 31 are the bits of the alarm word.",
        "",
        "*Held* lasts as long as reports say so. *Flag* begins and ends when the item says so (flag 1 and 2), is a moment when it says",
        "neither (0), and ends where it was last seen when ten minutes of reports do not mention it. A bit that is set again within a",
        "minute goes on with its incident, so that one that flickers is one. What details another alarm is one incident with it",
        "(`same_as`).",
        "",
        "| number | alarm | 含义 | item | lasts | details | place | level |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, alarm in ALARMS.items():
        item, detail = ("" if of == ABSENT else form.format(of) for of, form in ((alarm.item, "`0x{:02X}`"), (alarm.detail_of, "{}")))
        lasts = "flag" if WORD_BITS <= number < WORD_BITS + HELD_FROM else "held"
        about = (f"`{alarm.word}`", alarm.chinese, item, lasts, detail, "yes" if alarm.placed else "", alarm.level.name.lower())
        lines.append(f"| {number} | " + " | ".join(map(str, about)) + " |")
    return "\n".join(lines)


def messages() -> str:
    """Every message id with what Dubhe does with it."""
    lines = [
        "# Messages 报文",
        "",
        "Every message id that Dubhe knows by name. A body that is not read is kept whole, and the message is answered as unsupported (3).",
        "",
        "Editions are those that define a body; vectors count the frames and bodies from the road in tests/vectors.",
        "",
        "| id | name | 名称 | direction | standard | editions | body is read and built as | vectors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    vectors = Counter(
        int(json.loads(line)["msg_id"], 16) for name in VECTORS for line in (HERE.parent / name).read_text("utf-8").splitlines()
    )
    for number, message in sorted(MESSAGES.items()):
        about = (message.name, message.title, message.direction, message.standard, message.editions, message.bodies, vectors[number])
        lines.append(f"| `0x{number:04X}` | " + " | ".join(map(str, about)) + " |")
    return "\n".join(lines)


PAGES: Final[dict[str, Callable[[], str]]] = {
    "settings.md": settings,
    "metrics.md": metrics,
    "commands.md": commands,
    "messages.md": messages,
    "reasons.md": reasons,
    "events.md": events,
    "alarms.md": alarms,
}


def main() -> int:
    """Write the pages, or with --check compare them."""
    stale = []
    for name, page in PAGES.items():
        path, text = HERE / name, f"{HEAD}{page()}\n"
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(HERE.parent)))
    if stale:
        print(f"stale: {', '.join(stale)}; run `make docs` and commit the result", file=sys.stderr)  # noqa: T201 - a command prints
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
