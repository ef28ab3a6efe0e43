"""What one instance knows goes to the others through the shared store, and back: when, and who waits for it.

The worker may be frozen or killed whenever no request is in flight, so everything here happens within the
life of a request: it is started by one, beside its call upstream. One timer may outlive it, which nothing
depends on: it writes the rest of a burst if the process is still running then.

* Refresh: one read for all, begun when the view has a certain age (`gateway.limits.freshness`). A call waits
  for it only if the view is older than that, as after idle time; a busy instance has a new one before.
* Exchange: a call that would go beyond this instance's share of a limit (`gateway.limits.spending`) waits for
  a flush and a read after it.
* Flush: at dispatch if the last is FLUSH_EVERY ago or what was sent since is much of what is left of a cap,
  else once at the end of that time while a call is in flight; the last call in flight waits for what is not
  written yet.
* A call waits for storage WAIT_SECONDS at most in all, however slow it is, and not at all while it is known
  to be down. Storage never raises here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.limits.balancing.balancer import Balancer
from gateway.limits.ledger.rows import PAGE, PAGES, Row, page_of
from gateway.sharing.freshness import Exchanges, freshness
from gateway.sharing.strict_caps import StrictCaps
from gateway.storage.guarded import Storage
from gateway.storage.store import Store, StoredRow, StoreError

#: Seconds between flushes.
FLUSH_EVERY = 0.3
#: Seconds between reads of the whole window. An instance that could not write for a while writes old pages
#: late, where a read of what is new does not look.
READ_WHOLE_EVERY = 10.0
#: Seconds that one call waits for storage: in all, and at its end.
WAIT_SECONDS = 0.06
END_WAIT_SECONDS = 0.05
#: Seconds that other processes have for their part of an exchange: what is sent to all at once does not reach
#: all at once.
OTHERS_SECONDS = 0.025

_DAY = 86_400
#: Seconds by which another instance's clock may be ahead of ours: its rows may lie in tomorrow's table.
_AHEAD = 5
_ROLLUP_KEY = "sum"


class Replication:
    """One instance's share in the common counts."""

    def __init__(
        self,
        balancer: Balancer,
        store: Store,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        pool: str = "",
        strict_fails_open: bool = True,
    ) -> None:
        """`clock` gives seconds since 1970; instances of one `pool` share their counts.

        `strict_fails_open`: whether calls under a strict cap are let through while the store cannot say.
        """
        self._balancer = balancer
        self._partition = "u" + pool
        self._rollup_partition = "s" + pool
        self.storage = Storage(store, clock)
        self.reservations = StrictCaps(self.storage, random, prefix="c" + pool, fails_open=strict_fails_open)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_flight = 0
        self._seen = -math.inf
        self._read_whole = -math.inf
        self._flushed = -math.inf
        self._exchanges = Exchanges()
        self._refreshing: asyncio.Task[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._exchanging: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The time by which all instances count: seconds since 1970."""
        return self.storage.now()

    def call(self) -> SharedCall:
        """A call that begins now. It must be told when it is `settled`."""
        self._enter_loop()
        self._in_flight += 1
        return SharedCall(self)

    @property
    def view_age(self) -> float:
        """Seconds since others' counts were read; infinite before the first time."""
        age = self.now() - self._seen
        # A clock that was set back says nothing about the view.
        return age if age >= 0 else math.inf

    async def close(self) -> None:
        """Write what is left, waiting no longer than a call would, and release connections."""
        self._enter_loop()
        self._stop_timer()
        if self._dirty and self.storage.available:
            await self._flushed_within(END_WAIT_SECONDS, every=0.0)
        tasks = [task for task in (self._exchanging, self._refreshing, self._flushing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.reservations.close()
        await self.storage.close()

    # What calls ask for.

    async def refresh(self, allowance: float, *, capped: bool = False) -> None:
        """See to it that the view is no older than a second or two; waits `allowance` seconds at most.

        `capped`: caps decide on the call.
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
            # Waiting does not end the task: others wait for it, too.
            await asyncio.wait({self._refreshing}, timeout=allowance)

    async def exchange(self, allowance: float) -> None:
        """Write what this instance counted, then read what the others did; waits `allowance` seconds at most.

        In this order: of two instances that do so at once, one at least sees the other. Between the two the
        others have OTHERS_SECONDS, by when both do.
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
        """Flush now where others must know, else when FLUSH_EVERY has passed if a call is in flight then."""
        self._enter_loop()
        if self._flushing is not None or not self.storage.available:
            return
        since = self.now() - self._flushed
        if self._balancer.flush_now or not 0 <= since < FLUSH_EVERY:
            self._stop_timer()
            self._start_flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_EVERY - since, self._due)

    async def leave(self, allowance: float) -> None:
        """A call has ended. What the last one in flight leaves is written, within `allowance` seconds."""
        self._enter_loop()
        self._in_flight = max(0, self._in_flight - 1)
        if self._in_flight:
            # The others go on, perhaps for long: what this one used should not wait for that.
            if self._dirty:
                self.schedule_flush()
            return
        self._stop_timer()
        if self._dirty and self.storage.available and allowance > 0:
            await self._flushed_within(allowance, every=FLUSH_EVERY)
        if self._dirty and not self._in_flight:
            # The last flush was a moment ago: the rest of a burst is written if this process is not frozen
            # by then, else when it wakes.
            self.schedule_flush()

    async def _flushed_within(self, allowance: float, *, every: float) -> None:
        """Wait for the flush under way; if that began `every` seconds ago, for one of what came since."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + allowance
        if self._flushing is not None:
            await asyncio.wait({self._flushing}, timeout=allowance)
        if self._flushing is None and self._dirty and not 0 <= self.now() - self._flushed < every:
            await asyncio.wait({self._start_flush()}, timeout=max(0.0, deadline - loop.time()))

    # What happens beside them.

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
        if self._in_flight and self._dirty:
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
            # What is read must be newer than the others' part: no read under way, no sum made before.
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
        """Whether the sums that another instance made of all rows are there, and new enough."""
        if not self._balancer.wants_rollup:
            return False
        rows = await self.storage.read(self._rollup_partition, _ROLLUP_KEY, int(began) // _DAY)
        return bool(rows) and self._balancer.merge_rollup(rows[0].text, began)

    async def _read_rows(self, began: float) -> None:
        first = self._balancer.first_page(began)
        oldest = page_of(began) - PAGES + 1
        if not 0 <= began - self._read_whole < READ_WHOLE_EVERY:
            first = min(first, oldest)
        rows: list[Row] = []
        for day in range(first * PAGE // _DAY, int(began + _AHEAD) // _DAY + 1):
            for stored in await self.storage.read(self._partition, f"{first:010d}", day):
                with suppress(ValueError, KeyError, TypeError):  # what no instance of ours wrote
                    rows.append(Row.read(stored.key, stored.text))
        self._balancer.merge(rows, began)
        if first <= oldest:
            self._read_whole = began
        if self._balancer.wants_rollup:
            text = self._balancer.rollup(self.now())
            await self.storage.write(StoredRow(self._rollup_partition, _ROLLUP_KEY, text), int(began) // _DAY)

    def _enter_loop(self) -> None:
        """Forget what belonged to an event loop that is gone: its tasks never end, nor do its calls."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._refreshing = self._flushing = self._exchanging = self._timer = None
            self._in_flight = 0


class SharedCall:
    """One call's dealings with the store, and what it may still wait for it."""

    __slots__ = ("_left", "_settled", "_sharing")

    def __init__(self, sharing: Replication) -> None:
        self._sharing = sharing
        self._left = WAIT_SECONDS
        self._settled = False

    async def refreshed(self, *, capped: bool = False) -> None:
        """Before a choice: the view is fresh, or waiting for it has taken long enough."""
        await self._waited(self._sharing.refresh(self._left, capped=capped))

    async def exchanged(self) -> None:
        """Before this instance sends more than its share: it has told the others, and heard of them."""
        await self._waited(self._sharing.exchange(self._left))

    async def _waited(self, waiting: Awaitable[None]) -> None:
        """Wait, and count that towards what this call may."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        await waiting
        self._left -= loop.time() - started

    def dispatched(self) -> None:
        """After a reservation: let the others know, beside the call."""
        self._sharing.schedule_flush()

    async def settled(self) -> None:
        """At the end of the call, before the last byte goes to the client; a second time does nothing."""
        if not self._settled:
            self._settled = True
            await self._sharing.leave(min(self._left, END_WAIT_SECONDS))
