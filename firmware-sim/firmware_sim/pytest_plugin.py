"""Fixtures for whoever tests against a Dubhe gateway: `gateway` and `terminal`. How to use them is said in `firmware_sim`.

pytest loads this file at every start, so what the fixtures need is imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest

from firmware_sim.gateway import Gateway, running_gateway

if TYPE_CHECKING:
    from firmware_sim.handset import Handset

_NAMES: Final = count(13_800_070_001)
"""Their last digits become plates; names that tests give themselves mostly end in small numbers, and a plate is one vehicle's."""


@pytest.fixture(scope="session")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Mapping[str, str]], Gateway]]:
    """Gateways by their settings, each started when first asked for and ended with the session."""
    with ExitStack() as running:
        known: dict[tuple[tuple[str, str], ...], Gateway] = {}

        def find(settings: Mapping[str, str]) -> Gateway:
            key = tuple(sorted(settings.items()))
            if key not in known or known[key].process.poll() is not None:
                data_dir = known[key].data_dir if key in known else tmp_path_factory.mktemp("dubhe")
                known[key] = running.enter_context(running_gateway(data_dir, settings))
            return known[key]

        yield find


@pytest.fixture
def gateway(request: pytest.FixtureRequest, gateways: Callable[[Mapping[str, str]], Gateway]) -> Gateway:
    """A gateway with an embedded database, lenient unless parametrised otherwise; shared by the tests that want the same settings."""
    return gateways({"admission": "lenient", **getattr(request, "param", {})})


@pytest.fixture
def terminal(gateway: Gateway) -> Iterator[Callable[..., Handset]]:
    """Make terminals for that gateway: `terminal()` has a name of its own; keywords go to `Identity` and, as `manners`, to `Terminal`."""
    from firmware_sim.handset import Handset  # noqa: PLC0415 - see the head
    from firmware_sim.manners import Identity, Manners  # noqa: PLC0415
    from firmware_sim.terminal import Terminal  # noqa: PLC0415

    with ExitStack() as handsets:

        def make(
            name: str | None = None,
            *,
            manners: Manners | None = None,
            code: str | None = None,
            **identity: Any,  # noqa: ANN401 - as `Identity` takes them
        ) -> Handset:
            name = name or str(next(_NAMES))
            # one plate is one vehicle: two terminals cannot have it
            who = Identity(**{"name": name, "plate": f"沪A{name[-5:]}", **identity})
            return handsets.enter_context(Handset(Terminal(who, manners=manners or Manners(leave=False), code=code), gateway.to))

        yield make
