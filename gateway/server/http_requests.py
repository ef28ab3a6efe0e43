"""One HTTP request between aiohttp's server and an ASGI application."""

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
from multidict import CIMultiDict
from starlette.types import Message, Scope

from gateway.server.http_connections import GuardedConnection

PHRASES = {status.value: status.phrase for status in HTTPStatus}
#: Statuses without a body (RFC 9110 sections 15.3.5 and 15.4.5).
BODILESS = frozenset({204, 304})

_ASGI = {"version": "3.0", "spec_version": "2.3"}
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
        "_invited",
        "_length",
        "_read",
        "_sent",
        "_start",
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
        self._read = False
        self._start: Message | None = None
        #: The reply to this request has no body, whatever the application sends.
        self._bodiless = False
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
            "server": self.connection.server,
        }

    async def receive(self) -> Message:
        """The next piece of the body; after the last one, that the client has left (ASGI)."""
        if self._read:
            await self.connection.left()
            return _DISCONNECT
        if not self._invited:
            await self.writer.write(_CONTINUE)
            # Nothing of the reply is sent yet.
            self.writer.output_size = 0
            self._invited = True
        try:
            piece = await self.content.readany()
        except Exception as error:  # noqa: BLE001 - whatever aiohttp gives as the reason why no more will come
            self.malformed = not isinstance(error, ConnectionError)
            self._read = True
            return _DISCONNECT
        self._read = self.content.at_eof()
        return {"type": "http.request", "body": piece, "more_body": not self._read}

    async def send(self, message: Message) -> None:
        """Send a part of the reply; returns when the client has room for more, or has left (ASGI)."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self.malformed:
            # The server answers.
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        try:
            if not self.begun:
                await self._begin(None if more else len(body))
            if self._bodiless:
                body = b""
            self._sent += len(body)
            if more:
                await self.writer.write(body)
            else:
                await self.writer.write_eof(body)
                self.answered = self._length in {None, self._sent}
        except ConnectionError:
            # `receive` tells.
            return

    async def _begin(self, length: int | None) -> None:
        """Prepare the reply's head, which leaves with its body's first piece; `length` where that is all."""
        start = self._start
        if start is None:
            raise RuntimeError("http.response.body came before http.response.start")
        status: int = start["status"]
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        headers = CIMultiDict(pairs)
        old = self.version == HttpVersion10
        # What has not been read of the body could be taken for a request.
        keep_alive = self.keep_alive and self.content.is_eof() and not self.connection.stopping
        self._bodiless = self.method == "HEAD" or status in BODILESS
        if not self._bodiless:
            if (declared := headers.get("Content-Length")) is not None:
                self.writer.length = self._length = int(declared)
            elif length is not None:
                headers["Content-Length"] = str(length)
            elif old:
                keep_alive = False
            else:
                headers["Transfer-Encoding"] = "chunked"
                self.writer.enable_chunking()
        headers["Date"] = rfc822_formatted_time()
        if keep_alive == old:
            headers["Connection"] = "keep-alive" if keep_alive else "close"
        self.reply = HttpReply(keep_alive)
        phrase = PHRASES.get(status, "")
        await self.writer.write_headers(f"HTTP/1.{0 if old else 1} {status} {phrase}", headers)
        self.begun = True


class HttpReply:
    """A reply that is sent: what aiohttp's server asks of one when a handler returns it."""

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, request: BaseRequest) -> None:
        """Its head is sent."""

    async def write_eof(self) -> None:
        """So is its end."""
