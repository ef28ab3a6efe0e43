"""How long a model's answers are, learnt from those it gave."""

from __future__ import annotations

#: Tokens that are expected before any answer was seen.
_FIRST = 1024.0
_LEAST = 16.0
_LARGEST = 200_000.0
_STEP = 0.05
#: Answers after which enough are known.
_LEARNING = 8


class _Quantile:
    """The length that a share of all answers stays below.

    Each of the first answers halves what was thought before any was seen; then up for a longer one and down
    for a shorter, in such proportion that both come to the same.
    """

    __slots__ = ("_seen", "_share", "value")

    def __init__(self, share: float) -> None:
        self._share = share
        self._seen = 0
        self.value = _FIRST

    def observe(self, tokens: int) -> None:
        if self._seen < _LEARNING:
            self._seen += 1
            moved = max(float(tokens), self.value / 2)
        else:
            moved = self.value * (1 + _STEP * (self._share if tokens > self.value else self._share - 1))
        self.value = min(max(moved, _LEAST), _LARGEST)


class Lengths:
    """Answers of one model."""

    __slots__ = ("_most", "_usual")

    def __init__(self) -> None:
        self._most = _Quantile(0.9)
        self._usual = _Quantile(0.75)

    @property
    def most(self) -> int:
        """Tokens that nine of ten answers stay below."""
        return int(self._most.value)

    @property
    def usual(self) -> int:
        """Tokens that three of four answers stay below."""
        return int(self._usual.value)

    def observe(self, tokens: int) -> None:
        """An answer had `tokens`."""
        self._most.observe(tokens)
        self._usual.observe(tokens)
