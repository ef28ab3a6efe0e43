"""An httpx transport on the connections of `gateway/upstream/connections.py`.

Its exceptions are httpx's, by what happened: connecting failed, the reply was late, the connection broke.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache

import httpx

from gateway.upstream.connections import Connection, Origin
from gateway.upstream.incoming import Broken, Incoming, Silent, Unanswered
from gateway.upstream.pool import Pool
from gateway.upstream.proxy import Network


class PooledTransport(httpx.AsyncBaseTransport):
    """Sends requests over kept connections; opens its pool on the first request."""

    def __init__(self, network: Network | None = None) -> None:
        """`network` None is one without a proxy, with the system's certificates."""
        self._network = network or Network()
        self._pool: Pool | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` and return as soon as the reply's head is there.

        Timeouts are read from the request's "timeout" extension: `connect` (TLS included) and `read` (the
        longest silence), in seconds. Raises httpx.TransportError's subclasses, and LocalFault.

        A kept connection that turns out to be closed, without a byte of a reply, is no attempt: the request
        is sent again, once, on a new one. Upstream may close idle connections at any time (RFC 9112, 9.3.1).
        """
        timeout = request.extensions["timeout"]
        pool = self._pool
        if pool is None or pool.loop is not asyncio.get_running_loop():
            pool = self._pool = Pool(self._network)
        place = _place(request.url)
        lines = b"".join([b"%b: %b\r\n" % pair for pair in request.headers.raw])
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method.encode(), request.url.raw_path, lines)
        body = b"".join([chunk async for chunk in request.stream])  # type: ignore[union-attr]
        kept = pool.take(place)
        if kept is not None:
            try:
                return await _reply(kept.exchange(head, body, timeout["read"]))
            except Unanswered:
                pool.review(place)
        connection = await _connect(pool, place, timeout["connect"])
        try:
            return await _reply(connection.exchange(head, body, timeout["read"]))
        except Unanswered as error:
            raise _translated(error) from error

    def lost(self) -> float:
        """Seconds that the event loop has not run so far, while requests were under way."""
        return 0.0 if self._pool is None else self._pool.watch.lost()

    def excuses(self, lost_before: float, seconds: float) -> bool:
        """As `Upstream.excuses`."""
        return self._pool is not None and self._pool.watch.excuses(lost_before, seconds)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            self._pool.close()


class _Stream(httpx.AsyncByteStream):
    """A reply's body, in the pieces in which it arrives."""

    __slots__ = ("_incoming",)

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._incoming.piece()
        except (Silent, Broken) as error:
            raise _translated(error) from error
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Cut the connection, unless the reply was read to its end."""
        self._incoming.close()


async def _reply(incoming: Incoming) -> httpx.Response:
    """The reply, as soon as its head is there. Raises Unanswered, and httpx.TransportError's subclasses."""
    try:
        await incoming.head()
    except BaseException as error:
        incoming.close()
        if isinstance(error, Silent | Broken) and not isinstance(error, Unanswered):
            raise _translated(error) from error
        raise
    return httpx.Response(incoming.status, headers=incoming.headers, stream=_Stream(incoming))


async def _connect(pool: Pool, place: Origin, seconds: float) -> Connection:
    try:
        return await pool.connect(place, seconds)
    except TimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(str(error)) from error


@lru_cache(maxsize=1024)
def _place(url: httpx.URL) -> Origin:
    secure = url.scheme == "https"
    return Origin(url.host, url.port or (443 if secure else 80), secure)


def _translated(error: Silent | Broken) -> httpx.TransportError:
    kind = httpx.ReadTimeout if isinstance(error, Silent) else httpx.ReadError
    return kind(str(error))
