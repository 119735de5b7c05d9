"""How much evidence opens an incident and how much closes it: the two tables of the machine in `incidents.py`.

`NEXT` says where a state goes on a signal. `EVIDENCE` says, kind by kind, how much is enough, and what a gap in the data does.

    QUIET --bad--> SUSPECT --enough bad--> OPEN --good--> RECOVERING --enough good--> closed: QUIET, or COOLING for a while
                   SUSPECT --good--> QUIET                RECOVERING --bad--> OPEN
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracks.code import plain
from tracks.event import Kind


class State(IntEnum):
    """How far an incident has come. Numbers are kept in stored state."""

    QUIET = 0
    SUSPECT = 1
    OPEN = 2
    RECOVERING = 3
    COOLING = 4
    """Closed, and remembered for a while in case terminal or platform finds the same, or the alarm goes on."""


STATE: Final = plain(State)


def _next() -> NDArray[np.uint8]:
    quiet, suspect, opened, recovering, cooling = State
    table = {
        #           END,    GOOD,       NEUTRAL,    BAD,     HOLD
        quiet: (quiet, quiet, quiet, suspect, quiet),
        suspect: (quiet, quiet, suspect, suspect, suspect),
        opened: (recovering, recovering, opened, opened, opened),
        recovering: (recovering, recovering, recovering, opened, opened),
        cooling: (cooling, cooling, cooling, suspect, cooling),
    }
    return np.array([table[state] for state in State], np.uint8)


NEXT: Final = _next()
"""The state after a signal, before the evidence is weighed: NEXT[state, value - Value.END]."""


class Gap(IntEnum):
    """What a gap in the data does to an incident."""

    KEEP = 0
    """Evidence not yet sufficient is void, unless the vehicle stands where it stood before; what is open stays open."""
    CLOSE = 1
    """Evidence not yet sufficient is void, and what is open ended at the last good fix."""
    BRIDGE = 2
    """Nothing: the condition is known to last through silence."""


GAP: Final = plain(Gap)


class Evidence(NamedTuple):
    """How much is enough. An incident opens on `fixes` and `seconds`, or on `or_fixes` and `or_total`."""

    fixes: int
    seconds: float
    or_fixes: int = 1
    or_total: float = np.inf
    close_fixes: int = 2
    close_s: float = 0.0
    gap: Gap = Gap.KEEP
    update_s: float = np.inf
    """How often an incident that lasts is told again."""
    major_s: float = np.inf
    """How long it may last before it is MAJOR."""
    ends_at_last: bool = False
    """It was over when last seen, not when first missed."""
    least: bool = False
    """The peak is the smallest measure."""
    lasts_s: float = np.inf
    """How long it may be open without being shown again; then what followed is unknown, and it was over when last seen."""
    ends_at_doubt: bool = False
    """It was over when first doubtful, if what followed did not show it again: the margin proves, the border dates."""
    doubt_s: float = np.inf
    """After so long without being shown, a doubtful fix voids what is not yet enough: noise adds up to nothing, and dates no begin."""


EVIDENCE: Final[Mapping[Kind, Evidence]] = {
    Kind.INSIDE: Evidence(2, 3, or_fixes=4, or_total=0, ends_at_doubt=True, doubt_s=0),
    Kind.OUTSIDE: Evidence(2, 60, update_s=600, major_s=600, doubt_s=5),
    Kind.DWELT: Evidence(2, 0, ends_at_doubt=True),
    Kind.OVERSPEED_INSIDE: Evidence(2, 30, close_fixes=1, close_s=60, gap=Gap.CLOSE),
    Kind.DEVIATION: Evidence(3, 60, or_fixes=2, or_total=300, gap=Gap.CLOSE, update_s=600, major_s=600, doubt_s=90),
    Kind.DETOUR: Evidence(3, 60, or_fixes=2, or_total=300, gap=Gap.CLOSE),
    Kind.WRONG_DIRECTION: Evidence(3, np.inf, or_fixes=3, or_total=300, gap=Gap.CLOSE, update_s=600),
    Kind.SHORTCUT: Evidence(1, 0),
    Kind.STOP_VISIT: Evidence(1, 0, close_fixes=1, ends_at_last=True, least=True),
    Kind.OVERSPEED: Evidence(2, 30, close_fixes=1, close_s=60, gap=Gap.CLOSE, update_s=600),
    Kind.FATIGUE: Evidence(1, 0, close_fixes=1, update_s=600),
    Kind.DAY_DRIVING: Evidence(1, 0, close_fixes=1, update_s=600),
    Kind.NIGHT_COACH: Evidence(3, 60, close_fixes=1, gap=Gap.CLOSE, update_s=600),
    Kind.PARKED: Evidence(1, 0, gap=Gap.BRIDGE),
    Kind.OFFLINE: Evidence(1, 0),
    Kind.TERMINAL_ALARM: Evidence(1, 0, close_fixes=1, update_s=600, lasts_s=600),
    Kind.NON_COMPLIANT_RUNNING: Evidence(2, 300, or_fixes=2, or_total=500, close_fixes=1, update_s=600),
}
"""Overspeed as the assessment of 2016 counts it (交运发〔2016〕160号: longer than 30 s; several within a minute are one).
Inside of a fence is who is deep in it once, at two fixes three seconds apart, or at four: errors of one a second agree for a while.
For the others no rule says how long is long: three fixes and a minute are our own, so that one noisy position raises nothing.
Outside of a zone, noise beyond the margin is doubted again within five seconds; a crossing of its own corridor takes a bus up to 90.
An alarm that its terminal raises and never ends lasts ten minutes: our own, unmeasured."""


def thresholds(evidence: Mapping[Kind, Evidence] = EVIDENCE) -> NDArray[Any]:
    """`evidence` as columns: one element per kind, to be indexed with a column of kinds."""
    kinds = {"fixes": "i4", "or_fixes": "i4", "close_fixes": "i4", "gap": "u1"}
    kinds |= dict.fromkeys(("ends_at_last", "least", "ends_at_doubt"), "?")
    table = np.zeros(max(Kind) + 1, [(name, kinds.get(name, "f8")) for name in Evidence._fields])
    for kind, enough in evidence.items():
        table[kind] = tuple(enough)
    return table
