"""The fixtures against the real gateway: what `firmware_sim` promises in its docstring."""

from collections.abc import Callable

import pytest

from firmware_sim.gateway import Gateway
from firmware_sim.handset import Handset
from firmware_sim.report import Fix

Make = Callable[..., Handset]
HERE = Fix(time=1_700_000_000, lat=31.23, lon=121.48, speed_kmh=30)


def test_a_report_is_answered_by_the_gateway(terminal: Make) -> None:
    handset = terminal()

    handset.report(HERE)

    assert 1 == len(handset.terminal.acknowledged)
    assert handset.terminal.code


def test_a_report_stored_while_the_link_was_down_is_answered_too(terminal: Make) -> None:
    handset = terminal()
    handset.connect()
    handset.cut()

    handset.report(HERE, HERE)

    assert {0: 2} == dict(handset.terminal.counters.answered)


def test_the_gateway_tells_how_it_is(gateway: Gateway) -> None:
    assert 200 == gateway.get("/readyz")[0]
    assert gateway.process.poll() is None


@pytest.mark.parametrize("gateway", [{"admission": "strict"}], indirect=True)
def test_a_stranger_is_refused_by_a_strict_gateway(terminal: Make) -> None:
    with pytest.raises(ConnectionError, match="was refused"):
        terminal(name="13911112222").connect()
