"""The connections of the embedded host: how many, how long each step may take, how much may pile up.

aiohttp's server does the HTTP. A `GuardedConnection` stands between it and the transport and hands every
byte on as it came. It counts them, and is told where a request begins and ends. Only completed work moves a
deadline:

* idle: before the first request and between two. Where no room is left, the longest idle connection makes it;
* head: from its first byte, stray blank lines included, to its end;
* lingering: what is left of a body or of a reply when the connection is to be closed;
* reading: the client takes less than 48 KB of a reply in `READ_SECONDS` (asyncio's write buffer pauses the
  writer at 64 KB and lets it go on at 16 KB).

A body's deadline is kept where it is read (`pipeline.uploads`). The clock is read once for all connections,
so a deadline may be late by `connection_table.TICK_SECONDS`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus

from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestPayloadError

from gateway.errors import BadRequest, GatewayError, Overloaded, error_body
from gateway.server import connection_table
from gateway.server.connection_table import READ_BYTES, ConnectionTable
from gateway.server.replies import error_headers
from gateway.server.server_protocol import ServerProtocol

#: Seconds a connection stays open between two requests. Longer than the usual 60 of proxies, which cannot
#: retry a POST on a connection that this side has just closed.
IDLE_SECONDS = 75.0
#: Seconds for a request's head from its first byte on; and for a first byte on a new connection.
HEAD_SECONDS = 30.0
#: Seconds for the rest of a body that nobody reads, and for the rest of a reply before the connection closes.
LINGER_SECONDS = 10.0
#: Seconds for a client to make room for more of a reply.
READ_SECONDS = 60.0
#: Bytes a request's head may have before it is complete. Twice what `embedded` accepts, because it has the
#: better answer for heads that do come to an end. As much may come in a body that is no part of it: trailers,
#: and the framing of chunks.
MAX_HEAD_BYTES = 65536
#: Bytes of further requests that a client may send before it has its reply.
MAX_PIPELINED_BYTES = 524288
#: SO_LINGER's value for RST in place of FIN: on, for 0 seconds.
RESET = struct.pack("ii", 1, 0)


class GuardedConnection(asyncio.BufferedProtocol):
    """One client's connection: bytes in, bytes counted, deadlines kept."""

    __slots__ = (
        "_blocked_since",
        "_body",
        "_body_bytes",
        "_body_seen",
        "_closing_since",
        "_connections",
        "_handler",
        "_head_bytes",
        "_head_since",
        "_idle_since",
        "_left",
        "_refused",
        "_room",
        "_stray_bytes",
        "_used",
        "client",
        "loop",
        "request",
        "server",
        "transport",
    )

    def __init__(self, connections: ConnectionTable, handler: ServerProtocol) -> None:
        self._connections = connections
        self._handler = handler
        self.transport: asyncio.Transport
        #: Address and port of both ends.
        self.client: tuple[str, int] | None
        self.server: tuple[str, int] | None
        self.loop = connections.loop
        #: The task that serves a request now.
        self.request: asyncio.Task[None] | None = None
        self._used = False
        self._refused = False
        self._idle_since = 0.0
        #: The body of the request that is served, or was last: it may still be on its way.
        self._body: StreamReader = EMPTY_PAYLOAD
        self._body_seen = 0
        #: Bytes that came behind its head, framing included.
        self._body_bytes = 0
        #: Bytes since the last request began, but for bodies: of a head; or behind a request that is served.
        self._head_bytes = 0
        self._head_since: float | None = None
        #: Bytes within a body that have not made it longer.
        self._stray_bytes = 0
        self._blocked_since: float | None = None
        self._closing_since: float | None = None
        self._left: asyncio.Future[None] | None = None
        #: Set when there is room for more of a reply; None while there is.
        self._room: asyncio.Event | None = None

    @property
    def pipelined(self) -> bool:
        """Whether another request has come before the reply to this one."""
        return self._handler.pipelined

    @property
    def stopping(self) -> bool:
        """No further request is wanted."""
        return self._connections.stopping

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request, or turn the client away."""
        self.transport = transport  # type: ignore[assignment]  # TCP's are of this kind
        # None where the client has left already.
        client, server = (transport.get_extra_info(name) for name in ("peername", "sockname"))
        self.client = client and client[:2]
        self.server = server and server[:2]
        if self._connections.admit(self):
            # Not before: while there is no connection, nobody reads the clock.
            self._idle_since = self._connections.now
            self._handler.connection_made(transport)
        elif self._connections.overrun:
            self.transport.abort()
        else:
            self.refuse(Overloaded("Too many connections are open.", retry_after=1))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or was let go."""
        self._connections.forget(self)
        self._handler.connection_lost(exc)
        self._make_room()
        if self._left is not None and not self._left.done():
            self._left.set_result(None)

    def pause_writing(self) -> None:
        """The client does not read, or not as fast as it is written to."""
        self._blocked_since = self._connections.now
        self._room = asyncio.Event()
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._blocked_since = None
        self._make_room()
        self._handler.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: one place for all connections, since they are handed on at once."""
        del sizehint
        return self._connections.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what came."""
        if self._refused:
            return
        data = bytes(self._connections.buffer[:nbytes])
        body = self._body
        if body.is_eof():
            self._head_bytes += nbytes
            self._handler.data_received(data)
            if self._head_since is None:
                self._head_since = self._connections.now
            if self._head_bytes > MAX_HEAD_BYTES:
                # The head may be complete; the server says so within two turns of the event loop.
                self.loop.call_soon(self.loop.call_soon, self._limit_head)
            return
        self._handler.data_received(data)
        self._body_bytes += nbytes
        # What the server has not parsed yet is in it: as much as is read at a time.
        if self._body_bytes > READ_BYTES + MAX_HEAD_BYTES + body.total_bytes + body.total_bytes // 4:
            self.transport.abort()
        elif body.total_bytes == self._body_seen:
            self._stray_bytes += nbytes
            if self._stray_bytes > MAX_HEAD_BYTES:
                self.transport.abort()
        else:
            self._body_seen = body.total_bytes
            self._stray_bytes = 0
        if self._handler.refused(body):
            body.set_exception(RequestPayloadError("The body is no HTTP."))

    def eof_received(self) -> None:
        """The client sends no more; asyncio then closes the connection."""
        self._handler.eof_received()

    def request_begins(self, body: StreamReader, task: asyncio.Task[None]) -> None:
        """A request's head is complete; `task` answers it."""
        self.request = task
        self._body = body
        self._body_seen = self._body_bytes = self._stray_bytes = self._head_bytes = 0
        self._head_since = None
        self._connections.use(self)

    def request_ends(self) -> None:
        """Its reply is sent as far as it will be; its body may still be coming."""
        self.request = None
        self._used = True
        self._idle_since = self._connections.now
        if self._head_since is not None:
            self._head_since = self._idle_since
        self._connections.release(self)

    async def room(self) -> None:
        """Wait until the client has room for more of a reply, or has left."""
        if self._room is not None:
            await self._room.wait()

    async def left(self) -> None:
        """Wait until the connection is lost."""
        self._left = self.loop.create_future()
        if self.transport.is_closing():
            return
        await self._left

    async def linger(self) -> None:
        """End the reply to a request whose body is not read to its end; returns when the connection is lost.

        What still comes of the body is passed over: parsing chunks of two bytes kept others waiting
        for 20 s. The client sees the end of what is sent, and need not wait for the connection's.
        """
        if self.transport.is_closing():
            return
        self._refused = True
        self._closing_since = self._connections.now
        # The server waits for no more of it.
        self._body.feed_eof()
        self.transport.write_eof()
        await self.left()

    async def hold_refusal(self) -> None:
        """Wait until a refusal may be sent, or the client has left."""
        if wait := self._connections.refusal_wait():
            self._connections.held += 1
            try:
                async with asyncio.timeout(wait):
                    await self.left()
            except TimeoutError:
                return
            finally:
                self._connections.held -= 1

    async def let_others_in(self) -> None:
        """Wait for the turn of a request that was sent before the reply to the one before."""
        await asyncio.sleep(self._connections.pipelined.wait(self.loop.time()))

    def refuse(self, error: GatewayError, status: int | None = None) -> None:
        """Answer on the bare connection, where no request is served, and close it."""
        self._refused = True
        self._closing_since = self._connections.now
        body = error_body(error)
        code = status or error.status
        head = [f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\n".encode()]
        head += [b"%s: %s\r\n" % pair for pair in error_headers(error, body)]
        self.transport.write(b"".join([*head, b"connection: close\r\n\r\n", body]))
        # Closed at once, the connection would be reset where bytes are unread, and the answer be lost.
        self.transport.write_eof()

    def reset(self) -> None:
        """Break the connection off, which no client takes for the end of a reply."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def close(self) -> None:
        """Close the connection once what was written has been sent."""
        self._closing_since = self._connections.now
        self.transport.close()

    def check(self, now: float) -> None:
        """Keep the deadlines. `now` is the event loop's time in seconds."""
        if self._closing_since is not None:
            if now - self._closing_since > LINGER_SECONDS:
                self.transport.abort()
        elif self.transport.is_closing():
            self._closing_since = now
        elif self._blocked_since is not None and now - self._blocked_since > READ_SECONDS:
            self.transport.abort()
        elif self.request is None:
            if not self._body.is_eof():
                # The server gives what is left of it LINGER_SECONDS, too, but waits where it is paused.
                if now - self._idle_since > LINGER_SECONDS + connection_table.TICK_SECONDS:
                    self.close()
            elif self._head_since is not None:
                if now - self._head_since > HEAD_SECONDS:
                    self.refuse(BadRequest("The request's headers did not arrive in time."), 408)
            elif now - self._idle_since > (IDLE_SECONDS if self._used else HEAD_SECONDS):
                self.close()

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _limit_head(self) -> None:
        if self._head_bytes <= MAX_HEAD_BYTES or self._closing_since is not None:
            return
        if self.request is None:
            self.refuse(BadRequest("The request's headers are too long."), 431)
        elif self._head_bytes > MAX_PIPELINED_BYTES:
            self.transport.abort()
