"""Other ways to choose, for comparison: weights, LiteLLM's published algorithm, and an oracle."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

from benchmarks.limits.engine import Process
from benchmarks.limits.limiters import Verdict
from benchmarks.limits.storage import Storage
from benchmarks.limits.traffic import SimCall
from benchmarks.limits.world import World
from gateway.limits.balancing.choice import pick

Start = Callable[[World, int], Callable[[SimCall], Process]]

#: LiteLLM: `num_retries` and the cooldown where a 429 names none.
_LITELLM_RETRIES = 2
_LITELLM_COOLDOWN = 5.0


def weighted(world: World, seed: int) -> Callable[[SimCall], Process]:
    """Drawn by limits, no shared state; each instance honours Retry-After and tries all the others."""
    rng = random.Random(seed * 1009)
    count = world.scenario.instances
    capacities = world.scenario.capacities
    resting: list[dict[int, float]] = [{} for _ in range(count)]

    def serve(call: SimCall) -> Process:
        world.arrived(call)
        mine = resting[int(call.place * count)]
        tried: set[int] = set()
        while True:
            places = [
                place
                for place in range(len(capacities))
                if place not in tried and mine.get(place, 0) <= world.now
            ]
            if not places:
                world.refuse(call)
                return
            place = places[pick([float(capacities[each]) for each in places], rng.random)]
            tried.add(place)
            verdict: Verdict = yield from world.ask(place, call)
            if verdict.admitted:
                return
            mine[place] = world.now + verdict.retry_after

    return serve


def oracle(world: World, seed: int) -> Callable[[SimCall], Process]:
    """Sees into every limiter; uses first what renews first, and paid throughput before all else."""

    def serve(call: SimCall) -> Process:
        world.arrived(call)
        deadline = world.now + world.scenario.wait
        while True:
            rooms = [
                (limiter.renews(world.now), place)
                for place, limiter in enumerate(world.limiters)
                if limiter.room(call.charge, world.now)
            ]
            if rooms:
                # Nothing may come between looking and being counted.
                place = min(rooms)[1]
                limiter = world.limiters[place]
                limiter.ask(world.charge(place, call), world.now)
                world.admit(place, call)
                yield call.end
                limiter.refund(call.max_tokens - call.output, world.now)
                return
            if world.now + 0.25 > deadline:
                world.refuse(call)
                return
            yield 0.25

    del seed
    return serve


def litellm(world: World, seed: int, *, documented: bool = False) -> Callable[[SimCall], Process]:
    """Usage-based routing v2: least tokens this clock minute, counted at completion, in Redis.

    As coded, streamed tokens never count. As documented they do.
    """
    rng = random.Random(seed * 2003)
    capacities = world.scenario.capacities
    storage = Storage(world, seed)
    tokens: dict[tuple[int, int], int] = defaultdict(int)
    requests: dict[tuple[int, int], int] = defaultdict(int)
    resting: dict[int, float] = {}

    def serve(call: SimCall) -> Process:
        world.arrived(call)
        for _ in range(_LITELLM_RETRIES + 1):
            storage.count()
            yield 0.0019
            minute = int(world.now // 60)
            fitting = [
                place
                for place, capacity in enumerate(capacities)
                if resting.get(place, 0) <= world.now
                and tokens[place, minute] + call.prompt <= capacity * 1000
                and requests[place, minute] + 1 < capacity * 6
            ]
            if not fitting:
                break
            least = min(tokens[place, minute] for place in fitting)
            place = rng.choice([each for each in fitting if tokens[each, minute] == least])
            requests[place, minute] += 1
            storage.count()
            verdict: Verdict = yield from world.ask(place, call)
            if verdict.admitted:
                yield max(0.0, call.end - call.head)
                storage.count()
                if documented or not call.stream:
                    tokens[place, int(world.now // 60)] += call.prompt + call.output
                return
            resting[place] = world.now + (verdict.retry_after or _LITELLM_COOLDOWN)
        world.refuse(call)

    return serve


def litellm_documented(world: World, seed: int) -> Callable[[SimCall], Process]:
    """LiteLLM's algorithm with every token counted."""
    return litellm(world, seed, documented=True)
