"""Buses that do what the table says, over real sockets, through the whole tree; the table `events` holds exactly what was planted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from alarm_scenes import ALARMS
from firmware_sim.gateway import running_gateway
from fix_bus import Stage, differs
from fix_road import Place, last_monday
from odd_scenes import odd_scenes
from scene_table import PLAIN, Incident, Scene

pytestmark = [pytest.mark.timescale, pytest.mark.slow]
KINDS = (
    "inside",
    "outside",
    "dwelt",
    "overspeed_inside",
    "deviation",
    "detour",
    "wrong_direction",
    "shortcut",
    "stop_visit",
    "overspeed",
    "terminal_alarm",
)
MONDAY = last_monday(datetime.now(UTC))
SCENES = [*PLAIN, *ALARMS, *odd_scenes(MONDAY)]


def phone(number: int) -> str:
    return f"139{number:08d}"


def place(number: int, scene: Scene) -> Place:
    return Place(100 + number // 40 * 0.6, 26 + number % 40 * 0.15, scene.at(MONDAY))


@pytest.fixture(scope="module")
def found(timescale_stage_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Incident]]:
    """What the table says of each scene: terminals and shapes entered as an operator would, every link after the other."""
    folder = tmp_path_factory.mktemp("scenes")
    stage = Stage(timescale_stage_url, folder)
    stage.terminals([phone(number) for number in range(len(SCENES))])
    for number, scene in enumerate(SCENES):
        stage.shapes(place(number, scene), scene.shapes, phone(number))
    with running_gateway(folder / "gateway", {"database_url": stage.url}) as gateway:
        for number, scene in enumerate(SCENES):
            for messages in scene.delivery(scene.drive):
                with stage.bus(gateway, phone(number), place(number, scene), scene.edition) as bus:
                    bus.tell(messages)
    return {scene.name: stage.incidents(phone(number), scene.at(MONDAY), *KINDS) for number, scene in enumerate(SCENES)}


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_exactly_what_was_planted_is_found(scene: Scene, found: dict[str, list[Incident]]) -> None:
    assert not differs(scene.expected, found[scene.name], scene.every)
