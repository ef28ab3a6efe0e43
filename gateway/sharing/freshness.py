"""How old a view of the others may be: when it is read anew beside a call, and when a call waits for that.

Also, how often instances may stop to tell each other what they sent.

Ages are seconds. One to two seconds are the knee between what reading costs and what an old view does;
waiting matters for instances that were idle.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_STEERED = (1.2, 1.4)
#: Caps hold across instances as well as the view is fresh.
_CAPPED = (1.0, 1.0)
#: A cap is near its end, where every call of the others counts. Each instance that is known makes reading
#: dearer, and adds to this.
_NEAR_END = (0.3, 0.4)
_INSTANCE = 0.02
#: Exchanges that a burst may bring about, and seconds from one to the next in the long run.
_EXCHANGES = 4
_EXCHANGE_EVERY = 1.0


class Freshness(NamedTuple):
    """The ages from which on a view is read anew, and waited for."""

    refresh_after: float
    wait_after: float


def freshness(*, capped: bool, near_end: bool, instances: int) -> Freshness:
    """What calls need. `capped`: caps decide; `near_end`: one of them is nearly used up by `instances`."""
    refresh_after, wait_after = _CAPPED if capped else _STEERED
    if near_end:
        refresh_after = min(refresh_after, _NEAR_END[0] + _INSTANCE * instances)
        wait_after = min(wait_after, _NEAR_END[1] + _INSTANCE * instances)
    return Freshness(refresh_after, wait_after)


class Exchanges:
    """How often one instance exchanges: some at once, for what is left of a limit shrinks with each."""

    def __init__(self) -> None:
        #: When the long run has caught up with those that were made.
        self._paid = -math.inf

    def take(self, now: float) -> bool:
        """Whether there may be one now, which is then counted."""
        most = now + _EXCHANGES * _EXCHANGE_EVERY
        # A clock that was set back says nothing.
        paid = self._paid if self._paid <= most else now
        paid = max(paid, now) + _EXCHANGE_EVERY
        if paid > most:
            return False
        self._paid = paid
        return True
