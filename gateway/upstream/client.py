"""One HTTP exchange with an upstream. The only module that knows the HTTP client's interface.

Requests go straight to the transport: what httpx's client adds (cookies, redirects, auth flows, a
log line per request) is not wanted here, and costs more than the rest of an exchange.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import lru_cache

import httpx

from gateway import __version__

#: Seconds to connect, TLS included.
CONNECT_TIMEOUT = 5.0

_HEADERS = [
    (b"accept", b"*/*"),
    (b"content-type", b"application/json"),
    (b"user-agent", f"azure-functions-openai-gateway/{__version__}".encode()),
]


class Unreachable(Exception):
    """No reply came, or not the whole of one; by itself: no connection came about."""


class Torn(Unreachable):
    """The connection broke after the request was on its way: upstream may have charged it."""


class TooSlow(Exception):
    """The reply, or its next piece, did not come in time."""


class Exchange:
    """A reply whose body has not been read yet. Close it in every case."""

    __slots__ = ("_pieces", "_response", "headers", "status")

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._pieces: AsyncIterator[bytes] = aiter(response.stream)  # type: ignore[arg-type]
        self.status = response.status_code
        #: Names in lower case. A dict, because httpx looks through all of them for each that is asked for.
        self.headers = _joined(response.headers.raw)

    async def piece(self) -> bytes:
        """The next piece of the body as it arrives; empty at its end.

        Raises Torn when the connection breaks, TooSlow when nothing comes.
        """
        try:
            return await anext(self._pieces, b"")
        except httpx.TimeoutException as error:
            raise TooSlow from error
        except httpx.TransportError as error:
            raise Torn from error

    async def read(self) -> bytes:
        """The whole body. Raises as `piece` does."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def close(self) -> None:
        """Release the connection; cut it when the reply was not read to its end."""
        await self._response.aclose()


class Upstream:
    """Sends requests over one pool of connections."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, silence: float) -> Exchange:
        """Send a JSON body; returns when the reply's headers are there.

        `silence` is the longest wait for the next byte, in seconds. Raises Unreachable, Torn or TooSlow.
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

    async def close(self) -> None:
        """Close the pool."""
        await self._transport.aclose()


def _joined(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; those that are repeated are joined, as RFC 9110 section 5.3 allows."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.lower().decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


@lru_cache(maxsize=1024)
def _url(url: str) -> httpx.URL:
    return httpx.URL(url)
