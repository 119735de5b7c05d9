"""The command line's way to a terminal, through a real tree."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from firmware_sim.gateway import Gateway
from firmware_sim.handset import Handset
from fix_cli import Dubhe
from protocols.jt808.commands import ready


@contextmanager
def listening(handset: Handset) -> Iterator[None]:
    """The terminal hears and answers meanwhile."""
    over = threading.Event()

    def carry() -> None:
        while not over.is_set():
            try:
                handset.until(over.is_set, 0.1)
            except TimeoutError:
                continue

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_the_command_line_prints_the_terminals_answer(
    gateway: Gateway, terminal: Callable[..., Handset], monkeypatch: pytest.MonkeyPatch, bare_dubhe: Dubhe
) -> None:
    monkeypatch.setenv("DUBHE_DATA_DIR", str(gateway.data_dir))
    handset = terminal()
    handset.connect()
    name = handset.terminal.identity.name
    with listening(handset):
        code, out, _ = bare_dubhe("terminal", "command", name, "locate")
        assert (code, "location_query" in out, "lat  31.230416" in out) == (0, True, True)

        code, out, _ = bare_dubhe("terminal", "command", name, "location-query", "--json")
        told = json.loads(out)
        assert (code, told["state"], told["result"], told["reply_message"]) == (0, "answered", "ok", "location_reply")
    handset.cut()


def test_an_offline_terminal_is_said_to_be_offline_or_the_command_is_queued(
    gateway: Gateway, terminal: Callable[..., Handset], monkeypatch: pytest.MonkeyPatch, bare_dubhe: Dubhe
) -> None:
    monkeypatch.setenv("DUBHE_DATA_DIR", str(gateway.data_dir))
    name = terminal().terminal.identity.name
    bare_dubhe("terminal", "add", name)

    code, out, _ = bare_dubhe("terminal", "command", name, "locate")
    assert (code, "failed: the terminal is offline" in out) == (1, True)
    code, out, _ = bare_dubhe("terminal", "command", name, "locate", "--expires-s", "60")
    assert (code, "queued until" in out) == (0, True)


def test_what_is_no_command_or_makes_none_is_taught(bare_dubhe: Dubhe) -> None:
    code, _, err = bare_dubhe("terminal", "command", "1", "dance")
    assert (code, "`dubhe terminal commands` lists them" in " ".join(err.split())) == (2, True)
    code, out, _ = bare_dubhe("terminal", "commands")
    assert code == 0
    assert len(out.splitlines()) == len(ready())
    code, out, _ = bare_dubhe("terminal", "commands", "locate")
    assert (code, "example   {}" in out) == (0, True)
