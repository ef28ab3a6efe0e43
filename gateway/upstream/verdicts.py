"""Who is to blame for a reply, and when upstream wants to be asked again.

Pure: takes status, headers and bytes. The rules are those of Azure OpenAI's recorded replies.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import limit_kind, read_limits

#: Codes of a 404 that holds for all operations, of Azure and of OpenAI. Azure answers "404" to a wrong path.
_NO_DEPLOYMENT = frozenset({"DeploymentNotFound", "model_not_found"})

#: The wait for a spent quota, in seconds. Azure names as many for a quota of a day.
SPENT_SECONDS = 86_400.0

#: "retry after 4.5 seconds", as Azure words it, and "try again in 6m0s" or "120ms", as OpenAI does.
_RETRY_TEXT = re.compile(
    rb"(?:retry after|try again in) (?=\d)"
    rb"(?:(?P<ms>\d{1,9}(?:\.\d{1,9})?) ?(?:ms|milliseconds?)"
    rb"|(?:(?P<h>\d{1,4})h)?(?:(?P<m>\d{1,6})m)?(?:(?P<s>\d{1,9}(?:\.\d{1,9})?) ?s(?:econds?)?)?)(?!\w)",
    re.IGNORECASE,
)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


class AttemptFailed(Exception):
    """One call of a deployment brought no answer: what the ledgers learn, and upstream's status and code."""

    def __init__(self, outcome: Outcome, status: int | None = None, code: str | None = None) -> None:
        self.outcome = outcome
        self.status = status
        self.code = code
        super().__init__(outcome.result.name)

    @property
    def result(self) -> Result:
        """How the call ended."""
        return self.outcome.result


def judge(status: int, body: bytes) -> Result:
    """What a reply says about the call; reads `body` only where the status does not settle it."""
    if 200 <= status < 300:
        return Result.SUCCESS
    if status == 429:
        return Result.LIMITED
    if status in {401, 403}:
        return Result.OPERATOR
    if status == 404:
        return Result.OPERATOR if error_code(body) in _NO_DEPLOYMENT else Result.OPERATION
    if status == 408 or status >= 500 or status < 400:
        # Redirects are not followed: the credential would go to another host.
        return Result.FAILED
    if status == 400 and b"API version not supported" in body:
        return Result.OPERATION
    return Result.CALLER


def rejection(status: int, headers: Mapping[str, str], body: bytes, now: float) -> AttemptFailed | None:
    """Why a reply that is no 2xx is no answer; None for the caller's mistake, which is one.

    `headers` have names in lower case. `now` is in seconds since 1970.
    """
    result = judge(status, body)
    if result is Result.CALLER:
        return None
    code = error_code(body)
    outcome = Outcome(
        result,
        limits=read_limits(headers),
        retry_after=SPENT_SECONDS if spent(code) else retry_after(headers, body, now),
        kind=limit_kind(headers, body) if result is Result.LIMITED else None,
        error=str(status),
    )
    return AttemptFailed(outcome, status, code)


def no_answer(status: int, code: str | None) -> AttemptFailed:
    """The failure of a reply with status 2xx that does not answer; `code` says why, for the log."""
    return AttemptFailed(Outcome(Result.FAILED, error="no answer"), status, code)


def retry_after(headers: Mapping[str, str], body: bytes, now: float) -> float | None:
    """Seconds until upstream wants to be asked again; None when it does not say.

    The longest of three headers counts: `retry-after` (seconds, or an HTTP date compared with `now` in
    seconds since 1970), `retry-after-ms` and `x-ms-retry-after-ms`. `retry-after-ms: 0` was seen beside
    `retry-after: 1`. Milliseconds that round up to the seconds name the same wait more exactly. The text of
    the message counts where no header names a wait.
    """
    seconds = _seconds(headers.get("retry-after"), now) or 0.0
    exact = max(_milliseconds(headers.get(name)) or 0.0 for name in ("retry-after-ms", "x-ms-retry-after-ms"))
    longest = exact if math.ceil(exact) == seconds else max(exact, seconds)
    if longest > 0:
        return longest
    if match := _RETRY_TEXT.search(body):
        return sum(float(match[unit] or 0) * seconds for unit, seconds in _UNITS.items()) or None
    return None


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


def error_code(body: bytes) -> str | None:
    """The `code` of an error body in OpenAI's or Azure's shape; None where it is no string."""
    try:
        error = json.loads(body)["error"]
        code: Any = error["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return code if isinstance(code, str) else None
