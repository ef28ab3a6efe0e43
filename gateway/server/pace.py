"""How fast what nobody should do a lot of may go on, over all connections together. No I/O."""

from __future__ import annotations

import math


class Pace:
    """Lets some pass at once, and the others one after the other."""

    def __init__(self, seconds: float, *, at_once: int = 1, longest: float = math.inf) -> None:
        """One passes every `seconds`, so many `at_once`; none waits for more than `longest` seconds."""
        self._seconds = seconds
        self._spared = (at_once - 1) * seconds
        self._longest = longest
        #: When the next one is due, were none spared its wait.
        self._due = -math.inf

    def wait(self, now: float) -> float:
        """The seconds that one has to wait that comes at `now`, on a clock that never goes back."""
        wait = min(max(0.0, self._due - now - self._spared), self._longest)
        self._due = min(max(self._due, now) + self._seconds, now + self._spared + self._longest)
        return wait

    def give_back(self) -> None:
        """One that waited has left before its turn. Only where no wait is the `longest`."""
        self._due -= self._seconds
