"""The one end of every request: errors become replies, and the record becomes a line of the log.

All that enters passes `answered`: calls of operations, the gateway's own endpoints, unknown paths, wrong
methods, and what comes while no configuration is loaded. `finish` writes the line: here for whole replies, at
the end of a stream's body for streams.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import traceback
from collections.abc import Awaitable, Callable, Mapping

from gateway.errors import GatewayError, InternalError
from gateway.pipeline.replies import error_reply
from gateway.protocol.messages import ClientGone, Reply
from gateway.telemetry import request_log
from gateway.telemetry.record import Record

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Frames of an unexpected exception that the log shows, innermost last.
_LOGGED_FRAMES = 3

_log = logging.getLogger("gateway")


def begin(operation: str | None, headers: Mapping[str, str], now: float) -> Record:
    """The record of a request that enters at `now` (seconds since 1970). `headers` have names in lower case.

    `operation` is None for what is none.
    """
    return Record(request_id(headers), operation, now)


async def answered(
    record: Record, work: Callable[[], Awaitable[Reply]], clock: Callable[[], float], *, logged: bool = True
) -> Reply:
    """The reply that `work` brings, or the one that its error becomes. A stream goes on after this returns.

    `logged` False: the request gets no line.
    """
    try:
        made = await work()
    except GatewayError as error:
        record.error_code = error.code
        made = error_reply(error)
    except ClientGone:
        # Nobody reads this, but a host needs an answer.
        made = Reply(request_log.CLIENT_CLOSED_REQUEST, [], b"")
    except asyncio.CancelledError:
        # The host stops. It answers this itself.
        record.status, record.error_code = InternalError.status, InternalError.default_code
        finish(record, clock())
        raise
    except Exception as error:  # noqa: BLE001  the last resort: whatever went wrong, the caller gets an answer
        # An exception's text may quote the request, so only its kind and place are logged.
        _log.error("request %s: %s", record.request_id, _place(error))
        record.error_code = InternalError.default_code
        made = error_reply(InternalError())
    record.status = made.status
    made.headers.append(("x-request-id", record.request_id))
    if logged and isinstance(made.body, bytes):
        finish(record, clock())
    return made


def finish(record: Record, now: float) -> None:
    """Write the line of a request that ended at `now` (seconds since 1970)."""
    request_log.write(record, now)


def request_id(headers: Mapping[str, str]) -> str:
    """The client's own x-request-id where it is harmless to repeat, else a new one."""
    given = headers.get("x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return new_request_id()


def new_request_id() -> str:
    """An id for a request whose client gave none."""
    return f"req_{os.urandom(16).hex()}"


def _place(error: BaseException) -> str:
    """Kind and place of an exception."""
    frames = traceback.extract_tb(error.__traceback__)[-_LOGGED_FRAMES:]
    return " < ".join([type(error).__name__, *(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))])
