"""Between the hosts' HTTP types and the core: the handlers of all routes.

Knows Starlette's request and ASGI messages; every rule of the gateway is elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.types import Scope

from gateway.app import root
from gateway.errors import GatewayError, MethodNotAllowed, NotFound
from gateway.pipeline.gateway import refuse, request_id
from gateway.protocol.endpoints import Endpoint
from gateway.protocol.messages import ClientGone, Reply
from gateway.protocol.messages import Request as Call
from gateway.protocol.operation import Operation
from gateway.server.functions import Request, Response
from gateway.server.responses import GatewayResponse, HttpCaller
from gateway.server.routes import Route, allowed_methods
from gateway.telemetry.request_log import CLIENT_CLOSED_REQUEST

_RESPONSES = re.compile(r"/responses(/|\Z)", re.IGNORECASE)

Handler = Callable[[Request], Awaitable[Response]]


def handler(route: Route) -> Handler:
    """The function that answers `route`."""
    if isinstance(route.target, Operation | Endpoint):
        return _handled(route.target, azure_path=route.azure_path)
    return {"live": live, "ready": ready, "everything_else": everything_else}[route.target]


def _handled(target: Operation | Endpoint, *, azure_path: bool) -> Handler:
    async def handle(req: Request) -> Response:
        connection = HttpCaller(req.receive)
        headers = _headers(req.scope)
        model = req.path_params.get("model")
        if model is not None:
            # The hosts decode a path but for its encoded slashes.
            model = model.replace("%2F", "/").replace("%2f", "/")
        call = Call(target, headers, connection, model, azure_path)
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
        return _page(req, await root.gateway().readiness(_headers(req.scope)))
    except GatewayError as error:
        return _refused(error, req)


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
