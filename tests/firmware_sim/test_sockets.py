"""Links, fleets, replays and loads against a platform on a real socket: it answers at once, and time is the machine's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import cast

import pytest

from firmware_sim.faults import Rates
from firmware_sim.fleet import Fleet, Plan
from firmware_sim.handset import Handset
from firmware_sim.link import Address, BackOff, hold
from firmware_sim.load import Load, run
from firmware_sim.manners import Identity, Manners
from firmware_sim.replay import replay
from firmware_sim.report import AT_ONCE, Due, Fix
from firmware_sim.terminal import Terminal
from protocols.jt808 import messages
from protocols.jt808.framing import Deframer
from protocols.jt808.header import V2019
from tests.firmware_sim.platform_in_memory import Platform

QUICK = BackOff(first_s=0.01, last_s=0.05)
START = 1_700_000_000


class Port(asyncio.Protocol):
    """The platform's end of one TCP link."""

    def __init__(self, platform: Platform, links: list[asyncio.Transport], *, open_links: bool) -> None:
        self.platform = platform
        self.links = links
        self.open_links = open_links
        self.deframer = Deframer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.links.append(transport)
        if not self.open_links:
            transport.close()

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.platform.answer(self.deframer.feed(data)))


@asynccontextmanager
async def listening(platform: Platform, *, open_links: bool = True) -> AsyncIterator[Address]:
    """The platform on a TCP port of its own; with `open_links` false it closes every link at once."""
    links: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(lambda: Port(platform, links, open_links=open_links), "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for each in links:
            each.abort()
        # the loop closes the sockets in its next round
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def due(count: int) -> list[Due]:
    return [Due(AT_ONCE, Fix(time=START + number, lat=31.2, lon=121.4)) for number in range(count)]


def test_a_terminal_says_everything_over_tcp_and_leaves() -> None:
    platform = Platform()
    terminal = Terminal(Identity(name="13900000071"), due(50), Manners(window=4))

    async def scene() -> None:
        async with listening(platform) as to:
            await hold(terminal, to, rng=Random(1))

    asyncio.run(scene())

    assert terminal.finished
    assert 50 == len(terminal.acknowledged) == len(platform.bodies)


def test_it_tries_again_as_long_as_its_links_are_closed_at_once() -> None:
    terminal = Terminal(Identity(name="13900000071"), due(5))

    async def scene() -> None:
        async with listening(Platform(), open_links=False) as closing:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await hold(terminal, closing, rng=Random(1), back_off=QUICK)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                # nobody listens there any more
                await hold(terminal, closing, rng=Random(1), back_off=QUICK)
        async with listening(Platform()) as to:
            await hold(terminal, to, rng=Random(1))

    asyncio.run(scene())

    assert terminal.finished
    assert 5 == len(terminal.acknowledged)


def test_a_fault_of_ours_ends_the_run_instead_of_hanging_it() -> None:
    def broken() -> Iterator[Due]:
        yield from due(2)
        raise ZeroDivisionError

    async def scene() -> None:
        async with listening(Platform()) as to:
            await hold(Terminal(Identity(name="13900000071"), broken()), to, rng=Random(1))

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scene())


def test_pauses_double_up_to_the_last_and_are_the_same_for_the_same_seed() -> None:
    def pauses(seed: int) -> list[float]:
        drawn = BackOff(first_s=1, last_s=60).pauses(Random(seed))
        return [next(drawn) for _ in range(10)]

    assert pauses(1) == pauses(1)
    for pause, most in zip(pauses(1), [1, 2, 4, 8, 16, 32, 60, 60, 60, 60], strict=True):
        assert most / 2 <= pause <= most


def test_over_udp_every_frame_is_a_datagram_of_its_own() -> None:
    platform = Platform()
    terminal = Terminal(Identity(name="13900000071"), due(20), Manners(window=5))
    sizes = []

    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            # asyncio's own class is no DatagramTransport by name
            self.transport = cast("asyncio.DatagramTransport", transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            sizes.append(data.count(b"\x7e"))
            self.transport.sendto(platform.answer(data), addr)

    async def scene() -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
        host, port = transport.get_extra_info("sockname")
        await hold(terminal, Address(host, port, udp=True), rng=Random(1))
        transport.close()

    asyncio.run(scene())

    assert {2} == set(sizes)
    assert 20 == len(terminal.acknowledged)


PLAN = Plan(terminals=5, seed=3, reports_max=20, speed=0, back_off=QUICK, manners=Manners(answer_timeout_s=0.02, window=2))


@pytest.mark.parametrize(
    "rates", [Rates(), Rates(cut=0.05, half_open=0.02, duplicate=0.1, spoiled=0.05, clock_jump=0.05)], ids=["sound", "bad"]
)
def test_a_fleet_brings_every_report_home(rates: Rates) -> None:
    platform = Platform()
    fleet = Fleet(replace(PLAN, rates=rates), start=START)

    async def scene() -> None:
        async with listening(platform) as to:
            await fleet.run(to, seconds=60)

    asyncio.run(scene())

    assert fleet.finished
    assert 100 == fleet.tally()["sent"] == fleet.tally()["answered"]["0"]
    assert set.union(*(each.acknowledged for each in fleet.terminals)) <= set(platform.bodies)


def test_a_fleet_that_is_told_to_stop_says_what_it_has_ready_and_leaves() -> None:
    platform = Platform()
    fleet = Fleet(replace(PLAN, reports_max=None), start=START, stopping=lambda: len(platform.bodies) >= 500)

    async def scene() -> None:
        async with listening(platform) as to:
            await fleet.run(to, seconds=60)

    asyncio.run(scene())

    assert fleet.finished
    assert fleet.tally()["sent"] == fleet.tally()["answered"]["0"] >= 500


def test_the_same_seed_makes_the_same_fleet() -> None:
    def said(seed: int) -> list[set[bytes]]:
        fleet = Fleet(replace(PLAN, seed=seed), start=START)

        async def scene() -> None:
            async with listening(Platform()) as to:
                await fleet.run(to, seconds=60)

        asyncio.run(scene())
        return [each.acknowledged for each in fleet.terminals]

    assert said(1) == said(1)
    assert said(1) != said(2)


def test_codes_survive_a_power_cut(tmp_path: Path) -> None:
    first, second = (Fleet(PLAN, start=START) for _ in range(2))
    for each in first.terminals:
        each.code = f"code of {each.identity.name}"

    first.save_codes(tmp_path / "codes.json")
    second.load_codes(tmp_path / "codes.json")

    assert [each.code for each in first.terminals] == [each.code for each in second.terminals]


def test_a_recording_of_fixes_is_driven_as_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,lat,lon\n" + "".join(f"{START + number},31.2,121.4\n" for number in range(30)))
    platform = Platform()

    async def scene() -> dict[str, object]:
        async with listening(platform) as to:
            return await replay(tmp_path / "a.csv", to, terminal="13912345678", speed=0, edition=V2019)

    tally = asyncio.run(scene())

    assert (30, {"0": 30}) == (tally["sent"], tally["answered"])
    assert {"00000000013912345678"} == {frame.phone for frame in platform.heard}


def test_a_replay_registers_as_fitted_to_the_vehicle_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"time,lat,lon\n{START},31.2,121.4\n")
    platform = Platform()

    async def scene() -> None:
        async with listening(platform) as to:
            await replay(tmp_path / "a.csv", to, plate="川A12345", plate_colour=1, speed=0)

    asyncio.run(scene())
    (said,) = [messages.parse(0x0100, frame.edition, frame.body) for frame in platform.heard if frame.message_id == 0x0100]

    assert ("川A12345", 1) == (said["plate"], said["plate_colour"])


def test_recorded_frames_go_out_byte_for_byte(tmp_path: Path) -> None:
    good = [messages.encode(0x0200, "13912345678", serial, bytes(28), 1) for serial in range(20)]
    (tmp_path / "a.log").write_text("\n".join(each.hex() for each in good) + "\n")
    platform = Platform()

    async def scene() -> dict[str, object]:
        async with listening(platform) as to:
            return await replay(tmp_path / "a.log", to)

    tally = asyncio.run(scene())

    assert (20, {"0": 20}) == (tally["sent"], tally["answered"])
    assert list(range(20)) == [frame.serial for frame in platform.heard]


def test_a_replay_says_when_it_is_refused_and_when_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"time,lat,lon\n{START},31.2,121.4\n")

    async def scene() -> None:
        async with listening(Platform(results={0x0100: 4})) as to:
            with pytest.raises(ConnectionRefusedError, match="`dubhe terminal add 13900000001 --plate 川A12345 --colour blue` enters both"):
                await replay(tmp_path / "a.csv", to, plate="川A12345", plate_colour=1)
        with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
            await replay(tmp_path / "a.csv", to)

    asyncio.run(scene())


@pytest.mark.parametrize("login", [False, True], ids=["lenient", "login"])
@pytest.mark.parametrize(("window", "rate"), [(1, 0), (16, 0), (4, 20_000)], ids=["one", "window", "open"])
@pytest.mark.parametrize("edition", [1, V2019])
def test_a_load_counts_what_was_answered_and_stops_by_itself(window: int, rate: float, edition: int, *, login: bool) -> None:
    platform = Platform()

    async def scene() -> tuple[int, int, int, int]:
        async with listening(platform) as to:
            load = Load(to=to, terminals=7, window=window, messages=500, rate=rate, login=login, edition=edition)
            report = await asyncio.to_thread(run, load)
        return report.sent, report.answered_ok, report.refused, report.unanswered

    assert (500, 500, 0, 0) == asyncio.run(scene())
    assert 500 == len(platform.bodies)
    assert 500 == len({(frame.phone, frame.body) for frame in platform.heard if frame.message_id == 0x0200})


def test_a_load_counts_refusals() -> None:
    platform = Platform(results={0x0200: 2})

    async def scene() -> tuple[int, int]:
        async with listening(platform) as to:
            report = await asyncio.to_thread(run, Load(to=to, terminals=3, window=8, messages=100))
        return report.answered_ok, report.refused

    assert (0, 100) == asyncio.run(scene())


def test_a_load_says_when_the_gateway_closes_its_connections() -> None:
    async def scene() -> tuple[int, int, int]:
        async with listening(Platform(), open_links=False) as to:
            report = await asyncio.to_thread(run, Load(to=to, terminals=3, messages=100))
        return report.closed, report.answered_ok, report.unanswered

    closed, answered, unanswered = asyncio.run(scene())

    assert (3, 0) == (closed, answered)
    assert unanswered <= 3


def test_a_load_is_refused_beyond_its_bounds() -> None:
    with pytest.raises(ValueError, match="window=65: from 1 to 64"):
        Load(to=Address("127.0.0.1", 1), window=65)


def test_a_handset_reports_call_by_call_and_stores_what_a_cut_kept_back() -> None:
    platform = Platform()

    async def scene() -> None:
        async with listening(platform) as to:
            await asyncio.to_thread(converse, to)

    def converse(to: Address) -> None:
        terminal = Terminal(Identity(name="13900000071"), manners=Manners(leave=False))
        with Handset(terminal, to) as handset:
            handset.report(due(1)[0].fix)
            handset.cut()
            handset.report(due(2)[1].fix)
            handset.send(messages.encode(0x0002, "13900000071", 999, b"", 1))
            handset.until(lambda: terminal.counters.unexpected == 1)

    asyncio.run(scene())

    assert 2 == len(platform.bodies)
    assert [0x0100, 0x0102, 0x0200, 0x0102, 0x0200, 0x0002] == platform.ids


def test_a_handset_says_that_it_was_refused() -> None:
    async def scene() -> None:
        async with listening(Platform(results={0x0100: 4})) as to:
            await asyncio.to_thread(Handset(Terminal(Identity(name="13900000071")), to).connect)

    with pytest.raises(ConnectionError, match="13900000071 was refused"):
        asyncio.run(scene())


@pytest.mark.parametrize("text", ["", "6808", "host:", "host:0", "host:65536", "host:x"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        Address.of(text)


def test_addresses_are_read_in_both_families() -> None:
    assert Address("::1", 6808) == Address.of("[::1]:6808")
    assert Address("example.org", 6808, udp=True) == Address.of("example.org:6808", udp=True)
