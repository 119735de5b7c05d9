"""The demo's world: line 71 as corridors, stops and fences in the real tables, its buses in the registry, and what came of their strays.

Shapes are entered through the functions behind `dubhe corridor|stop|fence import`, for the demo's buses alone, so that a database with
other vehicles in it is not touched. Entered again they stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from dubhe.papers import admit
from dubhe.shapes import Taken, import_corridors, import_fences, import_stops
from firmware_sim.fleet import Fleet, Plan, identity
from firmware_sim.roads import DATA, line_71
from firmware_sim.truth import Spell, strays
from geofence.datum import Datum
from storage.geometry import Whom, list_shapes, remove_shapes, terminals_of
from storage.health import arrivals
from storage.incidents import Incident
from tracks.alarms import named
from tracks.event import KINDS, Kind

DATUM: Final = Datum.WGS84
"""Of line and stops by their geometry: stops lie on the line, and both files declare CRS84. The other position of each stop, in its
properties, is in no datum at all and is not used (tests/traces/README.md). The fences were drawn on the line."""
REST_S: Final = 1_800
"""A bus that reported so shortly before is still elsewhere on its way, and another shift drives."""
SEEN_REPORTS: Final = 2
"""So many reports after its return a stray must have been found to be over."""
CROSSING_S: Final = 3
"""How long a bus may take over the strip at a corridor's edge where it is neither off its line nor well on it."""

Places = dict[tuple[str, int], str]
"""Names of corridors, stops and fences, by what `KINDS` calls their subject, and id."""


def rested(url: str, plan: Plan, start: datetime) -> Plan:
    """The plan for the first shift of buses that have not reported for a while before `start`."""
    since = start - timedelta(seconds=REST_S)
    shifts = (replace(plan, first_name=plan.first_name + shift * (plan.terminals + plan.nmea)) for shift in count())
    return next(each for each in shifts if not arrivals(url, since, names(each)).fixes)


def names(plan: Plan) -> list[str]:
    """Of the terminals and NMEA units of a plan."""
    return [identity(plan, index).name for index in range(plan.terminals + plan.nmea)]


def enter(url: str, plan: Plan) -> Places:
    """Lead the buses into service and enter the shapes that are meant for them."""
    admit(url, [identity(plan, index) for index in range(plan.terminals + plan.nmea)], datetime.now(UTC))
    terminals = sorted(terminals_of(url, names(plan)))
    lines = json.loads((DATA / "shanghai_71.geojson").read_text("utf-8"))["features"]
    corridors = _collection(each for each in lines if each["geometry"]["type"] == "LineString")
    corridor_ids = _once(import_corridors, url, "corridors", corridors, terminals)
    _once(import_stops, url, "stops", _collection(_stops(corridor_ids)), terminals)
    _once(import_fences, url, "fences", json.loads((DATA / "shanghai_71_fences.geojson").read_text("utf-8")), terminals)
    tables = {"corridor": "corridors", "stop": "stops", "fence": "fences"}
    return {(subject, row.id): row.name for subject, table in tables.items() for row in list_shapes(url, table)}


def _stops(corridor_ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The stops of both directions, each with its line, its place there and the way that buses pass it."""
    for corridor_id, road in zip(corridor_ids, line_71(), strict=True):
        for sequence, stop in enumerate(road.stops, 1):
            said = {"name": stop.name, "corridor_id": corridor_id, "sequence": sequence, "course_deg": round(road.at(stop.at_m)[2])}
            yield {"type": "Feature", "geometry": {"type": "Point", "coordinates": [stop.lon, stop.lat]}, "properties": said}


def _collection(features: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def _once(
    enter_shapes: Callable[[str, dict[str, Any], Datum, Whom], Taken],
    url: str,
    table: str,
    document: dict[str, Any],
    terminals: list[int],
) -> list[int]:
    """Ids of the shapes, entered unless they are there; other ones for these buses, of a larger fleet or an older version, make room."""
    there = [row for row in list_shapes(url, table) if set(row.terminals or ()) & set(terminals)]
    wanted = [str(feature["properties"]["name"]) for feature in document["features"]]
    if [row.name for row in there] == wanted and all(row.terminals == terminals for row in there):
        return [row.id for row in there]
    remove_shapes(url, table, [row.id for row in there])
    taken = enter_shapes(url, document, DATUM, Whom(terminals))
    assert not taken.problems, taken.problems
    return taken.ids


@dataclass(frozen=True, slots=True)
class Strays:
    """The strays that buses have come back from, held against what was found."""

    planned: int
    found: int
    unplanned: int
    """Found where no bus strayed."""


def compare(fleet: Fleet, found: Sequence[Incident]) -> Strays:
    """What became of the strays that were over, and reported to be over, when the bus made its last report."""
    planned = hit = unplanned = 0
    for terminal, runs in zip(fleet.terminals, fleet.runs, strict=False):
        mine = [each for each in found if each.terminal == terminal.identity.name and each.kind == Kind.DEVIATION]
        did = [(stray, run) for run in tuple(runs) for stray in strays(run, since=fleet.start)]
        for stray, run in did:
            if sum(stray.stop + CROSSING_S <= run.start + second <= terminal.last_fix.time for second in run.reports) >= SEEN_REPORTS:
                planned += 1
                hit += any(_means(each, stray, run.interval_s) for each in mine)
        unplanned += sum(not any(_overlaps(each, stray, run.interval_s) for stray, run in did) for each in mine)
    return Strays(planned, hit, unplanned)


def _means(incident: Incident, stray: Spell, interval_s: int) -> bool:
    """Begin and end are those of the stray, within one reporting interval of its being clear."""
    if incident.ended_at is None:
        return False
    began_s, ended_s = incident.started_at.timestamp() - stray.start, incident.ended_at.timestamp() - stray.stop
    return max(abs(began_s), abs(ended_s)) <= interval_s + CROSSING_S


def _overlaps(incident: Incident, stray: Spell, interval_s: int) -> bool:
    return stray.start - interval_s <= incident.started_at.timestamp() <= stray.stop + interval_s


def place(incident: Incident, places: Places) -> str:
    """The name of what an incident is about."""
    if incident.kind == Kind.TERMINAL_ALARM:
        return named(incident.subject)
    return places.get((KINDS[incident.kind].subject, incident.subject), str(incident.subject or ""))
