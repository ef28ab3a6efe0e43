"""Long work in the event loop, one step in a turn of it: many such works delay others no more than one."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from gateway.protocol.json_walk import Steps

_T = TypeVar("_T")


class Turns:
    """Works that take turns: each waits for its own before every step."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def take(self, steps: Steps[_T]) -> _T:
        """The result of `steps`; other works, and all else in the loop, go on between two of them."""
        while True:
            async with self._turn:
                try:
                    next(steps)
                except StopIteration as finished:
                    result: _T = finished.value
                    return result
                await asyncio.sleep(0)
