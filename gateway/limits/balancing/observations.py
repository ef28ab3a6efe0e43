"""What replies have shown of upstream's own counter, until the rows of the same second have come."""

from __future__ import annotations

#: Seconds after which an observation is judged, by then the others' rows of that time are there; and
#: after which it is too late.
_JUDGED_AFTER = 2
_JUDGED_WITHIN = 4


class Observations:
    """Observations of one deployment's counter: one a second."""

    __slots__ = ("untold", "waiting")

    def __init__(self) -> None:
        #: Those that are not judged yet: second -> moment, tokens used.
        self.waiting: dict[int, tuple[float, int]] = {}
        #: Those of this instance that no row has told the others.
        self.untold: list[tuple[float, int]] = []

    def saw(self, at: float, used: int) -> None:
        """A reply to this instance said that upstream had counted `used` tokens at a moment."""
        if int(at) not in self.waiting:
            self.waiting[int(at)] = (at, used)
            self.untold.append((at, used))

    def heard(self, at: float, used: int, now: float) -> None:
        """Another instance saw that."""
        if now - _JUDGED_WITHIN < at <= now + 1 and used >= 0:
            self.waiting.setdefault(int(at), (at, used))

    def due(self, second: int) -> list[tuple[float, int]]:
        """Those that can be judged in this second. Those that are too old are forgotten."""
        if not self.waiting:
            return []
        ripe = [each for each in self.waiting if each <= second - _JUDGED_AFTER]
        taken = [(each, self.waiting.pop(each)) for each in ripe]
        return [seen for each, seen in taken if second - each <= _JUDGED_WITHIN]
