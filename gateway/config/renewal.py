"""A key that upstream refuses is read again from the vault: it may have been rotated a moment ago.

One read at a time for each secret, and fewer and fewer while nothing has changed: a key that is simply wrong
must not become a flood of reads.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.config.values import is_header_safe
from gateway.config.vault import SecretMissing, SecretReader, SecretUnavailable

#: Seconds between reads of one secret: the first, doubled up to the longest while nothing has changed.
PAUSE_FIRST = 1.0
PAUSE_LONGEST = 60.0


@dataclass(slots=True)
class _Known:
    """What is known of one secret. Times in seconds since 1970."""

    value: str | None = field(default=None, repr=False)
    #: Values that came before it.
    older: set[str] = field(default_factory=set, repr=False)
    read_at: float = -math.inf
    pause: float = PAUSE_FIRST
    reading: asyncio.Task[None] | None = None


class SecretRenewal:
    """Finds the new value of a secret whose value upstream refused."""

    def __init__(
        self, reader: SecretReader, changed: Callable[[], None], *, clock: Callable[[], float]
    ) -> None:
        """`changed` is called when a secret has a new value; `clock` gives seconds since 1970."""
        self._reader = reader
        self._changed = changed
        self._clock = clock
        self._secrets: dict[str, _Known] = {}

    async def renewed(self, name: str, value: str) -> str | None:
        """The value of the secret `name` if it is another than `value`, which upstream refused."""
        known = self._secrets.setdefault(name, _Known())
        if value not in known.older:
            if known.reading is None and not 0 <= self._clock() - known.read_at < known.pause:
                known.reading = asyncio.create_task(self._read(name, value, known))
            if known.reading is not None:
                # Shielded: a caller that leaves must not end the read that others wait for.
                await asyncio.shield(known.reading)
        return known.value if value in known.older else None

    def settle(self, values: Iterable[tuple[str, str]]) -> None:
        """Take what a configuration that was just read has, (secret, value) each, for the newest.

        A secret may go back to a value that it had before, which is then refused as any other one.
        """
        for name, value in values:
            known = self._secrets.get(name)
            if known is not None and known.value is not None and value != known.value:
                known.older.add(known.value)
                known.older.discard(value)
                known.value, known.read_at, known.pause = value, -math.inf, PAUSE_FIRST

    async def close(self) -> None:
        """End what is under way."""
        for known in self._secrets.values():
            if known.reading is not None:
                known.reading.cancel()

    async def _read(self, name: str, refused: str, known: _Known) -> None:
        try:
            secret = await self._reader.read(name)
        except (SecretMissing, SecretUnavailable):
            secret = None
        finally:
            known.reading, known.read_at = None, self._clock()
        value = None if secret is None else secret.value.rstrip("\r\n")
        if value is None or value == refused or not is_header_safe(value):
            known.pause = min(2 * known.pause, PAUSE_LONGEST)
            return
        if len(known.older) > 100:
            known.older.clear()
        known.older.add(refused)
        known.older.discard(value)
        known.value, known.pause = value, PAUSE_FIRST
        self._changed()
