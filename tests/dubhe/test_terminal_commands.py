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
from fix_db import rows
from protocols.jt808.commands import ready
from storage.enrol import add_terminal, add_vehicle


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
    assert (code, "failed: the terminal is offline; --expires-s S lets it wait 终端不在线" in out) == (1, True)
    code, out, _ = bare_dubhe("terminal", "command", name, "locate", "--expires-s", "60")
    assert (code, "queued until" in out) == (0, True)


def test_a_terminal_is_named_by_its_number_or_its_vehicles_plate_and_must_be_one(dubhe: Dubhe, database_url: str) -> None:
    for number, colour in (("13800138000", "黄"), ("13800138001", "绿")):
        add_terminal(database_url, number, "沪A38000", colour)
    add_vehicle(database_url, "沪A38001", "黄")
    add_terminal(database_url, "13800138002", "沪A38002", "黄")
    said = {who: dubhe("terminal", "command", who, "locate") for who in ("13800138000", "沪A·38002", "沪A38000", "沪A38001", "沪A3800")}

    assert [1, 1, 2, 2, 2] == [code for code, _, _ in said.values()]
    assert all("the terminal is offline" in said[who][1] for who in ("13800138000", "沪A·38002"))
    assert [("13800138000",), ("13800138002",)] == rows(
        database_url, "SELECT t.name FROM commands JOIN terminals t ON t.id = terminal_id ORDER BY 1"
    )
    assert "沪A38000 has 2 terminals 对应多个终端: 13800138000, 13800138001; give the number of one" in said["沪A38000"][2]
    assert "沪A38001 has no terminal 没有终端; `dubhe terminal add --plate` fits one to a vehicle" in said["沪A38001"][2]
    assert "no terminal or vehicle is called '沪A3800' 未登记; `dubhe terminal add` enters" in said["沪A3800"][2]


def test_a_terminal_is_released_by_its_vehicles_plate_too(dubhe: Dubhe, database_url: str) -> None:
    add_terminal(database_url, "13800138000", "沪A38000", "黄")

    assert (0, "terminal 13800138000 serves no vehicle now\n", "") == dubhe("terminal", "release", "沪A38000")
    assert "沪A38000 has no terminal" in dubhe("terminal", "release", "沪A38000")[2]


def test_what_is_no_command_or_makes_none_is_taught(bare_dubhe: Dubhe) -> None:
    code, _, err = bare_dubhe("terminal", "command", "1", "dance")
    assert (code, "`dubhe terminal commands` lists them" in " ".join(err.split())) == (2, True)
    code, _, err = bare_dubhe("terminal", "command", "1", "lcoate")
    assert (code, "did you mean 是否指 locate?" in " ".join(err.split())) == (2, True)
    code, out, err = bare_dubhe("terminal", "command", "1", "track", "--field", "interval_s=5", "--field", "valid=60")
    assert (code, out, "valid_s" in err) == (2, "", True)
    code, out, err = bare_dubhe("terminal", "command", "1", "text", "--field", "text=hi", "--field", "falg=[]")
    assert (code, out) == (2, "")
    assert "text has no field falg 没有该字段; did you mean 是否指 flag?; it has flag, text, kind" in " ".join(err.split())
    code, out, _ = bare_dubhe("terminal", "commands")
    assert code == 0
    assert len(out.splitlines()) == len(ready())
    code, out, _ = bare_dubhe("terminal", "commands", "locate")
    assert (code, "example   {}" in out) == (0, True)
