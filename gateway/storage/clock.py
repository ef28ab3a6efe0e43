"""How far another machine's clock is from ours, learnt from the `Date` headers of its replies."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

#: A single reply may correct a confirmed offset by this many seconds.
_LARGE = 5.0
#: Replies must agree for this many seconds on a larger correction: a clock that jumped may jump back.
_INSISTENCE = 3.0


class ClockOffset:
    """Seconds by which the other clock is ahead of ours. It moves only when a reply proves it wrong.

    A reply says `Date: D` in whole seconds, and was made between our `sent` and `received`; so the other
    clock is ahead by more than D - received and by less than D + 1 - sent, however slow the reply.
    A value far from the confirmed offset means that one of the clocks jumped. It is taken over once replies
    have agreed on it for _INSISTENCE seconds.
    """

    __slots__ = ("_confirmed", "_doubted", "offset")

    def __init__(self) -> None:
        self.offset = 0.0
        #: Whether a reply has agreed with `offset`.
        self._confirmed = False
        #: An offset that replies have not agreed on long enough, and when the first reply showed it.
        self._doubted: tuple[float, float] | None = None

    def observe(self, date: str | None, sent: float, received: float) -> None:
        """Learn from one reply's Date header. An unreadable one is ignored. Times in seconds since 1970."""
        if date is None:
            return
        try:
            # RFC 9110, 5.6.7: always GMT, also where the old forms do not say so.
            stamp = parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        offset = min(max(self.offset, stamp - received), max(stamp + 1 - sent, stamp - received))
        if self._believes(offset, received):
            self.offset = offset

    def _believes(self, offset: float, received: float) -> bool:
        """Whether to take over an offset that a reply received at `received` shows."""
        doubted, self._doubted = self._doubted, None
        if abs(offset - self.offset) <= _LARGE:
            self._confirmed = True
            return True
        if not self._confirmed:
            # Two replies disagree and neither is confirmed: take the later one.
            return True
        if doubted is None or abs(offset - doubted[0]) > _LARGE:
            doubted = offset, received
        if received - doubted[1] >= _INSISTENCE:
            return True
        self._doubted = doubted
        return False
