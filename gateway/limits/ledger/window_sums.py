"""Sums of the last minute, kept by the second. Knows no clock: seconds are whole numbers since 1970."""

from __future__ import annotations

#: Slots; a power of two that holds a minute of the past and one of clocks that run ahead.
_SLOTS = 128
_MASK = _SLOTS - 1
#: Seconds that are remembered after they left the sums, for observations that are judged a little later.
_KEPT = 6


class WindowSums:
    """Tokens and requests of each second from `span` seconds ago on, and their sums.

    A second that is forgotten is gone for good: what is added to it later is ignored, so that an
    addition and its correction are either both counted or both not.

    A clock that is set far back makes it begin anew. Whether the clock is wrong now or was before shows
    later: what was counted comes back if the clock leaps there again.
    """

    __slots__ = ("_aside", "_mark", "_requests", "_span", "_tokens", "head", "marked", "requests", "tokens")

    def __init__(self, span: int) -> None:
        """`span` in seconds, the current one included."""
        self._span = span
        self._tokens = [0] * _SLOTS
        self._requests = [0] * _SLOTS
        #: The current second.
        self.head = 0
        #: Sums of the whole span.
        self.tokens = 0
        self.requests = 0
        self._mark = 0
        #: Tokens since the marked second, as far as they are within the span.
        self.marked = 0
        #: What was counted before the clock was set back: the head, and both kinds' slots and sums.
        self._aside: tuple[int, list[int], list[int], int, int] | None = None

    def advance(self, second: int) -> None:
        """Make `second` the current one. Goes back, and begins anew, only to one before all the sums."""
        if second <= self.head:
            if self.head - second >= self._span:
                self._begin_anew(second)
            return
        if self._aside is not None and second >= self._aside[0]:
            self._resume(self._aside, second)
        if second - self.head >= _SLOTS + _KEPT:
            # All of it is over.
            self._forget()
            self.head = second
            return
        first = self.head - self._span + 1
        for leaving in range(first, first + second - self.head):
            slot = leaving & _MASK
            # Slots of a jump beyond the ring are empty by then, so nothing is taken away twice.
            if self._tokens[slot] or self._requests[slot]:
                self._take_away(leaving, slot)
            forgotten = (leaving - _KEPT) & _MASK
            self._tokens[forgotten] = 0
            self._requests[forgotten] = 0
        self.head = second

    def _take_away(self, leaving: int, slot: int) -> None:
        """A second leaves the span."""
        self.tokens -= self._tokens[slot]
        self.requests -= self._requests[slot]
        if leaving >= self._mark:
            self.marked -= self._tokens[slot]

    def _begin_anew(self, second: int) -> None:
        self._aside = (self.head, self._tokens, self._requests, self.tokens, self.requests)
        self._forget()
        self.head = second

    def _forget(self) -> None:
        self._tokens = [0] * _SLOTS
        self._requests = [0] * _SLOTS
        self.tokens = self.requests = self.marked = 0

    def _resume(self, aside: tuple[int, list[int], list[int], int, int], second: int) -> None:
        """Take up what was set aside, unless time has run to that second: then it was a wrong one."""
        if second - self.head >= self._span:
            self.head, self._tokens, self._requests, self.tokens, self.requests = aside
            self.mark(self._mark)
        self._aside = None

    def add(self, second: int, tokens: int, requests: int) -> None:
        """Count `tokens` and `requests` in `second`; negative amounts take back."""
        age = self.head - second
        span = self._span
        if not span + _KEPT - _SLOTS < age < span + _KEPT:
            return
        slot = second & _MASK
        self._tokens[slot] += tokens
        self._requests[slot] += requests
        if age < span:
            self.tokens += tokens
            self.requests += requests
            if second >= self._mark:
                self.marked += tokens

    def mark(self, second: int) -> None:
        """Keep the sum of tokens from `second` on in `marked`."""
        self._mark = second
        self.marked = sum(self.at(each)[0] for each in self.seconds() if each >= second)

    def at(self, second: int) -> tuple[int, int]:
        """Tokens and requests of one second; also of one that has left the sums a moment ago."""
        if not self._span + _KEPT - _SLOTS < self.head - second < self._span + _KEPT:
            return 0, 0
        slot = second & _MASK
        return self._tokens[slot], self._requests[slot]

    def over(self, second: int) -> bool:
        """Whether nothing is left in the window at `second`, which becomes the current one."""
        self.advance(second)
        return self._aside is None and not any(self._tokens) and not any(self._requests)

    def seconds(self) -> range:
        """The seconds that are summed up, oldest first, those of clocks that run ahead included."""
        return range(self.head - self._span + 1, self.head - self._span - _KEPT + _SLOTS)
