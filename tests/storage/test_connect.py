from __future__ import annotations

import pytest

from storage.connect import connect
from storage.errors import StoreUnavailable


def test_what_breaks_within_a_connection_is_one_sentence_and_the_connection_is_closed(database_url: str) -> None:
    with pytest.raises(StoreUnavailable, match="run `dubhe migrate`"), connect(database_url) as conn:
        conn.execute("SELECT * FROM no_such_table")
    assert conn.closed
    with pytest.raises(ZeroDivisionError), connect(database_url) as conn:
        raise ZeroDivisionError
    assert conn.closed


def test_a_database_that_is_not_there_is_said_to_be_away() -> None:
    with pytest.raises(StoreUnavailable, match="the database is away"), connect("postgresql://127.0.0.1:1/none"):
        pass
