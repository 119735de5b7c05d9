"""A terminal's upload of an alarm's evidence to the attachment server (T/JSATL 12), as a 0x9208 asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from firmware_sim.link import Address
from firmware_sim.manners import Identity
from protocols.jt808 import messages
from protocols.jt808.attachments import piece_bytes
from protocols.jt808.frames import Frame, frame_of

PIECE_BYTES: Final = 65_536
PICTURE: Final = 0


class Uploader:
    """One upload; `lost` says of each piece (by its number, over all repeats) whether it is lost on its way."""

    def __init__(self, identity: Identity, order: Mapping[str, Any], lost: Callable[[int], bool] = lambda _number: False) -> None:
        self.identity = identity
        self.order = order
        self.lost = lost
        self.pieces = 0
        self._serial = 0

    async def upload(self, to: Address, files: Mapping[str, bytes]) -> bool:
        """Whether the server took every file."""
        reader, writer = await asyncio.open_connection(to.host, to.port)
        try:
            listed = [{"name": name, "bytes": len(data)} for name, data in files.items()]
            about = {"terminal_id": self.identity.serial_number, "mark": self.order["mark"], "alarm_number": self.order["alarm_number"]}
            said = await self._ask(reader, writer, 0x1210, {**about, "info": 0, "files": listed})
            if said["result"] != 0:
                return False
            return all([await self._file(reader, writer, name, data) for name, data in files.items()])
        finally:
            writer.close()
            await writer.wait_closed()

    async def _file(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, data: bytes) -> bool:
        about = {"name": name, "type": PICTURE, "bytes": len(data)}
        if (await self._ask(reader, writer, 0x1211, about))["result"] != 0:
            return False
        gaps = [{"offset": 0, "length": len(data)}]
        while True:
            for gap in gaps:
                for offset in range(gap["offset"], gap["offset"] + gap["length"], PIECE_BYTES):
                    stop = min(offset + PIECE_BYTES, gap["offset"] + gap["length"])
                    if not self.lost(self.pieces):
                        writer.write(piece_bytes(name, offset, data[offset:stop]))
                    self.pieces += 1
            said = await self._ask(reader, writer, 0x1212, about)
            if "missing" not in said:
                return False
            if said["result"] == 0:
                return True
            gaps = said["missing"]

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message_id: int, fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The answer to a message, read."""
        who = self.identity
        writer.write(messages.encode(message_id, who.name, self._serial, messages.build(message_id, who.edition, fields), who.edition))
        self._serial = (self._serial + 1) & 0xFFFF
        await reader.readuntil(b"\x7e")
        answer: Frame = frame_of((await reader.readuntil(b"\x7e"))[:-1])
        return messages.parse(answer.message_id, answer.edition, answer.body)
