"""When failures are more than bad luck: then the deployment rests, 5 s at first, twice as long each time."""

from __future__ import annotations

from collections import deque

#: Seconds of the first rest.
FIRST_COOLDOWN = 5.0
#: Seconds that a deployment rests which only the operator can mend, before it is probed.
OPERATOR_COOLDOWN = 30.0
#: Weight of the latest call in the moving error rate.
_WEIGHT = 0.2
_CALLS = 5
#: More than half: where every second call fails the average swings up to 0.56.
_RATE = 0.6
#: Seconds within which `allowed_fails` are counted, as LiteLLM does.
_MINUTE = 60.0
#: Seconds that a failure may lie ahead: one further ahead was noted by a clock that was wrong.
_AHEAD = 5.0


class Health:
    """Successes and failures of one deployment, as one instance sees them."""

    __slots__ = ("_calls", "_failures", "_rate", "allowed_fails")

    def __init__(self, allowed_fails: int | None = None) -> None:
        #: Failures a minute that are forgiven; None judges by the error rate.
        self.allowed_fails = allowed_fails
        self._calls = 0
        self._rate = 0.0
        self._failures: deque[float] = deque()

    def succeeded(self) -> None:
        """A call was answered."""
        self._calls += 1
        self._rate -= _WEIGHT * self._rate

    def failed(self, now: float) -> bool:
        """A call failed. Returns whether that was one too many."""
        self._calls += 1
        self._rate += _WEIGHT * (1 - self._rate)
        if self.allowed_fails is None:
            return self._calls >= _CALLS and self._rate > _RATE
        while self._failures and self._failures[-1] > now + _AHEAD:
            self._failures.pop()
        self._failures.append(now)
        while self._failures[0] <= now - _MINUTE:
            self._failures.popleft()
        return len(self._failures) > self.allowed_fails

    def reset(self) -> None:
        """Begin anew, after a rest."""
        self._calls = 0
        self._rate = 0.0
        self._failures.clear()
