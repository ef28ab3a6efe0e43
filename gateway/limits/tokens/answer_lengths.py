"""How long a model's answers are, learnt from those it gave."""

from __future__ import annotations

#: Tokens that are expected before any answer was seen.
_FIRST = 1024.0
_LEAST = 16.0
_LARGEST = 200_000.0
_STEP = 0.05


class _Quantile:
    """The length that a share of all answers stays below.

    It goes up for a longer answer and down for a shorter, in such proportion that both come to the same. Each
    of the first answers, `learning` in number, halves what was thought before any was seen.
    """

    __slots__ = ("_learning", "_share", "value")

    def __init__(self, share: float, learning: int = 0) -> None:
        self._share = share
        self._learning = learning
        self.value = _FIRST

    def observe(self, tokens: int) -> None:
        if self._learning:
            self._learning -= 1
            moved = max(float(tokens), self.value / 2)
        else:
            moved = self.value * (1 + _STEP * (self._share if tokens > self.value else self._share - 1))
        self.value = min(max(moved, _LEAST), _LARGEST)


class AnswerLengths:
    """Answers of one model."""

    __slots__ = ("_p75", "_p90")

    def __init__(self) -> None:
        # What calls are charged with must not jump: deployments are compared by the sums of a minute.
        self._p90 = _Quantile(0.9)
        self._p75 = _Quantile(0.75, learning=8)

    @property
    def p90(self) -> int:
        """Tokens that nine of ten answers stay below."""
        return int(self._p90.value)

    @property
    def p75(self) -> int:
        """Tokens that three of four answers stay below."""
        return int(self._p75.value)

    def observe(self, tokens: int) -> None:
        """An answer had `tokens`."""
        self._p90.observe(tokens)
        self._p75.observe(tokens)
