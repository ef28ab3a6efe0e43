"""A virtual clock and the processes that wait on it."""

from __future__ import annotations

import heapq
from collections.abc import Generator
from itertools import count

#: A process yields the seconds that it waits.
Process = Generator[float, None, None]


class Engine:
    """Runs processes in the order of their times; equal times in the order they were started."""

    def __init__(self, start: float) -> None:
        self.now = start
        self._waiting: list[tuple[float, int, Process]] = []
        self._numbers = count()

    def start(self, process: Process, at: float | None = None) -> None:
        """Let `process` begin at a time, now if none is given."""
        heapq.heappush(self._waiting, (self.now if at is None else at, next(self._numbers), process))

    def run(self) -> None:
        """Until no process waits."""
        while self._waiting:
            self.now, _, process = heapq.heappop(self._waiting)
            try:
                wait = next(process)
            except StopIteration:
                continue
            self.start(process, self.now + wait)
