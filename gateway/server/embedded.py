"""The embedded host: serves the functions of a FunctionApp without the Functions runtime.

Handlers, routes and rules are those of Azure: routes come from the functions' bindings and are tried in name
order, route prefix included; duplicate request headers are merged, X-Forwarded-* is set and a client's own
x-ms-invocation-id removed, as the Functions host does. It differs where the host would only be in the way:
`//` is collapsed, authorisation levels are not enforced (the functions check keys themselves), and a
head that the host refuses is refused in OpenAI's error shape.
"""

from __future__ import annotations

import inspect
import json
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from gateway.errors import BadRequest, GatewayError, NotFound
from gateway.server.host_routing import HostRouter, collapse_slashes, decode_path, read_route
from gateway.server.replies import reply, send_error

#: The Functions host's prefix where host.json has none.
DEFAULT_ROUTE_PREFIX = "api"

#: Kestrel's limits, which the Functions host leaves as they are: bytes of the request target, bytes of all
#: headers, number of headers.
MAX_TARGET_BYTES = 8192
MAX_HEADER_BYTES = 32768
MAX_HEADERS = 100

#: Headers that a client has no say in.
HOST_HEADERS = frozenset(
    {
        b"x-ms-invocation-id",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-prefix",
    }
)

Headers = list[tuple[bytes, bytes]]


class TraceContext(msgspec.Struct, frozen=True):
    """The W3C trace headers of a request."""

    trace_parent: str | None
    trace_state: str | None
    attributes: dict[str, str]


class Context(msgspec.Struct, frozen=True):
    """What a handler's `context` parameter gets; the attributes of `azure.functions.Context`."""

    invocation_id: str
    function_name: str
    function_directory: str
    trace_context: TraceContext
    thread_local_storage: threading.local
    #: HTTP functions are never retried by the host.
    retry_context: None = None


class Handler(msgspec.Struct, frozen=True):
    """One HTTP function, ready to be called."""

    name: str
    call: Callable[..., Awaitable[object]]
    #: Name of the parameter that takes the request.
    parameter: str
    takes_context: bool
    directory: str


class EmbeddedHost:
    """An ASGI application made from the HTTP functions of a FunctionApp.

    `functions` is what `FunctionApp.get_functions()` returned; that method works only once for an app, so
    the caller keeps the result. Raises RouteError for a route that the Functions host would refuse, TypeError
    for a handler that is not `async def`.
    """

    def __init__(self, functions: Iterable[Any], route_prefix: str = "") -> None:
        self.handlers: dict[str, Handler] = {}
        routes = []
        for function in functions:
            if not function.is_http_function():
                continue
            handler = read_handler(function)
            self.handlers[handler.name] = handler
            routes.append(read_route(handler.name, function.get_raw_bindings(), route_prefix))
        self.router = HostRouter(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        fault = find_fault(scope)
        if fault is not None:
            error, status = fault
            await send_error(send, error, status=status)
            return
        path = collapse_slashes(decode_path(scope["raw_path"]))
        match = self.router.match(scope["method"], path)
        if match is None:
            await send_error(send, NotFound("No such route."))
            return
        scope["headers"] = merge_headers(scope)
        scope["path_params"] = match.params
        handler = self.handlers[match.route.function]
        request = Request(scope, receive, send)
        arguments: dict[str, Any] = {handler.parameter: request}
        if handler.takes_context:
            arguments["context"] = make_context(handler, request)
        await reply(handler.call(**arguments), scope, receive, send)


def find_fault(scope: Scope) -> tuple[GatewayError, int] | None:
    """Why the Functions host would refuse this head, and with which status; None where it would not."""
    if scope["method"] == "CONNECT":
        return BadRequest("The gateway is no proxy."), 400
    if not (scope["raw_path"].isascii() and scope["query_string"].isascii()):
        return BadRequest("The request's URL must be ASCII; encode other characters."), 400
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        return BadRequest(f"The request's URL is longer than {MAX_TARGET_BYTES} bytes."), 414
    headers: Headers = scope["headers"]
    if len(headers) > MAX_HEADERS:
        return BadRequest(f"The request has more than {MAX_HEADERS} headers."), 431
    size = hosts = 0
    for name, value in headers:
        size += len(name) + len(value)
        hosts += name == b"host"
    if size > MAX_HEADER_BYTES:
        return BadRequest(f"The request's headers are longer than {MAX_HEADER_BYTES} bytes."), 431
    # HTTP/1.1 asks for exactly one (RFC 9112 section 3.2); probes of older load balancers send 1.0 without.
    if hosts != 1 and scope["http_version"] != "1.0":
        return BadRequest("The request must have one Host header."), 400
    return None


def merge_headers(scope: Scope) -> Headers:
    """The headers a function sees: repeated ones joined, the host's own in place of a client's."""
    merged: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in HOST_HEADERS:
            continue
        if name in merged:
            merged[name] += (b"; " if name == b"cookie" else b", ") + value
        else:
            merged[name] = value
    if scope["client"] is not None:
        merged[b"x-forwarded-for"] = scope["client"][0].encode()
    if b"host" in merged:
        merged[b"x-forwarded-host"] = merged[b"host"]
    merged[b"x-forwarded-proto"] = scope["scheme"].encode()
    return list(merged.items())


def read_handler(function: Any) -> Handler:
    """A function's handler by the public methods that azure-functions 1.x and 2.x share."""
    name: str = function.get_function_name()
    call = function.get_user_function()
    if not inspect.iscoroutinefunction(call):
        raise TypeError(
            f"{name}: handlers must be `async def`, a streamed request cannot be read from a thread"
        )
    parameter: str = function.get_trigger().name
    takes_context = "context" in inspect.signature(call).parameters and parameter != "context"
    return Handler(name, call, parameter, takes_context, str(Path(inspect.getfile(call)).parent))


def make_context(handler: Handler, request: Request) -> Context:
    """The context of one call."""
    trace = TraceContext(request.headers.get("traceparent"), request.headers.get("tracestate"), {})
    return Context(str(uuid.uuid4()), handler.name, handler.directory, trace, threading.local())


def read_route_prefix(host_json: Path) -> str:
    """The route prefix in a host.json; raises OSError or ValueError where it cannot be read."""
    document = json.loads(host_json.read_text(encoding="utf-8"))
    http = document.get("extensions", {}).get("http", {})
    return str(http.get("routePrefix", DEFAULT_ROUTE_PREFIX))
