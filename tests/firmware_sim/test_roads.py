import json
from itertools import pairwise
from math import hypot
from pathlib import Path
from random import Random

import numpy as np
import pytest

from firmware_sim.report import Fix, paced
from firmware_sim.roads import Detour, Road, line_71, read_roads
from firmware_sim.runs import Habit, Pace, Run, driven, run, shuttle
from firmware_sim.truth import calls, spells, strays

TRACES = Path(__file__).parents[1] / "traces"
START = 1_700_000_000


def drive(road: Road, seed: int = 71, pace: Pace | None = None) -> list[Fix]:
    rng = Random(seed)
    return list(run(road, rng, start=START, pace=pace).fixes(rng, (pace or Pace()).noise_m))


def found(seed: int, habit: Habit) -> Run:
    """The first run of a bus."""
    return next(shuttle(line_71(), Random(seed), start=START, habit=habit))


@pytest.fixture(params=line_71(), ids=lambda road: road.name)
def road(request: pytest.FixtureRequest) -> Road:
    found: Road = request.param
    return found


def stops_by(*, geometry: bool) -> list[float]:
    """How far the stops of the trace lie from their line, by geometry or by the properties lon and lat."""
    lines = {each.name: each for each in read_roads(TRACES / "shanghai_71_line.geojson")}
    away = []
    for stop in json.loads((TRACES / "shanghai_71_stops.geojson").read_text("utf-8"))["features"]:
        about = stop["properties"]
        lon, lat = stop["geometry"]["coordinates"] if geometry else (about["lon"], about["lat"])
        away.append(lines[about["linename"]].nearest(lat, lon)[1])
    return sorted(away)


def test_the_geometry_of_a_stop_lies_on_the_line_and_its_properties_do_not() -> None:
    geometry, properties = stops_by(geometry=True), stops_by(geometry=False)

    assert geometry[24] < 1
    assert properties[24] > 40
    assert 47 == sum(away < 4 for away in geometry)
    assert properties[-1] > 200


def test_what_the_package_carries_is_the_trace_to_six_decimals() -> None:
    for carried, traced in zip(line_71(), read_roads(TRACES / "shanghai_71_line.geojson"), strict=True):
        assert traced.name == carried.name
        assert abs(traced.lat - carried.lat).max() <= 5.1e-7
        assert abs(traced.lon - carried.lon).max() <= 5.1e-7
    assert [24, 25] == [len(each.stops) for each in line_71()]


def test_a_drive_stays_on_the_line_within_its_noise(road: Road) -> None:
    away = [road.nearest(fix.lat, fix.lon)[1] for fix in drive(road) if fix.valid]

    # a tenth of a percent of normal noise lies beyond 3.3 σ
    assert max(away) < 4.5 * 5
    assert 2 < sum(away) / len(away) < 6


def test_without_noise_it_is_on_the_line(road: Road) -> None:
    assert max(road.nearest(fix.lat, fix.lon)[1] for fix in drive(road, pace=Pace(noise_m=0)) if fix.valid) < 0.01


def test_a_drive_goes_from_end_to_end_at_a_bus_s_speed_and_stands_at_stops(road: Road) -> None:
    fixes = drive(road)

    assert fixes[-1].mileage_km == pytest.approx(road.length_m / 1000)
    assert max(fix.speed_kmh for fix in fixes) <= 50
    assert 12 < road.length_m / (fixes[-1].time - START) * 3.6 < 30
    assert sum(fix.speed_kmh == 0 for fix in fixes) > len(road.stops) / 2


def test_speed_agrees_with_the_way_that_was_made(road: Road) -> None:
    pace = Pace(interval_s=(1, 1), noise_m=0)
    fixes = drive(road, pace=pace)

    for before, after in pairwise(fixes):
        made = (after.mileage_km or 0) - (before.mileage_km or 0)
        assert made * 3600 == pytest.approx((before.speed_kmh + after.speed_kmh) / 2, abs=2.0)


def test_reports_come_every_10_to_30_seconds_in_whole_seconds(road: Road) -> None:
    for seed in range(20):
        times = [fix.time for fix in drive(road, seed)]
        steps = {after - before for before, after in pairwise(times)}
        assert 1 == len(steps)
        assert steps <= set(range(10, 31))


def test_in_a_tunnel_the_last_position_is_repeated_as_invalid(road: Road) -> None:
    fixes = drive(road, pace=Pace(interval_s=(10, 10)))

    hidden = [at for at, fix in enumerate(fixes) if not fix.valid]
    assert hidden
    before = fixes[hidden[0] - 1]
    assert {(before.lat, before.lon, 0)} == {(fixes[at].lat, fixes[at].lon, fixes[at].satellites) for at in hidden}
    start, stop = road.tunnels_m[0]
    assert all(start <= (fixes[at].mileage_km or 0) * 1000 <= stop for at in hidden)


def test_the_same_seed_drives_the_same_way_and_another_does_not(road: Road) -> None:
    assert drive(road, 1) == drive(road, 1)
    assert drive(road, 1) != drive(road, 2)


def test_a_shuttle_serves_both_directions_without_jumping_and_time_never_goes_back() -> None:
    rng = Random(5)
    bus = driven(shuttle(line_71(), rng, start=START), rng, start=START)
    fixes = [next(bus) for _ in range(900)]

    assert 0 <= fixes[0].time - START < 30
    lapses = [after.time - before.time for before, after in pairwise(fixes)]
    assert min(lapses) >= 10
    # both ends of the line are one place within a few hundred metres
    steps = [hypot((after.lat - before.lat) * 111_195, (after.lon - before.lon) * 95_000) for before, after in pairwise(fixes)]
    assert max(step / lapse for step, lapse in zip(steps, lapses, strict=True)) < 60
    assert all((after.mileage_km or 0) >= (before.mileage_km or 0) for before, after in pairwise(fixes))


@pytest.mark.parametrize("seed", range(20))
def test_a_bus_that_strays_leaves_its_line_once_for_long_enough_to_be_seen_and_comes_back(seed: int) -> None:
    run = found(seed, Habit.STRAYS)
    (stray,) = strays(run)
    lat, lon = run.road.beside(np.array([run.at(second)[0] for second in run.reports]))
    off = np.all([road.away_m(lat, lon) > 60 for road in line_71()], axis=0)

    assert off.sum() >= 2
    assert stray.stop - stray.start >= 40
    assert 2 * run.interval_s <= stray.start - START <= 5 * run.interval_s


def test_a_bus_that_strays_calls_at_its_other_stops() -> None:
    run = found(1, Habit.STRAYS)
    line = run.road.line
    assert line is not None

    made = [stop.name for stop, _ in calls(run)]
    assert len(line.stops) - 4 <= len(run.road.stops) <= len(line.stops)
    assert {stop.name for stop in run.road.stops} == set(made)
    assert made == [stop.name for stop in line.stops if stop.name in made]


def test_a_detour_is_off_the_line_by_so_much_and_the_road_after_it_is_as_long_as_before() -> None:
    line = line_71()[0]
    way = line.by(Detour(3_000, 3_500, 250))

    lat, lon = way.beside(np.array([3_000 + 250 + 200.0]))
    assert line.away_m(lat, lon)[0] == pytest.approx(250, abs=20)
    assert 300 < way.length_m - line.length_m <= 500 + 40
    assert way.stops[-1].at_m == pytest.approx(way.length_m, abs=0.1)
    assert way.tunnels_m[0][0] - line.tunnels_m[0][0] == pytest.approx(way.length_m - line.length_m)


def test_a_bus_that_departs_is_found_at_its_terminus_and_leaves_within_a_minute() -> None:
    run = found(3, Habit.DEPARTS)

    assert run.start == START
    assert run.at(0)[0] == 0
    assert run.at(90)[0] > 10


def test_a_spell_is_true_from_second_to_second() -> None:
    run = found(2, Habit.DEPARTS)
    first, *_, last = [spell for _, spell in calls(run)]

    assert first.start == run.start
    assert run.start + run.duration_s - 1 < last.stop <= run.start + run.duration_s
    assert [] == spells(run, lambda lat, _: lat > 90)
    assert last == spells(run, lambda lat, _: lat < 90, since=last.start)[0]


def test_any_geojson_line_is_a_road(tmp_path: Path) -> None:
    file = tmp_path / "road.geojson"
    line = {"type": "LineString", "coordinates": [[103.0, 30.0], [103.0, 30.0], [103.0, 30.01, 500.0], [103.01, 30.01]]}
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "properties": None, "geometry": line}]}))

    (road,) = read_roads(file)

    assert road.length_m == pytest.approx(1112 + 963, abs=2)
    assert (30.0, 103.0, 0.0) == road.at(0)
    assert road.at(road.length_m)[:2] == pytest.approx((30.01, 103.01))
    assert road.at(1_500)[2] == pytest.approx(90)


def test_a_file_without_a_line_is_refused_with_the_cure(tmp_path: Path) -> None:
    file = tmp_path / "stops.geojson"
    file.write_text('{"type": "FeatureCollection", "features": []}')

    with pytest.raises(ValueError, match="no LineString"):
        read_roads(file)


def test_no_report_is_due_before_its_own_time_once_the_past_is_told() -> None:
    fixes = (Fix(time=START + second, lat=31, lon=121) for second in (0, 100, 200, 300))

    assert [7, 17, 107, 207] == [due.at for due in paced(fixes, begin=7, speed=10, now=START + 100)]
