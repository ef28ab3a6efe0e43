"""The one row of a strict cap, which instances change by compare-and-swap: its text, and what fits in it.

Calls are counted by ticks of 10 ms, and each by the end of its tick, so that it leaves the window a tick late
at most and no 60 s ever hold more than the cap. A row of very many ticks counts the older ones by a tenth of
a second, or by the second.

The text is a list of whole numbers: the first tick, then for each tick that counts its distance from the
first, its tokens and its requests.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence

import msgspec

from gateway.limits.tokens.signals import Kind, Wait

#: Ticks in a second, and ticks for which a call counts.
_TICKS = 100
_SPAN = 60 * _TICKS
#: Buckets in a row at most, so that its text stays below 32 KB, and the newest, which are never merged.
_MOST = 1000
_KEPT = 300
#: Ticks that a bucket may stand for.
_WIDTHS = (1, 10, 100)
#: Seconds by which a call may leave later than a client was told: a tick, or a merge by tenths of a second.
LATE = 0.1
#: Longest text of a row, in characters: twice what `_write` makes. Most tokens or requests of a bucket.
_TEXT_LIMIT = 65_536
_COUNT_LIMIT = 10**12


class StrictNeed(msgspec.Struct, frozen=True):
    """A call that must find room in the row `key` before it is sent."""

    key: str
    rpm: int | None
    tpm: int | None
    tokens: int


def short(name: str) -> str:
    """A name as part of a row's key: of safe characters whatever it is, and no secret where it is one."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]


#: Tokens and requests by tick.
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
            cell = buckets.setdefault(_tick(now), [0, 0])
            cell[0] += tokens
            cell[1] += 1
        waits.append(wait)
    return _write(buckets), waits


def settle_all(text: str | None, corrections: Iterable[tuple[float, int, int]], now: float) -> str:
    """The row's text with corrections: time of the reservation, tokens and requests to add."""
    buckets = _read(text, now)
    for at, tokens, requests in corrections:
        cell = _cell(buckets, at, now)
        if cell is not None:
            cell[0] = max(0, cell[0] + tokens)
            cell[1] = max(0, cell[1] + requests)
    return _write(buckets)


def _tick(at: float) -> int:
    """The end of the tick that a call counts in."""
    return math.ceil(at * _TICKS)


def _counts(tick: int, now: float) -> bool:
    # More than a minute ahead: a clock was wrong, and the row must not stay full until that hour comes.
    return -_SPAN < tick - now * _TICKS < _SPAN


def _cell(buckets: _Buckets, at: float, now: float) -> list[int] | None:
    """The bucket of a call of `at`, merged or not; None where it no longer counts."""
    tick = _tick(at)
    if not _counts(tick, now):
        # What a merge of others left there is not its own.
        return None
    return next((buckets[key] for width in _WIDTHS if (key := _ceil(tick, width)) in buckets), None)


def _ceil(tick: int, width: int) -> int:
    return -(-tick // width) * width


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
    for tick in sorted(buckets):
        excess_tokens -= buckets[tick][0]
        excess_requests -= buckets[tick][1]
        if excess_tokens <= 0 and excess_requests <= 0:
            return Wait(max((tick + _SPAN) / _TICKS - now, 0.001), kind)
    return Wait(_SPAN / _TICKS, kind)


def _read(text: str | None, now: float) -> _Buckets:
    """The ticks that still count. Another instance's clock may run ahead: its ticks count, too."""
    if text is None or len(text) > _TEXT_LIMIT:
        return {}
    try:
        flat = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(flat, list) or len(flat) % 3 != 1:
        return {}
    if any(type(number) is not int or not 0 <= number < _COUNT_LIMIT for number in flat):
        return {}
    first = flat[0]
    buckets: _Buckets = {}
    for place in range(1, len(flat), 3):
        tick = first + flat[place]
        if _counts(tick, now):
            buckets[tick] = [flat[place + 1], flat[place + 2]]
    return buckets


def _write(buckets: _Buckets) -> str:
    for width in _WIDTHS[1:]:
        if len(buckets) > _MOST:
            buckets = _merged(buckets, width)
    first = min(buckets, default=0)
    flat = [first]
    for tick in sorted(buckets):
        flat += (tick - first, *buckets[tick])
    return json.dumps(flat, separators=(",", ":"))


def _merged(buckets: _Buckets, width: int) -> _Buckets:
    """All but the newest by `width` ticks, rounded up: nothing leaves before its time."""
    ticks = sorted(buckets)
    merged = {tick: buckets[tick] for tick in ticks[-_KEPT:]}
    for tick in ticks[:-_KEPT]:
        cell = merged.setdefault(_ceil(tick, width), [0, 0])
        cell[0] += buckets[tick][0]
        cell[1] += buckets[tick][1]
    return merged
