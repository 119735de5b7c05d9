"""Buses that do what the table says, over real sockets, through the whole tree; the table `events` holds exactly what was planted."""

from __future__ import annotations

import json
import socket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dubhe.cli import app
from firmware_sim.gateway import Gateway, running_gateway
from fix_db import rows
from fix_road import Place, bundle, frame, last_monday, unframed
from scene_table import SCENES, Incident, Scene

pytestmark = pytest.mark.timescale
KINDS = ("inside", "outside", "dwelt", "overspeed_inside", "deviation", "detour", "wrong_direction", "shortcut", "stop_visit")
MONDAY = last_monday(datetime.now(UTC))
IN_FLIGHT_MAX = 200


def phone(number: int) -> str:
    return f"139{number:08d}"


def place(number: int, scene: Scene) -> Place:
    return Place(100 + number // 40 * 0.6, 26 + number % 40 * 0.15, scene.at(MONDAY))


@dataclass(frozen=True, slots=True)
class Stage:
    """What was found of each scene."""

    found: dict[str, list[Incident]]


def command(url: str, *words: str) -> None:
    result = CliRunner().invoke(app, list(words), env={"DUBHE_DATABASE_URL": url})
    assert result.exit_code == 0, result.output


def build(url: str, folder: Path) -> None:
    """Terminals and shapes, entered as an operator would."""
    roll = folder / "terminals.csv"
    roll.write_text("terminal\n" + "\n".join(phone(number) for number in range(len(SCENES))))
    command(url, "terminal", "import", str(roll))
    for number, scene in enumerate(SCENES):
        features = defaultdict(list)
        for table, kind, points, properties in scene.shapes:
            features[table].append(place(number, scene).feature(kind, points, **properties))
        for table, some in features.items():
            file = folder / f"{number}.geojson"
            file.write_text(json.dumps({"type": "FeatureCollection", "features": some}))
            command(url, table, "import", str(file), "--datum", "wgs84", "--for", phone(number))


def play(gateway: Gateway, number: int, scene: Scene, code: str) -> None:
    """The drive, each link after the other, every message answered."""
    spot, serial = place(number, scene), 0
    for messages in scene.delivery(scene.drive):
        with socket.create_connection((gateway.to.host, gateway.to.port), 30) as link:
            key = code.encode()
            login = bytes([len(key)]) + key + bytes(15) + bytes(20) if scene.edition == 2019 else key
            frames = [(0x0102, login)]
            frames += [
                (message, spot.body(some[0]) if message == 0x0200 else bundle([spot.body(each) for each in some]))
                for message, some in messages
            ]
            for at in range(0, len(frames), IN_FLIGHT_MAX):
                part = frames[at : at + IN_FLIGHT_MAX] if at else frames[:1]
                link.sendall(
                    b"".join(
                        frame(message, phone(number), serial + place, body, edition=scene.edition)
                        for place, (message, body) in enumerate(part)
                    )
                )
                serial += len(part)
                heard(link, len(part))
                if not at:
                    rest = frames[1:IN_FLIGHT_MAX]
                    link.sendall(
                        b"".join(frame(m, phone(number), serial + place, b, edition=scene.edition) for place, (m, b) in enumerate(rest))
                    )
                    serial += len(rest)
                    heard(link, len(rest))


def heard(link: socket.socket, count: int) -> None:
    """So many answers, all of them yes."""
    stream, answers = b"", []
    while len(answers) < count:
        data = link.recv(65536)
        assert data, "the gateway closed the link"
        stream += data
        answers = (
            [body[4] for message, body in unframed(stream[: stream.rindex(b"\x7e") + 1]) if message == 0x8001]
            if stream.endswith(b"\x7e")
            else answers
        )
    assert set(answers) <= {0}


@pytest.fixture(scope="module")
def stage(timescale_stage_url: str, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    folder = tmp_path_factory.mktemp("scenes")
    url = timescale_stage_url
    build(url, folder)
    codes = dict(rows(url, "SELECT name, auth_code FROM terminals"))
    with running_gateway(folder / "gateway", {"database_url": url}) as gateway:
        for number, scene in enumerate(SCENES):
            play(gateway, number, scene, codes[phone(number)])
    found = defaultdict(list)
    for name, kind, start, end, level, ended in rows(
        url,
        "SELECT name, kind, started_at, ended_at, level, ended FROM events JOIN terminals ON terminals.id = events.terminal_id "
        "WHERE withdrawn_at IS NULL ORDER BY started_at, kind",
    ):
        scene = SCENES[int(name[3:])]
        began = scene.at(MONDAY)
        if kind in KINDS:
            found[scene.name].append(Incident(kind, (start - began).total_seconds(), end and (end - began).total_seconds(), level, ended))
    return Stage(found)


def alike(expected: Incident, found: Incident, within_s: float) -> bool:
    near = expected.kind == found.kind and abs(expected.start - found.start) <= within_s
    closed = (expected.end is None) == (found.end is None) and (found.end is None or abs((expected.end or 0) - found.end) <= within_s)
    return near and closed and expected.level in (None, found.level) and expected.ended in (None, found.ended)


def differs(expected: Sequence[Incident], found: Sequence[Incident], within_s: float) -> bool:
    order = sorted(expected, key=lambda each: (each.start, each.kind))
    rest = list(found)
    for each in order:
        match = next((other for other in rest if alike(each, other, within_s)), None)
        if match is None:
            return True
        rest.remove(match)
    return bool(rest)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_exactly_what_was_planted_is_found(scene: Scene, stage: Stage) -> None:
    found = stage.found.get(scene.name, [])

    assert not differs(scene.expected, found, scene.every), f"expected {scene.expected}\nfound {found}"
