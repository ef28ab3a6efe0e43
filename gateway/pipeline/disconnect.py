"""Cancels work whose caller has left."""

from __future__ import annotations

import asyncio
from types import TracebackType

from gateway.protocol.messages import Caller, ClientGone


class CancelWhenGone:
    """An async context whose body is cancelled when the caller leaves; then it raises ClientGone."""

    __slots__ = ("_caller", "_gone", "_task")

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._gone = False
        self._task: asyncio.Task[object] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._caller.watch(self._leave)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._caller.watch(None)
        # A cancellation from elsewhere, as by a host that shuts down, stays a cancellation.
        if self._gone and kind is asyncio.CancelledError and self._task and self._task.uncancel() == 0:
            raise ClientGone from error

    def _leave(self) -> None:
        self._gone = True
        if self._task is not None:
            self._task.cancel()
