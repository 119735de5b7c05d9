"""What the terminal does when it is told to: `ANSWERS`, a table from the command's id to what is said in return.

The `Equipment` behind the terminal keeps what commands change: parameters, areas, pictures. Answers are fields by message id; how they
become frames, and when they are said again, is the terminal's affair. What is not in the table is answered as unsupported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Final, NamedTuple

GENERAL_ANSWER: Final = 0x0001
OK, FAILED, BAD, UNSUPPORTED = range(4)
"""Results of 0x0001."""

PICTURE_BYTES: Final = 3_000
"""Of the picture that a camera takes; three packages."""
PLACES_MAX: Final = 100
"""Areas of each kind that the terminal has room for."""
UPDATE, APPEND, MODIFY = range(3)
"""What a setting of areas does to those that are there: replace all, add some, change some."""
IMAGE, AUDIO = 0, 1
JPEG, WAV = 0, 3


class Say(NamedTuple):
    """One message up."""

    message_id: int
    fields: Mapping[str, Any]


@dataclass(slots=True)
class Media:
    """A picture or a sound that is kept."""

    id: int
    type: int
    format: int
    channel: int
    data: bytes
    event: int = 0


@dataclass(slots=True)
class Equipment:
    """What the terminal's commands act upon."""

    where: Callable[[], dict[str, Any]]
    """Fields of a location report of this moment."""
    about: Mapping[str, Any]
    """Fields of 0x0107."""
    seed: int = 0
    picture_bytes: int = PICTURE_BYTES
    parameters: dict[int, Any] = field(default_factory=lambda: {0x0001: 60, 0x0020: 0, 0x0029: 30, 0x0055: 100, 0x0083: "沪A00001"})
    places: dict[int, dict[int, Mapping[str, Any]]] = field(default_factory=lambda: {1: {}, 2: {}, 3: {}, 4: {}})
    """Circles, rectangles, polygons, routes by id."""
    places_max: int = PLACES_MAX
    """Of each kind; one more is refused."""
    media: dict[int, Media] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    doors_locked: bool = False
    orders: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    """Everything that was ordered, in order."""

    def order(self, message_id: int, serial: int, fields: Mapping[str, Any]) -> Sequence[Say]:
        """Do what a command says, and say what is to be said."""
        self.orders.append((message_id, fields))
        act = ANSWERS.get(message_id)
        return act(self, _Order(message_id, serial, fields)) if act else [_general(_Order(message_id, serial, fields), UNSUPPORTED)]

    def take(self, channel: int, kind: int = IMAGE) -> Media:
        """Take a picture, or record a sound."""
        number = len(self.media) + 1
        noise = Random(f"{self.seed}/{number}").randbytes(self.picture_bytes)  # noqa: S311 - a picture of noise, not a secret
        data = b"\xff\xd8\xff\xe0" + noise + b"\xff\xd9" if kind == IMAGE else b"RIFF\x00\x00\x00\x00WAVE" + noise
        self.media[number] = Media(number, kind, JPEG if kind == IMAGE else WAV, channel, data)
        return self.media[number]

    def upload(self, media: Media) -> Say:
        """The upload of what is kept."""
        where = {name: value for name, value in self.where().items() if name != "items"}
        return Say(
            0x0801,
            {
                "media_id": media.id,
                "type": media.type,
                "format": media.format,
                "event": media.event,
                "channel": media.channel,
                "location": where,
                "packages": 1,
                "package": 1,
                "data": media.data,
            },
        )


class _Order(NamedTuple):
    message_id: int
    serial: int
    fields: Mapping[str, Any]


def _general(order: _Order, result: int = OK) -> Say:
    return Say(GENERAL_ANSWER, {"reply_serial": order.serial, "reply_id": order.message_id, "result": result})


Act = Callable[[Equipment, _Order], Sequence[Say]]


def _obey(_equipment: Equipment, order: _Order) -> Sequence[Say]:
    return [_general(order)]


def _set_parameters(equipment: Equipment, order: _Order) -> Sequence[Say]:
    for each in order.fields["parameters"]:
        equipment.parameters[int(each["id"])] = each.get("value", each.get("raw"))
    return [_general(order)]


def _parameters(equipment: Equipment, order: _Order) -> Sequence[Say]:
    wanted = [int(number) for number in order.fields.get("ids", equipment.parameters)]
    told = [{"id": number, "value": equipment.parameters[number]} for number in wanted if number in equipment.parameters]
    return [Say(0x0104, {"reply_serial": order.serial, "parameters": told})]


def _attributes(equipment: Equipment, _order: _Order) -> Sequence[Say]:
    return [Say(0x0107, equipment.about)]


def _upgrade(_equipment: Equipment, order: _Order) -> Sequence[Say]:
    return [_general(order), Say(0x0108, {"upgraded": order.fields["upgraded"], "result": 0})]


def _locate(equipment: Equipment, order: _Order) -> Sequence[Say]:
    return [Say(0x0201, {"reply_serial": order.serial, **equipment.where()})]


def _text(equipment: Equipment, order: _Order) -> Sequence[Say]:
    equipment.texts.append(str(order.fields["text"]))
    return [_general(order)]


def _question(_equipment: Equipment, order: _Order) -> Sequence[Say]:
    first = order.fields["answers"][0]["id"] if order.fields["answers"] else 0
    return [_general(order), Say(0x0302, {"reply_serial": order.serial, "answer_id": first})]


def _menu(_equipment: Equipment, order: _Order) -> Sequence[Say]:
    infos = order.fields["infos"]
    return [_general(order), *(Say(0x0303, {"info_id": each["id"], "order": 1}) for each in infos[:1])]


def _vehicle(equipment: Equipment, order: _Order) -> Sequence[Say]:
    """Lock or unlock: bit 0 set locks until 2013, parameter 0 locks since 2019 (quirk G1)."""
    controls = order.fields.get("controls")
    equipment.doors_locked = controls[0]["parameter"] == 0 if controls else bool(order.fields.get("flag", 0) & 1)
    return [Say(0x0500, {"reply_serial": order.serial, **equipment.where()})]


def _set_places(kind: int) -> Act:
    def act(equipment: Equipment, order: _Order) -> Sequence[Say]:
        given = {each["id"]: each for each in order.fields.get("areas", [order.fields])}
        action = order.fields.get("action")
        there = {} if action == UPDATE else equipment.places[kind]
        if len(there | given) > equipment.places_max or (action == MODIFY and not given.keys() <= there.keys()):
            return [_general(order, FAILED)]
        equipment.places[kind] = there | given
        return [_general(order)]

    return act


def _delete_places(kind: int) -> Act:
    def act(equipment: Equipment, order: _Order) -> Sequence[Say]:
        for number in order.fields["ids"] or list(equipment.places[kind]):
            equipment.places[kind].pop(number, None)
        return [_general(order)]

    return act


def _query_places(equipment: Equipment, order: _Order) -> Sequence[Say]:
    kind = int(order.fields["kind"])
    kept = equipment.places.get(kind, {})
    found = [kept[number] for number in (order.fields["ids"] or kept) if number in kept]
    if kind in {1, 2}:
        found = [{"action": 0, "areas": [each]} for each in found]
    return [Say(0x0608, {"kind": kind, "places": found})]


def _recorder(_equipment: Equipment, order: _Order) -> Sequence[Say]:
    command = int(order.fields["command"])
    block = {"data": _RECORDED.get(command, b"")}
    return [Say(0x0700, {"reply_serial": order.serial, "command": command, "block": block, "total_length": 0, "data": b""})]


_RECORDED: Final[Mapping[int, Any]] = {
    0x00: {"year": "12", "amendment": 0},
    0x01: {"licence": "310100197001010011"},
    0x02: {"time": datetime(2026, 11, 24, 8)},  # noqa: DTZ001 - the recorder's clock has no zone
}


def _driver(_equipment: Equipment, _order: _Order) -> Sequence[Say]:
    driver = {"name": "王师傅", "certificate": "31010012345678", "office": "上海", "expires_yyyymmdd": "20301231", "id_card": "310100"}
    time = datetime(2026, 11, 24, 8)  # noqa: DTZ001 - a wall clock
    return [Say(0x0702, {"card": 1, "time": time, "result": 0, "driver": driver, **driver})]


def _photo(equipment: Equipment, order: _Order) -> Sequence[Say]:
    shots = int(order.fields["shots"])
    if shots in {0, 0xFFFF}:
        return [_general(order)]
    taken = [equipment.take(order.fields["channel"]) for _ in range(shots)]
    answer = Say(0x0805, {"reply_serial": order.serial, "result": 0, "media_ids": [each.id for each in taken]})
    if order.fields["save"]:
        return [answer]
    return [answer, *(say for each in taken for say in _event_and_data(equipment, each))]


def _event_and_data(equipment: Equipment, media: Media) -> Sequence[Say]:
    about = {"media_id": media.id, "type": media.type, "format": media.format, "event": media.event, "channel": media.channel}
    return [Say(0x0800, about), equipment.upload(media)]


def _search(equipment: Equipment, order: _Order) -> Sequence[Say]:
    where = {name: value for name, value in equipment.where().items() if name != "items"}
    found = [
        {"media_id": each.id, "type": each.type, "channel": each.channel, "event": each.event, "location": where}
        for each in equipment.media.values()
        if each.type == int(order.fields["type"]) and order.fields["channel"] in {0, each.channel}
    ]
    return [Say(0x0802, {"reply_serial": order.serial, "found": found})]


def _upload_found(equipment: Equipment, order: _Order) -> Sequence[Say]:
    kind = int(order.fields["type"])
    return [_general(order), *(equipment.upload(each) for each in equipment.media.values() if each.type == kind)]


def _upload_one(equipment: Equipment, order: _Order) -> Sequence[Say]:
    media = equipment.media.get(order.fields["media_id"])
    return [_general(order), equipment.upload(media)] if media else [_general(order, FAILED)]


def _sound(equipment: Equipment, order: _Order) -> Sequence[Say]:
    return [_general(order), equipment.upload(equipment.take(1, AUDIO))] if order.fields["command"] else [_general(order)]


def _passed(_equipment: Equipment, order: _Order) -> Sequence[Say]:
    """Whatever comes down the serial port comes up again."""
    data = order.fields["data"]
    return [_general(order), Say(0x0900, {"subtype": order.fields["subtype"], "total_length": len(data), "data": data})]


def _key(_equipment: Equipment, order: _Order) -> Sequence[Say]:
    return [_general(order), Say(0x0A00, {"e": order.fields["e"], "n": order.fields["n"]})]


def _av_attributes(_equipment: Equipment, _order: _Order) -> Sequence[Say]:
    return [
        Say(
            0x1003,
            {
                "audio_codec": 6,
                "audio_channels": 1,
                "sample_rate": 0,
                "sample_bits": 1,
                "audio_frame_bytes": 320,
                "audio_output": 1,
                "video_codec": 98,
                "audio_channels_max": 4,
                "video_channels_max": 4,
            },
        )
    ]


def _recordings(_equipment: Equipment, order: _Order) -> Sequence[Say]:
    wanted = order.fields
    one = {name: wanted[name] for name in ("channel", "start", "end", "kind", "stream", "store")}
    return [Say(0x1205, {"reply_serial": order.serial, "recordings": [{**one, "alarms": wanted.get("alarms", 0), "bytes": 1_000_000}]})]


def _file(_equipment: Equipment, order: _Order) -> Sequence[Say]:
    return [_general(order), Say(0x1206, {"reply_serial": order.serial, "result": 0})]


ANSWERS: Final[Mapping[int, Act]] = {
    0x8103: _set_parameters,
    0x8104: _parameters,
    0x8106: _parameters,
    0x8105: _obey,
    0x8107: _attributes,
    0x8108: _upgrade,
    0x8201: _locate,
    0x8202: _obey,
    0x8203: _obey,
    0x8204: _obey,
    0x8300: _text,
    0x8301: _obey,
    0x8302: _question,
    0x8303: _menu,
    0x8304: _obey,
    0x8400: _obey,
    0x8401: _obey,
    0x8500: _vehicle,
    0x8600: _set_places(1),
    0x8601: _delete_places(1),
    0x8602: _set_places(2),
    0x8603: _delete_places(2),
    0x8604: _set_places(3),
    0x8605: _delete_places(3),
    0x8606: _set_places(4),
    0x8607: _delete_places(4),
    0x8608: _query_places,
    0x8700: _recorder,
    0x8701: _obey,
    0x8702: _driver,
    0x8801: _photo,
    0x8802: _search,
    0x8803: _upload_found,
    0x8804: _sound,
    0x8805: _upload_one,
    0x8900: _passed,
    0x8A00: _key,
    0x9003: _av_attributes,
    0x9101: _obey,
    0x9102: _obey,
    0x9105: _obey,
    0x9201: _recordings,
    0x9202: _obey,
    0x9205: _recordings,
    0x9206: _file,
    0x9207: _obey,
    0x9208: _obey,
    **dict.fromkeys(range(0x9301, 0x9307), _obey),
}
"""What a command makes the terminal do and say."""
