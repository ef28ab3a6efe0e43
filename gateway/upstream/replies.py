"""What is an answer: a reply either answers a call, or fails and another deployment is tried.

Reads as much as must be known before the client gets anything: the whole of a JSON reply, the first event of
a stream, the first bytes of any other body. Does not know the client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.config.deployment import Deployment
from gateway.errors import BadRequest, RateLimited
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits, read_limits
from gateway.protocol import audio
from gateway.protocol.calls import Call
from gateway.protocol.sse import EventSplitter, event_json, is_whole
from gateway.protocol.stream_events import EventKind
from gateway.protocol.stream_tap import StreamTap
from gateway.protocol.usage import NO_USAGE, Usage
from gateway.protocol.whole_replies import BYTE_ORDER_MARK
from gateway.quoting import LONGEST
from gateway.upstream.client import Exchange, TooLong, Undecodable
from gateway.upstream.expected import Expected
from gateway.upstream.outgoing import grounded
from gateway.upstream.redaction import Scrubber
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
#: How a stream that ends badly is told to the operator.
_BROKEN_OFF = {Result.FAILED: "broke off", Result.TIMEOUT: "timeout"}


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """An answer that was read to its end: a JSON reply, or a refusal of the caller's mistake."""

    status: int
    body: bytes
    content_type: str | None
    deployment: Deployment
    #: The code of a refusal.
    code: str | None = None
    usage: Usage = NO_USAGE
    #: What upstream says of its limits.
    limits: RateLimits | None = None
    #: Upstream's headers, names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def outcome(self) -> Outcome:
        """What the ledgers learn of it."""
        return Outcome(
            _result(self.status),
            self.usage.prompt_tokens,
            self.usage.completion_tokens,
            limits=self.limits,
        )


@dataclass(slots=True, kw_only=True)
class StreamedAnswer:
    """An answer that is relayed while it arrives. Whoever takes it closes it.

    The relay notes here how far it has come.
    """

    exchange: Exchange
    deployment: Deployment
    content_type: str | None
    limits: RateLimits | None
    #: How it ended. A stream that is left before its end was aborted.
    result: Result = Result.ABORTED
    usage: Usage = NO_USAGE
    #: Tokens that were relayed so far, about: one for each event, more for long ones.
    relayed: int = 0

    @property
    def status(self) -> int:
        """Upstream's status."""
        return self.exchange.status

    def outcome(self) -> Outcome:
        """What the ledgers learn of it."""
        return Outcome(
            self.result,
            self.usage.prompt_tokens,
            self.usage.completion_tokens,
            limits=self.limits,
            error=_BROKEN_OFF.get(self.result),
            began=True,
            relayed=self.relayed,
        )

    async def close(self) -> None:
        """Release upstream's connection; cut it when the reply was not read to its end."""
        await self.exchange.close()


@dataclass(slots=True, kw_only=True)
class EventsAnswer(StreamedAnswer):
    """A stream of server-sent events, read up to the event that makes it an answer."""

    #: What was read so far: whole events, and in the splitter a part of one.
    events: list[bytes]
    splitter: EventSplitter
    tap: StreamTap
    #: Cleans upstream's error events.
    scrubber: Scrubber


@dataclass(slots=True, kw_only=True)
class BytesAnswer(StreamedAnswer):
    """A body that is copied as it comes, read up to its first bytes."""

    first: bytes

    @property
    def length(self) -> str | None:
        """The length that upstream declared, in bytes; None of a coded body, which has another."""
        return None if self.exchange.coded else self.exchange.headers.get("content-length")


Answer = WholeAnswer | StreamedAnswer


class UsageRefused(Exception):
    """A refusal names `stream_options`, by which we asked for a usage that the client did not ask for."""

    def __init__(self, answer: WholeAnswer, *, certain: bool) -> None:
        """`answer` is the refusal, for a client whose request may cost no other call.

        Not `certain`: the client has written the name, too, and the refusal may repeat it.
        """
        super().__init__()
        self.certain = certain
        self.answer = answer


class Refused(AttemptFailed):
    """A refusal of which one deployment's word is not enough: it may be the request's own fault."""

    def __init__(self, failure: AttemptFailed, answer: WholeAnswer, *, sound: bool) -> None:
        """`answer` is what the client gets if it is. `sound`: what it says is not about the gateway."""
        super().__init__(failure.outcome, failure.status, failure.code, said(answer.body).message)
        self.reply = failure.reply
        self.answer = answer
        self.sound = sound


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
        piece = await exchange.piece()
        size += len(piece)
        came = splitter.feed(piece)
        if not events and came:
            came[0] = came[0].removeprefix(BYTE_ORDER_MARK)
        last = [] if piece else [rest for rest in (splitter.rest(),) if is_whole(rest)]
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
        if not tap.answered and (not piece or size > LONGEST_HEAD):
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
    body = json.dumps({"error": details}).encode()
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


def _result(status: int) -> Result:
    """How the call ended that was answered with `status`."""
    if status < 400:
        return Result.SUCCESS
    return Result.CALLER if status < 500 else Result.REQUEST


def _content_type(exchange: Exchange) -> str | None:
    """Upstream's content type; None where no header of ours can carry it, or it is none."""
    content_type = exchange.headers.get("content-type")
    return content_type if content_type and content_type.isascii() and len(content_type) <= LONGEST else None


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()
