"""The demo's buses in the registry, as a county's are: a sheet with all their papers, and two officers who lead them into service.

What `dubhe vehicle import`, `submit` and `approve` do, dated back, for the buses are found some minutes in the past.
One bus has let an insurance lapse since. Done again it changes nothing, but for renewals in a new year.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from compliance.onboarding import Action, State
from compliance.vehicles import Policy
from dubhe.fleet import import_vehicles
from dubhe.onboarding import act
from firmware_sim.manners import Identity
from storage.dossier import vehicle_list
from storage.enrol import EnrolError
from storage.registry import Registration, Registry
from tracks.week import BEIJING

UNINSURED: Final = 1
"""Number of the bus whose liability insurance has lapsed: one that strays, and not the only one."""
LINE: Final = "71路 (demo 演示)"
ENTERPRISE: Final = "Dubhe demo 演示客运公司"
OFFICER: Final = "demo officer 初审员"
ANOTHER: Final = "another officer 复核员"
STEPS: Final[Mapping[State, Sequence[tuple[Action, str]]]] = {
    State.DRAFT: ((Action.SUBMIT, OFFICER), (Action.APPROVE, ANOTHER)),
    State.RETURNED: ((Action.SUBMIT, OFFICER), (Action.APPROVE, ANOTHER)),
    State.REVIEW: ((Action.APPROVE, ANOTHER),),
}
"""What still leads a vehicle into service, and who does it."""


def admit(url: str, buses: Sequence[Identity], now: datetime) -> None:
    """Enter the buses and lead into service those that are not. Raises `EnrolError` where the registry holds something else."""
    year = now.astimezone(BEIJING).year
    since = datetime(year - 1, 12, 1, tzinfo=BEIJING)
    report = import_vehicles(url, sheet(buses, year), by=OFFICER, now=since)
    if report.problems:
        raise EnrolError(str(report.problems[0]))
    states = {(row.plate, row.plate_colour): State(row.state) for row in vehicle_list(url)[0]}
    waiting = [bus for bus in buses if states[bus.plate, bus.plate_colour] in STEPS]
    asyncio.run(_register(url, waiting))
    for bus in waiting:
        for action, officer in STEPS[states[bus.plate, bus.plate_colour]]:
            act(url, bus.plate, action, by=officer, colour=bus.plate_colour, policy=Policy(), at=since)


def sheet(buses: Sequence[Identity], year: int) -> bytes:
    """All papers run from the year before to the year after this one, but for one insurance that ended with the year before."""
    first, last, lapsed = f"{year - 1}-01-01", f"{year + 1}-12-31", f"{year - 1}-12-31"
    rows = [
        {
            "plate": bus.plate, "plate_colour": bus.plate_colour, "class": "city", "seats": 90, "terminal": bus.name, "line": LINE,
            "enterprise": ENTERPRISE, "licence.number": "demo-1", "licence.from": first, "licence.until": last,
            "certificate.number": f"C{bus.name}", "certificate.from": first, "certificate.until": last,
            "review.result": "合格", "review.from": first, "review.until": last,
            "inspection.grade": "一级", "inspection.from": first, "inspection.until": last,
            "compulsory.number": f"J{bus.name}", "compulsory.from": first, "compulsory.until": last,
            "carrier.number": f"L{bus.name}", "carrier.from": first, "carrier.until": lapsed if number == UNINSURED else last,
            "permit.number": f"P{bus.name}", "permit.line": LINE, "permit.from": first, "permit.until": last,
            "driver": f"driver 司机 {bus.name}", "qualification.number": f"Q{bus.name}",
            "qualification.from": first, "qualification.until": last,
        }
        for number, bus in enumerate(buses)
    ]  # fmt: skip
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


async def _register(url: str, buses: Sequence[Identity]) -> None:
    """What a terminal's first 0x0100 leaves in the registry: it was heard when it was fitted, or nobody could submit its bus."""
    registry = Registry(url)
    try:
        for bus in buses:
            said = Registration(bus.province, bus.city, bus.maker, bus.model, bus.serial_number, bus.plate_colour, bus.plate, "2013")
            await registry.register(bus.name, said, lenient=False)
    finally:
        await registry.close()
