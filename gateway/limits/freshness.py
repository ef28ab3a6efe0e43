"""How old a view of the others may be: when it is read anew beside a call, and when a call waits for that.

Ages are seconds. One to two seconds are the knee between what reading costs and what an old view does;
waiting matters for instances that were idle.
"""

from __future__ import annotations

from typing import NamedTuple

_STEERED = (1.2, 1.4)
#: Caps hold across instances as well as the view is fresh.
_CAPPED = (1.0, 1.0)
#: A cap is near its end, where every call of the others counts. Each instance that is known makes reading
#: dearer, and adds to this.
_NEAR_END = (0.3, 0.6)
_INSTANCE = 0.02


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
