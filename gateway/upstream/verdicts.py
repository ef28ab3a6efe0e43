"""Who is to blame for the end of a call, and when upstream wants to be asked again.

Pure: takes status, headers and what an error says. The rules are those of Azure OpenAI's recorded replies.
What follows from each kind of blame is the table of docs/routing.md; `limits/balancing/counting.py` does it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import NamedTuple

from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import limit_kind, read_limits, shows_limit
from gateway.upstream.words import Said

#: Codes of a 404 that speak of the deployment whatever the request was, of Azure and of OpenAI.
_NO_DEPLOYMENT = frozenset({"DeploymentNotFound", "model_not_found"})
_RETIRED = frozenset({"ModelDeprecated", "DeploymentDeprecated"})
#: Codes and types of a 429 that speak of a limit, of Azure and of OpenAI.
_LIMITS = frozenset(
    {
        "RateLimitReached",
        "NoCapacity",
        "TooManyRequests",
        "rate_limit_exceeded",
        "insufficient_quota",
        "tokens",
        "requests",
    }
)

#: The wait for a spent quota, in seconds. Azure names as many for a quota of a day.
SPENT_SECONDS = 86_400.0

_WORD = re.compile(r"[\w./:-]+")
#: Share of the words of two messages that must be in both. The others name regions and the like.
_SHARED_WORDS = 0.6


class Blame(Enum):
    """Whose fault it is that a call brought no answer."""

    #: The request is wrong: the client is told.
    CALLER = auto()
    #: Only this request fails: it does so wherever it is sent, and no other does.
    REQUEST = auto()
    #: The deployment does not serve this operation.
    OPERATION = auto()
    #: The deployment fails, or cannot be used.
    DEPLOYMENT = auto()
    #: This process's, or its machine's.
    OURS = auto()
    #: Nobody's: a limit was reached, or the client left.
    NOBODY = auto()


#: The one table of blame, as far as a single call can tell. `blamed` says what several tell together.
_BLAME = {
    Result.CALLER: Blame.CALLER,
    Result.REQUEST: Blame.REQUEST,
    Result.OPERATION: Blame.OPERATION,
    Result.OPERATOR: Blame.DEPLOYMENT,
    Result.UNREACHABLE: Blame.DEPLOYMENT,
    Result.TORN: Blame.DEPLOYMENT,
    Result.FAILED: Blame.DEPLOYMENT,
    Result.TIMEOUT: Blame.DEPLOYMENT,
    Result.LOCAL: Blame.OURS,
}

#: Failures that any prompt or none may bring about.
_SERVICE = frozenset({Result.UNREACHABLE, Result.TORN, Result.FAILED, Result.TIMEOUT})


class UpstreamReply(NamedTuple):
    """What upstream replied to a call that it did not answer. For callers who are the operator only."""

    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes


class AttemptFailed(Exception):
    """One call of a deployment brought no answer: what the ledgers learn, and upstream's status and code."""

    #: What upstream replied, if it did.
    reply: UpstreamReply | None = None

    def __init__(
        self,
        outcome: Outcome,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
    ) -> None:
        self.outcome = outcome
        self.status = status
        self.code = code
        self.message = message
        super().__init__(outcome.result.name)

    @property
    def result(self) -> Result:
        """How the call ended."""
        return self.outcome.result

    @property
    def blame(self) -> Blame:
        """Whose fault it is, as far as this call tells."""
        return _BLAME.get(self.result, Blame.NOBODY)


class Verdict(NamedTuple):
    """What a reply says about the call."""

    result: Result
    #: Whether it says so beyond doubt. Else it may be the request's own, until another shows the same.
    certain: bool = True


def judge(status: int, headers: Mapping[str, str], error: Said) -> Verdict:
    """What a reply says about the call. `headers` have names in lower case."""
    if 200 <= status < 300:
        return Verdict(Result.SUCCESS)
    if status == 429:
        return Verdict(Result.LIMITED, certain=_names_limit(headers, error))
    if _names_deployment(status, error):
        return Verdict(Result.OPERATOR)
    if status in {401, 403, 410}:
        return Verdict(Result.OPERATOR, certain=False)
    if status == 404 or (status == 400 and error.no_version):
        return Verdict(Result.OPERATION, certain=False)
    if status >= 500 and error.models_own:
        return Verdict(Result.REQUEST)
    if status == 408 or status >= 500 or status < 400:
        # Redirects are not followed: the credential would go to another host.
        return Verdict(Result.FAILED)
    return Verdict(Result.CALLER)


def _names_deployment(status: int, error: Said) -> bool:
    """Whether a refusal says beyond doubt that the deployment is not there (any more)."""
    if status == 404 and error.code in _NO_DEPLOYMENT and error.param in {None, "model"}:
        return True
    if status in {400, 404, 410} and error.code in _RETIRED:
        return True
    return status in {400, 404} and error.no_deployment


def _names_limit(headers: Mapping[str, str], error: Said) -> bool:
    """Whether a 429 shows a sign of a limit: it may also refuse a tier, or whatever the request asks for."""
    if shows_limit(headers) or error.code in _LIMITS or error.type in _LIMITS:
        return True
    return retry_after(headers, 0.0) is not None or error.limit() is not None


def rejection(status: int, headers: Mapping[str, str], error: Said, now: float) -> AttemptFailed | None:
    """Why a reply that is no 2xx is no answer; None for the refusal of the request, which is one.

    `headers` have names in lower case. `now` is in seconds since 1970.
    """
    verdict = judge(status, headers, error)
    if verdict.result in {Result.CALLER, Result.REQUEST}:
        return None
    kind, named = (verdict.result is Result.LIMITED and error.limit()) or (None, None)
    wait = retry_after(headers, now)
    outcome = Outcome(
        verdict.result,
        limits=read_limits(headers),
        retry_after=SPENT_SECONDS if spent(error.code) else wait if wait is not None else named,
        kind=kind or (limit_kind(headers) if verdict.result is Result.LIMITED else None),
        error=str(status),
        certain=verdict.certain,
    )
    return AttemptFailed(outcome, status, error.code, error.message)


def says_absent(failed: AttemptFailed) -> bool:
    """Whether upstream said beyond doubt that there is no deployment of that name."""
    return failed.result is Result.OPERATOR and failed.status in {400, 404}


def no_answer(status: int, code: str | None, message: str | None = None) -> AttemptFailed:
    """The failure of a reply with status 2xx that does not answer; `code` says why, for the log."""
    return AttemptFailed(Outcome(Result.FAILED, error="no answer"), status, code, message)


class Ended(NamedTuple):
    """How one attempt of a request ended, and at which deployment."""

    deployment: str
    outcome: Outcome


def blamed(attempts: Sequence[Ended], *, refused: bool) -> Iterable[int]:
    """The places of those of a request's failed `attempts` that are held against their deployments.

    A request counts once at most against a deployment. One that failed on two, or that one of them refused
    (`refused`), counts against none: it may be what makes them fail, and if it is not, others will show it.
    """
    if refused:
        return ()
    failed = {
        each.deployment: place for place, each in enumerate(attempts) if each.outcome.result in _SERVICE
    }
    kept = failed.values() if len(failed) == 1 else ()
    others = {
        (each.deployment, each.outcome.result): place
        for place, each in enumerate(attempts)
        if each.outcome.result not in _SERVICE
    }
    return sorted((*kept, *others.values()))


def alike(one: AttemptFailed, other: AttemptFailed) -> bool:
    """Whether two deployments refused one request for the same reason: then it is the request's own.

    What is beyond doubt is not compared. Messages are those that a client may see, without the names of what
    refused.
    """
    if one.outcome.certain or other.outcome.certain:
        return False
    if one.status != other.status or one.code != other.code:
        return False
    if one.message is None or other.message is None:
        return one.message == other.message
    words, others = _words(one.message), _words(other.message)
    return words == others or len(words & others) >= _SHARED_WORDS * len(words | others)


def _words(message: str) -> set[str]:
    """The words of a message but those with digits: ids, dates and addresses are other ones each time."""
    return {word for word in _WORD.findall(message) if not any(map(str.isdigit, word))}


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until upstream wants to be asked again; None when its headers do not say.

    The longest of three headers counts: `retry-after` (seconds, or an HTTP date compared with `now` in
    seconds since 1970), `retry-after-ms` and `x-ms-retry-after-ms`. `retry-after-ms: 0` was seen beside
    `retry-after: 1`. Milliseconds that round up to the seconds name the same wait more exactly.
    """
    seconds = _seconds(headers.get("retry-after"), now) or 0.0
    exact = max(_milliseconds(headers.get(name)) or 0.0 for name in ("retry-after-ms", "x-ms-retry-after-ms"))
    longest = exact if math.ceil(exact) == seconds else max(exact, seconds)
    return longest if longest > 0 else None


def _seconds(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is not None:
        return number
    try:
        return parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return None


def _milliseconds(value: str | None) -> float | None:
    number = None if value is None else _number(value)
    return None if number is None else number / 1000


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def spent(code: str | None) -> bool:
    """Whether a 429 says that the account has no money or quota left. Waiting does not help."""
    return code == "insufficient_quota"
