"""What is an answer: a reply either answers a call, or fails and another deployment is tried.

Reads as much as must be known before the client gets anything: the whole of a JSON reply, the first event of
a stream, the first bytes of any other body. Does not know the client.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gateway.config.deployment import Deployment
from gateway.errors import BadRequest, error_body
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits, read_limits
from gateway.protocol.calls import Call
from gateway.protocol.operation import Operation, Streaming
from gateway.protocol.sse import EventSplitter, event_json, is_error, is_whole
from gateway.protocol.stream_tap import StreamTap
from gateway.protocol.usage import NO_USAGE, Usage
from gateway.upstream.client import Exchange
from gateway.upstream.redaction import redacted
from gateway.upstream.verdicts import error_code, no_answer, rejection

_REFUSED = "The model's upstream service refused the request."
#: Content types that are neither audio nor a stream: an error under a 200, or the page of a proxy.
_PAGES = {"application/json", "text/html"}
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

    def outcome(self) -> Outcome:
        """What the ledgers learn of it."""
        return Outcome(
            Result.CALLER if self.status >= 400 else Result.SUCCESS,
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
    """A stream of server-sent events, read up to its first event."""

    #: What was read so far: whole events, and in the splitter a part of one.
    events: list[bytes]
    splitter: EventSplitter
    tap: StreamTap


@dataclass(slots=True, kw_only=True)
class BytesAnswer(StreamedAnswer):
    """A body that is copied as it comes, read up to its first bytes."""

    first: bytes

    @property
    def length(self) -> str | None:
        """The length that upstream declared, in bytes."""
        return self.exchange.headers.get("content-length")


Answer = WholeAnswer | StreamedAnswer


async def receive(
    exchange: Exchange, call: Call, deployment: Deployment, *, hide_usage: bool, now: float
) -> Answer:
    """The answer in a reply that came at `now` (seconds since 1970).

    Raises AttemptFailed, and Unreachable or TooSlow as reading does.
    """
    if not 200 <= exchange.status < 300:
        return await _refusal(exchange, call, deployment, now)
    if call.streaming is not None:
        tap = StreamTap(call.streaming, hide_usage=hide_usage)
        return await _events(exchange, call, deployment, call.streaming, tap)
    if call.operation.whole_reply:
        return await _whole(exchange, call.operation, deployment)
    return await _bytes(exchange, call.operation, deployment)


async def _refusal(exchange: Exchange, call: Call, deployment: Deployment, now: float) -> WholeAnswer:
    """The refusal of the caller's mistake."""
    body = await exchange.read()
    if failure := rejection(exchange.status, exchange.headers, body, now):
        raise failure
    return _refused(exchange, body, call, deployment, status=exchange.status, code=error_code(body))


async def _whole(exchange: Exchange, operation: Operation, deployment: Deployment) -> WholeAnswer:
    """A reply that is read as a whole."""
    body = await exchange.read()
    if not operation.is_answer(body):
        raise no_answer(exchange.status, "no answer")
    return WholeAnswer(
        exchange.status,
        operation.repaired(body),
        _content_type(exchange),
        deployment,
        usage=operation.usage(body),
        limits=read_limits(exchange.headers),
    )


async def _bytes(exchange: Exchange, operation: Operation, deployment: Deployment) -> BytesAnswer:
    """A reply that is copied as it comes, read up to its first piece."""
    content_type = _content_type(exchange)
    if _media_type(content_type) in _PAGES:
        raise no_answer(exchange.status, "no answer")
    first = await exchange.piece()
    if not operation.is_answer(first):
        raise no_answer(exchange.status, "no answer")
    return BytesAnswer(
        exchange=exchange,
        deployment=deployment,
        content_type=content_type,
        limits=read_limits(exchange.headers),
        first=first,
    )


async def _events(
    exchange: Exchange, call: Call, deployment: Deployment, streaming: Streaming, tap: StreamTap
) -> Answer:
    """A stream, read up to its first event: a failure before that can still be an HTTP error."""
    content_type = _content_type(exchange)
    # Any other type is taken for a stream. Clients do not look at the type either.
    if _media_type(content_type) in _PAGES:
        raise no_answer(exchange.status, "no stream")
    splitter = EventSplitter()
    events, first = await _head(exchange, splitter)
    if is_error(first):
        return _first_error(first, exchange, call, deployment)
    if not streaming.is_answer(first):
        raise no_answer(exchange.status, "empty")
    return EventsAnswer(
        exchange=exchange,
        deployment=deployment,
        content_type=content_type,
        limits=read_limits(exchange.headers),
        events=events,
        splitter=splitter,
        tap=tap,
    )


async def _head(exchange: Exchange, splitter: EventSplitter) -> tuple[list[bytes], bytes]:
    """All events that were read, and the first of them that is no comment."""
    events: list[bytes] = []
    first = b""
    while not first:
        piece = await exchange.piece()
        events += splitter.feed(piece)
        # Some servers send comments to keep a connection open.
        first = next((event for event in events if not event.startswith(b":")), b"")
        if not piece and not first:
            first = splitter.rest()
            if not is_whole(first):
                raise no_answer(exchange.status, "empty")
    return events, first


def _first_error(event: bytes, exchange: Exchange, call: Call, deployment: Deployment) -> WholeAnswer:
    """The HTTP error that answers a stream which begins with the caller's error. Raises AttemptFailed."""
    error: Any = event_json(event).get("error")
    details = error if isinstance(error, dict) else {}
    code = details.get("code") if isinstance(details.get("code"), str) else None
    if details.get("type") != "invalid_request_error" and code != "content_filter":
        raise no_answer(exchange.status, code)
    body = json.dumps({"error": error}).encode()
    return _refused(exchange, body, call, deployment, status=400, code=code, content_type="application/json")


def _refused(
    exchange: Exchange,
    body: bytes,
    call: Call,
    deployment: Deployment,
    *,
    status: int,
    code: str | None,
    content_type: str | None = None,
) -> WholeAnswer:
    """The answer that passes a refusal on, in OpenAI's shape.

    Clients find the message in that shape only. Of a body of another shape its sentence is kept.
    """
    passed = redacted(body, deployment, call.requested_model)
    content_type = content_type or _content_type(exchange)
    if not _is_error(passed):
        passed, content_type = error_body(BadRequest(_sentence(passed))), "application/json"
    limits = read_limits(exchange.headers)
    return WholeAnswer(status, passed, content_type, deployment, code=code, limits=limits)


def _is_error(body: bytes) -> bool:
    """Whether `body` is an error in OpenAI's shape."""
    error = _object(body).get("error")
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def _sentence(body: bytes) -> str:
    """The sentence in an error of another shape, else our own."""
    values = _object(body)
    sentences = (values.get(key) for key in ("message", "detail", "error"))
    return next((sentence for sentence in sentences if isinstance(sentence, str)), _REFUSED)


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; empty where there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _content_type(exchange: Exchange) -> str | None:
    """Upstream's content type; None where no header of ours can carry it."""
    content_type = exchange.headers.get("content-type")
    return content_type if content_type is None or content_type.isascii() else None


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()
