"""Between the hosts' HTTP types and the core: the handlers of all routes.

Knows Starlette's request and ASGI messages; every rule of the gateway is elsewhere.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.types import Message, Receive, Scope, Send

from gateway.app import root
from gateway.errors import GatewayError, MethodNotAllowed, NotFound
from gateway.hosting.extension import Request, Response
from gateway.operations import Operation
from gateway.pipeline import refuse, request_id
from gateway.presence import CancelWhenGone
from gateway.routes import Route, allowed_methods
from gateway.telemetry import CLIENT_CLOSED_REQUEST
from gateway.wire import ClientGone, Reply, Stream
from gateway.wire import Request as Call

_RESPONSES = re.compile(r"/responses(/|\Z)", re.IGNORECASE)

Handler = Callable[[Request], Awaitable[Response]]


def handler(route: Route) -> Handler:
    """The function that answers `route`."""
    if isinstance(route.target, Operation):
        return _operation(route.target, azure_path=route.azure_path)
    return {"live": live, "ready": ready, "everything_else": everything_else}[route.target]


def _operation(operation: Operation, *, azure_path: bool) -> Handler:
    async def handle(req: Request) -> Response:
        connection = Connection(req.receive)
        headers = _headers(req.scope)
        model = req.path_params.get("model")
        if model is not None:
            # The hosts decode a path but for its encoded slashes.
            model = model.replace("%2F", "/").replace("%2f", "/")
        call = Call(operation, headers, connection, model, azure_path)
        try:
            reply = await root.gateway().handle(call)
        except GatewayError as error:
            reply = refuse(error, headers)
        except ClientGone:
            # Nobody reads this, but the worker needs an answer.
            reply = Reply(CLIENT_CLOSED_REQUEST, [], b"")
        return GatewayResponse(reply, connection)

    return handle


async def live(req: Request) -> Response:
    """The process answers."""
    return _page(req)


async def ready(req: Request) -> Response:
    """The configuration is loaded."""
    try:
        gateway = root.gateway()
    except GatewayError as error:
        return _refused(error, req)
    return _page(req, gateway.status.readiness(_headers(req.scope)))


async def everything_else(req: Request) -> Response:
    """What no other route takes: unknown paths and wrong methods."""
    path = req.scope["path"]
    error: GatewayError = NotFound(f"Invalid URL ({req.method} {path})")
    if _RESPONSES.search(path):
        # Several clients call this API unless told otherwise, so the answer tells them what to do.
        error = NotFound(
            "The Responses API is not available on this gateway. Use the Chat Completions API "
            "(POST /v1/chat/completions); most clients have an option for it."
        )
    elif allowed := ", ".join(allowed_methods(path)):
        error = MethodNotAllowed(f"Not allowed to {req.method} on {path}; use {allowed}.", allow=allowed)
    return _refused(error, req)


class Connection:
    """The caller's end of one HTTP request, as ASGI shows it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
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
        self._leave = leave
        if leave is None:
            return
        if self._gone:
            asyncio.get_running_loop().call_soon(self._went)
        elif self._watcher is None:
            self._watcher = asyncio.create_task(self._wait())

    def close(self) -> None:
        """End the watch for good."""
        self._leave = None
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

    def __init__(self, reply: Reply, connection: Connection | None = None) -> None:
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
        silence = Silence(self._reply, send)
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


class Silence:
    """Fills long silences of a stream with the reply's keep-alive."""

    def __init__(self, reply: Reply, send: Send) -> None:
        self._keep_alive: Message = {
            "type": "http.response.body",
            "body": reply.keep_alive,
            "more_body": True,
        }
        self._seconds = reply.keep_alive_after if reply.keep_alive else 0.0
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
        if self._timer is not None:
            await self._send(self._keep_alive)


def _headers(scope: Scope) -> dict[str, str]:
    """A request's headers by name in lower case; those of one name are joined as the hosts do."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _page(req: Request, body: bytes = b'{"status":"ok"}') -> Response:
    """A page that is open to all."""
    identity = ("x-request-id", request_id(_headers(req.scope)))
    return GatewayResponse(Reply(200, [("content-type", "application/json"), identity], body))


def _refused(error: GatewayError, req: Request) -> Response:
    return GatewayResponse(refuse(error, _headers(req.scope)))
