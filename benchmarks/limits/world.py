"""What all policies share: deployments with their limiters, the way to them, and what is counted."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.limits.engine import Engine
from benchmarks.limits.limiters import Limiter, PayAsYouGo, Provisioned, Verdict
from benchmarks.limits.traffic import SimCall
from simulator.limits import Style

#: Seconds from the gateway to upstream, and back.
HOP = 0.00625
#: Seconds of virtual time at which every run begins: not the beginning of any page or minute.
EPOCH = 1_000_000_003.0

SIX = (90, 180, 360, 450, 720, 1200)
TWO = (900, 2100)
TWENTY = tuple(
    3 * each
    for each in (
        *(20, 30, 30, 50, 50, 60, 80, 80, 100, 100),
        *(120, 120, 150, 150, 200, 240, 300, 350, 450, 600),
    )
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table. Capacities in thousand tokens a minute."""

    name: str
    load: float = 0.95
    instances: int = 50
    capacities: tuple[int, ...] = SIX
    limiter: Style | Literal["ptu"] = "tumbling"
    #: Seconds that a call may wait for room.
    wait: float = 0.0
    warmup: float = 150.0
    measured: float = 450.0
    #: Median seconds of a storage operation.
    storage: float = 0.008
    #: Seconds of the measured time during which storage is down, from its 60th second on.
    outage: float = 0.0
    burst: float = 1.0
    #: The limits that the gateway is configured with, as a share of the real ones; 0 for none.
    configured: float = 1.0
    #: Clocks differ by up to so many seconds either way.
    skew: float = 0.0
    #: Whether replies say how much upstream has counted.
    headers: bool = True

    def rate(self) -> float:
        """Charged tokens offered a second."""
        return self.load * sum(self.capacities) * 1000 / 60


@dataclass(slots=True)
class Counts:
    """What is measured."""

    calls: int = 0
    refused_upstream: int = 0
    refused: int = 0
    avoidable: int = 0
    admitted: int = 0
    operations: int = 0
    provisioned: int = 0
    provisioned_refused: int = 0
    added: list[float] = field(default_factory=list)


class World:
    """One run."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.engine = Engine(EPOCH)
        self.counts = Counts()
        self.random = random.Random(seed * 7919 + 17)
        phases = random.Random(seed * 31 + 5)
        self.limiters = [
            _limiter(scenario.limiter, place, each * 1000, phases.uniform(0, 60))
            for place, each in enumerate(scenario.capacities)
        ]
        self.begins = EPOCH + scenario.warmup
        self.ends = self.begins + scenario.measured
        #: Of each deployment the time in which its use is measured, in whole minutes of its counter.
        self.spans = [limiter.span(self.begins, self.ends) for limiter in self.limiters]

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.engine.now

    def measured(self, at: float) -> bool:
        """Whether what happens at a time counts."""
        return self.begins <= at < self.ends

    def ask(self, place: int, call: SimCall) -> Generator[float, None, Verdict]:
        """Send a call to a deployment: the limiter's verdict, when it is back here."""
        yield HOP
        limiter = self.limiters[place]
        verdict = limiter.ask(self.charge(place, call), self.now)
        if verdict.admitted:
            self.admit(place, call)
            self.engine.start(self._refund(limiter, call), self.now + call.end)
        elif self.measured(self.now):
            self.counts.refused_upstream += 1
            self.counts.provisioned_refused += isinstance(limiter, Provisioned)
        yield call.head if verdict.admitted else HOP
        return verdict

    def charge(self, place: int, call: SimCall) -> int:
        """What a deployment's limiter counts for a call."""
        if isinstance(self.limiters[place], Provisioned):
            return call.prompt + call.max_tokens
        return call.charge

    def admit(self, place: int, call: SimCall) -> None:
        """Count an admitted call."""
        begins, ends = self.spans[place]
        if not begins <= self.now < ends:
            return
        if isinstance(self.limiters[place], Provisioned):
            self.counts.provisioned += call.prompt + call.output
        else:
            self.counts.admitted += call.charge

    def capacity(self) -> float:
        """Tokens that all deployments but provisioned throughput could have admitted in the time measured."""
        return sum(
            limiter.capacity * (ends - begins) / 60
            for limiter, (begins, ends) in zip(self.limiters, self.spans, strict=True)
            if not isinstance(limiter, Provisioned)
        )

    def _refund(self, limiter: Limiter, call: SimCall) -> Generator[float, None, None]:
        limiter.refund(call.max_tokens - call.output, self.now)
        return
        yield

    def arrived(self, call: SimCall) -> None:
        """A client's call."""
        if self.measured(EPOCH + call.at):
            self.counts.calls += 1

    def refuse(self, call: SimCall) -> None:
        """Answer a client with 429."""
        if self.measured(EPOCH + call.at):
            self.counts.refused += 1
            self.counts.avoidable += any(limiter.room(call.charge, self.now) for limiter in self.limiters)


def _limiter(kind: Style | Literal["ptu"], place: int, capacity: int, phase: float) -> Limiter:
    if kind != "ptu":
        return PayAsYouGo(capacity, kind, phase)
    # The first is provisioned throughput, the others are pay-as-you-go.
    return Provisioned(capacity) if place == 0 else PayAsYouGo(capacity, "tumbling", phase)
