"""A function app that does nothing: what the worker runtime costs by itself."""

import asyncio
from collections.abc import AsyncIterator

import azure.functions as func
from starlette.responses import StreamingResponse

from benchmarks.traffic import PAUSE, chat_reply, stream_parts
from gateway.server.functions import Request, Response

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

REPLY = chat_reply().partition(b"\r\n\r\n")[2]
EVENTS = [part.split(b"\r\n")[1] for part in stream_parts(usage=False)[1:]]
DONE = b"data: [DONE]\n\n"


@app.route("v1/chat/completions", methods=["POST"], trigger_arg_name="req")
async def chat_completions_v1(req: Request) -> Response:
    """A whole reply, or a stream, without an upstream."""
    body = await req.body()
    if b'"stream": true' not in body:
        return Response(REPLY, media_type="application/json")
    return StreamingResponse(events(), media_type="text/event-stream")


async def events() -> AsyncIterator[bytes]:
    """The events that upstream sends, but for the first, at the same pace."""
    for event in EVENTS:
        yield event
        await asyncio.sleep(PAUSE)
    yield DONE
