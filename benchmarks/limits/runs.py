"""One run of a policy in a scenario, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.limits import others, steer
from benchmarks.limits.traffic import trace
from benchmarks.limits.world import EPOCH, Scenario, World

POLICIES: dict[str, others.Start] = {
    "gateway": steer.start,
    "oracle": others.oracle,
    "weighted": others.weighted,
    "LiteLLM v2 as coded": others.litellm,
    "LiteLLM v2 as documented": others.litellm_documented,
}


@dataclass(frozen=True, slots=True)
class Figures:
    """u429 and avoid per 100 calls, c429 in % of calls, util in % of whole minutes' capacity; added in ms."""

    u429: float
    c429: float
    avoid: float
    util: float
    operations: float
    added: float
    ptu: float = 0.0


def run(policy: str, scenario: Scenario, seed: int) -> Figures:
    """Simulate."""
    world = World(scenario, seed)
    serve = POLICIES[policy](world, seed)
    parts = (scenario.warmup, scenario.measured)
    for call in trace(seed, scenario.rate(), parts, burst=scenario.burst):
        world.engine.start(serve(call), EPOCH + call.at)
    world.engine.run()
    counts = world.counts
    calls = counts.calls
    ptu = scenario.limiter == "ptu"
    provisioned = scenario.capacities[0] * 1000 / 60 * scenario.measured
    return Figures(
        100 * (counts.provisioned_refused if ptu else counts.refused_upstream) / calls,
        100 * counts.refused / calls,
        100 * counts.avoidable / calls,
        100 * counts.admitted / world.capacity(),
        1000 * counts.operations / calls,
        1000 * median(counts.added) if counts.added else 0.0,
        100 * counts.provisioned / provisioned if ptu else 0.0,
    )


def mean(figures: list[Figures], of: Callable[[Figures], float]) -> float:
    """The mean over seeds."""
    return sum(of(each) for each in figures) / len(figures)
