"""The embedded host's HTTP server: aiohttp's, with an ASGI application behind it. One process, one port.

Why aiohttp's, and what it was compared with: docs/embedded-http.md. The bounds of a connection are in
`http_connections`. The first SIGINT or SIGTERM closes the listener and lets requests in flight finish for a
while, the second ends them at once; both lead to exit code 0.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable

from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import HttpVersion10, HttpVersion11
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server
from starlette.types import ASGIApp

from gateway.descriptors import make_room, most_connections
from gateway.errors import BadRequest, GatewayError, InternalError, error_body
from gateway.pipeline.ending import new_request_id
from gateway.pipeline.uploads import declared_length
from gateway.server.connection_table import TICK_SECONDS, ConnectionTable
from gateway.server.embedded import MAX_HEADERS
from gateway.server.http_connections import LINGER_SECONDS, MAX_HEAD_BYTES, GuardedConnection
from gateway.server.http_requests import HttpReply, HttpRequest
from gateway.server.replies import error_headers, log_failure
from gateway.server.stop_signals import Signals

logger = logging.getLogger("gateway.hosting")

#: Connections the kernel holds until they are accepted.
BACKLOG = 2048
#: Connections accepted in one turn of asyncio's loop: those to be turned away are, before more are accepted.
ACCEPTED_AT_ONCE = 16
#: Connections open at one time, where the caller names no other number.
MAX_CONNECTIONS = 1000

#: Lines that a head and its trailers may have before they are read no further. `embedded` has the better
#: answer for heads within it; each line of a packet costs the others time.
MAX_HEADER_LINES = 1000

#: Half of the bytes of a body that wait to be read, and 16 times half of its chunks: those of two bytes cost
#: fifty times as much memory and time as others.
BUFFER_BYTES = 8192

#: aiohttp's method of a request that could not be read.
UNKNOWN = "UNKNOWN"
NOT_HTTP = "The request is not valid HTTP/1.1."
#: aiohttp's words for more than MAX_HEADER_LINES.
TOO_MANY_HEADERS = "Too many headers received"
#: What aiohttp raises for a body that is no HTTP.
BODY_FAULTS = (RequestPayloadError, HttpProcessingError)


class ErrorResponse(Response):
    """The reply to what the application does not answer; a refusal waits for its turn where many are."""

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send its head."""
        if self.status < 500 and isinstance(request, HttpRequest):
            await request.connection.hold_refusal()
        return await super().prepare(request)


class HttpHandler(RequestHandler):
    """aiohttp's HTTP/1.1 on one connection; what it refuses gets OpenAI's error shape."""

    __slots__ = ("connection",)

    connection: GuardedConnection

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """The reply to what is no HTTP. Raises ConnectionError where a reply has begun: it must not end."""
        del message
        if isinstance(exc, ConnectionError):
            raise exc
        if isinstance(request, HttpRequest) and request.begun:
            raise ConnectionResetError
        if isinstance(exc, LineTooLong):
            return error_response(BadRequest("The request's headers are too long."), 431)
        if isinstance(exc, BadHttpMessage) and exc.message == TOO_MANY_HEADERS:
            return error_response(BadRequest(f"The request has more than {MAX_HEADERS} headers."), 431)
        return error_response(InternalError() if status >= 500 else BadRequest(NOT_HTTP))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give up what is under way, and the connection: both know each other, a circle."""
        super().connection_lost(exc)
        del self.connection

    def log_exception(self, *args: object, **kw: object) -> None:
        """What nobody caught; not what the rest of a body raises that nobody reads and that is no HTTP."""
        del args
        error = kw.get("exc_info")
        if isinstance(error, BaseException) and not isinstance(error, BODY_FAULTS):
            log_failure(error, new_request_id())

    @property
    def pipelined(self) -> bool:
        """Whether another request has come before this one's reply."""
        return bool(self._messages)

    @property
    def reading_paused(self) -> bool:
        """Whether it wants no more to be read for now."""
        return self._reading_paused or self._buffer_paused

    def refused(self, body: StreamReader) -> bool:
        """Whether what has come of `body` is no HTTP."""
        # aiohttp queues its refusal behind the request, and lets the body's reader wait.
        return self.pipelined and not body.is_eof()


class HttpServer(Server):
    """Serves an ASGI application."""

    def __init__(self, app: ASGIApp, connections: ConnectionTable) -> None:
        super().__init__(self.serve, request_factory=self.make_request)  # type: ignore[arg-type]  # narrower
        self._app = app
        self._guarded = connections

    def __call__(self) -> GuardedConnection:  # type: ignore[override]  # stands in front of aiohttp's
        """The protocol of a new connection."""
        handler = HttpHandler(
            self,
            loop=self._guarded.loop,
            # The deadlines of `http_connections` come first.
            keepalive_timeout=3600.0,
            lingering_time=LINGER_SECONDS,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_HEADER_LINES,
            read_bufsize=BUFFER_BYTES,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # None turns it off
            tcp_keepalive=True,
        )
        handler.connection = GuardedConnection(self._guarded, handler)
        return handler.connection

    def make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: HttpHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> HttpRequest:
        """Called by aiohttp when it is a request's turn."""
        protocol.connection.request_begins(payload, task, length_to_come(message, payload))
        if message.method == UNKNOWN:
            # What could not be read counts as HTTP/1.0, and is answered in it.
            message = message._replace(version=HttpVersion11)
        return HttpRequest(message, payload, protocol, writer, task, protocol.connection)

    async def serve(self, request: HttpRequest) -> StreamResponse | HttpReply:
        """Answer one request. Raises ConnectionError to close the connection without an end of the reply."""
        try:
            await self._app(request.scope(), request.receive, request.send)
        except Exception as error:  # noqa: BLE001 - the last resort
            if request.begun:
                # Whoever raised it after the first byte has logged it.
                raise broken_off(request) from None
            request_id = new_request_id()
            log_failure(error, request_id)
            return error_response(InternalError(), request_id=request_id)
        finally:
            request.connection.request_ends()
        if request.malformed and not request.begun:
            return error_response(BadRequest(NOT_HTTP))
        if not request.answered:
            raise broken_off(request)
        if not request.reply.keep_alive and not request.content.is_eof():
            await request.connection.linger()
        elif request.connection.pipelined:
            await request.connection.let_others_in()
        if request.reply.keep_alive:
            request.connection.ready()
        return request.reply


def length_to_come(message: RawRequestMessage, body: StreamReader) -> int | None:
    """How many bytes of a body are to come; None where it has no length, or one that is no number of ours."""
    if body.is_eof() or message.chunked:
        return None
    return declared_length(message.headers.get("Content-Length", ""))


def broken_off(request: HttpRequest) -> ConnectionError:
    """What makes aiohttp close a connection in the middle of a reply."""
    if request.version == HttpVersion10:
        # Its reply ends where the connection is closed.
        request.connection.reset()
    return ConnectionResetError()


def error_response(
    error: GatewayError, status: int | None = None, *, request_id: str | None = None
) -> ErrorResponse:
    """An error in OpenAI's shape, after which the connection is closed."""
    body = error_body(error)
    pairs = [(name.decode(), value.decode()) for name, value in error_headers(error, body, request_id)]
    response = ErrorResponse(status=status or error.status, headers=pairs, body=body)
    response.force_close()
    return response


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
    max_connections: int = MAX_CONNECTIONS,
    on_ready: Callable[[int], None] | None = None,
    on_stop: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Serve until a signal comes; returns the exit code: 0, or 1 where the address cannot be bound.

    Fewer than `max_connections` are allowed where the system has no descriptors for them, which is logged.
    `port` 0 takes a free one; `on_ready` is told the port once connections are accepted. Requests in flight
    have `grace_seconds` to finish after the first signal; `on_stop` is awaited after the last one, in their
    event loop.
    """
    try:
        listener = listen(host, port)
    except OSError as error:
        print(f"Cannot listen on {host}:{port}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 - for people
        return 1
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(
            serve(
                app,
                listener,
                grace_seconds=grace_seconds,
                max_connections=allowed_connections(max_connections),
                on_ready=on_ready,
                on_stop=on_stop,
            )
        )
    return 0


def allowed_connections(wanted: int) -> int:
    """How many of the `wanted` connections the system has descriptors for; fewer are logged."""
    make_room(wanted)
    most = most_connections(wanted)
    if most < wanted:
        logger.warning(
            "The limit on open files (ulimit -n) has room for %d connections instead of %d.", most, wanted
        )
    return most


def event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop where it is installed, else None for asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - not a requirement
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    grace_seconds: float,
    max_connections: int,
    on_ready: Callable[[int], None] | None,
    on_stop: Callable[[], Awaitable[None]] | None,
) -> None:
    """Serve until a signal comes, then end as `run` says."""
    loop = asyncio.get_running_loop()
    signals = Signals(loop)
    connections = ConnectionTable(max_connections, loop)
    server = await loop.create_server(HttpServer(app, connections), sock=listener, backlog=ACCEPTED_AT_ONCE)
    # asyncio has made it the length of the kernel's queue, too.
    listener.listen(BACKLOG)
    if on_ready is not None:
        on_ready(listener.getsockname()[1])
    await signals.first.wait()
    server.close()
    connections.close_idle()
    hurry = asyncio.ensure_future(signals.second.wait())
    emptied = asyncio.ensure_future(connections.emptied())
    await asyncio.wait({hurry, emptied}, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    await connections.cut()
    await asyncio.wait({emptied}, timeout=TICK_SECONDS)
    emptied.cancel()
    if on_stop is not None:
        await on_stop()
    signals.ignore()
