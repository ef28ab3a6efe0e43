"""One HTTP exchange with an upstream: a request is written, its reply is read.

Connections are the pool's. What goes wrong on one is told in the exceptions of `failures`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Mapping

from gateway.upstream.coding import CodingError, Decoder, applied
from gateway.upstream.connections import Origin
from gateway.upstream.failures import TooLong, Unanswered, Undecodable, Unreachable
from gateway.upstream.incoming import Incoming
from gateway.upstream.pool import Pool
from gateway.upstream.proxy import Network
from gateway.upstream.request_head import addressed, request_head

#: Seconds to connect, TLS included.
CONNECT_TIMEOUT = 5.0
#: Bytes of a reply that is read as a whole, where nothing else is said.
LONGEST_REPLY = 64_000_000


class Exchange:
    """A reply whose body has not been read yet. Whoever gets it closes it."""

    __slots__ = ("_coding", "_decoder", "_incoming", "headers", "status")

    def __init__(self, incoming: Incoming) -> None:
        """The reply that `incoming` brings, whose head is there."""
        self._incoming = incoming
        self.status = incoming.status
        #: Names in lower case.
        self.headers = _joined(incoming.headers)
        coding = self.headers.get("content-encoding", "")
        self._coding = applied(coding)
        self._decoder: Decoder | None = None

    @property
    def coded(self) -> bool:
        """Whether the body came in a content coding."""
        return self._coding is not None

    @property
    def complete(self) -> bool:
        """Whether all of the reply is there, read or not: its connection is free again."""
        return self._incoming.complete

    def piece(self, most: int = sys.maxsize) -> Awaitable[bytes]:
        """The next piece of the body as it arrives, decoded, `most` bytes at most; empty at the body's end.

        Others have their turn between two pieces of what came together. Raises Torn when the connection
        breaks, Undecodable, and TooSlow when nothing comes.
        """
        return self._incoming.piece(most) if self._coding is None else self._decoded(self._coding, most)

    async def _decoded(self, coding: str, most: int) -> bytes:
        """The next piece of a coded body."""
        try:
            decoder = self._decoder = self._decoder or Decoder(coding)
            while True:
                if decoder.pending:
                    # What a small piece decodes to may be large.
                    await asyncio.sleep(0)
                    raw = b""
                else:
                    raw = await self._incoming.piece(most)
                if not raw and not decoder.pending:
                    decoder.check_end()
                    return b""
                if piece := decoder.decode(raw, most):
                    return piece
        except CodingError as error:
            raise Undecodable from error

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
        self._incoming.close()


class Upstream:
    """Sends requests over one pool of connections, which the first request opens."""

    def __init__(self, network: Network | None = None) -> None:
        """`network` None is one without a proxy, with the system's certificates."""
        self._network = network or Network()
        self._pool: Pool | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, silence: float) -> Exchange:
        """Send a JSON body and return the reply when its headers have come.

        `silence` is the longest wait for the next byte, in seconds. Raises Unreachable, Torn or TooSlow, and
        LocalFault where the failure is this process's own.
        """
        place, beginning = addressed(url)
        head = request_head(beginning, headers, len(body))
        return Exchange(await self._answered(place, head, body, silence))

    async def _answered(self, place: Origin, head: bytes, body: bytes, silence: float) -> Incoming:
        """The reply to one request, as soon as its head is there. Raises TooSlow, Torn and Unreachable.

        A kept connection that turns out to be closed, without a byte of a reply, is no attempt: the request
        is sent again, once, on a new one. Upstream may close idle connections at any time (RFC 9112, 9.3.1).
        """
        pool = self._pool
        if pool is None or pool.loop is not asyncio.get_running_loop():
            pool = self._pool = Pool(self._network)
        kept = pool.take(place)
        if kept is not None:
            try:
                return await _begun(kept.exchange(head, body, silence))
            except Unanswered:
                pool.review(place)
        try:
            connection = await pool.connect(place, CONNECT_TIMEOUT)
        except (OSError, UnicodeError) as error:
            raise Unreachable from error
        return await _begun(connection.exchange(head, body, silence))

    def lost(self) -> float:
        """Seconds that the event loop has not run so far, while requests were under way."""
        return 0.0 if self._pool is None else self._pool.watch.lost()

    def excuses(self, lost_before: float, seconds: float) -> bool:
        """Whether a time-out after `seconds` says nothing of upstream, because the loop did not run.

        `lost_before` is `lost()` at the beginning of those seconds.
        """
        return self._pool is not None and self._pool.watch.excuses(lost_before, seconds)

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            self._pool.close()


async def _begun(incoming: Incoming) -> Incoming:
    """Wait for the head of `incoming`. Raises Torn or TooSlow where none comes; then it is cut."""
    try:
        await incoming.head()
    except BaseException:
        incoming.close()
        raise
    return incoming


def _joined(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name. Repeated ones are joined, as RFC 9110 section 5.3 allows."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.lower().decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
