"""An event loop whose time passes only while everything waits: sleeps take no time, and order is what it should be.

For tests without sockets, threads and processes: when nothing is ready, the loop's clock moves to the next timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any

#: What `clock()` says when a virtual time begins: some noon, in seconds since 1970.
BEGIN = 1_700_049_600.0


class _Selector(selectors.SelectSelector):
    """Looks at files without waiting for them; the wait is told to `passed`."""

    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("nothing is ready and no timer is set: this test would wait for ever")
        self._passed(timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its `time()` begins at 0."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(_Selector(self._pass))

    def _pass(self, seconds: float) -> None:
        self._seconds += seconds

    def time(self) -> float:
        return self._seconds


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def clock() -> float:
    """`time.time`, which goes on with the running loop's time where that is virtual."""
    with contextlib.suppress(RuntimeError):
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualTimeLoop):
            return BEGIN + loop.time()
    return time.time()
