"""The shared store behind a circuit breaker: every operation has a time-out and is counted.

A failing store costs a request at most a short wait. FAILURES failures in a row open the breaker for
OPEN_SECONDS; the next operation after that probes the store. The log has one line for each change of state,
not for each failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from gateway.storage.store import Cell, Store, StoredRow, StoreError, StoreFailure

#: Failures in a row that open the breaker, and the seconds for which it stays open.
FAILURES = 3
OPEN_SECONDS = 5.0
#: Time-out of one operation, in seconds. Requests wait less: they have bounds of their own.
OPERATION_SECONDS = 2.0

_log = logging.getLogger("gateway.storage")
_T = TypeVar("_T")


class StorageState(msgspec.Struct, frozen=True):
    """How the store is doing, for /readyz, logs and metrics."""

    healthy: bool
    #: Of the last failure, while failures last; else None.
    reason: StoreFailure | None
    #: Seconds since 1970 of the first of these failures; else None.
    failing_since: float | None


class GuardedStore:
    """A store that fails fast: while the breaker is open, its operations raise StoreError at once."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970."""
        self._store = store
        self.shared = store.shared
        self._clock = clock
        self._failures = 0
        self._reason: StoreFailure | None = None
        self._since: float | None = None
        self._opened = 0.0
        #: Operations by name and failures by reason since the process began.
        self.operations: Counter[str] = Counter()
        self.failures: Counter[StoreFailure] = Counter()

    def now(self) -> float:
        """Our clock plus the store's offset: the same time in all instances, in seconds since 1970."""
        return self._clock() + self._store.offset

    @property
    def available(self) -> bool:
        """Whether an operation would be tried now."""
        return self._failures < FAILURES or not 0 <= self._clock() - self._opened < OPEN_SECONDS

    def state(self) -> StorageState:
        """How the store is doing now."""
        return StorageState(self._failures == 0, self._reason, self._since)

    async def write(self, row: StoredRow, day: int) -> None:
        """See Store."""
        await self._run("write", lambda: self._store.write(row, day))

    async def read(self, partition: str, first: str, day: int) -> list[StoredRow]:
        """See Store."""
        return await self._run("read", lambda: self._store.read(partition, first, day))

    async def load(self, name: str) -> Cell | None:
        """See Store."""
        return await self._run("load", lambda: self._store.load(name))

    async def swap(self, name: str, text: str, version: str | None) -> str | None:
        """See Store."""
        return await self._run("swap", lambda: self._store.swap(name, text, version))

    async def close(self) -> None:
        """Release connections."""
        await self._store.close()

    async def _run(self, name: str, operation: Callable[[], Awaitable[_T]]) -> _T:
        if not self.available:
            raise StoreError(self._reason or StoreFailure.DOWN)
        self.operations[name] += 1
        try:
            async with asyncio.timeout(OPERATION_SECONDS):
                result = await operation()
        except StoreError as error:
            self._failed(error.reason, error.__cause__ or error)
            raise
        except TimeoutError as error:
            self._failed(StoreFailure.SLOW, error)
            raise StoreError(StoreFailure.SLOW) from error
        except Exception as error:
            # A defect in an adapter must not fail a request.
            self._failed(StoreFailure.FAILED, error)
            raise StoreError(StoreFailure.FAILED) from error
        self._succeeded()
        return result

    def _failed(self, reason: StoreFailure, cause: BaseException) -> None:
        self.failures[reason] += 1
        self._failures += 1
        self._reason = reason
        if self._since is None:
            self._since = self._clock()
        if self._failures >= FAILURES:
            self._opened = self._clock()
        if self._failures == FAILURES:
            # Only the error's class is logged: its text may name hosts and accounts.
            _log.warning(
                "the shared store is unavailable (%s, %s): limits count this instance's calls alone",
                reason,
                type(cause).__name__,
            )

    def _succeeded(self) -> None:
        if self._failures >= FAILURES:
            _log.warning("the shared store is available again: limits are shared")
        self._failures, self._reason, self._since = 0, None, None
