"""The connections of the embedded host: how many, how long each step may take, how much may pile up.

aiohttp's server does the HTTP. A `GuardedConnection` stands between it and the transport and hands every
byte on as it came, but not at once: a head when all of it is there, and one request at a time. Parsed, a head
takes six times its bytes and more, and a thousand connections may each have one that does not end, or many.
It counts the bytes, and is told where a request begins and ends. Only completed work moves a deadline:

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
from gateway.server.heads import HeldBytes
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
#: Bytes that are read at a time where a head is expected, and behind a request that is served.
READ_HEAD_BYTES = 16384
#: Bytes behind a request that is served, above which no more is read until it has ended.
MAX_PIPELINED_BYTES = 32768
#: Bytes handed on at a time of a body whose end only the parser sees: as much of what is behind it is parsed.
CHUNKED_BYTES = 2048
#: How a packet ends, and how many lines it has at most, that is one request to all appearances.
USUAL_ENDS = (b"}", b"\r\n\r\n")
USUAL_LINES = 64
#: SO_LINGER's value for RST in place of FIN: on, for 0 seconds.
RESET = struct.pack("ii", 1, 0)


class GuardedConnection(asyncio.BufferedProtocol):
    """One client's connection: bytes in, bytes counted, deadlines kept."""

    __slots__ = (
        "_blocked_since",
        "_body",
        "_body_bytes",
        "_body_seen",
        "_busy",
        "_closing_since",
        "_connections",
        "_handler",
        "_head_bytes",
        "_head_since",
        "_held",
        "_idle_since",
        "_left",
        "_length",
        "_refused",
        "_room",
        "_stopped",
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
        #: Bytes that came behind its head, framing included; and how many these will be, if that is known.
        self._body_bytes = 0
        self._length: int | None = None
        #: Bytes of a head that were handed on before it was whole, and of blank lines.
        self._head_bytes = 0
        #: What has come of a head, or behind a request that is served.
        self._held = HeldBytes()
        #: A head was handed on, and the server is not ready for another.
        self._busy = False
        #: Nothing is read, for too much is held.
        self._stopped = False
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
        return bool(self._held) or self._handler.pipelined

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
        self._held.clear()
        self._body = EMPTY_PAYLOAD
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
        """Where the next bytes go: one place for all connections, since they are copied at once."""
        del sizehint
        buffer = self._connections.buffer
        return buffer[:READ_HEAD_BYTES] if self._body.is_eof() else buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what came, or hold it until it is its turn."""
        if self._refused:
            return
        data = bytes(self._connections.buffer[:nbytes])
        if not self._body.is_eof():
            self._take_body(data)
            return
        if self._head_since is None:
            self._head_since = self._connections.now
        if (
            not (self._busy or self._held)
            and data.endswith(USUAL_ENDS)
            and data.count(b"\n\r\n") == 1
            and data.count(b"\n") <= USUAL_LINES
        ):
            # Nearly all requests: a head, a body in JSON or none. If it only looks so, little is behind it.
            self._head_bytes += nbytes
            self._handler.data_received(data)
            self._busy = self._handler.pipelined
            if self._busy:
                self._head_bytes = 0
            elif self._head_bytes > MAX_HEAD_BYTES:
                self.refuse(BadRequest("The request's headers are too long."), 431)
            return
        self._held.add(data)
        if self._busy:
            self._limit_pipelined()
        else:
            self._take_head()

    def eof_received(self) -> None:
        """The client sends no more; asyncio then closes the connection."""
        self._handler.eof_received()

    def request_begins(self, body: StreamReader, task: asyncio.Task[None], length: int | None) -> None:
        """A request's head is complete; `task` answers it. `length` is its body's, where it was declared."""
        self.request = task
        self._body = body
        # What came with the head is in it already.
        self._body_seen = self._body_bytes = body.total_bytes
        self._stray_bytes = 0
        self._length = length
        self._head_since = None
        self._connections.use(self)
        if self._held and not body.is_eof():
            self._take_body(self._held.take(len(self._held)))
            self._read_on()

    def request_ends(self) -> None:
        """Its reply is sent as far as it will be; its body may still be coming."""
        self.request = None
        self._used = True
        self._idle_since = self._connections.now
        if self._head_since is not None:
            self._head_since = self._idle_since
        self._connections.release(self)

    def ready(self) -> None:
        """The server is ready for another request."""
        self._busy = self._handler.pipelined
        if self._held and not self._busy:
            self._take_head()
            if self._held:
                self._head_since = self._connections.now
        self._read_on()

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
        self._held.clear()
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
        self._held.clear()
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

    def _take_head(self) -> None:
        """Hand on a head that is whole; of another what the server has to see at once."""
        while self._held and (part := self._held.take_head()):
            self._head_bytes += len(part)
            if self._head_bytes > MAX_HEAD_BYTES:
                break
            self._handler.data_received(part)
            if self._handler.pipelined:
                self._busy = True
                self._head_bytes = 0
                return
        if self._head_bytes + len(self._held) > MAX_HEAD_BYTES:
            self.refuse(BadRequest("The request's headers are too long."), 431)

    def _take_body(self, data: bytes) -> None:
        """Hand on what is of a body, and hold what is behind it."""
        body = self._body
        start = 0
        while start < len(data) and not body.is_eof() and not self.transport.is_closing():
            size = CHUNKED_BYTES if self._length is None else self._length - self._body_bytes
            if not size:
                break
            piece = data[start : start + size]
            start += size
            self._handler.data_received(piece)
            self._count_body(body, len(piece))
        if start < len(data):
            self._held.add(data[start:])
            self._limit_pipelined()

    def _count_body(self, body: StreamReader, nbytes: int) -> None:
        """So many bytes were handed on. Cut off what is not to become a body."""
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

    def _limit_pipelined(self) -> None:
        if len(self._held) <= MAX_PIPELINED_BYTES or self._stopped:
            return
        # Before a request has begun it may be its body.
        if self.request is None or self._held.whole_head:
            self._stopped = True
            self.transport.pause_reading()
        elif len(self._held) > MAX_HEAD_BYTES:
            self.transport.abort()

    def _read_on(self) -> None:
        # Of a head that is not whole more has to come, however much of it is held.
        wanted = not self._busy or len(self._held) <= MAX_PIPELINED_BYTES
        if self._stopped and wanted and not self._handler.reading_paused:
            self._stopped = False
            self.transport.resume_reading()
