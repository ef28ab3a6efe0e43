"""Strict caps: a call reserves its place in one row per cap, by compare-and-swap, before it is sent.

The calls of this instance that wait for one cap are reserved as a group: each cap has one operation in flight
per instance. While the store answers, the cap is exact over all instances. When the store does not answer
within RESERVE_SECONDS, the cap fails open, or closed where that is configured. When the store answers but
another instance always wins the swap, a call waits up to CONTENDED_SECONDS and is then refused.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import msgspec

from gateway.limits.caps.strict_row import LATE, StrictNeed, reserve_all, settle_all
from gateway.limits.tokens.signals import Wait
from gateway.storage.guarded import GuardedStore
from gateway.storage.store import StoreError

#: Seconds that a call waits for its place while the store answers nothing.
RESERVE_SECONDS = 1.0
#: Longest wait of a call for its place, in seconds. 50 instances that contend for one row need two or three.
CONTENDED_SECONDS = 5.0
#: Retry-After in seconds: of a cap that fails closed, and of a row under contention.
CLOSED_RETRY = 5.0
CONTENDED_RETRY = 1.0
#: Longest backoff after a lost swap, in seconds. It doubles from the first to the longest.
_BACKOFF_FIRST = 0.005
_BACKOFF_LONGEST = 0.08
#: A sleep may end this many seconds before the clock shows its end.
_MOMENT = 0.002


class CapPlace(msgspec.Struct, frozen=True):
    """A reservation in one cap's row: when it was made, and the tokens it holds."""

    key: str
    at: float
    tokens: int


class Grant(msgspec.Struct, frozen=True):
    """The places of one call: one for each strict cap that could be asked."""

    places: tuple[CapPlace, ...] = ()
    #: False: a place is missing because the store did not answer and the cap fails open.
    asked: bool = True

    @property
    def times(self) -> dict[str, float]:
        """When the rows count the call, by their keys."""
        return {place.key: place.at for place in self.places}


#: The grant of a call that needs no place.
NO_PLACES = Grant()


class StrictCaps:
    """The places of this instance's calls in strict caps."""

    def __init__(self, storage: GuardedStore, random: Callable[[], float], *, prefix: str) -> None:
        """Cells are named `prefix` + the cap's key."""
        self._storage = storage
        self._random = random
        self._prefix = prefix
        #: Whether calls pass while the store cannot say; the configuration decides.
        self.fails_open = True
        self._queues: dict[str, _Queue] = {}

    @property
    def dirty(self) -> bool:
        """Whether there are corrections to write."""
        return any(queue.corrections for queue in self._queues.values())

    async def reserve(self, needs: Sequence[StrictNeed]) -> Grant | Wait:
        """A place for each of the needs; or none at all, and the longest wait for one.

        Our Retry-After may be up to LATE seconds short: such a wait is made here, not answered with a second
        429.
        """
        answer = await self._reserve_all(needs)
        if isinstance(answer, Wait) and answer.seconds <= LATE:
            await asyncio.sleep(answer.seconds + _MOMENT)
            answer = await self._reserve_all(needs)
        return answer

    async def _reserve_all(self, needs: Sequence[StrictNeed]) -> Grant | Wait:
        if not needs:
            return NO_PLACES
        tries = [asyncio.create_task(self._reserve(need)) for need in needs]
        try:
            answers = await asyncio.gather(*tries)
        except asyncio.CancelledError:
            done = [task.result() for task in tries if task.done() and not task.cancelled()]
            self.release(Grant(tuple(place for place in done if isinstance(place, CapPlace))))
            raise
        places = tuple(answer for answer in answers if isinstance(answer, CapPlace))
        waits = [answer for answer in answers if isinstance(answer, Wait)]
        if waits:
            self.release(Grant(places))
            return max(waits, key=lambda wait: wait.seconds)
        return Grant(places, asked=len(places) == len(needs))

    def settle(self, grant: Grant, corrections: Iterable[tuple[StrictNeed, int]]) -> None:
        """Correct the tokens that a call holds; written with the next reservation or flush."""
        places = {place.key: place for place in grant.places}
        for need, tokens in corrections:
            place = places.get(need.key)
            if place is not None and need.tpm is not None and tokens:
                self._queue(place.key).corrections.append((place.at, tokens, 0))

    def release(self, grant: Grant) -> None:
        """Give the places back: the call was never sent."""
        for place in grant.places:
            self._queue(place.key).corrections.append((place.at, -place.tokens, -1))

    async def flush(self) -> None:
        """Write the corrections; those that fail are kept."""
        for queue in list(self._queues.values()):
            if queue.corrections:
                await queue.flush()

    async def close(self) -> None:
        """End what is under way."""
        for queue in self._queues.values():
            await queue.close()

    async def _reserve(self, need: StrictNeed) -> CapPlace | Wait | None:
        """A place, or the wait for one, or None: the store does not answer and the cap fails open."""
        answer: CapPlace | Wait | None = None
        if self._storage.available:
            queue = self._queue(need.key)
            waiting = queue.join(need)
            try:
                answer = await queue.answer(waiting)
            except asyncio.CancelledError:
                if not waiting.cancel() and not waiting.cancelled():
                    place = waiting.result()
                    self.release(Grant((place,) if isinstance(place, CapPlace) else ()))
                raise
            if answer is not None or not self.fails_open:
                waiting.cancel()
            # Otherwise the call is sent without waiting, and its place is still reserved.
        if answer is None and not self.fails_open:
            return Wait(CLOSED_RETRY, asked=False)
        return answer

    def _queue(self, key: str) -> _Queue:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(key, self._prefix + key, self._storage, self._random)
        return queue


_Waiting = tuple[StrictNeed, "asyncio.Future[CapPlace | Wait | None]"]


class _Queue:
    """The calls that wait for one cap, and the one operation under way for them."""

    def __init__(self, key: str, cell: str, storage: GuardedStore, random: Callable[[], float]) -> None:
        self.corrections: list[tuple[float, int, int]] = []
        self._key = key
        self._cell = cell
        self._storage = storage
        self._random = random
        self._waiting: list[_Waiting] = []
        self._flushes: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        # When the store last answered, in the loop's time; and whether the last swap's result is unknown.
        self._answered = -math.inf
        self._unknown = False
        # The row after our last change. `_alone`: no other instance changed it between our last two changes,
        # so the next swap tries without reading the row first.
        self._text: str | None = None
        self._version: str | None = None
        self._alone = False

    def join(self, need: StrictNeed) -> asyncio.Future[CapPlace | Wait | None]:
        """The future answer to `need`: see StrictCaps._reserve."""
        future: asyncio.Future[CapPlace | Wait | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((need, future))
        self._start()
        return future

    async def answer(self, waiting: asyncio.Future[CapPlace | Wait | None]) -> CapPlace | Wait | None:
        """What `join` gave, once it is known. None where the store does not answer."""
        loop = asyncio.get_running_loop()
        joined = loop.time()
        while not waiting.done():
            silent = max(joined, self._answered) + RESERVE_SECONDS
            until = min(silent, joined + CONTENDED_SECONDS)
            if until <= loop.time():
                return None if silent <= loop.time() else Wait(CONTENDED_RETRY)
            await asyncio.wait({waiting}, timeout=until - loop.time())
        return waiting.result()

    async def flush(self) -> None:
        """Write the corrections, with whatever is reserved at the same time."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushes.append(future)
        self._start()
        await future

    def _start(self) -> None:
        """Begin to serve all who wait, if that is not under way."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            # Futures of an event loop that has ended have no waiter.
            self._waiting = [entry for entry in self._waiting if entry[1].get_loop() is loop]
            self._flushes = [future for future in self._flushes if future.get_loop() is loop]
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End what is under way, if it is of this event loop."""
        task = self._task
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting or self._flushes:
            with suppress(StoreError):
                await self._work()

    async def _work(self) -> None:
        """Serve all that wait, and write the corrections. Raises StoreError; then the answers are None."""
        group, self._waiting = self._waiting, []
        flushes, self._flushes = self._flushes, []
        corrections, self.corrections = self.corrections, []
        try:
            now, waits = await self._change([need for need, _ in group], corrections)
        except BaseException:
            self._version, self._alone = None, False
            if self._unknown:
                # The corrections may have been applied. To add twice holds too much for a minute, which is
                # safe; to give back twice would let calls exceed the cap.
                corrections = [each for each in corrections if each[1] >= 0 and each[2] >= 0]
            self.corrections = corrections + self.corrections
            for _, future in group:
                if not future.done():
                    future.set_result(None)
            raise
        finally:
            for flush in flushes:
                if not flush.done():
                    flush.set_result(None)
        for (need, future), wait in zip(group, waits, strict=True):
            place = CapPlace(self._key, now, need.tokens)
            if not future.done():
                future.set_result(place if wait is None else wait)
            elif wait is None:  # the call was cancelled meanwhile
                self.corrections.append((now, -need.tokens, -1))

    async def _change(
        self, needs: list[StrictNeed], corrections: list[tuple[float, int, int]]
    ) -> tuple[float, list[Wait | None]]:
        """Swap the row, again after each lost swap. Returns the row's time and each need's wait."""
        backoff = _BACKOFF_FIRST
        text, version, known = self._text, self._version, self._alone
        loop = asyncio.get_running_loop()
        self._unknown = False
        while True:
            if not known:
                cell = await self._storage.load(self._cell)
                self._answered = loop.time()
                text, version = (None, None) if cell is None else (cell.text, cell.version)
                self._alone = version == self._version
            now = self._storage.now()
            settled = settle_all(text, corrections, now) if corrections else text
            new, waits = reserve_all(settled, needs, now)
            if any(waits) and known:
                # Our copy may be old: another instance may have given places back. Read before refusing.
                known = False
                continue
            if all(waits) and not corrections:
                return now, waits
            self._unknown = True
            swapped = await self._storage.swap(self._cell, new, version)
            self._unknown, self._answered = False, loop.time()
            if swapped is not None:
                self._text, self._version = new, swapped
                return now, waits
            known = self._alone = False
            await asyncio.sleep(backoff * self._random())
            backoff = min(2 * backoff, _BACKOFF_LONGEST)
