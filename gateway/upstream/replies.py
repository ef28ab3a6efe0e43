"""Receiving a reply: told apart into answers, and rejections that another deployment may make good.

Waits for as much as must be known before a client is answered: the whole of a JSON reply, the first
event of a stream, the first bytes of anything else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from gateway.config.deployment import Deployment
from gateway.errors import BadRequest, error_body
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits, read_limits
from gateway.protocol.calls import Call
from gateway.protocol.filtered_chat import completed
from gateway.protocol.operations import CHAT
from gateway.protocol.sse import EventSplitter, event_json, is_done, is_error, is_whole
from gateway.sharing.account import Account
from gateway.telemetry.record import Usage
from gateway.upstream.client import Exchange
from gateway.upstream.redaction import redacted
from gateway.upstream.verdicts import error_code, no_answer, rejection

_REFUSED = "The model's upstream service refused the request."
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_ERROR = re.compile(rb'\{\s*"error"\s*:\s*\{')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
#: What is neither audio nor a stream, although it came with a 200: an error, or a page of something between.
_NO_STREAM = {"application/json", "text/html"}
#: More tokens than any reply can use. A larger count would make the row that instances share unreadable.
_MOST_TOKENS = 10**9
_decoder = json.JSONDecoder()
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
    hide_usage: bool = False
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
    if not 200 <= exchange.status < 300:
        body = await exchange.read()
        if failure := rejection(exchange.status, exchange.headers, body, now):
            raise failure
        _refuse(answer, body, call)
        answer.code = error_code(body)
    elif call.stream:
        await _start_events(answer, exchange, call, hide_usage=hide_usage)
    elif call.operation.json_reply:
        answer.body = await exchange.read()
        if not _is_reply(answer.body):
            raise no_answer(exchange.status, "not json")
        answer.usage = usage_in(answer.body)
        if call.operation is CHAT:
            answer.body = completed(answer.body)
    else:
        if _media_type(content_type) in _NO_STREAM:
            raise no_answer(exchange.status, "no audio")
        answer.body = await exchange.piece()
        if not answer.body:
            raise no_answer(exchange.status, "empty")
        answer.length = exchange.headers.get("content-length")
        answer.exchange = exchange
        answer.result = Result.ABORTED
    return answer


async def _start_events(answer: Answer, exchange: Exchange, call: Call, *, hide_usage: bool) -> None:
    """Read a stream up to its first event, so that a failure before it can still be an HTTP error."""
    # Any other type is given the benefit of the doubt: clients do not look at it either.
    if _media_type(answer.content_type) in _NO_STREAM:
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
    if is_done(first):
        raise no_answer(exchange.status, "empty")
    if is_error(first):
        _raise_first_error(first, exchange, answer, call)
        return
    answer.events = events
    answer.splitter = splitter
    answer.hide_usage = hide_usage
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


def usage_in(body: bytes) -> Usage:
    """The usage that a JSON reply reports, found without parsing the reply as a whole.

    It stands near the end. A quote within a JSON string is escaped, so `"usage"` before a colon is a key.
    """
    position = body.rfind(b'"usage"')
    while position >= 0:
        if match := _USAGE.match(body, position):
            text = body[match.end() : match.end() + 4096].decode(errors="replace")
            try:
                return read_usage(_decoder.raw_decode(text)[0])
            except (ValueError, RecursionError):
                return Usage()
        position = body.rfind(b'"usage"', 0, position)
    return Usage()


def read_usage(value: dict[str, Any]) -> Usage:
    """Prompt and completion tokens of a usage object, in chat's names or in speech's."""
    return Usage(
        _count(value.get("prompt_tokens", value.get("input_tokens"))),
        _count(value.get("completion_tokens", value.get("output_tokens"))),
    )


def _count(value: Any) -> int | None:
    """A count of tokens; None for anything that cannot be one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= _MOST_TOKENS else None


def _is_object(body: bytes) -> bool:
    """Whether `body` looks like one JSON object: enough to tell a reply from a page or a torn one."""
    return body[:64].lstrip().startswith(b"{") and body[-64:].rstrip().endswith(b"}")


def _is_reply(body: bytes) -> bool:
    """Whether `body` looks like one JSON object that answers: no error, which some send under a 200.

    Without choices it is none either: an agent would take it for a turn and ask again, up to ten times.
    """
    return _is_object(body) and not _ERROR.match(body[:64].lstrip()) and not _NO_CHOICES.search(body)


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()
