"""Bursty traffic of chat calls, the same for every policy that is given the same seed."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

#: Two states: rate, and mean seconds of each.
_BUSY, _QUIET = (1.7, 8.0), (0.65, 16.0)
_BATCH_MEAN = 1.5
_BATCH_SPREAD = 0.05
_MAX_TOKENS = ((256, 0.3), (512, 0.3), (1024, 0.25), (2048, 0.15))
_STREAMS = 0.6


@dataclass(frozen=True, slots=True)
class SimCall:
    """One call of a client. Times in seconds."""

    at: float
    #: [0, 1): which instance gets it.
    place: float
    prompt: int
    max_tokens: int
    output: int
    stream: bool
    #: Until the reply's head, and until its end.
    head: float
    end: float
    #: What upstream's limiter counts.
    charge: int


def trace(seed: int, rate: float, parts: Sequence[float], *, burst: float = 1.0) -> list[SimCall]:
    """Calls for consecutive parts of so many seconds.

    In each part `rate` charged tokens a second are offered, as exactly as calls allow.
    """
    rng = random.Random(seed)
    kept: list[SimCall] = []
    begins = 0.0
    for duration in parts:
        # More than needed, thinned to the exact load.
        times = _arrivals(rng, 1.5 * rate / _mean_charge() / _BATCH_MEAN, duration, burst)
        calls = [_call(rng, begins + time) for time in times]
        rng.shuffle(calls)
        wanted = rate * duration
        for call in calls:
            if wanted <= 0:
                break
            wanted -= call.charge
            kept.append(call)
        begins += duration
    return sorted(kept, key=lambda call: call.at)


def _arrivals(rng: random.Random, batches: float, duration: float, burst: float) -> list[float]:
    mean = (_BUSY[0] * _BUSY[1] + _QUIET[0] * _QUIET[1]) / (_BUSY[1] + _QUIET[1])
    times: list[float] = []
    now, busy = 0.0, False
    until = 0.0
    state = _QUIET
    while now < duration:
        if now >= until:
            busy = not busy
            state = _BUSY if busy else _QUIET
            until = now + rng.expovariate(1 / state[1])
        factor = state[0] * (burst if busy else 1.0)
        gap = rng.expovariate(batches * factor / mean)
        if now + gap > until:
            now = until
            continue
        now += gap
        size = 1 + int(math.log(1 - rng.random()) / math.log(1 - 1 / _BATCH_MEAN))
        times += [now + rng.random() * _BATCH_SPREAD for _ in range(size)]
    return sorted(time for time in times if time < duration)


def _call(rng: random.Random, at: float) -> SimCall:
    prompt = int(min(max(rng.lognormvariate(math.log(450), 1), 20), 6000))
    point = rng.random()
    max_tokens = _MAX_TOKENS[-1][0]
    for tokens, share in _MAX_TOKENS:
        point -= share
        if point < 0:
            max_tokens = tokens
            break
    output = max(1, int(rng.betavariate(2, 4) * max_tokens))
    stream = rng.random() < _STREAMS
    end = 0.4 + output * rng.uniform(0.008, 0.016)
    head = rng.uniform(0.25, 0.6) if stream else end
    charge = int(prompt * rng.lognormvariate(0, 0.12)) + max_tokens
    return SimCall(at, rng.random(), prompt, max_tokens, output, stream, head, max(end, head), charge)


@functools.cache
def _mean_charge() -> float:
    rng = random.Random(0)
    sample = [_call(rng, 0.0).charge for _ in range(20_000)]
    return sum(sample) / len(sample)
