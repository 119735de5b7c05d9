"""Every message of the standards: known, named, declared, and there and back through its declaration."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generated_bodies import fields_of
from protocols.errors import ProtocolError
from protocols.jt808.fixes import CARRIERS
from protocols.jt808.header import EDITIONS, V2013
from protocols.jt808.messages import MESSAGES, build, parse
from protocols.jt808.messages.known import BOTH, DOWN, UP
from protocols.jt808.messages.registry import plain
from vectors import jt808

LISTED = jt808.catalogue()


def test_the_catalogue_has_every_message_of_the_list_and_no_other() -> None:
    assert MESSAGES.keys() == LISTED.keys()


@pytest.mark.parametrize("message_id", LISTED, ids=lambda message_id: f"{message_id:04x}")
def test_a_listed_message_has_its_direction_and_a_body_in_every_edition_that_defines_one(message_id: int) -> None:
    direction, editions = LISTED[message_id]
    message = MESSAGES[message_id]

    assert (message.direction, message.editions) == (direction, editions)
    assert message.supported
    assert all(message.form(EDITIONS.index(edition)) is not None for edition in editions.split())


def test_names_are_unique_and_directions_follow_the_top_bit() -> None:
    names = [message.name for message in MESSAGES.values()]
    against = {message.id for message in MESSAGES.values() if message.direction != (DOWN if message.id & 0x8000 else UP)}

    assert len(set(names)) == len(names)
    # vendors' own
    assert against == {0x0310, 0x4401, 0x8888}
    assert MESSAGES[0x0310].direction == BOTH


def test_messages_that_are_read_as_columns_say_so() -> None:
    assert {message.id for message in MESSAGES.values() if message.columns} == set(CARRIERS)
    assert MESSAGES[0x0200].bodies == "columns, fields"
    assert MESSAGES[0x8003].bodies == "fields (2013, 2019)"
    assert MESSAGES[0x8104].bodies == "fields"


def test_every_id_of_the_vectors_is_known_but_those_no_standard_has() -> None:
    ids = {int(vector["msg_id"], 16) for vector in (*jt808.frames(), *jt808.bodies())}

    assert ids - MESSAGES.keys() == {0x0091, 0x0093, 0x0304}


FORMS = [(message.id, edition) for message in MESSAGES.values() for edition in sorted(message.forms)]


def assert_told(given_: Any, read: Any, where: str = "") -> None:
    """Everything that was given came back; what was read beyond it are counts, lengths and absences."""
    if isinstance(given_, dict):
        for name, value in given_.items():
            if value is not None:
                assert name in read, f"{where}.{name}"
                assert_told(value, read[name], f"{where}.{name}")
    elif isinstance(given_, list):
        assert len(given_) == len(read), where
        for row, (one, other) in enumerate(zip(given_, read, strict=True)):
            assert_told(one, other, f"{where}[{row}]")
    else:
        assert given_ == read, where


@pytest.mark.parametrize(("message_id", "edition"), FORMS, ids=lambda value: f"{value:04x}" if value > 2 else EDITIONS[value])
@settings(max_examples=20)
@given(data=st.data())
def test_what_is_built_is_read_back_to_the_same_fields(message_id: int, edition: int, data: st.DataObject) -> None:
    form = MESSAGES[message_id].forms[edition]
    fields = data.draw(fields_of(form))
    body = build(message_id, edition, fields)

    # by the very form: which form a body has is the next question, and not every body tells
    assert_told(fields, plain(form.parse(body)))


@pytest.mark.parametrize("message_id", MESSAGES, ids=lambda message_id: f"{message_id:04x}")
@settings(max_examples=20)
@given(edition=st.integers(0, 2), data=st.data())
def test_any_bytes_that_have_a_meaning_keep_it_when_built_again(message_id: int, edition: int, data: st.DataObject) -> None:
    message = MESSAGES[message_id]
    body = data.draw(st.one_of(st.binary(max_size=200), st.binary(max_size=20).map(lambda some: (some * 40)[:120])))
    try:
        fields = parse(message_id, edition, body)
    except ProtocolError:
        return
    form = message.edition_of(edition, body)
    again = message.form(form).parse(build(message_id, form, fields) + b"")

    assert_told({name: value for name, value in fields.items() if name != "rest"}, plain(again))


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(ProtocolError, match="interval_s"):
        build(0x8202, V2013, {"valid_s": 1})
