"""Waiting for a place where every deployment of a model has as many calls in flight as it may."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from gateway.config.deployment import Deployment
from gateway.limits.balancing.balancer import Balancer
from gateway.routing.progress import Progress

#: Share of the time until the deadline that is left for the answer that nobody has room.
_KEPT = 0.1


async def wait_for_place(balancer: Balancer, group: Sequence[Deployment], progress: Progress) -> bool:
    """Wait until one of `group` has a place for the request; False where none had one in time.

    The first who waits is the first who is served.
    """
    loop = progress.deadline.loop
    started = loop.time()
    seconds = min(progress.place_wait_left, progress.deadline.left * (1 - _KEPT))
    if seconds <= 0:
        return False
    freed: asyncio.Future[None] = loop.create_future()
    progress.end_wait()
    progress.waiter = balancer.wait(group, progress.tried, partial(freed.set_result, None))
    await asyncio.wait({freed}, timeout=seconds)
    waited = loop.time() - started
    progress.place_wait_left -= waited
    progress.record.waited += waited
    if not freed.done():
        progress.end_wait()
    return freed.done()
