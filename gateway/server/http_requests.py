"""One HTTP request between aiohttp's server and an ASGI application.

aiohttp reads the request. The reply is written here: aiohttp's writer takes headers as texts in a dictionary,
which cost a tenth of a call's CPU, and as much again for each piece of a stream.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from urllib.parse import unquote

from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import HttpVersion10
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from starlette.types import Message, Scope

from gateway.server.http_connections import GuardedConnection
from gateway.server.watching import CONNECTION

PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
#: Statuses without a body (RFC 9110 sections 15.3.5 and 15.4.5).
BODILESS = frozenset({204, 304})

#: The server parses 16 KB of a body or 512 chunks, and more once half of them are read. A piece with fewer
#: bytes than this, behind which more has come, is of chunks that have less than 32.
FULL_PIECE = 8192
#: Statuses that an honest client is seldom told more than once: each costs as much as another reply.
REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE})

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_LAST_CHUNK = b"0\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_DISCONNECT = {"type": "http.disconnect"}


class HttpRequest(BaseRequest):
    """A request of aiohttp's server with the `scope`, `receive` and `send` of ASGI."""

    ATTRS = BaseRequest.ATTRS | {
        "answered",
        "begun",
        "connection",
        "malformed",
        "reply",
        "_bodiless",
        "_chunked",
        "_invited",
        "_length",
        "_read",
        "_sent",
        "_start",
        "_taken",
        "_target",
    }

    def __init__(  # noqa: PLR0917 - aiohttp's order
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
        connection: GuardedConnection,
    ) -> None:
        super().__init__(message, payload, protocol, writer, task, connection.loop)
        self.connection = connection
        #: The reply has begun.
        self.begun = False
        #: The reply is sent, its end included.
        self.answered = False
        self.reply: HttpReply
        #: The body is no HTTP.
        self.malformed = False
        self._target = message.url.raw_path_qs if message.url.absolute else message.path
        self._invited = payload.is_eof() or "Expect" not in message.headers
        #: Bytes of the body that the application has got; it has got all of them.
        self._taken = 0
        self._read = False
        self._start: Message | None = None
        #: The reply to this request has no body, whatever the application sends.
        self._bodiless = False
        self._chunked = False
        #: Bytes of its body: declared, and sent.
        self._length: int | None = None
        self._sent = 0

    def scope(self) -> Scope:
        """The request's head, as ASGI shows it."""
        # aiohttp has decoded the target as UTF-8, whatever it holds.
        target = self._target.partition("#")[0]
        path, _, query = target.partition("?")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.0" if self.version == HttpVersion10 else "1.1",
            "method": self.method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query.encode("utf-8", "surrogateescape"),
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in self.raw_headers],
            "client": self.connection.client,
            "extensions": {CONNECTION: self.connection},
        }

    async def receive(self) -> Message:
        """The next piece of the body; after the last one, that the client has left (ASGI)."""
        if self._read:
            await self.connection.left()
            return _DISCONNECT
        if not self._invited:
            self.connection.transport.write(_CONTINUE)
            self._invited = True
        try:
            piece = await self.content.readany()
        except Exception as error:  # noqa: BLE001 - whatever aiohttp gives as the reason why no more will come
            self.malformed = not isinstance(error, ConnectionError)
            # The body keeps it, and its traceback the body: a circle, which only the collector would find.
            error.__traceback__ = None
            self._read = True
            return _DISCONNECT
        self._read = self.content.at_eof()
        self._taken += len(piece)
        if self._taken < self.content.total_bytes and len(piece) < FULL_PIECE:
            await self.connection.let_others_upload()
        return {"type": "http.request", "body": piece, "more_body": not self._read}

    async def send(self, message: Message) -> None:
        """Send a part of the reply; returns when the client has room for more, or has left (ASGI)."""
        if message["type"] == "http.response.start":
            self._start = message
            if message["status"] in REFUSALS:
                await self.connection.hold_refusal()
            return
        connection = self.connection
        if self.malformed or connection.transport.is_closing():
            # The server answers; or nobody is left, as `receive` tells.
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        head = b"" if self.begun else self._begin(None if more else len(body))
        if self._bodiless:
            body = b""
        self._sent += len(body)
        if self._length is not None and self._sent > self._length:
            # Behind its declared end a body would be taken for the next reply.
            body = body[: max(0, len(body) - (self._sent - self._length))]
        end = b"" if more or not self._chunked else _LAST_CHUNK
        if self._chunked and body:
            data = b"%b%x\r\n%b\r\n%b" % (head, len(body), body, end)
        else:
            data = b"%b%b%b" % (head, body, end)
        if data:
            connection.transport.write(data)
        if not more:
            self.answered = self._length in {None, self._sent}
        if connection.room is not None:
            await connection.room.wait()

    def _begin(self, length: int | None) -> bytes:
        """The reply's head, which leaves with its body's first piece; `length` where that is all."""
        start = self._start
        if start is None:
            raise RuntimeError("http.response.body came before http.response.start")
        status: int = start["status"]
        headers: list[tuple[bytes, bytes]] = start["headers"]
        lines = [b"%b: %b\r\n" % pair for pair in headers]
        declared = next((value for name, value in headers if name.lower() == b"content-length"), None)
        old = self.version == HttpVersion10
        # What has not been read of the body could be taken for a request. The server keeps a head until the
        # next one has come: not one that was refused for its size.
        keep_alive = (
            self.keep_alive
            and self.content.is_eof()
            and not self.connection.stopping
            and status != HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        )
        self._bodiless = self.method == "HEAD" or status in BODILESS
        if not self._bodiless:
            if declared is not None:
                self._length = int(declared)
            elif length is not None:
                lines.append(b"content-length: %d\r\n" % length)
            elif old:
                keep_alive = False
            else:
                lines.append(b"transfer-encoding: chunked\r\n")
                self._chunked = True
        lines.append(b"date: %b\r\n" % rfc822_formatted_time().encode())
        if keep_alive == old:
            lines.append(b"connection: keep-alive\r\n" if keep_alive else b"connection: close\r\n")
        fields = b"".join(lines)
        if not len(lines) == fields.count(b"\n") == fields.count(b"\r") or b"\0" in fields:
            raise ValueError("a header holds a line break or a NUL")
        self.reply = HttpReply(keep_alive)
        self.begun = True
        return b"HTTP/1.%d %d %b\r\n%b\r\n" % (0 if old else 1, status, PHRASES.get(status, b""), fields)


class HttpReply:
    """A reply that is sent: what aiohttp's server asks of one when a handler returns it."""

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, request: BaseRequest) -> None:
        """Its head is sent."""

    async def write_eof(self) -> None:
        """So is its end."""


class BrokenReply(HttpReply):
    """A reply that does not end: aiohttp's server closes the connection behind what was sent."""

    async def prepare(self, request: BaseRequest) -> None:
        """Raises ConnectionResetError. Raised by a handler, its task would keep it, and it the task."""
        del request
        raise ConnectionResetError
