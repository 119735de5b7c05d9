"""The steps of vehicles on their way into service, written one at a time with what they rest on.

What may follow what is not known here: the caller decides, given the case as it stands while nobody else can change it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from storage.connect import Conn, connect
from storage.errors import StoreError
from storage.fleet import papers_of
from storage.online import ONLINE
from storage.registry import LOCK
from storage.text import clean, plate_of
from tracks.paper import PaperBatch
from tracks.plate import colour_words

Steps = Sequence[tuple[str, str, str, str]]
"""Action, the state it leads to, by whom, for what reason."""


class UnknownVehicle(StoreError):  # noqa: N818 - an answer, not a mistake
    """No vehicle, or more than one, has this plate."""


@dataclass(frozen=True, slots=True)
class Case:
    """A vehicle and what its next step may rest on."""

    papers: PaperBatch
    vehicle_id: int
    plate: str
    plate_colour: int
    vin: str
    state: str
    submitter: str
    """Who submitted it last."""
    same_vin: str
    """Plate of another vehicle that has its VIN and is not retired."""
    terminal_id: int | None
    registered_plate: str | None
    """What its terminal's last 0x0100 said; None before the first."""
    registered_colour: int | None
    heard_at: datetime | None
    """When its terminal was last heard: registered, or reported within the last two days."""


_CASE: Final = f"""
SELECT v.id, v.plate, v.plate_colour, coalesce(v.vin, ''), v.state,
    coalesce((SELECT o.by FROM onboarding o WHERE o.vehicle_id = v.id AND o.action = 'submit' ORDER BY o.id DESC LIMIT 1), ''),
    coalesce((SELECT o.plate FROM vehicles o WHERE o.vin = v.vin AND o.id <> v.id AND o.state <> 'retired' ORDER BY o.id LIMIT 1), ''),
    t.id, t.registered_plate, t.registered_colour,
    greatest(
        (SELECT max(f.received_at) FROM fixes f
         WHERE f.terminal_id = t.id AND f.time > now() - interval '2 days' AND f.received_at > now() - interval '2 days'),
        (SELECT now() FROM {ONLINE} s WHERE s.terminal_id = t.id),
        t.last_registered_at)
FROM vehicles v LEFT JOIN terminals t ON t.vehicle_id = v.id
WHERE v.id = %s
"""  # noqa: S608 - our own words
_STEP: Final = """
INSERT INTO onboarding (vehicle_id, action, state, by, reason, at) VALUES (%s, %s, %s, %s, %s, coalesce(%s, clock_timestamp()))
"""


def take_steps(url: str, plate: str, colour: int | None, by: str, decide: Callable[[Case], Steps], *, at: datetime | None = None) -> Case:
    """Take the steps that `decide` finds for the vehicle, all or none, now or as of an earlier moment; the case in its new state.

    What `decide` raises passes through.
    """
    with connect(url, "dubhe onboarding") as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s), set_config('dubhe.by', %s, true)", (LOCK, clean(by)))
        vehicle_id = find_vehicle(conn, plate, colour)
        case = _case(conn, vehicle_id)
        for action, state, who, why in decide(case):
            conn.execute(_STEP, (vehicle_id, action, state, clean(who), clean(why, 500), at))
            case = replace(case, state=state)
        if case.state == "retired":
            conn.execute("UPDATE terminals SET vehicle_id = NULL WHERE vehicle_id = %s", (vehicle_id,))
        return case


def find_vehicle(conn: Conn, plate: str, colour: int | None) -> int:
    """The vehicle with this plate; its colour is needed where two vehicles have the same. Raises `UnknownVehicle`."""
    known = conn.execute("SELECT id, plate_colour FROM vehicles WHERE plate = %s ORDER BY plate_colour", (plate_of(plate),)).fetchall()
    found = [vehicle for vehicle, its_colour in known if colour in {None, its_colour}]
    if len(found) == 1:
        return int(found[0])
    called, colours = clean(plate), ", ".join(colour_words(each) for _, each in known)
    if found:
        msg = f"{len(found)} vehicles have the plate {called!r}; say --colour, one of {colours} 请指定车牌颜色"
    elif known:
        msg = f"the plate {called!r} is {colours}, not {colour_words(colour)} 车牌颜色不符"
    else:
        msg = f"no vehicle has the plate {called!r} 车辆未登记; `dubhe vehicle import` enters it"
    raise UnknownVehicle(msg)


def _case(conn: Conn, vehicle_id: int) -> Case:
    row = conn.execute(_CASE, (vehicle_id,)).fetchone()
    assert row is not None, "vehicles are never deleted"
    return Case(papers_of(conn, vehicle_id), *row)
