"""Fences and corridors as terminals would be told them, and back: nothing is lost but what the wire rounds, or it is said why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, nan
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubhe.areas import CannotKeep, area_of
from geofence.corridors import Corridor, CorridorIndex
from geofence.datum import Datum, convert
from geofence.fences import Circle, Fence, Line, MultiPolygon, Polygon, Shape, Stay
from geofence.outline import bends, outline
from protocols.errors import ProtocolError
from protocols.jt808.header import EDITIONS, V2011, V2013, V2019
from protocols.jt808.kept import POINTS_MAX, SETTERS, alike, differences, kept, listed
from protocols.jt808.messages import build, parse
from tracks.week import Window

LON, LAT = 121.47, 31.23
EVERY_DAY = frozenset(range(7))
editions = st.sampled_from([V2011, V2013, V2019])
degrees = st.integers(-3_000, 3_000).map(lambda n: n / 1e5)


def around(n: int) -> list[tuple[float, float]]:
    """A ring of n places."""
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    ring = [(LON + 0.05 * float(np.cos(t)), LAT + 0.05 * float(np.sin(t))) for t in turn]
    return [*ring, ring[0]]


circles = st.builds(Circle, degrees.map(lambda d: LON + d), degrees.map(lambda d: LAT + d), st.integers(1, 100_000).map(float))
rectangles = st.builds(lambda w, s: Polygon.rectangle(LON + w, LAT + s, LON + w + 0.01, LAT + s + 0.02), degrees, degrees)
polygons = st.integers(5, 60).map(lambda n: Polygon([around(n)]))
lines = st.integers(20, 200).map(lambda w: Line([(LON, LAT), (LON + 0.01, LAT), (LON + 0.01, LAT + 0.02)], float(w)))
names = st.text(st.sampled_from("站场学校AB71"), max_size=8)
limits = st.none() | st.tuples(st.integers(1, 120), st.none() | st.integers(1, 120))
hours = st.none() | st.tuples(st.integers(0, 1439), st.integers(0, 1439))


@st.composite
def fences(draw: Any) -> Fence:
    fence = Fence(draw(st.integers(1, 2**32 - 1)), draw(circles | rectangles | polygons | lines), draw(names), draw(st.sampled_from(Stay)))
    if (limit := draw(limits)) is not None:
        fence = replace(fence, day_kmh=float(limit[0]), night_kmh=nan if limit[1] is None else float(limit[1]))
    if (window := draw(hours)) is not None:
        fence = replace(fence, windows=[Window(EVERY_DAY, *window)])
    return fence


@st.composite
def corridors(draw: Any) -> Corridor:
    steps = draw(st.lists(st.tuples(st.integers(1, 400), st.integers(-400, 400)), min_size=1, max_size=40))
    points = [(LON, LAT), *((LON + float(x) / 1e5, LAT + float(y) / 1e5) for x, y in np.cumsum(steps, axis=0))]
    half_m = draw(st.lists(st.integers(5, 127).map(float), min_size=len(steps), max_size=len(steps)))
    limit = draw(st.integers(10, 120).map(float) | st.just(inf))
    window = draw(hours)
    windows = [] if window is None else [Window(EVERY_DAY, *window)]
    return Corridor(draw(st.integers(1, 2**32 - 1)), points, draw(names), half_m, limit, windows=windows)


def over_the_wire(edition: int, kind: str, fields: Mapping[str, Any]) -> dict[int, Any]:
    """What a terminal that was set so lists, as the table of commands would keep its reply. Before 2019 it cannot list."""
    several = kind in {"circle", "rectangle"}
    sent = {"action": "append", "areas": [fields]} if several else fields
    read = parse(SETTERS[kind], edition, build(SETTERS[kind], edition, sent))
    if edition < V2019:
        one = read["areas"][0] if several else read
        return {one["id"]: kept(kind, edition, one)}
    reply = parse(0x0608, edition, build(0x0608, edition, {"kind": kind, "places": [read]}))
    return listed(kind, edition, reply)


@given(fences() | corridors(), editions)
def test_what_a_terminal_is_told_is_what_it_keeps_in_every_edition(thing: Fence | Corridor, edition: int) -> None:
    try:
        area = area_of(thing, edition)
    except CannotKeep as error:
        assert edition < V2019 and "夜间" in str(error)  # noqa: PT017, PT018 - nothing else is refused of these
        return

    assert over_the_wire(edition, area.kind, area.fields) == {thing.id: area.kept}
    assert list(differences(area.kept, area.kept)) == []


@given(fences())
def test_what_comes_back_means_the_fence(fence: Fence) -> None:
    back = area_of(fence, V2019).kept

    assert (back["id"], back["name"]) == (fence.id, fence.name)
    driver, out = "driver" in str(back["attribute"]), "exit" in str(back["attribute"])
    assert (driver, out) == {Stay.FREE: (False, True), Stay.OUT: (True, False), Stay.IN: (True, True)}[fence.stay]
    assert back.get("max_speed_kmh", inf) == fence.day_kmh
    match fence.shape:
        case Circle(lon, lat, radius_m):
            assert (back["lon"], back["lat"], back["radius_m"]) == (pytest.approx(lon, abs=1e-6), pytest.approx(lat, abs=1e-6), radius_m)
        case Polygon([ring]) if len(ring) > 5:
            assert [(each["lon"], each["lat"]) for each in back["vertices"]] == pytest.approx(np.round(ring[:-1], 6))
    if fence.windows and fence.windows[0].start_minute != fence.windows[0].stop_minute:
        assert back["start"][:5] == "{:02}:{:02}".format(*divmod(fence.windows[0].start_minute, 60))


@given(corridors())
def test_a_route_has_the_corridors_width_on_both_sides_together(corridor: Corridor) -> None:
    points = area_of(corridor, V2019).kept["points"]

    assert isinstance(corridor.half_width_m, list)
    assert [each["width_m"] for each in points[:-1]] == [2 * each for each in corridor.half_width_m]
    assert [each.get("max_speed_kmh", inf) for each in points] == [corridor.limit_kmh] * len(points)


@given(st.integers(0, 2**32), st.floats(1.0, 30.0), st.lists(st.integers(1, 998), max_size=5))
def test_thinning_moves_nothing_further_than_the_tolerance(seed: int, tolerance_m: float, changes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(0, 0.4, 1_000))
    way = np.array([LON, LAT]) + np.cumsum(np.stack((np.cos(steps), np.sin(steps)), 1) * rng.uniform(0, 3e-4, (1_000, 1)), 0)
    points = [(lon, lat) for lon, lat in way.tolist()]
    rows = bends(points, sorted(changes), POINTS_MAX, tolerance_m)

    assert {0, 999, *changes} <= set(rows.tolist())
    index = CorridorIndex.of([Corridor(1, [points[row] for row in rows])])
    away_m, _ = index.distance(way[:, 0], way[:, 1], np.zeros(1_000, np.int64))
    assert away_m.max() <= tolerance_m * 1.001


def test_as_many_points_as_fit_are_sent_as_drawn() -> None:
    ring = around(POINTS_MAX)

    assert list(outline(Polygon([ring]), POINTS_MAX, 1_000.0)) == ring[:-1]
    assert len(outline(Polygon([around(5_000)]), POINTS_MAX, 5.0)) < POINTS_MAX


SQUARE = Circle(LON, LAT, 500.0)
APART = MultiPolygon([Polygon([around(9)]), Polygon.rectangle(LON + 1, LAT, LON + 1.1, LAT + 0.1)])
HOLE = [(LON - 0.01, LAT), (LON, LAT + 0.01), (LON + 0.01, LAT), (LON - 0.01, LAT)]


@pytest.mark.parametrize(
    ("more", "edition", "why"),
    [
        ({"shape": Polygon([around(9), HOLE])}, V2019, "hole.* unless it is one to stay in"),
        ({"shape": APART, "stay": Stay.IN}, V2019, "parts that lie apart.*: the server watches it all the same"),
        ({"shape": Circle(LON, LAT, 5e9)}, V2019, "radius_m"),
        ({"shape": Polygon.rectangle(-1.0, -1.0, 1.0, 1.0)}, V2019, "one hemisphere"),
        ({"id": 2**32}, V2019, "id"),
        ({"shape": Polygon([around(5_000)])}, V2019, "--tolerance-m"),
        ({"windows": [Window(frozenset({0, 1}), 0, 600)]}, V2019, "days of the week"),
        ({"windows": [Window(EVERY_DAY, 0, 600), Window(EVERY_DAY, 700, 800)]}, V2019, "days of the week"),
        ({"windows": [Window(EVERY_DAY, 0, 600)], "valid_us": (0, 10**15)}, V2019, "dates of validity"),
        ({"night_kmh": 40.0}, V2019, "only by night"),
        ({"day_kmh": 60.0, "night_kmh": 40.0}, V2013, "since 2019"),
        ({"day_kmh": 70_000.0}, V2013, "max_speed_kmh"),
    ],
)
def test_what_a_terminal_cannot_keep_is_refused_with_the_reason(more: dict[str, Any], edition: int, why: str) -> None:
    with pytest.raises(CannotKeep, match=why):
        area_of(replace(Fence(1, SQUARE), **more), edition, 0.001)


def test_a_corridor_wider_than_a_byte_is_refused() -> None:
    with pytest.raises(CannotKeep, match="300 m wide"):
        area_of(Corridor(1, [(LON, LAT), (LON, LAT + 0.01)], half_width_m=150.0), V2019)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (SQUARE, "circle"),
        (MultiPolygon([Polygon.rectangle(LON, LAT, LON + 0.1, LAT + 0.1), Polygon([around(9)])]), "polygon"),
        (Polygon.rectangle(LON, LAT, LON + 0.1, LAT + 0.1), "rectangle"),
        (Polygon([around(4)]), "polygon"),
        (Line([(LON, LAT), (LON + 0.01, LAT)], 300.0), "polygon"),
    ],
)
def test_each_shape_has_its_kind_of_area(shape: Shape, kind: str) -> None:
    assert area_of(Fence(1, shape), V2013).kind == kind


def test_dates_are_told_in_beijing_time_and_an_open_end_is_far_away() -> None:
    noon_us = 1_764_043_200_000_000  # 2025-11-25 04:00 UTC
    area = area_of(Fence(1, SQUARE, valid_us=(noon_us, np.iinfo(np.int64).max)), V2013)

    assert (area.kept["start"], area.kept["stop"]) == ("2025-11-25T12:00:00", "2099-12-31T23:59:59")


@pytest.mark.parametrize("edition", range(len(EDITIONS)), ids=EDITIONS.__getitem__)
def test_a_difference_is_said_in_words(edition: int) -> None:
    here, there = (area_of(Fence(1, Circle(LON, LAT, metres)), edition).kept for metres in (500.0, 300.0))

    assert list(differences(here, there)) == ["radius_m: 500 here, 300 there"]


def test_hours_of_another_zone_are_sent_in_the_terminals_own() -> None:
    daily = Fence(1, Circle(LON, LAT, 100.0), windows=[Window(EVERY_DAY, 60, 1380)])
    night = replace(daily, day_kmh=60.0, night_kmh=40.0)

    assert ("09:00:00", "07:00:00") == itemgetter("start", "stop")(area_of(daily, V2019, zone_s=0).fields)
    assert ("01:00:00", "23:00:00") == itemgetter("start", "stop")(area_of(night, V2019).fields)
    with pytest.raises(CannotKeep, match="UTC\\+8"):
        area_of(night, V2019, zone_s=0)


@pytest.mark.parametrize("asked", SETTERS)
def test_a_list_that_answers_another_question_or_names_one_twice_is_not_read(asked: str) -> None:
    circle = {"id": 7, "name": "", "attribute": [], "lat": 31.0, "lon": 121.0, "radius_m": 50}
    told = {"kind": "circle", "places": [{"action": "append", "areas": [circle]}]}
    twice = told | {"places": told["places"] * 2}
    nothing = {"kind": "circle", "places": []}
    replies = [parse(0x0608, V2019, build(0x0608, V2019, each)) for each in (told, twice, nothing)]

    for reply, good in zip(replies, (True, False, True), strict=True):
        if good and asked == "circle":
            assert len(listed(asked, V2019, reply)) == len(reply["places"])
        else:
            with pytest.raises(ProtocolError, match="it lists"):
                listed(asked, V2019, reply)


@pytest.mark.parametrize("datum", [Datum.GCJ02, Datum.BD09])
def test_a_corridor_that_was_only_exported_and_imported_again_is_still_what_its_terminals_keep(datum: Datum) -> None:
    drawn = np.array(around(150))
    away = np.round(np.column_stack(convert(drawn[:, 0], drawn[:, 1], Datum.WGS84, datum)), 7)
    back = np.column_stack(convert(away[:, 0], away[:, 1], datum, Datum.WGS84))
    before, after = (area_of(Corridor(7, list(map(tuple, line.tolist()))), V2019).kept for line in (drawn, back))

    assert before != after, "a centimetre has rounded the other way"
    assert alike(before, after)
    assert [] == list(differences(before, after))
    moved = {**after, "points": [{**point, "lat": point["lat"] + 2e-6} for point in after["points"]]}
    assert not alike(before, moved)
