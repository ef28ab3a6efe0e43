"""From one event loop to another and back, at the price of few wake-ups.

`asyncio.run_coroutine_threadsafe` wakes both loops once for each call, and each time one thread takes the
interpreter from the other. Here all that a loop sends during one of its rounds goes with one wake-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
_Letter = Callable[[], None]


class _Outbox:
    """What one loop has to tell another. Used on the sending loop alone.

    It knows the loops only while there is something in it: both may be gone before it.
    """

    __slots__ = ("_closed", "_letters")

    def __init__(self) -> None:
        self._closed = False
        self._letters: list[tuple[_Letter, _Letter | None]] = []

    def post(self, letter: _Letter, there: asyncio.AbstractEventLoop, *, lost: _Letter | None = None) -> None:
        """Have `letter` called there, after this loop's round; `lost` here, where that loop is closed."""
        if not self._letters:
            asyncio.get_running_loop().call_soon(self.empty, there)
        self._letters.append((letter, lost))

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True

    def empty(self, there: asyncio.AbstractEventLoop) -> None:
        """Send what is in it now."""
        letters, self._letters = self._letters, []
        try:
            if letters and not self._closed:
                there.call_soon_threadsafe(_read, letters)
        except RuntimeError:
            for _, lost in letters:
                if lost is not None:
                    lost()


def _read(letters: list[tuple[_Letter, _Letter | None]]) -> None:
    for letter, _ in letters:
        letter()


class _Journey:
    """One piece of work, and the future that waits for it on its caller's loop."""

    __slots__ = ("_back", "_context", "_future", "_home", "_task", "_work")

    def __init__(
        self,
        work: Coroutine[Any, Any, Any],
        future: asyncio.Future[Any],
        back: _Outbox,
        context: Context,
    ) -> None:
        self._work = work
        self._future = future
        self._back = back
        self._home = future.get_loop()
        self._context = context
        self._task: asyncio.Task[Any] | None = None

    def begin(self) -> None:
        """Start the work, on the loop that does it."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._work, context=self._context)
        self._task.add_done_callback(self._return)

    def call_off(self) -> None:
        """End the work, on the loop that does it: its caller does not wait any more."""
        if self._task is not None:
            self._task.cancel()

    def fail(self) -> None:
        """Tell the caller, on its loop, that the other loop is closed."""
        self._work.close()
        if not self._future.done():
            self._future.set_exception(RuntimeError("Event loop is closed"))

    def _return(self, _task: asyncio.Task[Any]) -> None:
        # A loop that is closed has no callers.
        self._back.post(self.arrive, self._home)

    def arrive(self) -> None:
        """Tell the caller, on its loop."""
        task, future, self._task = self._task, self._future, None
        if task is None:
            return
        if task.cancelled():
            future.cancel()
            return
        error = task.exception()
        if future.done():
            return
        if error is None:
            future.set_result(task.result())
        else:
            future.set_exception(error)


#: There and back.
_Way = tuple[_Outbox, _Outbox]


class Crossing:
    """The way to one loop, from any others."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: The ways there and back, by the callers' loops.
        self._ways: WeakKeyDictionary[asyncio.AbstractEventLoop, _Way] = WeakKeyDictionary()

    def end(self) -> None:
        """Tell nobody anything any more: the process ends, and only daemon threads wait still."""
        for _, back in list(self._ways.values()):
            back.close()

    async def reach(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, done there. Cancelling the caller cancels the work.

        Raises RuntimeError where the other loop is closed.
        """
        loop = asyncio.get_running_loop()
        way = self._ways.get(loop)
        if way is None:
            way = self._ways[loop] = (_Outbox(), _Outbox())
        there, back = way
        future: asyncio.Future[T] = loop.create_future()
        journey = _Journey(work, future, back, copy_context())
        there.post(journey.begin, self._loop, lost=journey.fail)
        try:
            return await future
        except asyncio.CancelledError:
            # At once: the caller's loop may end with this round.
            there.post(journey.call_off, self._loop)
            there.empty(self._loop)
            raise
        finally:
            # They hold the exception, that its traceback, that this frame: a reference cycle.
            del future, journey
