"""One instance's view of what all of them used: its own changes, exact, and the others' rows.

Own rows are never read back: memory is ahead of them. Per (page, instance) the highest sequence number
wins, so rows may come in any order, late or twice. A roll-up stands for the rows of a page until newer
ones are known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.limits import rows
from gateway.limits.ring import Ring
from gateway.limits.rows import PAGE, PAGES, Changes, Contents, Ledgers, Row

#: Seconds of a charge's window: a minute and the current second, so that it is never less than the truth.
CHARGE_SPAN = 61
#: Seconds of others' calls in a cap's window.
CAP_SPAN = 60
#: Beginning of the keys of ledgers that Azure's limiter is compared with; all others are caps' and records.
CHARGE = "q:"

#: Seconds for which a cap that comes to its end is watched. A view is no older when the next call comes.
WATCHED = 2.0
#: Rows in one read from which on a roll-up is cheaper.
ROLLUP_ROWS = 20
#: A roll-up older than this many seconds is not enough.
ROLLUP_FRESH = 1.0
#: A view older than this many seconds is read whole.
_COLD = 5.0
#: Seconds within which rows of the last page may still arrive.
_LATE = 3.0
#: Pages in the future that a clock may be wrong by.
_AHEAD = 3


@dataclass(slots=True)
class _Own:
    """One page of this instance."""

    changes: Changes = field(default_factory=dict)
    seq: int = 0
    confirmed: int = 0
    #: Ledgers of each version, for roll-ups that contain one.
    versions: dict[int, Ledgers] = field(default_factory=dict)
    text: str = ""


@dataclass(slots=True)
class _Page:
    """One page of the others."""

    rows: dict[str, tuple[int, Contents]] = field(default_factory=dict)
    #: A roll-up's part for this page, and when it was made.
    base: Ledgers | None = None
    base_seqs: Mapping[str, int] = field(default_factory=dict)
    base_made: float = -1.0
    #: What of it is counted now.
    applied: dict[str, tuple[Ledgers, int]] = field(default_factory=dict)


class View:
    """Ledgers by key, and the rows that make them up."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._rings: dict[str, Ring] = {}
        self._fresh: Changes = {}
        self._touched = False
        self._own: dict[int, _Own] = {}
        self._seq = 0
        self._pages: dict[int, _Page] = {}
        self._merged_at = -_COLD
        self._last_count = 0
        #: How often others' rows were taken in, and how many instances wrote those that are known.
        self.heard = 0
        self.instances = 1
        self._watched_at = -WATCHED

    def ring(self, key: str) -> Ring:
        """The sums under a key: everybody's for a charge, the others' for anything else."""
        ring = self._rings.get(key)
        if ring is None:
            ring = self._rings[key] = Ring(CHARGE_SPAN if key.startswith(CHARGE) else CAP_SPAN)
        return ring

    def note(self, key: str, second: int, tokens: int, requests: int) -> None:
        """Remember a change of our own for the next row, which others should see soon."""
        self._touched = True
        self.record(key, second, tokens, requests)

    def record(self, key: str, second: int, tokens: int, requests: int) -> None:
        """Remember a change of our own that may wait until there is another reason to write."""
        series = self._fresh.get(key)
        if series is None:
            series = self._fresh[key] = {}
        cell = series.get(second)
        if cell is None:
            series[second] = [tokens, requests]
        else:
            cell[0] += tokens
            cell[1] += requests

    def touch(self) -> None:
        """There is something beside the ledgers that others should see soon."""
        self._touched = True

    def watch(self, now: float) -> None:
        """A cap comes to its end: what others send of it matters call by call."""
        self._watched_at = now

    def watched(self, now: float) -> bool:
        """Whether a cap has come to its end in the last seconds."""
        return 0 <= now - self._watched_at < WATCHED

    @property
    def dirty(self) -> bool:
        """Whether anything should be written."""
        return self._touched or any(own.confirmed < own.seq for own in self._own.values())

    def tidy(self, now: float) -> None:
        """Forget what has left every window."""
        oldest = rows.page_of(now) - PAGES
        for pages in (self._own, self._pages):
            for page in [page for page in pages if page < oldest]:
                del pages[page]
        for key, series in list(self._fresh.items()):
            for second in [second for second in series if second < oldest * PAGE]:
                del series[second]
            if not series:
                del self._fresh[key]

    # Own rows

    def rows(self, now: float, notes: Mapping[str, Any]) -> list[Row]:
        """The rows to write. What is not confirmed by `written` comes again, with what was added since."""
        self.tidy(now)
        page = rows.page_of(now)
        if self._touched:
            own = self._own.setdefault(page, _Own())
            for key, series in self._fresh.items():
                total = own.changes.setdefault(key, {})
                for second, (tokens, requests) in series.items():
                    cell = total.setdefault(second, [0, 0])
                    cell[0] += tokens
                    cell[1] += requests
            self._fresh = {}
            self._touched = False
            self._seq += 1
            own.seq = self._seq
            own.text = rows.encode(page, own.seq, own.changes, notes)
            own.versions[own.seq] = rows.decode(page, own.text).ledgers
        return [
            Row(page, self._instance, own.seq, own.text)
            for page, own in self._own.items()
            if own.confirmed < own.seq
        ]

    def written(self, row: Row) -> None:
        """A row is stored."""
        own = self._own.get(row.page)
        if own is not None:
            own.confirmed = max(own.confirmed, row.seq)

    # Others' rows

    def first_page(self, now: float) -> int:
        """The first page that a refresh must read."""
        page = rows.page_of(now)
        if now - self._merged_at > _COLD:
            return page - PAGES + 1
        return min(page, rows.page_of(self._merged_at - _LATE))

    @property
    def wants_rollup(self) -> bool:
        """Whether there are so many rows that their sum should be read instead."""
        return self._last_count > ROLLUP_ROWS

    def merge(self, incoming: Iterable[Row], now: float) -> list[Contents]:
        """Take in rows that were read from `now` on. Returns the contents of those that are news."""
        news: list[Contents] = []
        page_now = rows.page_of(now)
        count = 0
        for row in incoming:
            count += 1
            if row.instance == self._instance or not page_now - PAGES <= row.page <= page_now + _AHEAD:
                continue
            page = self._pages.get(row.page)
            if page is None:
                page = self._pages[row.page] = _Page()
            known = page.rows.get(row.instance)
            if known is not None and known[0] >= row.seq:
                continue
            try:
                contents = rows.decode(row.page, row.text)
            except ValueError:
                continue
            page.rows[row.instance] = (row.seq, contents)
            news.append(contents)
            if page.base is not None:
                self._recount(row.page, page, now)
                continue
            if known is not None:
                self._apply(known[1].ledgers, -1, int(now))
            self._apply(contents.ledgers, 1, int(now))
            page.applied[row.instance] = (contents.ledgers, 1)
        self._merged_at = max(self._merged_at, now)
        self._last_count = count
        self._hear()
        return news

    def rollup(self, now: float, notes: Mapping[str, Any]) -> str:
        """The sum of everybody's rows, own ones included, as text."""
        pages: dict[str, Any] = {}
        oldest = rows.page_of(now) - PAGES
        for number in sorted({*self._pages, *self._own}):
            if number < oldest:
                continue
            page = self._pages.get(number, _Page())
            parts = list(page.applied.values())
            seqs = {instance: seq for instance, (seq, _) in page.rows.items()}
            if "" in page.applied:
                seqs = {**seqs, **page.base_seqs}
            own = self._own.get(number)
            seqs.pop(self._instance, None)
            if own is not None and own.seq:
                parts.append((own.versions[own.seq], 1))
                seqs[self._instance] = own.seq
            pages[str(number)] = [rows.pack(rows.summed(parts), number * PAGE), seqs]
        return json.dumps({"t": now, "p": pages, **notes}, separators=(",", ":"), allow_nan=False)

    def merge_rollup(self, text: str, now: float) -> Mapping[str, Any] | None:
        """Take in a roll-up. Returns its notes, or None where it is too old or no roll-up."""
        try:
            value = json.loads(text)
            made = float(value.pop("t"))
            pages = {int(number): (part[0], part[1]) for number, part in value.pop("p").items()}
        except (ValueError, LookupError, TypeError, AttributeError):
            return None
        page_now = rows.page_of(now)
        if not -PAGE < now - made <= PAGE * 2:
            return None
        for number, (packed, seqs) in pages.items():
            if page_now - PAGES <= number <= page_now + _AHEAD:
                self._rebase(number, packed, seqs, made, now)
        fresh = now - made < ROLLUP_FRESH
        if fresh:
            self._merged_at = max(self._merged_at, min(made, now))
            self._hear()
        return value if fresh and isinstance(value, dict) else None

    def _hear(self) -> None:
        """Others' rows were read."""
        known = {self._instance}
        for page in self._pages.values():
            known.update(page.rows, page.base_seqs)
        self.heard += 1
        self.instances = len(known)

    def _rebase(self, number: int, packed: Any, seqs: Any, made: float, now: float) -> None:
        """Take a page of a roll-up in."""
        page = self._pages.setdefault(number, _Page())
        if page.base_made >= made or not isinstance(seqs, dict):
            return
        if page.base_seqs != seqs:
            try:
                page.base = rows.unpack(packed, number * PAGE)
            except ValueError:
                return
            page.base_seqs = seqs
            self._recount(number, page, now)
        page.base_made = made

    def _recount(self, number: int, page: _Page, now: float) -> None:
        """Count the roll-up or the rows of a page, whichever knows more."""
        counted = {instance: (contents.ledgers, 1) for instance, (_, contents) in page.rows.items()}
        base = page.base
        if base is not None and not self._covered(page):
            counted = {name: each for name, each in counted.items() if name not in page.base_seqs}
            ours = page.base_seqs.get(self._instance)
            own = self._own.get(number)
            if ours is None:
                counted[""] = (base, 1)
            elif own is not None and ours in own.versions:
                counted[""] = (base, 1)
                counted["-"] = (own.versions[ours], -1)
            else:
                # A version of ours that is not remembered cannot be taken out: better the rows alone.
                counted = {instance: (contents.ledgers, 1) for instance, (_, contents) in page.rows.items()}
        self._count(page, counted, now)

    def _covered(self, page: _Page) -> bool:
        """Whether the rows of a page are at least as new as all that its roll-up contains."""
        known = page.rows
        for instance, seq in page.base_seqs.items():
            if instance != self._instance and (instance not in known or known[instance][0] < seq):
                return False
        return True

    def _count(self, page: _Page, counted: dict[str, tuple[Ledgers, int]], now: float) -> None:
        """Make `counted` what is counted of a page."""
        for name, (ledgers, sign) in page.applied.items():
            if name not in counted or counted[name][0] is not ledgers:
                self._apply(ledgers, -sign, int(now))
        for name, (ledgers, sign) in counted.items():
            if name not in page.applied or page.applied[name][0] is not ledgers:
                self._apply(ledgers, sign, int(now))
        page.applied = counted

    def _apply(self, ledgers: Ledgers, sign: int, second: int) -> None:
        for key, flat in ledgers.items():
            ring = self.ring(key)
            ring.advance(second)
            for place in range(0, len(flat), 3):
                ring.add(flat[place], sign * flat[place + 1], sign * flat[place + 2])
