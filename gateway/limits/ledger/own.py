"""What this instance changed, as rows for the others. Memory is ahead of them: they are never read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.limits.ledger import rows
from gateway.limits.ledger.rows import PAGE, Changes, Ledgers, Row


class _OwnPage(msgspec.Struct):
    changes: Changes = msgspec.field(default_factory=dict)
    seq: int = 0
    confirmed: int = 0
    #: Ledgers of each version, for roll-ups that contain one.
    versions: dict[int, Ledgers] = msgspec.field(default_factory=dict)
    text: str = ""


class OwnRows:
    """The pages of one instance: changed, written, and confirmed."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._fresh: Changes = {}
        self._touched = False
        self._pages: dict[int, _OwnPage] = {}
        self._seq = 0

    def record(self, key: str, second: int, tokens: int, requests: int) -> None:
        """Remember a change that may wait until there is another reason to write."""
        series = self._fresh.get(key)
        if series is None:
            series = self._fresh[key] = {}
        cell = series.get(second)
        if cell is None:
            series[second] = [tokens, requests]
        else:
            cell[0] += tokens
            cell[1] += requests

    def drop(self, key: str) -> None:
        """Forget a key whose changes come to nothing."""
        self._fresh.pop(key, None)
        for page in self._pages.values():
            if page.changes.pop(key, None) is not None:
                self._touched = True

    def touch(self) -> None:
        """There is something that others should see soon."""
        self._touched = True

    @property
    def dirty(self) -> bool:
        """Whether anything should be written."""
        return self._touched or any(page.confirmed < page.seq for page in self._pages.values())

    def tidy(self, oldest: int) -> None:
        """Forget all before a page."""
        for number in [number for number in self._pages if number < oldest]:
            del self._pages[number]
        for key, series in list(self._fresh.items()):
            for second in [second for second in series if second < oldest * PAGE]:
                del series[second]
            if not series:
                del self._fresh[key]

    def rows(self, now: float, notes: Mapping[str, Any]) -> list[Row]:
        """The rows to write. What is not confirmed by `written` comes again, with what was added since."""
        number = rows.page_of(now)
        if self._touched:
            page = self._pages.setdefault(number, _OwnPage())
            for key, series in self._fresh.items():
                total = page.changes.setdefault(key, {})
                for second, (tokens, requests) in series.items():
                    cell = total.setdefault(second, [0, 0])
                    cell[0] += tokens
                    cell[1] += requests
            self._fresh = {}
            self._touched = False
            self._seq += 1
            page.seq = self._seq
            page.text = rows.encode(number, page.seq, page.changes, notes)
            page.versions[page.seq] = rows.decode(number, page.text).ledgers
        return [
            Row(number, self._instance, page.seq, page.text)
            for number, page in self._pages.items()
            if page.confirmed < page.seq
        ]

    def written(self, row: Row) -> None:
        """A row is stored."""
        page = self._pages.get(row.page)
        if page is not None:
            page.confirmed = max(page.confirmed, row.seq)

    def latest(self) -> Iterator[tuple[int, int, Ledgers]]:
        """Each page with its last version and what is in it."""
        for number, page in self._pages.items():
            yield number, page.seq, page.versions[page.seq]

    def version(self, number: int, seq: int) -> Ledgers | None:
        """What was in a page at a version, as long as that is remembered."""
        page = self._pages.get(number)
        return None if page is None else page.versions.get(seq)
