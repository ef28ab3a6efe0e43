"""HTTP/1.1 connections to upstreams: one exchange at a time on each, kept and used again.

Sits on the event loop's transports (asyncio's or uvloop's) and llhttp's parser (httptools). It exists because
it is the hot path: with the client libraries that were measured, sending a request cost more CPU than all
else the gateway does (docs/performance.md). It does what a gateway needs and no more: POST, whole request
bodies, no proxies.

Rules of this file: bytes that no exchange asked for end a connection; a connection is used again only
when its last reply came to its proper end; a reply that breaks off is never taken for a whole one.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple, cast

import httptools

#: Seconds an idle connection is kept. Azure's front ends close theirs later, so that a request hardly
#: ever meets a connection that is being closed from the other side.
IDLE_SECONDS = 30.0
#: Bytes of a reply that may wait here to be read before the sender is slowed down.
HIGH_WATER = 256 * 1024
#: Request bodies above this size are not copied to be sent in one piece with their head.
ONE_PIECE = 64 * 1024
#: Bytes of a reply after which its head must have ended.
MAX_HEAD = 64 * 1024


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    secure: bool


class Broken(Exception):
    """The connection was lost, or what came on it was no HTTP."""


class Silent(Exception):
    """Nothing came for too long."""


class Incoming:
    """A reply as it comes in. The parser calls the `on_` methods."""

    __slots__ = (
        "_connection", "_error", "_head_size", "_last", "_loop", "_paused", "_pieces", "_silence",
        "_size", "_timer", "_waiter", "complete", "headers", "reusable", "status",
    )  # fmt: skip

    def __init__(self, connection: Connection, silence: float) -> None:
        """`silence` is the longest wait for the next byte, in seconds."""
        self._connection = connection
        self._loop = connection.loop
        self._silence = silence
        self._last = self._loop.time()
        self._timer = self._loop.call_at(self._last + silence, self._check)
        self._pieces: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._paused = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        #: Whether the connection may carry another exchange after this reply.
        self.reusable = False

    async def head(self) -> None:
        """Wait for status and headers. Raises Broken or Silent."""
        while not self.status:
            await self._next()

    async def piece(self) -> bytes:
        """What has come of the body since the last piece; empty at its end. Raises Broken or Silent."""
        while not self._pieces:
            if self.complete:
                return b""
            await self._next()
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self._paused:
            self._paused = False
            self._connection.resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Cut the connection, unless the reply has come to its end."""
        if not self.complete:
            self.fail(Broken("closed"))
            self._connection.abort()

    def arrived(self) -> None:
        """Something came: whoever waits looks again."""
        self._last = self._loop.time()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """The reply will not be completed."""
        if self.complete or self._error is not None:
            return
        self._timer.cancel()
        self._error = error
        self.arrived()

    def ended(self) -> None:
        """The connection was closed in an orderly way, which ends a body that has no declared end."""
        names = {name.lower() for name, _ in self.headers}
        if self.status and not names & {b"content-length", b"transfer-encoding"}:
            self._finish()
        self.fail(Broken("closed by upstream"))

    def check_head(self, size: int) -> None:
        """Note that `size` bytes were parsed. Raises Broken when the head does not end."""
        if not self.status:
            self._head_size += size
            if self._head_size > MAX_HEAD:
                raise Broken("head too large")

    def on_message_begin(self) -> None:
        """A reply begins; a second one answers nothing."""
        if self.complete:
            raise ValueError("more than one reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header (or a trailer, which is passed over)."""
        if not self.status:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there; an interim one (1xx) only announces another."""
        status = self._connection.parsed_status()
        if status >= 200:
            self.status = status
        else:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(body)
        self._size += len(body)
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.pause()

    def on_message_complete(self) -> None:
        """The proper end of a reply, or of an interim head."""
        if self.status:
            # Asked here, for the parser forgets it right after.
            self.reusable = self._connection.keeps_alive()
            self._finish()

    def _finish(self) -> None:
        self.complete = True
        self._timer.cancel()

    async def _next(self) -> None:
        if self._error is not None:
            raise self._error
        self._last = self._loop.time()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _check(self) -> None:
        """Runs when the silence may have lasted too long; counts only while somebody waits."""
        due = self._last + self._silence
        now = self._loop.time()
        if now >= due and self._waiter is not None:
            self.fail(Silent())
            self._connection.abort()
        else:
            self._timer = self._loop.call_at(due if due > now else now + self._silence, self._check)


class Connection(asyncio.Protocol):
    """One connection. `pool` gets it back after each complete reply."""

    def __init__(self, pool: Pool, place: Origin) -> None:
        self.loop = pool.loop
        self.idle_since = 0.0
        self._pool = pool
        self._place = place
        self._transport: asyncio.Transport
        self._incoming: Incoming | None = None
        self._parser: httptools.HttpResponseParser

    def exchange(self, head: bytes, body: bytes, silence: float) -> Incoming:
        """Send a request; the reply comes in as the result."""
        incoming = self._incoming = Incoming(self, silence)
        self._parser = httptools.HttpResponseParser(incoming)
        if len(body) <= ONE_PIECE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        return incoming

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._transport.is_closing()

    def parsed_status(self) -> int:
        """The status of the head that was just parsed."""
        return int(self._parser.get_status_code())

    def keeps_alive(self) -> bool:
        """Whether the reply that just ended leaves the connection open."""
        return bool(self._parser.should_keep_alive())

    def pause(self) -> None:
        """Let no more come until `resume`."""
        if self.usable:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Let more come."""
        if self.usable:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection."""
        self._incoming = None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected (asyncio)."""
        # By what it can do: no two loops share a class of transports.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came (asyncio)."""
        incoming = self._incoming
        if incoming is None:
            # An answer to nothing, or the end of an answer that nobody waits for any more.
            self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
            incoming.check_head(len(data))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, Broken) as error:
            # A reply that is complete stays so, whatever follows it.
            self._incoming = None
            incoming.fail(Broken(str(error)))
            self._transport.abort()
        if incoming.complete and self._incoming is not None:
            self._release(reusable=incoming.reusable)
        incoming.arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by the other side, or by a fault (asyncio)."""
        self._pool.forget(self._place, self)
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            return
        if exc is None:
            incoming.ended()
        else:
            incoming.fail(Broken(str(exc)))
        incoming.arrived()

    def _release(self, *, reusable: bool) -> None:
        self._incoming = None
        # A reply that came before the request was sent whole leaves the rest of it in the buffer.
        if reusable and not self._transport.get_write_buffer_size():
            self.idle_since = self.loop.time()
            self.resume()
            self._pool.give(self._place, self)
        else:
            self._transport.close()


class Pool:
    """Idle connections by place. Bound to the loop it is made on."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._idle: dict[Origin, list[Connection]] = {}
        self._tls: ssl.SSLContext | None = None

    def take(self, place: Origin) -> Connection | None:
        """An idle connection: the one used last, which is the likeliest to be alive."""
        idle = self._idle.get(place)
        oldest = self.loop.time() - IDLE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def connect(self, place: Origin) -> Connection:
        """A new connection. Raises OSError, and UnicodeError for a name that no host can have."""
        if place.secure and self._tls is None:
            self._tls = ssl.create_default_context()
        _, protocol = await self.loop.create_connection(
            lambda: Connection(self, place),
            place.host,
            place.port,
            ssl=self._tls if place.secure else None,
        )
        return protocol

    def give(self, place: Origin, connection: Connection) -> None:
        """Take a connection back."""
        self._idle.setdefault(place, []).append(connection)

    def forget(self, place: Origin, connection: Connection) -> None:
        """A connection is closed."""
        idle = self._idle.get(place)
        if idle and connection in idle:
            idle.remove(connection)

    def close(self) -> None:
        """Close all idle connections."""
        for idle in self._idle.values():
            for connection in list(idle):
                connection.abort()
