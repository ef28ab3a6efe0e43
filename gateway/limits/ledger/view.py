"""One instance's view of what all of them used: its own changes, exact, and the others' rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.limits.ledger import rows
from gateway.limits.ledger.others import OthersRows
from gateway.limits.ledger.own import OwnRows
from gateway.limits.ledger.rows import PAGE, PAGES, Contents, Ledgers, Row
from gateway.limits.ledger.window_sums import WindowSums

#: Seconds of a charge's window: a minute and the current second, so that it is never less than the truth.
CHARGE_SPAN = 61
#: Seconds of others' calls in a cap's window.
CAP_SPAN = 60
#: Beginning of the keys of ledgers that Azure's limiter is compared with; all others are caps' and records.
CHARGE = "q:"

#: Seconds for which a cap that comes to its end is watched. A view is no older when the next call comes.
WATCHED = 2.0
#: Ledgers of others' rows that are kept although nothing here asks for them: an instance with a newer
#: configuration, or a client that has not called here yet.
_STRANGERS = 1000
#: Rows in one read from which on a roll-up is cheaper.
ROLLUP_ROWS = 20
#: A roll-up older than this many seconds is not enough.
ROLLUP_FRESH = 1.0
#: A view older than this many seconds is read whole.
_COLD = 5.0
#: Seconds within which rows of the last page may still arrive.
_LATE = 3.0


class View:
    """Ledgers by key, and the rows that make them up."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._rings: dict[str, WindowSums] = {}
        #: Keys that only others' rows have named.
        self._strangers: set[str] = set()
        self._own = OwnRows(instance)
        self._others = OthersRows(instance, self._own, self._apply)
        self._merged_at = -_COLD
        self._last_count = 0
        self._near_full_at = -WATCHED
        #: Whether what changed should be written at once.
        self.flush_now = False
        #: How often others' rows were taken in, and how many instances wrote those that are known.
        self.heard = 0
        self.instances = 1

    def ring(self, key: str) -> WindowSums:
        """The sums under a key: everybody's for a charge, the others' for anything else."""
        self._strangers.discard(key)
        ring = self._rings.get(key)
        return self._new_ring(key) if ring is None else ring

    def _new_ring(self, key: str) -> WindowSums:
        ring = self._rings[key] = WindowSums(CHARGE_SPAN if key.startswith(CHARGE) else CAP_SPAN)
        return ring

    def release(self, key: str) -> None:
        """Nobody here asks for a key any more: it is kept as long as rows name it."""
        if key in self._rings:
            self._strangers.add(key)

    def drop(self, key: str) -> None:
        """Forget a key under which nothing was counted that was not given back."""
        self._strangers.discard(key)
        self._rings.pop(key, None)
        self._own.drop(key)

    def note(self, key: str, second: int, tokens: int, requests: int) -> None:
        """Remember a change of our own for the next row, which others should see soon."""
        self._own.touch()
        self._own.record(key, second, tokens, requests)

    def record(self, key: str, second: int, tokens: int, requests: int) -> None:
        """Remember a change of our own that may wait until there is another reason to write."""
        self._own.record(key, second, tokens, requests)

    def touch(self) -> None:
        """There is something beside the ledgers that others should see soon."""
        self._own.touch()

    def press(self) -> None:
        """Others should see what changed before they send more."""
        self.flush_now = True

    def watch(self, now: float) -> None:
        """A cap comes to its end: what others send of it matters call by call."""
        self._near_full_at = now

    def near_full(self, now: float) -> bool:
        """Whether a cap has come to its end in the last seconds."""
        return 0 <= now - self._near_full_at < WATCHED

    @property
    def dirty(self) -> bool:
        """Whether anything should be written."""
        return self._own.dirty

    def tidy(self, now: float) -> None:
        """Forget what has left every window."""
        oldest = rows.page_of(now) - PAGES
        self._own.tidy(oldest)
        self._others.tidy(oldest)
        for key in [key for key in self._strangers if self._rings[key].over(int(now))]:
            self._strangers.discard(key)
            del self._rings[key]

    # Own rows

    def rows(self, now: float, notes: Mapping[str, Any]) -> list[Row]:
        """The rows to write. What is not confirmed by `written` comes again, with what was added since."""
        self.tidy(now)
        self.flush_now = False
        return self._own.rows(now, notes)

    def written(self, row: Row) -> None:
        """A row is stored."""
        self._own.written(row)

    # Others' rows

    def first_page(self, now: float) -> int:
        """The first page that a refresh must read."""
        page = rows.page_of(now)
        if now - self._merged_at > _COLD:
            return page - PAGES + 1
        return min(page, rows.page_of(self._merged_at - _LATE))

    @property
    def unreadable(self) -> int:
        """Rows so far that could not be read."""
        return self._others.unreadable

    @property
    def wants_rollup(self) -> bool:
        """Whether there are so many rows that their sum should be read instead."""
        return self._last_count > ROLLUP_ROWS

    def merge(self, incoming: Iterable[Row], now: float) -> list[Contents]:
        """Take in rows that were read from `now` on. Returns the contents of those that are news."""
        news: list[Contents] = []
        count = 0
        for row in incoming:
            count += 1
            contents = self._others.add(row, now)
            if contents is not None:
                news.append(contents)
        self._merged_at = max(self._merged_at, now)
        self._last_count = count
        self._hear()
        return news

    def rollup(self, now: float, notes: Mapping[str, Any]) -> str:
        """The sum of everybody's rows, own ones included, as text."""
        oldest = rows.page_of(now) - PAGES
        known = {number: (parts, seqs) for number, parts, seqs in self._others.parts() if number >= oldest}
        for number, seq, ledgers in self._own.latest():
            if number >= oldest:
                parts, seqs = known.setdefault(number, ([], {}))
                seqs[self._instance] = seq
                parts.append((ledgers, 1))
        pages = {
            str(number): [rows.pack(rows.summed(parts), number * PAGE), seqs]
            for number, (parts, seqs) in sorted(known.items())
        }
        return json.dumps({"t": now, "p": pages, **notes}, separators=(",", ":"), allow_nan=False)

    def merge_rollup(self, text: str, now: float) -> Mapping[str, Any] | None:
        """Take in a roll-up. Returns its notes, or None where it is too old or no roll-up."""
        try:
            value = json.loads(text)
            made = float(value.pop("t"))
            pages = {int(number): (part[0], part[1]) for number, part in value.pop("p").items()}
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
        if not -PAGE < now - made <= PAGE * 2:
            return None
        for number, (packed, seqs) in pages.items():
            self._others.rebase(number, packed, seqs, made, now)
        fresh = now - made < ROLLUP_FRESH
        if fresh:
            self._merged_at = max(self._merged_at, min(made, now))
            self._hear()
        return value if fresh and isinstance(value, dict) else None

    def _hear(self) -> None:
        """Others' rows were read."""
        self.heard += 1
        self.instances = len({self._instance} | self._others.instances)

    def _apply(self, ledgers: Ledgers, sign: int, second: int) -> None:
        """Count what others changed, or take it out."""
        for key, flat in ledgers.items():
            ring = self._rings.get(key)
            if ring is None:
                if sign < 0 or len(self._strangers) >= _STRANGERS:
                    continue
                self._strangers.add(key)
                ring = self._new_ring(key)
            ring.advance(second)
            for place in range(0, len(flat), 3):
                ring.add(flat[place], sign * flat[place + 1], sign * flat[place + 2])
