"""Reads the NMEA vectors beside this file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE = "# source: "


class Vector(NamedTuple):
    source: str
    state: str
    """ok, short, or bad(xx) where the checksum would be xx."""
    sentence: bytes


@cache
def vectors() -> tuple[Vector, ...]:
    """Sentences of public logs, in the order of the file."""
    found, source = [], ""
    for line in (Path(__file__).parent / "nmea.txt").read_bytes().splitlines():
        if line.startswith(b"#"):
            source = line.decode().removeprefix(SOURCE)
            continue
        state, sentence = line.split(b"\t")
        found.append(Vector(source, state.decode(), sentence))
    return tuple(found)


def of_source(beginning: str) -> list[bytes]:
    """The sentences whose source begins so."""
    found = [vector.sentence for vector in vectors() if vector.source.startswith(beginning)]
    assert found, beginning
    return found
