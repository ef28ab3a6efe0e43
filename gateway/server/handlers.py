"""Between the hosts' HTTP types and the core: the handlers of all routes.

Knows Starlette's request and ASGI messages; every rule of the gateway is elsewhere.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable

from starlette.types import Scope

from gateway.app import root
from gateway.errors import MethodNotAllowed, NotFound
from gateway.pipeline.ending import answered, begin
from gateway.pipeline.replies import json_reply
from gateway.protocol.endpoints import Endpoint
from gateway.protocol.messages import Reply
from gateway.protocol.messages import Request as Call
from gateway.protocol.operation import Operation
from gateway.quoting import shown
from gateway.server.functions import Request, Response
from gateway.server.host_routing import decoded, resolve_dots
from gateway.server.responses import GatewayResponse, HttpCaller
from gateway.server.routes import Route, allowed_methods, split_deployment

_RESPONSES = re.compile(r"/responses(/|\Z)", re.IGNORECASE)

Handler = Callable[[Request], Awaitable[Response]]


def handler(route: Route) -> Handler:
    """The function that answers `route`."""
    if isinstance(route.target, Operation | Endpoint):
        return _handled(route.target)
    return {"live": live, "ready": ready, "deployment": deployment, "everything_else": everything_else}[
        route.target
    ]


def _handled(target: Operation | Endpoint) -> Handler:
    async def handle(req: Request) -> Response:
        model = req.path_params.get("model")
        return await _answered(req, target, None if model is None else decoded(req.scope, model))

    return handle


async def deployment(req: Request) -> Response:
    """Azure's form of path, which names the deployment: a model here."""
    found = split_deployment(decoded(req.scope, req.path_params.get("rest") or ""))
    if found is None:
        return await everything_else(req)
    operation, model = found
    return await _answered(req, operation, model, azure_path=True)


async def _answered(
    req: Request, target: Operation | Endpoint, model: str | None, *, azure_path: bool = False
) -> Response:
    caller = HttpCaller(req.receive, req.scope)
    headers = _headers(req.scope)
    call = Call(target, headers, caller, model, azure_path)
    record = begin(target.name, headers, time.time())
    reply = await answered(record, lambda: root.gateway().handle(call, record), time.time)
    return GatewayResponse(reply, caller)


async def live(req: Request) -> Response:
    """The process answers."""
    return await _page(req, _live)


async def ready(req: Request) -> Response:
    """The configuration is loaded."""
    return await _page(req, lambda: _ready(_headers(req.scope)))


async def everything_else(req: Request) -> Response:
    """What no other route takes: unknown paths and wrong methods."""
    record = begin(None, _headers(req.scope), time.time())
    reply = await answered(record, lambda: _refuse(req.method, req.scope["path"]), time.time)
    return GatewayResponse(reply)


async def _live() -> Reply:
    return json_reply(b'{"status":"ok"}')


async def _ready(headers: dict[str, str]) -> Reply:
    return json_reply(await root.gateway().readiness(headers))


async def _refuse(method: str, path: str) -> Reply:
    if _RESPONSES.search(path):
        # Several clients call this API unless told otherwise, so the answer tells them what to do.
        raise NotFound(
            "The Responses API is not available on this gateway. Use the Chat Completions API "
            "(POST /v1/chat/completions); most clients have an option for it."
        )
    # The hosts have resolved dots before they looked for a route.
    if allowed := ", ".join(allowed_methods(resolve_dots(path))):
        raise MethodNotAllowed(
            f"Not allowed to {shown(method)} on {shown(path)}; use {allowed}.", allow=allowed
        )
    raise NotFound(f"Invalid URL ({shown(method)} {shown(path)})")


async def _page(req: Request, work: Callable[[], Awaitable[Reply]]) -> Response:
    """A page that is open to all. It gets no log line: probes every few seconds would be most of the log."""
    record = begin(None, _headers(req.scope), time.time())
    return GatewayResponse(await answered(record, work, time.time, logged=False))


def _headers(scope: Scope) -> dict[str, str]:
    """A request's headers by name in lower case; those of one name are joined as the hosts do."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
