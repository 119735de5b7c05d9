"""What is an alarm and what is found afterwards, and a road drawn on a map of another datum: buses that drive now, not last week."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from firmware_sim.gateway import Gateway
from fix_bus import PHONES, Stage, differs, in_force
from fix_db import rows
from fix_road import Pace, Place, Wait, drive
from scene_table import OPEN, STRAIGHT, Incident, circle, stray

pytestmark = pytest.mark.timescale
SINCE_OPENED = "SELECT kind, retrospective FROM events e JOIN terminals t ON t.id = e.terminal_id WHERE t.name = %s AND withdrawn_at IS NULL ORDER BY started_at"  # noqa: E501
ASIDE = drive((0, 0), Pace(20), (400, 0), (400, 200), (1600, 200), (1600, 0), (1800, 0), every=2)
"""110 s at 20 m/s; from 23 s to 98 s it is 200 m beside the road."""
FOUND = Incident("deviation", 23, 98)


def ago(stage: Stage, seconds: float) -> tuple[datetime, Place]:
    began = (datetime.now(UTC) - timedelta(seconds=seconds)).replace(microsecond=0)
    return began, stage.place(began)


def lay(stage: Stage, gateway: Gateway, place: Place, phone: str) -> None:
    stage.shapes(place, [STRAIGHT], phone)
    in_force(gateway, "shapes", stage.url)


def test_what_is_seen_as_it_happens_is_an_alarm_and_what_comes_later_is_not(stage: Stage, gateway: Gateway) -> None:
    """120 s apart (deviation.md: live or backfill), whatever the message that brings it."""
    for phone, since, late in ((PHONES[0], 112, False), (PHONES[1], 900, True)):
        began, place = ago(stage, since)
        lay(stage, gateway, place, phone)
        with stage.bus(gateway, phone, place) as bus:
            if late:
                bus.backfill(ASIDE)
            else:
                bus.drive(ASIDE)

        assert not differs([FOUND], stage.incidents(phone, began), 2)
        assert rows(stage.url, SINCE_OPENED, phone) == [("deviation", late)]


def test_a_deviation_in_the_backfill_is_found_beside_the_one_that_goes_on(stage: Stage, gateway: Gateway) -> None:
    phone, (began, place) = PHONES[2], ago(stage, 700)
    both = drive(*stray(1500, 200, 600)[:-1], (4000, 0), (4000, 200), (5500, 200), every=5)
    kept, live = [each for each in both if each.t < 430], [each for each in both if each.t >= 430]
    lay(stage, gateway, place, phone)
    with stage.bus(gateway, phone, place) as bus:
        bus.drive(live)
        bus.backfill(kept)

    assert not differs([Incident("deviation", 156, 246), Incident("deviation", 446, OPEN)], stage.incidents(phone, began, "deviation"), 10)


SHIFT = (0.002495, -0.002424)
"""Of GCJ-02 against WGS-84 near 104.06 E, 30.67 N: 361 m (GB 20263's plug-in as published; longitude, latitude)."""


def drawn(place: Place) -> Place:
    """Where things there lie on a map of AMap or Tencent."""
    return Place(place.lon + SHIFT[0], place.lat + SHIFT[1], place.began)


@pytest.mark.parametrize("datum", ["wgs84", "gcj02"])
def test_a_road_from_a_shifted_map_is_doubted_when_its_datum_is_said_wrongly(stage: Stage, gateway: Gateway, datum: str) -> None:
    """The tracks of the vehicles say so; in its own datum it fits them, and what was planted is found."""
    phone = PHONES[4 + (datum == "gcj02")]
    began = (datetime.now(UTC) - timedelta(seconds=1800)).replace(microsecond=0)
    place = Place(104.06, 30.67, began)
    with stage.bus(gateway, phone, place) as bus:
        bus.drive(drive((0, 0), (6000, 0), sigma=6))
        said = stage.shapes(drawn(place), [STRAIGHT, circle((3000, 0), 300, name="depot")], phone, datum=datum)
        in_force(gateway, "shapes", stage.url)
        bus.drive([*drive((6000, 0), Wait(60), start=610), *drive(*stray(2000, 200, 600), sigma=3, start=1000)])

    found = stage.incidents(phone, began, "deviation")
    if datum == "wgs84":
        assert all("were they drawn on a gcj02 map" in each for each in said)
    else:
        assert not any("warning" in each for each in said)
        assert not differs([Incident("deviation", 1206, 1296)], found, 10)
