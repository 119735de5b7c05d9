"""A load for the broker's door: reports of many terminals published with QoS 1 over one connection, as fast as asked or as it can.

Frames are built ahead as whole columns (`Waves`); what is counted here is what the broker acknowledged. Whether the gateway has it
is for the gateway to say.
"""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

from firmware_sim.mqtt import PUBACK, Packets, Target, connect, publish
from firmware_sim.waves import Waves
from protocols.jt808.header import V2013

CHUNK: Final = 100
"""Messages in one write."""
IN_FLIGHT_MAX: Final = 20_000
"""Messages the broker has not acknowledged; their ids must not come round again."""
STALL_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What to publish."""

    target: Target
    terminals: int = 1_000
    messages: int = 100_000
    rate: float = 0.0
    """Messages per second; 0: as fast as the broker takes them."""
    first_name: int = 13_900_000_001


def run(stream: Stream) -> dict[str, Any]:
    """Publish all; returns counts and times. Raises OSError when the broker does not listen or stalls."""
    packets = _packets(stream)
    at = stream.target
    with socket.create_connection((at.to.host, at.to.port), timeout=STALL_S) as link:
        link.sendall(connect("firmware-sim-publish", at.user, at.password))
        answer = link.recv(4)
        if answer[3:] != b"\0":
            msg = f"the broker refuses us: {answer.hex()}"
            raise ConnectionRefusedError(msg)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began, began_at = time.monotonic(), time.time()
        acknowledged = _send(link, packets, stream.rate, began)
        seconds = time.monotonic() - began
    return {"sent": len(packets), "acknowledged": acknowledged, "began": began_at, "seconds": seconds, "per_second": acknowledged / seconds}


def _packets(stream: Stream) -> list[bytes]:
    """Every PUBLISH, terminals in turn."""
    names = [str(stream.first_name + each) for each in range(stream.terminals)]
    per_terminal = -(-stream.messages // stream.terminals)
    waves = Waves(names, edition=V2013, base_s=int(time.time()) - per_terminal, per_terminal=per_terminal)
    packets: list[bytes] = []
    for k in range(per_terminal):
        for row, name in enumerate(names):
            packets.append(publish(f"dubhe/v1/{name}/jt808", waves.frames(row, k, 1), len(packets) % 0xFFFF + 1))
    return packets[: stream.messages]


def _send(link: socket.socket, packets: list[bytes], rate: float, began: float) -> int:
    """Send in chunks when they are due, reading acknowledgements meanwhile; returns how many came."""
    heard, sent, acknowledged, heard_at = Packets(), 0, 0, time.monotonic()
    while acknowledged < len(packets):
        now = time.monotonic()
        due = len(packets) if not rate else min(len(packets), int((now - began) * rate))
        room = sent < due and sent - acknowledged < IN_FLIGHT_MAX
        readable, writable, _ = select.select([link], [link] if room else [], [], 0.002)
        if writable:
            stop = min(due, sent + CHUNK)
            link.sendall(b"".join(packets[sent:stop]))
            sent = stop
        if readable:
            data = link.recv(65_536)
            if not data:
                msg = "the broker hung up"
                raise ConnectionResetError(msg)
            acknowledged += sum(got.head == PUBACK for got in heard.feed(data))
            heard_at = now
        if now - heard_at > STALL_S:
            msg = f"no acknowledgement for {STALL_S:.0f} s"
            raise TimeoutError(msg)
    return acknowledged
