"""A database of the scenes' own on the real TimescaleDB, and a gateway that many of them share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firmware_sim.gateway import Gateway, running_gateway
from fix_bus import PHONES, Stage
from fix_db import _database
from storage.migrate import migrate


@pytest.fixture(scope="module")
def timescale_stage_url(timescale_server_url: str) -> Iterator[str]:
    with _database(timescale_server_url, "template0") as url:
        migrate(url)
        yield url


@pytest.fixture(scope="module")
def stage(timescale_stage_url: str, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Twenty terminals, PHONES, that nobody has driven yet."""
    made = Stage(timescale_stage_url, tmp_path_factory.mktemp("stage"))
    made.terminals(PHONES)
    return made


@pytest.fixture(scope="module")
def gateway(stage: Stage) -> Iterator[Gateway]:
    with running_gateway(stage.folder / "gateway", {"database_url": stage.url, "log_format": "json"}) as running:
        yield running
