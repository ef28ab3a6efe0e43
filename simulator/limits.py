"""Rate limits as arithmetic: windows of tokens and requests, and the bucket of provisioned throughput.

Nothing here reads a clock: `now` is in seconds, in whatever time the caller uses.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

#: Seconds Azure names when waiting cannot help: this request alone is above the limit.
NEVER = 86_400

#: Tokens that are an error of rounding.
ROUNDING = 1e-3

#: How a window forgets: all at its end, each after its length, or evenly.
Style = Literal["tumbling", "sliding", "leaky"]


@dataclass(slots=True)
class Window:
    """A counter of what was used within `length_s` seconds."""

    limit: int
    length_s: float
    phase_s: float = 0
    style: Style = "tumbling"
    used: float = 0
    start: float = 0
    entries: deque[tuple[float, int]] = field(default_factory=deque)

    def settle(self, now: float) -> None:
        """Forget what has left the window."""
        if self.style == "sliding":
            while self.entries and self.entries[0][0] + self.length_s <= now:
                self.used -= self.entries.popleft()[1]
            return
        if self.style == "leaky":
            self.used = max(0.0, self.used - max(0.0, now - self.start) * self.limit / self.length_s)
            self.start = now
            return
        start = math.floor((now - self.phase_s) / self.length_s) * self.length_s + self.phase_s
        if start != self.start:
            self.start = start
            self.used = 0

    def wait(self, now: float, amount: int) -> float:
        """Seconds until `amount` more fits: 0 when it does now, NEVER when it alone is above the limit."""
        self.settle(now)
        if amount > self.limit:
            return NEVER
        excess = self.used + amount - self.limit
        if excess <= ROUNDING:
            return 0
        if self.style == "tumbling":
            return self.start + self.length_s - now
        if self.style == "leaky":
            return excess * self.length_s / self.limit
        freed = 0
        for time, spent in self.entries:
            freed += spent
            if freed >= excess:
                return time + self.length_s - now
        return self.length_s

    def add(self, now: float, amount: int) -> None:
        """Count `amount` as used now."""
        self.settle(now)
        self.used += amount
        if self.style == "sliding":
            self.entries.append((now, amount))

    def remaining(self, now: float) -> int:
        """What still fits now."""
        self.settle(now)
        return max(0, math.floor(self.limit - self.used + ROUNDING))

    def reset_s(self, now: float) -> float:
        """Seconds until a bucket that refills evenly would be full again, as Azure's reset headers count."""
        return (self.limit - self.remaining(now)) * self.length_s / self.limit


@dataclass(slots=True)
class Bucket:
    """Provisioned throughput: tokens leak away at `per_minute`, and a full bucket is 100 % utilisation."""

    per_minute: int
    level: float = 0
    seen: float = 0

    def settle(self, now: float) -> None:
        """Let leak away what has since the last call."""
        self.level = max(0.0, self.level - max(0.0, now - self.seen) * self.per_minute / 60)
        self.seen = now

    def utilization(self, now: float) -> float:
        """Per cent; above 100 calls are refused."""
        self.settle(now)
        return self.level * 100 / self.per_minute

    def wait(self, now: float) -> float:
        """Seconds until utilisation is no longer above 100 %."""
        self.settle(now)
        excess = self.level - self.per_minute
        # What floating point leaves of a level of exactly 100 % is no excess.
        return excess * 60 / self.per_minute if excess > ROUNDING else 0.0

    def add(self, now: float, amount: float) -> None:
        """Charge an estimate, or correct one (negative amounts give back)."""
        self.settle(now)
        self.level = max(0.0, self.level + amount)


def request_window_limit(rpm: int, window_s: int) -> int:
    """Requests per window: the minute's share, rounded up."""
    return math.ceil(rpm * window_s / 60)


def charge(prompt_characters: int, max_tokens: int | None, best_of: int, default_max_tokens: int) -> int:
    """Azure's estimate on arrival: a quarter of the characters, plus the longest possible answer."""
    answer = default_max_tokens if max_tokens is None else max_tokens * best_of
    return math.ceil(prompt_characters / 4) + answer
