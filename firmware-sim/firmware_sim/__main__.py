"""`python -m firmware_sim`: a fleet, a replay or a load from the command line. Counters are one JSON object on stdout."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import threading
import time
from collections.abc import Coroutine, Sequence
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import Any, Final

from firmware_sim import load as loads
from firmware_sim import publish as publishing
from firmware_sim.faults import Rates
from firmware_sim.fleet import Fleet, Plan
from firmware_sim.link import Address, allow_files
from firmware_sim.manners import Manners
from firmware_sim.mqtt import Target
from firmware_sim.replay import replay
from firmware_sim.roads import read_roads
from protocols.jt808.header import EDITIONS

FLEET_HELP: Final = """\
A fleet of JT/T 808 terminals on real TCP (or UDP) sockets 模拟终端车队.

Buses drive Shanghai's line 71 (or your own GeoJSON lines), register, authenticate, report every 10 to 30 s, and upload what they
stored while the link was down. The same seed gives the same terminals, roads, noise and faults.

  python -m firmware_sim --terminals 20 --seed 7                      20 buses at the road's own pace, until Ctrl-C
  python -m firmware_sim --terminals 500 --speed 60 --seconds 30      an hour of the road in a minute, for 30 s (dated ahead of the clock)
  python -m firmware_sim --straying 5 --speed 10 --behind-s 540       the last 9 minutes in one; five buses leave their line and come back
  python -m firmware_sim --terminals 50 --cut 0.02 --duplicate 0.05   with links that break and frames that come twice
  python -m firmware_sim --over-mqtt 5 --mqtt mqtt://127.0.0.1:1883   five of the twenty through a broker
  python -m firmware_sim --nmea 5 --nmea-to 127.0.0.1:6809            and five more units that stream NMEA
  python -m firmware_sim --terminals 3 --no-login                     reports at once; the gateway must be lenient
  python -m firmware_sim replay track.gpx --speed 10                  a recording driven as a terminal    (… replay --help)
  python -m firmware_sim load --terminals 1000 --messages 300000      how fast is the gateway?            (… load --help)

A gateway with strict admission must know terminals and plates: the bus of 13900000071 says that it is the yellow 沪A00071, so
`dubhe terminal add 13900000071 --plate 沪A00071 --colour 黄` lets it in.

The JSON at the end: sent (reports), answered (by result of 0x8001), uploaded (in 0x0704 after an outage), resent, given_up …
Exit status 0 when something was sent and every report was answered.
"""
REPLAY_HELP: Final = """\
Drive a recording as a terminal 轨迹回放.

  .csv   columns time,lat,lon and, if there, altitude_m,speed_kmh,course_deg,valid,mileage_km,satellites,signal,alarm_bits,status_bits
  .gpx   tracks with time at every point
  .nmea  RMC sentences with date and true checksum
  other  a log of frames, 7e … 7e in hex at the end of each line, an ISO time at its beginning if known; sent byte for byte

--speed 1 is the recording's own pace, 10 ten times as fast, 0 as fast as the answers come.
"""
LOAD_HELP: Final = """\
Count from the client's side how many reports a gateway answers, and how old each is when its receipt comes 压力测试.

  python -m firmware_sim load --terminals 10000 --messages 300000               closed loop: one report in flight per terminal
  python -m firmware_sim load --terminals 10000 --rate 20000 --messages 600000  open loop: 20 000 reports per second are due

No 0x0100/0x0102 is sent unless --login is given, so run the gateway with DUBHE_ADMISSION=lenient.
`limited_by` in the JSON says whether the gateway or this generator was the limit; believe the numbers only in the first case.
Exit status 0 when every report was answered ok.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; what a user can mend is one sentence and exit status 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMANDS.get(words[0] if words else "")
    try:
        return command(words[1:]) if command else _fleet(words)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"firmware_sim: {error}\n")
        return 2


def _fleet(words: Sequence[str]) -> int:
    parser = _parser("firmware_sim", FLEET_HELP)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0, help="times the road's pace; 0: as fast as the answers come")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--behind-s", type=float, metavar="S", help="begin so long ago; the past goes at --speed, the rest as it happens")
    parser.add_argument("--straying", type=int, default=0, metavar="N", help="how many of the buses leave their line on every run")
    parser.add_argument("--departing", type=int, default=0, metavar="N", help="how many of the others are found about to leave a terminus")
    parser.add_argument("--reports", type=int, help="reports per terminal; then it logs out")
    parser.add_argument("--window", type=int, default=1, help="reports in flight per terminal")
    parser.add_argument("--heartbeat-s", type=float, default=Manners().heartbeat_s)
    parser.add_argument("--answer-timeout-s", type=float, default=Manners().answer_timeout_s, help="first wait before a repeat")
    parser.add_argument("--no-login", action="store_true", help="no 0x0100 and 0x0102")
    parser.add_argument("--udp", action="store_true")
    parser.add_argument("--over-mqtt", type=int, default=0, metavar="N", help="how many of the terminals send through a broker")
    parser.add_argument("--mqtt", metavar="URL", help="that broker, mqtt://USER:PASSWORD@HOST:PORT")
    parser.add_argument("--nmea", type=int, default=0, metavar="N", help="units that stream NMEA, beside the terminals")
    parser.add_argument("--nmea-to", metavar="HOST:PORT", help="where the gateway listens for them")
    parser.add_argument("--roads", type=Path, metavar="GEOJSON", help="LineStrings in WGS-84, with Points as stops")
    parser.add_argument("--codes", type=Path, metavar="FILE", help="where terminals keep their authentication codes between runs")
    for each in fields(Rates):
        parser.add_argument(
            f"--{each.name.replace('_', '-')}", type=float, default=0.0, metavar="RATE", help="fault, 0 to 1 per frame or report"
        )
    args = parser.parse_args(words)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    if (args.over_mqtt and not args.mqtt) or (args.nmea and not args.nmea_to):
        msg = "--over-mqtt wants --mqtt URL, and --nmea wants --nmea-to HOST:PORT"
        raise ValueError(msg)
    plan = Plan(
        terminals=args.terminals,
        over_mqtt=min(args.over_mqtt, args.terminals),
        nmea=args.nmea,
        seed=args.seed,
        edition=EDITIONS.index(args.edition),
        first_name=args.first_name,
        reports_max=args.reports,
        speed=args.speed,
        straying=args.straying,
        departing=args.departing,
        ramp_s=args.terminals / 2_000,
        manners=Manners(heartbeat_s=args.heartbeat_s, answer_timeout_s=args.answer_timeout_s, window=args.window, login=not args.no_login),
        rates=Rates(**{each.name: getattr(args, each.name) for each in fields(Rates)}),
    )
    roads = read_roads(args.roads) if args.roads else None
    now = None if args.behind_s is None else time.time()
    start = int(time.time() - (args.behind_s or 0))
    fleet = Fleet(plan, start=start, begin=time.monotonic(), now=now, roads=roads, stopping=stopping.is_set)
    if args.codes and args.codes.exists():
        fleet.load_codes(args.codes)
    broker = Target.of(args.mqtt) if args.mqtt else None
    nmea_to = Address.of(args.nmea_to) if args.nmea_to else None
    run = fleet.run(Address.of(args.to, udp=args.udp), broker=broker, nmea_to=nmea_to, clock=time.monotonic)
    asyncio.run(_watched(fleet, run, args.seconds, stopping))
    if args.codes:
        fleet.save_codes(args.codes)
    tally = fleet.tally()
    _print(tally)
    if tally["login_refusals"] and not tally["logins"]:
        first = fleet.terminals[0].identity
        entry = f"`dubhe terminal add {first.name} --plate {first.plate} --colour {first.plate_colour}`"
        sys.stderr.write(f"every login was refused; {entry} enters the first terminal with its vehicle\n")
    something = tally["sent"] or tally["streamed"]
    return 0 if something and tally["sent"] == sum(tally["answered"].values()) else 1


STOP_S: Final = 5.0
"""How long a stopped fleet may still wait for answers."""


async def _watched(fleet: Fleet, running: Coroutine[Any, Any, None], seconds: float | None, stopping: threading.Event) -> None:
    """Run the fleet and say every second how it stands; when it is to stop it has a little time to hear its last answers."""
    allow_files(len(fleet.machines))
    run = asyncio.ensure_future(running)
    end = inf if seconds is None else time.monotonic() + seconds
    while not run.done() and time.monotonic() < end:
        await asyncio.wait([run], timeout=min(1.0, max(end - time.monotonic(), 0)))
        tally = fleet.tally()
        answered = sum(tally["answered"].values())
        logins = f"logins {tally['logins']}  refused {tally['login_refusals']}"
        sys.stderr.write(f"{logins}  sent {tally['sent']}  answered {answered}  resent {tally['resent']}\n")
        if stopping.is_set():
            break
    stopping.set()
    await asyncio.wait([run], timeout=STOP_S)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


def _replay(words: Sequence[str]) -> int:
    parser = _parser("firmware_sim replay", REPLAY_HELP, many=False)
    parser.add_argument("file", type=Path)
    parser.add_argument("--terminal", default="13900000001", help="phone number to report as")
    parser.add_argument("--plate", default="沪A00001", help="the vehicle it says it is fitted to (default 沪A00001)")
    parser.add_argument("--colour", type=int, default=2, metavar="NUMBER", help="that plate's colour (default 2, yellow)")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--no-login", action="store_true", help="no 0x0100 and 0x0102")
    args = parser.parse_args(words)
    to = Address.of(args.to)
    edition = EDITIONS.index(args.edition)
    whose = {"terminal": args.terminal, "plate": args.plate, "plate_colour": args.colour}
    tally = asyncio.run(replay(args.file, to, **whose, speed=args.speed, edition=edition, login=not args.no_login))
    _print(tally)
    return 0 if 0 < tally["sent"] == sum(tally["answered"].values()) else 1


def _load(words: Sequence[str]) -> int:
    parser = _parser("firmware_sim load", LOAD_HELP)
    parser.add_argument("--window", type=int, default=1, help="reports in flight per terminal")
    parser.add_argument("--messages", type=int, default=100_000, help="reports in all")
    parser.add_argument("--rate", type=float, default=0.0, help="reports per second; 0: as fast as the receipts come")
    parser.add_argument("--seconds-max", type=float, default=600.0, help="stop sending after so long")
    parser.add_argument("--login", action="store_true", help="register and authenticate before the clock starts")
    parser.add_argument("--connects-per-second", type=float, default=2_500.0)
    args = vars(parser.parse_args(words))
    edition = EDITIONS.index(args.pop("edition"))
    report = loads.run(loads.Load(**{**args, "to": Address.of(args["to"]), "edition": edition}))
    _print(report.json())
    if report.limited_by == "generator":
        shares = f"{report.cpu_share:.0%} of a core, and waited {report.starved_share:.0%} of the time for one"
        sys.stderr.write(f"the generator was the limit: it used {shares}\n")
    return 0 if report.answered_ok == report.sent else 1


def _publish(words: Sequence[str]) -> int:
    about = "Publish reports with QoS 1 as a load 经代理压力测试."
    parser = argparse.ArgumentParser(prog="python -m firmware_sim publish", description=about)
    parser.add_argument("--mqtt", required=True, metavar="URL", help="the broker, mqtt://USER:PASSWORD@HOST:PORT")
    parser.add_argument("--terminals", type=int, default=1_000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=0.0, help="messages per second; 0: as fast as the broker takes them")
    parser.add_argument("--first-name", type=int, default=13_900_000_001)
    args = vars(parser.parse_args(words))
    told = publishing.run(publishing.Stream(target=Target.of(args.pop("mqtt")), **args))
    _print(told)
    return 0 if told["sent"] == told["acknowledged"] else 1


COMMANDS: Final = {"replay": _replay, "load": _load, "publish": _publish}


def _parser(name: str, text: str, *, many: bool = True) -> argparse.ArgumentParser:
    """The arguments that the commands share."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", default="127.0.0.1:6808", metavar="HOST:PORT", help="the gateway (default %(default)s)")
    parser.add_argument("--edition", choices=EDITIONS, default="2013", help="JT/T 808 edition (default %(default)s)")
    if many:
        parser.add_argument("--terminals", type=int, default=20, help="how many (default %(default)s)")
        parser.add_argument("--first-name", type=int, default=13_900_000_001, help="phone number of the first; the others follow")
    return parser


def _print(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
