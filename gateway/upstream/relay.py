"""Relaying what upstream sends while it arrives. Knows the order of bytes and when a stream is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from gateway.errors import GatewayError, UpstreamFailed, UpstreamTimeout, error_body
from gateway.limits.tokens.outcome import Result
from gateway.protocol.messages import Truncated
from gateway.protocol.sse import error_event, event_data, is_error, is_whole
from gateway.telemetry.record import Record
from gateway.upstream.client import TooSlow, Unreachable
from gateway.upstream.redaction import redacted
from gateway.upstream.replies import Answer

#: Bytes of an event beside its text, filter results included; most events bring a token.
FRAME = 1000

BROKEN = "The model's upstream service broke off in the middle of its answer."


class Relay:
    """A reply's body while it is relayed. `finish` runs once: at its end, or when it is closed before."""

    def __init__(self, pieces: AsyncGenerator[bytes], finish: Callable[[], Awaitable[None]]) -> None:
        """`finish` releases what upstream holds, and records the request."""
        self._pieces = pieces
        self._finish = finish
        self._closed = False

    def __aiter__(self) -> Relay:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            # Before the client sees the end: after it the host may freeze this process.
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the relay."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._pieces.aclose()
        finally:
            await self._finish()


async def relay_bytes(answer: Answer, record: Record) -> AsyncGenerator[bytes]:
    """A binary body. Raises Truncated when upstream breaks off."""
    exchange = answer.exchange
    piece = answer.body
    try:
        while piece:
            yield piece
            piece = b"" if exchange is None else await exchange.piece()
    except (Unreachable, TooSlow) as error:
        record.error_code = UpstreamFailed.default_code
        answer.result = Result.FAILED
        raise Truncated from error
    answer.result = Result.SUCCESS


async def relay_events(answer: Answer, record: Record, requested_model: str) -> AsyncGenerator[bytes]:
    """An event stream: whole events as they arrive.

    An upstream that breaks off, falls silent or ends without `[DONE]` and finish_reason ends here in an
    error event, so that no client takes half an answer for a whole one.
    """
    exchange, splitter, tap = answer.exchange, answer.splitter, answer.tap
    if exchange is None or splitter is None or tap is None:
        raise TypeError("not an event stream")

    def passed(events: list[bytes]) -> bytes:
        sent = []
        for event in events:
            visible = tap.watch(event)
            if tap.failed and is_error(event):
                record.error_code = record.error_code or "upstream_error"
                data = redacted(event_data(event), answer.deployment, requested_model)
                visible = error_event(data or error_body(UpstreamFailed()))
            sent.append(visible)
            answer.relayed += 1 + max(0, len(event) - FRAME) // 4
        if tap.usage is not None:
            answer.usage = record.usage = tap.usage
        return b"".join(sent)

    problem: GatewayError | None = None
    if first := passed(answer.events):
        yield first
    try:
        while piece := await exchange.piece():
            if sent := passed(splitter.feed(piece)):
                yield sent
    except Unreachable:
        problem = UpstreamFailed(BROKEN)
    except TooSlow:
        problem = UpstreamTimeout("The model's upstream service fell silent in the middle of its answer.")
    else:
        rest = splitter.rest()
        if is_whole(rest) and (sent := passed([rest])):
            yield sent if tap.complete else sent + b"\n\n"
        if not tap.complete:
            problem = UpstreamFailed(BROKEN)
    answer.result = Result.FAILED if tap.failed else Result.SUCCESS
    if problem is not None and not (tap.done or tap.failed):
        answer.result = Result.TIMEOUT if isinstance(problem, UpstreamTimeout) else Result.FAILED
        record.error_code = problem.code
        yield error_event(error_body(problem))


async def relay_late(
    sending: asyncio.Future[Answer], record: Record, requested_model: str, clock: Callable[[], float]
) -> AsyncGenerator[bytes]:
    """An event stream whose headers went out before upstream answered: now every failure is an event."""
    try:
        answer = await sending
    except GatewayError as error:
        record.error_code = error.code
        yield error_event(error_body(error))
        return
    record.first_byte = clock()
    if answer.exchange is None:
        record.error_code = answer.code
        yield error_event(answer.body)
        return
    async for piece in relay_events(answer, record, requested_model):
        yield piece


async def abandon(sending: asyncio.Future[Answer]) -> None:
    """Close what `sending` has brought, or will not bring any more."""
    if not sending.done():
        sending.cancel()
    elif not sending.cancelled() and sending.exception() is None:
        await sending.result().close()
