"""How long a model's answers are when the caller sets no limit."""

from __future__ import annotations

#: Tokens that are expected before any answer was seen.
_FIRST = 1024.0
_LEAST = 16.0
_LARGEST = 200_000.0
_STEP = 0.05
_QUANTILE = 0.9


class Lengths:
    """The 90th percentile of answers seen: up by nine steps for a longer one, down by one for a shorter."""

    __slots__ = ("_expected",)

    def __init__(self) -> None:
        self._expected = _FIRST

    @property
    def expected(self) -> int:
        """Tokens to expect."""
        return int(self._expected)

    def observe(self, tokens: int) -> None:
        """An answer had `tokens`."""
        share = _QUANTILE if tokens > self._expected else _QUANTILE - 1
        moved = self._expected * (1 + _STEP * share)
        self._expected = min(max(moved, _LEAST), _LARGEST)
