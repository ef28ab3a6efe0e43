"""One request, top to bottom: authenticate, read, parse, resolve; then choose, send, relay, settle.

Knows the order of the steps and no detail of any of them. A Python caller enters at `run`, which needs no
headers. How a request ends, errors included, is in `ending.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gateway.auth.principal import Principal
from gateway.errors import GatewayError, Unauthorized
from gateway.pipeline.disconnect import CancelWhenGone
from gateway.pipeline.endpoints import answerers
from gateway.pipeline.replies import bytes_reply, events_reply, json_reply, whole_reply
from gateway.pipeline.snapshot import Snapshot
from gateway.pipeline.status import Status
from gateway.pipeline.streams import AnswerStream, LateStream, Sending, abandon
from gateway.pipeline.uploads import Upload, UploadLimits
from gateway.protocol import calls
from gateway.protocol.calls import Call
from gateway.protocol.endpoints import Endpoint
from gateway.protocol.json_body import LARGE, Body, parse, parse_steps
from gateway.protocol.messages import Reply, Request
from gateway.protocol.operation import Operation, Streaming
from gateway.routing.dispatcher import Dispatcher
from gateway.settings import Settings
from gateway.telemetry.record import Record
from gateway.telemetry.request_log import Refusals
from gateway.upstream.replies import BytesAnswer, WholeAnswer


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
        self._refusals = Refusals()
        self._answerers = answerers(status)
        self._uploads = UploadLimits(
            max_body=settings.max_body, max_held=settings.max_held, upload_timeout=settings.upload_timeout
        )

    async def handle(self, request: Request, record: Record) -> Reply:
        """The reply to a request. A stream goes on after this returns.

        Raises GatewayError; raises ClientGone when the caller left, for nobody would read a reply.
        """
        snapshot = await self._snapshot()
        if isinstance(request.target, Endpoint):
            principal = await self._authenticate(snapshot, request, record)
            return json_reply(await self._answerers[request.target](request, snapshot, principal))
        with self._uploads.hold() as upload:
            principal, call = await self.admit(snapshot, request, request.target, record, upload=upload)
            async with CancelWhenGone(request.caller):
                return await self.run(snapshot, call, principal, record, upload=upload)

    async def readiness(self, headers: Mapping[str, str]) -> bytes:
        """That requests are answered, and more for an administrator. Raises NotReady."""
        snapshot = await self._snapshot()
        try:
            principal = await snapshot.authenticator.authenticate(headers, self._clock())
        except GatewayError:
            principal = None
        return self._status.readiness(principal)

    async def admit(
        self, snapshot: Snapshot, request: Request, operation: Operation, record: Record, *, upload: Upload
    ) -> tuple[Principal, Call]:
        """Who calls, and what: authenticate, read, parse, resolve. Raises GatewayError or ClientGone."""
        principal = await self._authenticate(snapshot, request, record)
        calls.check_media_type(request.headers)
        began = self._clock()
        raw = await upload.read(request)
        # The time that the caller takes to send its body is not ours.
        record.waited += self._clock() - began
        body = parse(raw) if len(raw) <= LARGE else await _parse_in_steps(raw)
        call = calls.read(operation, body, request.path_model)
        record.requested_model, record.stream = call.requested_model, call.stream
        return principal, snapshot.models.check(call, principal, azure_path=request.azure_path)

    async def _authenticate(self, snapshot: Snapshot, request: Request, record: Record) -> Principal:
        """Who sends a request. Raises Unauthorized, Forbidden or IdentityUnavailable."""
        try:
            principal = await snapshot.authenticator.authenticate(
                request.headers, record.started, azure_path=request.azure_path
            )
        except Unauthorized:
            record.refusals = self._refusals.count(record.started)
            raise
        record.client = principal.name
        return principal

    async def run(
        self,
        snapshot: Snapshot,
        call: Call,
        principal: Principal,
        record: Record,
        *,
        upload: Upload | None = None,
    ) -> Reply:
        """Answer an admitted call of `principal`: choose, send, relay, settle. Raises GatewayError.

        `upload` holds the bytes of the call's body, where it came over HTTP.
        """
        dispatcher = snapshot.dispatcher
        if call.streaming is not None:
            deadline = asyncio.get_running_loop().time() + self._settings.stream_timeout
            sending = asyncio.ensure_future(self._send(dispatcher, call, principal, record, deadline))
            return await self._stream(sending, call.streaming, record, upload)
        deadline = asyncio.get_running_loop().time() + self._settings.reply_timeout
        return await self._send(dispatcher, call, principal, record, deadline)

    async def _stream(
        self, sending: Sending, streaming: Streaming, record: Record, upload: Upload | None
    ) -> Reply:
        """A stream's reply.

        Its headers wait for upstream's answer, so that a failure before it is an HTTP error, which clients
        retry. They wait no longer than a stream may be silent: from then on keep-alives are sent, and a
        failure is an event where no other deployment answers.
        """
        try:
            hold = min(self._settings.stream_hold, self._settings.keep_alive)
            await asyncio.wait({sending}, timeout=hold)
        except asyncio.CancelledError:
            await abandon(sending)
            raise
        if sending.done():
            return sending.result()
        if upload is not None:
            # The body is still needed: it may be sent to another deployment.
            held = upload.handed_over()
            sending.add_done_callback(lambda _: held.release())
        late = LateStream(sending, streaming, record, self._clock)
        return events_reply(late, [], self._settings.keep_alive)

    async def _send(
        self, dispatcher: Dispatcher, call: Call, principal: Principal, record: Record, deadline: float
    ) -> Reply:
        """Choose, send, and make the reply. A whole answer is settled; a stream settles when it is closed."""
        async with dispatcher.account(call, principal) as account:
            answer = await dispatcher.send(call, principal, account, record, deadline)
            limits = dispatcher.limit_headers(call, principal)
            if isinstance(answer, WholeAnswer):
                record.usage, record.error_code = answer.usage, answer.code
                return whole_reply(answer, limits)
            record.first_byte = self._clock()
            body = AnswerStream(answer, account.handed_over(), record, call.requested_model, self._clock)
            if isinstance(answer, BytesAnswer):
                return bytes_reply(answer, body, limits)
            return events_reply(body, limits, self._settings.keep_alive)


async def _parse_in_steps(raw: bytes) -> Body:
    """A large body, parsed while other requests go on."""
    steps = parse_steps(raw)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            body: Body = finished.value
            return body
        await asyncio.sleep(0)
