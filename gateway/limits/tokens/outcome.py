"""How a call ended, as far as limits and health are concerned."""

from __future__ import annotations

from enum import Enum, auto

import msgspec

from gateway.limits.tokens.signals import Kind, RateLimits


class Result(Enum):
    """How a call ended."""

    # Enum's own is written in Python, and each call looks up ten times what its end means.
    __hash__ = object.__hash__

    SUCCESS = auto()
    #: 429.
    LIMITED = auto()
    #: No connection: upstream charged nothing.
    UNREACHABLE = auto()
    #: The connection broke before there was an answer; upstream may have charged the call.
    TORN = auto()
    #: 5xx, or a reply that is none.
    FAILED = auto()
    TIMEOUT = auto()
    #: 401, 403, no such deployment: only the operator can mend it.
    OPERATOR = auto()
    #: Nor can anybody else mend that the deployment does not serve this operation.
    OPERATION = auto()
    #: Another 4xx: the request is wrong.
    CALLER = auto()
    #: The model itself failed at what it was asked: no other call is touched.
    REQUEST = auto()
    #: This process made no connection (no descriptor, no resolver): upstream charged nothing.
    LOCAL = auto()
    #: The client left, or this process stood still until the attempt's time was over.
    ABORTED = auto()


class Outcome(msgspec.Struct, frozen=True):
    """The end of a call. Token counts are those that upstream reported; None where it did not."""

    result: Result
    prompt: int | None = None
    completion: int | None = None
    limits: RateLimits | None = None
    #: Of a 429: seconds, and which limit it names.
    retry_after: float | None = None
    kind: Kind | None = None
    #: One word for the operator: a status or a class of error.
    error: str | None = None
    #: A part of the answer has reached the client, whatever came then.
    began: bool = False
    #: Tokens of a stream that reached the client, about.
    relayed: int = 0
    #: False: a refusal that may be the request's own. It takes another request as witness.
    certain: bool = True


#: Refusals that one caller can bring about, so that nobody else may be refused for them.
_NOT_TAKEN = frozenset({Result.CALLER, Result.OPERATOR, Result.OPERATION})
#: Ends of calls that upstream's limiter does not count.
_GIVEN_BACK = _NOT_TAKEN | {Result.LIMITED, Result.UNREACHABLE, Result.LOCAL}


def is_given_back(outcome: Outcome) -> bool:
    """Whether a call's charge is given back: upstream refused it, or never saw it."""
    return outcome.result in _GIVEN_BACK and not outcome.began


def is_taken(outcome: Outcome) -> bool:
    """Whether a call counts as a request in a cap on its deployment, which all callers share."""
    return outcome.began or outcome.result not in _NOT_TAKEN


def final_tokens(outcome: Outcome, reserved: int) -> int:
    """The tokens that a cap counts for a call that reserved `reserved`.

    Reported usage where there is any; the reservation, or what was relayed if that is more, where upstream
    may have worked and did not say how much (an answer without usage or one that broke off, a time-out, a
    client that left); nothing for a refusal or failure.
    """
    if outcome.prompt is not None or outcome.completion is not None:
        return (outcome.prompt or 0) + (outcome.completion or 0)
    if outcome.began or outcome.result in {Result.SUCCESS, Result.TIMEOUT, Result.ABORTED}:
        return max(reserved, outcome.relayed)
    return 0
