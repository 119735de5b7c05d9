"""Reads the JT/T 808 vectors beside this file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@cache
def _lines(name: str) -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines())


def frames() -> tuple[dict[str, Any], ...]:
    """Frames from the road and from other projects' tests."""
    return _lines("jt808_frames.jsonl")


def bodies() -> tuple[dict[str, Any], ...]:
    """Bodies without a frame."""
    return _lines("jt808_bodies.jsonl")


def streams() -> tuple[dict[str, Any], ...]:
    """Several frames and garbage in one stream."""
    return _lines("jt808_streams.jsonl")


def synthetic(name: str) -> bytes:
    """The bytes of a hand-made case."""
    return next(bytes.fromhex(each["hex"]) for each in _lines("jt808_synthetic.jsonl") if each["name"] == name)


def wire(vector: dict[str, Any]) -> bytes:
    """A frame as it travels."""
    return bytes.fromhex(vector.get("wire_hex") or vector["hex"])


def catalogue() -> dict[int, tuple[str, str]]:
    """Message id → direction and editions that define a body."""
    lines = (line.split(maxsplit=2) for line in (HERE / "jt808_messages.txt").read_text("utf-8").splitlines() if line[0] != "#")
    return {int(message_id, 16): (direction, editions) for message_id, direction, editions in lines}
