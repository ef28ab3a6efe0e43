"""Upstream's limiters: the simulator's counters, with what the policies ask of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from simulator.limits import Bucket, Style, Window, request_window_limit

Kind = Literal["tokens", "requests"]

#: Azure grants 6 requests a minute with 1,000 tokens a minute, and counts them in windows of 10 s.
_REQUESTS_WINDOW = 10
#: Seconds until room renews where nobody knows when: half a minute on average.
_RENEWAL = 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Upstream's answer: admitted, or not before `retry_after` seconds, whole ones as in the header."""

    admitted: bool
    retry_after: float = 0.0
    #: The same to the millisecond, as in `retry-after-ms`.
    retry_after_exact: float = 0.0
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

    def span(self, begins: float, ends: float) -> tuple[float, float]:
        """The time between `begins` and `ends` in which its use is measured."""


def _refusal(wait: float, kind: Kind = "tokens") -> Verdict:
    return Verdict(False, math.ceil(wait), math.ceil(wait * 1000) / 1000, kind)


class PayAsYouGo:
    """Tokens a minute, in a window of any style, and the requests that Azure grants with them."""

    def __init__(self, capacity: int, style: Style, phase: float) -> None:
        """`phase` is the second at which tumbling minutes begin, that nobody is told."""
        self.capacity = capacity
        self._tokens = Window(capacity, 60, phase, style)
        per_window = request_window_limit(capacity * 6 // 1000, _REQUESTS_WINDOW)
        self._requests = Window(per_window, _REQUESTS_WINDOW)

    def room(self, charge: int, now: float) -> bool:
        """Whether a call would be admitted."""
        return self._tokens.wait(now, charge) == 0 and self._requests.wait(now, 1) == 0

    def ask(self, charge: int, now: float) -> Verdict:
        """Admit a call, or refuse it for whole seconds; a request counts whatever becomes of it."""
        wait = self._requests.wait(now, 1)
        if wait > 0:
            return _refusal(wait, "requests")
        self._requests.add(now, 1)
        wait = self._tokens.wait(now, charge)
        if wait > 0:
            return _refusal(wait)
        self._tokens.add(now, charge)
        return Verdict(True, left=self._tokens.remaining(now))

    def refund(self, tokens: int, now: float) -> None:
        """Nothing is given back."""

    def renews(self, now: float) -> float:
        """Seconds until the reset, where there is one."""
        if self._tokens.style != "tumbling":
            return _RENEWAL
        self._tokens.settle(now)
        return self._tokens.start + 60 - now

    def span(self, begins: float, ends: float) -> tuple[float, float]:
        """Whole minutes of the counter: of a part it is chance how much of the whole falls into it."""
        if self._tokens.style != "tumbling":
            return begins, ends
        phase = self._tokens.phase_s
        return math.ceil((begins - phase) / 60) * 60 + phase, math.floor((ends - phase) / 60) * 60 + phase


class Provisioned:
    """Provisioned throughput: calls are refused above 100 % utilisation; unused tokens are given back."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._bucket = Bucket(capacity)

    def room(self, charge: int, now: float) -> bool:
        """Whether utilisation is at most 100 %."""
        del charge
        return self._bucket.wait(now) == 0

    def ask(self, charge: int, now: float) -> Verdict:
        """Admit a call or refuse it for so many milliseconds."""
        wait = self._bucket.wait(now)
        if wait > 0:
            return _refusal(wait)
        self._bucket.add(now, charge)
        return Verdict(True)

    def refund(self, tokens: int, now: float) -> None:
        """What was charged and not used."""
        self._bucket.add(now, -tokens)

    def renews(self, now: float) -> float:
        """All the time, and it is paid for: first."""
        del now
        return 0.0

    def span(self, begins: float, ends: float) -> tuple[float, float]:
        """All of it."""
        return begins, ends
