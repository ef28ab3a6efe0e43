"""A member without room as far as its ledger knows: when there is some, and whether a call may be tried."""

from __future__ import annotations

from gateway.limits.balancing.member import Member
from gateway.limits.balancing.window import MINUTE
from gateway.limits.tokens.signals import Wait

#: The share of a limit that no ledger is better than: a single call's estimate is none too exact either.
_ERROR_LEAST = 0.01
#: Usual errors that a call may lack and still be tried.
_DOUBT = 1.5
#: Seconds for which a refusal by upstream is evidence that its counter is what limits it.
_EVIDENCE = 600.0


def room_in(member: Member, tokens: int, now: float) -> Wait:
    """How long until a call of `tokens` has room as far as the ledger knows: 0 s when it has."""
    if member.measure(tokens, now, int(now)):
        return Wait(0.0)
    waits = [Wait(_tokens_in(member, tokens, now), "tokens"), Wait(_requests_in(member, now), "requests")]
    return max(waits, key=lambda wait: wait.seconds)


def chance(member: Member, tokens: int, now: float) -> float:
    """How likely a call is admitted that has no room by the latest `measure`.

    While upstream refuses calls, and its replies have confirmed the ledger, what that lacks beyond its
    usual error is lacking. Without a refusal no ledger is believed, whatever upstream's headers say.
    """
    if now - member.breaker.limited_at > _EVIDENCE:
        return member.overflow
    return member.overflow if _lacking(member, tokens, member.unseen / 2) <= _DOUBT else 0.0


def small_may_fit(member: Member, tokens: int) -> bool:
    """Whether a call may be admitted, by the latest `measure`, though a larger one has just been refused.

    Room comes back all the time in a sliding minute, and not before its end in one that is reset.
    """
    allowed = 2 if member.window.phase is None else 0
    return _lacking(member, tokens, 0.0) <= allowed


def _tokens_in(member: Member, tokens: int, now: float) -> float:
    bias = member.window.bias
    renewing = member.window.phase is not None
    used = member.charge.marked if renewing else member.charge.tokens
    excess = (used + tokens) * bias + member.unseen - member.tokens_limit
    if not member.tokens_limit or excess <= 0:
        return 0.0
    if renewing:
        return max(0.0, member.renews - now)
    return _left_in(member, excess / bias, 0, now)


def _requests_in(member: Member, now: float) -> float:
    excess = member.charge.requests + 1 - member.requests_limit
    if not member.requests_limit or excess <= 0:
        return 0.0
    return _left_in(member, excess, 1, now)


def _left_in(member: Member, excess: float, part: int, now: float) -> float:
    """Seconds until so many of the charge's tokens (part 0) or requests (1) have left the minute."""
    for second in member.charge.seconds():
        excess -= member.charge.at(second)[part]
        if excess <= 0:
            return max(0.0, second + MINUTE + 1 - now)
    return float(MINUTE)


def _lacking(member: Member, tokens: int, unseen: float) -> float:
    """By how many of its usual errors the ledger is short of room upstream; 0 where that is not known."""
    named, error = member.limits, member.window.error
    if named is None or named.tokens is None or error is None:
        return 0.0
    short = member.used + tokens * member.window.bias + unseen - named.tokens
    return short / (max(error, _ERROR_LEAST) * named.tokens)
