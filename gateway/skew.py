"""How far another machine's clock is from ours, learnt from the `Date` headers of its replies."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime


class Skew:
    """Seconds by which the other clock is ahead of ours. It moves only when a reply proves it wrong.

    A reply says `Date: D` in whole seconds, and was made between our `sent` and `received`; so the other
    clock is ahead by more than D - received and by less than D + 1 - sent, however slow the reply.
    """

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset = 0.0

    def observe(self, date: str | None, sent: float, received: float) -> None:
        """Learn from one reply; from an unreadable header nothing. Times in seconds since 1970."""
        if date is None:
            return
        try:
            # RFC 9110, 5.6.7: always GMT, also where the old forms do not say so.
            stamp = parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        self.offset = min(max(self.offset, stamp - received), max(stamp + 1 - sent, stamp - received))
