"""Cooldowns: until when a deployment is left alone, and how it comes back.

After a plain 429 it is back when the time is over. Where that proves nothing (a day's quota, a fault of the
operator's, a service that failed again and again) one call at a time is the probe, and the cooldown ends
with its success.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from gateway.limits.tokens.signals import COOLDOWN_LONGEST, COOLDOWN_SHORTEST, Kind

CooldownReason = Literal["tokens", "requests", "limit", "quota", "operator", "health"]

_KINDS: Mapping[CooldownReason, Kind] = {"tokens": "tokens", "requests": "requests"}
#: Reasons that only a successful call puts an end to.
_PROBED = frozenset({"quota", "operator", "health"})
#: Reasons that are limits: a client that waits gets in.
LIMITS = frozenset({"tokens", "requests", "limit", "quota"})
#: Seconds after which another probe is sent though the last has not been answered: answers may take long, and
#: all who cannot go elsewhere wait for one.
_PROBE_EVERY = 5.0
#: Seconds after a cooldown within which another one is its continuation.
_RELAPSE = 60.0
#: Seconds that a clock may be wrong by: what was noted further ahead is the trace of one that jumped.
_SKEW = 10.0
#: Seconds for which others are told that a rest is over: as long as a row of theirs may still tell of it.
_END_TOLD = 70.0
#: Seconds that a moment may lose on its way through a row.
_ROUNDED = 0.0006
_DAY = 86_400.0


#: Most tokens of the call that was refused, as another instance tells it.
_SIZE_LIMIT = 10**9


def is_moment(value: Any, now: float) -> bool:
    """Whether a value of another instance's row is a moment within a day of `now`, in seconds since 1970."""
    # A comparison takes integers of any length and NaN; arithmetic with them would raise.
    return type(value) in (int, float) and now - _DAY - _SKEW <= value <= now + _DAY + _SKEW


class Cooldown(msgspec.Struct, frozen=True, order=True):
    """One cooldown. Of two the one issued later holds (then the longer, so that the order is total)."""

    issued: float
    until: float
    reason: CooldownReason
    #: Tokens of the call that was refused; 0 where size was not the reason.
    size: int = 0

    @property
    def probed(self) -> bool:
        """Whether only a call that succeeds puts an end to it."""
        return self.reason in _PROBED

    @property
    def kind(self) -> Kind | None:
        """The limit that upstream named."""
        return _KINDS.get(self.reason)

    def packed(self) -> list[Any]:
        """As JSON."""
        return [round(self.issued, 3), round(self.until, 3), self.reason, self.size]


def unpack(value: Any, now: float) -> Cooldown | None:
    """A cooldown from another instance's row; None for what is none, is over, or cannot be."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    issued, until, reason, size = value
    if not is_moment(issued, now) or not is_moment(until, now):
        return None
    if reason not in get_args(CooldownReason) or type(size) is not int or not 0 <= size <= _SIZE_LIMIT:
        return None
    if not (COOLDOWN_SHORTEST - 0.01 <= until - issued <= COOLDOWN_LONGEST + _SKEW and issued <= now + _SKEW):
        return None
    if until <= now:
        # Expired: instances that called it since know its state better than this row.
        return None
    return Cooldown(float(issued), float(until), reason, size)


class CooldownEnd(msgspec.Struct, frozen=True, order=True):
    """A call was answered `at`: the cooldown that was `issued` then, and all before it, are over."""

    issued: float
    at: float

    def packed(self) -> list[float]:
        """As JSON."""
        return [round(self.issued, 3), round(self.at, 3)]


def unpack_end(value: Any, now: float) -> CooldownEnd | None:
    """The end of a cooldown from another instance's row; None for what is none, is old, or cannot be."""
    if not isinstance(value, list) or len(value) != 2 or not all(is_moment(each, now) for each in value):
        return None
    issued, at = value
    if not (now - _END_TOLD <= at <= now + _SKEW and issued <= now + _SKEW):
        return None
    return CooldownEnd(float(issued), float(at))


class CircuitBreaker:
    """Whether one deployment may be called."""

    __slots__ = ("_ended", "_lasted", "_probing", "_well_since", "cooldown", "limited_at")

    def __init__(self) -> None:
        #: The cooldown in force; None while the deployment is open to all.
        self.cooldown: Cooldown | None = None
        #: When upstream last refused a call for a limit, as far as any instance told.
        self.limited_at = -math.inf
        self._ended = -1.0
        #: Of the last cooldown that a call has ended: when it did, and the cooldown's length in seconds.
        self._well_since = -math.inf
        self._lasted = 0.0
        self._probing: float | None = None

    def allows(self, now: float) -> bool:
        """Whether a call may be sent now, be it as a probe. Ends a cooldown whose time is over."""
        cooldown = self.cooldown
        if cooldown is None:
            return True
        if cooldown.issued > now + _SKEW:
            self.forget_future(now)
            return True
        if now < cooldown.until:
            return False
        if cooldown.reason in _PROBED:
            return self._probing is None or abs(now - self._probing) > _PROBE_EVERY
        self.cooldown = None
        return True

    def probed(self, now: float) -> bool:
        """Whether a call sent now is a probe: then it is on its way from here on."""
        if self.cooldown is None:
            return False
        self._probing = now
        return True

    def trip(self, seconds: float, reason: CooldownReason, size: int, now: float) -> Cooldown:
        """Begin a cooldown of `seconds` at `now`, or as long as the one in force."""
        self.forget_future(now)
        until = now + seconds
        if self.cooldown is not None:
            until = max(until, self.cooldown.until)
        self.cooldown = Cooldown(now, min(until, now + COOLDOWN_LONGEST), reason, size)
        self._probing = None
        self._note_limit(self.cooldown)
        return self.cooldown

    def adopt(self, cooldown: Cooldown) -> bool:
        """Take over another instance's cooldown. Returns whether it is news."""
        if cooldown.issued <= self._ended + _ROUNDED:
            return False
        if self.cooldown is not None and cooldown <= self.cooldown:
            return False
        self.cooldown = cooldown
        self._note_limit(cooldown)
        return True

    def forget_future(self, now: float) -> None:
        """Forget what lies so far ahead that the clock was wrong when it was noted."""
        latest = now + _SKEW
        if self.cooldown is not None and self.cooldown.issued > latest:
            self.cooldown = None
            self._probing = None
        if self._ended > latest:
            self._ended = -1.0
        self.limited_at = min(self.limited_at, latest)

    def _note_limit(self, cooldown: Cooldown) -> None:
        if cooldown.reason in LIMITS:
            self.limited_at = max(self.limited_at, cooldown.issued)

    def succeeded(self, now: float) -> None:
        """A call was answered: the cooldown is over."""
        if self.cooldown is not None:
            self._ended = self.cooldown.issued
            self._well_since = now
            # A spent quota says nothing about the faults that may follow.
            self._lasted = (
                0.0 if self.cooldown.reason in LIMITS else self.cooldown.until - self.cooldown.issued
            )
        self.cooldown = None
        self._probing = None

    def end(self, now: float) -> CooldownEnd | None:
        """The last end of a cooldown by a call, while others may not know of it."""
        if not 0 <= now - self._well_since <= _END_TOLD:
            return None
        return CooldownEnd(self._ended, self._well_since)

    def adopt_end(self, end: CooldownEnd) -> None:
        """Another instance's call was answered: what rested then is open here, too."""
        if self.cooldown is not None and self.cooldown.issued <= end.issued + _ROUNDED:
            self.succeeded(end.at)
        if end.issued > self._ended:
            self._ended = end.issued
            self._well_since = max(self._well_since, end.at)

    def clear(self) -> None:
        """End the cooldown without a call: its reason is gone, whatever other instances still tell."""
        if self.cooldown is not None:
            self._ended = self.cooldown.issued
        self.cooldown = None
        self._probing = None
        self._well_since, self._lasted = -math.inf, 0.0

    def unknown(self) -> None:
        """The probe ended without a verdict: the next call is one."""
        self._probing = None

    def next_seconds(self, first: float, now: float) -> float:
        """Seconds of the next cooldown: `first`, or twice those of one that a probe has just failed to end.

        Also of one that ended a moment ago: a probe's answer may begin well and break off.
        """
        if self.cooldown is not None:
            lasted = self.cooldown.until - self.cooldown.issued if self.cooldown.reason in _PROBED else 0.0
        else:
            lasted = self._lasted if 0 <= now - self._well_since < _RELAPSE else 0.0
        return min(max(first, 2 * lasted), COOLDOWN_LONGEST)


def in_force(breakers: Mapping[str, CircuitBreaker], now: float) -> dict[str, Cooldown]:
    """The cooldowns of those of `breakers` that let no call pass now."""
    return {
        name: breaker.cooldown
        for name, breaker in breakers.items()
        if not breaker.allows(now) and breaker.cooldown is not None
    }
