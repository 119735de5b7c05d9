"""Bodies from the road and from other projects' tests: read, agreed with, and built again to the same bytes."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from datetime import datetime, time
from typing import Any

import pytest

from protocols.adapters import Flags
from protocols.errors import ProtocolError
from protocols.jt808.describe import describe
from protocols.jt808.frames import frame_of
from protocols.jt808.header import V2013, V2019, encode
from protocols.jt808.messages import MESSAGES, build, parse
from protocols.jt808.messages.passthrough import INFORMATION, STATUS
from protocols.jt808.messages.registry import plain
from protocols.parts import Code
from tracks.verdict import Reject
from vectors import jt808

Body = tuple[str, int, int, bytes]
"""Vector, message id, edition of the header, bytes."""


def _frames() -> Iterator[Body]:
    for vector in jt808.frames():
        frame = frame_of(jt808.wire(vector))
        if frame.reject == Reject.NONE and frame.total <= 1 and frame.message_id in MESSAGES:
            yield vector["id"], frame.message_id, frame.edition, frame.body


def _bodies() -> Iterator[Body]:
    for vector in jt808.bodies():
        edition = V2019 if vector["version_hint"] == "2019" else V2013
        if int(vector["msg_id"], 16) in MESSAGES:
            yield vector["id"], int(vector["msg_id"], 16), edition, bytes.fromhex(vector["body_hex"])


BODIES = {body[0]: body for body in (*_frames(), *_bodies())}

REFUSED = {
    # answers without a body, which the standard does not have (§8.2, §8.6 of 2013)
    **dict.fromkeys(["f0243", "f0295", "f0350", "f0351", "f0352", "f0354", "f0356", "f0358"], Reject.TRUNCATED),
    # the RSA bit is set, and what it hides is shorter than the message (B4)
    "f0246": Reject.TRUNCATED,
    # bits of hex that stand in tests beside the bodies: phone numbers, versions, parts of fields
    **dict.fromkeys(["b0007", "b0008", "b0009", "b0010", "b0013", "b0015", "b0016", "b0017", "b0018", "b0019"], Reject.TRUNCATED),
    **dict.fromkeys(["b0023", "b0026", "b0027", "b0035", "b0037", "b0060", "b0063", "b0099", "b0120"], Reject.TRUNCATED),
    **dict.fromkeys(["b0148", "b0149", "b0190", "b0193"], Reject.TRUNCATED),
    # one library's 2011: neither location nor package numbers before the data; the standard has the numbers
    "b0106": Reject.TRUNCATED,
}
INEXACT = {
    # one library's 2011 has one count where the standard has two: read as 2013, so that a date is none and goes back as zeros
    "b0108",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_built_again_to_the_same_bytes(name: str) -> None:
    _, message_id, edition, body = BODIES[name]
    if name in REFUSED:
        with pytest.raises(ProtocolError) as caught:
            parse(message_id, edition, body)
        assert caught.value.reason == REFUSED[name]
        return
    fields = parse(message_id, edition, body)
    rebuilt = build(message_id, MESSAGES[message_id].edition_of(edition, body), fields)

    assert (rebuilt == body) is (name not in INEXACT)


LEFT_OVER = {
    # a byte or two too many
    "f0009",
    "b0001",
    "b0128",
    # counts and lengths that lie
    *("f0311", "f0312", "f0313", "f0314", "f0315", "f0317", "f0318"),
    # one library's 0x8500 of 2019 has no count before the control; the standard has one (quirk G2)
    "f0742",
    "f0851",
    # ids instead of places, kind 5, which no edition has
    "b0064",
    # a province's face match and user id behind the standard's fields
    "b0098",
    "b0108",
    # bits of hex that stand in tests beside the bodies
    *("b0135", "b0145", "b0146"),
}


@pytest.mark.parametrize("name", BODIES.keys() - REFUSED.keys())
def test_nothing_is_left_over_but_where_the_body_lies(name: str) -> None:
    _, message_id, edition, body = BODIES[name]
    if message_id not in {0x0200, 0x0201, 0x0500, 0x0704}:
        assert ("rest" in parse(message_id, edition, body)) is (name in LEFT_OVER)


def is_command(message_id: int) -> bool:
    return MESSAGES[message_id].direction == "down" and message_id != 0x8001


SPELLED = {
    # texts with pads, and bytes that are no text: JSON carries what they say
    *("f0008", "f0737", "f0738", "f0846", "f0847", "b0144", "b0171"),
}


@pytest.mark.parametrize("name", [name for name, body in BODIES.items() if is_command(body[1]) and name not in REFUSED.keys() | SPELLED])
def test_what_decode_prints_of_a_command_builds_the_command(name: str) -> None:
    _, message_id, edition, body = BODIES[name]
    if len(body) > 1023:
        return
    (told,) = describe(encode(message_id, "1", 1, body, edition).hex())
    fields = json.loads(json.dumps(told["body"]))

    assert build(message_id, MESSAGES[message_id].edition_of(edition, body), fields) == body


# --- agreement with what the sources assert -------------------------------------------------------------------------------------------

WORDS = {
    "Success": "0",
    "success": "0",
    "succeed": "0",
    "terminal_not_database": "4",
    "append_region": "append",
    "ic_card_into": "in",
    "ic_card_pull_out": "out",
    "read_card_failure_auth": "key_not_accepted",
    "ic_card_reading_succeeded": "ok",
    "regular_action": "timed",
    "platform_delivery_order": "platform_command",
    "collision_rollover_alarm_triggered": "collision",
    "delete_terminal_all_existing_events": "delete_all",
    "delete_all_items": "delete_all",
    "normal_call": "call",
    "append_phone_book": "append",
    "callin": "in",
    "call_in_out": "both",
    "realtime_upload": "upload",
    "reserve": "keep",
    "firmware_download": "1",
}
"""A source's words for codes, and ours."""

NOT_FIELDS = re.compile(
    r"\.Version$|ParamLength$|ParamId$|MessageLength$|\"\.Length$|^\.N$|newuint|ActiveSafetyType$|PassthroughType$|GetBytes|UnCompress"
)
"""Asserted of the source's objects: what it calls the edition or the kind, and lengths of values."""

EXTENSIONS = {
    # fields that are put into a standard's free content by the source's own test
    "f0008": {"Koike2"},
    "b0090": {"Id", "UserName", "UserNameLength"},
    "b0182": {"Id", "Sex"},
    # text inside transparent data, which a maker alone can read
    "f0545": {"driver_unique_id"},
    "f0548": {"fuel_used"},
    # a province's fields behind the standard's
    "b0098": {"FaceMatchValue"},
    # ids instead of places, kind 5, which no edition has
    "b0064": {"Ids"},
}
OTHERWISE = {
    # flags as single booleans, and a word that the source fills in only when building
    "f0279": {"Flag", "Urgent", "Reserve", "Display", "TTS", "AdvertisingScreen", "InfoCategory"},
    # parts of one parameter as their bytes; parameters that 2019 dropped or the source does not know, as bytes
    "f0274": {"T0x032", "T0x110", "0x18", "0x19", "0x21"},
    # bit 0 of an attribute, by the word for an action
    "b0067": {"AreaProperty"},
    "b0161": {"AreaProperty"},
    # the source does not count what is behind the last semicolon
    "f0469": {"size"},
    "f0470": {"size"},
    # bodies of the subtypes without the subtype before them: read in the test below
    "b0110": {"USBMessages", "USBMessageCount"},
    "b0111": {"USBMessages", "USBMessageCount"},
    # the source reads the first reserved byte of two as a number
    "b0122": {"Retain1"},
    "b0195": {"Retain1"},
    # one library's 2011 (see INEXACT)
    "b0108": {"MultimediaSearchItems"},
}
"""Disagreements by vector, and the fields they concern."""


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}")
    elif isinstance(value, list) and not all(isinstance(each, int) for each in value):
        for row, each in enumerate(value):
            yield from _flat(each, f"{name}[{row}]")
    else:
        yield name, value


def _leaves(value: Any) -> Iterator[str]:  # noqa: C901, PLR0912 - one case per kind of value
    """All ways in which the values of a body may be asserted."""
    match value:
        case dict():
            for each in value.values():
                yield from _leaves(each)
        case list():
            yield str(len(value))
            if all(isinstance(each, int) for each in value):
                yield str(value)
                yield str([byte for each in value for byte in each.to_bytes(4, "big")[2:]])
            for each in value:
                yield from _leaves(each)
        case Code():
            yield str(int(value))
            yield str(value.word)
        case int():
            yield str(int(value))
            yield f"0x{value:04x}"
            if isinstance(value, Flags):
                yield from (f"[{bit}]={value >> bit & 1}" for bit in range(32))
        case float():
            yield from (f"{value:g}", str(round(abs(value) * 1e6)), str(round(value * 10)))
        case datetime():
            yield from (value.isoformat(" ")[:19], value.isoformat(" ")[:10])
        case time():
            yield value.isoformat()
        case bytes():
            yield from (value.hex(), str([*value]), str(len(value)), str(int.from_bytes(value, "big")))
            yield value.decode("latin1").strip("\x00")
        case str():
            raw = getattr(value, "raw", None) or value.encode("gb18030")
            yield from (value, str(len(raw)), value.lstrip("0"), str(int.from_bytes(raw, "big")), value.replace(".0", "."))
            if len(value) == 6:
                yield f"20{value[:2]}-{value[2:4]}-{value[4:]}"
        case None:
            yield from ("None", "0")


def _expected(name: str, value: Any) -> str:
    """An asserted value as `_leaves` has it."""
    moment = re.search(r'ToDateTime\("(\d{4}-\d\d-\d\d)(\d\d:\d\d:\d\d)"\)', name)
    if moment:
        return " ".join(moment.groups())
    bit = re.search(r"(?:type|operator)(\[\d+\])$", name)
    if bit:
        return f"{bit.group(1)}={value}"
    if isinstance(value, bool):
        return str(int(value))
    text = WORDS.get(value, value) if isinstance(value, str) else str(value)
    return str([int(each, 0) for each in text[1:-1].split(",")]) if re.match(r"\[\w+,", text) else text


ASSERTED = {
    vector["id"]: vector["expected"].get("fields", vector["expected"])
    for vector in (*jt808.frames(), *jt808.bodies())
    if vector.get("expected_kind", vector.get("kind")) in {"asserted", "decode"}
    and vector["expected"]
    and vector["id"] in BODIES.keys() - REFUSED.keys()
    # positions are compared in test_describe
    and BODIES[vector["id"]][1] not in {0x0200, 0x0201, 0x0500, 0x0704}
}


@pytest.mark.parametrize("name", ASSERTED)
def test_every_asserted_value_is_told_or_the_disagreement_has_a_reason(name: str) -> None:
    _, message_id, edition, body = BODIES[name]
    vector = next(each for each in (*jt808.frames(), *jt808.bodies()) if each["id"] == name)
    told = {leaf.lower() for leaf in _leaves(parse(message_id, edition, body))}
    told |= {str(message_id), f"0x{message_id:04x}", str(vector.get("sn")), str(vector.get("phone")).lstrip("0"), vector.get("phone", "")}
    excused = EXTENSIONS.get(name, set()) | OTHERWISE.get(name, set())
    missing = [
        field
        for field, value in _flat(ASSERTED[name])
        if not NOT_FIELDS.search(field) and _expected(field, value).lower() not in told and not any(word in field for word in excused)
    ]

    assert missing == []


def test_peripherals_are_told_by_their_subtype() -> None:
    status = plain(STATUS.parse(BODIES["b0110"][3]))
    information = plain(INFORMATION.parse(BODIES["b0111"][3]))

    working = {"working": 2, "faults": 1}
    assert status["peripherals"] == [{"peripheral": 1, "state": working}, {"peripheral": 2, "state": working}]
    assert information["peripherals"][0]["about"] == {
        "company": "CompantName",
        "model": "ProductModel",
        "hardware": "HardwareVersionNumber",
        "firmware": "SoftwareVersionNumber",
        "device_id": "DevicesID",
        "customer_code": "CustomerCode",
    }


@pytest.mark.parametrize("name", BODIES)
def test_a_body_cut_short_or_bent_is_read_as_far_as_it_goes_or_refused(name: str) -> None:
    _, message_id, edition, body = BODIES[name]
    chance = random.Random(name)
    for _ in range(6):
        bent = bytearray(body[: chance.randint(0, len(body))])
        for _ in range(chance.randint(0, 3)):
            if bent:
                bent[chance.randrange(len(bent))] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
        try:
            fields = parse(message_id, edition, bytes(bent))
        except ProtocolError:
            continue
        build(message_id, MESSAGES[message_id].edition_of(edition, bytes(bent)), fields)
