"""All open connections of the embedded host: how many there may be, and one clock for their deadlines."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.pipeline.heap import Heap
from gateway.server.pace import Pace

#: Seconds between two looks at all connections.
TICK_SECONDS = 1.0
#: Bytes read from a socket at a time.
READ_BYTES = 65536
#: Connections above the limit that are still told so.
MAX_REFUSED = 100
#: So many connections at one time leave memory behind that is worth giving back.
CROWD = 100
#: Refusals (wrong keys, heads that are too long, what is no HTTP) that are answered at once; seconds between
#: two of those behind them, and for which one waits at most: its caller may be an honest one.
REFUSALS_AT_ONCE = 50
REFUSAL_SECONDS = 0.02
LONGEST_REFUSAL = 0.8
#: Seconds between two requests that were sent before the reply to the one before, on all connections. No
#: client that people use sends so; two that do so without end took a whole core from the others.
PIPELINE_SECONDS = 0.005
#: Seconds between two pieces of bodies that come in very small chunks, on all connections: 512 chunks take as
#: long as two whole calls.
SMALL_CHUNKS_SECONDS = 0.02
#: Seconds between two reads (READ_BYTES at most) of what is passed over behind replies, on all connections.
PASSED_OVER_SECONDS = 0.002


class TrackedConnection(Protocol):
    """A connection, as far as the table has to know it."""

    transport: asyncio.Transport
    #: The task that serves a request now.
    request: asyncio.Task[None] | None

    def check(self, now: float) -> None:
        """Keep the deadlines; `now` is the loop's time."""

    def close(self) -> None:
        """Close it when the request that it serves has ended."""


class ConnectionTable:
    """All open connections, at most `limit` of them."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.limit = limit
        self.buffer = memoryview(bytearray(READ_BYTES))
        #: The event loop's time, as of the last look at the connections.
        self.now = 0.0
        self.stopping = False
        self.pipelined = Pace(PIPELINE_SECONDS)
        self.small_chunks = Pace(SMALL_CHUNKS_SECONDS)
        self.passed_over = Pace(PASSED_OVER_SECONDS)
        self.refusals = Pace(REFUSAL_SECONDS, at_once=REFUSALS_AT_ONCE, longest=LONGEST_REFUSAL)
        #: Connections whose refusals wait.
        self.held = 0
        self._all: set[TrackedConnection] = set()
        #: The most there were since they were half as many.
        self._crowd = 0
        self._heap = Heap()
        #: Those that serve no request, by how long they have not: never used ones, and others.
        self._new: dict[TrackedConnection, None] = {}
        self._idle: dict[TrackedConnection, None] = {}
        self._ticking: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    def admit(self, connection: TrackedConnection) -> bool:
        """Take a connection in; False where no room is left, and no idle connection that could make it."""
        if self._ticking is None:
            self._tick()
        self._all.add(connection)
        self._crowd = max(self._crowd, len(self._all))
        if len(self._all) > self.limit:
            oldest = next(iter(self._new or self._idle), None)
            if oldest is None:
                return False
            self.forget(oldest)
            oldest.transport.abort()
        self._new[connection] = None
        return True

    @property
    def overrun(self) -> bool:
        """There are too many even of those that are to be told so."""
        return len(self._all) > self.limit + MAX_REFUSED

    def forget(self, connection: TrackedConnection) -> None:
        """A connection is lost."""
        self._all.discard(connection)
        self._new.pop(connection, None)
        self._idle.pop(connection, None)
        if self._crowd > max(CROWD, 2 * len(self._all)):
            self._crowd = len(self._all)
            self._heap.trim_soon()
        if not self._all:
            self._emptied.set()

    def use(self, connection: TrackedConnection) -> None:
        """A request begins."""
        if connection in self._new:
            del self._new[connection]
        else:
            self._idle.pop(connection, None)

    def release(self, connection: TrackedConnection) -> None:
        """A request has ended."""
        if connection not in self._all:
            return
        self._idle[connection] = None
        if self.stopping:
            connection.close()

    def refusal_wait(self) -> float:
        """Seconds to wait before a request is refused, so that who sends many of them is slowed down."""
        wait = self.refusals.wait(self.loop.time())
        # Who waits takes a place that others may need.
        return 0.0 if self.stopping or self.held >= self.limit // 2 else wait

    def close_idle(self) -> None:
        """Close what serves no request now, and the others when they have served theirs."""
        self.stopping = True
        for connection in [*self._new, *self._idle]:
            connection.close()

    async def cut(self) -> None:
        """End every request and every connection at once."""
        tasks = [connection.request for connection in self._all if connection.request is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=TICK_SECONDS)
        for connection in list(self._all):
            connection.transport.abort()

    async def emptied(self) -> None:
        """Wait until no connection is left."""
        while self._all:
            self._emptied.clear()
            await self._emptied.wait()

    def _tick(self) -> None:
        self.now = self.loop.time()
        for connection in list(self._all):
            connection.check(self.now)
        self._ticking = self.loop.call_later(TICK_SECONDS, self._tick_on)

    def _tick_on(self) -> None:
        self._ticking = None
        if self._all:
            self._tick()
