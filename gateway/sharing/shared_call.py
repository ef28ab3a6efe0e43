"""One call's use of the shared store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol


class Sharing(Protocol):
    """Replication, as far as a call uses it."""

    async def refresh(self, allowance: float, *, capped: bool = False) -> None:
        """Refresh the view where it is old; wait at most `allowance` seconds."""

    async def exchange(self, allowance: float) -> None:
        """Flush, then refresh; wait at most `allowance` seconds."""

    def schedule_flush(self) -> None:
        """Flush now, or plan to."""

    async def leave(self, allowance: float) -> None:
        """Count the call's end; wait at most `allowance` seconds for a flush."""


class SharedCall:
    """One call's use of the store, and the seconds it may still wait for it."""

    __slots__ = ("_left", "_loop", "_settled", "_sharing")

    def __init__(self, sharing: Sharing, loop: asyncio.AbstractEventLoop, wait: float) -> None:
        """`loop` is the running one; `wait` is the longest wait of the call for the store, in seconds."""
        self._sharing = sharing
        self._loop = loop
        self._left = wait
        self._settled = False

    async def refreshed(self, *, capped: bool = False) -> None:
        """Before a choice: refresh the view, within this call's wait."""
        await self._waited(self._sharing.refresh(self._left, capped=capped))

    async def exchanged(self) -> None:
        """Before a call beyond this instance's share: exchange with the others, within this call's wait."""
        await self._waited(self._sharing.exchange(self._left))

    async def _waited(self, waiting: Awaitable[None]) -> None:
        """Await and subtract the time from this call's wait."""
        started = self._loop.time()
        await waiting
        self._left -= self._loop.time() - started

    def dispatched(self) -> None:
        """After a reservation: plan a flush beside the call."""
        self._sharing.schedule_flush()

    async def settled(self) -> None:
        """At the end of the call, before the last byte goes to the client; a second time does nothing."""
        if not self._settled:
            self._settled = True
            await self._sharing.leave(self._left)
