"""The operator's entries: by hand, never rebinding silently."""

from __future__ import annotations

import pytest

from fix_db import rows
from storage.enrol import EnrolError, add_terminal, add_vehicle, release_terminal


def entries(url: str) -> list[tuple[str, str | None, int | None, bool]]:
    """Terminal, plate, colour, vetted."""
    return rows(
        url, "SELECT t.name, v.plate, v.plate_colour, t.vetted FROM terminals t LEFT JOIN vehicles v ON v.id = t.vehicle_id ORDER BY 1"
    )


def test_a_terminal_is_known_under_its_digits_without_leading_zeros(database_url: str) -> None:
    add_terminal(database_url, "00000000013912345678")
    add_terminal(database_url, " 013912345678 ")

    assert entries(database_url) == [("13912345678", None, None, True)]


def test_a_terminal_that_sends_letters_is_entered_with_its_whole_field_and_released_by_its_name(database_url: str) -> None:
    for field in ("01FD5129130A", "0000000001fd5129130a"):  # an IMEI as a number (quirk B8)
        add_terminal(database_url, field, "川A12345", "黄")
    assert entries(database_url) == [("1fd5129130a", "川A12345", 2, True)]

    release_terminal(database_url, "1fd5129130a")
    assert entries(database_url) == [("1fd5129130a", None, None, True)]


def test_entering_the_same_twice_changes_nothing(database_url: str) -> None:
    for _ in range(2):
        add_terminal(database_url, "138", "川A·12345", "黄", vin="lzytbte61g1000001")

    assert entries(database_url) == [("138", "川A12345", 2, True)]
    assert rows(database_url, "SELECT vin, vetted FROM vehicles") == [("LZYTBTE61G1000001", True)]


def test_a_terminal_that_serves_a_vehicle_is_released_before_it_serves_another(database_url: str) -> None:
    add_terminal(database_url, "138", "川A12345", "黄")

    with pytest.raises(EnrolError, match=r"terminal 138 serves 川A12345 .*`dubhe terminal release 138`"):
        add_terminal(database_url, "138", "川B00001", "2")
    with pytest.raises(EnrolError, match=r"vehicle 川A12345 is served by terminal 138 .*`dubhe terminal release 138`"):
        add_terminal(database_url, "139", "川A12345", "yellow")
    assert entries(database_url) == [("138", "川A12345", 2, True)]

    release_terminal(database_url, "138")
    add_terminal(database_url, "139", "川A12345", "黄")
    assert entries(database_url) == [("138", None, None, True), ("139", "川A12345", 2, True)]


def test_releasing_an_unknown_terminal_is_said(database_url: str) -> None:
    with pytest.raises(EnrolError, match="'138' is not in the registry"):
        release_terminal(database_url, "138")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (("", "", ""), "'' cannot be a terminal's name"),
        (("1\x008", "", ""), "'18' cannot be a terminal's name"),
        (("1" * 65, "", ""), "cannot be a terminal's name"),
        (("face", "", ""), "'face' is no phone number, which is digits alone .* are entered: 00000000face$"),
        (("1fd51291300a1c", "", ""), "are entered: 0000001fd51291300a1c$"),
        (("138", "川A12345", ""), "a plate needs its colour"),
        (("138", "川A12345", "7"), "plate colour '7' is none of"),
        (("138", "川A12345", "紫"), "plate colour '紫' is none of"),
    ],
)
def test_an_entry_that_cannot_be_taken_says_why_and_leaves_nothing(database_url: str, entry: tuple[str, str, str], why: str) -> None:
    with pytest.raises(EnrolError, match=why):
        add_terminal(database_url, *entry)

    assert entries(database_url) == []


def test_a_plate_of_punctuation_is_no_vehicle(database_url: str) -> None:
    with pytest.raises(EnrolError, match="neither a terminal nor a plate"):
        add_vehicle(database_url, "--", "黄")
