"""How what a terminal keeps and what the server has differ, in words.

Three versions meet: `here` is what we would send now, `kept` what the terminal last said ok to, `there` what it lists when it is asked.
All are in the comparable form of the terminal's edition, so what is alike there is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from dubhe.areas import Area
from protocols.errors import ProtocolError
from protocols.jt808.kept import Kept, alike, differences, kept
from storage.areas import Queued, SentArea

NOUNS: Final = {"circle": "fence", "rectangle": "fence", "polygon": "fence", "route": "corridor"}
"""What an area of each kind is at the server."""


class State(StrEnum):
    """How one area stands."""

    SAME = "same"
    CHANGED = "changed here since"
    NEVER_SENT = "never sent"
    WAITING = "waiting for the terminal"
    RECALLED = "recalled"
    NOT_CONFIRMED = "not confirmed"
    MISSING = "missing at the terminal"
    UNKNOWN = "unknown at the server"
    DIFFERS = "differs"
    CANNOT = "cannot be kept by the terminal"

    @property
    def drifts(self) -> bool:
        """What was sent and not recalled, or is there, is not as it should be."""
        return self not in {State.SAME, State.NEVER_SENT, State.WAITING, State.RECALLED, State.CANNOT}


@dataclass(frozen=True, slots=True)
class Standing:
    """One fence or corridor at one terminal."""

    noun: str
    id: int
    kind: str
    """Of the area; empty where none can be made."""
    name: str
    state: State
    why: str
    sent_at: datetime | None = None
    confirmed_at: datetime | None = None
    here: Kept | None = None
    kept: Kept | None = None
    there: Kept | None = None
    queued: Queued | None = None
    """What is still to be said of it to a terminal that is offline."""


@dataclass(frozen=True, slots=True)
class Here:
    """What the server has: the area that it makes for this terminal, or why it makes none."""

    name: str
    area: Area | None
    why: str = ""


Key = tuple[str, int]
"""Noun and id."""


def standings(
    edition: int,
    here: Mapping[Key, Here],
    sent: Sequence[SentArea],
    there: Mapping[str, Mapping[int, Kept]],
    queued: Mapping[tuple[str, int], Queued],
) -> list[Standing]:
    """Each area that is at either end or on its way, by noun and id.

    `there` has the kinds that the terminal was asked for, and what it listed; `queued` what waits, by kind and id.
    """
    rows = {(row.kind, row.area_id): row for row in sent if row.removed_at is None}
    recalled = {(NOUNS[row.kind], row.area_id): row for row in sorted(sent, key=lambda row: row.sent_at) if row.removed_at is not None}
    places = rows.keys() | {(kind, number) for kind, areas in there.items() for number in areas}
    placed = {(NOUNS[kind], number) for kind, number in places}
    found = [_absent(key, each, recalled.get(key)) for key, each in here.items() if key not in placed]
    for kind, number in places:
        server = here.get((NOUNS[kind], number))
        found.append(_standing(edition, (kind, number), server, rows.get((kind, number)), there.get(kind)))
    on_their_way = {place for place, waits in queued.items() if waits.sets} - {(each.kind, each.id) for each in found}
    for kind, number in on_their_way:  # of a shape that was removed, or became of another kind, since
        name = here[key].name if (key := (NOUNS[kind], number)) in here else ""
        found.append(Standing(*key, kind, name, State.NEVER_SENT, ""))
    return sorted((_waiting(each, queued.get((each.kind, each.id))) for each in found), key=lambda each: (each.noun, each.id, each.kind))


def _waiting(each: Standing, queued: Queued | None) -> Standing:
    """The same with what waits for the terminal; what it keeps already is judged as it is until then."""
    coming = queued is not None and queued.sets and each.state in {State.NEVER_SENT, State.RECALLED}
    return replace(each, state=State.WAITING if coming else each.state, queued=queued)


def _absent(key: Key, here: Here, last: SentArea | None) -> Standing:
    """What the terminal does not keep, and is not meant to: it was never sent, or recalled since."""
    if here.area is None:
        return Standing(*key, "", here.name, State.CANNOT, here.why)
    state, sent_at, confirmed_at = (State.RECALLED, last.sent_at, last.confirmed_at) if last else (State.NEVER_SENT, None, None)
    return Standing(*key, here.area.kind, here.name, state, here.why, sent_at=sent_at, confirmed_at=confirmed_at, here=here.area.kept)


def _standing(edition: int, place: tuple[str, int], here: Here | None, row: SentArea | None, asked: Mapping[int, Kept] | None) -> Standing:
    kind, number = place
    last, confirmed = (_kept(kind, edition, fields) for fields in ((row.sent, row.kept) if row else (None, None)))
    there = asked.get(number) if asked is not None else None
    mine = here.area.kept if here and here.area and here.area.kind == kind else None
    state, why = _judged(here, mine, last, confirmed, there if asked is not None else confirmed)
    if state is State.NOT_CONFIRMED and row:
        why = row.result or "no answer yet"
    name = here.name if here else str((there or last or {}).get("name", ""))
    return Standing(
        NOUNS[kind],
        number,
        kind,
        name,
        state,
        why,
        sent_at=row.sent_at if row else None,
        confirmed_at=row.confirmed_at if row else None,
        here=mine,
        kept=confirmed,
        there=there,
    )


def _judged(here: Here | None, mine: Kept | None, last: Kept | None, confirmed: Kept | None, holds: Kept | None) -> tuple[State, str]:
    """Of what the server would send, what left last, what was confirmed last and what the terminal holds."""
    if holds is None:
        return (State.MISSING if confirmed else State.NOT_CONFIRMED), ""
    if here is None:
        return State.UNKNOWN, ""
    if mine is None:
        return State.CHANGED, here.why or f"another shape: {here.area.kind if here.area else 'none'}"
    if alike(mine, holds):
        return State.SAME, ""
    if alike(mine, last) and not alike(last, confirmed):
        return State.NOT_CONFIRMED, ""
    return (State.CHANGED if alike(holds, confirmed) else State.DIFFERS), "; ".join(differences(mine, holds))


def _kept(kind: str, edition: int, fields: dict[str, Any] | None) -> Kept | None:
    """As it comes back from a terminal; None also where the terminal's edition has changed since and cannot say it."""
    try:
        return kept(kind, edition, fields) if fields else None
    except ProtocolError:
        return None
