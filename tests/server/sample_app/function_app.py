"""A small function app that does everything the hosts' tests need; no part of the gateway."""

from __future__ import annotations

import asyncio
import logging

import azure.functions as func
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse

from gateway.server.functions import Request, Response

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

#: What happened in handlers, for tests to ask for.
seen: dict[str, int] = {}


def note(event: str) -> None:
    seen[event] = seen.get(event, 0) + 1


@app.route("json", methods=["GET", "POST"])
async def sample_json(req: Request) -> Response:
    return JSONResponse({"method": req.method, "body": (await req.body()).decode()})


@app.route("events", methods=["GET"])
async def sample_events(req: Request) -> Response:
    count = int(req.query_params.get("count", "5"))
    gap = float(req.query_params.get("gap", "0.1"))

    async def events():
        try:
            for number in range(count):
                yield b"data: %d\n\n" % number
                await asyncio.sleep(gap)
            logging.getLogger("gateway.sample").info("a stream of %d is over", count)
        except asyncio.CancelledError:
            note("stream_cancelled")
            raise

    return StreamingResponse(events(), media_type="text/event-stream")


@app.route("binary", methods=["GET"])
async def sample_binary(req: Request) -> Response:
    return Response(bytes(range(256)) * 4096, media_type="audio/mpeg")


@app.route("status/{code:int}", methods=["GET"])
async def sample_status(req: Request) -> Response:
    return JSONResponse({"error": "as asked"}, int(req.path_params["code"]), {"x-sample": "yes"})


@app.route("fail/before", methods=["GET", "POST"])
async def sample_fail_before(req: Request) -> Response:
    raise ValueError("secret text that must not leave")


@app.route("fail/after", methods=["GET"])
async def sample_fail_after(req: Request) -> Response:
    async def broken():
        yield b"data: 1\n\n"
        await asyncio.sleep(0.05)
        raise ValueError("secret text that must not leave")

    return StreamingResponse(broken(), media_type="text/event-stream")


@app.route("fail/cancelled", methods=["GET"])
async def sample_fail_cancelled(req: Request) -> Response:
    raise asyncio.CancelledError


@app.route("fail/none", methods=["GET"])
async def sample_fail_none(req: Request) -> Response:
    return None


@app.route("wait", methods=["GET", "POST"])
async def sample_wait(req: Request) -> Response:
    """Answers when its client leaves, or after a while."""
    note("wait_started")
    for _ in range(int(req.query_params.get("ticks", "500"))):
        if await req.is_disconnected():
            note("wait_disconnected")
            return PlainTextResponse("too late")
        await asyncio.sleep(0.01)
    return PlainTextResponse("waited")


@app.route("upload", methods=["POST", "PUT"])
async def sample_upload(req: Request) -> Response:
    """Says how large the body is and how much of it came at most at one time."""
    total = largest = 0
    async for chunk in req.stream():
        total += len(chunk)
        largest = max(largest, len(chunk))
        if total == len(chunk) > 0 and "x-note" in req.headers:
            note("upload_began")
    return JSONResponse({"total": total, "whole": largest == total and total > 1 << 20})


@app.route("echo", methods=["GET", "HEAD", "OPTIONS", "DELETE", "PATCH"])
async def sample_echo(req: Request) -> Response:
    """Says what arrived: the headers whose names begin with x-, cookies, and the query."""
    names = [name for name in req.headers if name.startswith(("x-", "cookie"))]
    headers = {name: req.headers.getlist(name) for name in names}
    return JSONResponse({"method": req.method, "headers": headers, "query": req.url.query})


@app.route("models/{model}", methods=["GET"])
async def sample_model(req: Request) -> Response:
    return JSONResponse({"function": "model", "params": req.path_params})


@app.route("models/list", methods=["GET"])
async def sample_model_shadowed(req: Request) -> Response:
    """Never reached: `sample_model` sorts first."""
    return JSONResponse({"function": "model_shadowed", "params": req.path_params})


@app.route("optional/{name?}", methods=["GET"])
async def sample_optional(req: Request) -> Response:
    return JSONResponse({"function": "optional", "params": req.path_params})


@app.route("context", methods=["GET"])
async def sample_context(req: Request, context: func.Context) -> Response:
    trace = context.trace_context.trace_parent
    return JSONResponse(
        {"function": context.function_name, "trace": trace, "id": bool(context.invocation_id)}
    )


@app.route("seen", methods=["GET"])
async def sample_seen(req: Request) -> Response:
    return JSONResponse(seen)


@app.route("{*path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def zz_rest(req: Request) -> Response:
    return JSONResponse({"function": "rest", "params": req.path_params}, 404)
