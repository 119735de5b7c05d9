"""Values from the wire as PostgreSQL's jsonb takes them: no NUL, no lone surrogate, no number that is none; nothing else is changed.

Names that begin with an underscore are a reader's own notes and are left out; what JSON has no form for is kept as text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb


def jsonb(value: Any) -> Jsonb:  # noqa: ANN401 - JSON is of many kinds
    """`value` as a query's parameter."""
    return Jsonb(_storable(value))


def _storable(value: Any) -> Any:  # noqa: ANN401 - JSON is of many kinds
    match value:
        case Mapping():
            return {_text(str(name)): _storable(each) for name, each in value.items() if not str(name).startswith("_")}
        case list() | tuple():
            return [_storable(each) for each in value]
        case str():
            return _text(value)
        case float() if not math.isfinite(value):
            return None
        case None | bool() | int() | float():
            return value
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
