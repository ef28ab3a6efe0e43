"""The gateway's own code in many instances: a Balancer each, rows through the modelled table.

The order of steps is that of the dispatcher and of the sharing beside it: a wait for one shared read when
the view is too old, a choice, a flush beside the upstream call, settlement at the end.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

from benchmarks.limits.engine import Process
from benchmarks.limits.storage import TIMEOUT, Breaker, Storage
from benchmarks.limits.traffic import SimCall
from benchmarks.limits.world import World
from gateway.config.deployment import ApiKey, Config, Deployment
from gateway.limits.balancing.balancer import MAX_TRIES, Balancer
from gateway.limits.balancing.choice import ChoiceReason
from gateway.limits.balancing.reservation import Reservation
from gateway.limits.ledger import rows
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits
from gateway.sharing.freshness import Exchanges, freshness
from gateway.sharing.replication import FLUSH_EVERY, OTHERS_SECONDS

# Rows are decoded by every instance that reads them; here, where all share one process, the same text is
# decoded once.
rows.decode = functools.lru_cache(maxsize=20_000)(rows.decode)


def deployments(world: World) -> tuple[Deployment, ...]:
    """The scenario's deployments as configuration."""
    scenario = world.scenario
    ptu = scenario.limiter == "ptu"
    return tuple(
        Deployment(
            id=f"d{place}",
            model_name="m",
            name=f"d{place}",
            provider="azure",
            targets={},
            credential=ApiKey("k"),
            tpm=None if ptu and place == 0 else int(capacity * 1000 * scenario.configured) or None,
            ptu=ptu and place == 0,
            order=0 if not ptu or place == 0 else 1,
        )
        for place, capacity in enumerate(scenario.capacities)
    )


class Instance:
    """One worker process."""

    def __init__(self, number: int, world: World, storage: Storage, seed: int, config: Config) -> None:
        rng = random.Random(seed * 1000 + number)
        self._world = world
        self._storage = storage
        self._group = config.models["m"]
        self._skew = rng.uniform(-1, 1) * world.scenario.skew
        self.balancer = Balancer(config, f"i{number:06d}", rng.random)
        self._breaker = Breaker()
        self._viewed = -1e9
        self._reading_until = -1e9
        self._exchanges = Exchanges()
        self._exchanging_until = -1e9
        self._flushed = -1e9
        self._flush_planned = False
        self._writing = False
        self._again = False

    def clock(self) -> float:
        """What the clock of this instance shows."""
        return self._world.now + self._skew

    def call(self, call: SimCall) -> Process:
        """One client's call."""
        world, balancer = self._world, self.balancer
        yield from self._entered(call)
        estimate = Estimate(call.prompt, call.max_tokens)
        deadline = world.now + world.scenario.wait
        tried: list[str] = []
        last_resorts = 0
        while True:
            choice = balancer.choose(self._group, estimate, tried, self.clock(), last_resorts=last_resorts)
            if choice.sync_first:
                yield from self.exchanged()
                choice = balancer.choose(
                    self._group, estimate, tried, self.clock(), last_resorts=last_resorts
                )
            if choice.deployment is None or len(tried) == MAX_TRIES:
                wait = 1.0 if choice.wait is None else choice.wait.seconds + 0.001
                if world.now + wait <= deadline:
                    tried, last_resorts = [], 0
                    yield wait
                    yield from self.refreshed()
                    continue
                world.refuse(call)
                return
            reservation = balancer.reserve(choice, self.clock())
            self.dispatched()
            last_resorts += choice.reason is ChoiceReason.LAST_RESORT
            tried.append(choice.deployment.id)
            place = int(choice.deployment.id[1:])
            verdict = yield from world.ask(place, call)
            if not verdict.admitted:
                refused = Outcome(Result.LIMITED, retry_after=verdict.retry_after_exact, kind=verdict.kind)
                balancer.settle(reservation, refused, self.clock())
                self.dispatched()
                continue
            yield from self._answered(call, reservation, place, verdict.left)
            return

    def _entered(self, call: SimCall) -> Process:
        """A call comes in, and waits for fresh rows."""
        world = self._world
        world.arrived(call)
        arrived = world.now
        yield from self.refreshed()
        if world.measured(arrived):
            world.counts.added.append(world.now - arrived)

    def _answered(self, call: SimCall, reservation: Reservation, place: int, left: int | None) -> Process:
        world = self._world
        limits = None
        if left is not None and world.scenario.headers:
            limits = RateLimits(world.limiters[place].capacity, left)
        self.balancer.answered(reservation, limits, self.clock())
        yield max(0.0, call.end - call.head)
        outcome = Outcome(Result.SUCCESS, call.prompt, call.output, limits)
        self.balancer.settle(reservation, outcome, self.clock())
        self.dispatched()

    def refreshed(self, *, capped: bool = False) -> Process:
        """As `gateway.sharing.replication`: one shared read, awaited when the view is too old."""
        now = self._world.now
        age = now - self._viewed
        near_end = self.balancer.near_full(self.clock())
        least = freshness(capped=capped, near_end=near_end, instances=self.balancer.instances)
        if age < least.refresh_after or self._breaker.open(now):
            return
        if now >= self._reading_until:
            latency = self._storage.latency()
            self._reading_until = now + latency
            self._world.engine.start(self._read(latency))
        if age >= least.wait_after:
            yield min(max(self._reading_until - now, 0.0) + 1e-6, TIMEOUT)

    def exchanged(self) -> Process:
        """A write and a read for all that go beyond this instance's share; others are always known here."""
        now = self._world.now
        if self._breaker.open(now):
            return
        if now >= self._exchanging_until:
            if not self._exchanges.take(now):
                return
            latency = self._storage.latency()
            self._exchanging_until = now + OTHERS_SECONDS + latency
            self._world.engine.start(self._exchange(latency))
        yield min(self._exchanging_until - now + 1e-6, TIMEOUT)

    def _exchange(self, latency: float) -> Process:
        if self.balancer.dirty:
            self._world.engine.start(self._flush())
        yield OTHERS_SECONDS
        self._reading_until = self._world.now + latency
        yield from self._read(latency, sums=False)

    def _read(self, latency: float, *, sums: bool = True) -> Process:
        storage, world, balancer = self._storage, self._world, self.balancer
        begun, clock = world.now, self.clock()
        storage.count()
        if storage.down(begun):
            self._reading_until = begun + TIMEOUT
            yield TIMEOUT
            self._breaker.ended(well=False, now=world.now)
            return
        if sums and balancer.wants_rollup and storage.rollup is not None:
            yield latency / 2
            text = storage.rollup
            storage.entities += 1
            yield latency / 2
            if balancer.merge_rollup(text, clock):
                self._viewed = begun
                return
            latency = storage.latency()
            storage.count()
            self._reading_until = world.now + latency
        yield latency / 2
        found = storage.read(balancer.first_page(clock))
        yield latency / 2
        balancer.merge(found, clock)
        self._breaker.ended(well=True, now=world.now)
        self._viewed = begun
        if balancer.wants_rollup:
            storage.count()
            text = balancer.rollup(clock)
            yield storage.latency() / 2
            storage.rollup = text

    def dispatched(self) -> None:
        """Flush beside the upstream call: now, or once at the end of the interval."""
        if self._flush_planned or not self.balancer.dirty or self._breaker.open(self._world.now):
            return
        self._flush_planned = True
        due = self._world.now if self.balancer.flush_now else self._flushed + FLUSH_EVERY
        self._world.engine.start(self._flush(), max(self._world.now, due))

    def _flush(self) -> Process:
        world, storage = self._world, self._storage
        self._flushed = world.now
        self._flush_planned = False
        for row in self.balancer.rows(self.clock()):
            storage.count()
            if storage.down(world.now):
                yield TIMEOUT
                self._breaker.ended(well=False, now=world.now)
                return
            latency = storage.latency()
            yield latency / 2
            storage.upsert(row)
            yield latency / 2
            self.balancer.written(row)
            self._breaker.ended(well=True, now=world.now)


def configuration(world: World) -> Config:
    """The scenario as the gateway's configuration."""
    return Config(models={"m": deployments(world)})


def start(world: World, seed: int) -> Callable[[SimCall], Process]:
    """The policy: which process serves a call."""
    config = configuration(world)
    storage = Storage(world, seed)
    count = world.scenario.instances
    instances = [Instance(number, world, storage, seed, config) for number in range(count)]
    return lambda call: instances[int(call.place * count)].call(call)
