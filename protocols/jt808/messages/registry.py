"""`MESSAGES`: every message by id, and the scalar doors `parse` and `build`.

`known.py` names all ids. A chapter file gives a message its body with one `declare(id, forms)`: one construct declaration per edition
in which the body changed. A message without forms would be recognised but unsupported.
Headers do not say which form a body has (2011 and 2013 share one, terminals mix editions), so the body is asked: `choose` where a message
has a rule of its own, and otherwise the header's edition unless only another form reads the body to its last byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

from construct import Construct, ConstructError, Container, ListContainer, StreamError

from protocols.errors import ProtocolError
from protocols.jt808.header import EDITIONS
from protocols.jt808.messages.known import KNOWN
from protocols.parts import ends_well, octets
from tracks.verdict import Reject

PARSE_BYTES_MAX: Final = 128 << 10
"""Longest body of a message made of lists that is read field by field: four thousand recordings; hostile ones take half a second."""

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
    editions: str
    """Editions of the standard that define a body, "2013 2019" say."""
    forms: Mapping[int, Construct] = field(default_factory=dict)
    choose: Choose | None = None
    columns: bool = False
    """Whole batches of it are read as columns (`fixes.py`)."""
    bulk: bool = False
    """It carries a file or the like as one field, and may be as long as that."""

    @property
    def supported(self) -> bool:
        """Its body is declared."""
        return bool(self.forms)

    @property
    def bodies(self) -> str:
        """How its body is read: "columns, fields", "fields" or "no"; with the editions whose forms differ."""
        if not self.supported:
            return "no"
        how = "columns, fields" if self.columns else "fields"
        return f"{how} ({', '.join(EDITIONS[edition] for edition in sorted(self.forms))})" if len(self.forms) > 1 else how

    def edition_of(self, edition: int, body: bytes) -> int:
        """The edition whose form `body` has, from a header that says `edition`."""
        if self.choose:
            return self.choose(edition, body)
        if len(self.forms) < 2 or ends_well(self.form(edition), body):  # noqa: PLR2004 - nothing to choose from
            return edition
        others = (other for other in sorted(self.forms, reverse=True) if self.forms[other] is not self.form(edition))
        return next((other for other in others if ends_well(self.forms[other], body)), edition)

    def form(self, edition: int) -> Construct:
        """The body's declaration in an edition: the latest that is not younger, or the first."""
        declared = sorted(self.forms)
        return self.forms[max((each for each in declared if each <= edition), default=declared[0])]


MESSAGES: Final = {message_id: Message(message_id, *about) for message_id, about in KNOWN.items()}
"""All messages by id."""


def declare(
    message_id: int,
    forms: Construct | Mapping[int, Construct],
    choose: Choose | None = None,
    *,
    columns: bool = False,
    bulk: bool = False,
) -> None:
    """Give a known message its body: one form for all editions, or the form of each edition in which it changed."""
    message = MESSAGES[message_id]
    message.forms = forms if isinstance(forms, Mapping) else {0: forms}
    message.choose = choose
    message.columns = columns
    message.bulk = bulk


def parse(message_id: int, edition: int, body: bytes) -> dict[str, Any]:
    """The fields of a body by name; `edition` is the header's. What is left behind the last field is under `rest`.

    Raises ProtocolError with UNKNOWN_MESSAGE, UNSUPPORTED, OVERSIZE, TRUNCATED or BAD_FIELD.
    """
    message = _supported(message_id)
    if len(body) > PARSE_BYTES_MAX and not message.bulk:
        msg = f"{message.name}: {len(body)} bytes are more than the {PARSE_BYTES_MAX} that are read field by field"
        raise ProtocolError(Reject.OVERSIZE, msg)
    form = message.form(message.edition_of(edition, body))
    stream = BytesIO(body)
    try:
        fields = plain(form.parse_stream(stream))
    except StreamError as error:
        msg = f"{message.name}: {len(body)} bytes end within {_where(error)}"
        raise ProtocolError(Reject.TRUNCATED, msg) from None
    except ConstructError as error:
        msg = f"{message.name}: {_where(error)} has no meaning: {error}"
        raise ProtocolError(Reject.BAD_FIELD, msg) from None
    rest = fields.pop("rest", b"") or stream.read()
    return dict(fields) | ({"rest": rest} if rest else {})


def _keeps_rest(form: Construct) -> bool:
    """Whether the form itself ends with what is left over, as one that other forms are made of does."""
    return any(field.name == "rest" for field in getattr(form, "subcons", ()))


def build(message_id: int, edition: int, fields: Mapping[str, Any]) -> bytes:
    """The body of these fields in an edition's form; raises ProtocolError when they do not make one.

    Fields may be as `parse` gives them or as JSON has them; counts and lengths may be left out.
    """
    message = _supported(message_id)
    form = message.form(edition)
    try:
        body: bytes = form.build(dict(fields))
    except (ConstructError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"{message.name} of {EDITIONS[edition]}: {error}"
        raise ProtocolError(Reject.BAD_FIELD, msg) from error
    return body if _keeps_rest(form) else body + octets(fields.get("rest", b""))


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
