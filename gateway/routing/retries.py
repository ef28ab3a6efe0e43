"""When a request's deployments may all be tried again: a lone one after a backoff, any when there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.limits.tokens.outcome import Result
from gateway.routing.progress import Progress

#: Backoff before a lone deployment is tried again: doubles from the first to the longest, in seconds.
BACKOFF_FIRST = 0.5
BACKOFF_LONGEST = 8.0
#: Shortest wait for room, in seconds.
WAIT_SHORTEST = 0.01

_RETRIED = frozenset({Result.UNREACHABLE, Result.TORN, Result.FAILED, Result.LOCAL})


def pause_before(progress: Progress, num_retries: int, random: Callable[[], float]) -> float | None:
    """Seconds after which all may be tried again; None when that is of no use, or takes too long.

    `num_retries` is how often a lone deployment may be tried again; `random` gives [0, 1).
    """
    room_in = None if progress.room is None else max(progress.room.seconds, WAIT_SHORTEST)
    if room_in is not None and room_in <= progress.waiting_left:
        pause = room_in
        progress.waiting_left -= pause
    elif progress.failures and progress.retries < num_retries:
        last = progress.failures[-1].error
        backoff = min(BACKOFF_FIRST * 2**progress.retries, BACKOFF_LONGEST)
        pause = last.outcome.retry_after or backoff * (1 - 0.25 * random())
        # This call and others may have begun its cooldown.
        pause = max(pause, progress.healthy_in or 0.0)
        if last.result not in _RETRIED or pause > BACKOFF_LONGEST:
            return None
        progress.retries += 1
    else:
        return None
    return pause if asyncio.get_running_loop().time() + pause < progress.deadline else None
