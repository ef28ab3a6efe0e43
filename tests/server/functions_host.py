"""Runs a function app in the real azure_functions_runtime, behind a front like that of the Functions host.

    python functions_host.py APP_DIR [LOOP]

Runs on the worker's Python (3.13 and later) with requirements.txt and requirements-worker.txt installed, and prints
the port of its front on the first line of standard output. It does what the worker (proxy_worker of
Azure/azure-functions-python-worker) does around the runtime: uvloop as the event loop (LOOP "asyncio" leaves
asyncio's), tasks of a class of its own, the root logger at INFO with a handler that ships every record from another
thread, and installed packages before the standard library and the app last on sys.path.

The front follows the host's documented behaviour: routes in name order, then for each request one forwarded HTTP
request to the worker's own port (header x-ms-invocation-id, streamed both ways, closed when the client leaves, tried
again while the connection is refused) and one invocation through the runtime's entry point.

A client provokes what goes wrong in the field by the header x-host-fault: `no-request` forwards nothing,
`no-invocation` invokes nothing. GET /__host tells the state of the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import queue
import random
import sys
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).parents[2]

#: How often the host connects to a worker that refuses, and the seconds between two tries.
CONNECT_TRIES = 10
CONNECT_PAUSE = (0.05, 0.25)


class ContextEnabledTask(asyncio.Task):
    """The worker's class of all tasks: what it logs is told apart by the invocation that started it."""

    INVOCATION_ID = "__azure_function_invocation_id__"

    def __init__(self, coro, loop, context=None, **kwargs):
        super().__init__(coro, loop=loop, context=context, **kwargs)
        current = asyncio.current_task(loop)
        invocation_id = getattr(current, self.INVOCATION_ID, None)
        if invocation_id is not None:
            setattr(self, self.INVOCATION_ID, invocation_id)


class ShippingHandler(logging.Handler):
    """The worker's root handler sends every record over gRPC from another thread; here they go to standard error."""

    def __init__(self):
        super().__init__()
        self.setFormatter(logging.Formatter("grpc: %(levelname)s %(name)s %(message)s"))
        self.records = queue.SimpleQueue()
        threading.Thread(target=self.ship, daemon=True).start()

    def emit(self, record):
        self.records.put((self.format(record), invocation_of_task()))

    def ship(self):
        while True:
            text, invocation_id = self.records.get()
            print(f"{text} [{invocation_id}]" if invocation_id else text, file=sys.stderr, flush=True)


def invocation_of_task():
    """The invocation on whose behalf the caller runs, if any."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return getattr(task, ContextEnabledTask.INVOCATION_ID, None)


class Message(SimpleNamespace):
    """Stands in for a protobuf message: attributes, and which member of a `oneof` is set."""

    def WhichOneof(self, _group):  # noqa: N802 - protobuf's name
        return next((name for name, value in vars(self).items() if value is not None), None)


class StatusResult(Message):
    Failure = 0
    Success = 1


class BindingInfo(Message):
    undefined = 0
    out = 1
    inout = 2


class Protos:
    """The part of the worker's protobuf module that the runtime uses; every message takes keywords."""

    StatusResult = StatusResult
    BindingInfo = BindingInfo

    def __getattr__(self, name):
        return Message


PROTOS = Protos()
TRACE = Message(trace_parent="", trace_state="", attributes={})


def request_of(kind, **fields):
    """A streaming message as the runtime's entry points take it."""
    return Message(
        request=Message(**{kind: Message(**fields)}), properties={"host": "127.0.0.1", "protos": PROTOS}
    )


class Worker:
    """The runtime with one app loaded."""

    def __init__(self, app_dir):
        self.app_dir = app_dir
        self.url = ""
        self.functions = {}

    async def start(self):
        import azure_functions_runtime as runtime

        self.runtime = runtime
        runtime.start_threadpool_executor()
        fields = {"capabilities": {}, "function_app_directory": str(self.app_dir)}
        init = await runtime.worker_init_request(request_of("worker_init_request", **fields))
        if init.result.status != StatusResult.Success:
            raise SystemExit(f"{init.result.exception.message}\n{init.result.exception.stack_trace}")
        self.url = init.capabilities["HttpUri"]
        metadata = await runtime.functions_metadata_request(request_of("functions_metadata_request"))
        for function in metadata.function_metadata_results:
            await runtime.function_load_request(
                request_of("function_load_request", function_id=function.function_id)
            )
            self.functions[function.name] = function

    async def invoke(self, invocation_id, function, params, trace_parent):
        """One invocation over the entry point; True where the runtime reports success."""
        setattr(asyncio.current_task(), ContextEnabledTask.INVOCATION_ID, invocation_id)
        nothing = Message()
        http = Message(method="", url="", headers={}, body=nothing, params=params, query={})
        name = next(
            json.loads(b)["name"] for b in function.raw_bindings if json.loads(b)["type"] == "httpTrigger"
        )
        request = request_of(
            "invocation_request",
            invocation_id=invocation_id,
            function_id=function.function_id,
            input_data=[Message(name=name, data=Message(http=http), WhichOneof=lambda _: "data")],
            trigger_metadata={},
            trace_context=Message(trace_parent=trace_parent, trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        )
        answer = await self.runtime.invocation_request(request)
        return answer.result.status == StatusResult.Success

    def state(self):
        from azure_functions_runtime.http_v2 import http_coordinator

        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {
            "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
            "entries": len(http_coordinator._context_references),
            "tasks": len(asyncio.all_tasks()),
            "rss": pages * os.sysconf("SC_PAGESIZE"),
        }


class Front:
    """The HTTP side of the host, as an ASGI application."""

    def __init__(self, worker, router):
        self.worker = worker
        self.router = router
        self.invocations = {"running": 0, "succeeded": 0, "failed": 0, "unanswered": 0}

    async def __call__(self, scope, receive, send):
        from gateway.server.embedded import merge_headers
        from gateway.server.host_routing import decode_path

        if scope["path"] == "/__host":
            await answer(send, 200, json.dumps(self.worker.state() | self.invocations).encode())
            return
        found = self.router.match(scope["method"], decode_path(scope["raw_path"]))
        if found is None:
            await answer(send, 404)
            return
        headers = dict(merge_headers(scope))
        fault = headers.pop(b"x-host-fault", b"").decode()
        invocation_id = str(uuid.uuid4())
        headers[b"x-ms-invocation-id"] = invocation_id.encode()
        function = self.worker.functions[found.route.function]
        trace_parent = headers.get(b"traceparent", b"").decode()
        invocation = None
        if fault != "no-invocation":
            invocation = asyncio.create_task(self.invoke(invocation_id, function, found.params, trace_parent))
        if fault == "no-request":
            await answer(send, 200 if await invocation else 500)
            return
        await self.forward(scope, list(headers.items()), receive, send)

    async def invoke(self, *arguments):
        self.invocations["running"] += 1
        outcome = "unanswered"
        try:
            succeeded = await self.worker.invoke(*arguments)
            outcome = "succeeded" if succeeded else "failed"
        finally:
            self.invocations["running"] -= 1
            self.invocations[outcome] += 1
        return outcome == "succeeded"

    async def forward(self, scope, headers, receive, send):
        """Stream the request to the worker and its reply back; whichever side ends early ends the other."""
        host, port = self.worker.url.removeprefix("http://").split(":")
        reader, writer = await connect(host, int(port))
        upload = asyncio.create_task(self.upload(scope, headers, receive, writer))
        download = asyncio.create_task(self.download(scope, reader, send))
        try:
            await asyncio.wait({upload, download}, return_when=asyncio.FIRST_COMPLETED)
            if download.done():
                await download
        finally:
            # Also the client's leaving: `upload` ends by that only.
            writer.transport.abort()
            upload.cancel()
            download.cancel()
            await asyncio.gather(upload, download, return_exceptions=True)

    async def upload(self, scope, headers, receive, writer):
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        dropped = {b"host", b"connection", b"keep-alive", b"transfer-encoding", b"expect"}
        length = dict(headers).get(b"content-length")
        chunked = length is None and b"transfer-encoding" in dict(headers)
        lines = [scope["method"].encode() + b" " + target + b" HTTP/1.1", b"host: 127.0.0.1"]
        lines += [name + b": " + value for name, value in headers if name not in dropped]
        lines.append(b"transfer-encoding: chunked" if chunked else b"connection: close")
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while (event := await receive())["type"] == "http.request":
                body = event.get("body", b"")
                if chunked and body:
                    body = b"%x\r\n%s\r\n" % (len(body), body)
                if chunked and not event.get("more_body"):
                    body += b"0\r\n\r\n"
                writer.write(body)
                await writer.drain()
            return
        # The worker closed its side; what it has to say comes through `download`.
        await asyncio.Event().wait()

    async def download(self, scope, reader, send):
        import httptools

        reply = ReplyEvents()
        parser = httptools.HttpResponseParser(reply)
        started = False
        while not reply.complete:
            data = await reader.read(65536)
            if not data:
                break
            parser.feed_data(data)
            if reply.headers_complete and not started:
                started = True
                if scope["method"] == "HEAD":
                    reply.complete = True
                headers = [
                    pair for pair in reply.headers if pair[0] not in {b"connection", b"transfer-encoding"}
                ]
                status = parser.get_status_code()
                await send({"type": "http.response.start", "status": status, "headers": headers})
            body, reply.body = b"".join(reply.body), []
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
        if not started:
            await answer(send, 502)
        elif reply.complete:
            await send({"type": "http.response.body", "body": b""})
        # Else the worker broke off: returning without an end makes the front break off as well.


class ReplyEvents:
    """Collects what the parser of a reply finds."""

    def __init__(self):
        self.headers = []
        self.body = []
        self.headers_complete = False
        self.complete = False

    def on_header(self, name, value):
        self.headers.append((name.lower(), value))

    def on_headers_complete(self):
        self.headers_complete = True

    def on_body(self, data):
        self.body.append(data)

    def on_message_complete(self):
        self.complete = True


async def connect(host, port):
    """A connection to the worker, which may not listen yet."""
    for _ in range(CONNECT_TRIES - 1):
        with contextlib.suppress(ConnectionRefusedError):
            return await asyncio.open_connection(host, port)
        await asyncio.sleep(random.uniform(*CONNECT_PAUSE))
    return await asyncio.open_connection(host, port)


async def answer(send, status, body=b""):
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def serve(app_dir):
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class FrontProtocol(HttpToolsProtocol):
        """Trailers are no headers for the real host; this server would add them to the list it has given out."""

        def on_headers_complete(self):
            super().on_headers_complete()
            self.headers = []

    asyncio.get_running_loop().set_task_factory(
        lambda loop, coro, context=None, **kwargs: ContextEnabledTask(coro, loop, context, **kwargs)
    )
    worker = Worker(app_dir)
    await worker.start()
    from gateway.server.embedded import read_route_prefix
    from gateway.server.host_routing import HostRouter, read_route
    from gateway.server.http_process import listen

    prefix = read_route_prefix(app_dir / "host.json")
    routes = [read_route(name, function.raw_bindings, prefix) for name, function in worker.functions.items()]
    config = uvicorn.Config(
        Front(worker, HostRouter(routes)),
        http=FrontProtocol,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=1,
    )
    with listen("127.0.0.1", 0) as listener:
        print(listener.getsockname()[1], flush=True)
        # The app's console output goes where the log goes: nobody reads on from this pipe.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        await uvicorn.Server(config).serve([listener])


def order_path(app_dir):
    """Put installed packages first and the app last, as the worker does; the folder of this program is not on it."""
    installed = [path for path in sys.path if path.endswith("site-packages")]
    others = [path for path in sys.path[1:] if path not in installed]
    sys.path[:] = list(dict.fromkeys([*installed, *others, str(app_dir), str(ROOT)]))


def main():
    app_dir = Path(sys.argv[1]).resolve()
    order_path(app_dir)
    os.chdir(app_dir)
    if "asyncio" not in sys.argv[2:]:
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(ShippingHandler())
    asyncio.run(serve(app_dir))


if __name__ == "__main__":
    main()
