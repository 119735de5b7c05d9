"""The operator's side of the registry: terminals and vehicles entered by hand or from a spreadsheet, for the command line.

What an operator enters is vetted. Nothing is rebound silently: whoever serves one vehicle is released before serving another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from storage.connect import Conn, connect
from storage.errors import StoreError
from storage.registry import LOCK
from storage.text import clean, is_name, plate_of
from tracks.plate import COLOURS as WORDS
from tracks.terminal import canonical

COLOURS: Final = {word: number for number, words in WORDS.items() for word in words}
"""Plate colours by their words."""

_BEGIN: Final = """
INSERT INTO onboarding (vehicle_id, at, action, state, by)
SELECT %(vehicle_id)s, least(%(at)s, clock_timestamp()), 'enter', %(state)s, %(by)s
WHERE NOT EXISTS (SELECT FROM onboarding WHERE vehicle_id = %(vehicle_id)s)
"""


class EnrolError(StoreError):
    """An entry cannot be taken; the sentence says why."""


def add_terminal(url: str, name: str, plate: str = "", plate_colour: str = "", vin: str = "") -> None:
    """Enter a terminal and, when a plate is given, its vehicle, and bind them; entering the same twice changes nothing."""
    with connect(url, "dubhe enrol") as conn:
        _enter(conn, terminal_number(name), plate, plate_colour, vin)


def add_vehicle(url: str, plate: str, plate_colour: str, vin: str = "") -> None:
    """Enter a vehicle; entering the same twice changes nothing."""
    with connect(url, "dubhe enrol") as conn:
        _enter(conn, "", plate, plate_colour, vin)


def release_terminal(url: str, name: str) -> None:
    """Take a terminal off its vehicle; its old fixes stay the vehicle's."""
    with connect(url, "dubhe enrol") as conn:
        if conn.execute("UPDATE terminals SET vehicle_id = NULL WHERE name = %s", (terminal_name(name),)).rowcount == 0:
            msg = f"terminal {clean(name)!r} is not in the registry 终端未登记; `dubhe terminal list` shows those that are"
            raise EnrolError(msg)


def enter_rows(url: str, rows: Iterable[tuple[int, Mapping[str, str]]]) -> tuple[int, list[tuple[int, str]]]:
    """Enter rows of a sheet: line, and what it says of `terminal`, `plate`, `plate_colour` and `vin`.

    Gives how many were taken, and of the others line and reason.
    """
    taken = 0
    refused: list[tuple[int, str]] = []
    with connect(url, "dubhe enrol") as conn:
        for number, said in rows:
            try:
                name = terminal_number(said["terminal"]) if "terminal" in said else ""
                _enter(conn, name, said.get("plate", ""), said.get("plate_colour", ""), said.get("vin", ""))
                taken += 1
            except EnrolError as error:
                refused.append((number, str(error)))
    return taken, refused


def _enter(conn: Conn, name: str, plate: str, plate_colour: str, vin: str) -> None:
    plate = plate_of(plate)
    if not name and not plate:
        msg = "neither a terminal nor a plate is given"
        raise EnrolError(msg)
    colour = colour_of(plate_colour) if plate else 0
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if name:
            terminal_id, bound_to = enter_terminal(conn, name)
        if plate:
            (vehicle_id,) = _row(
                conn,
                "INSERT INTO vehicles (plate, plate_colour, vin) VALUES (%s, %s, %s)"
                " ON CONFLICT (plate, plate_colour) DO UPDATE SET vin = coalesce(excluded.vin, vehicles.vin) RETURNING id",
                (plate, colour, clean(vin).upper() or (plate if colour == 0 else None)),
            )
            begin_onboarding(conn, vehicle_id, "active", "dubhe terminal")
        if name and plate and bound_to != vehicle_id:
            bind(conn, (terminal_id, name, bound_to), (vehicle_id, plate))


def begin_onboarding(conn: Conn, vehicle_id: int, state: str, by: str, at: datetime | None = None) -> None:
    """Let a vehicle begin in this state, now or as of an earlier moment: active, it is vetted by being entered.

    One that is on its way already is left to it.
    """
    conn.execute(_BEGIN, {"vehicle_id": vehicle_id, "state": state, "by": by, "at": at})


def enter_terminal(conn: Conn, name: str) -> tuple[int, int | None]:
    """The terminal of this name, vetted, and the vehicle it serves; in the transaction under way."""
    terminal_id, bound_to = _row(
        conn,
        "INSERT INTO terminals (name, vetted) VALUES (%s, true) ON CONFLICT (name) DO UPDATE SET vetted = true RETURNING id, vehicle_id",
        (name,),
    )
    return terminal_id, bound_to


def bind(conn: Conn, terminal: tuple[int, str, int | None], vehicle: tuple[int, str], since: datetime | None = None) -> None:
    """Bind a terminal (id, name, the vehicle it serves) to a vehicle (id, plate), now or as of an earlier moment.

    Raises `EnrolError` where either is taken.
    """
    terminal_id, name, bound_to = terminal
    vehicle_id, plate = vehicle
    if bound_to is not None:
        served = conn.execute("SELECT plate FROM vehicles WHERE id = %s", (bound_to,)).fetchone()
        other = served[0] if served else "another vehicle"
        msg = f"terminal {name} serves {other} 终端已绑定其他车辆; `dubhe terminal release {name}` takes it off that"
        raise EnrolError(msg)
    holder = conn.execute("SELECT name FROM terminals WHERE vehicle_id = %s", (vehicle_id,)).fetchone()
    if holder is not None:
        cure = f"`dubhe terminal release {holder[0]}` takes that off it"
        msg = f"vehicle {plate} is served by terminal {holder[0]} 车辆已绑定其他终端; {cure}"
        raise EnrolError(msg)
    if since is not None:  # without it the trigger dates the binding
        conn.execute(
            "INSERT INTO bindings (vehicle_id, terminal_id, bound_at) VALUES (%s, %s, least(%s, clock_timestamp()))",
            (vehicle_id, terminal_id, since),
        )
    conn.execute("UPDATE terminals SET vehicle_id = %s WHERE id = %s", (vehicle_id, terminal_id))


def _row(conn: Conn, query: str, values: tuple[object, ...]) -> tuple[Any, ...]:
    row = conn.execute(query, values).fetchone()
    assert row is not None
    return row


def terminal_name(text: str) -> str:
    """The canonical name of a terminal, as people write it. Raises `EnrolError`."""
    name = canonical(text)
    if not text.strip() or not is_name(name) or not re.fullmatch("[0-9a-f]{1,20}", name):
        msg = f"{clean(text)!r} cannot be a terminal's name; it has up to 20 digits, as in the phone number it sends 终端手机号应为数字"
        raise EnrolError(msg)
    return name


def terminal_number(text: str) -> str:
    """The canonical name of a terminal that is to be entered. Raises `EnrolError`.

    Its phone number is decimal digits. The few terminals that send something else there (an IMEI as a number) have letters a to f in it;
    those are entered as they are sent, all of the field's digits, so that a word or a slip is not taken for one of them.
    """
    name, written = terminal_name(text), text.strip()
    if not name.isdecimal() and len(written) not in FIELD_DIGITS:
        whole = name.zfill(min(digits for digits in FIELD_DIGITS if digits >= len(name)))
        msg = (
            f"{clean(text)!r} is no phone number, which is digits alone 终端手机号应为数字; of a terminal that sends letters there"
            f" all {' or '.join(map(str, FIELD_DIGITS))} digits of the field are entered: {whole}"
        )
        raise EnrolError(msg)
    return name


FIELD_DIGITS: Final = (12, 20)
"""Of the phone number in a header, before 2019 and since (JT/T 808-2019 §4.4.3)."""


def colour_of(text: str) -> int:
    """The plate colour of JT/T 697.7 by its name or number, or by both names as lists show it. Raises `EnrolError`."""
    words = text.lower().split()
    if not words:
        msg = f"a plate needs its colour 缺少车牌颜色: {', '.join(COLOURS)} or their numbers"
        raise EnrolError(msg)
    if len(words) == 1 and words[0].isdecimal() and int(words[0]) in WORDS:
        return int(words[0])
    numbers = {COLOURS.get(word.removesuffix("色")) for word in words}
    number = numbers.pop()
    if numbers or number is None:
        msg = f"plate colour {clean(text)!r} is none of {', '.join(COLOURS)} or their numbers"
        raise EnrolError(msg)
    return number
