"""Calls of a deployment that one process has in flight, where that is bounded, and who waits for a place."""

from __future__ import annotations

from collections.abc import Callable, Iterable


class Waiter:
    """A call that waits for a place at one of several deployments, and then holds it until it is sent."""

    __slots__ = ("_at", "_wake", "place")

    def __init__(self, wake: Callable[[], None], at: Iterable[Places]) -> None:
        """`wake` is called once, when a place is kept for it."""
        self._wake = wake
        self._at = tuple(at)
        #: Where a place is kept for it.
        self.place: Places | None = None
        for places in self._at:
            places.join(self)

    def kept(self, place: Places) -> None:
        """`place` has one for it."""
        self._leave_queues()
        self.place = place
        self._wake()

    def close(self) -> None:
        """It has got its place or waits no longer. More than once does no harm."""
        self._leave_queues()
        place, self.place = self.place, None
        if place is not None:
            place.unkept()

    def _leave_queues(self) -> None:
        for places in self._at:
            places.quit(self)
        self._at = ()


class Places:
    """The places of one deployment."""

    __slots__ = ("_kept", "_queue", "most", "taken")

    def __init__(self) -> None:
        #: How many there are; None for any number.
        self.most: int | None = None
        self.taken = 0
        #: Free, but kept for waiters that were woken.
        self._kept = 0
        self._queue: dict[Waiter, None] = {}

    def free(self, waiter: Waiter | None = None) -> bool:
        """Whether a call may be sent: `waiter`'s, or one that has not waited."""
        if self.most is None:
            return True
        kept = self._kept - (waiter is not None and waiter.place is self)
        return self.taken + kept < self.most

    def change(self, most: int | None) -> None:
        """Another configuration's number."""
        self.most = most
        self._wake()

    def take(self) -> None:
        """A call is sent."""
        self.taken += 1

    def leave(self) -> None:
        """A call has ended."""
        self.taken -= 1
        self._wake()

    def join(self, waiter: Waiter) -> None:
        """Put `waiter` at the end of the queue."""
        self._queue[waiter] = None

    def quit(self, waiter: Waiter) -> None:
        """Take `waiter` out of the queue."""
        self._queue.pop(waiter, None)

    def unkept(self) -> None:
        """A waiter needs the place no longer that was kept for it."""
        self._kept -= 1
        self._wake()

    def _wake(self) -> None:
        while self._queue and self.free():
            self._kept += 1
            next(iter(self._queue)).kept(self)
