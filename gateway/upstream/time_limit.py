"""Deadlines of a call, and the time limits of its steps.

Each call passes several. They know their event loop: to ask for it is a system call on Python 3.11, and
`asyncio.timeout` asks three times.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import msgspec


class Deadline(msgspec.Struct, frozen=True):
    """A moment in the time of an event loop."""

    loop: asyncio.AbstractEventLoop
    #: In the loop's time, in seconds.
    at: float

    @classmethod
    def within(cls, seconds: float) -> Deadline:
        """The moment so many seconds from now, in the running loop."""
        loop = asyncio.get_running_loop()
        return cls(loop, loop.time() + seconds)

    @property
    def left(self) -> float:
        """The seconds until then; negative once it has passed."""
        return self.at - self.loop.time()


class TimeLimit:
    """A context whose body is cancelled at a moment; then it raises TimeoutError, as `asyncio.timeout_at`."""

    __slots__ = ("_at", "_cancelling", "_due", "_loop", "_over", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        """`loop` is the running one, `at` in its time."""
        self._loop = loop
        self._at = at
        #: What the timer is set to.
        self._due = at
        self._over = False

    def extend(self, at: float) -> None:
        """End the body no sooner than at this moment."""
        # The timer finds out when it is due: a new one for each piece of a body would cost more.
        self._at = max(self._at, at)

    def __enter__(self) -> Self:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = self._loop.call_at(self._due, self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # A cancellation from elsewhere at the same moment stays a cancellation.
        if self._over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _end(self) -> None:
        if self._due < self._at:
            self._due = self._at
            self._timer = self._loop.call_at(self._due, self._end)
        else:
            self._over = True
            self._task.cancel()
