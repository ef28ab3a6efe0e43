"""The floor programs: what a pass-through costs in the frameworks' own way, with none of the gateway's work.

    python -m benchmarks.floor NAME UPSTREAM_PORT

Prints its port. Each parses the body once (to know whether a stream is wanted) and relays the reply as it is;
the server is uvicorn.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import httpx
import uvicorn
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.traffic import PATH, UPSTREAM_KEY, UPSTREAM_PATH
from gateway.server.http_process import listen

HEADERS = {"api-key": UPSTREAM_KEY, "content-type": "application/json"}
TIMEOUT = 600.0


def starlette_aiohttp(port: int) -> ASGIApp:
    """Starlette and httpx over the aiohttp transport: the floor that the gateway is held against."""
    return _starlette(port, lambda: httpx.AsyncClient(transport=AiohttpTransport(), timeout=TIMEOUT))


def starlette_httpx(port: int) -> ASGIApp:
    """Starlette and httpx with its own pool."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return _starlette(port, lambda: httpx.AsyncClient(limits=limits, timeout=TIMEOUT))


def _starlette(port: int, make_client: Callable[[], httpx.AsyncClient]) -> ASGIApp:
    url = f"http://127.0.0.1:{port}{UPSTREAM_PATH}"
    client = make_client()

    async def chat(request: Request) -> Response:
        body = await request.body()
        streamed = json.loads(body).get("stream")
        outgoing = client.build_request("POST", url, headers=HEADERS, content=body)
        reply = await client.send(outgoing, stream=bool(streamed))
        media_type = reply.headers["content-type"]
        if not streamed:
            return Response(reply.content, reply.status_code, media_type=media_type)
        closing = BackgroundTask(reply.aclose)
        return StreamingResponse(
            reply.aiter_raw(), reply.status_code, media_type=media_type, background=closing
        )

    return Starlette(routes=[Route(PATH, chat, methods=["POST"])])


def bare_aiohttp(port: int) -> ASGIApp:
    """ASGI by hand and aiohttp's client."""
    url = f"http://127.0.0.1:{port}{UPSTREAM_PATH}"
    sessions: list[aiohttp.ClientSession] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        if not sessions:
            connector = aiohttp.TCPConnector(limit=0)
            sessions.append(aiohttp.ClientSession(connector=connector, auto_decompress=False))
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        streamed = json.loads(body).get("stream")
        async with sessions[0].post(url, data=body, headers=HEADERS) as reply:
            headers = [(b"content-type", reply.headers["content-type"].encode())]
            if not streamed:
                content = await reply.read()
                headers.append((b"content-length", str(len(content)).encode()))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            if not streamed:
                await send({"type": "http.response.body", "body": content})
                return
            pieces: AsyncIterator[bytes] = reply.content.iter_any()
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return app


FLOORS: dict[str, Callable[[int], ASGIApp]] = {
    "starlette-aiohttp": starlette_aiohttp,
    "starlette-httpx": starlette_httpx,
    "bare-aiohttp": bare_aiohttp,
}


def main() -> None:
    """Serve until a signal comes."""
    name, port = sys.argv[1:]
    # httpx writes a line per request where the level lets it.
    logging.disable(logging.INFO)
    options: dict[str, Any] = {
        "http": "httptools",
        "interface": "asgi3",
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
    }
    with listen("127.0.0.1", 0) as listener:
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(FLOORS[name](int(port)), **options)).run([listener])


if __name__ == "__main__":
    main()
