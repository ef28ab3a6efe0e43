"""One caller's connection as ASGI shows it, and the replies sent on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.types import Receive, Scope, Send

from gateway.pipeline.disconnect import CancelWhenGone
from gateway.protocol.messages import ClientGone, Reply, Stream
from gateway.server.functions import Response
from gateway.server.watching import CONNECTION, WatchedConnection


class HttpCaller:
    """The caller's end of one HTTP request, as ASGI shows it."""

    def __init__(self, receive: Receive, scope: Scope) -> None:
        self._receive = receive
        self._connection: WatchedConnection | None = scope.get("extensions", {}).get(CONNECTION)
        self._leave: Callable[[], object] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._gone = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ClientGone."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if body := message.get("body"):
                yield body
            more = message.get("more_body", False)

    def watch(self, leave: Callable[[], object] | None) -> None:
        """Call `leave` once when the caller goes away; None stops watching."""
        if self._connection is not None:
            self._connection.watch(leave)
            return
        self._leave = leave
        if leave is None:
            return
        if self._gone:
            asyncio.get_running_loop().call_soon(self._went)
        elif self._watcher is None:
            self._watcher = asyncio.create_task(self._wait())

    def close(self) -> None:
        """End the watch for good."""
        self.watch(None)
        if self._watcher is not None:
            self._watcher.cancel()
            # A cancelled task holds its traceback, that this object: a circle, which only the collector ends.
            self._watcher = None

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._went()

    def _went(self) -> None:
        if self._leave is not None:
            self._leave()


class GatewayResponse(Response):
    """Sends a Reply: whole, or piece by piece until it ends or the caller leaves."""

    def __init__(self, reply: Reply, connection: HttpCaller | None = None) -> None:
        body = reply.body if isinstance(reply.body, bytes) else b""
        super().__init__(body, reply.status)
        if not isinstance(reply.body, bytes):
            self.raw_headers.clear()
        self.raw_headers += [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers
        ]
        self._reply = reply
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply (ASGI). Raises Truncated, or what went wrong, for the host to cut the connection."""
        try:
            if isinstance(self._reply.body, bytes):
                await super().__call__(scope, receive, send)
            else:
                await self._stream(self._reply.body, send)
        finally:
            if self._connection is not None:
                self._connection.close()

    async def _stream(self, body: Stream, send: Send) -> None:
        if self._connection is None:
            raise TypeError("a stream needs its caller")
        silence = KeepAlive(body, self._reply.keep_alive_after, send)
        try:
            async with CancelWhenGone(self._connection):
                await send(
                    {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
                )
                silence.start()
                async for piece in body:
                    silence.broken()
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                silence.stop()
                await send({"type": "http.response.body", "body": b""})
        except ClientGone:
            return
        finally:
            silence.stop()
            await body.aclose()


class KeepAlive:
    """Fills long silences of a stream."""

    def __init__(self, body: Stream, seconds: float, send: Send) -> None:
        """A silence of `seconds` is filled; 0 for none."""
        self._body = body
        self._seconds = seconds
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to count."""
        if self._seconds:
            self._last = self._loop.time()
            self._timer = self._loop.call_later(self._seconds, self._check)

    def broken(self) -> None:
        """A piece is sent now."""
        if self._seconds:
            self._last = self._loop.time()

    def stop(self) -> None:
        """No more is sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        now = self._loop.time()
        if now - self._last >= self._seconds:
            self._last = now
            self._sending = asyncio.ensure_future(self._fill())
        self._timer = self._loop.call_at(self._last + self._seconds, self._check)

    async def _fill(self) -> None:
        if self._timer is not None and (event := self._body.keep_alive()):
            await self._send({"type": "http.response.body", "body": event, "more_body": True})
