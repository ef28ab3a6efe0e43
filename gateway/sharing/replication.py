"""Replication of the ledgers between instances through the shared store: when it runs, and which call waits.

The platform may freeze or kill the worker while no request is in flight. So a request starts every operation
here, beside its call upstream. One timer may fire after the last request: it writes the rest of a burst if
the process still runs, and nothing depends on it.

* Refresh: one read serves all calls. It begins at a certain age of the view (`sharing/freshness.py`). A call
  waits for it only above a higher age, as after idle time.
* Exchange: a call beyond this instance's share of a limit (`limits/ledger/share.py`) waits for a flush and
  a read after it.
* Flush: at dispatch, if the last one is FLUSH_EVERY ago or the ledger asks for it (`flush_now`). Otherwise
  once when FLUSH_EVERY has passed, while a call is in flight. The last call in flight waits for a last flush.
* One call waits for the store at most WAIT_SECONDS in all, and not at all while the breaker is open. No
  method here raises StoreError.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

from gateway.limits.balancing.balancer import Balancer
from gateway.limits.ledger.rows import PAGE, PAGES, Row, page_of
from gateway.sharing.freshness import Exchanges, freshness
from gateway.sharing.shared_call import SharedCall
from gateway.sharing.strict_caps import StrictCaps
from gateway.sharing.unreadable_rows import UnreadableRows
from gateway.storage.guarded import GuardedStore
from gateway.storage.store import Store, StoredRow, StoreError

#: Seconds between flushes.
FLUSH_EVERY = 0.3
#: Seconds between reads of the whole window. An instance that could not write for a while writes old pages
#: late, and a read of the newest pages does not see those.
READ_WHOLE_EVERY = 10.0
#: Longest wait of one call for the store, in seconds: in all, and at the call's end.
WAIT_SECONDS = 0.06
END_WAIT_SECONDS = 0.05
#: Seconds from the begin of an exchange to its read. Other processes get the same burst a moment later and
#: must have flushed by then.
OTHERS_SECONDS = 0.025

_DAY = 86_400
#: Another instance's clock may be ahead by this many seconds: its rows may be in tomorrow's table.
_AHEAD = 5
_ROLLUP_KEY = "sum"


class Replication:
    """Writes this instance's rows to the shared store and reads the rows of the others."""

    def __init__(
        self,
        balancer: Balancer,
        store: Store,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        pool: str = "",
    ) -> None:
        """`clock` gives seconds since 1970; instances of one `pool` share their counts."""
        self._balancer = balancer
        self._partition = "u" + pool
        self._rollup_partition = "s" + pool
        self.storage = GuardedStore(store, clock)
        self.reservations = StrictCaps(self.storage, random, prefix="c" + pool)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_flight = 0
        self._seen = -math.inf
        self._read_whole = -math.inf
        self._flushed = -math.inf
        self._exchanges = Exchanges()
        self._unreadable = UnreadableRows()
        self._refreshing: asyncio.Task[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._exchanging: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The time of all instances' ledgers, in seconds since 1970."""
        return self.storage.now()

    def call(self) -> SharedCall:
        """A call that begins now. It must be told when it is `settled`."""
        loop = self._enter_loop()
        self._in_flight += 1
        return SharedCall(self, loop, WAIT_SECONDS)

    @property
    def view_age(self) -> float:
        """Seconds since others' counts were read; infinite before the first time."""
        age = self.now() - self._seen
        # A negative age means that the clock was set back: the view's true age is unknown.
        return age if age >= 0 else math.inf

    async def close(self) -> None:
        """Flush once more, within END_WAIT_SECONDS, and release connections."""
        self._enter_loop()
        if self._dirty and self.storage.available:
            await self._flushed_within(END_WAIT_SECONDS, every=0.0)
        # Not before: a flush that ends plans another for what has changed meanwhile, and would connect anew.
        self._stop_timer()
        tasks = [task for task in (self._exchanging, self._refreshing, self._flushing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.reservations.close()
        await self.storage.close()

    # Called by requests

    async def refresh(self, allowance: float, *, capped: bool = False) -> None:
        """Start a refresh where the view is old; wait for it at most `allowance` seconds where it is too old.

        `capped`: caps decide on the call, so the view must be fresher.
        """
        near_end = self._balancer.near_full(self.now())
        least = freshness(capped=capped, near_end=near_end, instances=self._balancer.instances)
        age = self.view_age
        if age < least.refresh_after or not self.storage.available:
            return
        self._enter_loop()
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh())
        if age >= least.wait_after and allowance > 0:
            # `asyncio.wait` does not cancel the task at the time-out: other calls wait for it, too.
            await asyncio.wait({self._refreshing}, timeout=allowance)

    async def exchange(self, allowance: float) -> None:
        """Flush, then refresh; waits at most `allowance` seconds.

        Flush before read: of two instances that exchange at the same time, at least one sees the other. The
        read begins OTHERS_SECONDS after the start, so that usually both do.
        """
        if allowance <= 0 or not self.storage.available:
            return
        self._enter_loop()
        if self._exchanging is None:
            if not self._exchanges.take(self.now()):
                return
            self._exchanging = asyncio.create_task(self._exchange())
        await asyncio.wait({self._exchanging}, timeout=allowance)

    def schedule_flush(self) -> None:
        """Flush now where the ledger asks for it or the last one is FLUSH_EVERY ago; else plan one."""
        if self._flushing is not None or not self.storage.available:
            return
        since = self.now() - self._flushed
        if self._balancer.flush_now or not 0 <= since < FLUSH_EVERY:
            self._stop_timer()
            self._start_flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_EVERY - since, self._due)

    async def leave(self, allowance: float) -> None:
        """Count a call's end. The last call in flight waits for a flush, at most `allowance` seconds."""
        allowance = min(allowance, END_WAIT_SECONDS)
        self._in_flight = max(0, self._in_flight - 1)
        if self._in_flight:
            # Other calls may last for minutes: do not leave this call's tokens unwritten until then.
            if self._dirty:
                self.schedule_flush()
            return
        self._stop_timer()
        if self._dirty and self.storage.available and allowance > 0:
            await self._flushed_within(allowance, every=FLUSH_EVERY)
        if self._dirty and not self._in_flight:
            # The last flush was less than FLUSH_EVERY ago. The timer writes the rest of the burst; if the
            # process is frozen before that, the next request does.
            self.schedule_flush()

    async def _flushed_within(self, allowance: float, *, every: float) -> None:
        """Wait for the flush under way; then for another one if it began at least `every` seconds ago."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + allowance
        if self._flushing is not None:
            await asyncio.wait({self._flushing}, timeout=allowance)
        if self._flushing is None and self._dirty and not 0 <= self.now() - self._flushed < every:
            await asyncio.wait({self._start_flush()}, timeout=max(0.0, deadline - loop.time()))

    # Beside requests

    @property
    def _dirty(self) -> bool:
        return self._balancer.dirty or self.reservations.dirty

    def _due(self) -> None:
        self._timer = None
        if self._flushing is None and self._dirty and self.storage.available:
            self._start_flush()

    def _start_flush(self) -> asyncio.Task[None]:
        self._flushed = self.now()
        self._flushing = asyncio.create_task(self._flush())
        return self._flushing

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _flush(self) -> None:
        try:
            with suppress(StoreError):
                for row in self._balancer.rows(self.now()):
                    stored = StoredRow(self._partition, row.key, row.text)
                    await self.storage.write(stored, row.page * PAGE // _DAY)
                    self._balancer.written(row)
                await self.reservations.flush()
        finally:
            self._flushing = None
        if self._dirty:
            # What changed during the flush, also where no call is in flight any more: a cooldown, for one.
            self.schedule_flush()

    async def _exchange(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            while self._flushing is not None:
                await asyncio.wait({self._flushing})
            if self._dirty:
                await asyncio.wait({self._start_flush()})
            if self.storage.shared:
                await asyncio.sleep(began + OTHERS_SECONDS - loop.time())
            # The read must begin after the others' flushes: wait for a read under way and use no roll-up.
            while self._refreshing is not None:
                await asyncio.wait({self._refreshing})
            self._refreshing = asyncio.create_task(self._refresh(sums=False))
            await asyncio.wait({self._refreshing})
        finally:
            self._exchanging = None

    async def _refresh(self, *, sums: bool = True) -> None:
        try:
            with suppress(StoreError):
                began = self.now()
                if not (sums and await self._read_rollup(began)):
                    await self._read_rows(began)
                self._seen = began
        finally:
            self._refreshing = None

    async def _read_rollup(self, began: float) -> bool:
        """Read the roll-up row; True where it is fresh enough to replace a read of all rows."""
        if not self._balancer.wants_rollup:
            return False
        rows = await self.storage.read(self._rollup_partition, _ROLLUP_KEY, int(began) // _DAY)
        return bool(rows) and self._balancer.merge_rollup(rows[0].text or "", began)

    async def _read_rows(self, began: float) -> None:
        first = self._balancer.first_page(began)
        oldest = page_of(began) - PAGES + 1
        if not 0 <= began - self._read_whole < READ_WHOLE_EVERY:
            first = min(first, oldest)
        rows: list[Row] = []
        for day in range(first * PAGE // _DAY, int(began + _AHEAD) // _DAY + 1):
            for stored in await self.storage.read(self._partition, f"{first:010d}", day):
                try:
                    rows.append(Row.read(stored.key, stored.text))
                except ValueError:
                    self._unreadable.note(began)
        before = self._balancer.unreadable
        self._balancer.merge(rows, began)
        if self._balancer.unreadable > before:
            self._unreadable.note(began, self._balancer.unreadable - before)
        if first <= oldest:
            self._read_whole = began
        if self._balancer.wants_rollup:
            text = self._balancer.rollup(self.now())
            await self.storage.write(StoredRow(self._rollup_partition, _ROLLUP_KEY, text), int(began) // _DAY)

    def _enter_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop. Forgets tasks and calls of one that has ended: they never finish."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._refreshing = self._flushing = self._exchanging = self._timer = None
            self._in_flight = 0
        return loop
