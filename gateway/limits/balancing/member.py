"""One deployment as the limits see it: how much room it has, whether it rests, what its limiter does."""

from __future__ import annotations

import math

from gateway.config.deployment import Config, Deployment
from gateway.limits.balancing.cooldown import LIMITS, CircuitBreaker
from gateway.limits.balancing.health import Health
from gateway.limits.balancing.observations import Observations
from gateway.limits.balancing.places import Places
from gateway.limits.balancing.window import MINUTE, Window, reset_before
from gateway.limits.caps.cap import Cap
from gateway.limits.ledger.share import Share
from gateway.limits.ledger.view import CHARGE, CHARGE_SPAN, View
from gateway.limits.ledger.window_sums import WindowSums
from gateway.limits.tokens.signals import RateLimits, lower_limit

#: Beginning of the keys of the ledgers of what replies reported, and of caps on deployments.
USAGE = "u:"
#: Room that renews sooner than this many seconds counts as if it renewed then.
RENEWAL_LEAST = 4.0
#: Seconds until room renews where the limiter's phase is not known: half a minute on average.
RENEWAL_UNKNOWN = 30.0
#: Azure grants 6 requests a minute with 1,000 tokens a minute: makes limits of either kind comparable.
TOKENS_PER_REQUEST = 1000 / 6
#: Seconds of the others' traffic that a view does not hold yet.
_UNSEEN = 2.0
_OVERFLOW_WEIGHT = 0.15
_LATENCY_WEIGHT = 0.1


class Member:
    """State of one deployment in one instance."""

    __slots__ = (
        "__weakref__",
        "_last_cap",
        "_view",
        "breaker",
        "cap",
        "charge",
        "charge_key",
        "deployment",
        "fits",
        "generation",
        "health",
        "last_error",
        "latency",
        "limits",
        "observations",
        "operation_breakers",
        "order",
        "overflow",
        "own",
        "places",
        "ptu",
        "renews",
        "requests_limit",
        "score",
        "size",
        "spending",
        "suspicions",
        "tokens_limit",
        "unseen",
        "usage_key",
        "used",
        "weight",
        "window",
    )

    def __init__(self, deployment: Deployment, config: Config, view: View) -> None:
        self.deployment = deployment
        #: Changes when calls that were sent before say nothing about those that are sent from now on.
        self.generation = 0
        self.order = 0
        self.weight: float | None = None
        self.ptu = False
        self._view = view
        self.charge_key = CHARGE + deployment.id
        self.usage_key = USAGE + deployment.id
        self.charge = view.ring(self.charge_key)
        self.own = WindowSums(CHARGE_SPAN)
        self.spending = Share(view)
        #: Tokens that others are likely to have charged since their last rows.
        self.unseen = 0.0
        self.places = Places()
        self.cap: Cap | None = None
        #: Remembers what was used, should there be a cap again.
        self._last_cap: Cap | None = None
        self.breaker = CircuitBreaker()
        #: Rests of single operations, which it was found not to serve: Azure knows no such path, or not in
        #: that api-version. That is no reason to rest for the others.
        self.operation_breakers: dict[str, CircuitBreaker] = {}
        self.health = Health()
        #: Refusals that may be their requests' own: what was refused -> the request (None where that is not
        #: known), and when.
        self.suspicions: dict[str, tuple[int | None, float]] = {}
        self.tokens_limit = 0
        self.requests_limit = 0
        #: Size for draws, in tokens a minute; 0 where no limit is known.
        self.size = 0.0
        #: Of the latest `measure`.
        self.fits = False
        self.score = 0.0
        self.used = 0.0
        self._know_nothing()
        self.configure(deployment, config)

    def _know_nothing(self) -> None:
        """Before the first reply of an upstream."""
        self.window = Window()
        #: How tries beyond the known room end: 1 as far as known they are answered.
        self.overflow = 1.0
        self.observations = Observations()
        self.last_error: str | None = None
        #: Moving average of the seconds until a reply's head; None before the first.
        self.latency: float | None = None
        self.limits: RateLimits | None = None
        #: When room renews, where the limiter's phase is known.
        self.renews = 0.0

    def configure(self, deployment: Deployment, config: Config) -> None:
        """Take over what a configuration says. What was counted and learnt stays, as far as it still holds.

        Of another upstream under the same id nothing is known. Another credential, or another form of the
        same upstream's address, may mend what only the operator could.
        """
        before, self.deployment = self.deployment, deployment
        self.order = deployment.order
        self.weight = deployment.weight
        if deployment.upstream != before.upstream:
            self._forget_upstream()
        elif (deployment.targets, deployment.credential) != (before.targets, before.credential):
            self._forget_faults()
        if config.disable_cooldowns:
            self.breaker.clear()
            self.operation_breakers.clear()
        self.ptu = deployment.ptu or (self.limits is not None and self.limits.provisioned)
        self.health.allowed_fails = (
            config.allowed_fails if deployment.allowed_fails is None else deployment.allowed_fails
        )
        self.places.change(deployment.max_parallel_requests or config.max_parallel_requests)
        rpm, tpm = deployment.rpm or None, deployment.tpm or None
        self.cap = None
        if config.capped and (rpm or tpm):
            if self._last_cap is None:
                self._last_cap = Cap(self.usage_key, rpm, tpm, self._view, strict=deployment.strict)
            self.cap = self._last_cap
            self.cap.change(rpm, tpm, strict=deployment.strict)
        self._set_limits()

    def _forget_faults(self) -> None:
        """What failed so far may work from now on; limits are what they were."""
        self.generation += 1
        cooldown = self.breaker.cooldown
        if cooldown is not None and cooldown.reason not in LIMITS:
            self.breaker.clear()
        self.operation_breakers.clear()
        self.suspicions.clear()
        self.health.reset()

    def _forget_upstream(self) -> None:
        self.generation += 1
        self.breaker.clear()
        self.breaker.limited_at = -math.inf
        self.operation_breakers.clear()
        self.suspicions.clear()
        self.health.reset()
        self._know_nothing()

    def learn_limits(self, limits: RateLimits) -> None:
        """Take over the limits that a reply names. A configured one holds where upstream's is not lower."""
        if limits.provisioned:
            self.ptu = True
        if limits != self.limits:
            self.limits = limits
            self._set_limits()

    def _set_limits(self) -> None:
        tokens, requests = (None, None) if self.limits is None else (self.limits.tokens, self.limits.requests)
        self.tokens_limit = lower_limit(self.deployment.tpm, tokens)
        self.requests_limit = lower_limit(self.deployment.rpm, requests)
        if self.cap is not None:
            self.size = float(self.cap.tpm or (self.cap.rpm or 0) * TOKENS_PER_REQUEST)
        else:
            self.size = float(self.tokens_limit or self.requests_limit * TOKENS_PER_REQUEST)

    def measure(self, tokens: int, now: float, second: int) -> bool:
        """Whether a call of `tokens` fits now; `score` is then the free share per second until it renews."""
        if self.cap is not None:
            self.fits = self.cap.full(tokens, now) is None
            self.score = self.cap.room(now) / RENEWAL_UNKNOWN
            return self.fits
        if self.ptu:
            # Its use cannot be predicted: try until it says no.
            self.fits, self.score = True, 1 / RENEWAL_UNKNOWN
            return True
        ring = self.charge
        if ring.head != second:
            ring.advance(second)
        free, renewal, fits = 1.0, RENEWAL_UNKNOWN, True
        limit = self.tokens_limit
        if limit:
            window = self.window
            if window.phase is None:
                used = ring.tokens * window.bias
            else:
                if not now < self.renews <= now + MINUTE:
                    self.renew(now)
                used = ring.marked * window.bias
                renewal = self.renews - now
                renewal = max(renewal, RENEWAL_LEAST)
            self.used = used
            room = limit - used
            free = room / limit
            fits = room >= tokens * window.bias + self.unseen
        limit = self.requests_limit
        if limit:
            left = limit - ring.requests
            fits = fits and left >= 1
            share = left / limit
            free = min(free, share)
        self.fits = fits
        self.score = free / renewal
        return fits

    def beyond_share(self, now: float) -> bool:
        """Whether this instance must hear of the others before it sends more."""
        if self.cap is not None:
            return self.cap.beyond_share(now)
        return not self.ptu and self.spending.beyond(self.requests_limit, self.tokens_limit)

    def saw(self, at: float, used: int) -> None:
        """Upstream said that it had counted `used` tokens at a moment; a provisioned one counts none."""
        if not self.ptu:
            self.observations.saw(at, used)

    def tick(self, second: int) -> None:
        """Once a second at most: judge observations whose rows have come, and guess what has not."""
        charge, own = self.charge, self.own
        charge.advance(second)
        own.advance(second)
        others = charge.tokens - own.tokens
        self.unseen = others * _UNSEEN / CHARGE_SPAN if others > 0 else 0.0
        for at, used in self.observations.due(second):
            if self.tokens_limit:
                self.window.observe(at, used, self.tokens_limit, self.charge)
                self.renews = 0.0

    def renew(self, now: float) -> None:
        """Begin a new minute of the limiter, or follow a phase that was learnt anew."""
        window = self.window
        if window.phase is None:
            self.renews = 0.0
            return
        start = reset_before(now - window.guard, window.phase)
        self.charge.mark(int(start))
        self.renews = start + window.guard + MINUTE

    def overflowed(self, *, answered: bool) -> None:
        """A try beyond the known room ended."""
        self.overflow += _OVERFLOW_WEIGHT * ((1.0 if answered else 0.0) - self.overflow)

    def timed(self, seconds: float) -> None:
        """A reply's head took `seconds`."""
        if self.latency is None:
            self.latency = seconds
        else:
            self.latency += _LATENCY_WEIGHT * (seconds - self.latency)

    def serves(self, operation: str, now: float) -> bool:
        """Whether it may be asked to do `operation`, as far as was found out."""
        breaker = self.operation_breakers.get(operation)
        return breaker is None or breaker.allows(now)

    def back_at(self, operation: str) -> float:
        """When it may be asked to do `operation` again as far as it rests; 0 where it does not."""
        of_operation = self.operation_breakers.get(operation)
        breakers = [each for each in (self.breaker, of_operation) if each is not None]
        return max(each.cooldown.until if each.cooldown is not None else 0.0 for each in breakers)

    def allows(self, now: float) -> bool:
        """Whether it may be called now."""
        breaker = self.breaker
        if breaker.cooldown is None:
            return True
        if not breaker.allows(now):
            return False
        if breaker.cooldown is None:
            self.overflow = 1.0
        return True
