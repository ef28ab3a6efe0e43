"""The one row of a strict cap, which instances change by compare-and-swap: its text, and what fits in it.

Seconds leave the window a whole second late, so that no 60 s ever hold more than the cap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.limits.signals import Kind

_SPAN = 61
_LARGEST = 1 << 53


@dataclass(frozen=True, slots=True)
class StrictNeed:
    """A call that must find room in the row `key` before it is sent."""

    key: str
    rpm: int | None
    tpm: int | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Wait:
    """What is full, and the seconds until a call would fit; `kind` of None where that is not known."""

    seconds: float
    kind: Kind | None = None


def short(name: str) -> str:
    """A name as part of a row's key: of safe characters whatever it is, and no secret where it is one."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]


_Buckets = dict[int, list[int]]


def reserve_all(text: str | None, needs: Sequence[StrictNeed], now: float) -> tuple[str, list[Wait | None]]:
    """The row's new text, and for each of the needs None where it has its place, else what it waits for.

    First come, first served; a call that does not fit does not hold up a smaller one. `text` of None, or
    one that cannot be read, is an empty row.
    """
    buckets = _read(text, now)
    waits: list[Wait | None] = []
    for need in needs:
        tokens = need.tokens if need.tpm is None else min(need.tokens, need.tpm)
        wait = _wait(buckets, need, tokens, now)
        if wait is None:
            cell = buckets.setdefault(int(now), [0, 0])
            cell[0] += tokens
            cell[1] += 1
        waits.append(wait)
    return _write(buckets), waits


def settle_all(text: str | None, corrections: Iterable[tuple[float, int, int]], now: float) -> str:
    """The row's text with corrections: time of the reservation, tokens and requests to add."""
    buckets = _read(text, now)
    for at, tokens, requests in corrections:
        cell = buckets.get(int(at))
        if cell is not None:
            cell[0] = max(0, cell[0] + tokens)
            cell[1] = max(0, cell[1] + requests)
    return _write(buckets)


def _wait(buckets: _Buckets, need: StrictNeed, tokens: int, now: float) -> Wait | None:
    excess_tokens = 0
    if need.tpm is not None:
        excess_tokens = sum(cell[0] for cell in buckets.values()) + tokens - need.tpm
    excess_requests = 0
    if need.rpm is not None:
        excess_requests = sum(cell[1] for cell in buckets.values()) + 1 - need.rpm
    if excess_tokens <= 0 and excess_requests <= 0:
        return None
    kind: Kind = "requests" if excess_requests > 0 else "tokens"
    for second in sorted(buckets):
        excess_tokens -= buckets[second][0]
        excess_requests -= buckets[second][1]
        if excess_tokens <= 0 and excess_requests <= 0:
            return Wait(max(second + _SPAN - now, 0.001), kind)
    return Wait(float(_SPAN), kind)


def _read(text: str | None, now: float) -> _Buckets:
    """The seconds that still count. Another instance's clock may run ahead: its seconds count, too."""
    if text is None:
        return {}
    try:
        flat = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(flat, list) or len(flat) % 3:
        return {}
    if any(type(number) is not int or not 0 <= number < _LARGEST for number in flat):
        return {}
    buckets: _Buckets = {}
    for place in range(0, len(flat), 3):
        if flat[place] + _SPAN > now:
            buckets[flat[place]] = [flat[place + 1], flat[place + 2]]
    return buckets


def _write(buckets: _Buckets) -> str:
    flat = [number for second in sorted(buckets) for number in (second, *buckets[second])]
    return json.dumps(flat, separators=(",", ":"))
