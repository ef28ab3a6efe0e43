"""When the bytes of a connection are handed on to aiohttp's server, and how many may wait.

Every byte is handed on as it came, but not at once: a head when all of it is there, and one request at a
time. Parsed, a head takes six times its bytes and more, and a thousand connections may each have one that
does not end, or many.
"""

from __future__ import annotations

import asyncio

from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestPayloadError

from gateway.errors import BadRequest
from gateway.server.heads import HeldBytes, seems_one_request
from gateway.server.incoming_body import IncomingBody
from gateway.server.server_protocol import ServerProtocol

#: Bytes a request's head may have before it is complete. Twice what `embedded` accepts, because it has the
#: better answer for heads that do come to an end.
MAX_HEAD_BYTES = 65536
#: Bytes behind a request that is served, above which no more is read until it has ended.
MAX_PIPELINED_BYTES = 32768

NO_BODY = IncomingBody(EMPTY_PAYLOAD)


class IncomingBytes:
    """What comes on one connection. It is told where a request begins and ends: only the server sees that."""

    __slots__ = ("_body", "_busy", "_head_bytes", "_held", "_server", "_serving", "_stopped", "_transport")

    def __init__(self) -> None:
        self._server: ServerProtocol
        self._transport: asyncio.Transport
        #: The body of the request that is served, or was last: it may still be on its way.
        self._body = NO_BODY
        #: Bytes of a head that were handed on before it was whole, and of blank lines.
        self._head_bytes = 0
        #: What has come of a head, or behind a request that is served.
        self._held = HeldBytes()
        #: A head was handed on, and the server is not ready for another; a request is served.
        self._busy = self._serving = False
        #: Nothing is read, for too much is held.
        self._stopped = False

    def begin(self, server: ServerProtocol, transport: asyncio.Transport) -> None:
        """The first bytes have come; `server` is to have them."""
        self._server = server
        self._transport = transport

    @property
    def body_left(self) -> bool:
        """Whether some of a body is still to come."""
        return not self._body.reader.is_eof()

    @property
    def pipelined(self) -> bool:
        """Whether another request has come before the reply to this one."""
        return bool(self._held) or self._server.pipelined

    def receive(self, data: bytes) -> None:
        """Hand on what came, or hold it until it is its turn. Raises BadRequest: a head is too long."""
        if self.body_left:
            self._take_body(data)
        elif not (self._busy or self._held or self._head_bytes) and seems_one_request(data):
            self._hand_on(data)
        else:
            self._held.add(data)
            if self._busy:
                self._limit_pipelined()
            else:
                self._take_head()

    def request_begins(self, body: StreamReader, length: int | None) -> None:
        """A request's head is complete. `length` is its body's, if one was declared and is to come."""
        self._serving = True
        self._body = IncomingBody(body, length)
        if self._held and self.body_left:
            self._take_body(self._held.take(len(self._held)))
            self._read_on()

    def request_ends(self) -> None:
        """Its reply is sent as far as it will be; its body may still be coming."""
        self._serving = False

    def ready(self) -> bool:
        """The server is ready for another request. Returns whether half of a head is held.

        Raises BadRequest: a head is too long.
        """
        self._busy = self._server.pipelined
        half = False
        if self._held and not self._busy:
            self._take_head()
            half = bool(self._held)
        self._read_on()
        return half

    def end_body(self) -> None:
        """What still comes of a body is not wanted. The server waits for no more of it."""
        self._held.clear()
        self._body.reader.feed_eof()

    def clear(self) -> None:
        """Nothing is wanted any more."""
        self._held.clear()
        self._body = NO_BODY

    def _take_head(self) -> None:
        """Hand on a head that is whole; of another what the server has to see at once."""
        while self._held and (part := self._held.take_head()):
            check_head_size(self._head_bytes + len(part))
            self._hand_on(part)
            if self._busy:
                return
        check_head_size(self._head_bytes + len(self._held))

    def _hand_on(self, part: bytes) -> None:
        """Hand on a head, with a small body perhaps, or its beginning."""
        self._server.data_received(part)
        self._busy = self._server.pipelined
        self._head_bytes = 0 if self._busy else self._head_bytes + len(part)

    def _take_body(self, data: bytes) -> None:
        """Hand on what is of a body, and hold what is behind it."""
        body = self._body
        if self._server.refused(body.reader):
            return
        start = 0
        while start < len(data) and self.body_left and not self._transport.is_closing():
            size = body.next_size()
            if not size:
                break
            piece = data[start : start + size]
            start += size
            self._server.data_received(piece)
            if not body.count(len(piece)):
                self._transport.abort()
            if self._server.refused(body.reader):
                body.reader.set_exception(RequestPayloadError("The body is no HTTP."))
                # What is behind it would be parsed, and refused, once more with every piece.
                return
        if start < len(data):
            self._held.add(data[start:])
            self._limit_pipelined()

    def _limit_pipelined(self) -> None:
        if len(self._held) <= MAX_PIPELINED_BYTES or self._stopped:
            return
        # Before a request has begun it may be its body.
        if not self._serving or self._held.whole_head:
            self._stopped = True
            self._transport.pause_reading()
        elif len(self._held) > MAX_HEAD_BYTES:
            self._transport.abort()

    def _read_on(self) -> None:
        # Of a head that is not whole more has to come, however much of it is held.
        wanted = not self._busy or len(self._held) <= MAX_PIPELINED_BYTES
        if self._stopped and wanted and not self._server.reading_paused:
            self._stopped = False
            self._transport.resume_reading()


def check_head_size(size: int) -> None:
    """Raises BadRequest where a head of so many bytes is too long."""
    if size > MAX_HEAD_BYTES:
        raise BadRequest("The request's headers are too long.")
