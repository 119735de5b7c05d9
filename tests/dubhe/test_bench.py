"""The benchmark with shapes: what it plants is where its terminals drive."""

from __future__ import annotations

import json

import numpy as np

from dubhe.planted import CORRIDOR_VERTICES, FENCE_VERTICES, corridor_along, fences_among
from firmware_sim.waves import places
from fix_cli import Dubhe
from fix_db import rows
from geofence import geojson
from geofence.corridors import CorridorIndex
from geofence.datum import Datum, distance_m
from geofence.fences import FenceIndex

TERMINALS, REPORTS = 20, 30
"""As many reports of each as without any option."""


def test_shapes_are_planted_and_found(dubhe: Dubhe, database_url: str) -> None:
    words = ["--terminals", TERMINALS, "--messages", TERMINALS * REPORTS, "--rate", 0, "--fences", 7, "--corridors", 3]
    code, out, _said = dubhe("bench", *map(str, words))
    told = json.loads(out)

    assert code == 0
    assert (7, FENCE_VERTICES, 3, CORRIDOR_VERTICES, 10) == tuple(told["planted"].values())
    assert [TERMINALS * REPORTS] * 2 == [run["answered_ok"] for run in told["reports"].values()]
    # seven terminals of each run enter a fence; how many have left it depends on who was answered first, for the reports are counted
    # over all terminals
    found = rows(database_url, "SELECT kind, count(*), count(ended_at) > 0 FROM events WHERE kind IN ('inside', 'deviation') GROUP BY kind")
    assert [("inside", 14, True)] == found
    assert sum(run["events"] for run in told["reports"].values()) == rows(database_url, "SELECT count(*) FROM events")[0][0]
    # the third corridor is for those of the first again
    meant_for = rows(database_url, "SELECT array_length(terminals, 1) FROM corridors")
    assert [(20,)] * 3 == meant_for


def test_every_fence_lies_on_the_way_of_its_terminal() -> None:
    fences, problems = geojson.fences(fences_among(TERMINALS, REPORTS, 50), Datum.WGS84)
    lat, lon = places(*(each.ravel() for each in np.indices((TERMINALS, REPORTS))))
    _, fence = FenceIndex.of(fences).inside(lon / 1e6, lat / 1e6)

    assert not problems
    assert set(range(50)) == set(fence.tolist())


def test_the_way_begins_and_ends_outside_the_fence_by_more_than_its_margin() -> None:
    (fence,), _ = geojson.fences(fences_among(1, REPORTS, 1), Datum.WGS84)
    lat, lon = places(np.zeros(2, np.int64), np.array([0, REPORTS - 1]))
    ring = np.array(geojson.document([fence], Datum.WGS84)["features"][0]["geometry"]["coordinates"][0])
    away_m = distance_m(lon[:, None] / 1e6, lat[:, None] / 1e6, ring[:, 0], ring[:, 1]).min(axis=1)

    assert (away_m > fence.margin_m).all()


def test_terminals_drive_along_their_corridor() -> None:
    group = np.arange(10)
    (corridor,), problems = geojson.corridors(corridor_along(group, REPORTS), Datum.WGS84)
    lat, lon = places(*(each.ravel() for each in np.indices((10, REPORTS))))
    away_m, _ = CorridorIndex.of([corridor]).distance(lon / 1e6, lat / 1e6, np.zeros(len(lon), np.int64))

    assert not problems
    assert CORRIDOR_VERTICES == len(corridor.points)
    assert float(away_m.max()) < 1


def test_shapes_are_not_planted_for_the_broker(bare_dubhe: Dubhe) -> None:
    code, out, said = bare_dubhe("bench", "--mqtt", "--fences", "1")

    assert (code, out, "leave out --mqtt" in said) == (2, "", True)
