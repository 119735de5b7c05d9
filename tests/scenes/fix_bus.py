"""A bus on the wire, and the stage that scenes with a course of their own are played on: commands, gateways, and what the table says."""

from __future__ import annotations

import io
import json
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import pytest
from typer.main import get_command

from dubhe.cli import app
from firmware_sim.gateway import Gateway
from fix_db import rows
from fix_road import Place, Report, bundle, frame, unframed
from scene_table import Incident

PHONES = [f"138{number:08d}" for number in range(30)]
IN_FLIGHT_MAX = 200
COMMAND = get_command(app)
"""Made once: that takes as long as an import of shapes."""
PATIENCE_S = 120.0
Shape = tuple[str, str, Any, dict[str, Any]]


@dataclass
class Bus:
    """A terminal with a link of its own: it says what it is told to say, and every answer has to be a yes."""

    gateway: Gateway
    phone: str
    code: str
    place: Place
    edition: int = 2013
    serial: int = 0
    _link: socket.socket | None = None

    def __enter__(self) -> Self:
        self._link = socket.create_connection((self.gateway.to.host, self.gateway.to.port), 30)
        key = self.code.encode()
        self._say([(0x0102, bytes([len(key)]) + key + bytes(15) + bytes(20) if self.edition == 2019 else key)])
        return self

    def __exit__(self, *_: object) -> None:
        if self._link is not None:
            self._link.close()

    def drive(self, reports: Iterable[Report]) -> None:
        """One 0x0200 each."""
        self.tell([(0x0200, [each]) for each in reports])

    def backfill(self, reports: Sequence[Report], size: int = 20) -> None:
        """Kept while offline, in 0x0704."""
        self.tell([(0x0704, list(reports[at : at + size])) for at in range(0, len(reports), size)])

    def tell(self, messages: Sequence[tuple[int, Sequence[Report]]]) -> None:
        """0x0200 with one report, or 0x0704 with many."""
        bodies = [
            (message, self.place.body(some[0]) if message == 0x0200 else bundle([self.place.body(each) for each in some]))
            for message, some in messages
        ]
        for at in range(0, len(bodies), IN_FLIGHT_MAX):
            self._say(bodies[at : at + IN_FLIGHT_MAX])

    def send(self, reports: Sequence[Report]) -> None:
        """Say it and hear nothing."""
        assert self._link is not None
        self._link.sendall(self._frames([(0x0200, self.place.body(each)) for each in reports]))

    def _frames(self, bodies: Sequence[tuple[int, bytes]]) -> bytes:
        made = [frame(m, self.phone, self.serial + nth, body, edition=self.edition) for nth, (m, body) in enumerate(bodies)]
        self.serial += len(made)
        return b"".join(made)

    def _say(self, bodies: Sequence[tuple[int, bytes]]) -> None:
        assert self._link is not None
        self._link.sendall(self._frames(bodies))
        stream, answers = b"", list[int]()
        while len(answers) < len(bodies):
            data = self._link.recv(65536)
            assert data, "the gateway closed the link"
            stream += data
            if stream.endswith(b"\x7e"):
                answers = [body[4] for message, body in unframed(stream) if message == 0x8001]
        assert set(answers) == {0}


@dataclass
class Stage:
    """A database, an operator, and what is to be seen of it."""

    url: str
    folder: Path
    taken: int = 0
    """Places that have been used."""
    codes: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> str:
        """What `dubhe` says to these words; it has to succeed."""
        told = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(told), redirect_stderr(told):
            patch.setenv("DUBHE_DATABASE_URL", self.url)
            with pytest.raises(SystemExit) as ended:
                COMMAND.main(list(words), prog_name="dubhe")
        assert ended.value.code == 0, told.getvalue()
        return told.getvalue()

    def terminals(self, phones: Sequence[str]) -> None:
        """Enter them all."""
        roll = self.folder / "terminals.csv"
        roll.write_text("terminal\n" + "\n".join(phones))
        self.command("terminal", "import", str(roll))
        self.learn()

    def learn(self) -> None:
        """The codes of all terminals."""
        self.codes = dict(rows(self.url, "SELECT name, auth_code FROM terminals"))

    def sheet(self, **cells: str) -> str:
        """Import a sheet of one vehicle."""
        file = self.folder / "fleet.csv"
        file.write_text(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
        said = self.command("vehicle", "import", str(file), "--by", "operator")
        self.learn()
        return said

    def shapes(self, place: Place, shapes: Iterable[Shape], *whom: str, datum: str = "wgs84") -> list[str]:
        """Import them, for these parties or for all; what the imports say."""
        features = defaultdict(list)
        for table, kind, points, properties in shapes:
            features[table].append(place.feature(kind, points, **properties))
        said = []
        for table, some in features.items():
            file = self.folder / "shapes.geojson"
            file.write_text(json.dumps({"type": "FeatureCollection", "features": some}))
            said.append(self.command(table, "import", str(file), "--datum", datum, *(word for each in whom for word in ("--for", each))))
        return said

    def place(self, began: datetime) -> Place:
        """A place where no other scene plays."""
        self.taken += 1
        return Place(100 + self.taken // 40 * 0.6, 26 + self.taken % 40 * 0.15, began)

    def bus(self, gateway: Gateway, phone: str, place: Place, edition: int = 2013) -> Bus:
        """The terminal, to be used with `with`."""
        return Bus(gateway, phone, self.codes[phone], place, edition)

    def incidents(self, phone: str, began: datetime, *kinds: str) -> list[Incident]:
        """What the table says of a terminal."""
        told = rows(
            self.url,
            "SELECT kind, started_at, ended_at, level, ended, subject FROM events JOIN terminals ON terminals.id = events.terminal_id"
            " WHERE withdrawn_at IS NULL AND name = %s ORDER BY started_at, kind",
            phone,
        )
        return [
            Incident(kind, (start - began).total_seconds(), end and (end - began).total_seconds(), level, ended, subject)
            for kind, start, end, level, ended, subject in told
            if not kinds or kind in kinds
        ]


def in_force(gateway: Gateway, what: str, url: str) -> None:
    """Wait until the gateway judges by what the database has now: by a version that was begun after all that has been committed."""
    channel = {"shapes": "geometry", "vehicles": "fleet"}[what]
    ((version,),) = rows(url, f"SELECT v FROM nextval('{channel}_versions') AS v, pg_notify('dubhe_{channel}', v::text)")
    until(lambda: any(each.get("what") == what and each.get("version", 0) >= version for each in said(gateway)))


def said(gateway: Gateway) -> list[dict[str, Any]]:
    """The gateway's log."""
    lines = gateway.log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def until(true: Callable[[], Any]) -> None:
    """Wait until it is so."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it does not come to be"
        time.sleep(0.02)


def alike(expected: Incident, found: Incident, within_s: float) -> bool:
    """The same, with start and end so near."""
    near = expected.kind == found.kind and abs(expected.start - found.start) <= within_s
    closed = (expected.end is None) == (found.end is None) and (found.end is None or abs((expected.end or 0) - found.end) <= within_s)
    pairs = ((expected.level, found.level), (expected.ended, found.ended), (expected.subject, found.subject))
    return near and closed and all(one in (None, other) for one, other in pairs)


def differs(expected: Sequence[Incident], found: Sequence[Incident], within_s: float) -> str:
    """What is expected and what is found, where they are not the same; else nothing."""
    rest = list(found)
    for each in sorted(expected, key=lambda each: (each.start, each.kind)):
        match = next((other for other in rest if alike(each, other, within_s)), None)
        if match is None:
            return f"expected {expected}\nfound {found}"
        rest.remove(match)
    return f"expected {expected}\nfound {found}" if rest else ""
