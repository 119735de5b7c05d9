"""`MESSAGES`: every message by id, and the scalar doors `parse` and `build`.

`known.py` names all ids. A chapter file gives a message its body with one `declare(id, forms)`: one construct declaration per edition
in which the body changed. A message without forms is recognised but unsupported.
Where the header does not say which form a body has (2011 against 2013, terminals that mix editions), `choose` looks at the body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from construct import Construct, ConstructError, Container, GreedyBytes, ListContainer, StreamError, Struct

from protocols.errors import ProtocolError
from protocols.jt808.header import EDITIONS
from protocols.jt808.messages.known import KNOWN
from tracks.verdict import Reject

Choose = Callable[[int, bytes], int]
"""From the header's edition and the body to the edition whose form the body has."""


@dataclass(slots=True)
class Message:
    """What we know of one message id."""

    id: int
    direction: str
    name: str
    title: str
    standard: str
    forms: Mapping[int, Construct] = field(default_factory=dict)
    choose: Choose | None = None

    @property
    def supported(self) -> bool:
        """Its body is declared."""
        return bool(self.forms)

    def edition_of(self, edition: int, body: bytes) -> int:
        """The edition whose form `body` has, from a header that says `edition`."""
        return self.choose(edition, body) if self.choose else edition

    def form(self, edition: int) -> Construct:
        """The body's declaration in an edition: the latest that is not younger, or the first."""
        declared = sorted(self.forms)
        return self.forms[max((each for each in declared if each <= edition), default=declared[0])]


MESSAGES: Final = {message_id: Message(message_id, *about) for message_id, about in KNOWN.items()}
"""All messages by id."""


def declare(message_id: int, forms: Construct | Mapping[int, Construct], choose: Choose | None = None) -> None:
    """Give a known message its body: one form for all editions, or the form of each edition in which it changed."""
    message = MESSAGES[message_id]
    message.forms = forms if isinstance(forms, Mapping) else {0: forms}
    message.choose = choose


def parse(message_id: int, edition: int, body: bytes) -> dict[str, Any]:
    """The fields of a body by name; `edition` is the header's. What is left behind the last field is under `rest`.

    Raises ProtocolError with UNKNOWN_MESSAGE, UNSUPPORTED, TRUNCATED or BAD_FIELD.
    """
    message = _supported(message_id)
    form = message.form(message.edition_of(edition, body))
    if not _keeps_rest(form):
        form = Struct(*form.subcons, "rest" / GreedyBytes)
    try:
        fields = plain(form.parse(body))
    except StreamError as error:
        msg = f"{message.name}: {len(body)} bytes end within {_where(error)}"
        raise ProtocolError(Reject.TRUNCATED, msg) from None
    except ConstructError as error:
        msg = f"{message.name}: {_where(error)} has no meaning: {error}"
        raise ProtocolError(Reject.BAD_FIELD, msg) from None
    if not fields["rest"]:
        del fields["rest"]
    return dict(fields)


def _keeps_rest(form: Construct) -> bool:
    return any(field.name == "rest" for field in form.subcons)


def build(message_id: int, edition: int, fields: Mapping[str, Any]) -> bytes:
    """The body of these fields in an edition's form; raises ProtocolError when they do not make one."""
    message = _supported(message_id)
    form = message.form(edition)
    try:
        body: bytes = form.build(dict(fields))
    except (ConstructError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"{message.name} of {EDITIONS[edition]}: {error}"
        raise ProtocolError(Reject.BAD_FIELD, msg) from error
    return body if _keeps_rest(form) else body + bytes(fields.get("rest", b""))


def _supported(message_id: int) -> Message:
    message = MESSAGES.get(message_id)
    if message is None:
        msg = f"0x{message_id:04x} is no message of the standards or vendors that we know"
        raise ProtocolError(Reject.UNKNOWN_MESSAGE, msg)
    if not message.supported:
        msg = f"0x{message_id:04x} {message.name} is known, but its body is not read yet"
        raise ProtocolError(Reject.UNSUPPORTED, msg)
    return message


def _where(error: ConstructError) -> str:
    """The field that construct failed in: the tail of its path."""
    return str(getattr(error, "path", None) or "").rpartition(" -> ")[2] or "the body"


def plain(value: Any) -> Any:  # noqa: ANN401 - fields are of many kinds
    """Containers of construct as dicts and lists."""
    if isinstance(value, Container):
        return {name: plain(each) for name, each in value.items() if not str(name).startswith("_")}
    if isinstance(value, ListContainer):
        return [plain(each) for each in value]
    return value
