"""Simulated terminals on links of this process's loop, for tests of what the platform asks of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

from firmware_sim.link import Address, BackOff, Machine, hold
from firmware_sim.manners import Identity, Manners
from firmware_sim.states import State
from firmware_sim.terminal import Terminal
from storage.commands import CommandResult, send_command

PATIENCE_S = 60.0


@contextlib.asynccontextmanager
async def online(
    port: int, name: str = "13800138000", *, around: Callable[[Terminal], Machine] | None = None, code: str | None = None, **identity: Any
) -> AsyncIterator[Terminal]:
    """A terminal that has logged in; `around` puts something between it and its link."""
    terminal = Terminal(Identity(name=name, plate=f"沪A{name[-5:]}", **identity), manners=Manners(leave=False), code=code)
    machine = around(terminal) if around else terminal
    back_off = BackOff(first_s=0.05, last_s=0.1)
    holding = asyncio.ensure_future(hold(machine, Address("127.0.0.1", port), rng=Random(1), back_off=back_off))
    try:
        await until(lambda: terminal.state is State.ONLINE, holding)
        yield terminal
    finally:
        holding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await holding


async def until(true: Callable[[], Any], running: asyncio.Future[None] | None = None) -> None:
    """Look until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            if running is not None and running.done():
                await running
            await asyncio.sleep(0.005)


async def command(url: str, name: str, message_id: int, fields: dict[str, Any] | None = None, **how: Any) -> CommandResult:
    """Send a command as another process would."""
    return await asyncio.to_thread(send_command, url, name, message_id, fields or {}, **{"timeout_s": 10.0, **how})
