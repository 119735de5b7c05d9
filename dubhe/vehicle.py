"""`dubhe vehicle`: the fleet's papers in, who may run and why not out, and each vehicle's way into service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from compliance.onboarding import SAID, Action, Refused, State, in_force
from compliance.vehicles import LAPSES, SENTENCES, Reason, Standings, Verdict, verdict_at
from dubhe.fleet import import_vehicles, say, write_template
from dubhe.onboarding import act
from dubhe.options import AsJson, Colour, Config, database_of
from dubhe.supervisor import database
from dubhe.times import local, moment, stamp
from ingest.settings import Settings
from storage.dossier import SECTIONS, VehicleRow, dossier, vehicle_list
from storage.enrol import colour_of
from storage.parties import require_party
from tracks.plate import colour_words
from tracks.week import BEIJING
from tracks.words import alike, did_you_mean

vehicle_app = typer.Typer(help="Vehicles of the registry 车辆: who may run, and why not.", no_args_is_help=True, rich_markup_mode=None)

Plate = Annotated[str, typer.Argument(metavar="PLATE", help="车牌号")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="who does it 操作人")]
Why = Annotated[str, typer.Option("--reason", help="why 原因")]

LAPSED: Final = Reason(sum(LAPSES))
PARTIES: Final = {"line": "lines", "group": "groups", "enterprise": "enterprise"}
"""Kind of party → where the list has the names of a vehicle's, with 、 between."""


@vehicle_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help=".csv (UTF-8 or GBK) or .xlsx; with --template the file to write")],
    by: By = "",
    *,
    template: Annotated[
        bool, typer.Option("--template", help="write a new sheet with all headings and an explained example 生成模板")
    ] = False,
    config: Config = None,
) -> None:
    """Enter vehicles with their papers, enterprises, drivers, lines and terminals 批量导入.

    A new vehicle is a draft until it is submitted and approved. A paper with a later end is a renewal, another row beside the old one;
    an empty cell says nothing; importing the same twice changes nothing. A row that cannot be taken is reported with line, column,
    value and cure.

    Exit status: 0 all rows taken, 1 not all, 2 nothing done: the sheet cannot be read or has no rows, or the template is there already.
    """
    if template:
        write_template(file)
        typer.echo(f"{file} is written; lines that begin with # are not read 以 # 开头的行不导入")
        return
    sheet = file.read_bytes()
    with database_of(config) as url:
        report = import_vehicles(url, sheet, by=by or "dubhe vehicle import", now=datetime.now(UTC))
    say(file, report)


@vehicle_app.command("list")
def list_(
    *,
    state: Annotated[str, typer.Option(help="only these: " + ", ".join(State))] = "",
    line: Annotated[str, typer.Option(help="only of this line 线路")] = "",
    group: Annotated[str, typer.Option(help="only of this group 车队")] = "",
    enterprise: Annotated[str, typer.Option(help="only of this enterprise 业户")] = "",
    reason: Annotated[str, typer.Option(help="only with this reason, such as road_cert_expired (docs/reasons.md) 不合规原因")] = "",
    non_compliant: Annotated[bool, typer.Option("--non-compliant", help="only those that may not run now 仅不合规")] = False,
    expiring: Annotated[
        int | None, typer.Option(min=0, max=3_650, metavar="DAYS", help="only with a paper that lapses within so many days")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List vehicles with their verdict now 车辆列表; tab-separated, or with --json one object a line.

    state is what counts: a vehicle whose papers have lapsed is suspended until they are renewed.
    lapses: when the next paper does, and which.
    """
    _check_known("--state", state, list(State))
    _check_known("--reason", reason, [each.word for each in SENTENCES])
    settings = Settings.load(config)
    parties = {"line": line, "group": group, "enterprise": enterprise}
    with database(settings) as url:
        only = {kind: require_party(url, kind, name) for kind, name in parties.items() if name}
        vehicles, papers = vehicle_list(url)
    standings = Standings.of(papers, settings.policy)
    now = datetime.now(UTC)
    horizon = now + timedelta(days=expiring or 0)
    if not as_json:
        typer.echo("plate\tcolour\tclass\tstate\tterminal\tenterprise\tlines\tgroups\tverdict\tlapses\twhat")
    for vehicle in vehicles:
        told = _told(vehicle, standings, int(now.timestamp()))
        wanted = (
            state in {"", told["state"]}
            and all(name in getattr(vehicle, PARTIES[kind]).split("、") for kind, name in only.items())
            and (not reason or reason in told["reasons"])
            and not (non_compliant and not told["reasons"])
            and (expiring is None or (told["lapses"] is not None and told["lapses"] <= horizon))
        )
        if wanted:
            typer.echo(json.dumps(told, ensure_ascii=False, default=stamp) if as_json else _tabbed(told))


def _check_known(option: str, word: str, known: Sequence[str]) -> None:
    if word and word not in known:
        msg = f"{option} {word} is none of {', '.join(known)}{did_you_mean(alike(word, known))}"
        raise typer.BadParameter(msg)


def _told(vehicle: VehicleRow, standings: Standings, now_s: int) -> dict[str, Any]:
    """A vehicle as the list has it."""
    history = standings.history(vehicle.id)
    reasons = next(reasons for since, reasons in reversed(history) if since <= now_s)
    ahead = ((since, new & ~reasons & LAPSED) for since, new in history if since > now_s)
    lapses_s, what = next(((since, new) for since, new in ahead if new), (None, Reason(0)))
    return {
        "plate": vehicle.plate,
        "colour": vehicle.plate_colour,
        "class": vehicle.vehicle_class,
        "state": in_force(State(vehicle.state), reasons).value,
        "terminal": vehicle.terminal,
        "enterprise": vehicle.enterprise,
        "lines": vehicle.lines,
        "groups": vehicle.groups,
        "compliant": not reasons,
        "reasons": [reason.word for reason in reasons],
        "lapses": None if lapses_s is None else datetime.fromtimestamp(lapses_s, UTC),
        "lapsing": [reason.word for reason in what],
    }


def _tabbed(told: dict[str, Any]) -> str:
    names = ("class", "state", "terminal", "enterprise", "lines", "groups")
    verdict = "compliant" if told["compliant"] else ",".join(told["reasons"])
    who = [told["plate"], colour_words(told["colour"])]
    return "\t".join([*who, *(told[name] for name in names), verdict, local(told["lapses"]), ",".join(told["lapsing"])])


@vehicle_app.command()
def show(
    plate: Plate,
    *,
    at: Annotated[str, typer.Option("--at", help="state and verdict then, ISO 8601; without a zone it is UTC+8 时刻; empty: now")] = "",
    colour: Colour = "",
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Show everything about a vehicle, each with its validity, and the verdict with its reasons 车辆档案.

    Exit status: 0 when it is compliant at that moment, 1 when it is not.
    """
    settings = Settings.load(config)
    when = moment(at) if at else datetime.now(UTC)
    with database(settings) as url:
        vehicle, papers = dossier(url, plate, _colour(colour))
    verdict = verdict_at(papers, int(when.timestamp()), settings.policy)
    taken = [State(step["state"]) for step in vehicle["onboarding"] if step["at"] <= when]
    vehicle["state"] = in_force(taken[-1] if taken else State.DRAFT, verdict.reasons).value
    told = {
        "at": when,
        "compliant": not verdict.reasons,
        "reasons": [
            {"reason": reason.word, "since": None if since is None else datetime.fromtimestamp(since, UTC), "en": en, "zh": zh}
            for reason, since in verdict.since_s.items()
            for en, zh in [SENTENCES[reason]]
        ],
    }
    if as_json:
        typer.echo(json.dumps({"vehicle": vehicle, "verdict": told}, ensure_ascii=False, default=_plain))
    else:
        typer.echo("\n".join(_readable(vehicle, verdict, when)))
    raise typer.Exit(1 if verdict.reasons else 0)


def _readable(vehicle: dict[str, Any], verdict: Verdict, when: datetime) -> Iterator[str]:
    """A vehicle for eyes; days of validity are the first and the last, in Beijing's time."""
    own = {name: value for name, value in vehicle.items() if name not in SECTIONS and value is not None and name not in {"id", "vetted"}}
    own["plate_colour"] = colour_words(vehicle["plate_colour"])
    yield f"{vehicle['plate']}  " + "  ".join(f"{name} {_shown(value)}" for name, value in own.items() if name != "plate")
    yield f"at {local(when)} " + ("not compliant 不合规" if verdict.reasons else "compliant 合规")
    for reason, since in verdict.since_s.items():
        english, chinese = SENTENCES[reason]
        yield f"  {reason.word}" + (f" since {local(datetime.fromtimestamp(since, UTC))}" if since else "") + f": {english} {chinese}"
    for name in SECTIONS:
        if rows := vehicle[name]:
            yield name
            yield from (f"  {_row(row)}" for row in rows)


def _row(row: dict[str, Any]) -> str:
    """One row of a section."""
    row = dict(row)
    valid = ""
    if "valid_until" in row:
        since, until = row.pop("valid_from"), row.pop("valid_until")
        first = f"{since.astimezone(BEIJING):%Y-%m-%d}" if since else "…"
        last = f"{until.astimezone(BEIJING) - timedelta(microseconds=1):%Y-%m-%d}" if until else "…"
        valid = f"  {first} – {last}"
    about = row.pop("about", {})
    if superseded := row.pop("superseded_at", None):
        about = about | {"superseded": _shown(superseded)}
    words = [str(_shown(value)) for value in row.values() if value not in {None, ""}] + [f"{name} {value}" for name, value in about.items()]
    return "  ".join(words) + valid


def _shown(value: Any) -> Any:  # noqa: ANN401 - columns are of many kinds
    """Times for eyes, and all else as it is: a day is written as JSON has it, too."""
    return local(value) if isinstance(value, datetime) else value


def _plain(value: date) -> str:
    """Times and days for JSON."""
    return stamp(value) if isinstance(value, datetime) else value.isoformat()


def _colour(text: str) -> int | None:
    return colour_of(text) if text else None


def _step(action: Action, plate: str, colour: str, config: Path | None, *, by: str, reason: str = "") -> None:
    """Take a step and say where it led; what is refused is one sentence and exit status 1."""
    settings = Settings.load(config)
    with database(settings) as url:
        try:
            case = act(url, plate, action, by=by, reason=reason, colour=_colour(colour), policy=settings.policy)
        except Refused as error:
            typer.echo(f"dubhe: {error}", err=True)
            raise typer.Exit(1) from None
    typer.echo(f"{case.plate} is {SAID[State(case.state)]}")


@vehicle_app.command()
def submit(plate: Plate, by: By, colour: Colour = "", config: Config = None) -> None:
    """Submit a draft 提交: the checks lead it to review, or return it with all they find wrong 自动核验.

    Checked are plate and VIN, the papers that compliance_requires asks for, and its terminal, which has to have been heard
    within 24 hours and to have registered for this plate.
    """
    _step(Action.SUBMIT, plate, colour, config, by=by)


@vehicle_app.command()
def approve(plate: Plate, by: By, reason: Why = "", colour: Colour = "", config: Config = None) -> None:
    """Approve a vehicle in review 审核通过; not for whoever submitted it. With a terminal it is active at once."""
    _step(Action.APPROVE, plate, colour, config, by=by, reason=reason)


@vehicle_app.command("return")
def return_(plate: Plate, by: By, reason: Why, colour: Colour = "", config: Config = None) -> None:
    """Return a vehicle in review to its operator 退回, with the reason; not for whoever submitted it."""
    _step(Action.RETURN, plate, colour, config, by=by, reason=reason)


@vehicle_app.command()
def suspend(plate: Plate, by: By, reason: Why, colour: Colour = "", config: Config = None) -> None:
    """Suspend a vehicle 暂停营运: it is not compliant; what it reports is still stored."""
    _step(Action.SUSPEND, plate, colour, config, by=by, reason=reason)


@vehicle_app.command()
def resume(plate: Plate, by: By, reason: Why = "", colour: Colour = "", config: Config = None) -> None:
    """End a suspension 恢复营运."""
    _step(Action.RESUME, plate, colour, config, by=by, reason=reason)


@vehicle_app.command()
def retire(plate: Plate, by: By, reason: Why, colour: Colour = "", config: Config = None) -> None:
    """Retire a vehicle for good 退出营运: its terminal is released, and a registration (0x0100) for it is answered 2."""
    _step(Action.RETIRE, plate, colour, config, by=by, reason=reason)
