"""What the others changed, by their rows, and by roll-ups that stand for rows until newer ones are known.

Per (page, instance) the highest sequence number wins, so rows may come in any order, late or twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.limits.ledger import rows
from gateway.limits.ledger.own import OwnRows
from gateway.limits.ledger.rows import PAGE, PAGES, Contents, Ledgers, Row

#: Pages in the future that a clock may be wrong by.
_AHEAD = 3
#: Most instances that one page of a roll-up names, and the highest number of a row's version.
_INSTANCES_LIMIT = 10_000
_SEQ_LIMIT = 10**15
_INSTANCE_LENGTH = 16

#: Ledgers, and whether they are counted or taken out (1, -1).
Part = tuple[Ledgers, int]


class _OthersPage(msgspec.Struct):
    rows: dict[str, tuple[int, Contents]] = msgspec.field(default_factory=dict)
    #: A roll-up's part for this page, and when it was made.
    base: Ledgers | None = None
    base_seqs: Mapping[str, int] = msgspec.field(default_factory=dict)
    base_made: float = -1.0
    #: What of it is counted now.
    applied: dict[str, Part] = msgspec.field(default_factory=dict)


class OthersRows:
    """The others' pages, and what of them is counted."""

    def __init__(self, instance: str, own: OwnRows, apply: Callable[[Ledgers, int, int], None]) -> None:
        """`apply(ledgers, sign, second)` counts ledgers, or takes them out, at a present second."""
        self._instance = instance
        self._own = own
        self._apply = apply
        self._pages: dict[int, _OthersPage] = {}
        #: Rows so far whose contents could not be read.
        self.unreadable = 0

    def tidy(self, oldest: int) -> None:
        """Forget all before a page."""
        for number in [number for number in self._pages if number < oldest]:
            del self._pages[number]

    @property
    def instances(self) -> set[str]:
        """Who wrote what is known."""
        known: set[str] = set()
        for page in self._pages.values():
            known.update(page.rows, page.base_seqs)
        return known

    def add(self, row: Row, now: float) -> Contents | None:
        """Count a row in place of older versions of it. Returns what it holds if that is news."""
        if row.instance == self._instance or not _present(row.page, now):
            return None
        page = self._pages.get(row.page)
        if page is None:
            page = self._pages[row.page] = _OthersPage()
        known = page.rows.get(row.instance)
        if known is not None and known[0] >= row.seq:
            return None
        try:
            contents = rows.decode(row.page, row.text)
        except ValueError:
            self.unreadable += 1
            return None
        page.rows[row.instance] = (row.seq, contents)
        if page.base is not None:
            self._recount(row.page, page, now)
            return contents
        if known is not None:
            self._apply(known[1].ledgers, -1, int(now))
        self._apply(contents.ledgers, 1, int(now))
        page.applied[row.instance] = (contents.ledgers, 1)
        return contents

    def parts(self) -> Iterator[tuple[int, list[Part], dict[str, int]]]:
        """For each page what of it is counted, and the version that has of each instance's row."""
        for number, page in self._pages.items():
            seqs = {instance: seq for instance, (seq, _) in page.rows.items()}
            if "" in page.applied:
                seqs |= page.base_seqs
            seqs.pop(self._instance, None)
            yield number, list(page.applied.values()), seqs

    def rebase(self, number: int, packed: Any, seqs: Any, made: float, now: float) -> None:
        """Count a page as a roll-up `made` at some time has it, where that knows more than the rows."""
        if not _present(number, now):
            return
        if not _is_seqs(seqs):
            return
        page = self._pages.setdefault(number, _OthersPage())
        if page.base_made >= made:
            return
        if page.base_seqs != seqs:
            try:
                page.base = rows.unpack(packed, number * PAGE)
            except ValueError:
                return
            page.base_seqs = seqs
            self._recount(number, page, now)
        page.base_made = made

    def _recount(self, number: int, page: _OthersPage, now: float) -> None:
        """Count the roll-up or the rows of a page, whichever knows more."""
        counted = {instance: (contents.ledgers, 1) for instance, (_, contents) in page.rows.items()}
        base = page.base
        if base is not None and not self._covered(page):
            ours = page.base_seqs.get(self._instance)
            # Our own part must be taken out. Where that version of ours is forgotten: better the rows alone.
            ledgers = None if ours is None else self._own.version(number, ours)
            if ours is None or ledgers is not None:
                counted = {name: each for name, each in counted.items() if name not in page.base_seqs}
                counted[""] = (base, 1)
            if ledgers is not None:
                counted["-"] = (ledgers, -1)
        self._count(page, counted, now)

    def _covered(self, page: _OthersPage) -> bool:
        """Whether the rows of a page are at least as new as all that its roll-up contains."""
        known = page.rows
        for instance, seq in page.base_seqs.items():
            if instance != self._instance and (instance not in known or known[instance][0] < seq):
                return False
        return True

    def _count(self, page: _OthersPage, counted: dict[str, Part], now: float) -> None:
        """Make `counted` what is counted of a page."""
        for name, (ledgers, sign) in page.applied.items():
            if name not in counted or counted[name][0] is not ledgers:
                self._apply(ledgers, -sign, int(now))
        for name, (ledgers, sign) in counted.items():
            if name not in page.applied or page.applied[name][0] is not ledgers:
                self._apply(ledgers, sign, int(now))
        page.applied = counted


def _is_seqs(value: Any) -> bool:
    """Whether a value is what a roll-up says of the versions that it contains: instance to number."""
    return (
        isinstance(value, dict)
        and len(value) <= _INSTANCES_LIMIT
        and all(len(each) <= _INSTANCE_LENGTH for each in value)
        and all(type(seq) is int and 0 <= seq < _SEQ_LIMIT for seq in value.values())
    )


def _present(page: int, now: float) -> bool:
    """Whether a page may concern the last minute, by a clock that may be wrong."""
    return rows.page_of(now) - PAGES <= page <= rows.page_of(now) + _AHEAD
