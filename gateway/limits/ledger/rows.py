"""The shared rows: what one instance changed within ten seconds, as text.

A row holds *changes*: tokens and requests added to seconds, or taken back from them. The seconds may lie
before the row's own ten, so a row is never written again once its page is over and written. The sum of
all rows is the truth, in whatever order they are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

#: Seconds of one page.
PAGE = 10
#: Pages that hold a whole window of 61 s wherever the present page began, and one for clocks that differ.
PAGES = 8

#: Seconds that a change may lie before its row's page.
_REACH = 80
#: Most tokens and requests of one second in one row: 10,000 calls of the largest usage that is believed.
#: An instance reads its own rows by the same rule, so this must be above what it can ever send.
_TOKENS_LIMIT = 10**14
_REQUESTS_LIMIT = 10**9
#: Most ledgers in a row, and characters of a ledger's key.
_LEDGERS_LIMIT = 20_000
_KEY_LIMIT = 1024
#: How `encode` begins.
_SEQ = re.compile(r'\{"q":(\d{1,15})[,}]', re.ASCII)
_KEY = re.compile(r"(\d{10})([0-9a-z]{6,16})", re.ASCII)

#: Key of a ledger -> second, tokens, requests, second, tokens, requests, ...
Ledgers = Mapping[str, list[int]]
#: Key of a ledger -> second -> [tokens, requests].
Changes = dict[str, dict[int, list[int]]]


class Row(msgspec.Struct, frozen=True):
    """One instance's page. `seq` grows with every version of any row of the instance."""

    page: int
    instance: str
    seq: int
    text: str

    @property
    def key(self) -> str:
        """The row key: pages sort by time."""
        return f"{self.page:010d}{self.instance}"

    @classmethod
    def read(cls, key: str, text: str | None) -> Row:
        """A row as it was stored. Raises ValueError for what is none."""
        match = _KEY.fullmatch(key)
        if match is None or text is None:
            raise ValueError("not the key of a row")
        # The rest is taken apart only where it is news, which most rows of a read are not.
        number = _SEQ.match(text)
        if number is None:
            raise ValueError("a row without a number")
        return cls(int(match[1]), match[2], int(number[1]), text)


class Contents(msgspec.Struct, frozen=True):
    """A row's text, taken apart. The notes are JSON as it came, to be checked by whoever reads them."""

    ledgers: Ledgers
    notes: Mapping[str, Any] = msgspec.field(default_factory=dict)


def page_of(now: float) -> int:
    """The page of a moment."""
    return int(now) // PAGE


def encode(page: int, seq: int, changes: Changes, notes: Mapping[str, Any]) -> str:
    """A row's text: compact JSON, seconds counted from the page's first."""
    return json.dumps(
        {"q": seq, "l": pack(changes, page * PAGE), **notes}, separators=(",", ":"), allow_nan=False
    )


def decode(page: int, text: str) -> Contents:
    """The contents of a row's text. Raises ValueError for what is none."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not a row")  # noqa: TRY004
    return Contents(unpack(value.pop("l", None), page * PAGE), value)


def pack(changes: Changes, start: int) -> dict[str, list[int]]:
    """Changes as flat lists, seconds counted from `start`. What cancelled out is left out."""
    packed: dict[str, list[int]] = {}
    for key, series in changes.items():
        flat: list[int] = []
        for second, (tokens, requests) in series.items():
            if (tokens or requests) and -_REACH <= second - start < PAGE * PAGES:
                flat += (second - start, tokens, requests)
        if flat:
            packed[key] = flat
    return packed


def unpack(packed: Any, start: int) -> Ledgers:
    """What `pack` made, with whole seconds. Raises ValueError for anything else."""
    if not isinstance(packed, dict) or len(packed) > _LEDGERS_LIMIT:
        raise ValueError("no ledgers")
    if any(len(key) > _KEY_LIMIT for key in packed):
        raise ValueError("not the key of a ledger")
    return {key: _seconds(flat, start) for key, flat in packed.items()}


def _seconds(flat: Any, start: int) -> list[int]:
    """A flat list with whole seconds. Raises ValueError where it is none."""
    if not isinstance(flat, list) or len(flat) % 3:
        raise ValueError("not a ledger")
    if any(type(number) is not int for number in flat):
        raise ValueError("not a number of a ledger")
    tokens, requests = flat[1::3], flat[2::3]
    if any(abs(number) > _TOKENS_LIMIT for number in tokens):
        raise ValueError("more tokens than an instance can send")
    if any(abs(number) > _REQUESTS_LIMIT for number in requests):
        raise ValueError("more requests than an instance can send")
    seconds = [start + offset for offset in flat[::3] if -_REACH <= offset < PAGE * PAGES]
    if len(seconds) != len(flat) // 3:
        raise ValueError("not a second of a row")
    flat[::3] = seconds
    return flat


def summed(ledgers: Iterable[tuple[Ledgers, int]]) -> Changes:
    """Several rows' ledgers added up, each with its sign."""
    total: Changes = {}
    for ledger, sign in ledgers:
        for key, flat in ledger.items():
            series = total.setdefault(key, {})
            for place in range(0, len(flat), 3):
                cell = series.setdefault(flat[place], [0, 0])
                cell[0] += sign * flat[place + 1]
                cell[1] += sign * flat[place + 2]
    return total
