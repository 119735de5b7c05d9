"""Fixtures for whoever tests against a Dubhe gateway: `gateway` and `terminal`. How to use them is said in `firmware_sim`.

pytest loads this file at every start, so what the fixtures need is imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Final

import pytest

from firmware_sim.gateway import Gateway, running_gateway

if TYPE_CHECKING:
    from firmware_sim.handset import Handset

_NAMES: Final = count(13_800_000_001)


@pytest.fixture(scope="module")
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of its own process with an embedded database in a fresh directory; lenient unless parametrised otherwise."""
    settings = {"admission": "lenient", **getattr(request, "param", {})}
    with running_gateway(tmp_path_factory.mktemp("dubhe"), settings) as running:
        yield running


@pytest.fixture
def terminal(gateway: Gateway) -> Iterator[Callable[..., Handset]]:
    """Make terminals for that gateway: `terminal()` has a name of its own; keywords go to `Identity` and, as `manners`, to `Terminal`."""
    from firmware_sim.handset import Handset  # noqa: PLC0415 - see the head
    from firmware_sim.terminal import Identity, Manners, Terminal  # noqa: PLC0415

    with ExitStack() as handsets:

        def make(name: str | None = None, *, manners: Manners | None = None, code: str | None = None, **identity: object) -> Handset:
            who = Identity(name=name or str(next(_NAMES)), **identity)  # type: ignore[arg-type] # checked by Identity itself
            return handsets.enter_context(Handset(Terminal(who, manners=manners or Manners(leave=False), code=code), gateway.to))

        yield make
