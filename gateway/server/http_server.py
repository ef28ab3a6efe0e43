"""The embedded host's HTTP server: aiohttp's, with an ASGI application behind it.

Why aiohttp's, and what it was compared with: docs/embedded-http.md. The bounds of a connection are in
`http_connections` and what it is made of.
"""

from __future__ import annotations

import asyncio

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

from gateway.errors import BadRequest, GatewayError, InternalError, error_body
from gateway.pipeline.ending import new_request_id
from gateway.pipeline.uploads import declared_length
from gateway.server.connection_table import ConnectionTable
from gateway.server.deadlines import LINGER_SECONDS
from gateway.server.embedded import MAX_HEADERS
from gateway.server.http_connections import GuardedConnection
from gateway.server.http_requests import BrokenReply, HttpReply, HttpRequest
from gateway.server.incoming import MAX_HEAD_BYTES
from gateway.server.replies import error_headers, log_failure

#: Lines that a head and its trailers may have before they are read no further. `embedded` has the better
#: answer for heads within it; each line costs the others time, a thousand of them 7 ms and more.
MAX_HEADER_LINES = 200

#: Half of the bytes of a body that wait to be read, and 16 times its chunks: those of two bytes cost fifty
#: times as much memory and time as others.
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
        if exc is not None:
            # The frame in which aiohttp caught it knows it: a circle, which only the collector would find.
            exc.__traceback__ = None
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
        return GuardedConnection(self._guarded, self._begin)

    def _begin(self, connection: GuardedConnection) -> HttpHandler:
        """What speaks HTTP on a connection."""
        handler = HttpHandler(
            self,
            loop=self._guarded.loop,
            # Our `deadlines` come first.
            keepalive_timeout=3600.0,
            lingering_time=LINGER_SECONDS,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_HEADER_LINES,
            read_bufsize=BUFFER_BYTES,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # None turns it off
            # Accepted connections have it from the listener.
            tcp_keepalive=False,
        )
        handler.connection = connection
        return handler

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
        """Answer one request."""
        try:
            await self._app(request.scope(), request.receive, request.send)
        except Exception as error:  # noqa: BLE001 - the last resort
            if request.begun:
                # Whoever raised it after the first byte has logged it.
                return broken_off(request)
            request_id = new_request_id()
            log_failure(error, request_id)
            return error_response(InternalError(), request_id=request_id)
        finally:
            request.connection.request_ends()
        if request.malformed and not request.begun:
            return error_response(BadRequest(NOT_HTTP))
        if not request.answered:
            return broken_off(request)
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


def broken_off(request: HttpRequest) -> BrokenReply:
    """What makes aiohttp close a connection in the middle of a reply."""
    if request.version == HttpVersion10:
        # Its reply ends where the connection is closed.
        request.connection.reset()
    return BrokenReply(keep_alive=False)


def error_response(
    error: GatewayError, status: int | None = None, *, request_id: str | None = None
) -> ErrorResponse:
    """An error in OpenAI's shape, after which the connection is closed."""
    body = error_body(error)
    pairs = [(name.decode(), value.decode()) for name, value in error_headers(error, body, request_id)]
    response = ErrorResponse(status=status or error.status, headers=pairs, body=body)
    response.force_close()
    return response
