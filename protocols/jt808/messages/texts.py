"""Text to the driver, events, questions, info menus, telephone; 2019 defines text and telephone only."""

from __future__ import annotations

from typing import Any, Final

from construct import Default, Int8ub, Int16ub, Struct

from protocols.adapters import Bits
from protocols.jt808.header import V2011, V2013, V2019
from protocols.jt808.messages.registry import declare
from protocols.parts import Coded, LengthOf, Several, Tally
from protocols.text import CountedText, RestText

TEXT_FLAGS_2013: Final = ("urgent", None, "show", "tts", "advertising_screen", "can_fault_code")
TEXT_FLAGS_2019: Final = ("kind_bit_0", "kind_bit_1", "show", "tts", None, "can_fault_code")
"""The two lowest bits are a number: 1 service, 2 urgent, 3 notice."""
TEXT_KINDS: Final = {1: "notice", 2: "service"}

declare(
    0x8300,
    {
        V2011: Struct("flag" / Bits(Int8ub, TEXT_FLAGS_2013), "text" / RestText()),
        V2019: Struct("flag" / Bits(Int8ub, TEXT_FLAGS_2019), "kind" / Coded(Int8ub, TEXT_KINDS), "text" / RestText()),
    },
    # any byte may begin a text: only the header tells
    lambda edition, _body: edition,
)

SETTINGS: Final = {0: "delete_all", 1: "update", 2: "append", 3: "modify", 4: "delete"}


def _list_of(parts: str, part: Struct) -> dict[int, Struct]:
    """A setting with its list; deleting all needs none. 2011 says how many parts there are in all before how many are in this message."""
    setting = "setting" / Coded(Int8ub, SETTINGS)
    run = parts / Default(Several(part), [])

    def all_gone(context: Any) -> bool:  # noqa: ANN401 - construct carries no types
        return bool(context.setting == 0)

    return {
        V2011: Struct(setting, "total" / Tally(Int8ub, parts, all_gone), "count" / Tally(Int8ub, parts, all_gone), run),
        V2013: Struct(setting, "count" / Tally(Int8ub, parts, all_gone), run),
    }


declare(0x8301, _list_of("events", Struct("id" / Int8ub, "text" / CountedText())))
declare(0x0301, Struct("event_id" / Int8ub))

ANSWER: Final = Struct("id" / Int8ub, "text" / CountedText(Int16ub))
QUESTION_FLAGS: Final = ("urgent", None, None, "tts", "advertising_screen")
declare(0x8302, Struct("flag" / Bits(Int8ub, QUESTION_FLAGS), "question" / CountedText(), "answers" / Several(ANSWER)))
declare(0x0302, Struct("reply_serial" / Int16ub, "answer_id" / Int8ub))

declare(0x8303, _list_of("infos", Struct("id" / Int8ub, "name" / CountedText(Int16ub))))
declare(0x0303, Struct("info_id" / Int8ub, "order" / Coded(Int8ub, {0: "cancel", 1: "order"})))
_INFO: Final = RestText()
declare(0x8304, Struct("info_id" / Int8ub, "length" / LengthOf(Int16ub, "text", _INFO), "text" / _INFO))

declare(0x8400, Struct("mode" / Coded(Int8ub, {0: "call", 1: "listen"}), "number" / RestText()))
CONTACT: Final = Struct("calls" / Coded(Int8ub, {1: "in", 2: "out", 3: "both"}), "number" / CountedText(), "name" / CountedText())
declare(0x8401, _list_of("contacts", CONTACT))
