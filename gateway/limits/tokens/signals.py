"""What upstream's replies say about its limits, whatever their bytes.

The facts are those of Azure OpenAI's and OpenAI's recorded replies: any header may be absent, -1 means
unknown, limits are per `renewalperiod`, and `reset-*` has no unit that can be relied on, so it is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

Kind = Literal["tokens", "requests"]

#: Bounds of a rest, in seconds: a longer one would take a deployment out for a limit that may be gone.
COOLDOWN_SHORTEST = 0.5
COOLDOWN_LONGEST = 60.0
#: Provisioned throughput names milliseconds. Asking so soon finds it full again where many instances come
#: back at the same time: with fifty of them 2 s instead of 1 s halve its refusals and cost 0.1 % of its use.
COOLDOWN_SHORTEST_PTU = 1.0
COOLDOWN_SHORTEST_PTU_CROWD = 2.0
#: A 429 that does not say when to come back.
COOLDOWN_UNKNOWN = 10.0
#: Per cent of provisioned throughput from which on calls are refused.
_ALL_USED = 100.0

_NUMBER = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)


class Wait(msgspec.Struct, frozen=True):
    """What is full, and the seconds until a call would fit; `kind` of None where that is not known."""

    seconds: float
    kind: Kind | None = None
    #: False where nobody knows, since the store did not answer.
    asked: bool = True


class RateLimits(msgspec.Struct, frozen=True):
    """A deployment's limits per minute and what is left of them; None where upstream does not say."""

    tokens: int | None = None
    tokens_left: int | None = None
    requests: int | None = None
    requests_left: int | None = None
    #: The reply is that of provisioned throughput.
    provisioned: bool = False


def read_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """The limits in a reply's headers (names in lower case); None when it has none."""
    if headers.get("x-ms-is-spilled-over", "").lower() == "true":
        # Azure let another deployment answer: its limits are not those of the one that was called.
        return None
    provisioned = "azure-openai-deployment-utilization" in headers
    tokens, tokens_left = _limit(headers, "tokens")
    requests, requests_left = _limit(headers, "requests")
    if tokens is None and requests is None and not provisioned:
        return None
    return RateLimits(tokens, tokens_left, requests, requests_left, provisioned)


def _limit(headers: Mapping[str, str], unit: str) -> tuple[int | None, int | None]:
    """Limit and remainder per minute. A remainder without its limit says nothing."""
    limit = _number(headers.get(f"x-ratelimit-limit-{unit}"))
    if limit is None or limit < 1:
        return None, None
    left = _number(headers.get(f"x-ratelimit-remaining-{unit}"))
    if left is not None and left > limit:
        left = None
    renewal = headers.get(f"x-ratelimit-renewalperiod-{unit}")
    period = 60.0 if renewal is None else _number(renewal)
    if period is None or not 1 <= period <= 60:
        return None, None
    if period == 60:
        return int(limit), None if left is None else int(left)
    # The remainder of a shorter period is no remainder of the minute.
    return int(limit * 60 / period), None


def limit_kind(headers: Mapping[str, str]) -> Kind | None:
    """Which limit the headers of a 429 name: by their policy, or by the remainder that is zero."""
    named = headers.get("x-ratelimit-type", "").strip().lower()
    policy = headers.get("policy-id", "").strip().lower()
    if named.startswith("token") or policy.endswith("ratelimit-token"):
        return "tokens"
    if named.startswith(("request", "call")) or policy.endswith("ratelimit-call"):
        return "requests"
    if _number(headers.get("x-ratelimit-remaining-requests")) == 0:
        return "requests"
    return None


def shows_limit(headers: Mapping[str, str]) -> bool:
    """Whether the headers of a 429, beside those that name a wait, show that it is one of a limit."""
    if limit_kind(headers) is not None or "policy-id" in headers:
        return True
    if _number(headers.get("x-ratelimit-remaining-tokens")) == 0:
        return True
    used = _number(headers.get("azure-openai-deployment-utilization", "").removesuffix("%"))
    return used is not None and used >= _ALL_USED


def cooldown_seconds(
    retry_after: float | None, fallback: float = COOLDOWN_UNKNOWN, *, floor: float = COOLDOWN_SHORTEST
) -> float:
    """How long a deployment rests after a 429: within `floor` and COOLDOWN_LONGEST whatever came in.

    None, zero, negative and not a number are unknown: `fallback` then.
    """
    seconds = retry_after
    if seconds is None or not seconds > 0:
        seconds = fallback if fallback > 0 else COOLDOWN_UNKNOWN
    return min(max(seconds, floor), COOLDOWN_LONGEST)


def _number(value: str | None) -> float | None:
    """A plain number that is not negative; None for anything else."""
    match = None if value is None else _NUMBER.fullmatch(value.strip())
    return None if match is None else float(match[0])


def lower_limit(configured: int | None, named: int | None) -> int:
    """The lower of two limits; 0 where neither is known."""
    if configured and named:
        return min(configured, named)
    return configured or named or 0
