"""A mark in the shared table that tells all instances to read their configuration again, now.

Whoever asks for a reload leaves a new mark. The others look at it while they are busy, beside their calls,
and before the first call after a pause, which waits for what the mark asks for: a key that was revoked while
an instance slept must not open it once more.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable

from gateway.storage.guarded import GuardedStore
from gateway.storage.store import StoreError

#: Seconds between looks at the mark, and the age of the last look from which a call waits for the next.
LOOK_EVERY = 2.0
WAIT_AFTER = 3.0
#: Seconds that a call waits for the mark itself, and for the configuration where the mark is new.
MARK_SECONDS = 0.5
RELOAD_SECONDS = 5.0
#: Seconds by which a mark may be older than this instance's own look and still be news to it.
MARGIN = 5.0
#: The cell's name.
CELL = "reload"
#: Others that leave a mark at the same time are as good: nobody's is missed.
_TRIES = 5

_log = logging.getLogger("gateway")


class ReloadMark:
    """The mark, as one instance leaves it and follows it."""

    def __init__(
        self, storage: GuardedStore, reload: Callable[[], Awaitable[object]], clock: Callable[[], float]
    ) -> None:
        """`reload` reads the configuration again; `clock` gives seconds since 1970, for intervals alone."""
        self._storage = storage
        self._reload = reload
        self._clock = clock
        self._began = storage.now()
        self._looked_at = clock()
        self._seen: str | None = None
        self._looking: asyncio.Task[None] | None = None
        self._reloading = False

    async def leave(self) -> bool:
        """Tell all other instances to reload; False where the table cannot be written."""
        text = f"{self._storage.now():.3f} {uuid.uuid4().hex}"
        try:
            for _ in range(_TRIES):
                cell = await self._storage.load(CELL)
                if await self._storage.swap(CELL, text, None if cell is None else cell.version) is not None:
                    break
        except StoreError:
            return False
        self._seen = text
        return True

    async def follow(self) -> None:
        """At the begin of a call: see that no mark is missed. Waits after a pause only."""
        age = self._clock() - self._looked_at
        if 0 <= age < LOOK_EVERY or not self._storage.available:
            return
        looking = self._looking
        if looking is None or looking.get_loop() is not asyncio.get_running_loop():
            looking = self._looking = asyncio.create_task(self._look())
        if not 0 <= age < WAIT_AFTER:
            await asyncio.wait({looking}, timeout=MARK_SECONDS)
            if self._reloading:
                await asyncio.wait({looking}, timeout=RELOAD_SECONDS)

    async def close(self) -> None:
        """End what is under way."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        began = self._clock()
        try:
            if await self._is_news():
                _log.info("configuration: a reload was asked for at another instance")
                self._reloading = True
                await self._reload()
        finally:
            self._looked_at, self._reloading, self._looking = began, False, None

    async def _is_news(self) -> bool:
        try:
            cell = await self._storage.load(CELL)
        except StoreError:
            return False
        if cell is None or cell.text is None or cell.text == self._seen:
            return False
        first = self._seen is None
        self._seen = cell.text
        moment = cell.text.partition(" ")[0]
        try:
            # What was left before this instance read its configuration is in it.
            return not first or float(moment) >= self._began - MARGIN
        except ValueError:
            return True
