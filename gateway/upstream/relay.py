"""Relaying an answer while it arrives. Knows the order of bytes, and when a stream is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable

from gateway.errors import GatewayError, UpstreamFailed, UpstreamTimeout, error_body
from gateway.limits.tokens.outcome import Result
from gateway.protocol.messages import Truncated
from gateway.protocol.sse import PART, EventSplitter, EventTooLong, error_event, event_data, is_whole
from gateway.telemetry.record import Record
from gateway.upstream.answers import BytesAnswer, EventsAnswer, StreamedAnswer
from gateway.upstream.client import Exchange
from gateway.upstream.failures import TooSlow, Unreachable
from gateway.upstream.redaction import LONGEST
from gateway.upstream.refusals import in_openais_shape
from gateway.upstream.words import Said, said

#: Bytes of an event beside its text, filter results included. Most events bring one token.
FRAME = 1000
#: Events that are worked through in one turn of the event loop. Most parts of a stream hold fewer.
AT_ONCE = 200
#: Seconds in which upstream ends its reply after `[DONE]`. The client has all of it by then.
LAST_BYTES = 0.2

BROKEN = "The model's upstream service broke off in the middle of its answer."
SILENT = "The model's upstream service fell silent in the middle of its answer."


def relay(answer: StreamedAnswer, record: Record, requested_model: str) -> AsyncGenerator[bytes]:
    """The bytes that the client gets of `answer`. Raises Truncated as `relay_bytes` does."""
    if isinstance(answer, EventsAnswer):
        return relay_events(answer, record, requested_model)
    if isinstance(answer, BytesAnswer):
        return relay_bytes(answer, record)
    raise TypeError(f"{type(answer).__name__} has no relay")


async def relay_bytes(answer: BytesAnswer, record: Record) -> AsyncGenerator[bytes]:
    """A binary body. Raises Truncated when upstream breaks off."""
    piece = answer.first
    try:
        while piece:
            yield piece
            piece = await answer.exchange.piece()
    except (Unreachable, TooSlow) as error:
        record.error_code = UpstreamFailed.default_code
        answer.result = Result.FAILED
        raise Truncated from error
    answer.result = Result.SUCCESS


async def relay_events(answer: EventsAnswer, record: Record, requested_model: str) -> AsyncGenerator[bytes]:
    """An event stream: whole events as they arrive.

    The stream ends in an error event when upstream breaks off, falls silent, or ends without `[DONE]` and a
    finish_reason for each choice. So no client takes half an answer for a whole one. It ends with `[DONE]` or
    upstream's own error, whatever upstream does then.
    """
    exchange, splitter, tap = answer.exchange, answer.splitter, answer.tap
    problem: GatewayError | None = None
    events = answer.events
    try:
        while True:
            for start in range(0, len(events), AT_ONCE):
                if start:
                    await asyncio.sleep(0)
                if sent := _passed(events[start : start + AT_ONCE], answer, record, requested_model):
                    yield sent
            if tap.over or not (part := await _next_part(exchange, splitter)):
                break
            events = splitter.feed(part)
    except (Unreachable, EventTooLong):
        problem = UpstreamFailed(BROKEN)
    except TooSlow:
        problem = UpstreamTimeout(SILENT)
    else:
        rest = b"" if tap.over else splitter.rest()
        if is_whole(rest) and (sent := _passed([rest], answer, record, requested_model)):
            yield sent if tap.complete else sent + b"\n\n"
        if not tap.complete:
            problem = UpstreamFailed(BROKEN)
    if tap.over and not exchange.complete:
        await _end(exchange)
    if not tap.failed:
        answer.result = Result.SUCCESS
    if problem is not None and not tap.over:
        answer.result = Result.TIMEOUT if isinstance(problem, UpstreamTimeout) else Result.FAILED
        record.error_code = problem.code
        yield error_event(error_body(problem))


def _next_part(exchange: Exchange, splitter: EventSplitter) -> Awaitable[bytes]:
    return _after_done(exchange) if splitter.ends() else exchange.piece(PART)


async def _after_done(exchange: Exchange) -> bytes:
    """The part behind a `[DONE]` that no empty line has ended yet; empty where none comes."""
    try:
        async with asyncio.timeout(LAST_BYTES):
            return await exchange.piece(PART)
    except TimeoutError:
        return b""


async def _end(exchange: Exchange) -> None:
    """Read the end of a reply whose last event has come, so that its connection can be used again.

    Where more comes, or nothing, the reply stays unread, and closing it cuts the connection.
    """
    with contextlib.suppress(Unreachable, TooSlow, TimeoutError):
        async with asyncio.timeout(LAST_BYTES):
            await exchange.piece()


def _to_blame(error: Said) -> Result:
    """How a stream ended that broke off with `error`."""
    if error.callers:
        return Result.CALLER
    return Result.REQUEST if error.models_own else Result.FAILED


def _passed(events: list[bytes], answer: EventsAnswer, record: Record, requested_model: str) -> bytes:
    """What the client gets of `events`; notes in `answer` and `record` what they say."""
    tap = answer.tap
    sent = []
    for event in events:
        visible = tap.watch(event)
        answer.relayed += 1 if len(event) <= FRAME else 1 + (len(event) - FRAME) // 4
        if tap.over:
            sent.append(_failure(event, answer, record, requested_model) if tap.failed else visible)
            break
        sent.append(visible)
    if tap.usage is not None:
        answer.usage = record.usage = tap.usage
    return sent[0] if len(sent) == 1 else b"".join(sent)


def _failure(event: bytes, answer: EventsAnswer, record: Record, requested_model: str) -> bytes:
    """What the client gets of upstream's error event, which is noted in `answer` and `record`."""
    record.error_code = record.error_code or "upstream_error"
    # Of a longer one, too, no more would be passed on than that there is one.
    data = event_data(event) if len(event) <= LONGEST else b""
    answer.result = _to_blame(said(data))
    data = answer.scrubber.redacted(data, answer.deployment, requested_model)
    return error_event(in_openais_shape(data, UpstreamFailed))
