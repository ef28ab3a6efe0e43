"""How late a busy machine makes this process: what a measured time owes to others that run beside it."""

from __future__ import annotations

import asyncio
import time
from typing import Self

_BEAT = 0.005


class Lateness:
    """Counts in a task by how many seconds sleeps end too late, while the block runs.

    What this process itself computed meanwhile is not counted: that is a delay of our own.
    """

    def __init__(self) -> None:
        self._late = 0.0
        self._cpu = time.process_time()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return max(0.0, self._late - (time.process_time() - self._cpu))

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._beating.cancel()

    async def _beat(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due = now() + _BEAT
            await asyncio.sleep(_BEAT)
            self._late += now() - due
