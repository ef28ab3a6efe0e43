"""One HTTP exchange with an upstream. The only module that knows the HTTP client's interface.

Requests go to the transport directly. httpx's client would add cookies, redirects, auth flows and a log line
for each request. None of it is wanted here, and it costs more CPU than the rest of an exchange.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache

import httpx

from gateway import __version__
from gateway.upstream.coding import CodingError, Decoder, applied
from gateway.upstream.transport import PooledTransport

#: Seconds to connect, TLS included.
CONNECT_TIMEOUT = 5.0

_HEADERS = [
    (b"accept", b"*/*"),
    # Without it a coded reply would be lawful.
    (b"accept-encoding", b"identity"),
    (b"content-type", b"application/json"),
    (b"user-agent", f"azure-functions-openai-gateway/{__version__}".encode()),
]


#: Bytes of a stream that are worked through at a time.
PART = 8192
#: Bytes of a reply that is read as a whole, where nothing else is said.
LONGEST_REPLY = 64_000_000


class Unreachable(Exception):
    """No whole reply came. Raised as this class itself, no connection was made."""


class Torn(Unreachable):
    """The connection broke after the request was sent. Upstream may have charged it."""


class TooLong(Torn):
    """The reply is longer than it may be. Its connection is closed."""


class Undecodable(Torn):
    """The reply is in a coding that is not known here, or not what its coding says."""


class TooSlow(Exception):
    """The reply or its next piece did not come in time."""


class Exchange:
    """A reply whose body has not been read yet. Whoever gets it closes it."""

    __slots__ = ("_coding", "_decoder", "_left", "_pieces", "_response", "headers", "status")

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._pieces: AsyncIterator[bytes] = aiter(response.stream)  # type: ignore[arg-type]
        self.status = response.status_code
        #: Names in lower case. A dict, because httpx's Headers looks through all names for each lookup.
        self.headers = _joined(response.headers.raw)
        coding = self.headers.get("content-encoding", "")
        self._coding = applied(coding)
        self._decoder: Decoder | None = None
        #: What `part` has not given of a piece.
        self._left = memoryview(b"")

    @property
    def coded(self) -> bool:
        """Whether the body came in a content coding."""
        return self._coding is not None

    async def piece(self) -> bytes:
        """The next piece of the body as it arrives, decoded; empty at the body's end.

        Raises Torn when the connection breaks, Undecodable, and TooSlow when nothing comes.
        """
        if self._coding is None:
            return await self._raw()
        try:
            return await self._decoded(self._coding)
        except CodingError as error:
            raise Undecodable from error

    async def part(self) -> bytes:
        """As `piece`, but PART bytes at most; others have their turn between two parts of one piece.

        A piece may hold any number of events: an upstream that sends them without end must not keep the event
        loop for itself.
        """
        if self._left:
            await asyncio.sleep(0)
        else:
            piece = await self.piece()
            if len(piece) <= PART:
                return piece
            self._left = memoryview(piece)
        part, self._left = bytes(self._left[:PART]), self._left[PART:]
        return part

    async def _decoded(self, coding: str) -> bytes:
        """The next piece of a coded body."""
        decoder = self._decoder = self._decoder or Decoder(coding)
        while True:
            if decoder.pending:
                # What a small piece decodes to may be large.
                await asyncio.sleep(0)
                raw = b""
            else:
                raw = await self._raw()
            if not raw and not decoder.pending:
                decoder.check_end()
                return b""
            if piece := decoder.decode(raw):
                return piece

    async def _raw(self) -> bytes:
        try:
            return await anext(self._pieces, b"")
        except httpx.TimeoutException as error:
            raise TooSlow from error
        except httpx.TransportError as error:
            raise Torn from error

    async def read(self, most: int = LONGEST_REPLY) -> bytes:
        """The whole body. Raises as `piece` does, and TooLong for more than `most` bytes."""
        pieces = []
        size = 0
        while piece := await self.piece():
            size += len(piece)
            if size > most:
                raise TooLong
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def close(self) -> None:
        """Release the connection; close it when the reply was not read to its end."""
        await self._response.aclose()


class Upstream:
    """Sends requests over one pool of connections."""

    def __init__(self, transport: PooledTransport) -> None:
        self._transport = transport

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, silence: float) -> Exchange:
        """Send a JSON body and return the reply when its headers have come.

        `silence` is the longest wait for the next byte, in seconds. Raises Unreachable, Torn or TooSlow, and
        LocalFault where the failure is this process's own.
        """
        parsed = _url(url)
        own = [(name.encode(), value.encode()) for name, value in headers.items()]
        length = (b"content-length", b"%d" % len(body))
        request = httpx.Request(
            "POST",
            parsed,
            headers=[(b"host", parsed.netloc), *_HEADERS, *own, length],
            stream=httpx.ByteStream(body),
            extensions={"timeout": {"connect": CONNECT_TIMEOUT, "read": silence}},
        )
        try:
            return Exchange(await self._transport.handle_async_request(request))
        except (httpx.ConnectTimeout, httpx.ConnectError) as error:
            raise Unreachable from error
        except httpx.TimeoutException as error:
            raise TooSlow from error
        except httpx.TransportError as error:
            raise Torn from error

    def lost(self) -> float:
        """Seconds that the event loop has not run so far, while requests were under way."""
        return self._transport.lost()

    def excuses(self, lost_before: float, seconds: float) -> bool:
        """Whether a time-out after `seconds` says nothing of upstream, because the loop did not run.

        `lost_before` is `lost()` at the beginning of those seconds.
        """
        return self._transport.excuses(lost_before, seconds)

    async def close(self) -> None:
        """Close the pool."""
        await self._transport.aclose()


def _joined(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name. Repeated ones are joined, as RFC 9110 section 5.3 allows."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.lower().decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


@lru_cache(maxsize=1024)
def _url(url: str) -> httpx.URL:
    return httpx.URL(url)
