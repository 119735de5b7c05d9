"""A database of the scenes' own on the real TimescaleDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fix_db import _database
from storage.migrate import migrate


@pytest.fixture(scope="module")
def timescale_stage_url(timescale_server_url: str) -> Iterator[str]:
    with _database(timescale_server_url, "template0") as url:
        migrate(url)
        yield url
