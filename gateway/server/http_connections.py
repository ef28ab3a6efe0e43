"""The connections of the embedded host: how many, how long each step may take, how much may pile up.

aiohttp's server does the HTTP. A `GuardedConnection` stands between it and the transport: it hands on what
comes (`incoming`), is told where a request begins and ends, and keeps the `deadlines`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

from aiohttp.streams import StreamReader

from gateway.errors import BadRequest, GatewayError, Overloaded
from gateway.server.connection_table import ConnectionTable
from gateway.server.deadlines import Deadlines, Overdue
from gateway.server.incoming import IncomingBytes
from gateway.server.pace import Pace
from gateway.server.replies import bare_reply
from gateway.server.server_protocol import ServerProtocol

#: Bytes that are read at a time where a head is expected, and behind a request that is served.
READ_HEAD_BYTES = 16384
#: SO_LINGER's value for RST in place of FIN: on, for 0 seconds.
RESET = struct.pack("ii", 1, 0)


class GuardedConnection(asyncio.BufferedProtocol):
    """One client's connection: bytes in, bytes counted, deadlines kept."""

    __slots__ = (
        "_begin",
        "_connections",
        "_deadlines",
        "_handler",
        "_incoming",
        "_leave",
        "_left",
        "_reading_on",
        "_refused",
        "client",
        "loop",
        "request",
        "room",
        "transport",
    )

    def __init__(
        self, connections: ConnectionTable, begin: Callable[[GuardedConnection], ServerProtocol]
    ) -> None:
        """`begin` makes what speaks HTTP on a connection, once its first bytes have come."""
        self._connections = connections
        self._begin = begin
        #: None while the client has said nothing.
        self._handler: ServerProtocol | None = None
        self.transport: asyncio.Transport
        #: The client's address and port; None where it had left before they were asked for.
        self.client: tuple[str, int] | None = None
        self.loop = connections.loop
        #: The task that serves a request now.
        self.request: asyncio.Task[None] | None = None
        self._deadlines = Deadlines()
        self._refused = False
        self._incoming = IncomingBytes()
        #: Set when the connection is lost; made when somebody waits for it.
        self._left: asyncio.Event | None = None
        #: Called when the connection is lost.
        self._leave: Callable[[], object] | None = None
        #: When what is passed over is read on.
        self._reading_on: asyncio.TimerHandle | None = None
        #: Set when the client has room for more of a reply, or has left; None while it has.
        self.room: asyncio.Event | None = None

    @property
    def pipelined(self) -> bool:
        """Whether another request has come before the reply to this one."""
        return self._incoming.pipelined

    @property
    def stopping(self) -> bool:
        """No further request is wanted."""
        return self._connections.stopping

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request, or turn the client away."""
        self.transport = transport  # type: ignore[assignment]  # TCP's are of this kind
        if self._connections.admit(self):
            # Not before: while there is no connection, nobody reads the clock.
            self._deadlines.idle_since = self._connections.now
        elif self._connections.overrun:
            self.transport.abort()
        else:
            self.refuse(Overloaded("Too many connections are open.", retry_after=1))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or was let go."""
        self._connections.forget(self)
        if self._handler is not None:
            self._handler.connection_lost(exc)
        self._incoming.clear()
        self._make_room()
        if self._left is not None:
            self._left.set()
        if self._reading_on is not None:
            self._reading_on.cancel()
            self._connections.passed_over.give_back()
        self._tell_leaving()

    def pause_writing(self) -> None:
        """The client does not read, or not as fast as it is written to."""
        self._deadlines.blocked_since = self._connections.now
        self.room = asyncio.Event()
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._deadlines.blocked_since = None
        self._make_room()
        if self._handler is not None:
            self._handler.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: one place for all connections, since they are copied at once."""
        del sizehint
        buffer = self._connections.buffer
        return buffer if self._refused or self._incoming.body_left else buffer[:READ_HEAD_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what came, or hold it until it is its turn."""
        if self._refused:
            self._pass_over()
            return
        if self._handler is None:
            self._speak_http()
        data = bytes(self._connections.buffer[:nbytes])
        if self._deadlines.head_since is None and not self._incoming.body_left:
            self._deadlines.head_since = self._connections.now
        try:
            self._incoming.receive(data)
        except BadRequest as error:
            self.refuse(error, 431)

    def eof_received(self) -> None:
        """The client sends no more; asyncio then closes the connection."""
        if self._handler is not None:
            self._handler.eof_received()

    def request_begins(self, body: StreamReader, task: asyncio.Task[None], length: int | None) -> None:
        """A request's head is complete; `task` answers it. `length` is its body's, where it was declared."""
        self.request = task
        self._deadlines.head_since = None
        self._connections.use(self)
        self._incoming.request_begins(body, length)

    def request_ends(self) -> None:
        """Its reply is sent as far as it will be; its body may still be coming."""
        self.request = None
        self._incoming.request_ends()
        deadlines = self._deadlines
        deadlines.used = True
        deadlines.idle_since = self._connections.now
        if deadlines.head_since is not None:
            deadlines.head_since = deadlines.idle_since
        self._connections.release(self)

    def ready(self) -> None:
        """The server is ready for another request."""
        try:
            if self._incoming.ready():
                self._deadlines.head_since = self._connections.now
        except BadRequest as error:
            self.refuse(error, 431)

    async def left(self) -> None:
        """Wait until the connection is lost."""
        if self.transport.is_closing():
            return
        if self._left is None:
            self._left = asyncio.Event()
        await self._left.wait()

    def watch(self, leave: Callable[[], object] | None) -> None:
        """Call `leave` once when the connection is lost; None calls nobody."""
        self._leave = leave
        if leave is not None and self.transport.is_closing():
            self.loop.call_soon(self._tell_leaving)

    async def linger(self) -> None:
        """End the reply to a request whose body is not read to its end; returns when the connection is lost.

        What still comes of the body is passed over: parsing chunks of two bytes kept others waiting
        for 20 s. The client sees the end of what is sent, and need not wait for the connection's.
        """
        if self.transport.is_closing():
            return
        self._refused = True
        self._deadlines.closing_since = self._connections.now
        self._incoming.end_body()
        self.transport.write_eof()
        await self.left()

    async def hold_refusal(self) -> None:
        """Wait until a refusal may be sent, or the client has left."""
        if wait := self._connections.refusal_wait():
            self._connections.held += 1
            try:
                await self._left_within(wait)
            finally:
                self._connections.held -= 1

    async def let_others_upload(self) -> None:
        """Wait for the turn of a body in very small chunks."""
        await self._wait_for_turn(self._connections.small_chunks)

    async def let_others_in(self) -> None:
        """Wait for the turn of a request that was sent before the reply to the one before."""
        await self._wait_for_turn(self._connections.pipelined)

    async def _wait_for_turn(self, pace: Pace) -> None:
        """Wait until `pace` lets this connection go on, or the client has left; others then take its turn."""
        wait = pace.wait(self.loop.time())
        if not wait:
            await asyncio.sleep(0)
            return
        waited = False
        try:
            waited = not await self._left_within(wait)
        finally:
            if not waited:
                pace.give_back()

    async def _left_within(self, seconds: float) -> bool:
        """Wait for so many seconds, or until the connection is lost; whether it is."""
        try:
            async with asyncio.timeout(seconds):
                await self.left()
        except TimeoutError:
            return False
        return True

    def refuse(self, error: GatewayError, status: int | None = None) -> None:
        """Answer on the bare connection, where no request is served, and close it."""
        self._refused = True
        self._deadlines.closing_since = self._connections.now
        self._incoming.clear()
        self.transport.write(bare_reply(error, status))
        # Closed at once, the connection would be reset where bytes are unread, and the answer be lost.
        self.transport.write_eof()

    def reset(self) -> None:
        """Break the connection off, which no client takes for the end of a reply."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def close(self) -> None:
        """Close the connection once what was written has been sent."""
        self._deadlines.closing_since = self._connections.now
        self.transport.close()

    def check(self, now: float) -> None:
        """Keep the deadlines. `now` is the event loop's time in seconds."""
        if self._deadlines.closing_since is None and self.transport.is_closing():
            self._deadlines.closing_since = now
        overdue = self._deadlines.overdue(
            now, serving=self.request is not None, body_left=self._incoming.body_left
        )
        if overdue is Overdue.ABORT:
            self.transport.abort()
        elif overdue is Overdue.CLOSE:
            self.close()
        elif overdue is Overdue.REFUSE:
            self.refuse(BadRequest("The request's headers did not arrive in time."), 408)

    def _speak_http(self) -> None:
        """Make what a connection needs whose client speaks: many may be silent, or come all at once."""
        client = self.transport.get_extra_info("peername")
        self.client = client and client[:2]
        handler = self._begin(self)
        handler.connection_made(self.transport)
        self._incoming.begin(handler, self.transport)
        self._handler = handler

    def _pass_over(self) -> None:
        """Read no more of what is not wanted until it is this connection's turn."""
        if wait := self._connections.passed_over.wait(self.loop.time()):
            self.transport.pause_reading()
            self._reading_on = self.loop.call_later(wait, self._read_on)

    def _read_on(self) -> None:
        self._reading_on = None
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _tell_leaving(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def _make_room(self) -> None:
        if self.room is not None:
            self.room.set()
            self.room = None
