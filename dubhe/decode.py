"""A decoded frame as a tree for eyes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dubhe.times import shown


def tree(told: Mapping[str, Any]) -> str:
    """The object of `dubhe decode --json` as indented lines, what is absent left out."""
    mark = "✓" if told["ok"] else f"✗ {told['reject']}: {told.get('why') or ''}"
    head = " ".join(str(told[name]) for name in ("protocol", "version", "message_id", "message") if told.get(name))
    rest = {name: value for name, value in told.items() if name not in _IN_HEAD}
    return "\n".join([f"{head} {mark}".strip(), *_lines(rest, 1)])


_IN_HEAD = frozenset({"ok", "reject", "why", "protocol", "version", "message_id", "message"})


def _lines(value: Any, depth: int) -> Iterator[str]:  # noqa: ANN401 - JSON
    pad = "  " * depth
    pairs = value.items() if isinstance(value, Mapping) else ((f"[{n}]", each) for n, each in enumerate(value))
    for name, each in pairs:
        if each is None or (isinstance(each, dict | list) and not each):
            continue
        if isinstance(each, Mapping) or (
            isinstance(each, Sequence) and not isinstance(each, str) and any(isinstance(x, Mapping) for x in each)
        ):
            yield f"{pad}{name}"
            yield from _lines(each, depth + 1)
        else:
            plain = ", ".join(str(shown(one)) for one in each) if isinstance(each, list) else shown(each)
            yield f"{pad}{name}: {plain}"
