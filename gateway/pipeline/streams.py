"""The bodies of streamed replies. `aclose` is the one end of a stream: of its call, and of its request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from gateway.errors import GatewayError, error_body
from gateway.pipeline.ending import finish
from gateway.protocol.keep_alive import keep_alive
from gateway.protocol.messages import Reply, Stream
from gateway.protocol.operation import Streaming
from gateway.protocol.sse import error_event
from gateway.sharing.account import Account
from gateway.telemetry.record import Record
from gateway.upstream.answers import EventsAnswer, StreamedAnswer
from gateway.upstream.relay import relay


class AnswerStream:
    """A reply's body that relays an answer. Owns the answer's connection and the call's account."""

    __slots__ = ("_account", "_answer", "_clock", "_record", "pieces")

    def __init__(
        self,
        answer: StreamedAnswer,
        account: Account,
        record: Record,
        requested_model: str,
        clock: Callable[[], float],
    ) -> None:
        """`account` is open and belongs to this stream from now on."""
        self._answer = answer
        self._account: Account | None = account
        self._record = record
        self._clock = clock
        #: The bytes that the client gets, without the ends of call and request.
        self.pieces = relay(answer, record, requested_model)

    def keep_alive(self) -> bytes:
        """An event that says nothing, as one of this stream's own."""
        return self._answer.tap.keep_alive() if isinstance(self._answer, EventsAnswer) else b""

    def __aiter__(self) -> AnswerStream:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self.pieces)
        except StopAsyncIteration:
            # Before the client sees the end: after it the host may freeze this process.
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the call, then the request. More than once does no harm."""
        if self._account is not None:
            try:
                await self.abandon()
            finally:
                finish(self._record, self._clock())

    async def abandon(self) -> None:
        """End the call whose reply nobody gets; the request ends elsewhere."""
        account, self._account = self._account, None
        if account is None:
            return
        try:
            await self.pieces.aclose()
        finally:
            try:
                await self._answer.close()
            finally:
                await account.close(self._answer.outcome())


#: A call that is being sent; it brings a whole reply, or one whose body is an AnswerStream.
Sending = asyncio.Future[Reply]


class LateStream:
    """A reply's body whose headers went out before upstream answered: every failure is an event now."""

    __slots__ = ("_body", "_clock", "_closed", "_pieces", "_record", "_sending", "_streaming")

    def __init__(
        self, sending: Sending, streaming: Streaming, record: Record, clock: Callable[[], float]
    ) -> None:
        self._sending = sending
        self._streaming = streaming
        self._record = record
        self._clock = clock
        self._pieces = self._relayed()
        self._closed = False
        #: What is relayed, from its first piece on: Azure's own first event has no id yet.
        self._body: bytes | Stream | None = None

    def keep_alive(self) -> bytes:
        """An event that says nothing: without an id while nothing of an answer is relayed."""
        body = self._body
        if body is None:
            return keep_alive(self._streaming, b"")
        return b"" if isinstance(body, bytes) else body.keep_alive()

    def __aiter__(self) -> LateStream:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the call, then the request. More than once does no harm."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._pieces.aclose()
            await abandon(self._sending)
        finally:
            finish(self._record, self._clock())

    async def _relayed(self) -> AsyncGenerator[bytes]:
        record = self._record
        try:
            body = self._body = (await self._sending).body
        except GatewayError as error:
            record.error_code = error.code
            yield error_event(error_body(error))
            return
        if isinstance(body, bytes):
            yield error_event(body)
        elif isinstance(body, AnswerStream):
            async for piece in body.pieces:
                yield piece


async def abandon(sending: Sending) -> None:
    """End a call that is being sent, or the stream that it has brought."""
    if not sending.done():
        sending.cancel()
        await asyncio.wait({sending})
    if sending.cancelled() or sending.exception() is not None:
        return
    body = sending.result().body
    if isinstance(body, AnswerStream):
        await body.abandon()
