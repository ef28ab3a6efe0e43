"""A double's HTTP server, in a thread of its own: scripted faults, and a record of what was asked."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from simulator.ports import free_port

HANG = "hang"
#: Closes the connection in place of a reply.
CUT = "cut"


@dataclass
class Asked:
    """One request that a double got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str
    at: float = field(default_factory=time.time)


class Double:
    """Base: `answer` says what is sent. Attributes may be changed at any time, by any thread."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        #: Seconds before each reply; a change holds for requests that wait already.
        self.delay = 0.0
        #: What the next requests meet in place of a reply: a status, HANG or CUT.
        self.faults: list[int | str] = []
        #: The same for all requests while it is set.
        self.down: int | str | None = None
        self.requests: list[Asked] = []
        self._tls = tls
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def answer(self, asked: Asked) -> web.StreamResponse:
        """The reply to a request that meets no fault."""
        raise NotImplementedError

    def fault(self, status: int) -> web.StreamResponse:
        """The reply of a fault with a status."""
        return web.json_response({"error": {"code": "Fault", "message": "a fault"}}, status=status)

    def start(self, port: int = 0) -> Self:
        """Serve; on the same port again where it was served before."""
        self._ready.clear()
        failure: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._run,
            args=(port or self.port or free_port(), failure),
            name=type(self).__name__,
            daemon=True,
        )
        self._thread.start()
        self._ready.wait()
        if failure:
            raise failure[0]
        return self

    def stop(self) -> None:
        """Refuse connections from now on, and cut those that are open."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _run(self, port: int, failure: list[BaseException]) -> None:
        try:
            asyncio.run(self._serve(port))
        except BaseException as error:
            failure.append(error)
            self._ready.set()

    async def _serve(self, port: int) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        connections = [each.transport for each in runner.server.connections if each.transport]
        await runner.cleanup()
        # A TLS connection would otherwise wait for its client's farewell, and outlive this loop unclosed.
        for connection in connections:
            connection.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.method, request.path, dict(request.query), headers, body)
        self.requests.append(asked)
        fault = self.faults.pop(0) if self.faults else self.down
        arrived = time.monotonic()
        while time.monotonic() - arrived < self.delay:
            await asyncio.sleep(0.005)
        if fault == HANG:
            await asyncio.sleep(3600)
        if fault == CUT:
            request.transport.abort()
            return web.Response()
        if isinstance(fault, int):
            return self.fault(fault)
        return await self.answer(asked)
