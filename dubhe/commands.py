"""`dubhe terminal command`: say something to a terminal and print what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from dubhe.options import AsJson, Config, Expires, Timeout, database_of
from dubhe.times import local, shown, stamp
from protocols.jt808.commands import COMMANDS, GENERAL_RESPONSE, command_named, fields_read, objection, ready
from protocols.jt808.messages import MESSAGES
from storage.areas import holders
from storage.commands import OFFLINE, CommandError, CommandResult, send_command
from tracks.words import alike, did_you_mean

TERMINAL = Annotated[str, typer.Argument(metavar="TERMINAL", help="phone number of its SIM card, or its vehicle's plate 终端手机号或车牌")]
NAME = Annotated[str, typer.Argument(metavar="NAME", help="what to say: a name or number of `dubhe terminal commands` 命令名称")]
FIELDS = Annotated[str, typer.Argument(metavar="[JSON]", help='its fields as one JSON object: \'{"interval_s": 5, "valid_s": 60}\'')]
FIELD = Annotated[list[str] | None, typer.Option("--field", metavar="K=V", help="one field; V is JSON, or else text. May be repeated")]

NAMED_MAX: Final = 10


def command(  # noqa: PLR0917 - typer calls by keyword
    terminal: TERMINAL,
    name: NAME,
    fields: FIELDS = "",
    field: FIELD = None,
    timeout_s: Timeout = 20.0,
    expires_s: Expires = None,
    as_json: AsJson = False,  # noqa: FBT002 - a flag
    config: Config = None,
) -> None:
    """Send a command to a terminal and print its answer 下发指令.

    Names and example fields: `dubhe terminal commands`. For instance

      dubhe terminal command 13800138000 locate

      dubhe terminal command 沪A12345 track --field interval_s=5 --field valid_s=60

      dubhe terminal command 13800138000 set-parameters '{"parameters": [{"name": "heartbeat_s", "value": 30}]}'

      dubhe terminal command 13800138000 text --field text=请靠边停车 --expires-s 600

    A terminal that is offline gets nothing, unless --expires-s says how long the command may wait for it.
    Exit status: 0 done or queued, 1 refused, failed or not answered, 2 not understood.
    """
    number = command_named(name)
    if number is None:
        msg = f"{name!r} is no command{_meant(name)}; `dubhe terminal commands` lists them"
        raise typer.BadParameter(msg)
    said = COMMANDS[number].filled(_fields(fields, field or []))
    about = MESSAGES[number].name
    if why := objection(number, said):
        example = json.dumps(COMMANDS[number].example, ensure_ascii=False)
        msg = f"these fields make no {about}: {why}. An example: {example}"
        raise typer.BadParameter(msg)
    fields_of = fields_read(number, said)
    if strange := [each for each in said if each not in fields_of]:
        msg = f"{about} has no field {strange[0]} 没有该字段{did_you_mean(alike(strange[0], fields_of))}; it has {', '.join(fields_of)}"
        raise typer.BadParameter(msg)
    with database_of(config) as url:
        got = send_command(
            url, number_of(url, terminal), number, said, timeout_s=timeout_s, expires_s=expires_s, created_by="dubhe terminal command"
        )
    typer.echo(json.dumps(_public(got), ensure_ascii=False) if as_json else _readable(got))
    raise typer.Exit(0 if got.ok or got.state == "queued" else 1)


def number_of(url: str, who: str) -> str:
    """The number of the one terminal that is meant, by its number or its vehicle's plate. Raises `StoreError`."""
    numbers = [each.name for each in holders(url, [who])]
    if len(numbers) > 1:
        msg = f"{who} has {len(numbers)} terminals 对应多个终端: {', '.join(numbers[:NAMED_MAX])}; give the number of one"
        raise CommandError(msg)
    return numbers[0]


def commands(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="only this one, with its example")] = "",
) -> None:
    """List what can be said to a terminal 指令列表: name, number, short names, meaning, answering message; with NAME an example, too."""
    chosen = ready()
    if name:
        number = command_named(name)
        if number is None:
            msg = f"{name!r} is no command{_meant(name)}; leave it out to list them all"
            raise typer.BadParameter(msg)
        chosen = {number: COMMANDS[number]}
    for number, each in chosen.items():
        about = MESSAGES[number]
        answer = ", ".join(MESSAGES[reply].name for reply in each.replies or (GENERAL_RESPONSE, *each.later))
        typer.echo("\t".join((_dashed(about.name), f"0x{number:04X}", " ".join(map(_dashed, each.words)), about.title, answer)))
        if name:
            typer.echo(f"example   {json.dumps(each.example, ensure_ascii=False)}")
            if each.usual:
                typer.echo(f"the example's are meant unless given: {', '.join(each.usual)}")


def _meant(name: str) -> str:
    """The commands that may be meant by a name that is none."""
    words = [_dashed(word) for number, each in ready().items() for word in (MESSAGES[number].name, *each.words)]
    return did_you_mean(alike(name, words))


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _fields(text: str, pairs: list[str]) -> dict[str, Any]:
    """The fields from JSON and from `name=value` pairs, which win."""
    try:
        fields = json.loads(text) if text else {}
    except json.JSONDecodeError as error:
        msg = f"the fields are no JSON object: {error}"
        raise typer.BadParameter(msg) from None
    if not isinstance(fields, dict):
        msg = f"the fields are no JSON object: {text}"
        raise typer.BadParameter(msg)
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            msg = f"--field {pair} is not NAME=VALUE"
            raise typer.BadParameter(msg)
        try:
            fields[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            fields[name.strip()] = value
    return fields


def _public(got: CommandResult) -> dict[str, Any]:
    """A command as JSON has it."""
    told = {key: stamp(value, "microseconds") if isinstance(value, datetime) else value for key, value in asdict(got).items()}
    reply = got.reply_message_id
    return told | {
        "command": MESSAGES[got.message_id].name,
        "message_id": f"0x{got.message_id:04x}",
        "reply_message": MESSAGES[reply].name if reply in MESSAGES else None,
        "reply_message_id": f"0x{reply:04x}" if reply is not None else None,
    }


def _readable(got: CommandResult) -> str:
    """A command for eyes."""
    what = f"{MESSAGES[got.message_id].name} (command {got.id})"
    match got.state:
        case "queued":
            return f"{what}: the terminal is offline; it is queued until {local(got.expires_at)}"
        case "answered":
            reply = MESSAGES[got.reply_message_id].name if got.reply_message_id in MESSAGES else "an answer"
            lines = [f"{what}: {got.result} — {reply}"]
            if got.reply_message_id != GENERAL_RESPONSE and got.reply:
                lines += _tree(got.reply, "  ")
            return "\n".join(lines)
        case _:
            cure = "; --expires-s S lets it wait 终端不在线，可加 --expires-s 排队" if got.result == OFFLINE else ""
            return f"{what}: {got.state.replace('_', ' ')}: {got.result}{cure}"


def _tree(value: Mapping[str, Any] | list[Any], indent: str) -> Iterator[str]:
    """Fields one a line; codes by their words."""
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value, 1)
    for name, each in pairs:
        plain = _plain(each)
        if isinstance(plain, Mapping | list):
            yield f"{indent}{name}"
            yield from _tree(plain, f"{indent}  ")
        else:
            yield f"{indent}{name}  {plain}"


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON is of many kinds
    """Codes and flags as words."""
    if isinstance(value, Mapping) and value.keys() == {"code", "word"}:
        return value["word"] or value["code"]
    if isinstance(value, Mapping) and value.keys() == {"bits", "set"}:
        return ", ".join(value["set"]) or "none"
    if isinstance(value, Mapping | list) and not value:
        return "none"
    return shown(value)
