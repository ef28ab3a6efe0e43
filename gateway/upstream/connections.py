"""HTTP/1.1 connections to upstreams: one exchange at a time on each, kept and used again.

Sits on the event loop's transports (asyncio's or uvloop's) and llhttp's parser (httptools). It exists because
it is the hot path: with the client libraries that were measured, sending a request cost more CPU than all
else the gateway does (docs/performance.md). It does what a gateway needs and no more: POST, and whole
request bodies.

Rules of this file: bytes that no exchange asked for end a connection; a connection is used again only
when its last reply came to its proper end; a reply that breaks off is never taken for a whole one.
"""

from __future__ import annotations

import asyncio
import select
from typing import NamedTuple, Protocol, cast

import httptools

from gateway.upstream.failures import Torn
from gateway.upstream.incoming import Incoming
from gateway.upstream.local import LoopWatch

#: Request bodies above this size are not copied to be sent in one piece with their head.
ONE_PIECE = 64 * 1024


#: Windows has none.
_poll = getattr(select, "poll", None)


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    secure: bool


class Keeper(Protocol):
    """Who keeps connections: the pool."""

    loop: asyncio.AbstractEventLoop
    watch: LoopWatch

    def opened(self, connection: Connection) -> None:
        """A connection came about."""

    def give(self, place: Origin, connection: Connection) -> None:
        """A connection is free again."""

    def closed(self, place: Origin, connection: Connection) -> None:
        """A connection is closed."""


class Connection(asyncio.Protocol):
    """One connection. `pool` gets it back after each complete reply."""

    def __init__(self, pool: Keeper, place: Origin) -> None:
        self.loop = pool.loop
        self.watch = pool.watch
        self.idle_since = 0.0
        self._pool = pool
        self._place = place
        self._transport: asyncio.Transport
        self._incoming: Incoming | None = None
        self._parser: httptools.HttpResponseParser
        self._descriptor = -1

    def exchange(self, head: bytes, body: bytes, silence: float) -> Incoming:
        """Send a request; the reply comes in as the result."""
        incoming = self._incoming = Incoming(self, silence)
        self._parser = httptools.HttpResponseParser(incoming)
        if len(body) <= ONE_PIECE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        return incoming

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._transport.is_closing()

    @property
    def quiet(self) -> bool:
        """Whether nothing has come that the loop has not seen; on an idle connection that is its end."""
        if _poll is None:
            return True
        poll = _poll()
        poll.register(self._descriptor, select.POLLIN)
        return not poll.poll(0)

    def parsed_status(self) -> int:
        """The status of the head that was just parsed."""
        return int(self._parser.get_status_code())

    def keeps_alive(self) -> bool:
        """Whether the reply that just ended leaves the connection open."""
        return bool(self._parser.should_keep_alive())

    def pause(self) -> None:
        """Let no more come until `resume`."""
        if self.usable:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Let more come."""
        if self.usable:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection."""
        self._incoming = None
        self._transport.abort()

    def end(self) -> None:
        """Cut the connection; whoever waits for a reply on it learns that it broke off."""
        incoming = self._incoming
        self.abort()
        if incoming is not None:
            incoming.break_off("closed by this side")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected (asyncio)."""
        # By what it can do: no two loops share a class of transports.
        self._transport = cast("asyncio.Transport", transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came (asyncio)."""
        incoming = self._incoming
        if incoming is None:
            # An answer to nothing, or the end of an answer that nobody waits for any more.
            self._transport.abort()
            return
        incoming.began = True
        try:
            if not incoming.status and len(data) > incoming.head_room:
                # Not more than a head may have, so that the parser never holds more of it.
                room = incoming.head_room
                self._parser.feed_data(data[:room])
                incoming.parsed(room)
                data = data[room:]
            self._parser.feed_data(data)
            incoming.parsed(len(data))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, Torn) as error:
            # A reply that is complete stays so, whatever follows it.
            self._incoming = None
            incoming.fail(Torn(str(error)))
            self._transport.abort()
        if incoming.complete and self._incoming is not None:
            self._release(reusable=incoming.reusable)
        incoming.arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by the other side, or by a fault (asyncio)."""
        self._pool.closed(self._place, self)
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            return
        if exc is None:
            incoming.ended()
        else:
            incoming.break_off(str(exc))
        incoming.arrived()

    def _release(self, *, reusable: bool) -> None:
        self._incoming = None
        # A reply that came before the request was sent whole leaves the rest of it in the buffer.
        if reusable and not self._transport.get_write_buffer_size():
            self.idle_since = self.loop.time()
            self.resume()
            self._pool.give(self._place, self)
        else:
            self._transport.close()
