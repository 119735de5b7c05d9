"""A JT/T 808 terminal without sockets or clock: bytes in, bytes out, `now` in seconds given with every call.

Its states and the events that move it stand in one table, `states.TRANSITIONS`. Around the table:
- Whatever wants an answer is in flight until it is answered. On silence the same bytes go out again after T, 2T, 6T, 24T …, as JT/T 808
  wants it (T(n+1) = T(n) × (n+1)); when all repeats stayed unanswered the terminal gives up and wants a new link.
- Reports leave one by one, at most `window` in flight. Reports that fell due while the link was down, or were in flight when it broke, wait
  in the blind-zone store (bounded, the oldest make room) and go up in 0x0704 of kind 1, oldest first, after the live ones.
- The authentication code is kept across links; a terminal whose code is refused forgets it and registers on its next link.

A report's key is its own bytes, the body of 0x0200, and the same bytes travel inside 0x0704: `acknowledged` holds the key of every report
that the platform answered with success, so that "answered ⊆ stored" can be checked against the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf
from typing import Any, Final

from firmware_sim.commands import BAD, UNSUPPORTED, Equipment, Say
from firmware_sim.manners import SUCCESS, Counters, Identity, Manners, about
from firmware_sim.packages import Packages
from firmware_sim.report import AT_ONCE, Due, Fix, location_fields, report_body
from firmware_sim.states import TRANSITIONS, Event, State
from firmware_sim.store import Report, Store
from protocols.errors import ProtocolError
from protocols.jt808 import messages
from protocols.jt808.frames import Frame, frame_of
from protocols.jt808.framing import Deframer
from protocols.jt808.header import LENGTH_BITS
from tracks.terminal import canonical
from tracks.verdict import Reject

HEARTBEAT, LOG_OUT, REGISTER, AUTHENTICATE, REPORT, BATCH = 0x0002, 0x0003, 0x0100, 0x0102, 0x0200, 0x0704
GENERAL_ANSWER, GENERAL_RESPONSE, REGISTER_RESPONSE = 0x0001, 0x8001, 0x8100
RESEND_REQUEST, MEDIA_RESPONSE = 0x8003, 0x8800
ANSWERS: Final = frozenset({GENERAL_RESPONSE, REGISTER_RESPONSE, RESEND_REQUEST, MEDIA_RESPONSE})
"""What the platform says in answer to us; all else is a command."""
STORED_WHILE_OFFLINE: Final = 1
"""Kind of an 0x0704 from the blind-zone store."""


@dataclass(slots=True)
class _InFlight:
    """A frame that waits for its answer."""

    message_id: int
    frame: bytes
    wait_s: float
    deadline: float
    reports: Sequence[Report]
    repeats: int = 0


class Terminal:
    """One terminal. A driver calls `connected`, `receive`, `tick`, `disconnected` and sends what they return.

    `tick` wants to be called at `next_at()`. When `hangup` is set the driver closes the link; when `finished` is set it need not open
    another. `silent` says that a link is to be left behind rather than closed; a terminal by itself always closes.
    """

    silent = False

    def __init__(
        self,
        identity: Identity,
        reports: Iterable[Due] = (),
        manners: Manners | None = None,
        *,
        code: str | None = None,
    ) -> None:
        self.identity = identity
        self.manners = manners or Manners()
        self.code = code
        self.state = State.OFFLINE
        self.hangup = False
        self.finished = False
        self.counters = Counters()
        self.acknowledged: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.equipment = Equipment(self._where, about(identity), seed=int(canonical(identity.name), 16))
        self.packages = Packages()
        self.last_fix = Fix(time=0, lat=31.230416, lon=121.473701)
        self._reports: Iterator[Due] = iter(reports)
        self._next = next(self._reports, None)
        self._order = 0
        self._store = Store(self.manners.store_max)
        self._flight: dict[int, _InFlight] = {}
        self._serial = 0
        self._heartbeat_at = inf
        self._was_offline = False
        self._deframer = Deframer()
        self._out: list[bytes] = []

    # the four calls of the driver

    def connected(self, now: float) -> bytes:
        """The link is up."""
        self.hangup = False
        self._deframer = Deframer()
        self._keep(self._missed(now))
        if not self.manners.login:
            self._move(Event.CONNECTED_WITHOUT_LOGIN, now)
        elif self.code is None:
            self._move(Event.CONNECTED_AS_STRANGER, now)
        else:
            self._move(Event.CONNECTED_WITH_CODE, now)
        return self._spoken()

    def disconnected(self, now: float) -> None:
        """The link is down, or could not be opened."""
        self._move(Event.LOST, now)

    def receive(self, data: bytes, now: float) -> bytes:
        """Bytes from the platform, cut anywhere."""
        try:
            whole = self._deframer.feed(data)
        except ProtocolError:
            self.counters.unreadable += 1
            self._hang_up(Event.LOST, now)
            return b""
        for piece in whole.split(b"\x7e"):
            if piece and self.state is not State.OFFLINE:
                self._hear(frame_of(piece), now)
        self._say_due(now)
        return self._spoken()

    def tick(self, now: float) -> bytes:
        """Time has passed."""
        self._resend(now)
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + self.manners.heartbeat_s
            self._ask(HEARTBEAT, {}, now)
        self._say_due(now)
        return self._spoken()

    def next_at(self) -> float:
        """When `tick` wants to be called; infinite when only the platform or a new link can move us."""
        if self.state is State.OFFLINE:
            return inf
        at = min((each.deadline for each in self._flight.values()), default=inf)
        if self.state is State.ONLINE:
            at = min(at, self._heartbeat_at)
            if self._next is not None and self._room():
                at = min(at, self._next.at)
        return at

    def add(self, reports: Iterable[Due]) -> None:
        """More reports, after those there are."""
        self._reports = chain(self._reports, reports)
        if self._next is None:
            self._next = next(self._reports, None)

    # moving

    def _move(self, event: Event, now: float) -> None:
        self.state = TRANSITIONS[self.state, event]
        match self.state:
            case State.OFFLINE:
                self._fall_silent()
            case State.REGISTERING:
                self._ask(REGISTER, self._registration(), now)
            case State.AUTHENTICATING:
                self._ask(AUTHENTICATE, {"auth_code": self.code, "imei": self.identity.imei, "software": self.identity.software}, now)
            case State.ONLINE:
                self._heartbeat_at = now + self.manners.heartbeat_s
                self._say_due(now)
            case State.LEAVING:
                self.finished = True
                self._ask(LOG_OUT, {}, now)

    def _hang_up(self, event: Event, now: float) -> None:
        self.hangup = True
        self._move(event, now)

    def _fall_silent(self) -> None:
        """What was in flight goes back into the store, before what was stored since."""
        self._heartbeat_at = inf
        self._out.clear()
        self._was_offline = True
        back = [report for each in self._flight.values() for report in each.reports]
        self._flight.clear()
        self._keep(back)

    # speaking

    def _spoken(self) -> bytes:
        said = b"".join(self._out)
        self._out.clear()
        return said

    def _ask(self, message_id: int, fields: dict[str, Any], now: float, reports: Sequence[Report] = ()) -> None:
        """Send a message built from its fields."""
        self._send(message_id, messages.build(message_id, self.identity.edition, fields), now, reports)

    def _send(self, message_id: int, body: bytes, now: float, reports: Sequence[Report] = ()) -> None:
        """Send a message that wants an answer; `reports` is what it carries."""
        for report in reports:
            self.counters.sent += not report.left
            report.left = True
        serial, frame = self._frame(message_id, body)
        wait_s = self.manners.answer_timeout_s
        self._flight[serial] = _InFlight(message_id, frame, wait_s, now + wait_s, reports)
        self._out.append(frame)

    def _frame(self, message_id: int, body: bytes) -> tuple[int, bytes]:
        serial = self._serial
        self._serial = (serial + 1) & 0xFFFF
        return serial, messages.encode(message_id, self.identity.name, serial, body, self.identity.edition)

    def _registration(self) -> dict[str, Any]:
        who = self.identity
        return {
            "province": who.province,
            "city": who.city,
            "maker": who.maker,
            "model": who.model,
            "terminal_id": who.serial_number,
            "plate_colour": who.plate_colour,
            "plate": who.plate,
        }

    def _resend(self, now: float) -> None:
        """Say again what was not answered in time; give up when it was said often enough."""
        for each in list(self._flight.values()):
            if now < each.deadline:
                continue
            if each.repeats >= self.manners.repeats:
                self.counters.given_up += 1
                self._hang_up(Event.LOST, now)
                return
            each.repeats += 1
            each.wait_s *= each.repeats + 1
            each.deadline = now + each.wait_s
            self.counters.resent += 1
            self._out.append(each.frame)

    # reports

    def _room(self) -> bool:
        return sum(bool(each.reports) for each in self._flight.values()) < self.manners.window

    def _say_due(self, now: float) -> None:
        """Fill the window: live reports first, then what the store holds; log out when all is said."""
        if self.state is not State.ONLINE:
            return
        while self._room():
            if self._next is not None and self._next.at <= now:
                report = self._take(self._next)
                self._send(REPORT, report.body, now, [report])
            elif self._store:
                batch = self._store.batch(self.manners.batch_max)
                self.counters.uploaded += len(batch)
                self._ask(BATCH, {"kind": STORED_WHILE_OFFLINE, "reports": [each.body for each in batch]}, now, batch)
            else:
                break
        if self._next is None and not self._store and not self._flight and self.manners.leave:
            self._move(Event.DONE, now)

    def _take(self, due: Due) -> Report:
        """The report that is due, as bytes; the next one takes its place."""
        report = Report(self._order, report_body(due.fix, self.identity.edition))
        self.last_fix = due.fix
        self._order += 1
        self._next = next(self._reports, None)
        return report

    def _missed(self, now: float) -> Iterator[Report]:
        """Reports that fell due while there was no link; a terminal just switched on has missed none."""
        while self._was_offline and self._next is not None and AT_ONCE < self._next.at <= now:
            yield self._take(self._next)

    def _keep(self, reports: Iterable[Report]) -> None:
        """Put reports into the store."""
        self.counters.overwritten += self._store.keep(reports)

    # hearing

    def _hear(self, frame: Frame, now: float) -> None:
        """One frame from the platform."""
        if frame.reject is not Reject.NONE or canonical(frame.phone) != canonical(self.identity.name):
            self.counters.unreadable += 1
        elif frame.message_id not in ANSWERS:
            self._commanded(frame, now)
        else:
            try:
                body = messages.parse(frame.message_id, frame.edition, frame.body)
            except ProtocolError:
                self.counters.unreadable += 1
                return
            if frame.message_id == REGISTER_RESPONSE:
                self._registered(body, now)
            elif frame.message_id in {RESEND_REQUEST, MEDIA_RESPONSE}:
                self._out += self.packages.wanted(frame.message_id, body)
            else:
                self._answered(body["reply_serial"], body["reply_id"], body["result"], now)

    def _registered(self, body: Mapping[str, Any], now: float) -> None:
        """0x8100 answers the registration in flight."""
        each = self._flight.get(body["reply_serial"])
        if each is None or each.message_id != REGISTER:
            self.counters.unexpected += 1
            return
        del self._flight[body["reply_serial"]]
        if body["result"] == 0:
            self.code = body["auth_code"]
            self._move(Event.REGISTERED, now)
        else:
            self._refused(now)

    def _answered(self, serial: int, message_id: int, result: int, now: float) -> None:
        """0x8001 answers one message in flight: number and id must both fit (quirk C13)."""
        each = self._flight.get(serial)
        if each is None or each.message_id != message_id:
            self.counters.unexpected += not self.packages.answered(serial)
            return
        del self._flight[serial]
        if each.reports:
            self.counters.answered[result] += len(each.reports)
            (self.acknowledged if result in SUCCESS else self.refused).update(report.body for report in each.reports)
        elif message_id == AUTHENTICATE and result == 0:
            self.counters.logins += 1
            self._move(Event.AUTHENTICATED, now)
        elif message_id in {REGISTER, AUTHENTICATE}:
            self._refused(now)
        elif message_id == LOG_OUT:
            self._hang_up(Event.LEFT, now)

    def _refused(self, now: float) -> None:
        """The platform does not want us, or not with this code."""
        self.code = None
        self.counters.login_refusals += 1
        self.finished = not self.manners.insist
        self._hang_up(Event.REFUSED, now)

    def _commanded(self, frame: Frame, now: float) -> None:
        """Whatever else the platform says is a command."""
        whole = self.packages.join(frame)
        if whole is None:
            return
        message_id, serial, body = whole
        self.counters.commands[message_id] += 1
        try:
            fields = messages.parse(message_id, self.identity.edition, body)
            said = self.equipment.order(message_id, serial, fields)
        except ProtocolError as error:
            result = UNSUPPORTED if error.reason in {Reject.UNKNOWN_MESSAGE, Reject.UNSUPPORTED} else BAD
            said = [Say(GENERAL_ANSWER, {"reply_serial": serial, "reply_id": message_id, "result": result})]
        for each in said:
            self._reply(each, now)

    def _reply(self, said: Say, now: float) -> None:
        """Say something of our own: 0x0001 wants no answer, other messages do; long ones go in packages, repeated when asked for."""
        edition = self.identity.edition
        body = messages.build(said.message_id, edition, said.fields)
        if said.message_id == GENERAL_ANSWER:
            self._out.append(self._frame(GENERAL_ANSWER, body)[1])
        elif len(body) <= LENGTH_BITS:
            self._send(said.message_id, body, now)
        else:
            media_id = said.fields.get("media_id")
            frames = self.packages.cut(said.message_id, self.identity.name, self._serial, body, edition, media_id=media_id)
            self._serial = (self._serial + len(frames)) & 0xFFFF
            self._out += frames

    def _where(self) -> dict[str, Any]:
        """Fields of a location report of this moment: the last fix."""
        return location_fields(self.last_fix)
