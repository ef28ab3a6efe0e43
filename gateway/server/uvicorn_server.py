"""Runs the embedded host on uvicorn: one process, one port, a graceful end.

The first SIGINT or SIGTERM closes the listener and lets requests in flight finish for a while, the second
ends them at once; both lead to exit code 0. Heads that never end or are no HTTP are answered with 4xx.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.errors import BadRequest, error_body
from gateway.server.replies import KnownFailures, error_headers

#: Seconds an idle connection stays open, as behind the Functions host.
KEEP_ALIVE_SECONDS = 120
#: Bytes a request's head may have before it is complete. Twice what `embedded` accepts, because it has the
#: better answer for heads that do come to an end.
MAX_HEAD_BYTES = 65536
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
#: Seconds for a request's head from its first byte on; and for a first byte on a new connection.
HEAD_SECONDS = 30.0
#: Connections the kernel holds until they are accepted.
BACKLOG = 2048


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 with a bound on heads (its parser has none) and errors in OpenAI's shape."""

    #: Ends a connection whose next head does not come, or never ends.
    head_timer: asyncio.TimerHandle | None = None
    #: Between a request's first byte and the end of its head.
    in_head = False
    #: Whether the next bytes belong to a head.
    expects_head = True
    head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self.forget_head()

    def on_message_begin(self) -> None:
        """Take note that a request begins."""
        super().on_message_begin()
        self.in_head = True
        self.head_bytes = 0

    def on_headers_complete(self) -> None:
        """Take note that the request's head is complete."""
        self.in_head = self.expects_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Take note that the request is complete."""
        self.expects_head = True
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what came; refuse a head that goes on for ever."""
        continues = self.in_head
        super().data_received(hide_upgrade(data) if self.expects_head else data)
        if continues and self.in_head and not self.transport.is_closing():
            self.head_bytes += len(data)
            if self.head_bytes > MAX_HEAD_BYTES:
                self.refuse(431, "The request's headers are too long.")
        if not self.in_head:
            self.forget_head()
        elif self.head_timer is None:
            self.watch_head()

    def watch_head(self) -> None:
        """Give the next head its time; uvicorn's own timer is for idle connections that were used before."""
        self.head_timer = self.loop.call_later(HEAD_SECONDS, self.head_is_late)

    def forget_head(self) -> None:
        """The head is there, or is not wanted any more."""
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def head_is_late(self) -> None:
        """Give a connection up that holds a place and asks for nothing."""
        if self.cycle is not None and not self.cycle.response_complete:
            # The head of a pipelined request; the reply before it must not be disturbed.
            self.watch_head()
        elif self.in_head:
            self.refuse(408, "The request's headers did not arrive in time.")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's answer to what its parser does not understand."""
        del msg
        self.refuse(400, "The request is not valid HTTP/1.1.")

    def refuse(self, status: int, message: str) -> None:
        """Answer on the bare connection, since there is no request, and close it."""
        body = error_body(BadRequest(message))
        lines = [b"%s: %s\r\n" % pair for pair in error_headers(BadRequest(message), body)]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"connection: close\r\n\r\n", body]))
        self.transport.close()


def hide_upgrade(data: bytes) -> bytes:
    """`data`, the beginning of a request, with an Upgrade header under another name.

    Java's HTTP client offers h2c on every request, bodies included. A server may ignore the offer (RFC 9110
    section 7.8), but uvicorn's parser takes the head for the end of HTTP and loses the body.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"\r\nx-ignored-upgrade:", head) + end + rest if UPGRADE.search(head) else data


class Server(uvicorn.Server):
    """Uvicorn that ends with the first signal in its own time and with the second at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[int], None] | None = None,
        on_stop: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(config)
        self.on_ready = on_ready
        self.on_stop = on_stop
        self.loop: asyncio.AbstractEventLoop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, then say so."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.on_ready is not None and sockets:
            self.on_ready(sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in flight, then close what they used."""
        await super().shutdown(sockets)
        if self.on_stop is not None:
            await self.on_stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Signal handler. Uvicorn's own would raise the signal again afterwards: exit code 130 or 143."""
        del sig, frame
        if self.should_exit:
            self.force_exit = True
            self.loop.call_soon_threadsafe(self.cut)
        self.should_exit = True

    def cut(self) -> None:
        """End every connection and every request."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the listening socket names its protocol. With it on, the
    # second write of a reply waits for the client's delayed acknowledgement: 40 ms each.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def run(
    app: ASGIApp,
    host: str,
    port: int,
    grace_seconds: float,
    *,
    on_ready: Callable[[int], None] | None = None,
    on_stop: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Serve until a signal comes; returns the exit code: 0, or 1 where the address cannot be bound.

    `port` 0 takes a free one; `on_ready` is told the port once connections are accepted. Requests in flight
    have `grace_seconds` to finish after the first signal; `on_stop` is awaited after the last one.
    """
    try:
        listener = listen(host, port)
    except OSError as error:
        print(f"Cannot listen on {host}:{port}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - for people
        return 1
    logging.getLogger("uvicorn.error").addFilter(KnownFailures())
    options: dict[str, Any] = {
        "http": HttpProtocol,
        "interface": "asgi3",
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": grace_seconds,
    }
    with listener:
        Server(uvicorn.Config(app, **options), on_ready, on_stop).run([listener])
    return 0
