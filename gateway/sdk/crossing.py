"""From one event loop to another and back, at the price of few wake-ups.

`asyncio.run_coroutine_threadsafe` wakes both loops once for each call. Here all that is sent while a loop is
about to wake goes with one wake-up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class _Mailbox(Generic[T]):
    """What one loop gets from other threads. Its owner sees to each letter in turn.

    A letter is put in before `_woken` is looked at, and `_woken` is taken back before the letters are read.
    So none stays behind.
    """

    __slots__ = ("_letters", "_see_to", "_woken")

    def __init__(self, see_to: Callable[[T], None]) -> None:
        self._see_to = see_to
        self._letters: deque[T] = deque()
        self._woken = False

    def post(self, letter: T, loop: asyncio.AbstractEventLoop) -> None:
        """Give `letter` to `loop`. Raises RuntimeError where that is closed."""
        self._letters.append(letter)
        if not self._woken:
            self._woken = True
            loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._woken = False
        letters = self._letters
        while letters:
            self._see_to(letters.popleft())


class _Journey:
    """One piece of work, and the future that waits for it on its caller's loop."""

    __slots__ = ("_context", "_future", "_home", "_loop", "_task", "_work")

    def __init__(
        self,
        work: Coroutine[Any, Any, Any],
        future: asyncio.Future[Any],
        home: _Mailbox[_Journey],
        context: Context,
    ) -> None:
        self._work = work
        self._future = future
        self._home = home
        self._loop = future.get_loop()
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

    def _return(self, _task: asyncio.Task[Any]) -> None:
        # A loop that is closed has no callers.
        with contextlib.suppress(RuntimeError):
            self._home.post(self, self._loop)

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


class Crossing:
    """The way to one loop, from any others."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._there: _Mailbox[_Journey] = _Mailbox(_Journey.begin)
        self._homes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox[_Journey]] = WeakKeyDictionary()

    async def reach(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, done there. Cancelling the caller cancels the work."""
        loop = asyncio.get_running_loop()
        home = self._homes.get(loop)
        if home is None:
            home = self._homes[loop] = _Mailbox(_Journey.arrive)
        future: asyncio.Future[T] = loop.create_future()
        journey = _Journey(work, future, home, copy_context())
        try:
            self._there.post(journey, self._loop)
        except RuntimeError:
            work.close()
            raise
        try:
            return await future
        except asyncio.CancelledError:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(journey.call_off)
            raise
        finally:
            # They hold the exception, that its traceback, that this frame: a reference cycle.
            del future, journey
