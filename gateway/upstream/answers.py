"""What a call brings: an answer that is read as a whole or relayed, or a refusal that others must confirm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from gateway.config.deployment import Deployment
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits
from gateway.protocol.sse import EventSplitter
from gateway.protocol.stream_tap import StreamTap
from gateway.protocol.usage import NO_USAGE, Usage
from gateway.upstream.client import Exchange
from gateway.upstream.redaction import Scrubber
from gateway.upstream.verdicts import AttemptFailed
from gateway.upstream.words import said

#: Digits of a length.
_MOST_DIGITS = 20
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


class StreamedAnswer(msgspec.Struct, kw_only=True):
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


class EventsAnswer(StreamedAnswer, kw_only=True):
    """A stream of server-sent events, read up to the event that makes it an answer."""

    #: What was read so far: whole events, and in the splitter a part of one.
    events: list[bytes]
    splitter: EventSplitter
    tap: StreamTap
    #: Cleans upstream's error events.
    scrubber: Scrubber


class BytesAnswer(StreamedAnswer, kw_only=True):
    """A body that is copied as it comes, read up to its first bytes."""

    first: bytes

    @property
    def length(self) -> str | None:
        """The length that upstream declared, in bytes; None of a coded body, which has another.

        None, too, where more digits than a length has stand in it: zeros before it.
        """
        declared = "" if self.exchange.coded else self.exchange.headers.get("content-length", "")
        return declared if 0 < len(declared) <= _MOST_DIGITS else None


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


def _result(status: int) -> Result:
    """How the call ended that was answered with `status`."""
    if status < 400:
        return Result.SUCCESS
    return Result.CALLER if status < 500 else Result.REQUEST
