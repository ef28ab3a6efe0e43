"""Our web extension: HTTP streaming through the Functions worker's HTTP-v2 path.

The worker (azure-functions-runtime 1.x, and the worker of Python 3.12 and before) finds this module through
`azurefunctions-extensions-base`, builds `WebApp()` and `WebServer(...)` from it and registers one catch-all
through `WebApp.route`. It pairs each HTTP request on this server with the invocation that the host sends over
gRPC, by the header x-ms-invocation-id. Its coordinator knows neither time-outs nor an end; this adds both:

* An invocation whose request never arrives (its client left early, or sent a header the host cannot forward)
  ends after GATEWAY_ARRIVAL_TIMEOUT. Unbounded, it would run into functionTimeout, whereupon the host
  restarts the worker and every other request in it dies.
* A request whose invocation never comes is answered by a 500 after the same time.
* The coordinator's entry is dropped once both sides are through with it (upstream keeps 2 KB for each
  request). Never before: the worker writes into the entry when the handler ends, and failing there it would
  not answer the invocation at all.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from azurefunctions.extensions import base
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.server.replies import KnownFailures, reply
from gateway.settings import arrival_timeout

__all__ = ["Request", "Response", "WebApp", "WebServer"]

#: Pairs a request with its invocation; set by the host, which overrides a client's.
INVOCATION_HEADER = b"x-ms-invocation-id"
#: Seconds an idle connection stays open. The host pools connections for about a minute and cannot retry a
#: POST on one that this side has just closed, so this side must be the more patient.
KEEP_ALIVE_SECONDS = 120
#: The workers' own loggers, which write several lines for each request and send them over gRPC.
SYSTEM_LOGGERS = ("azure.functions", "azure_functions_worker")


class RouteParameters(base.RequestSynchronizer):  # type: ignore[misc] # untyped package
    """Hands the invocation's route parameters to the request."""

    def sync_route_params(self, request: Request, path_params: Mapping[str, str]) -> None:
        """Called by the worker before the handler."""
        request.scope["path_params"] = dict(path_params)


class RequestTracker(metaclass=base.RequestTrackerMeta):  # type: ignore[metaclass] # untyped package
    """Tells the worker which annotation marks a handler's request."""

    request_type = Request
    synchronizer = RouteParameters()


class ResponseTracker(metaclass=base.ResponseTrackerMeta):  # type: ignore[metaclass] # untyped package
    """Tells the worker which annotation marks a handler's response."""

    label = base.ResponseLabels.STANDARD
    response_type = Response


class RequestNeverArrivedError(Exception):
    """An invocation waited in vain for its HTTP request."""


class InvocationNeverCameError(Exception):
    """An HTTP request waited in vain for its invocation."""


class InvocationBrokeOffError(Exception):
    """An invocation ended without an answer, by cancellation."""


class WebApp(base.WebApp):  # type: ignore[misc] # untyped package
    """The ASGI application behind the worker's second port."""

    def __init__(self) -> None:
        #: Seconds that either half of a request waits for the other. Both leave the host at the same
        #: moment, so this only has to cover a busy loop; it has to stay far below functionTimeout.
        self.wait_seconds = arrival_timeout()
        self.catch_all: Callable[[Request], Awaitable[object]]
        self.coordinator: Any
        #: Invocations whose HTTP exchange is under way here.
        self.exchanges: set[str] = set()
        #: Invocations whose handler has got its request and has not ended.
        self.handlers: set[str] = set()

    def route(self, func: Callable[[Request], Awaitable[object]]) -> Callable[[Request], Awaitable[object]]:
        """Take the worker's catch-all, and bound its coordinator's wait.

        The coordinator is found in the globals of the catch-all, wherever this worker keeps it.
        """
        self.catch_all = func
        self.coordinator = func.__globals__["http_coordinator"]
        self.coordinator.get_http_request_async = self.await_request
        return func

    def get_app(self) -> WebApp:
        """The ASGI callable, which is this object."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request: wait for its invocation's response and send it."""
        invocation_id = find_invocation_id(scope)
        alarm = asyncio.get_running_loop().call_later(self.wait_seconds, self.give_up, invocation_id)
        self.exchanges.add(invocation_id)
        try:
            await reply(self.catch_all(Request(scope, receive, send)), scope, receive, send)
        finally:
            alarm.cancel()
            self.exchanges.discard(invocation_id)
            if invocation_id not in self.handlers:
                self.drop(invocation_id)

    async def await_request(self, invocation_id: str) -> Request:
        """The coordinator's `get_http_request_async`, bounded; runs in the invocation's task.

        Raises RequestNeverArrivedError, which the worker turns into a failed invocation.
        """
        wait = type(self.coordinator).get_http_request_async
        try:
            async with asyncio.timeout(self.wait_seconds):
                request: Request = await wait(self.coordinator, invocation_id)
        except TimeoutError:
            raise RequestNeverArrivedError from None
        finally:
            if invocation_id not in self.exchanges:
                # The worker still has to write the failure into the entry, and a request that arrives
                # after all finds its answer there.
                asyncio.get_running_loop().call_later(self.wait_seconds, self.drop, invocation_id)
        self.handlers.add(invocation_id)
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(lambda _: self.end_handler(invocation_id))
        return request

    def end_handler(self, invocation_id: str) -> None:
        """Runs when an invocation's task ends, however it does: its HTTP exchange must not wait on."""
        self.handlers.discard(invocation_id)
        if invocation_id not in self.exchanges:
            self.drop(invocation_id)
            return
        entry = self.entries.get(invocation_id)
        if entry is not None and not entry.http_response_available_event.is_set():
            self.coordinator.set_http_response(invocation_id, InvocationBrokeOffError())

    def give_up(self, invocation_id: str) -> None:
        """Fail an exchange that no invocation has taken up."""
        entry = self.entries.get(invocation_id)
        if entry is not None and entry.http_request is not None:
            self.coordinator.set_http_response(invocation_id, InvocationNeverCameError())

    def drop(self, invocation_id: str) -> None:
        """Forget an invocation."""
        self.entries.pop(invocation_id, None)

    @property
    def entries(self) -> dict[str, Any]:
        """The coordinator's entries by invocation id; it offers no way to remove one."""
        entries: dict[str, Any] = vars(self.coordinator)["_context_references"]
        return entries


class WebServer(base.WebServer):  # type: ignore[misc] # untyped package
    """Uvicorn on the worker's second port, on loopback, where only the host connects."""

    async def serve(self) -> None:
        """Serve until the worker ends."""
        import uvicorn  # noqa: PLC0415 - the embedded host and the tests of handlers need no second server

        for name in SYSTEM_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("uvicorn.error").addFilter(KnownFailures())
        print_log()
        config = uvicorn.Config(
            self.web_app,
            host=self.hostname,
            port=self.port,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        await uvicorn.Server(config).serve()


def print_log() -> None:
    """Write the gateway's log lines to standard output.

    The host drops every line sent over gRPC whose invocation is over, and a streamed one is over when its
    handler has returned: what is known at the end of a stream would never be seen. It keeps all console
    output, in the category Host.Function.Console (see host.json), and that costs no message over gRPC.
    """
    log = logging.getLogger("gateway")
    log.addHandler(logging.StreamHandler(sys.stdout))
    log.setLevel(logging.INFO)
    log.propagate = False


def find_invocation_id(scope: Scope) -> str:
    """The invocation's id, or an empty string: without it the catch-all fails at once."""
    for name, value in scope["headers"]:
        if name == INVOCATION_HEADER:
            return str(value, "latin-1")
    return ""
