"""How a handler's outcome becomes an HTTP reply; shared by both hosts.

Whatever goes wrong in a handler is answered by a neutral error in OpenAI's shape. The log gets the kind of
the failure and where it happened, never its message: messages quote the values they complain about.
"""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.errors import GatewayError, InternalError, error_body
from gateway.pipeline.ending import new_request_id
from gateway.pipeline.replies import error_reply

logger = logging.getLogger("gateway.hosting")

#: Frames of a failure that the log shows, innermost last.
LOGGED_FRAMES = 6


class KnownFailures(logging.Filter):
    """Drops uvicorn's report, with traceback and message, of failures that `reply` has logged already."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a report of a failed application."""
        return not str(record.msg).startswith("Exception in ASGI application")


async def reply(outcome: Awaitable[object], scope: Scope, receive: Receive, send: Send) -> None:
    """Await a handler and send what it returns.

    Anything but a Response, None included, and any exception before the first byte become a 500.
    An exception after it is raised again, so that the server cuts the connection: a clean end would
    pass a broken reply off as a whole one.
    """
    started = False

    def track(message: Message) -> Awaitable[None]:
        nonlocal started
        started = True
        return send(message)

    try:
        response = await outcome
        if not isinstance(response, Response):
            raise TypeError("a handler returned no response")  # noqa: TRY301 - one way out for all failures
        await response(scope, receive, track)
    except ClientDisconnect:
        # Nobody is left to answer.
        return
    except asyncio.CancelledError:
        # The server stops and the grace is over, or a handler let a cancellation escape.
        if started:
            raise
        await send_error(send, InternalError())
    except Exception as error:
        request_id = new_request_id()
        log_failure(error, request_id)
        if started:
            raise
        await send_error(send, InternalError(), request_id=request_id)


async def send_error(
    send: Send, error: GatewayError, *, status: int | None = None, request_id: str | None = None
) -> None:
    """Send an error in OpenAI's shape; `status` where it is not that of the error's class."""
    body = error_body(error)
    headers = error_headers(error, body, request_id)
    await send({"type": "http.response.start", "status": status or error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_headers(
    error: GatewayError, body: bytes, request_id: str | None = None
) -> list[tuple[bytes, bytes]]:
    """The headers of an error reply, as ASGI wants them."""
    pairs = [
        *error_reply(error).headers,
        ("content-length", str(len(body))),
        ("x-request-id", request_id or new_request_id()),
    ]
    return [(name.encode(), value.encode()) for name, value in pairs]


def bare_reply(error: GatewayError, status: int | None = None) -> bytes:
    """An error reply where no request is served, after which the connection closes; `status` as above."""
    body = error_body(error)
    code = status or error.status
    head = [f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\n".encode()]
    head += [b"%s: %s\r\n" % pair for pair in error_headers(error, body)]
    return b"".join([*head, b"connection: close\r\n\r\n", body])


def log_failure(error: BaseException, request_id: str) -> None:
    """One JSON line about a failure that no handler caught."""
    frames = traceback.extract_tb(error.__traceback__)[-LOGGED_FRAMES:]
    line = {
        "event": "handler_failed",
        "request_id": request_id,
        "error": type(error).__name__,
        "at": [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames],
    }
    logger.error(json.dumps(line))
