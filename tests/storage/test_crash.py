"""kill -9 of the database in the middle of commits: what was answered is there, exactly once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from fix_db import NOON_US, fixes_of, kill_all_in, rejects_of, rows
from storage.embedded import Embedded
from storage.errors import StoreUnavailable
from storage.migrate import migrate
from storage.writer import CommitReport, TrackWriter
from tracks.fix import FixBatch
from tracks.reject import RejectBatch

BATCHES, ROWS = 60, 50


@pytest.mark.parametrize("seed", [808, 2019])
def test_every_report_is_stored_exactly_once_though_the_database_is_killed(place: Path, seed: int) -> None:
    server = Embedded(place)
    url = server.start()
    migrate(url)
    random = Random(seed)
    batches = [
        fixes_of([f"{number} {row}".encode() for row in range(ROWS)], time_us=NOON_US + number * 1_000_000) for number in range(BATCHES)
    ]
    fatal = set(random.sample(range(BATCHES), 3))

    async def gateway() -> int:
        writer = TrackWriter(url)
        stored = 0
        for number, batch in enumerate(batches):
            commit = asyncio.ensure_future(writer.commit(batch, rejects_of([b"bad"]) if number % 7 == 0 else RejectBatch.empty()))
            if number in fatal:
                await turns(random.randrange(60))
                kill_all_in(server.cluster)
            try:
                stored += (await commit).stored
            except StoreUnavailable:
                server.stop()
                server.start()
                stored += (await until_stored(writer, batch)).stored
        await writer.close()
        return stored

    asyncio.run(gateway())

    assert rows(url, "SELECT count(*), count(DISTINCT raw) FROM fixes") == [(BATCHES * ROWS, BATCHES * ROWS)]

    server.stop()


async def turns(count: int) -> None:
    """Let the commit get somewhere: so many rounds of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until_stored(writer: TrackWriter, batch: FixBatch) -> CommitReport:
    """Commit again and again, as a gateway does."""
    while True:
        try:
            return await writer.commit(batch, RejectBatch.empty())
        except StoreUnavailable:
            await asyncio.sleep(0)
