"""Print the pages that repeat what the code says: settings, metrics, commands, messages, reasons.

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

from compliance.vehicles import SENTENCES, Reason
from dubhe.cli import app
from ingest.metrics import REGISTRY
from ingest.settings import ENVIRONMENT_PREFIX, Settings
from protocols.jt808.messages import MESSAGES

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
    rows = (f"| {reason.bit_length() - 1} | `{reason.word}` | {' | '.join(SENTENCES[reason])} |" for reason in Reason)
    return "\n".join([*lines, *rows])


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
