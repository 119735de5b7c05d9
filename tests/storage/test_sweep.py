"""What the sweeper asks of the tables."""

from __future__ import annotations

import re

from fix_db import rows
from storage.sweep import _ENDED

SILENT = """
INSERT INTO events (id, terminal_id, kind, subject, level, started_at, opened_at, last_at, evidence, digest, retrospective, version)
SELECT n, n, 'offline', 0, 2, now() - interval '25 hours', now() - interval '1 hour', now() - interval '25 hours', 1, 1, false, 0
FROM generate_series(1, 500) AS n RETURNING 1
"""


def test_silence_of_many_is_settled_without_comparing_each_with_every_other(store_url: str) -> None:
    """A carrier's outage silences ten thousand at once, and the server has no statistics of a table that was empty a moment ago."""
    rows(store_url, SILENT)
    plan = "\n".join(line for (line,) in rows(store_url, f"EXPLAIN (ANALYZE, TIMING OFF) {_ENDED}", 31))

    assert re.search(r"actual rows=500(\.00)? ", plan), "all of them are looked at"
    assert "Rows Removed by Join Filter" not in plan
