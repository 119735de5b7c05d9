"""`Keeper`: one terminal, asked to keep areas, to forget them, and to say which it keeps; each request is a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dubhe.areas import TOLERANCE_M, CannotKeep, area_of
from dubhe.drift import NOUNS, State
from geofence import geojson
from geofence.corridors import Corridor
from geofence.datum import Datum
from geofence.fences import Fence
from protocols.errors import ProtocolError
from protocols.jt808.fixes import GMT8_S
from protocols.jt808.header import EDITIONS, V2013, V2019
from protocols.jt808.kept import SETTERS, Kept, deletion, listed, query, setting
from storage.areas import Holder, sent_areas
from storage.commands import CommandResult, send_command
from storage.geometry import ShapeRow

Reader = Callable[[dict[str, Any], Datum], tuple[Sequence[Fence | Corridor], list[str]]]
READERS: Final[Mapping[str, Reader]] = {"fence": geojson.fences, "corridor": geojson.corridors}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one area at one terminal."""

    terminal: str
    noun: str
    id: int
    kind: str
    state: str
    """Of the command, or refused, when there is none."""
    result: str

    @property
    def good(self) -> bool:
        """The terminal did it, or will be asked when it comes."""
        return self.state == "queued" or (self.state == "answered" and self.result == "ok")


@dataclass(frozen=True, slots=True)
class Keeper:
    """A terminal, and how long commands to it may take and wait."""

    url: str
    holder: Holder
    timeout_s: float
    expires_s: float | None = None
    zone_s: int = GMT8_S
    """Of the fences' hours."""

    @property
    def edition(self) -> int:
        """The edition it registered in; 2013, which can say less, where it has not registered here."""
        return EDITIONS.index(self.holder.edition) if self.holder.edition in EDITIONS else V2013

    def push(self, noun: str, row: ShapeRow, among: Sequence[ShapeRow], tolerance_m: float = TOLERANCE_M) -> Iterator[Outcome]:
        """Have it keep a fence or corridor, one `among` those of its table.

        Where it keeps that as another kind of area, it forgets this afterwards.
        """
        try:
            area = area_of(thing_of(noun, row, among), self.edition, tolerance_m, self.zone_s)
        except CannotKeep as error:
            yield Outcome(self.holder.name, noun, row.id, "", "refused", f"{State.CANNOT}: {error}")
            return
        kinds = self._kinds(noun, row.id)
        known = area.kind in kinds
        outcome = self._outcome(noun, row.id, area.kind, setting(area.kind, area.fields, known=known))
        if known and outcome.result == "failed":  # perhaps it has lost what it is to change
            outcome = self._outcome(noun, row.id, area.kind, setting(area.kind, area.fields, known=False))
        yield outcome
        if outcome.good:
            for kind in sorted(kinds - {area.kind}):
                yield self._outcome(noun, row.id, kind, deletion(kind, [row.id]))

    def recall(self, noun: str, number: int) -> Iterator[Outcome]:
        """Have it forget a fence or corridor; of which nothing is known here, in every kind of area."""
        for kind in sorted(self._kinds(noun, number)) or [kind for kind in SETTERS if NOUNS[kind] == noun]:
            yield self._outcome(noun, number, kind, deletion(kind, [number]))

    def ask(self) -> tuple[dict[str, dict[int, Kept]], str]:
        """What it lists, by kind; and why not, where it does not."""
        if self.holder.edition in EDITIONS[:V2019]:
            return {}, f"terminals of {self.holder.edition} cannot be asked: compared with what it last said ok to 该版本终端无法查询"
        there: dict[str, dict[int, Kept]] = {}
        for kind in SETTERS:
            got = self._send(query(kind))
            if not got.ok:
                return there, f"asked for each {kind}, it did not say: {got.state.replace('_', ' ')}: {got.result}"
            try:
                there[kind] = listed(kind, V2019, got.reply or {})
            except (ProtocolError, KeyError) as error:
                return there, f"what it says of each {kind} cannot be read: {error}"
        return there, ""

    def _kinds(self, noun: str, number: int) -> set[str]:
        rows = sent_areas(self.url, self.holder.id)
        return {row.kind for row in rows if row.removed_at is None and row.area_id == number and NOUNS[row.kind] == noun}

    def _outcome(self, noun: str, number: int, kind: str, said: tuple[int, dict[str, Any]]) -> Outcome:
        got = self._send(said)
        return Outcome(self.holder.name, noun, number, kind, got.state, got.result or "")

    def _send(self, said: tuple[int, dict[str, Any]]) -> CommandResult:
        return send_command(self.url, self.holder.name, *said, timeout_s=self.timeout_s, expires_s=self.expires_s, created_by="dubhe areas")


def thing_of(noun: str, row: ShapeRow, among: Sequence[ShapeRow]) -> Fence | Corridor:
    """The fence or corridor of a row, with its detours of those in its table. Raises `CannotKeep` for one that is none."""
    features = [each.numbered for each in among if each.id == row.id or stands_in(each)]
    made, problems = READERS[noun]({"type": "FeatureCollection", "features": features}, Datum.WGS84)
    if stands_in(row):
        msg = "it is a detour, and those are judged at the server 绕行由平台判断"
        raise CannotKeep(msg)
    found = [each for each in made if each.id == row.id]
    if not found:
        raise CannotKeep(problems[0])
    return found[0]


def stands_in(row: ShapeRow) -> bool:
    """Whether it is a detour of a corridor."""
    return row.numbered["properties"].get("detour_of") is not None
