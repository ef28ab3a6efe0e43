"""HTTP/1.1 on asyncio and httptools, with the transport in reach.

A web server's interface hides what a simulator of failures needs: reason phrases, the case of header
names, resets, single bytes, heads that trickle, and the moment at which the client left. So this is a
small protocol of its own. It knows HTTP and nothing of OpenAI.
"""

from __future__ import annotations

import asyncio
import http
import logging
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Protocol

import httptools

Headers = Sequence[tuple[str, str]]

LOG = logging.getLogger("simulator")

#: SO_LINGER with a time of zero: closing sends RST instead of FIN.
LINGER_ZERO = struct.pack("ii", 1, 0)


class Handler(Protocol):
    """What serves the exchanges of all connections."""

    def fast(self, exchange: Exchange) -> bool:
        """Called with the complete request; True if it was answered or will be without further ado."""

    def is_fast(self, target: bytes) -> bool:
        """Whether requests for this target are offered to `fast`; they get no task."""

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request. Cancelled when the client leaves."""

    def left(self, exchange: Exchange) -> None:
        """The client closed the connection before the answer was complete."""


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "body_complete",
        "body_parts",
        "body_ready",
        "connection",
        "expects_continue",
        "finished",
        "headers",
        "keep_alive",
        "method",
        "state",
        "target",
    )

    def __init__(self, connection: Connection) -> None:
        """An exchange begins empty; the parser fills it."""
        self.connection = connection
        self.method = ""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body_parts: list[bytes] = []
        self.body_complete = False
        self.body_ready: asyncio.Event | None = None
        self.expects_continue = False
        self.keep_alive = True
        self.finished = False
        #: The handler's own.
        self.state: Any = None

    async def body(self) -> bytes:
        """The whole request body, once it is there."""
        if not self.body_complete:
            if self.expects_continue:
                self.expects_continue = False
                self.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.body_ready = asyncio.Event()
            await self.body_ready.wait()
        return b"".join(self.body_parts)

    def head(self, status: int, headers: Headers, *, reason: str | None = None) -> bytes:
        """Status line and header lines, `Date` included, as they go over the wire.

        Without a Content-Length the body is chunked, which is announced unless `headers` do.
        """
        phrase = http.HTTPStatus(status).phrase if reason is None else reason
        lines = [f"HTTP/1.1 {status} {phrase}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers]
        names = {name.lower() for name, _ in headers}
        if not names & {"content-length", "transfer-encoding"}:
            lines.append("Transfer-Encoding: chunked\r\n")
        if not self.keep_alive and "connection" not in names:
            lines.append("Connection: close\r\n")
        lines.append(f"Date: {http_date(int(time.time()))}\r\n\r\n")
        return "".join(lines).encode("latin-1")

    def write(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        self.connection.transport.write(data)

    async def drain(self) -> None:
        """Wait while the client reads more slowly than we write."""
        if self.connection.writable is not None:
            await self.connection.writable

    def finish(self) -> None:
        """The answer is complete; the connection is ready for the next request, or closes."""
        self.finished = True
        self.connection.exchange_finished(self)

    def close(self) -> None:
        """End the connection after what was written (FIN), whatever is missing."""
        self.finished = True
        self.connection.transport.close()

    def reset(self) -> None:
        """End the connection with RST."""
        self.finished = True
        transport = self.connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        transport.abort()


class Connection(asyncio.Protocol):
    """One client connection: parses requests and has them served one after the other."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        """`connections` is the server's set of open ones."""
        self.handler = handler
        self.connections = connections
        self.transport: asyncio.Transport
        self.parser = httptools.HttpRequestParser(self)
        self.waiting: deque[Exchange] = deque()
        self.incoming: Exchange
        self.current: Exchange | None = None
        self.task: asyncio.Task[None] | None = None
        #: Pending while the client does not read.
        self.writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        self.transport = transport  # type: ignore[assignment]
        # asyncio does this only for sockets made with an explicit protocol number, which ours is not;
        # without it every second small write waits for the client's delayed ACK, 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """asyncio: the connection is closed, by either side."""
        self.connections.discard(self)
        if self.writable is not None and not self.writable.done():
            self.writable.set_result(None)
        current = self.current
        if current is not None and not current.finished:
            self.handler.left(current)
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        """asyncio: the client reads more slowly than we write."""
        self.writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """asyncio: the client has caught up."""
        if self.writable is not None and not self.writable.done():
            self.writable.set_result(None)
        self.writable = None

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes of the client."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.write(
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            self.transport.close()

    def on_message_begin(self) -> None:
        """httptools: a request begins."""
        self.incoming = Exchange(self)

    def on_url(self, url: bytes) -> None:
        """httptools: the request target or a part of it."""
        self.incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header line, its name in the case that was sent."""
        self.incoming.headers.append((name, value))
        if len(name) == 6 and name.lower() == b"expect":
            self.incoming.expects_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """httptools: the head is complete."""
        exchange = self.incoming
        exchange.method = self.parser.get_method().decode("ascii")
        exchange.keep_alive = self.parser.should_keep_alive()
        if not self.handler.is_fast(exchange.target):
            self.enqueue(exchange)

    def on_body(self, body: bytes) -> None:
        """httptools: a part of the body."""
        self.incoming.body_parts.append(body)

    def on_message_complete(self) -> None:
        """httptools: the request is complete."""
        exchange = self.incoming
        exchange.body_complete = True
        if exchange.body_ready is not None:
            exchange.body_ready.set()
        if self.handler.is_fast(exchange.target):
            self.enqueue(exchange)

    def enqueue(self, exchange: Exchange) -> None:
        """Serve the exchange now, or after those that a pipelining client sent before it."""
        if self.current is None:
            self.begin(exchange)
        else:
            self.waiting.append(exchange)

    def begin(self, exchange: Exchange) -> None:
        """Have the exchange served."""
        self.current = exchange
        if exchange.body_complete and self.handler.is_fast(exchange.target) and self.handler.fast(exchange):
            return
        self.task = asyncio.get_running_loop().create_task(self.handler.serve(exchange))
        self.task.add_done_callback(self.served)

    def served(self, task: asyncio.Task[None]) -> None:
        """The handler is through; if it failed that is our defect, and nobody is to wait for the rest."""
        if not task.cancelled() and task.exception() is not None:
            LOG.error("The simulator failed.", exc_info=task.exception())
            self.transport.abort()

    def exchange_finished(self, exchange: Exchange) -> None:
        """The answer is written: close, or go on with the next request.

        An answer may come before its request is complete. What still arrives is read and kept for the
        log, as servers do so that the answer is not lost to a reset; only a client that waits to be told
        to go on sends nothing more, and its connection closes.
        """
        if not exchange.keep_alive or exchange.expects_continue:
            self.transport.close()
            return
        self.current = None
        self.task = None
        if self.waiting:
            self.begin(self.waiting.popleft())


@lru_cache(maxsize=1)
def http_date(second: int) -> str:
    """A second since the Unix epoch as the Date header has it; the current one is asked for often."""
    return formatdate(second, usegmt=True)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one would end it, so nothing becomes nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


#: End of a chunked body.
LAST_CHUNK = b"0\r\n\r\n"


def lower(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Header lines as text with names in lower case, for looking them up."""
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
