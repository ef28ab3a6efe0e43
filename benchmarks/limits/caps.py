"""A cap on one client that offers twice as much, over many instances: how much gets through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.limits.engine import Process
from benchmarks.limits.steer import Instance, configuration
from benchmarks.limits.storage import Storage
from benchmarks.limits.traffic import SimCall, trace
from benchmarks.limits.world import EPOCH, Scenario, World
from gateway.config.access import ClientLimits, Limit
from gateway.config.deployment import Deployment
from gateway.limits.caps.clients import Refusal
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result

#: Tokens a minute that the client may use, and the share of them that it offers.
_CAP = 1_000_000
_OFFERED = 2.0


@dataclass(slots=True)
class Use:
    """What the client used: moment of admission and tokens of each call."""

    calls: list[tuple[float, int]] = field(default_factory=list)

    def windows(self, begins: float, ends: float) -> tuple[float, float]:
        """Tokens of the highest 60 s, and of a minute on average, in % of the cap."""
        highest = total = oldest = 0
        for newest, (at, tokens) in enumerate(self.calls):
            total += tokens
            while self.calls[oldest][0] <= at - 60:
                total -= self.calls[oldest][1]
                oldest += 1
            if begins <= at < ends and newest:
                highest = max(highest, total)
        used = sum(tokens for at, tokens in self.calls if begins <= at < ends)
        return 100 * highest / _CAP, 100 * used / _CAP * 60 / (ends - begins)


def measure(instances: int, seed: int, warmup: float = 90.0, measured: float = 300.0) -> tuple[float, float]:
    """Highest 60 s and mean minute of the client, in % of its cap."""
    mean_share = _mean_share(seed)
    load = _OFFERED * _CAP / mean_share / (3_000_000)
    scenario = Scenario("cap", load=load, instances=instances, warmup=warmup, measured=measured)
    world = World(scenario, seed)
    storage = Storage(world, seed)
    config = configuration(world)
    workers = [Instance(number, world, storage, seed, config) for number in range(instances)]
    use = Use()
    serve = _serve(world, workers, config.models["m"], use)
    for call in trace(seed, scenario.rate(), (warmup, measured)):
        world.engine.start(serve(call), EPOCH + call.at)
    world.engine.run()
    use.calls.sort()
    return use.windows(world.begins, world.ends)


def _serve(
    world: World, workers: list[Instance], group: Sequence[Deployment], use: Use
) -> Callable[[SimCall], Process]:
    limits = ClientLimits(Limit(tpm=_CAP))

    def serve(call: SimCall) -> Process:
        worker = workers[int(call.place * len(workers))]
        yield from worker.refreshed(capped=True)
        if worker.balancer.beyond_share("client", "m", limits, worker.clock()):
            yield from worker.exchanged()
        estimate = Estimate(call.prompt, call.max_tokens)
        admission = worker.balancer.admit("client", "m", limits, estimate, worker.clock())
        if isinstance(admission, Refusal):
            return
        # Upstream has room for all: only the client's cap counts here.
        choice = worker.balancer.choose(group, estimate, (), worker.clock())
        reservation = worker.balancer.reserve(choice, worker.clock())
        worker.dispatched()
        use.calls.append((world.now, call.prompt + call.output))
        yield call.end
        outcome = Outcome(Result.SUCCESS, call.prompt, call.output)
        worker.balancer.settle(reservation, outcome, worker.clock())
        worker.balancer.finish(admission, outcome)
        worker.dispatched()

    return serve


def _mean_share(seed: int) -> float:
    """Used tokens per charged token of the traffic."""
    calls = trace(seed, 50_000, (300,))
    return sum(call.prompt + call.output for call in calls) / sum(call.charge for call in calls)
