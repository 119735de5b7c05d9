"""`Desk`: what terminals say besides positions and log-ins. Read, kept in `messages`, and given to the command it answers.

It works inside the life of a batch: `hear` keeps what was said before anything is answered, so that an answered message is in the table
like an answered report; `settled` is told once the answers are out, and is the moment to speak up ourselves.
Row by row, because these are few. A body that cannot be read is refused with its reason and costs only itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from ingest.commands import Dispatcher
from ingest.conversation import CONTROL
from protocols.errors import ProtocolError
from protocols.jt808 import messages
from protocols.jt808.commands import ANSWERS, GENERAL_RESPONSE, RESULTS, ends
from protocols.jt808.describe import tell
from protocols.jt808.fixes import CARRIERS, GMT8_S, position
from protocols.jt808.frames import FrameBatch
from protocols.jt808.messages.known import DOWN, VENDOR
from protocols.jt808.messages.passthrough import inflate
from storage.commands import Reply
from storage.media import Media, MediaStore, Unstorable
from storage.said import Said, SaidStore
from tracks.fix import ABSENT
from tracks.spans import Index
from tracks.verdict import Reject, Verdict

log: Final = structlog.get_logger("dubhe.desk")

RESEND_REQUEST, MEDIA_DATA, MEDIA_DATA_RESPONSE, COMPRESSED = 0x0005, 0x0801, 0x8800, 0x0901
ELSEWHERE: Final = frozenset({*CARRIERS, *CONTROL, GENERAL_RESPONSE, RESEND_REQUEST, MEDIA_DATA, 0x0002, 0x1210, 0x1211, 0x1212})
"""Ids that other parts of the gateway answer, or nobody."""
TRACKERS: Final = frozenset({0x0310, 0x0506, 0x1300, 0x2070, 0x6006})
"""Vendors' messages that hold no position and want the plain answer."""
KEPT: Final = frozenset(
    number
    for number, message in messages.MESSAGES.items()
    if message.supported and message.direction != DOWN and number not in ELSEWHERE and (message.standard != VENDOR or number in TRACKERS)
)
"""Ids whose messages go into the table `messages`."""

_IS_KEPT: Final = np.zeros(0x10000, np.bool_)
_IS_KEPT[[*KEPT, MEDIA_DATA]] = True
_IS_REPLY: Final = np.zeros(0x10000, np.bool_)
_IS_REPLY[[GENERAL_RESPONSE, RESEND_REQUEST, *ANSWERS]] = True


@dataclass(slots=True)
class Heard:
    """What a batch said that we speak up for once it is answered."""

    done: set[int] = field(default_factory=set)
    """Terminals one of whose commands was answered."""
    again: list[tuple[int, int, list[int]]] = field(default_factory=list)
    """(terminal, first serial, indexes) of packages that were asked for again."""
    media: list[tuple[int, int]] = field(default_factory=list)
    """(terminal, media id) of uploads that have arrived whole."""


@dataclass(slots=True)
class Desk:
    """One for a worker."""

    store: SaidStore
    media: MediaStore
    dispatcher: Dispatcher

    async def hear(
        self, frames: FrameBatch, terminal: Index, verdict: NDArray[np.uint8], reason: NDArray[np.uint8], received_us: Index
    ) -> Heard:
        """Keep what was said by each frame's `terminal`; verdicts and reasons of what cannot be kept are changed in place.

        Raises StoreUnavailable; then the batch is tried again, and what was kept is not kept twice.
        """
        heard = Heard()
        kept = _IS_KEPT[frames.message_id]
        mine = (kept | _IS_REPLY[frames.message_id]) & (frames.total <= 1)
        rows = np.flatnonzero(mine & (reason == Reject.NONE) & (terminal != ABSENT))
        if not len(rows):
            return heard
        said: list[tuple[int, Said]] = []
        replies: list[Reply] = []
        for row in rows.tolist():
            message_id, body = int(frames.message_id[row]), frames.body.bytes_at(row)
            try:
                fields = _read(message_id, int(frames.edition[row]), body)
            except ProtocolError as error:
                if kept[row]:
                    verdict[row], reason[row] = Verdict.REJECTED, Reject.ENCRYPTED if frames.encryption[row] else error.reason
                continue
            terminal_id = int(terminal[row])
            if message_id == MEDIA_DATA:
                reason[row] = await self._keep_media(heard, terminal_id, fields, int(received_us[row]))
                if reason[row] != Reject.NONE:
                    verdict[row] = Verdict.REJECTED
            elif message_id == RESEND_REQUEST:
                heard.again.append((terminal_id, fields["first_serial"], fields["indexes"]))
            else:
                told = tell(fields)
                replies += _replies(terminal_id, message_id, fields, told)
                if kept[row]:
                    subtype = int(fields["subtype"]) if "subtype" in fields else None
                    said.append((row, Said(int(received_us[row]), terminal_id, message_id, subtype, int(frames.serial[row]), told, body)))
        for place in await self.store.keep([each for _, each in said]):
            verdict[said[place][0]], reason[said[place][0]] = Verdict.REJECTED, Reject.UNSTORABLE
        heard.done |= await self.dispatcher.store.answer(replies)
        return heard

    async def _keep_media(self, heard: Heard, terminal_id: int, fields: dict[str, Any], received_us: int) -> Reject:
        """Why an upload is refused, or NONE when it is kept."""
        where = fields.get("location")
        if where is None and fields["packages"] > 1:
            return Reject.UNSUPPORTED  # 2011 counts packages in the body; nobody has shown us one
        time_us = lat = lon = None
        if where is not None:
            south, east, _ = position(where["lat"], where["lon"], where["status"])
            lat, lon = float(south), float(east)
            time_us = round(where["time"].replace(tzinfo=UTC).timestamp() - GMT8_S) * 1_000_000 if where["time"] else None
        number, kind, event, channel = (int(fields[name]) for name in ("media_id", "type", "event", "channel"))
        upload = Media(terminal_id, number, received_us, kind, event, channel, time_us, lat, lon, bytes(fields["data"]))
        try:
            await self.media.keep([upload])
        except (OSError, Unstorable) as error:
            log.error("media cannot be kept; it is in quarantine", folder=str(self.media.folder), why=str(error))
            return Reject.UNSTORABLE
        heard.media.append((terminal_id, number))
        return Reject.NONE

    def notice(self, frames: FrameBatch, session: Index) -> set[int]:
        """Note who speaks in which form; returns the terminals that are new, for `settled`."""
        return self.dispatcher.notice(frames, session)

    def settled(self, heard: Heard, come: set[int]) -> None:
        """The batch is answered: commands may go to who has just come, and to who has just answered one."""
        for terminal_id, serial, indexes in heard.again:
            self.dispatcher.resend(terminal_id, serial, indexes)
        for terminal_id, media_id in heard.media:
            self.dispatcher.say(terminal_id, MEDIA_DATA_RESPONSE, {"media_id": media_id, "reply_serial": 0})
        self.dispatcher.look(come | heard.done)


def _read(message_id: int, edition: int, body: bytes) -> dict[str, Any]:
    """The fields of a body; a compressed one with what is in it, as far as a message may be long. Raises ProtocolError."""
    fields = messages.parse(message_id, edition, body)
    return fields | {"inflated": inflate(fields["data"])} if message_id == COMPRESSED else fields


def _replies(terminal_id: int, message_id: int, fields: dict[str, Any], told: dict[str, Any]) -> list[Reply]:
    """What a message is to the commands: nothing, or one reply."""
    if message_id == GENERAL_RESPONSE:
        command, result = int(fields["reply_id"]), int(fields["result"])
        word = RESULTS.get(result, f"result {result}")
        return [Reply(terminal_id, fields["reply_serial"], (command,), message_id, word, told, ends(command, result))]
    if message_id in ANSWERS:
        said = fields.get("result")
        word = "ok" if said is None or int(said) == 0 else str(getattr(said, "word", None) or f"result {said}")
        return [Reply(terminal_id, fields.get("reply_serial"), ANSWERS[message_id], message_id, word, told)]
    return []
