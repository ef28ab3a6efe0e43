"""A reply of upstream as it comes in: its head, its pieces, its end. The parser calls it.

A reply that breaks off is never taken for a whole one.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Protocol

from gateway.upstream.failures import TooSlow, Torn, Unanswered
from gateway.upstream.local import LoopWatch

#: Bytes of a reply that may wait here to be read before the sender is slowed down.
HIGH_WATER = 256 * 1024
#: Most bytes of a reply's head, interim heads included, and of what is neither head nor body: trailers, and
#: all that stands between two pieces of a body.
MAX_HEAD = 64 * 1024


class Carrier(Protocol):
    """The connection that a reply comes on."""

    loop: asyncio.AbstractEventLoop
    watch: LoopWatch

    def parsed_status(self) -> int:
        """The status that the parser has read."""

    def keeps_alive(self) -> bool:
        """Whether the connection may carry another exchange."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read on."""

    def abort(self) -> None:
        """Cut the connection."""


class Incoming:
    """A reply as it comes in. The parser calls the `on_` methods."""

    __slots__ = (
        "_connection",
        "_error",
        "_head_size",
        "_last",
        "_loop",
        "_lost",
        "_moved",
        "_paused",
        "_pieces",
        "_rest",
        "_silence",
        "_size",
        "_timer",
        "_trailer_size",
        "_unread",
        "_waiter",
        "_watch",
        "began",
        "complete",
        "headers",
        "reusable",
        "status",
    )  # fmt: skip

    def __init__(self, connection: Carrier, silence: float) -> None:
        """`silence` is the longest wait for the next byte, in seconds."""
        self._connection = connection
        self._loop = connection.loop
        self._silence = silence
        self._last = self._loop.time()
        self._timer = self._loop.call_at(self._last + silence, self._check)
        self._watch = connection.watch
        self._watch.begin()
        self._lost = self._watch.lost()
        self._pieces: list[bytes] = []
        #: What the last piece has left of what came with it.
        self._rest = memoryview(b"")
        self._size = 0
        self._head_size = 0
        self._trailer_size = 0
        #: Bytes since the last piece of the body, and whether there has been one in what is being parsed.
        self._unread = 0
        self._moved = False
        self._paused = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        #: Whether a byte of it has come.
        self.began = False
        #: Whether the connection may carry another exchange after this reply.
        self.reusable = False

    async def head(self) -> None:
        """Wait for status and headers. Raises Torn or TooSlow."""
        while not self.status:
            await self._next()

    async def piece(self, most: int = sys.maxsize) -> bytes:
        """What has come of the body since the last piece, `most` bytes at most; empty at its end.

        Others have their turn between two pieces of what came together. Raises Torn or TooSlow.
        """
        if self._rest:
            await asyncio.sleep(0)
            return self._cut(self._rest, most)
        while not self._pieces:
            if self.complete:
                return b""
            await self._next()
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self._paused:
            self._paused = False
            self._connection.resume()
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return piece if len(piece) <= most else self._cut(memoryview(piece), most)

    def close(self) -> None:
        """Cut the connection, unless the reply has come to its end."""
        if not self.complete:
            self.fail(Torn("closed"))
            self._connection.abort()

    def arrived(self) -> None:
        """Something came: whoever waits looks again."""
        self._last = self._loop.time()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """The reply will not be completed."""
        if self.complete or self._error is not None:
            return
        self._timer.cancel()
        self._watch.end()
        self._error = error
        self.arrived()

    def ended(self) -> None:
        """The connection was closed in an orderly way, which ends a body that has no declared end."""
        names = {name.lower() for name, _ in self.headers}
        if self.status and not names & {b"content-length", b"transfer-encoding"}:
            self._finish()
        self.break_off("closed by upstream")

    def break_off(self, reason: str) -> None:
        """The connection is gone."""
        self.fail(Torn(reason) if self.began else Unanswered(reason))

    @property
    def head_room(self) -> int:
        """How many bytes the head may still have, while it is not complete."""
        return MAX_HEAD - self._head_size

    def parsed(self, size: int) -> None:
        """Note that `size` bytes were parsed. Raises Torn where the head or a trailer does not end."""
        if not self.status:
            self._head_size += size
            if self._head_size >= MAX_HEAD:
                raise Torn("head too large")
        elif self._moved:
            self._moved = False
            self._unread = 0
        elif not self.complete:
            self._unread += size
            if self._unread > MAX_HEAD:
                raise Torn("trailer too large")

    def on_message_begin(self) -> None:
        """A reply begins; a second one answers nothing."""
        if self.complete:
            raise Torn("more than one reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header (or a trailer, which is passed over)."""
        if not self.status:
            self.headers.append((name, value))
            return
        self._trailer_size += len(name) + len(value) + 4
        if self._trailer_size > MAX_HEAD:
            raise Torn("trailer too large")

    def on_headers_complete(self) -> None:
        """The head is there; an interim one (1xx) only announces another."""
        status = self._connection.parsed_status()
        if status >= 200:
            self.status = status
        else:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._moved = True
        self._pieces.append(body)
        self._size += len(body)
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.pause()

    def on_message_complete(self) -> None:
        """The proper end of a reply, or of an interim head."""
        if self.status:
            # Asked here, for the parser forgets it right after.
            self.reusable = self._connection.keeps_alive()
            self._finish()

    def _cut(self, piece: memoryview, most: int) -> bytes:
        """The first `most` bytes of `piece`, the rest of which comes next."""
        self._rest = piece[most:]
        return bytes(piece[:most])

    def _finish(self) -> None:
        self.complete = True
        self._timer.cancel()
        self._watch.end()

    def _next(self) -> asyncio.Future[None]:
        """What is done when more has come. Raises what the reply has failed with."""
        if self._error is not None:
            raise self._error
        self._last = self._loop.time()
        self._waiter = self._loop.create_future()
        return self._waiter

    def _check(self) -> None:
        """Runs when the silence may have lasted too long; counts only while somebody waits."""
        due = self._last + self._silence
        now = self._loop.time()
        if (lost := self._watch.lost()) > self._lost:
            # The loop stood still, and what came meanwhile may not have been read: it gets that time again.
            self._timer = self._loop.call_at(now + min(lost - self._lost, self._silence), self._check)
            self._lost = lost
            return
        if now >= due and self._waiter is not None and not self._waiter.done():
            self.fail(TooSlow())
            self._connection.abort()
        else:
            self._timer = self._loop.call_at(due if due > now else now + self._silence, self._check)
