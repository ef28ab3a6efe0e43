"""Upstream's limiters, as the sources describe them, each with a deployment behind it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["tokens", "requests"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Upstream's answer: admitted, or not before `retry_after` seconds."""

    admitted: bool
    retry_after: float = 0.0
    kind: Kind = "tokens"
    #: Tokens left after the call; None where the deployment does not say.
    left: int | None = None


class Limiter(Protocol):
    """One deployment's limiter."""

    capacity: int

    def room(self, charge: int, now: float) -> bool:
        """Whether a call would be admitted."""

    def ask(self, charge: int, now: float) -> Verdict:
        """Admit a call or refuse it."""

    def refund(self, tokens: int, now: float) -> None:
        """The call used so many tokens less than it was charged."""

    def renews(self, now: float) -> float:
        """Seconds until used room is there again."""


class Requests:
    """Requests per ten seconds, a sixth of the minute's."""

    def __init__(self, per_minute: int) -> None:
        self._limit = math.ceil(per_minute / 6)
        self._window = -1
        self._count = 0

    def room(self, now: float) -> bool:
        """Whether one more fits."""
        if int(now // 10) != self._window:
            self._window, self._count = int(now // 10), 0
        return self._count < self._limit

    def add(self) -> None:
        """Count one."""
        self._count += 1


class Tumbling:
    """A counter that is reset each minute at a second that nobody is told."""

    def __init__(self, capacity: int, phase: float) -> None:
        self.capacity = capacity
        self._phase = phase
        self._requests = Requests(capacity * 6 // 1000)
        self._start = -1e9
        self._used = 0

    def _renew(self, now: float) -> None:
        start = math.floor((now - self._phase) / 60) * 60 + self._phase
        if start != self._start:
            self._start, self._used = start, 0

    def room(self, charge: int, now: float) -> bool:
        """Whether a call would be admitted."""
        self._renew(now)
        return self._used + charge <= self.capacity and self._requests.room(now)

    def ask(self, charge: int, now: float) -> Verdict:
        """Admit a call or refuse it until the minute is over."""
        self._renew(now)
        if self._used + charge > self.capacity:
            return Verdict(False, max(1, math.ceil(self.renews(now))))
        if not self._requests.room(now):
            return Verdict(False, max(1, math.ceil(10 - now % 10)), "requests")
        self._requests.add()
        self._used += charge
        return Verdict(True, left=self.capacity - self._used)

    def refund(self, tokens: int, now: float) -> None:
        """Nothing is given back."""

    def renews(self, now: float) -> float:
        """Seconds until the reset."""
        self._renew(now)
        return self._start + 60 - now


class Sliding:
    """The charges of the last 60 seconds."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._requests = Requests(capacity * 6 // 1000)
        self._entries: deque[tuple[float, int]] = deque()
        self._used = 0

    def _expire(self, now: float) -> None:
        while self._entries and self._entries[0][0] <= now - 60:
            self._used -= self._entries.popleft()[1]

    def room(self, charge: int, now: float) -> bool:
        """Whether a call would be admitted."""
        self._expire(now)
        return self._used + charge <= self.capacity and self._requests.room(now)

    def ask(self, charge: int, now: float) -> Verdict:
        """Admit a call or refuse it until enough has left the window."""
        self._expire(now)
        excess = self._used + charge - self.capacity
        if excess > 0:
            for at, tokens in self._entries:
                excess -= tokens
                if excess <= 0:
                    return Verdict(False, max(1, math.ceil(at + 60 - now)))
            return Verdict(False, 60)
        if not self._requests.room(now):
            return Verdict(False, max(1, math.ceil(10 - now % 10)), "requests")
        self._requests.add()
        self._entries.append((now, charge))
        self._used += charge
        return Verdict(True, left=self.capacity - self._used)

    def refund(self, tokens: int, now: float) -> None:
        """Nothing is given back."""

    def renews(self, now: float) -> float:
        """Unknown: all the time."""
        return 30.0


class Leaky:
    """A bucket of one minute's tokens that drains evenly."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._level = 0.0
        self._seen = 0.0

    def _drain(self, now: float) -> None:
        self._level = max(0.0, self._level - (now - self._seen) * self.capacity / 60)
        self._seen = now

    def room(self, charge: int, now: float) -> bool:
        """Whether a call would be admitted."""
        self._drain(now)
        return self._level + charge <= self.capacity

    def ask(self, charge: int, now: float) -> Verdict:
        """Admit a call or refuse it until enough has drained."""
        self._drain(now)
        excess = self._level + charge - self.capacity
        if excess > 0:
            return Verdict(False, max(1, math.ceil(excess * 60 / self.capacity)))
        self._level += charge
        return Verdict(True, left=int(self.capacity - self._level))

    def refund(self, tokens: int, now: float) -> None:
        """Nothing is given back."""

    def renews(self, now: float) -> float:
        """All the time."""
        return 30.0


class Provisioned:
    """Provisioned throughput: calls are refused above 100 % utilisation; unused tokens are given back."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._level = 0.0
        self._seen = 0.0

    def _drain(self, now: float) -> None:
        self._level = max(0.0, self._level - (now - self._seen) * self.capacity / 60)
        self._seen = now

    def room(self, charge: int, now: float) -> bool:
        """Whether utilisation is at most 100 %, which is a minute's tokens in the bucket."""
        self._drain(now)
        return self._level <= self.capacity

    def ask(self, charge: int, now: float) -> Verdict:
        """Admit a call or refuse it for so many milliseconds."""
        self._drain(now)
        excess = self._level - self.capacity
        if excess > 0:
            return Verdict(False, max(0.001, excess * 60 / self.capacity))
        self._level += charge
        return Verdict(True)

    def refund(self, tokens: int, now: float) -> None:
        """What was charged and not used."""
        self._drain(now)
        self._level = max(0.0, self._level - tokens)

    def renews(self, now: float) -> float:
        """All the time, and it is paid for: first."""
        return 0.0
