"""The connections to all upstreams: how many there are, which are idle and for how long."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from pathlib import Path

from gateway.descriptors import most_connections
from gateway.upstream.connections import Connection, Origin
from gateway.upstream.dialing import dial
from gateway.upstream.local import LocalFault, LoopWatch
from gateway.upstream.names import Names
from gateway.upstream.proxy import Network, open_tunnel

#: Seconds an idle connection is kept. Azure's front ends close theirs later, so that a request hardly
#: ever meets a connection that is being closed from the other side.
IDLE_SECONDS = 30.0
#: Idle connections that are kept to one place.
MAX_IDLE = 100
#: Connections in all, those being opened included; fewer where the system has no descriptors for them. A call
#: beyond it waits as long as for a connection.
MAX_CONNECTIONS = 1000


class Pool:
    """Connections by place. Bound to the loop it is made on."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.loop = asyncio.get_running_loop()
        self.watch = LoopWatch(self.loop)
        self._names = Names()
        #: Of each place: longest idle first.
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._opening = 0
        self._most = most_connections(MAX_CONNECTIONS)
        #: Calls that wait, first come first: for a connection to their place, or None for room for a new one.
        self._queue: deque[tuple[Origin, asyncio.Future[Connection | None]]] = deque()
        self._sweeping: asyncio.TimerHandle | None = None
        self._tls: ssl.SSLContext | None = None

    def take(self, place: Origin) -> Connection | None:
        """An idle connection: the one used last, which is the likeliest to be alive."""
        idle = self._idle.get(place)
        oldest = self.loop.time() - IDLE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.usable and connection.idle_since > oldest and connection.quiet:
                return connection
            connection.abort()
        return None

    def review(self, place: Origin) -> None:
        """One idle connection turned out to be closed: drop the others of the place that are, too."""
        for connection in list(self._idle.get(place, ())):
            if not connection.quiet:
                self.forget(place, connection)
                connection.abort()

    async def connect(self, place: Origin, seconds: float) -> Connection:
        """A connection, as a rule a new one, within `seconds`, TLS included.

        Raises TimeoutError, OSError, UnicodeError for a name that no host can have, and LocalFault.
        """
        tls = self._trusted() if place.secure else None
        deadline = self.loop.time() + seconds
        if self._queue or not self._has_room():
            try:
                async with asyncio.timeout_at(deadline):
                    kept = await self._wait(place)
            except TimeoutError as error:
                raise LocalFault("no connection became free in time") from error
            if kept is not None:
                return kept
        else:
            self._opening += 1
        lost = self.watch.lost()
        self.watch.begin()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._connected(place, tls, deadline)
        except TimeoutError as error:
            if self.watch.excuses(lost, seconds):
                raise LocalFault("the event loop stood still while connecting") from error
            raise
        finally:
            self.watch.end()
            self._opening -= 1
            self._admit()

    def opened(self, connection: Connection) -> None:
        """A connection came about."""
        self._open.add(connection)

    def give(self, place: Origin, connection: Connection) -> None:
        """Take a connection back."""
        for wanted, turn in self._queue:
            if wanted == place and not turn.done():
                turn.set_result(connection)
                return
        if self._queue:
            connection.abort()
            return
        idle = self._idle.setdefault(place, [])
        if len(idle) >= MAX_IDLE:
            idle.pop(0).abort()
        idle.append(connection)
        if self._sweeping is None:
            self._sweeping = self.loop.call_later(IDLE_SECONDS, self._sweep)

    def forget(self, place: Origin, connection: Connection) -> None:
        """A connection is not idle any more."""
        idle = self._idle.get(place)
        if idle and connection in idle:
            idle.remove(connection)

    def closed(self, place: Origin, connection: Connection) -> None:
        """A connection is closed."""
        self.forget(place, connection)
        self._open.discard(connection)
        self._admit()

    def close(self) -> None:
        """Close all connections: the replies that still come on them break off."""
        self.watch.stop()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for connection in list(self._open):
            connection.end()

    async def _connected(self, place: Origin, tls: ssl.SSLContext | None, deadline: float) -> Connection:
        network = self._network
        proxy = network.proxy_for(place.host, place.port) if place.secure else None
        host, port = proxy or (place.host, place.port)
        addresses = await self._names.find(host, port, deadline - self.loop.time())
        connection = await dial(addresses)
        try:
            if proxy is not None:
                await open_tunnel(connection, place.host, place.port, network)
            _, protocol = await self.loop.create_connection(
                lambda: Connection(self, place),
                sock=connection,
                ssl=tls,
                server_hostname=place.host if place.secure else None,
            )
        except BaseException:
            connection.close()
            raise
        return protocol

    def _trusted(self) -> ssl.SSLContext:
        if self._tls is None:
            try:
                # Without a descriptor to read them with there would be no authorities, and no error.
                with Path(os.devnull).open("rb"):
                    pass
                self._tls = ssl.create_default_context(cafile=self._network.verify)
            except OSError as error:
                raise LocalFault(error.strerror) from error
        return self._tls

    async def _wait(self, place: Origin) -> Connection | None:
        """Wait for a connection to `place` that becomes free, or (None) for leave to open one."""
        self._drop_longest_idle()
        turn: asyncio.Future[Connection | None] = self.loop.create_future()
        waiting = place, turn
        self._queue.append(waiting)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # It came at the same moment, and is somebody else's now.
                connection = turn.result()
                if connection is None:
                    self._opening -= 1
                else:
                    self.give(place, connection)
            raise
        finally:
            self._queue.remove(waiting)
            self._admit()

    def _has_room(self) -> bool:
        return len(self._open) + self._opening < self._most

    def _admit(self) -> None:
        """Let the calls that have waited longest open connections, as far as there is room."""
        for _, turn in self._queue:
            if not self._has_room():
                return
            if not turn.done():
                self._opening += 1
                turn.set_result(None)

    def _drop_longest_idle(self) -> None:
        """Make room at the cost of the connection that is the least likely to be used again."""
        heads = [(idle[0].idle_since, place) for place, idle in self._idle.items() if idle]
        if heads:
            self._idle[min(heads)[1]].pop(0).abort()

    def _sweep(self) -> None:
        """Close what has been idle for too long, and come again when the next one will have been."""
        self._sweeping = None
        oldest = self.loop.time() - IDLE_SECONDS
        for place, idle in list(self._idle.items()):
            while idle and idle[0].idle_since <= oldest:
                idle.pop(0).abort()
            if not idle:
                del self._idle[place]
        if self._idle:
            first = min(idle[0].idle_since for idle in self._idle.values())
            self._sweeping = self.loop.call_at(first + IDLE_SECONDS, self._sweep)
