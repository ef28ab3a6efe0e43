"""Strict caps: places reserved in one row per cap, by compare-and-swap, before a call is sent.

All calls of this instance that wait for one cap are reserved as a group, so there is one operation in flight
per cap and instance however many calls there are. The result is exact: if the store answers, no more calls
pass than the cap allows, over all instances. If it does not answer within one short time-out, the cap fails
open, or closed where that is configured. A store that answers, but each time that another instance was
faster, is waited for longer, and then refuses: that many calls are no reason to let them all pass.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.limits.caps.strict_row import LATE, StrictNeed, reserve_all, settle_all
from gateway.limits.tokens.signals import Wait
from gateway.storage.guarded import Storage
from gateway.storage.store import StoreError

#: Seconds that a call waits for its place while the store answers nothing.
RESERVE_SECONDS = 1.0
#: Seconds that it waits in all. 50 instances that meet at one row need two or three.
CONTENDED_SECONDS = 5.0
#: Seconds until a client may try again: of a cap that fails closed, and of one whose row is that busy.
CLOSED_RETRY = 5.0
CONTENDED_RETRY = 1.0
#: Seconds of backoff after a lost swap, at most, doubling from the first.
_BACKOFF_FIRST = 0.005
_BACKOFF_LONGEST = 0.08
#: Seconds by which a sleep may end before the clock shows it.
_MOMENT = 0.002


@dataclass(frozen=True, slots=True)
class CapPlace:
    """A reservation in one cap's row: when it was made, and the tokens it holds."""

    key: str
    at: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The places of a call. None where the store could not be asked and caps fail open."""

    places: tuple[CapPlace, ...] = ()
    #: False where one is missing for that reason.
    asked: bool = True

    @property
    def times(self) -> dict[str, float]:
        """When the rows count the call, by their keys."""
        return {place.key: place.at for place in self.places}


class StrictCaps:
    """The places of this instance's calls in strict caps."""

    def __init__(
        self, storage: Storage, random: Callable[[], float], *, prefix: str, fails_open: bool
    ) -> None:
        """Cells are named `prefix` + the cap's key."""
        self._storage = storage
        self._random = random
        self._prefix = prefix
        self._fails_open = fails_open
        self._queues: dict[str, _Queue] = {}

    @property
    def dirty(self) -> bool:
        """Whether there are corrections to write."""
        return any(queue.corrections for queue in self._queues.values())

    async def reserve(self, needs: Sequence[StrictNeed]) -> Grant | Wait:
        """A place for each of the needs; or none at all, and the longest wait for one.

        A client that was told to wait for a minute may come a moment before the row lets go of what it waits
        for: so short a wait is made here.
        """
        answer = await self._reserve_all(needs)
        if isinstance(answer, Wait) and answer.seconds <= LATE:
            await asyncio.sleep(answer.seconds + _MOMENT)
            answer = await self._reserve_all(needs)
        return answer

    async def _reserve_all(self, needs: Sequence[StrictNeed]) -> Grant | Wait:
        if not needs:
            return Grant()
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
        """A place; or the wait for one; or None where a cap that fails open cannot be asked."""
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
            if answer is not None or not self._fails_open:
                waiting.cancel()
            # Else the call is sent: its place stays wanted though nobody waits for it.
        if answer is None and not self._fails_open:
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

    def __init__(self, key: str, cell: str, storage: Storage, random: Callable[[], float]) -> None:
        self.corrections: list[tuple[float, int, int]] = []
        self._key = key
        self._cell = cell
        self._storage = storage
        self._random = random
        self._waiting: list[_Waiting] = []
        self._flushes: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        # When the store last answered, in the loop's time, and whether it has not said if a change was made.
        self._answered = -math.inf
        self._unknown = False
        # The row after our last change, and whether nobody else changed it since the one before: then that is
        # likely to be so still, and one operation is enough.
        self._text: str | None = None
        self._version: str | None = None
        self._alone = False

    def join(self, need: StrictNeed) -> asyncio.Future[CapPlace | Wait | None]:
        """What becomes of `need`: see Reservations._reserve."""
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
            # Nobody hears the answers of an event loop that is gone.
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
                # They may have been applied. Adding twice holds too much for a minute; giving back twice
                # would let calls pass the cap.
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
            elif wait is None:  # whoever wanted it has left
                self.corrections.append((now, -need.tokens, -1))

    async def _change(
        self, needs: list[StrictNeed], corrections: list[tuple[float, int, int]]
    ) -> tuple[float, list[Wait | None]]:
        """Change the row until no other instance was faster: the time used, and what each need waits."""
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
                # Others may have given places back since: nobody is refused by what is not known to be so.
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
