"""One request, top to bottom: authenticate, parse, choose and send, relay, record.

Knows the order of the steps and no detail of any of them. Callable from an HTTP host and from Python alike.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial

from gateway.errors import GatewayError, InternalError, RateLimited, error_body
from gateway.pipeline.disconnect import CancelWhenGone
from gateway.pipeline.endpoints import answerers
from gateway.pipeline.snapshot import Snapshot
from gateway.pipeline.status import Status
from gateway.pipeline.uploads import Upload, UploadLimits
from gateway.protocol import calls
from gateway.protocol.calls import Call
from gateway.protocol.endpoints import Endpoint
from gateway.protocol.json_body import parse
from gateway.protocol.messages import ClientGone, Headers, Reply, Request
from gateway.routing.dispatcher import Dispatcher
from gateway.settings import Settings
from gateway.telemetry import request_log as telemetry
from gateway.telemetry.record import Record
from gateway.upstream.relay import Relay, abandon, relay_bytes, relay_events, relay_late
from gateway.upstream.replies import Answer

_log = logging.getLogger("gateway")

_JSON = ("content-type", "application/json")
_EVENTS = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Gateway:
    """Answers requests. All that comes from outside (configuration, clock, upstream) is passed in."""

    def __init__(
        self,
        settings: Settings,
        snapshot: Callable[[], Awaitable[Snapshot]],
        status: Status,
        *,
        clock: Callable[[], float],
    ) -> None:
        """`snapshot` gives the configuration in force or raises NotReady; `clock` seconds since 1970."""
        self._settings = settings
        self._snapshot = snapshot
        self._clock = clock
        self._status = status
        self._answerers = answerers(status)
        self._bodies = UploadLimits(
            max_body=settings.max_body, max_held=settings.max_held, upload_timeout=settings.upload_timeout
        )

    async def handle(self, request: Request) -> Reply:
        """The reply to a request, errors included. A stream goes on after this returns.

        Raises ClientGone when the caller left: nobody would read a reply.
        """
        record = Record(request_id(request.headers), request.target.name, self._clock())
        hold = self._bodies.hold()
        try:
            snapshot = await self._snapshot()
            client = snapshot.authenticator.authenticate(request.headers, azure_path=request.azure_path)
            record.client = client
            if isinstance(request.target, Endpoint):
                own = await self._answerers[request.target](request, snapshot)
                return self._whole(200, [_JSON], own, record)
            calls.check_media_type(request.headers)
            body = parse(await self._read(hold, request, record))
            call = calls.read(request.target, body, request.path_model)
            record.requested_model, record.stream = call.requested_model, call.stream
            snapshot.models.check(call, azure_path=request.azure_path)
            async with CancelWhenGone(request.caller):
                if call.stream:
                    return await self._stream(snapshot.dispatcher, call, client, record, hold)
                deadline = asyncio.get_running_loop().time() + self._settings.reply_timeout
                answer = await snapshot.dispatcher.send(call, client, record, deadline)
                return self._reply(answer, snapshot.dispatcher.limit_headers(call, client), call, record)
        except RateLimited as error:
            limits = _used_up(snapshot.dispatcher.limit_headers(call, client), error.type)
            headers = [_JSON, *error.headers(), *limits]
            return self._whole(error.status, headers, error_body(error), record, error.code)
        except GatewayError as error:
            return self._whole(error.status, [_JSON, *error.headers()], error_body(error), record, error.code)
        except ClientGone:
            record.status = telemetry.CLIENT_CLOSED_REQUEST
            telemetry.write(record, self._clock())
            raise
        except Exception as error:  # noqa: BLE001  the last resort: whatever went wrong, the caller gets an answer
            defect = InternalError()
            # An exception's text may quote the request, so only its kind and place are logged.
            _log.error("request %s: %s", record.request_id, _place(error))
            return self._whole(defect.status, [_JSON], error_body(defect), record, defect.code)
        finally:
            hold.release()

    async def _read(self, hold: Upload, request: Request, record: Record) -> bytes:
        """The body; what the caller takes to send it is no time of ours."""
        began = self._clock()
        body = await hold.read(request)
        record.waited += self._clock() - began
        return body

    async def readiness(self, headers: Mapping[str, str]) -> bytes:
        """That requests are answered, and more for the holder of the master key. Raises NotReady."""
        snapshot = await self._snapshot()
        return self._status.readiness(snapshot.authenticator, headers)

    async def _stream(
        self, dispatcher: Dispatcher, call: Call, client: str, record: Record, hold: Upload
    ) -> Reply:
        """A stream's reply.

        Its headers wait for upstream's first byte, so that a failure before it is an HTTP error, which
        clients retry; but not for longer than the platform lets a reply be silent.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.stream_timeout
        sending = asyncio.ensure_future(dispatcher.send(call, client, record, deadline))
        try:
            await asyncio.wait({sending}, timeout=self._settings.stream_hold)
        except asyncio.CancelledError:
            await abandon(sending)
            raise
        if sending.done():
            return self._reply(sending.result(), dispatcher.limit_headers(call, client), call, record)
        # The body is still needed: it may be sent to another deployment.
        still_held = hold.handed_over()
        sending.add_done_callback(lambda _: still_held.release())
        pieces = relay_late(sending, record, call.requested_model, self._clock)
        return self._events(pieces, partial(abandon, sending), [], record, call)

    def _reply(self, answer: Answer, limits: Headers, call: Call, record: Record) -> Reply:
        """The reply that hands an answer on."""
        content_type = [] if answer.content_type is None else [("content-type", answer.content_type)]
        if answer.exchange is None:
            record.usage = answer.usage
            return self._whole(answer.status, [*content_type, *limits], answer.body, record, answer.code)
        record.first_byte = self._clock()
        if answer.splitter is not None:
            pieces = relay_events(answer, record, call.requested_model)
            return self._events(pieces, answer.close, limits, record, call)
        record.status = answer.status
        length = [] if answer.length is None else [("content-length", answer.length)]
        relay = Relay(relay_bytes(answer, record), partial(self._close, answer.close, record))
        return Reply(answer.status, [*content_type, *length, *limits, _id(record)], relay)

    def _events(
        self,
        pieces: AsyncGenerator[bytes],
        close: Callable[[], Awaitable[None]],
        headers: Headers,
        record: Record,
        call: Call,
    ) -> Reply:
        record.status = 200
        relay = Relay(pieces, partial(self._close, close, record))
        keep_alive = b"" if call.streaming is None else call.streaming.keep_alive
        return Reply(200, [*_EVENTS, *headers, _id(record)], relay, keep_alive, self._settings.keep_alive)

    def _whole(
        self, status: int, headers: Headers, body: bytes, record: Record, code: str | None = None
    ) -> Reply:
        record.status = status
        record.error_code = code
        self._finish(record)
        return Reply(status, [*headers, _id(record)], body)

    async def _close(self, close: Callable[[], Awaitable[None]], record: Record) -> None:
        """End a stream, then record it."""
        try:
            await close()
        finally:
            self._finish(record)

    def _finish(self, record: Record) -> None:
        """The one place where a finished request is recorded."""
        telemetry.write(record, self._clock())


def refuse(error: GatewayError, headers: Mapping[str, str]) -> Reply:
    """The reply to a request that no operation takes."""
    identity = ("x-request-id", request_id(headers))
    return Reply(error.status, [_JSON, *error.headers(), identity], error_body(error))


def request_id(headers: Mapping[str, str]) -> str:
    """The client's own x-request-id where it is harmless to repeat, else a new one."""
    given = headers.get("x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return f"req_{uuid.uuid4().hex}"


def _used_up(limits: Headers, kind: str) -> Headers:
    """The headers of `limits` with nothing left of `kind`, which is "requests" or "tokens"."""
    # What a ledger has left is no use to the client while all deployments rest, or one's cap is full.
    remaining = f"x-ratelimit-remaining-{kind}"
    return [(name, "0" if name == remaining else value) for name, value in limits]


def _id(record: Record) -> tuple[str, str]:
    return ("x-request-id", record.request_id)


def _place(error: BaseException) -> str:
    """Kind and place of an exception."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join([type(error).__name__, *(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))])
