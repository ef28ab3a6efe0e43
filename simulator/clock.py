"""The simulator's clock: what rate-limit windows, `created` and the request log read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """Tells the time. Pauses between bytes are real time whichever clock is used."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""


class SystemClock:
    """The computer's own clock."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()


@dataclass(slots=True)
class ManualClock:
    """A clock that stands still until it is set or moved."""

    #: Seconds since the Unix epoch; the default is the full minute 2026-03-31T13:24:00Z.
    seconds: float = field(default=1774963440.0)

    def now(self) -> float:
        """The seconds it was set to."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self.seconds += seconds
