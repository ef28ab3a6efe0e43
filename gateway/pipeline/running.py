"""The second half of a request: choose, send, relay, settle. Knows neither headers nor who may call.

Both who comes over HTTP and a Python caller enter here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.auth.principal import Principal
from gateway.pipeline.replies import bytes_reply, events_reply, whole_reply
from gateway.pipeline.streams import AnswerStream, LateStream, Sending, abandon
from gateway.pipeline.uploads import Upload
from gateway.protocol.calls import Call
from gateway.protocol.messages import Reply
from gateway.protocol.operation import Streaming
from gateway.routing.dispatcher import Dispatcher
from gateway.settings import Settings
from gateway.telemetry.record import Record
from gateway.upstream.answers import BytesAnswer, WholeAnswer
from gateway.upstream.time_limit import Deadline


class Runner:
    """Answers admitted calls."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970."""
        self._settings = settings
        self._clock = clock

    async def run(
        self,
        dispatcher: Dispatcher,
        call: Call,
        principal: Principal,
        record: Record,
        *,
        upload: Upload | None = None,
    ) -> Reply:
        """Answer an admitted call of `principal`: choose, send, relay, settle. Raises GatewayError.

        `upload` holds the bytes of the call's body, where it came over HTTP.
        """
        if call.streaming is not None:
            deadline = Deadline.within(self._settings.stream_timeout)
            sending = deadline.loop.create_task(self._send(dispatcher, call, principal, record, deadline))
            return await self._stream(sending, call.streaming, record, upload)
        deadline = Deadline.within(self._settings.reply_timeout)
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
        self, dispatcher: Dispatcher, call: Call, principal: Principal, record: Record, deadline: Deadline
    ) -> Reply:
        """Choose, send, and make the reply. A whole answer is settled; a stream settles when it is closed."""
        async with dispatcher.account(call, principal) as account:
            answer = await dispatcher.send(call, principal, account, record, deadline)
            limits = dispatcher.limit_headers(call, principal)
            if isinstance(answer, WholeAnswer):
                record.usage, record.error_code = answer.usage, answer.code
                return whole_reply(answer, limits)
            record.first_byte = self._clock()
            body = AnswerStream(answer, account.handed_over(), record, call.shown_model, self._clock)
            if isinstance(answer, BytesAnswer):
                return bytes_reply(answer, body, limits)
            return events_reply(body, limits, self._settings.keep_alive)
