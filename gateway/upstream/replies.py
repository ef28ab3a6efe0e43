"""What is an answer: a reply either answers a call, or fails and another deployment is tried.

Reads as much as must be known before the client gets anything: the whole of a JSON reply, the first event of
a stream, the first bytes of any other body. Does not know the client.
"""

from __future__ import annotations

import json
import re

from msgspec.structs import replace

from gateway.config.deployment import Deployment
from gateway.errors import BadRequest, RateLimited
from gateway.limits.tokens.outcome import Result
from gateway.limits.tokens.signals import read_limits
from gateway.protocol import audio
from gateway.protocol.calls import Call
from gateway.protocol.sse import PART, EventSplitter, event_json, is_whole
from gateway.protocol.stream_events import EventKind
from gateway.protocol.stream_tap import StreamTap
from gateway.protocol.whole_replies import BYTE_ORDER_MARK
from gateway.quoting import LONGEST
from gateway.upstream.answers import (
    Answer,
    BytesAnswer,
    EventsAnswer,
    Refused,
    UsageRefused,
    WholeAnswer,
)
from gateway.upstream.client import Exchange
from gateway.upstream.expected import Expected
from gateway.upstream.failures import TooLong, Undecodable
from gateway.upstream.outgoing import grounded
from gateway.upstream.refusals import error_details, in_openais_shape, too_many
from gateway.upstream.verdicts import AttemptFailed, UpstreamReply, no_answer, rejection
from gateway.upstream.words import Said, said, said_by

#: Bytes of a refusal's body.
LONGEST_ERROR = 1_000_000
_JSON = "application/json"
#: How a refusal names what we added to ask for a usage.
_USAGE_OPTIONS = (b"stream_options", b"include_usage")
#: A plain character that is written as an escape.
_ESCAPED = re.compile(rb"\\u00[2-7]")
#: Bytes of a stream that may come before its answer begins.
LONGEST_HEAD = 1_000_000


async def receive(exchange: Exchange, expected: Expected, now: float) -> Answer:
    """The answer in a reply that came at `now` (seconds since 1970).

    Raises AttemptFailed, UsageRefused, and Unreachable or TooSlow as reading does.
    """
    if not 200 <= exchange.status < 300:
        return await _refusal(exchange, expected, now)
    if expected.call.streaming is not None:
        deployment = expected.deployment
        choices = expected.call.choices({**deployment.extra_body, **deployment.defaults})
        tap = StreamTap(expected.call.streaming, hide_usage=expected.hide_usage, choices=choices)
        return await _events(exchange, expected, tap, now)
    if expected.call.operation.whole_reply:
        return await _whole(exchange, expected)
    return await _bytes(exchange, expected.deployment)


async def _refusal(exchange: Exchange, expected: Expected, now: float) -> WholeAnswer:
    """The refusal of the caller's mistake."""
    try:
        body = await exchange.read(LONGEST_ERROR)
    except (TooLong, Undecodable):
        # It may repeat all of a long request. The status tells enough.
        body = b""
    error = said(body)
    failure = rejection(exchange.status, exchange.headers, error, now)
    if failure is not None and failure.result is Result.OPERATOR and grounded(expected.call):
        # The deployment that is not there may be one that the client's data sources name.
        outcome = replace(failure.outcome, certain=False)
        failure = AttemptFailed(outcome, failure.status, failure.code, failure.message)
    if failure is not None:
        failure.reply = UpstreamReply(exchange.status, exchange.headers, body)
    if failure is not None and failure.outcome.certain:
        raise failure
    answer = _refused(exchange, body, expected, status=exchange.status, code=error.code)
    named = any(word in body for word in _USAGE_OPTIONS)
    if expected.hide_usage and exchange.status in {400, 422} and named:
        raise UsageRefused(answer, certain=_refuses_usage(error, expected.call))
    if failure is not None:
        raise Refused(failure, answer, sound=not (error.no_path or error.no_entry))
    return answer


def _refuses_usage(error: Said, call: Call) -> bool:
    """Whether a refusal that names `stream_options` does not just repeat what the client has written."""
    written = call.body.raw
    repeated = any(word in written for word in _USAGE_OPTIONS) or _ESCAPED.search(written)
    return not repeated or (error.param or "").startswith("stream_options")


async def _whole(exchange: Exchange, expected: Expected) -> WholeAnswer:
    """A reply that is read as a whole."""
    operation, deployment = expected.call.operation, expected.deployment
    body = await exchange.read(expected.max_reply)
    if not operation.is_answer(body):
        raise no_answer(exchange.status, "no answer")
    return WholeAnswer(
        exchange.status,
        operation.repaired(body.removeprefix(BYTE_ORDER_MARK)),
        _content_type(exchange),
        deployment,
        usage=operation.usage(body),
        limits=read_limits(exchange.headers),
        headers=exchange.headers,
    )


async def _bytes(exchange: Exchange, deployment: Deployment) -> BytesAnswer:
    """Sound, which is copied as it comes, read until it can be told from a page."""
    content_type = _content_type(exchange)
    first = piece = await exchange.piece()
    while piece and audio.is_undecided(first) and len(first) < LONGEST_HEAD:
        piece = await exchange.piece()
        first += piece
    if not audio.is_sound(first, _media_type(content_type)):
        raise no_answer(exchange.status, "no answer")
    return BytesAnswer(
        exchange=exchange,
        deployment=deployment,
        content_type=content_type,
        limits=read_limits(exchange.headers),
        first=first,
    )


async def _events(exchange: Exchange, expected: Expected, tap: StreamTap, now: float) -> Answer:
    """A stream, read until it is an answer: a failure before that can still be an HTTP error.

    Its type does not matter. Clients do not look at it either.
    """
    splitter = EventSplitter()
    events: list[bytes] = []
    size = 0
    while not tap.answered:
        part = await exchange.piece(PART)
        size += len(part)
        came = splitter.feed(part)
        if not events and came:
            came[0] = came[0].removeprefix(BYTE_ORDER_MARK)
        last = [] if part else [rest for rest in (splitter.rest(),) if is_whole(rest)]
        events += came
        for event in (*came, *last):
            kind = tap.look(event)
            if kind is EventKind.FAILURE:
                return _first_error(event, exchange, expected, now)
            if kind is EventKind.DONE:
                raise no_answer(exchange.status, "empty")
            if kind is EventKind.ANSWER:
                break
            if kind is EventKind.ASIDE:
                expected.begun()
        if not tap.answered and (not part or size > LONGEST_HEAD):
            raise no_answer(exchange.status, "empty")
    return EventsAnswer(
        exchange=exchange,
        deployment=expected.deployment,
        content_type=_content_type(exchange),
        limits=read_limits(exchange.headers),
        events=events,
        splitter=splitter,
        tap=tap,
        scrubber=expected.scrubber,
    )


def _first_error(event: bytes, exchange: Exchange, expected: Expected, now: float) -> WholeAnswer:
    """The HTTP error that answers a stream which begins with the caller's error. Raises AttemptFailed."""
    values = event_json(event)
    details, error = error_details(values), said_by(values)
    status = error.status or (400 if error.callers else 500)
    try:
        body = json.dumps({"error": details}).encode()
    except RecursionError:
        # It could just be read.
        raise no_answer(exchange.status, error.code) from None
    answer = _refused(exchange, body, expected, status=status, code=error.code, content_type=_JSON)
    if error.callers or error.models_own:
        return answer
    if error.status is None:
        raise no_answer(exchange.status, error.code, error.message)
    failure = rejection(status, exchange.headers, error, now)
    if failure is None or failure.outcome.certain:
        raise failure or no_answer(exchange.status, error.code, error.message)
    raise Refused(failure, answer, sound=True)


def _refused(
    exchange: Exchange,
    body: bytes,
    expected: Expected,
    *,
    status: int,
    code: str | None,
    content_type: str | None = None,
) -> WholeAnswer:
    """The answer that passes a refusal on, in OpenAI's shape."""
    clean = expected.scrubber.redacted(body, expected.deployment, expected.call.shown_model)
    passed = in_openais_shape(clean, too_many if status == RateLimited.status else BadRequest)
    content_type = (content_type or _content_type(exchange)) if passed is clean else _JSON
    limits = read_limits(exchange.headers)
    return WholeAnswer(
        status, passed, content_type, expected.deployment, code=code, limits=limits, headers=exchange.headers
    )


def _content_type(exchange: Exchange) -> str | None:
    """Upstream's content type; None where no header of ours can carry it, or it is none."""
    content_type = exchange.headers.get("content-type")
    return content_type if content_type and content_type.isascii() and len(content_type) <= LONGEST else None


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()
