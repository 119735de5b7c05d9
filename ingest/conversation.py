"""The control plane: registration, authentication, clock, log-out.

Row by row, because these are few; what they ask of the registry is asked once per batch.

Admission in one place. JT/T 808 on sockets: `strict` believes a terminal after 0x0102 was right; `lenient` also creates unknown
ones and takes everybody's reports at once: it believes the name, and belongs on a network that only terminals reach. MQTT and
NMEA carry no codes (`welcome`): `strict` believes a name that is in the registry, `lenient` creates the unknown; that the name
is true is for the broker's access list, or for the network that reaches the NMEA port, to see to.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import structlog

from ingest.links import NOBODY, LinkTable, SessionTable
from ingest.told import Sender
from protocols.errors import ProtocolError
from protocols.jt808 import messages
from protocols.jt808.frames import FrameBatch
from protocols.jt808.header import EDITIONS
from storage.registry import Registration, Registry, Terminal
from tracks.fix import ABSENT, SOURCES
from tracks.spans import Index
from tracks.terminal import key_of, name_of
from tracks.verdict import Verdict

log: Final = structlog.get_logger("dubhe.session")

CONTROL: Final = (0x0003, 0x0004, 0x0100, 0x0102)
"""Ids that the conversation answers: log out, ask server time, register, authenticate."""
JT808: Final = SOURCES.index("jt808")
PLATE_LOGGED_MAX: Final = 20
LOCKED_NAMES_MAX: Final = 100_000
"""Wrong-code counters kept; past it the oldest are forgotten. About 20 MB."""


@dataclass(slots=True)
class Lockout:
    """Wrong authentication codes by (terminal, address): too many, and even the right one is refused for a while.

    The address is part of the key, so that a stranger cannot lock a bus out of its own server.
    """

    failures_max: int
    lockout_us: int
    _wrong: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def locked(self, name: str, host: str, now_us: int) -> bool:
        """Whether `name` is refused from `host` now."""
        count, last_us = self._wrong.get((name, host), (0, 0))
        if count and now_us - last_us >= self.lockout_us:
            del self._wrong[name, host]
            return False
        return count >= self.failures_max

    def wrong(self, name: str, host: str, now_us: int) -> int:
        """Count a wrong code; returns how many there have been."""
        count = self._wrong.pop((name, host), (0, 0))[0] + 1
        self._wrong[name, host] = count, now_us
        while len(self._wrong) > LOCKED_NAMES_MAX:
            del self._wrong[next(iter(self._wrong))]
        return count

    def right(self, name: str, host: str) -> None:
        """The code was right: forget what went wrong before."""
        self._wrong.pop((name, host), None)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What the control plane decided: verdicts that differ from the table's, and answers that are not 0x8001."""

    verdict: dict[int, Verdict]
    answer: dict[int, bytes]
    opened: bool
    """Sessions were opened: who is who must be looked up again."""
    leaving: list[tuple[int, int]]
    """(terminal id, login) of sessions that logged out: they end once their answer is sent."""


@dataclass(slots=True)
class Conversation:
    """Holds the conversation with terminals that are not, or want to be, logged in."""

    registry: Registry
    links: LinkTable
    sessions: SessionTable
    worker: str
    lenient: bool
    terminals_per_link_max: int
    lockout: Lockout

    async def hold(self, frames: FrameBatch, link: Index, session: Index, control: Index, now_us: int) -> Spoken:
        """Answer the `control` rows in order, and open the sessions they, or lenient admission, ask for.

        Raises StoreUnavailable when the registry cannot be asked; then nothing was answered and the batch is tried again.
        """
        strangers = control[:0]
        if self.lenient:
            strangers = np.flatnonzero((session == NOBODY) & (link != NOBODY) & (frames.reject == 0))
            strangers = strangers[self.links.source[link[strangers]] == JT808]  # on MQTT the topic's terminal was welcomed, or nobody
        if not len(control) and not len(strangers):
            return Spoken({}, {}, opened=False, leaving=[])
        generation = self.links.generation.copy()
        asked = np.union1d(control, strangers)
        keys = zip(asked.tolist(), frames.phone_high[asked].tolist(), frames.phone_low[asked].tolist(), strict=True)
        names = {row: name_of(high, low) for row, high, low in keys}
        known = await self.registry.find(sorted(set(names.values())))
        turn = _Turn(frames, link, generation, names, dict(known), now_us)
        if len(strangers):
            await self._let_in(turn, strangers)
        for row in control.tolist():
            await self._answer(turn, row)
        for row, slot in zip(strangers.tolist(), link[strangers].tolist(), strict=True):
            if row not in turn.verdict:
                turn.login.setdefault((slot, names[row]), row)
        await self._open(turn)
        for row in turn.leaves:
            self._log_out(turn, row)
        for row in turn.wrong:  # counted last: a batch that is tried again has not counted yet
            self._count_wrong(turn, row)
        return Spoken(turn.verdict, turn.answer, opened=bool(turn.login), leaving=turn.leaving)

    async def _let_in(self, turn: _Turn, strangers: Index) -> None:
        """Lenient: make the unknown terminals that there is room for on their link; the others are refused without a trace."""
        taken: Counter[int] = Counter()
        unknown = set()
        seen = set()
        for row in strangers.tolist():
            slot, name = int(turn.link[row]), turn.names[row]
            if (slot, name) in seen:
                continue
            room = self.terminals_per_link_max - int(self.links.session_count[slot]) - taken[slot]
            if room > 0:
                seen.add((slot, name))
                taken[slot] += 1
                if name not in turn.known:
                    unknown.add(name)
        if unknown:
            turn.known |= await self.registry.admit(sorted(unknown))

    async def _answer(self, turn: _Turn, row: int) -> None:
        frames = turn.frames
        message_id, edition = int(frames.message_id[row]), int(frames.edition[row])
        at = self.links.links[turn.link[row]] if turn.link[row] != NOBODY else None
        if at is not None and at.terminal not in {"", turn.names[row]}:
            turn.verdict[row] = Verdict.FAILED
            return
        try:
            body = messages.parse(message_id, edition, frames.body.bytes_at(row))
        except ProtocolError:
            turn.verdict[row] = Verdict.REJECTED
            return
        match message_id:
            case 0x0003:
                turn.leaves.append(row)
            case 0x0004:
                fields = {"time": datetime.fromtimestamp(turn.now_us / 1e6, UTC)}
                turn.answer[row] = self._wire(turn, row, 0x8004, fields)
            case 0x0100:
                await self._register(turn, row, body)
            case 0x0102:
                self._authenticate(turn, row, body)

    async def _register(self, turn: _Turn, row: int, body: Mapping[str, Any]) -> None:
        name, slot = turn.names[row], int(turn.link[row])
        turn.registrations[slot] += 1
        if turn.registrations[slot] > self.terminals_per_link_max:
            turn.verdict[row] = Verdict.RETRY  # who asks faster than it is answered waits
            return
        wanted = Registration(
            province=body["province"],
            city=body["city"],
            maker=body["maker"],
            model=body["model"],
            serial_number=body["terminal_id"],
            plate_colour=body["plate_colour"],
            plate=body["plate"],
            edition=EDITIONS[messages.MESSAGES[0x0100].edition_of(int(turn.frames.edition[row]), turn.frames.body.bytes_at(row))],
        )
        result, code = await self.registry.register(name, wanted, lenient=self.lenient)
        log.info(
            "registered" if result == 0 else "registration refused", terminal=name, result=result, plate=wanted.plate[:PLATE_LOGGED_MAX]
        )
        fields = {"reply_serial": int(turn.frames.serial[row]), "result": result, "auth_code": code}
        turn.answer[row] = self._wire(turn, row, 0x8100, fields)
        if result == 0:
            turn.known.update(await self.registry.find([name]))

    def _authenticate(self, turn: _Turn, row: int, body: Mapping[str, Any]) -> None:
        name, slot = turn.names[row], int(turn.link[row])
        at = self.links.links[slot] if slot != NOBODY else None
        if at is None:
            return
        terminal = turn.known.get(name)
        if self.lockout.locked(name, at.host, turn.now_us):
            turn.verdict[row] = Verdict.FAILED
        elif terminal is not None and (
            hmac.compare_digest(terminal.auth_code.encode(), body["auth_code"].encode()) or (self.lenient and not terminal.vetted)
        ):
            self.lockout.right(name, at.host)
            turn.login.setdefault((slot, name), row)
        else:
            turn.verdict[row] = Verdict.FAILED
            turn.wrong.append(row)

    def _count_wrong(self, turn: _Turn, row: int) -> None:
        at = self.links.links[turn.link[row]]
        if at is not None:
            name = turn.names[row]
            count = self.lockout.wrong(name, at.host, turn.now_us)
            log.warning("authentication refused", terminal=name, peer=at.peer, known=name in turn.known, wrong_codes=count)

    def _log_out(self, turn: _Turn, row: int) -> None:
        """Only who is logged in can log out. The answer goes out before the link closes: a terminal that waits for it hangs (quirk C10)."""
        terminal = turn.known.get(turn.names[row])
        if terminal is None or not self._is_here(terminal.id, int(turn.link[row])):
            turn.verdict[row] = Verdict.FAILED
        else:
            turn.leaving.append((terminal.id, int(self.sessions.login[self.sessions.of_terminal[terminal.id]])))

    async def _open(self, turn: _Turn) -> None:
        """Log in everybody who may, with one question to the registry; the newest login of a terminal wins, here and elsewhere."""
        opening: list[tuple[int, Terminal]] = []
        on_link: Counter[int] = Counter()
        refused: dict[int, str] = {}
        for (slot, name), row in list(turn.login.items()):
            terminal = turn.known.get(name)
            room = self.terminals_per_link_max - int(self.links.session_count[slot]) if slot != NOBODY else 0
            here = terminal is not None and self._is_here(terminal.id, slot)
            if terminal is None or (not here and room <= on_link[slot]):
                turn.verdict[row] = Verdict.FAILED
                del turn.login[slot, name]
                refused[slot] = name
            elif not here:
                on_link[slot] += 1
                opening.append((slot, terminal))
        for slot, name in refused.items():
            peer = link.peer if (link := self.links.links[slot]) else ""
            log.warning("login refused", terminal=name, peer=peer, reason="unknown, or terminals_per_link_max")
        await self._log_in(opening, turn.generation)

    async def welcome(self, senders: Sequence[Sender]) -> list[tuple[int, int]]:
        """(terminal, vehicle) of each sender, ABSENT for who is not admitted; opens the sessions that are missing.

        A sender whose link has closed meanwhile is known all the same: what it said is to be kept.
        Raises StoreUnavailable; then nobody was refused, and the batch is tried again.
        """
        callers = list({(sender.ticket, sender.name): None for sender in senders if sender.name})
        if not callers:
            return [(ABSENT, ABSENT)] * len(senders)
        generation = self.links.generation.copy()
        slots = self.links.slots(np.array([ticket for ticket, _ in callers], np.int64))
        high, low = (np.array(column, np.uint64) for column in zip(*(key_of(name) for _, name in callers), strict=True))
        session = self.sessions.find(slots, high, low)
        ids = {
            caller: (int(self.sessions.terminal_id[at]), int(self.sessions.vehicle_id[at]))
            for caller, at in zip(callers, session.tolist(), strict=True)
            if at != NOBODY
        }
        if strangers := {caller: slot for caller, slot in zip(callers, slots.tolist(), strict=True) if caller not in ids}:
            ids |= await self._admit(strangers, generation)
        nobody = ABSENT, ABSENT
        return [ids.get((sender.ticket, sender.name), nobody) for sender in senders]

    async def _admit(self, strangers: Mapping[tuple[int, str], int], generation: Index) -> dict[tuple[int, str], tuple[int, int]]:
        """Callers without a session, each with its link's slot: log in those that may, refuse the others."""
        names = sorted({name for _, name in strangers})
        known = await self.registry.find(names)
        if self.lenient and (unknown := [name for name in names if name not in known]):
            known |= await self.registry.admit(unknown)
        opening: list[tuple[int, Terminal]] = []
        on_link: Counter[int] = Counter()
        refused = []
        ids = {}
        for (ticket, name), slot in strangers.items():
            terminal = known.get(name)
            room = self.terminals_per_link_max - int(self.links.session_count[slot])
            if terminal is None or (slot != NOBODY and room <= on_link[slot]):
                refused.append((slot, name))
                continue
            ids[ticket, name] = terminal.id, ABSENT if terminal.vehicle_id is None else terminal.vehicle_id
            if slot != NOBODY:
                on_link[slot] += 1
                opening.append((slot, terminal))
        await self._log_in(opening, generation)
        for slot, name in refused:
            link = self.links.links[slot] if slot != NOBODY and self.links.generation[slot] == generation[slot] else None
            log.info("terminal not admitted", terminal=name, peer=link.peer if link else None, known=name in known)
            if link is not None:
                link.refuse(name)
        return ids

    async def _log_in(self, opening: Sequence[tuple[int, Terminal]], generation: Index) -> None:
        """Open sessions on (slot, terminal). A slot whose generation is no longer `generation`'s has passed to another link."""
        if not opening:
            return
        peers = [link.peer if (link := self.links.links[slot]) else "" for slot, _ in opening]
        self.sessions.elsewhere.clear()
        logins = await self.registry.login([terminal.id for _, terminal in opening], self.worker, peers)
        for slot, terminal in opening:
            if self.links.links[slot] is None or self.links.generation[slot] != generation[slot]:
                continue
            vehicle = ABSENT if terminal.vehicle_id is None else terminal.vehicle_id
            if (left := self.sessions.open(slot, key_of(terminal.name), terminal.id, vehicle, logins[terminal.id])) is not None:
                left.close("newer login")

    def _is_here(self, terminal_id: int, slot: int) -> bool:
        session = self.sessions.of_terminal.get(terminal_id, NOBODY)
        return session != NOBODY and int(self.sessions.link[session]) == slot

    def _wire(self, turn: _Turn, row: int, message_id: int, fields: Mapping[str, Any]) -> bytes:
        """A frame down in the terminal's own header layout."""
        frames = turn.frames
        edition = int(frames.edition[row])
        body = messages.build(message_id, edition, fields)
        return messages.encode(message_id, turn.names[row], 0, body, edition)


@dataclass(slots=True)
class _Turn:
    """One batch's conversation while it is held."""

    frames: FrameBatch
    link: Index
    generation: Index
    """Of every slot when the turn began."""
    names: dict[int, str]
    known: dict[str, Terminal]
    now_us: int
    verdict: dict[int, Verdict] = field(default_factory=dict)
    answer: dict[int, bytes] = field(default_factory=dict)
    login: dict[tuple[int, str], int] = field(default_factory=dict)
    """(link slot, terminal) → row of the frame that asks for a session."""
    leaving: list[tuple[int, int]] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)
    """Rows that log out, looked at once everybody in the batch is logged in."""
    wrong: list[int] = field(default_factory=list)
    """Rows with a wrong code."""
    registrations: Counter[int] = field(default_factory=Counter)
    """0x0100 handled, by link."""
