"""`Current`: something made of what the database has, made anew at each change there, and swapped without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

import structlog

from storage.errors import StoreUnavailable

log: Final = structlog.get_logger("dubhe.rules")


class Versioned(Protocol):
    """A later one has the higher version."""

    @property
    def version(self) -> int:
        """Of what it was made from."""
        ...


Made = TypeVar("Made", bound=Versioned)


class Current(Generic[Made]):
    """The newest of its kind. Who uses it goes on with the one before until the next is ready."""

    def __init__(self, what: str, make: Callable[[], Awaitable[Made]], changes: Callable[[], AsyncIterator[None]]) -> None:
        self._what = what
        self._make = make
        self._changes = changes
        self.value: Made | None = None
        self.followers: list[Callable[[Made], None]] = []
        """Told of each new one, in order."""
        self._making = asyncio.Lock()
        """Held while one is made: two at a time would take twice as long, and the first reports wait for the first."""

    async def get(self) -> Made:
        """It. Raises `StoreUnavailable` when there is none yet and none can be made."""
        return self.value or await self._first()

    async def _first(self) -> Made:
        async with self._making:
            return self.value or await self._renew()

    async def listen(self) -> None:
        """Keep it current, for ever."""
        async for _ in self._changes():
            try:
                async with self._making:
                    await self._renew()
            except StoreUnavailable as error:
                log.warning("what the rules judge by could not be read; the last goes on", what=self._what, why=str(error))
            except Exception:
                log.exception("what the rules judge by could not be read; the last goes on", what=self._what)

    async def _renew(self) -> Made:
        made = await self._make()
        last = self.value
        if last is not None and made.version < last.version:
            return last
        self.value = made  # also of the same version: that is taken before a change is committed, and may have been read in between
        for tell in self.followers:
            tell(made)
        if last is None or last.version < made.version:  # who begins to listen reads again what may have changed before, and mostly did not
            log.info("in force", what=self._what, version=made.version)
        return made
