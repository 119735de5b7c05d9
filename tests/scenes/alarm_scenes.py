"""The scenes of alarms: what additional items say, put together by hand, and the incidents that it amounts to."""

# ruff: noqa: E501 - one scene, one line
from __future__ import annotations

from typing import Final

from fix_road import Wait, altered, drive
from scene_table import CLEAN, OPEN, Incident, Scene, shuffled


def item(number: int, value: bytes) -> bytes:
    """An additional item."""
    return bytes([number, len(value)]) + value


def adas(flag: int, kind: int) -> bytes:
    """0x64 as T/JSATL 12-2017 prints it: 47 bytes, of which the first six matter."""
    return item(0x64, bytes([0, 0, 0, 9, flag, kind]) + bytes(41))


def dsm(flag: int, kind: int) -> bytes:
    """0x65, likewise."""
    return item(0x65, bytes([0, 0, 0, 9, flag, kind]) + bytes(41))


def crossing(kind: int, place: int, out: int) -> bytes:
    """0x12: kind of place, its id, 0 in and 1 out."""
    return item(0x12, bytes([kind]) + place.to_bytes(4, "big") + bytes([out]))


AREA_BIT = 1 << 20
LANE, SMOKING, ENTERED_7, LEFT_7 = 33, 42, 7 << 8 | 68, 7 << 8 | 70
"""Subjects, as docs/alarms.md numbers them."""
RAISED_AND_CLEARED = altered(altered(drive(*CLEAN), [100], items=adas(1, 2)), [160], items=adas(2, 2))


def alarm(subject: int, start: float, end: float | None, level: int, ended: str | None = "returned") -> Incident:
    """An alarm of the terminal's."""
    return Incident("terminal_alarm", start, end, level, ended, subject)


ALARMS: Final = [
    Scene("lane departure raised and cleared", [], RAISED_AND_CLEARED, [alarm(LANE, 100, 160, 2)], every=1),
    Scene("lane departure raised and cleared, bundles in no order", [], RAISED_AND_CLEARED, [alarm(LANE, 100, 160, 2)], shuffled, every=1),
    Scene("lane departure and smoking at once", [], altered(altered(drive(*CLEAN), [100], items=adas(1, 2) + dsm(1, 3)), [160], items=dsm(2, 3)), [alarm(LANE, 100, OPEN, 2, None), alarm(SMOKING, 100, 160, 2)], every=1),
    Scene("smoking that is never cleared", [], altered(drive(*CLEAN, Wait(300)), [100], items=dsm(1, 3)), [alarm(SMOKING, 100, 100, 2, "gap")], every=1),
    Scene("smoking without begin and end", [], altered(drive(*CLEAN), [100, 200], items=dsm(0, 3)), [alarm(SMOKING, 100, 100, 2), alarm(SMOKING, 200, 200, 2)], every=1),
    Scene("in and out of an area of the terminal's own", [], altered(altered(drive(*CLEAN), [250], items=crossing(1, 7, 0)), [350], items=crossing(1, 7, 1)), [alarm(ENTERED_7, 250, 250, 2), alarm(LEFT_7, 350, 350, 2)], every=1),
    Scene("an alarm of the word and its item", [], altered(drive(*CLEAN), [250], items=crossing(1, 7, 0), alarm=AREA_BIT), [alarm(20, 250, 260, 2), alarm(ENTERED_7, 250, 250, 2)], every=1),
]  # fmt: skip
