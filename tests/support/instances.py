"""Instances of the gateway's limits, each with a balancer of its own, for tests of what they share."""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid

from gateway.config.deployment import ApiKey, Config, Deployment
from gateway.limits.balancing.balancer import Balancer
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.sharing.replication import Replication
from support import virtual_time
from support.lateness import Lateness

_numbers = itertools.count()
_living: list[Replication] = []


def forget_all() -> None:
    """Let go of all instances as they are."""
    _living.clear()


def run_to_its_end(work, run=asyncio.run):
    """Run a coroutine, and end what it leaves under way; `run` may be that of `virtual_time`."""

    async def inside():
        try:
            return await work
        finally:
            await end_all()

    return run(inside())


async def end_all() -> None:
    """End what the instances of a test have left under way, as the end of their processes would."""
    while _living:
        _living.pop()._stop_timer()
    under_way = asyncio.all_tasks() - {asyncio.current_task()}
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


def config(members: int = 2, rpm: int = 600, **settings) -> Config:
    group = tuple(
        Deployment(f"d{number}", "m", f"d{number}", "azure", {}, ApiKey("k"), rpm=rpm, tpm=100_000)
        for number in range(members)
    )
    return Config({"m": group}, allow_anonymous=True, **settings)


class StandingClock:
    """A time that goes on only when a test moves it, however long what happens meanwhile takes."""

    def __init__(self) -> None:
        self.now = virtual_time.clock()

    def __call__(self) -> float:
        return self.now


class Clock:
    """The time, moved by as much as a test wants."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return virtual_time.clock() + self.ahead


class Instance:
    """One process's limits."""

    def __init__(self, store, pool: str, *, clock=virtual_time.clock, configuration=None, **options) -> None:
        number = next(_numbers)
        self.config = configuration or config()
        self.group = self.config.models["m"]
        self.balancer = Balancer(self.config, uuid.uuid4().hex[:12], random.Random(number).random)
        self.sharing = Replication(
            self.balancer,
            store,
            clock=clock,
            random=random.Random(number).random,
            pool=pool,
            **options,
        )
        _living.append(self.sharing)

    async def call(self, seconds: float = 0.0, tokens: int = 10, *, used: int | None = None) -> float:
        """One call that takes upstream `seconds`; returns the seconds that sharing has added."""
        now = asyncio.get_running_loop().time
        started = now()
        shared = self.sharing.call()
        try:
            await shared.refreshed()
            choice = self.balancer.choose(self.group, Estimate(tokens, 0), (), self.sharing.now())
            if choice.sync_first:
                await shared.exchanged()
                choice = self.balancer.choose(self.group, Estimate(tokens, 0), (), self.sharing.now())
            reservation = self.balancer.reserve(choice, self.sharing.now())
            shared.dispatched()
            upstream = now()
            await asyncio.sleep(seconds)
            upstream = now() - upstream
            self.balancer.settle(
                reservation, Outcome(Result.SUCCESS, tokens if used is None else used, 0), self.sharing.now()
            )
        finally:
            await shared.settled()
        return now() - started - upstream

    async def added(self, seconds: float) -> float:
        """What `call` returns, less what a busy machine has added; for one call at a time."""
        async with Lateness() as late:
            return await self.call(seconds) - late.seconds

    def requests(self) -> int:
        """Requests of the last minute, of all instances, as this one knows them."""
        return sum(state.charged_requests for state in self.balancer.state(self.sharing.now()))

    @property
    def operations(self) -> int:
        return sum(self.sharing.storage.operations.values())
