"""How old the view of other instances may be, and how often an instance exchanges with them.

Ages are in seconds. From one age on a view is refreshed beside a call; from a higher age on a call waits for
the refresh. One to two seconds are the knee between the cost of reads and the errors of an old view. Calls
wait mainly at instances that were idle.
"""

from __future__ import annotations

import math
from typing import NamedTuple

#: Refresh and wait ages where limits only steer.
_STEERED = (1.2, 1.4)
#: The same where caps decide: a cap is as exact as the view is fresh.
_CAPPED = (1.0, 1.0)
#: The same while a cap has less than 25 % left. Each known instance makes a read dearer and adds _INSTANCE.
_NEAR_END = (0.3, 0.4)
_INSTANCE = 0.02
#: Exchanges of one burst, and seconds between exchanges in the long run.
_EXCHANGES = 4
_EXCHANGE_EVERY = 1.0


class Freshness(NamedTuple):
    """From which age on a view is refreshed, and from which age on a call waits for it."""

    refresh_after: float
    wait_after: float


def freshness(*, capped: bool, near_end: bool, instances: int) -> Freshness:
    """The ages for a call. `capped`: caps decide; `near_end`: one of them has less than 25 % left."""
    refresh_after, wait_after = _CAPPED if capped else _STEERED
    if near_end:
        refresh_after = min(refresh_after, _NEAR_END[0] + _INSTANCE * instances)
        wait_after = min(wait_after, _NEAR_END[1] + _INSTANCE * instances)
    return Freshness(refresh_after, wait_after)


class Exchanges:
    """A token bucket for the exchanges of one instance: _EXCHANGES in advance, one each _EXCHANGE_EVERY."""

    def __init__(self) -> None:
        #: When all exchanges so far are paid back.
        self._paid = -math.inf

    def take(self, now: float) -> bool:
        """Take one exchange from the bucket; False where it is empty."""
        most = now + _EXCHANGES * _EXCHANGE_EVERY
        # After the clock was set back, `_paid` lies too far ahead to mean anything.
        paid = self._paid if self._paid <= most else now
        paid = max(paid, now) + _EXCHANGE_EVERY
        if paid > most:
            return False
        self._paid = paid
        return True
