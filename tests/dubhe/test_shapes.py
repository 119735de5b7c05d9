"""`dubhe fence`, `corridor` and `stop` as an operator meets them: detours, shapes that go out and come in again, and take places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fix_cli import Dubhe
from fix_db import rows
from geofence.datum import Datum, convert

LINE = [[121.40, 31.20], [121.45, 31.20], [121.50, 31.22]]
RING = [[121.44, 31.19], [121.46, 31.19], [121.46, 31.21], [121.44, 31.21], [121.44, 31.19]]
HOLE = [[121.451, 31.2], [121.452, 31.2], [121.452, 31.201], [121.451, 31.2]]
EAST_OF_IT = [[121.46, 31.19], [121.48, 31.19], [121.48, 31.23], [121.46, 31.23], [121.46, 31.19]]
Entered = Callable[..., tuple[int, str, str]]


def feature(kind: str, at: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": at}, "properties": properties}


@pytest.fixture
def entered(dubhe: Dubhe, tmp_path: Path) -> Entered:
    """An import of features into a table."""

    def enter(noun: str, *features: dict[str, Any], options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        file = tmp_path / "shapes.geojson"
        file.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
        return dubhe(noun, "import", str(file), "--datum", "wgs84", *options)

    return enter


def test_a_detour_is_entered_by_the_name_or_the_id_of_its_corridor_and_one_of_nobody_is_refused(
    dubhe: Dubhe, entered: Entered, database_url: str
) -> None:
    road, area = (
        feature("LineString", LINE, name="71路"),
        feature("Polygon", [RING], name="施工", detour_of="71路", valid_until="2027-01-01"),
    )
    assert entered("corridor", road, area)[:2] == (0, "2 taken, 0 refused; ids 1 to 2\n")
    assert entered("corridor", feature("LineString", LINE, name="庙会", detour_of=1, approver="王"))[0] == 0

    code, out, why = entered("corridor", feature("LineString", LINE, name="东门", detour_of=["72路", 2]), feature("LineString", LINE))
    assert (code, out) == (1, "1 taken, 1 refused; ids 4 to 4\n")
    assert "detour 东门: no corridor is called 72路, 2; `dubhe corridor list` shows" in why
    assert [("71路",), ("施工",), ("庙会",), ("",)] == rows(database_url, "SELECT name FROM corridors ORDER BY id")
    code, _, why = entered("corridor", feature("LineString", LINE, name="东门", detour_of="71路", valid_from="soon"))
    assert (code, "feature 1 东门: valid_from is 'soon'; allowed is a moment" in why) == (1, True)
    assert dubhe("corridor", "list")[1].splitlines()[2].split("\t")[:3] == ["2", "施工", "Polygon"]


def test_a_terminal_is_not_sent_a_corridor_that_has_detours_nor_a_detour(dubhe: Dubhe, entered: Entered) -> None:
    road, area = feature("LineString", LINE, name="71路"), feature("Polygon", [RING], name="施工", detour_of="71路")
    entered("corridor", road, area)
    dubhe("terminal", "add", "13800138000")

    code, out, _ = dubhe("corridor", "push", "1", "2", "--to", "13800138000")
    assert (code, "it has detours" in out, "it is a detour" in out) == (1, True, True)


SHAPES: dict[str, list[dict[str, Any]]] = {
    "fence": [
        feature("Polygon", [RING, HOLE], name="车场", stay="out", dwell_s=60),
        feature("Point", LINE[0], name="学校", radius_m=120, day_kmh=30, windows="mon-fri 07:00-19:00", valid_until="2027-01-01"),
        feature("LineString", LINE, width_m=60, margin_m=12),
        feature("MultiPolygon", [[RING, HOLE], [EAST_OF_IT]], name="两镇", stay="in"),
    ],
    "corridor": [
        feature("LineString", LINE, name="71路", half_width_m=[40, 60], limit_kmh=50, directed=False, windows="05:30-22:00"),
        feature("LineString", LINE, name="绕行", half_width_m=45, detour_of=["71路"], approver="王", valid_from="2026-01-01"),
        feature("Polygon", [RING], name="施工", detour_of=["71路"]),
    ],
    "stop": [feature("Point", LINE[1], name="外滩", radius_m=80, course_deg=90, corridor_id=1, sequence=3)],
}


@pytest.mark.parametrize("datum", Datum)
@pytest.mark.parametrize("noun", SHAPES)
def test_what_goes_out_comes_in_again_the_same_to_a_centimetre(  # noqa: PLR0917 - two of them are its table
    dubhe: Dubhe, entered: Entered, database_url: str, tmp_path: Path, noun: str, datum: Datum
) -> None:
    dubhe("line", "add", "71路")
    assert entered(noun, *SHAPES[noun], options=("--for", "line:71路"))[0] == 0
    before = rows(database_url, f"SELECT id, name, feature, terminals, parties FROM {noun}s ORDER BY id")
    file = tmp_path / "out.geojson"

    assert dubhe(noun, "export", "--datum", datum, "--out", str(file)) == (0, "", "")
    written = json.loads(file.read_text("utf-8"))
    code, out, why = dubhe(noun, "import", str(file), "--datum", datum, "--replace")
    assert (code, out, why) == (0, f"{len(before)} replaced, 0 refused; ids 1 to {len(before)}\n", "")
    after = rows(database_url, f"SELECT id, name, feature, terminals, parties FROM {noun}s ORDER BY id")
    assert [{**each[2], "geometry": None} for each in before] == [{**each[2], "geometry": None} for each in after]
    assert [each[:2] + each[3:] for each in before] == [each[:2] + each[3:] for each in after]
    assert np.abs(places(before) - places(after)).max() < 6e-8
    assert [(each["properties"]["id"], each["properties"]["for"]) for each in written["features"]] == [
        (row[0], ["line:71路"]) for row in before
    ]
    lon, lat = convert(*places(before).T, Datum.WGS84, datum)
    shown = np.concatenate([flat(each["geometry"]["coordinates"]) for each in written["features"]])
    assert np.abs(shown - np.stack((lon, lat), axis=1)).max() <= 5.1e-8
    assert json.loads(dubhe(noun, "export", "--datum", datum)[1]) == written, "nothing wanders, however often it goes out and in"


@pytest.mark.parametrize("datum", Datum)
def test_what_was_drawn_comes_out_with_the_digits_it_was_drawn_with(dubhe: Dubhe, tmp_path: Path, datum: Datum) -> None:
    drawn = [[104.0665, 30.63], [104.0712345, 30.6399999], [104.1, 30.7]]
    file = tmp_path / "line.geojson"
    file.write_text(json.dumps(feature("LineString", drawn, name="71路")), encoding="utf-8")
    assert dubhe("corridor", "import", str(file), "--datum", datum)[0] == 0

    assert drawn == json.loads(dubhe("corridor", "export", "--datum", datum)[1])["features"][0]["geometry"]["coordinates"]


def flat(coordinates: Any) -> np.ndarray:
    return np.array(json.dumps(coordinates).replace("[", "").replace("]", "").split(","), float).reshape(-1, 2)


def places(found: list[tuple[Any, ...]]) -> np.ndarray:
    return np.concatenate([flat(row[2]["geometry"]["coordinates"]) for row in found])


def test_some_are_written_to_the_screen_and_one_that_is_not_there_is_said(dubhe: Dubhe, entered: Entered) -> None:
    entered("fence", *SHAPES["fence"])

    code, out, why = dubhe("fence", "export", "3", "9", "--datum", "gcj02")
    assert (code, why) == (1, "dubhe: there is no shape 9; `list` shows ids 没有该编号\n")
    written = json.loads(out)
    assert ("gcj02", [3]) == (written["datum"], [each["properties"]["id"] for each in written["features"]])
    assert "for" not in written["features"][0]["properties"], "it is for all"


def test_a_property_that_nobody_reads_is_told_with_its_features_and_the_name_that_may_be_meant(entered: Entered, database_url: str) -> None:
    school = [feature("Point", LINE[0], radius_m=9, name=f"学校{n}", speed_limit_kmh=30, fid=n, stroke=None) for n in range(5)]
    depot = feature("Polygon", [RING], name="车场", Day_KMH=20, radius_m=50)

    code, out, why = entered("fence", *school, depot)
    assert (code, out) == (0, "6 taken, 0 refused; ids 1 to 6\n")
    lines = [line.partition("shapes.geojson: ")[2] for line in why.splitlines()]
    unread = "is not read and has no effect 未识别的属性，未生效"
    assert lines == [
        f"feature 1 学校0, feature 2 学校1, feature 3 学校2, 2 more: speed_limit_kmh {unread}; did you mean 是否指 day_kmh or night_kmh?",
        f"feature 6 车场: Day_KMH {unread}; did you mean 是否指 day_kmh?",
        "properties that mean nothing here are not read 未读取的属性: fid (5), radius_m (1)",
    ]
    assert all(line.startswith("warning 警告: ") for line in why.splitlines())
    assert rows(database_url, "SELECT count(*) FROM fences WHERE feature->'properties' ? 'day_kmh'") == [(0,)]


def test_what_means_something_of_one_shape_is_told_of_another(entered: Entered) -> None:
    road = feature("LineString", LINE, name="71路", half_width_m=40, limit_kmh=50, windows="05:30-22:00", id=3)
    around = feature("LineString", LINE, name="绕行", half_width_m=40, detour_of="71路", limit_kmh=30)
    assert "feature 2 绕行: limit_kmh" not in entered("corridor", road)[2]
    assert "未读取的属性: limit_kmh (1)" in entered("corridor", around)[2]

    assert "name of_stop (1)" in entered("stop", feature("Point", LINE[0], **{"name\nof_stop": "x", "radius_m": 50}))[2]


@pytest.mark.parametrize("noun", SHAPES)
def test_of_what_is_read_nothing_is_told(entered: Entered, noun: str) -> None:
    assert "" == entered(noun, *SHAPES[noun])[2]


def test_a_second_zone_to_stay_in_for_the_same_vehicles_is_told_unless_it_lies_in_the_first(dubhe: Dubhe, entered: Entered) -> None:
    for line in ("71路", "72路"):
        dubhe("line", "add", line)
    west, east = (feature("Polygon", [ring], name=name, stay="in") for ring, name in ((RING, "甲"), (EAST_OF_IT, "乙")))
    yard = feature("Polygon", [HOLE], name="车场", stay="in")
    old = feature("Polygon", [RING], name="旧", stay="in", valid_until="2026-01-01")
    of_71, of_72 = ("--for", "line:71路"), ("--for", "line:72路")
    several = "the same vehicles are to stay in several zones, and have to be in all of them at once: "
    cure = "; one feature with several parts (MultiPolygon) is what you want if either will do 同一车辆须同时在多个区域内"

    assert "" == entered("fence", west, yard, feature("Polygon", [EAST_OF_IT], stay="out"), options=of_71)[2]
    assert "" == entered("fence", feature("Polygon", [EAST_OF_IT], stay="in", valid_from="2027-01-01", name="丙"), options=of_72)[2]
    assert "" == entered("fence", old, options=of_72)[2], "they are never in force at once"
    code, out, why = entered("fence", east, options=of_71)
    assert (code, out) == (0, "1 taken, 0 refused; ids 6 to 6\n")
    assert f"{several}乙 (6) and 甲 (1), 乙 (6) and 车场 (2){cure}" in why
    assert (
        f"{several}7 and 8, 7 and 甲 (1), 7 and 车场 (2), and more{cure}"
        in entered("fence", feature("Point", [1, 1], radius_m=9, stay="in"), feature("Point", [2, 2], radius_m=9, stay="in"))[2]
    )
    both = feature("MultiPolygon", [[RING], [EAST_OF_IT]], name="甲乙", stay="in", id=6)
    dubhe("fence", "remove", "7", "8")
    assert "" == entered("fence", both, options=("--replace",))[2], "what was 甲 and 车场 lies in it"


def test_what_takes_no_place_is_refused_and_spoils_no_other(entered: Entered, database_url: str) -> None:
    entered("fence", *SHAPES["fence"])
    circle = [feature("Point", LINE[0], radius_m=9, name="a", **said) for said in ({}, {"id": 7}, {"id": "2"}, {"id": 2}, {"id": 2})]

    code, out, why = entered("fence", *circle, options=("--replace",))
    assert (code, out) == (1, "1 replaced, 4 refused; ids 2 to 2\n")
    for sentence in ("feature 1 a: it has no id", "feature 2 a: there is none with the id 7", "feature 3 a: there is none with the id '2'"):
        assert f"{sentence} to take the place of: `list` shows ids, and without --replace it is entered as new" in why
    assert "feature 5 a: the id 2 stands twice" in why
    assert [("车场",), ("a",), ("",), ("两镇",)] == rows(database_url, "SELECT name FROM fences ORDER BY id")


def test_what_is_not_there_cannot_be_removed_and_is_named(dubhe: Dubhe, entered: Entered) -> None:
    entered("fence", feature("Point", LINE[0], radius_m=9))

    code, out, why = dubhe("fence", "remove", "1", "99")

    assert (1, "1 removed\n") == (code, out)
    assert why == "dubhe: there is no shape 99; `list` shows ids 没有该编号\n"


def test_a_list_names_whom_shapes_are_for(dubhe: Dubhe, entered: Entered) -> None:
    dubhe("line", "add", "71路")
    entered("fence", feature("Point", LINE[0], radius_m=9), options=("--for", "line:71路"))
    entered("fence", feature("Point", LINE[0], radius_m=9))

    assert ["line:71路", ""] == [line.split("\t")[4] for line in dubhe("fence", "list")[1].splitlines()[1:]]


def test_a_list_says_what_shapes_are_judged_by(dubhe: Dubhe, entered: Entered) -> None:
    fences = feature("Point", LINE[0], radius_m=120, day_kmh=30, night_kmh=22.5, dwell_s=60, windows="mon-fri 07:00-19:00, sat 08:00-12:00")
    entered("fence", fences, feature("Polygon", [RING], stay="in", valid_from="2026-01-01", valid_until="2026-12-31"))
    entered("fence", feature("Polygon", [RING]))
    entered(
        "corridor", feature("LineString", LINE, name="71路", half_width_m=[40, 60], limit_kmh=50, directed=False, windows="22:00-05:00")
    )
    entered("corridor", feature("LineString", LINE, half_width_m=45, detour_of=["71路", 1], approver="王"))
    fences, corridors = ([line.split("\t")[5] for line in dubhe(noun, "list")[1].splitlines()] for noun in ("fence", "corridor"))

    assert fences[0] == "rules"
    assert set(fences[1].split("; ")) == {
        "radius_m=120", "day_kmh=30", "night_kmh=22.5", "dwell_s=60", "windows=mon-fri 07:00-19:00, sat 08:00-12:00"
    }  # fmt: skip
    assert set(fences[2].split("; ")) == {"stay=in", "valid_from=2026-01-01T00:00:00+08:00", "valid_until=2027-01-01T00:00:00+08:00"}
    assert fences[3] == ""
    assert set(corridors[1].split("; ")) == {"half_width_m=40..60", "limit_kmh=50", "directed=false", "windows=22:00-05:00"}
    assert set(corridors[2].split("; ")) == {"half_width_m=45", "detour_of=71路, 1", "approver=王"}


def test_whom_a_shape_is_for_stays_when_it_is_replaced_unless_it_is_said(dubhe: Dubhe, entered: Entered, database_url: str) -> None:
    for line in ("71路", "72路"):
        dubhe("line", "add", line)
    entered("fence", feature("Point", LINE[0], radius_m=9), options=("--for", "line:71路"))
    changed = feature("Point", LINE[1], radius_m=90, id=1)
    now: list[Any] = []
    for options in (("--replace",), ("--replace", "--for", "line:72路"), ("--replace", "--all")):
        assert entered("fence", changed, options=options)[0] == 0
        now += rows(database_url, "SELECT parties, (feature->'properties'->>'radius_m')::float FROM fences")

    assert [(["line:1"], 90), (["line:2"], 90), (None, 90)] == now
