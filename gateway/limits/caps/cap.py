"""Caps: what an operator allows per minute. A gate, unlike a quota.

Counted are the own calls of the last 60 s to the fraction of a second, and the others' by the second. A
call reserves its estimate (never more than the cap, so that an empty window admits any one call) and settles
to what it used. A call that was sent keeps its place among the requests whatever becomes of it.

What a strict cap allows is decided in its row (`gateway.limits.strict`), which keeps the others' calls, too,
for 60 s from their very time.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator
from heapq import merge

import msgspec

from gateway.limits.ledger.share import Share
from gateway.limits.ledger.view import View
from gateway.limits.ledger.window_sums import WindowSums
from gateway.limits.tokens.signals import Kind, Wait

WINDOW = 60.0
#: The share of a limit that is left when its end is near.
_END = 0.25
#: Seconds that a call may lie ahead: one further ahead was counted by a clock that was wrong.
_AHEAD = 5.0


class CapEntry(msgspec.Struct, eq=False):
    """One call of ours in a cap's window."""

    at: float
    tokens: int
    requests: int = 1
    #: False once it has left the window.
    counted: bool = True


class Cap:
    """One limit: requests and tokens per minute under one key."""

    __slots__ = (
        "_entries",
        "_key",
        "_requests",
        "_ring",
        "_spending",
        "_tokens",
        "_view",
        "rpm",
        "strict",
        "tpm",
    )

    def __init__(self, key: str, rpm: int | None, tpm: int | None, view: View, *, strict: bool) -> None:
        """`rpm` and `tpm` of None limit nothing."""
        self.rpm = rpm
        self.tpm = tpm
        self.strict = strict
        self._key = key
        self._view = view
        self._ring: WindowSums = view.ring(key)
        self._spending = Share(view)
        self._entries: deque[CapEntry] = deque()
        self._tokens = 0
        self._requests = 0

    def change(self, rpm: int | None, tpm: int | None, *, strict: bool) -> None:
        """Allow another number from now on. What was used stays counted."""
        self.rpm, self.tpm, self.strict = rpm, tpm, strict

    @property
    def key(self) -> str:
        """The ledger's key."""
        return self._key

    def beyond_share(self, now: float) -> bool:
        """Whether this instance must hear of the others before it sends more. A strict cap is exact."""
        if self.strict:
            return False
        if self._view.instances == 1:
            return self._spending.beyond(self.rpm, self.tpm)
        return self._spending.may_fill(*self._left(*self.used(now)))

    def clipped(self, tokens: int) -> int:
        """What a call of `tokens` reserves."""
        return tokens if self.tpm is None else min(tokens, self.tpm)

    def used(self, now: float) -> tuple[int, int]:
        """Tokens and requests of the window."""
        entries = self._entries
        # Time has left behind those in front; those at the back lie ahead only after a clock was set back.
        while entries and (entries[0].at <= now - WINDOW or entries[-1].at > now + _AHEAD):
            gone = entries.pop() if entries[-1].at > now + _AHEAD else entries.popleft()
            gone.counted = False
            self._tokens -= gone.tokens
            self._requests -= gone.requests
        ring = self._ring
        ring.advance(int(now))
        return self._tokens + max(0, ring.tokens), self._requests + max(0, ring.requests)

    def _left(self, tokens: int, requests: int) -> tuple[int | None, int | None]:
        """Requests and tokens that are left when so many are used."""
        return (
            None if self.rpm is None else self.rpm - requests,
            None if self.tpm is None else self.tpm - tokens,
        )

    def room(self, now: float) -> float:
        """The share of the limit that is free: of tokens or requests, whichever is less. May be negative."""
        return self._share(*self.used(now))

    def _share(self, tokens: int, requests: int) -> float:
        free = 1.0 if self.tpm is None else 1 - tokens / self.tpm
        return free if self.rpm is None else min(free, 1 - requests / self.rpm)

    def full(self, tokens: int, now: float) -> Kind | None:
        """Which limit a call of `tokens` would break, if any."""
        used_tokens, used_requests = self.used(now)
        if self.rpm is not None and used_requests + 1 > self.rpm:
            return "requests"
        if self.tpm is not None and used_tokens + self.clipped(tokens) > self.tpm:
            return "tokens"
        return None

    def wait(self, tokens: int, now: float) -> Wait:
        """How long until a call of `tokens` would fit, if nothing else came: 0 s when it does."""
        used_tokens, used_requests = self.used(now)
        excess_tokens = 0 if self.tpm is None else used_tokens + self.clipped(tokens) - self.tpm
        excess_requests = 0 if self.rpm is None else used_requests + 1 - self.rpm
        kind: Kind | None = "requests" if excess_requests > 0 else "tokens" if excess_tokens > 0 else None
        leaves = now
        leaving = merge(self._own(), self._others())
        while excess_tokens > 0 or excess_requests > 0:
            leaves, gone_tokens, gone_requests = next(leaving, (now + WINDOW, excess_tokens, excess_requests))
            excess_tokens -= gone_tokens
            excess_requests -= gone_requests
        return Wait(max(0.0, leaves - now), kind)

    def _own(self) -> Iterator[tuple[float, int, int]]:
        for entry in self._entries:
            yield entry.at + WINDOW, entry.tokens, entry.requests

    def _others(self) -> Iterator[tuple[float, int, int]]:
        # In a strict cap's row a call of the end of a second stays for almost a second more than known here.
        window = WINDOW + 1 if self.strict else WINDOW
        for second in self._ring.seconds():
            tokens, requests = self._ring.at(second)
            if tokens or requests:
                yield second + window, tokens, requests

    def reserve(self, tokens: int, now: float) -> CapEntry:
        """Count a call that is about to be sent."""
        entry = CapEntry(now, self.clipped(tokens))
        self._entries.append(entry)
        self._tokens += entry.tokens
        self._requests += 1
        self._spending.add(entry.tokens)
        self._view.note(self._key, int(now), entry.tokens, 1)
        if not self.strict:
            used = self.used(now)
            if self._share(*used) < _END:
                self._view.watch(now)
            if self._spending.should_tell(*self._left(*used)):
                self._view.press()
        return entry

    def granted(self, entry: CapEntry, at: float) -> None:
        """The row of a strict cap counts the call at `at`, so here it is counted then, too."""
        if not entry.counted:
            return
        if int(at) != int(entry.at):
            self._view.note(self._key, int(entry.at), -entry.tokens, -entry.requests)
            self._view.note(self._key, int(at), entry.tokens, entry.requests)
        self._entries.remove(entry)
        entry.at = at
        insort(self._entries, entry, key=_time)

    def settle(self, entry: CapEntry, tokens: int) -> None:
        """The call used `tokens`. They may be more than it reserved."""
        self._change(entry, tokens - entry.tokens, 0)

    def withdraw(self, entry: CapEntry) -> None:
        """The call was never sent."""
        self._change(entry, -entry.tokens, -entry.requests)

    def _change(self, entry: CapEntry, tokens: int, requests: int) -> None:
        if not tokens and not requests:
            return
        entry.tokens += tokens
        entry.requests += requests
        if entry.counted:
            self._tokens += tokens
            self._requests += requests
        self._view.note(self._key, int(entry.at), tokens, requests)


def _time(entry: CapEntry) -> float:
    return entry.at
