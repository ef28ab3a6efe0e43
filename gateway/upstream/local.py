"""Failures of this process that look like an upstream's, and how long the event loop stood still.

They say nothing of a deployment, so they are of a class of their own, which other modules pass on as it is.
"""

from __future__ import annotations

import asyncio
import errno

#: Seconds between two looks at whether the loop runs.
TICK = 0.1
#: Lateness of a look that counts as lost time, in seconds; what is below is a loop at work.
SLACK = 0.1

#: Part of a time-out's length, lost, from which on it says nothing of upstream.
SHARE = 0.1

#: What the operating system answers when this process or machine has run out of something.
EXHAUSTED = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
        errno.EAGAIN,
        errno.ENETDOWN,
    }
)


class LocalFault(Exception):
    """The call failed for want of something here, whatever upstream is like; the text says of what."""


class LoopWatch:
    """Measures how long an event loop has not run while somebody asked to know.

    A timer that is late proves that nothing else ran either: what came meanwhile still waits to be read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lost = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wanted = 0

    def begin(self) -> None:
        """Somebody wants to know, until `end`."""
        self._wanted += 1
        if self._timer is None:
            self._arm()

    def end(self) -> None:
        """One less wants to know."""
        self._wanted -= 1

    def lost(self) -> float:
        """Seconds lost so far; differences of two answers between `begin` and `end` count."""
        late = self._loop.time() - self._due if self._timer is not None else 0.0
        return self._lost + (late if late > SLACK else 0.0)

    def excuses(self, lost_before: float, seconds: float) -> bool:
        """Whether too much of the last `seconds` was lost, since `lost_before`, for a time-out to count."""
        return self.lost() - lost_before > SHARE * seconds

    def stop(self) -> None:
        """Look no more; for the end of the loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._due = self._loop.time() + TICK
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._lost = self.lost()
        self._timer = None
        if self._wanted:
            self._arm()
