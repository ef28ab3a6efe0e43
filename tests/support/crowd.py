"""Clients of a fleet for a minute and more: when they call, how large, and what became of it all."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from simulator.limits import charge
from simulator.quota import Quota
from support.fleet import Fleet, Reply, ask

#: Seconds that the simulator takes to answer.
UPSTREAM = 0.15
#: Capacities in tokens a minute; Azure grants 6 requests a minute with 1,000 of them, in windows of 10 s.
CAPACITIES = {"unequal-a": 30_000, "unequal-b": 60_000, "unequal-c": 120_000}
MODEL = "unequal"
_BOUNDS = (256, 512, 512, 1024)
_PROMPT = 200
_TOKENS = _PROMPT + sum(_BOUNDS) / len(_BOUNDS)
_STREAMS = 0.6
_BATCH = 12
#: Times that a refused client comes again, where it does.
_RETURNS = 3


@dataclass(slots=True)
class Befalls:
    """Something that befalls a fleet `at` so many seconds."""

    at: float
    what: Callable[[Crowd], None]


@dataclass(slots=True)
class Outcome:
    """What became of a crowd's calls. `lost` are those in flight in a gateway that was killed or frozen."""

    #: From the first call to the last reply.
    seconds: float = 0.0
    replies: list[Reply] = field(default_factory=list)
    avoidable: int = 0
    lost: int = 0
    operations: int = 0

    @property
    def refused(self) -> int:
        return sum(reply.status == 429 for reply in self.replies)

    @property
    def errors(self) -> int:
        """All that is neither an answer, nor a 429, nor lost."""
        return sum(reply.status not in {200, 429} for reply in self.replies) - self.lost

    def added(self, share: float) -> float:
        """Milliseconds beside upstream's own that `share` of the answers did not exceed."""
        ordered = sorted(reply.seconds - UPSTREAM for reply in self.replies if reply.status == 200)
        return 1000 * ordered[int(share * (len(ordered) - 1))]

    def row(self, fleet: Fleet) -> list[float]:
        """Calls, 429s of upstream per 100 calls, per cent refused and avoidable, errors, lost, use, cost."""
        calls = len(self.replies)
        log = fleet.sent(*CAPACITIES)
        admitted = sum(_charge(json.loads(each["body"])) for each in log if each["status"] == 200)
        capacity = sum(CAPACITIES.values()) * self.seconds / 60
        return [
            calls,
            100 * sum(each["status"] == 429 for each in log) / calls,
            100 * self.refused / calls,
            100 * self.avoidable / calls,
            self.errors,
            self.lost,
            100 * admitted / capacity,
            1000 * self.operations / calls,
            self.added(0.5),
            self.added(0.95),
        ]


HEAD = [
    "upstream 429 / 100 calls",
    "client 429 %",
    "avoidable %",
    "other errors",
    "lost with an instance",
    "capacity used %",
    "table operations / 1,000 calls",
    "added ms p50",
    "added ms p95",
]


class Crowd:
    """Clients that call the living gateways of a fleet."""

    def __init__(self, fleet: Fleet, *, load: float, burst: bool, returns: bool, seconds: float) -> None:
        """`load` is what is offered in capacities; refused clients come again where there are `returns`."""
        self.fleet = fleet
        self.alive = set(range(len(fleet.gateways)))
        self.outcome = Outcome()
        self._seconds = seconds
        self._random = random.Random(20261124)
        self._rate = load * sum(CAPACITIES.values()) / 60 / _TOKENS
        self._burst = burst
        self._returns = _RETURNS if returns else 0

    def run(self, *events: Befalls) -> Outcome:
        """Call until the time is over; returns when the last reply is there."""
        before = self._operations()
        asyncio.run(self._run(events))
        after = self._operations()
        self.outcome.operations = sum(count - before.get(gateway, 0) for gateway, count in after.items())
        return self.outcome

    async def _run(self, events: tuple[Befalls, ...]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        calls = {asyncio.create_task(self._befall(event)) for event in events}
        for at in self._times():
            await asyncio.sleep(started + at - loop.time())
            calls.add(asyncio.create_task(self._client(self._body())))
        await asyncio.gather(*calls)
        self.outcome.seconds = loop.time() - started

    async def _befall(self, event: Befalls) -> None:
        await asyncio.sleep(event.at)
        await asyncio.to_thread(event.what, self)

    def _times(self) -> Iterator[float]:
        at = 0.0
        while at < self._seconds:
            if self._burst:
                yield from (at + number * 0.004 for number in range(_BATCH))
                at += self._random.expovariate(self._rate / _BATCH)
            else:
                yield at
                at += 1 / self._rate

    def _body(self) -> dict[str, object]:
        words = "word " * int(4 * _PROMPT * self._random.uniform(0.2, 1.8) / 5)
        return {
            "messages": [{"role": "user", "content": words}],
            "max_tokens": self._random.choice(_BOUNDS),
            "stream": self._random.random() < _STREAMS,
        }

    async def _client(self, body: dict[str, object]) -> None:
        for number in range(self._returns + 1):
            gateway = self._random.choice(sorted(self.alive))
            reply = await ask(self.fleet, gateway, MODEL, **body)
            self.outcome.replies.append(reply)
            self.outcome.lost += reply.status == 0 and gateway not in self.alive
            if reply.status != 429:
                return
            self.outcome.avoidable += any(self._has_room(name, _charge(body)) for name in CAPACITIES)
            if number < self._returns:
                await asyncio.sleep(reply.retry_after)

    def _has_room(self, name: str, tokens: int) -> bool:
        quota: Quota = self.fleet.simulator.simulator.places["azure", name].quota
        now = time.time()
        # Copies: this is another thread than the simulator's.
        meters = (replace(quota.meters.tokens), tokens), (replace(quota.meters.requests), 1)
        return all(window.wait(now, amount) == 0 for window, amount in meters)

    def _operations(self) -> dict[int, int]:
        return {gateway: sum(self.fleet.storage(gateway)["operations"].values()) for gateway in self.alive}


def _charge(body: dict) -> int:
    characters = sum(len(message["content"]) for message in body["messages"])
    return charge(characters, body["max_tokens"], 1, 0)
