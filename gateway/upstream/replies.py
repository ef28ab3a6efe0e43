"""Receiving a reply: told apart into answers, and rejections that another deployment may make good.

Waits for as much as must be known before a client is answered: the whole of a JSON reply, the first
event of a stream, the first bytes of anything else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gateway.config.deployment import Deployment
from gateway.errors import BadRequest, error_body
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits, read_limits
from gateway.protocol.calls import Call
from gateway.protocol.operation import Streaming
from gateway.protocol.sse import EventSplitter, event_json, is_error, is_whole
from gateway.protocol.stream_tap import StreamTap
from gateway.protocol.usage import Usage
from gateway.sharing.account import Account
from gateway.upstream.client import Exchange
from gateway.upstream.redaction import redacted
from gateway.upstream.verdicts import error_code, no_answer, rejection

_REFUSED = "The model's upstream service refused the request."
#: What is neither audio nor a stream, although it came with a 200: an error, or a page of something between.
_PAGES = {"application/json", "text/html"}
#: How a stream that ends badly is told to the operator.
_BROKEN_OFF = {Result.FAILED: "broke off", Result.TIMEOUT: "timeout"}


@dataclass(slots=True)
class Answer:
    """What the client gets: a whole body, or an exchange to be relayed from its first piece on."""

    status: int
    content_type: str | None
    deployment: Deployment
    body: bytes = b""
    usage: Usage = field(default_factory=Usage)
    code: str | None = None
    #: The declared length of a body that is relayed, in bytes.
    length: str | None = None
    #: The rest of a stream; None for a whole body. Whoever takes the answer closes it.
    exchange: Exchange | None = None
    #: For an event stream: what was read of it so far.
    events: list[bytes] = field(default_factory=list)
    splitter: EventSplitter | None = None
    tap: StreamTap | None = None
    #: What upstream says of its limits.
    limits: RateLimits | None = None
    #: How it ended; a stream whose relay was left before its end was aborted.
    result: Result = Result.SUCCESS
    #: Tokens of a stream that were relayed so far, about: one for each event, more for long ones.
    relayed: int = 0
    #: What is owed until the end of a stream.
    account: Account | None = None

    def outcome(self) -> Outcome:
        """What the ledgers learn of it."""
        usage = self.usage
        result = Result.CALLER if self.status >= 400 else self.result
        return Outcome(
            result,
            usage.prompt_tokens,
            usage.completion_tokens,
            limits=self.limits,
            error=_BROKEN_OFF.get(result),
            began=self.exchange is not None,
            relayed=self.relayed,
        )

    async def close(self) -> None:
        """Release upstream's connection, or cut it, and pay what is owed."""
        if self.exchange is not None:
            await self.exchange.close()
        if self.account is not None:
            await self.account.close(self.outcome())


async def receive(
    exchange: Exchange, call: Call, deployment: Deployment, *, hide_usage: bool, now: float
) -> Answer:
    """The answer in a reply that came at `now` (seconds since 1970).

    Raises AttemptFailed, and Unreachable or TooSlow as reading does.
    """
    content_type = exchange.headers.get("content-type")
    if content_type is not None and not content_type.isascii():
        # No header of ours can carry it, and it says nothing.
        content_type = None
    answer = Answer(exchange.status, content_type, deployment, limits=read_limits(exchange.headers))
    operation = call.operation
    if not 200 <= exchange.status < 300:
        body = await exchange.read()
        if failure := rejection(exchange.status, exchange.headers, body, now):
            raise failure
        _refuse(answer, body, call)
        answer.code = error_code(body)
    elif call.streaming is not None:
        answer.tap = StreamTap(call.streaming, hide_usage=hide_usage)
        await _start_events(answer, exchange, call, call.streaming)
    elif operation.whole_reply:
        body = await exchange.read()
        if not operation.is_answer(body):
            raise no_answer(exchange.status, "no answer")
        answer.usage = operation.usage(body)
        answer.body = operation.repaired(body)
    else:
        if _media_type(content_type) in _PAGES:
            raise no_answer(exchange.status, "no answer")
        answer.body = await exchange.piece()
        if not operation.is_answer(answer.body):
            raise no_answer(exchange.status, "no answer")
        answer.length = exchange.headers.get("content-length")
        answer.exchange = exchange
        answer.result = Result.ABORTED
    return answer


async def _start_events(answer: Answer, exchange: Exchange, call: Call, streaming: Streaming) -> None:
    """Read a stream up to its first event, so that a failure before it can still be an HTTP error."""
    # Any other type is given the benefit of the doubt: clients do not look at it either.
    if _media_type(answer.content_type) in _PAGES:
        raise no_answer(exchange.status, "no stream")
    splitter = EventSplitter()
    events: list[bytes] = []
    first = b""
    while not first:
        piece = await exchange.piece()
        events += splitter.feed(piece)
        # A comment (some send them to keep a connection open) says nothing yet.
        first = next((event for event in events if not event.startswith(b":")), b"")
        if not piece and not first:
            first = splitter.rest()
            if not is_whole(first):
                raise no_answer(exchange.status, "empty")
    if is_error(first):
        _raise_first_error(first, exchange, answer, call)
        return
    if not streaming.is_answer(first):
        raise no_answer(exchange.status, "empty")
    answer.events = events
    answer.splitter = splitter
    answer.exchange = exchange
    answer.result = Result.ABORTED


def _raise_first_error(event: bytes, exchange: Exchange, answer: Answer, call: Call) -> None:
    """A stream that begins with an error never began: answer it, or reject it, as the HTTP error it is."""
    error: Any = event_json(event).get("error")
    details = error if isinstance(error, dict) else {}
    code = details.get("code") if isinstance(details.get("code"), str) else None
    if details.get("type") != "invalid_request_error" and code != "content_filter":
        raise no_answer(exchange.status, code)
    answer.status = 400
    answer.content_type = "application/json"
    answer.code = code
    _refuse(answer, json.dumps({"error": error}).encode(), call)


def _refuse(answer: Answer, body: bytes, call: Call) -> None:
    """Answer with upstream's refusal as it came, put into OpenAI's shape where it has another.

    Clients find the message in that shape only; the sentence of another one is kept where there is one.
    """
    answer.body = redacted(body, answer.deployment, call.requested_model)
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    refusal = value if isinstance(value, dict) else {}
    error = refusal.get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return
    sentences = (refusal.get(key) for key in ("message", "detail", "error"))
    message = next((sentence for sentence in sentences if isinstance(sentence, str)), _REFUSED)
    answer.body = error_body(BadRequest(message))
    answer.content_type = "application/json"


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()
