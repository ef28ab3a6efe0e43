"""A modelled table: rows by page, latency, and an outage."""

from __future__ import annotations

import math
import random

from benchmarks.limits.world import World
from gateway.limits.ledger.rows import Row

_SIGMA = 0.7
#: Seconds after which an operation is given up, and how long a breaker stays open after three.
TIMEOUT = 0.06
BREAKER = 5.0
_BEFORE_BREAKER = 3


class Storage:
    """Rows that all instances share."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed * 101 + 3)
        self.rows: dict[int, dict[str, Row]] = {}
        self.rollup: str | None = None
        self.entities = 0

    def latency(self) -> float:
        """Seconds of one operation."""
        return self._random.lognormvariate(math.log(self._world.scenario.storage), _SIGMA)

    def down(self, now: float) -> bool:
        """Whether operations fail now."""
        begins = self._world.begins + 60
        return begins <= now < begins + self._world.scenario.outage

    def count(self, operations: int = 1) -> None:
        """Count operations."""
        if self._world.measured(self._world.now):
            self._world.counts.operations += operations

    def upsert(self, row: Row) -> None:
        """Replace a row."""
        self.rows.setdefault(row.page, {})[row.instance] = row

    def read(self, first: int) -> list[Row]:
        """All rows from a page on."""
        for page in [page for page in self.rows if page < first - 20]:
            del self.rows[page]
        found = [row for page, rows in self.rows.items() if page >= first for row in rows.values()]
        self.entities += len(found)
        return found


class Breaker:
    """Leaves a storage that is down alone, as one instance does."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def open(self, now: float) -> bool:
        """Whether storage is known to be down."""
        return now < self._until

    def ended(self, *, well: bool, now: float) -> None:
        """An operation ended."""
        self._failures = 0 if well else self._failures + 1
        if self._failures >= _BEFORE_BREAKER:
            self._until = now + BREAKER
