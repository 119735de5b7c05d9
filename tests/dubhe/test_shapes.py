"""`dubhe fence`, `corridor` and `stop` as an operator meets them: detours, shapes that go out and come in again, and take places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fix_cli import Dubhe
from fix_db import rows

LINE = [[121.40, 31.20], [121.45, 31.20], [121.50, 31.22]]
RING = [[121.44, 31.19], [121.46, 31.19], [121.46, 31.21], [121.44, 31.21], [121.44, 31.19]]
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
