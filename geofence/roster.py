"""Who a fence, a corridor or a stop is meant for: parties of terminals, and the terminals in each.

A party is a vehicle, a group or a line, by kind and number; a terminal belongs to any number of them. Every set of parties that
something is meant for becomes an *audience*; whether a terminal belongs to an audience is one look-up in a sorted column.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from tracks.spans import Index, Mask
from tracks.track import expand, rows_of

Party = tuple[str, int]
"""Kind and number: ("vehicle", 12), ("group", 3), ("line", 71)."""

Parties = frozenset[Party] | None
"""Who something is meant for; None means everyone."""

EVERYONE: Final = 0
TERMINAL_BITS: Final = 40


@dataclass(frozen=True, slots=True)
class Audiences:
    """Which terminals belong to which audience. Audience 0 is everyone."""

    members: Index
    """Audience and terminal as one integer, ascending."""

    @classmethod
    def of(cls, meant_for: Sequence[Parties], roster: Mapping[int, Collection[Party]]) -> tuple[Self, Index]:
        """The audiences of things meant for these parties, and the audience of each thing. `roster` gives each terminal's parties."""
        terminals: dict[Party, list[int]] = {}
        for terminal_id, parties in roster.items():
            assert 0 <= terminal_id < 2**TERMINAL_BITS, "the id of a terminal has more than 40 bits"
            for party in parties:
                terminals.setdefault(party, []).append(terminal_id)
        number: dict[Parties, int] = {None: EVERYONE}
        audience = [number.setdefault(parties, len(number)) for parties in meant_for]
        members = [
            (place << TERMINAL_BITS) | terminal_id
            for parties, place in number.items()
            for terminal_id in {one for party in parties or () for one in terminals.get(party, ())}
        ]
        return cls(np.array(sorted(members), np.int64)), np.array(audience, np.int64)

    def admit(self, audience: Index, terminal_id: Index) -> Mask:
        """Whether each terminal belongs to the audience beside it."""
        admitted: Mask = audience == EVERYONE
        if len(self.members) and not admitted.all():
            asked = (audience << TERMINAL_BITS) | terminal_id
            place = np.minimum(np.searchsorted(self.members, asked), len(self.members) - 1)
            admitted |= self.members[place] == asked
        return admitted

    def terminals(self, audience: int) -> Index:
        """The members of an audience that is not everyone, ascending."""
        first, last = np.searchsorted(self.members, [audience << TERMINAL_BITS, (audience + 1) << TERMINAL_BITS])
        terminals: Index = self.members[first:last] & (2**TERMINAL_BITS - 1)
        return terminals


@dataclass(frozen=True, slots=True)
class Assigned:
    """Things (rows of some index) by the terminals they are meant for."""

    terminal_id: Index
    """Those that any is meant for alone, ascending."""
    count: Index
    """How many are meant for each of them; a last element for all other terminals."""
    first: Index
    """The place in `row` of the first of these."""
    row: Index
    for_all: Index
    """The things of everyone."""

    @classmethod
    def of(cls, rows: Index, audience: Index, audiences: Audiences) -> Self:
        """The things at `rows`, each meant for the audience beside it."""
        members = [audiences.terminals(place) if place != EVERYONE else np.empty(0, np.int64) for place in audience.tolist()]
        terminal_id = np.concatenate([np.empty(0, np.int64), *members])
        thing = np.repeat(rows, [len(each) for each in members])
        known, count = np.unique(terminal_id, return_counts=True)
        count = np.append(count, 0)
        return cls(known, count, np.cumsum(count) - count, thing[np.argsort(terminal_id, kind="stable")], rows[audience == EVERYONE])

    def to(self, terminal_id: Index) -> tuple[Index, Index]:
        """Pairs of element of `terminal_id`, ascending, and thing (row) meant for it."""
        place = rows_of(terminal_id, self.terminal_id)
        which, nth = expand(self.count[place])
        row = self.row[self.first[place][which] + nth]
        if len(self.for_all):
            which = np.concatenate((which, np.repeat(np.arange(len(terminal_id)), len(self.for_all))))
            row = np.concatenate((row, np.tile(self.for_all, len(terminal_id))))
            order = np.argsort(which, kind="stable")
            which, row = which[order], row[order]
        return which, row
