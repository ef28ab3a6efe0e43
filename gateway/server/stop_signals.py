"""The signals that end the embedded host, as events."""

from __future__ import annotations

import asyncio
import signal


class Signals:
    """SIGINT and SIGTERM as two events."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        # Python's own handlers, for an event loop has none on Windows.
        for number in self.NUMBERS:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._take))

    def ignore(self) -> None:
        """Let the process end by itself, and with exit code 0, however often it is asked to."""
        for number in self.NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    def _take(self) -> None:
        (self.second if self.first.is_set() else self.first).set()
