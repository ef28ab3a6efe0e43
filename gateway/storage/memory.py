"""A store in this process's memory: where no shared one is configured, and for tests."""

from __future__ import annotations

from bisect import bisect_left, insort

from gateway.storage.store import Cell, StoredRow

#: Rows of one partition and day that the store in memory keeps. Readers want those of the last 70 s only.
MEMORY_ROWS = 2000


class MemoryStore:
    """A store within one process: several instances of the core may share it."""

    shared = False
    offset = 0.0

    def __init__(self) -> None:
        self._days: dict[int, dict[str, _Partition]] = {}
        self._cells: dict[str, Cell] = {}

    async def write(self, row: StoredRow, day: int) -> None:
        """See Store."""
        partitions = self._days.setdefault(day, {})
        for old in [known for known in self._days if known < day - 1]:
            del self._days[old]
        partitions.setdefault(row.partition, _Partition()).put(row)

    async def read(self, partition: str, first: str, day: int) -> list[StoredRow]:
        """See Store."""
        found = self._days.get(day, {}).get(partition)
        return [] if found is None else found.since(first)

    async def load(self, name: str) -> Cell | None:
        """See Store."""
        return self._cells.get(name)

    async def swap(self, name: str, text: str, version: str | None) -> str | None:
        """See Store."""
        cell = self._cells.get(name)
        if version != (None if cell is None else cell.version):
            return None
        new = str(int(version or "0") + 1)
        self._cells[name] = Cell(text, new)
        return new

    async def close(self) -> None:
        """See Store."""


class _Partition:
    """The newest rows of one partition, in the order of their keys."""

    __slots__ = ("_keys", "_rows")

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._rows: dict[str, StoredRow] = {}

    def put(self, row: StoredRow) -> None:
        if row.key not in self._rows:
            insort(self._keys, row.key)
            if len(self._keys) > MEMORY_ROWS:
                self._rows.pop(self._keys.pop(0), None)
        self._rows[row.key] = row

    def since(self, first: str) -> list[StoredRow]:
        return [self._rows[key] for key in self._keys[bisect_left(self._keys, first) :]]
