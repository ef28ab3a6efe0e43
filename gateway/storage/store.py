"""Where instances meet: the interface of the shared store.

Rows are opaque text here. There are two kinds:
* rows of a day: their owner writes them without condition, all instances read them as a range of keys;
* cells, one for each strict cap: changed by compare-and-swap. They outlive the day, so that a cap does not
  start anew at midnight.
Partitions and keys consist of letters, digits and `._:-`; callers encode all other characters.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec


class StoreFailure(StrEnum):
    """Why an operation failed, in a word that may be shown to an operator."""

    DOWN = "down"
    SLOW = "slow"
    BUSY = "busy"
    FORBIDDEN = "forbidden"
    DELETING = "table being deleted"
    TOO_LARGE = "row too large"
    MISCONFIGURED = "misconfigured"
    FAILED = "failed"


class StoreError(Exception):
    """An operation that failed; whether a write has happened is unknown."""

    def __init__(self, reason: StoreFailure) -> None:
        super().__init__(str(reason))
        self.reason = reason


class StoredRow(msgspec.Struct, frozen=True):
    """One row of a day: its partition and its key, which sorts by time, and what it holds."""

    partition: str
    key: str
    #: None: the row was read and holds no text that can be read.
    text: str | None


class Cell(msgspec.Struct, frozen=True):
    """What a cell holds, and the version that a change of it must name."""

    #: None: the cell was read and holds no text that can be read.
    text: str | None
    version: str


class Store(Protocol):
    """The operations of a store. `day` counts UTC days since 1970. All raise StoreError."""

    @property
    def shared(self) -> bool:
        """Whether other processes use it, too."""

    @property
    def offset(self) -> float:
        """Seconds by which the store's clock is ahead of ours."""

    async def write(self, row: StoredRow, day: int) -> None:
        """Put `row` in place of whatever had its key."""

    async def read(self, partition: str, first: str, day: int) -> list[StoredRow]:
        """The rows of a partition from the key `first` on, in the order of their keys."""

    async def load(self, name: str) -> Cell | None:
        """A cell; None where there is none yet."""

    async def swap(self, name: str, text: str, version: str | None) -> str | None:
        """Change the cell if it still has `version` (None: if there is none).

        Returns its new version, or None where another was faster.
        """

    async def close(self) -> None:
        """Release connections."""
