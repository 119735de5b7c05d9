"""The command line as a person meets it: what it prints, what it complains of, how it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dubhe import cli

Dubhe = Callable[..., tuple[int, str, str]]
"""`dubhe` with these words: exit status, output, errors."""


@pytest.fixture
def bare_dubhe(capsys: pytest.CaptureFixture[str]) -> Dubhe:
    """`dubhe` as it is; a database is for the test to name."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


@pytest.fixture
def dubhe(bare_dubhe: Dubhe, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Dubhe:
    """`dubhe` with the test's database."""
    monkeypatch.setenv("DUBHE_DATABASE_URL", database_url)
    return bare_dubhe
