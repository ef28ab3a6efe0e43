"""A proxy in front of Azurite that fails as Azure Table Storage can: slow, cut, refusing, with another clock."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "server", "keep-alive"}


class FaultProxy:
    """Forwards to a port of this machine. The attributes may be changed at any time, by any thread.

    `delay` in seconds before each reply; `cut` closes the connection in place of a reply, `cut_after` when the
    request has been done; `answer` is the (status, error code) given in place of one; `skew` moves the Date header
    by seconds; `accepts` says which requests (method and path) any of this concerns.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay = 0.0
        self.cut = False
        self.cut_after = False
        self.answer: tuple[int, str] | None = None
        self.skew = 0.0
        self.concerns: Callable[[str, str], bool] = lambda _method, _path: True
        self.requests: Counter[str] = Counter()
        self._target = target
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def heal(self) -> None:
        self.delay, self.cut, self.cut_after, self.answer, self.skew = 0.0, False, False, None, 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_error) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application(client_max_size=8 << 20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            self._ready.set()
            await self._done.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        self.requests[request.method] += 1
        if not self.concerns(request.method, request.path):
            return await self._forward(request)
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.cut:
            request.transport.abort()
            return web.Response(status=500)
        if self.answer is not None:
            status, code = self.answer
            body = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": code}}}
            return web.json_response(body, status=status, headers={"x-ms-error-code": code})
        response = await self._forward(request)
        if self.cut_after:
            request.transport.abort()
        return response

    async def _forward(self, request: web.Request) -> web.Response:
        url = URL(f"http://127.0.0.1:{self._target}{request.raw_path}", encoded=True)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP]
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=await request.read() or None
            ) as reply:
                body = await reply.read()
                kept = [(name, value) for name, value in reply.headers.items() if name.lower() not in _HOP]
        except aiohttp.ClientError:
            request.transport.abort()
            return web.Response(status=502)
        response = web.Response(status=reply.status, body=body)
        for name, value in kept:
            response.headers[name] = self._moved(value) if name.lower() == "date" else value
        return response

    def _moved(self, date: str) -> str:
        moved = parsedate_to_datetime(date).astimezone(UTC) + timedelta(seconds=self.skew)
        return format_datetime(moved, usegmt=True)


def utc_day() -> int:
    return (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
