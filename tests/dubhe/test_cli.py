"""What a person can mend is one sentence and exit status 2, whichever command it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_sim.gateway import Gateway
from fix_cli import Dubhe
from fix_db import rows
from storage.enrol import add_terminal

XLS = bytes.fromhex("d0cf11e0a1b11ae1")


@pytest.mark.parametrize("words", [("vehicle", "import"), ("terminal", "import"), ("fence", "import", "--datum", "wgs84")], ids=" ".join)
def test_a_file_that_is_not_there_is_named(dubhe: Dubhe, tmp_path: Path, words: tuple[str, ...]) -> None:
    missing = tmp_path / "missing"

    assert dubhe(*words, str(missing)) == (2, "", f"dubhe: cannot use {missing}: No such file or directory\n")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.xlsx", XLS, ".xls of old"),
        ("a.csv", b"colour,weight\nblue,3\n", "plate"),
    ],
    ids=["another kind of file", "no heading that is known"],
)
def test_a_sheet_that_cannot_be_read_is_one_sentence(dubhe: Dubhe, tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    code, out, said = dubhe("vehicle", "import", str(tmp_path / name))

    assert (code, out, len(said.splitlines()), why in said) == (2, "", 1, True)


def test_times_are_shown_as_they_are_entered_and_told_to_programs_in_utc(
    dubhe: Dubhe, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_terminal(database_url, "13800138000", "沪A38000", "黄")
    dubhe("line", "add", "71路")
    dubhe("line", "assign", "71路", "沪A38000", "--from", "2026-01-01T08:00")
    rows(database_url, "UPDATE terminals SET last_registered_at = '2026-01-01 00:00:00.5Z' RETURNING 1")
    (tmp_path / "a.csv").write_text("plate,plate_colour,carrier_until\n沪A38000,黄,2099-01-31\n", encoding="utf-8")
    dubhe("vehicle", "import", str(tmp_path / "a.csv"))
    monkeypatch.setenv("PGTZ", "America/New_York")

    assert "2026-01-01T08:00:00+08:00" == dubhe("line", "list")[1].splitlines()[1].split("\t")[3]
    assert "2026-01-01T08:00:00+08:00" == dubhe("terminal", "list")[1].splitlines()[1].split("\t")[6]
    assert "2099-02-01T00:00:00+08:00" == dubhe("vehicle", "list")[1].splitlines()[1].split("\t")[9]
    shown = dubhe("vehicle", "show", "沪A38000", "--at", "2099-02-01T08:00")[1]
    assert "at 2099-02-01T08:00:00+08:00 not compliant" in shown
    assert "carrier_insurance_expired since 2099-02-01T00:00:00+08:00" in shown
    assert "Z" not in shown.replace("VIN", "")

    assert "2099-01-31T16:00:00Z" == json.loads(dubhe("vehicle", "list", "--json")[1])["lapses"]
    told = json.loads(dubhe("vehicle", "show", "沪A38000", "--at", "2099-02-01T08:00", "--json")[1])
    assert ("2099-02-01T00:00:00Z", "2099-01-31T16:00:00Z") == (told["verdict"]["at"], told["vehicle"]["papers"][0]["valid_until"])
    assert "+08:00" not in json.dumps(told)


def test_plate_colours_are_shown_in_words_that_may_be_given_back(dubhe: Dubhe, database_url: str) -> None:
    add_terminal(database_url, "13800138000", "沪A38000", "黄")
    add_terminal(database_url, "13800138001", "沪A38000", "94")
    lists = [dubhe(*words)[1].splitlines()[1:] for words in (("vehicle", "list"), ("terminal", "list"))]

    assert [["yellow 黄", "gradient_green 渐变绿"], ["yellow 黄", "gradient_green 渐变绿"]] == [
        [line.split("\t")[place] for line in lines] for lines, place in zip(lists, (1, 2), strict=True)
    ]
    assert "say --colour, one of yellow 黄, gradient_green 渐变绿" in dubhe("vehicle", "show", "沪A38000")[2]
    assert "plate_colour yellow 黄" in dubhe("vehicle", "show", "沪A38000", "--colour", "yellow 黄")[1]
    assert [2, 94] == [json.loads(line)["colour"] for line in dubhe("vehicle", "list", "--json")[1].splitlines()]
    assert 2 == json.loads(dubhe("vehicle", "show", "沪A38000", "--colour", "黄色", "--json")[1])["vehicle"]["plate_colour"]
    assert "plate colour 'yellow 绿' is none of" in dubhe("vehicle", "show", "沪A38000", "--colour", "yellow 绿")[2]


@pytest.mark.parametrize("when", ["yesterday", "0001-01-01", "0001-01-01T00:00:00", "9999-12-31T23:59:59", "9999-12-31T23:59:59-08:00"])
def test_a_time_that_cannot_be_meant_is_one_sentence(dubhe: Dubhe, database_url: str, when: str) -> None:
    add_terminal(database_url, "13800138000", "沪A38000", "黄")
    for words in (("vehicle", "show", "沪A38000", "--at", when), ("track", "沪A38000", "--from", when, "--to", "2026-01-01")):
        code, out, said = dubhe(*words)

        assert (code, out, said.count("\n"), "is no time between 1970 and 2199" in said) == (2, "", 1, True)


def test_a_track_that_ends_before_it_begins_is_one_sentence(dubhe: Dubhe, database_url: str) -> None:
    add_terminal(database_url, "13800138000", "沪A38000", "黄")
    code, out, said = dubhe("track", "沪A38000", "--from", "2026-01-02", "--to", "2026-01-01")

    assert (code, out, said.count("\n"), "--to 2026-01-01 is not after --from 2026-01-02" in said) == (2, "", 1, True)


def test_a_track_into_a_folder_that_is_not_there_is_one_sentence(dubhe: Dubhe, database_url: str, tmp_path: Path) -> None:
    add_terminal(database_url, "13800138000", "沪A38000", "黄")
    code, out, said = dubhe("track", "沪A38000", "--from", "2026-01-01", "--to", "2026-01-02", "-o", str(tmp_path / "no" / "day.csv"))

    assert (code, out, said.count("\n"), "no/day.csv" in said) == (2, "", 1, True)


def test_a_terminal_that_the_gateway_refuses_is_said_to_be_with_the_entry_that_lets_it_in(
    gateways: Callable[[dict[str, str]], Gateway], bare_dubhe: Dubhe, tmp_path: Path
) -> None:
    recording = tmp_path / "day.csv"
    recording.write_text("time,lat,lon\n2026-11-25T08:00:00Z,31.23,121.47\n", encoding="utf-8")
    to = gateways({"admission": "strict"}).to
    code, out, said = bare_dubhe("replay", str(recording), "--to", f"{to.host}:{to.port}", "--plate", "沪A38000", "--speed", "0")

    assert (code, out) == (2, "")
    assert "the gateway refused terminal 13900000001 of vehicle 沪A38000; `dubhe terminal add 13900000001 --plate 沪A38000" in said
    assert "cannot be a terminal's name" in bare_dubhe("replay", str(recording), "--to", "127.0.0.1:9", "--terminal", "xyz")[2]


def test_a_full_disk_is_one_sentence() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "dubhe", "decode", "7e00"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (2, "dubhe: cannot write: No space left on device 磁盘已满\n") == (ended.returncode, ended.stderr)


def test_words_without_a_frame_decode_to_nothing_and_that_is_said(bare_dubhe: Dubhe) -> None:
    code, out, said = bare_dubhe("decode", "7e")

    assert (1, "", "dubhe: there is no frame and no sentence in it 没有报文; a frame is 7e…7e\n") == (code, out, said)


def test_a_frame_is_taken_apart_with_its_time_in_utc_8_and_for_programs_in_utc(bare_dubhe: Dubhe) -> None:
    frame = "7e0200001c0139123456780001000000000000000301d907c2073f2ec4001002580045181015101010e17e"

    assert {"time: 2018-10-15T10:10:10+08:00"} == {line.strip() for line in bare_dubhe("decode", frame)[1].splitlines() if "time" in line}
    assert "2018-10-15T02:10:10Z" == json.loads(bare_dubhe("decode", "--json", frame)[1])["fixes"][0]["time"]


def test_a_recording_without_a_position_is_said_to_be_empty(gateway: Gateway, bare_dubhe: Dubhe, tmp_path: Path) -> None:
    recording = tmp_path / "day.gpx"
    recording.write_text('<gpx version="1.1"><trk><trkseg></trkseg></trk></gpx>', encoding="utf-8")
    code, out, said = bare_dubhe("replay", str(recording), "--to", f"{gateway.to.host}:{gateway.to.port}")

    assert (1, 0) == (code, json.loads(out)["sent"])
    assert f"dubhe: {recording} holds no position and no frame: nothing was sent 文件中没有定位点或报文\n" == said


def test_a_page_that_is_not_there_is_a_problem_that_names_those_there_are(gateway: Gateway) -> None:
    status, text = gateway.get("/map")
    problem = json.loads(text)

    assert (404, 404, "Not Found") == (status, problem["status"], problem["title"])
    assert "nothing is at /map 无此页面; there are /healthz, /readyz, /metrics" == problem["detail"]


def test_a_plate_of_another_colour_is_said_to_be_there(dubhe: Dubhe, database_url: str) -> None:
    add_terminal(database_url, "13800138000", "沪A38000", "黄")

    assert "the plate '沪A38000' is yellow 黄, not green 绿 车牌颜色不符" in dubhe("vehicle", "show", "沪A38000", "--colour", "绿")[2]


def test_a_recording_or_a_gateway_that_is_not_there_is_one_sentence(bare_dubhe: Dubhe, tmp_path: Path) -> None:
    recording = tmp_path / "day.csv"
    recording.write_text("time,lat,lon\n2026-11-25T08:00:00Z,31.23,121.47\n", encoding="utf-8")
    for file, sentence in ((tmp_path / "no.csv", "cannot use"), (recording, "nothing takes the reports at 127.0.0.1:9")):
        code, out, said = bare_dubhe("replay", str(file), "--to", "127.0.0.1:9")

        assert (code, out, said.count("\n"), sentence in said) == (2, "", 1, True)


@pytest.mark.parametrize(
    "words", [("line", "add"), ("track", "--from", "2026-01-01", "--to", "2026-01-02"), ("fence", "import")], ids=" ".join
)
def test_a_word_with_bytes_that_are_no_text_is_one_sentence(dubhe: Dubhe, words: tuple[str, ...]) -> None:
    code, out, said = dubhe(*words, os.fsdecode("沪A38000".encode("gbk")))

    assert (code, out, said.count("\n"), "\\xbb\\xa6A38000 is not UTF-8" in said) == (2, "", 1, True)


def test_a_file_may_have_any_name(dubhe: Dubhe, tmp_path: Path) -> None:
    sheet = tmp_path / os.fsdecode("车辆.csv".encode("gbk"))
    sheet.write_text("车牌号,车牌颜色\n沪A38000,黄\n", encoding="utf-8")

    assert (0, "1 taken, 0 refused\n", "") == dubhe("vehicle", "import", str(sheet))


def test_the_log_says_where_terminals_and_browsers_find_it(gateway: Gateway) -> None:
    told = [json.loads(line) for line in gateway.log.read_text("utf-8").splitlines() if line.startswith("{")]
    listening = [each for each in told if each["event"] == "listening"]

    for door, at in (("tcp", gateway.to), ("http", gateway.http)):
        assert {f"{at.host}:{at.port}"} == {each[door] for each in listening if door in each}


def test_garbage_is_taken_apart_like_any_sentence(bare_dubhe: Dubhe) -> None:
    code, out, said = bare_dubhe("decode", os.fsdecode(b"$GNRMC,\xff\xfe*00"))

    assert (code, said, "GNRMC" in out) == (1, "", True)
