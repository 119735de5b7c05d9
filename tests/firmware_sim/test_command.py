import json
from pathlib import Path

import pytest

from firmware_sim.__main__ import main


@pytest.mark.parametrize("words", [["--help"], ["replay", "--help"], ["load", "--help"]])
def test_help_teaches_by_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)

    assert 0 == left.value.code
    told = capsys.readouterr().out
    assert "--to HOST:PORT" in told
    assert "--speed" in told or "python -m firmware_sim load" in told


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--cut", "2"], "cut=2.0 is no rate; it lies between 0 and 1"),
        (["--to", "nowhere"], "'nowhere' is not HOST:PORT"),
        (["replay", "missing.csv"], "No such file or directory: 'missing.csv'"),
        (["load", "--terminals", "0"], "terminals=0: from 1 to 100,000"),
        (["load", "--to", "127.0.0.1:1"], "Connection refused"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(words)

    said = capsys.readouterr().err
    assert said.startswith("firmware_sim: ")
    assert why in said
    assert 1 == said.count("\n")


def test_a_fleet_that_nobody_heard_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["--to", "127.0.0.1:1", "--terminals", "1", "--seconds", "0.1"])
    assert 0 == json.loads(capsys.readouterr().out)["sent"]


def test_roads_of_your_own_must_have_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}))

    assert 2 == main(["--roads", str(tmp_path / "none.geojson")])
    assert "no LineString" in capsys.readouterr().err
