"""Learning how a deployment's limiter counts: the second its minute begins, and the bias of our estimate.

Microsoft documents a counter that is reset each minute at a second nobody is told; other sources show a
sliding minute. Each reply says how much upstream has counted. That is compared with what the ledger holds
since each of the sixty seconds it may have begun, and with the sliding sum.
"""

from __future__ import annotations

from typing import Any

from gateway.limits.ledger.window_sums import WindowSums

MINUTE = 60
#: Weight of the latest observation once there are many.
_WEIGHT = 0.12
_ENOUGH = 10
_MANY = 1000
#: The best second's error must be below this share of the sliding sum's to be believed.
_CLEARLY = 0.6
#: So must its error as a share of the limit: less would be chance among sixty.
_BELIEVABLE = 0.12
#: Errors this close to the best are equal.
_TIE = 1.1
#: What a 429 named is believed when its error is below this share of the sliding sum's.
_PLAUSIBLE = 0.5
#: Seconds within which two 429s name the same reset, and the share by which a later one is believed.
_SAME = 1.5
_DRIFT = 0.1
#: How well a second is known that observations gave, and one that a 429 named.
_GUARD_LEARNT = 1.0
_GUARD_NAMED = 0.1
#: Bounds of the bias, and the share of a limit below which a ledger says nothing about it.
BIAS_LEAST, BIAS_MOST = 0.5, 2.0
_BIAS_WEIGHT = 0.15
_BIAS_FROM = 0.1
#: Largest mean error that another instance may tell, as a share of the limit.
_ERROR_LIMIT = 1000


class Window:
    """What is known about one deployment's limiter."""

    __slots__ = ("_errors", "_named", "_sliding", "_told", "bias", "guard", "observations", "phase")

    def __init__(self) -> None:
        self._errors = [0.0] * MINUTE
        self._sliding = 0.0
        self._named: float | None = None
        self._told: float | None = None
        self.observations = 0
        #: What upstream counts for one token of our estimate.
        self.bias = 1.0
        #: Second of the minute in which the counter is reset; None while unknown, or where there is none.
        self.phase: float | None = None
        #: Seconds after that when the reset is relied on.
        self.guard = _GUARD_LEARNT

    def named(self, moment: float) -> None:
        """A 429 said that there is room again at `moment`.

        It is told in whole seconds, rounded up, so the earliest of several is nearest to the truth.
        """
        later = 0.0 if self._named is None else (moment - self._named + MINUTE / 2) % MINUTE - MINUTE / 2
        if self._named is None or later < 0 or later > _SAME:
            self._named = moment % MINUTE
        else:
            self._named = (self._named + _DRIFT * later) % MINUTE

    def observe(self, at: float, used: int, limit: int, ring: WindowSums) -> None:
        """Upstream had counted `used` of `limit` tokens at a moment; `ring` holds the ledger."""
        second = int(at)
        n = self.observations
        weight = max(_WEIGHT, 1 / (n + 1))
        bias = self.bias
        errors = self._errors
        # What came later in the same second was not counted then.
        later = (1 - at % 1) * ring.at(second)[0]
        total = -later
        for age in range(MINUTE):
            start = second - age
            total += ring.at(start)[0]
            place = start % MINUTE
            errors[place] += weight * (abs(used - bias * total) / limit - errors[place])
        self._sliding += weight * (abs(used - bias * total) / limit - self._sliding)
        self.observations = min(n + 1, _MANY)
        self._decide()
        if self.observations < _ENOUGH or used <= 0:
            return
        counted = total if self.phase is None else self._since_reset(second, ring) - later
        if counted > _BIAS_FROM * limit:
            # The fuller the window, the less a wrong second of its beginning matters.
            weight = _BIAS_WEIGHT * min(counted / limit, 1.0) ** 2
            wanted = min(max(used / counted, BIAS_LEAST), BIAS_MOST)
            self.bias += weight * (wanted - self.bias)

    def _since_reset(self, second: int, ring: WindowSums) -> int:
        start = int(reset_before(second, int(self.phase or 0)))
        return sum(ring.at(each)[0] for each in range(start, second + 1))

    def _decide(self) -> None:
        if self.observations < _ENOUGH:
            return
        errors = self._errors
        best = min(errors)
        if best > min(_CLEARLY * self._sliding, _BELIEVABLE):
            self.phase = None
            return
        phase = errors.index(best)
        named = self._named
        if named is not None and errors[int(named)] <= _PLAUSIBLE * self._sliding:
            # Observations are blurred by what others have not told yet, and know nothing of the seconds in
            # which nothing was sent.
            self.phase, self.guard = named, _GUARD_NAMED
            return
        # Nothing was sent between seconds that are equally good: the last of them is never too early.
        while errors[(phase + 1) % MINUTE] <= _TIE * best and errors[phase] < self._sliding:
            phase = (phase + 1) % MINUTE
        self.phase, self.guard = float(phase), _GUARD_LEARNT

    @property
    def error(self) -> float | None:
        """Mean error of the ledger as a share of the limit; None while there are too few observations."""
        if self.observations < _ENOUGH:
            return self._told
        return self._sliding if self.phase is None else self._errors[int(self.phase)]

    def packed(self) -> list[Any] | None:
        """As JSON for the other instances; None while there is nothing to tell."""
        if self.observations < _ENOUGH:
            return None
        phase = -1 if self.phase is None else round(self.phase, 2) % MINUTE
        return [self.observations, phase, round(self.bias, 3), round(self.error or 0.0, 4)]

    def adopt(self, value: Any) -> None:
        """Believe another instance's model while there are too few observations of our own."""
        if self.observations >= _ENOUGH or not isinstance(value, list) or len(value) != 4:
            return
        observations, phase, bias, error = value
        if type(observations) is not int or not isinstance(phase, (int, float)):
            return
        if (
            not isinstance(bias, (int, float))
            or not isinstance(error, (int, float))
            or not 0 <= error <= _ERROR_LIMIT
        ):
            return
        if observations < _ENOUGH or not -1 <= phase < MINUTE or not BIAS_LEAST <= bias <= BIAS_MOST:
            return
        self.phase = None if phase < 0 else float(phase)
        self.bias = float(bias)
        self._told = float(error)


def reset_before(moment: float, phase: float) -> float:
    """The last time up to `moment` when a minute of this phase began."""
    return moment - (moment - phase) % MINUTE
