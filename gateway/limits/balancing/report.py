"""What operators and clients are told about limits."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.limits.balancing.cooldown import in_force
from gateway.limits.balancing.member import Member
from gateway.limits.caps.cap import Cap
from gateway.limits.ledger.view import View


class Remaining(msgspec.Struct, frozen=True):
    """Limits per minute and what is left of them; None where unknown."""

    tokens: int | None
    tokens_left: int | None
    requests: int | None
    requests_left: int | None

    def headers(self) -> list[tuple[str, str]]:
        """OpenAI's headers for what is known. None tells of a reset: a window that slides has none."""
        found = [
            ("x-ratelimit-limit-tokens", self.tokens),
            ("x-ratelimit-remaining-tokens", self.tokens_left),
            ("x-ratelimit-limit-requests", self.requests),
            ("x-ratelimit-remaining-requests", self.requests_left),
        ]
        return [(name, str(value)) for name, value in found if value is not None]


class DeploymentState(msgspec.Struct, frozen=True):
    """A deployment now. Sums are of the last minute and of all instances, as far as they are known here."""

    id: str
    model: str
    #: Limits per minute: configured, or learnt from upstream; None where unknown.
    tpm: int | None
    rpm: int | None
    #: What upstream's limiter is thought to have counted, by our estimates.
    charged_tokens: int
    charged_requests: int
    #: What replies reported.
    used_tokens: int
    used_requests: int
    #: Seconds since 1970 until which it rests, and why.
    resting_until: float | None
    resting_reason: str | None
    #: The operations that it rests for, where it serves others.
    resting_operations: list[str]
    last_error: str | None
    #: Moving average of the seconds until a reply's head.
    latency: float | None
    #: Second of the minute in which upstream's counter is reset, where that is known.
    reset_second: float | None


def state(member: Member, view: View, now: float) -> DeploymentState:
    """The state of one deployment."""
    member.charge.advance(int(now))
    if member.cap is not None:
        used_tokens, used_requests = member.cap.used(now)
    else:
        ring = view.ring(member.usage_key)
        ring.advance(int(now))
        used_tokens, used_requests = ring.tokens, ring.requests
    operation_breakers = in_force(member.operation_breakers, now)
    if member.allows(now):
        cooldown = max(operation_breakers.values(), key=lambda each: each.until, default=None)
    else:
        cooldown = member.breaker.cooldown
    return DeploymentState(
        member.deployment.id,
        member.deployment.model_name,
        member.tokens_limit or None,
        member.requests_limit or None,
        max(0, member.charge.tokens),
        max(0, member.charge.requests),
        max(0, used_tokens),
        max(0, used_requests),
        None if cooldown is None else cooldown.until,
        None if cooldown is None else cooldown.reason,
        sorted(operation_breakers),
        member.last_error,
        member.latency,
        member.window.phase,
    )


def of_members(members: Sequence[Member], now: float) -> Remaining:
    """The sum over a model's deployments; unknown where any of them has no known limit."""
    tokens = tokens_left = requests = requests_left = 0
    for member in members:
        charge = member.charge
        charge.advance(int(now))
        used_tokens, used_requests = charge.tokens, charge.requests
        if member.cap is not None:
            used_tokens, used_requests = member.cap.used(now)
        tokens += member.tokens_limit
        tokens_left += min(member.tokens_limit, max(0, member.tokens_limit - used_tokens))
        requests += member.requests_limit
        requests_left += min(member.requests_limit, max(0, member.requests_limit - used_requests))
    knows_tokens = all(member.tokens_limit for member in members)
    knows_requests = all(member.requests_limit for member in members)
    return Remaining(
        tokens if knows_tokens else None,
        tokens_left if knows_tokens else None,
        requests if knows_requests else None,
        requests_left if knows_requests else None,
    )


def of_caps(caps: Sequence[Cap], now: float) -> Remaining:
    """The narrowest of several caps: the one with the least left, of tokens and of requests."""
    tokens: list[tuple[int, int]] = []
    requests: list[tuple[int, int]] = []
    for cap in caps:
        used_tokens, used_requests = cap.used(now)
        if cap.tpm is not None:
            tokens.append((max(0, cap.tpm - used_tokens), cap.tpm))
        if cap.rpm is not None:
            requests.append((max(0, cap.rpm - used_requests), cap.rpm))
    tokens_left, token_limit = min(tokens, default=(None, None))
    requests_left, request_limit = min(requests, default=(None, None))
    return Remaining(token_limit, tokens_left, request_limit, requests_left)
