"""What the end of a call teaches about its deployment: health, suspicions, cooldowns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.config.deployment import Config, Deployment
from gateway.config.wildcards import again
from gateway.limits.balancing.choice import ChoiceReason
from gateway.limits.balancing.cooldown import CircuitBreaker, CooldownReason
from gateway.limits.balancing.health import FIRST_COOLDOWN, OPERATOR_COOLDOWN
from gateway.limits.balancing.member import Member
from gateway.limits.balancing.reservation import Reservation
from gateway.limits.ledger.view import View
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import (
    COOLDOWN_LONGEST,
    COOLDOWN_SHORTEST,
    COOLDOWN_SHORTEST_PTU,
    COOLDOWN_SHORTEST_PTU_CROWD,
    COOLDOWN_UNKNOWN,
    cooldown_seconds,
)

#: Share of a limit from which on a call is too large by itself.
_WHOLE = 0.9
#: Instances that are known from which on provisioned throughput rests longer: they come back together.
_CROWD = 10
#: Seconds within which another request must meet the same for a doubtful refusal to count.
_WITNESS = 60.0
#: What single calls tell of a deployment that no request of theirs can bring about.
REFUSALS = frozenset({Result.LIMITED, Result.OPERATOR, Result.OPERATION})


class Learning:
    """Learns from the ends of calls."""

    def __init__(self, config: Config, members: Mapping[str, Member], view: View) -> None:
        #: What holds for all deployments.
        self.config = config
        self._members = members
        self._view = view

    def learn(
        self, reservation: Reservation, outcome: Outcome, now: float, *, request: int | None = None
    ) -> None:
        """What the end of a call says about the deployment.

        `request` tells requests apart: what one shows again is no news.
        """
        member, result = reservation.member, outcome.result
        if reservation.generation != member.generation:
            if reservation.probe:
                member.breaker.unknown()
            return
        if result in {Result.SUCCESS, Result.CALLER}:
            member.health.succeeded()
            return
        if result in {Result.REQUEST, Result.LOCAL}:
            self._undecided(reservation)
            return
        if outcome.error is not None:
            member.last_error = outcome.error
        if result in REFUSALS:
            self._refused(reservation, outcome, now, request)
        elif result is not Result.ABORTED:
            self._failed(reservation, now)
        elif reservation.answered:
            member.health.succeeded()
        else:
            self._undecided(reservation)

    def _undecided(self, reservation: Reservation) -> None:
        """A call that says nothing of the deployment was no probe."""
        member = reservation.member
        if reservation.probe:
            member.breaker.unknown()
        if breaker := member.operation_breakers.get(reservation.operation):
            breaker.unknown()

    def _refused(self, reservation: Reservation, outcome: Outcome, now: float, request: int | None) -> None:
        """A refusal that speaks of the deployment: beyond doubt, by a probe, or by two requests."""
        result = outcome.result
        if not (outcome.certain or reservation.probe or reservation.operation_probe) and (
            not self._witnessed(reservation, result, now, request) or self._is_last(reservation, now)
        ):
            return
        if result is Result.LIMITED:
            self._limited(reservation, outcome, now)
        elif result is Result.OPERATION:
            self._unable(reservation, now)
        else:
            self._operator(reservation, now)

    def _witnessed(self, reservation: Reservation, result: Result, now: float, request: int | None) -> bool:
        """Whether a different request met the same doubtful refusal a moment ago."""
        suspicions = reservation.member.suspicions
        what = reservation.operation if result is Result.OPERATION else result.name
        earlier = suspicions.get(what)
        suspicions[what] = (request, now)
        return earlier is not None and earlier[0] != request and 0 <= now - earlier[1] <= _WITNESS

    @staticmethod
    def cleared(member: Member, operation: str) -> None:
        """A call was answered: what was refused before was the refused requests' own."""
        for what in (operation, Result.OPERATOR.name, Result.LIMITED.name):
            member.suspicions.pop(what, None)

    def _is_last(self, reservation: Reservation, now: float) -> bool:
        """Whether no other member of the group can be tried: then this one must not rest by suspicion."""
        member = reservation.member
        for deployment in self._siblings(member.deployment):
            other = self._members.get(deployment.id)
            if other is None:
                # One of a wildcard's that was not called yet.
                return False
            if other is member:
                continue
            cooldown = other.breaker.cooldown
            rests = cooldown is not None and (cooldown.probed or now < cooldown.until)
            if not rests and other.serves(reservation.operation, now):
                return False
        return True

    def _siblings(self, deployment: Deployment) -> Sequence[Deployment]:
        """The group of a deployment, as it is called for the same name."""
        group = self.config.models.get(deployment.model_name, ())
        if deployment.parts is None:
            return group
        return [sibling for each in group if (sibling := again(deployment, each)) is not None]

    def _limited(self, reservation: Reservation, outcome: Outcome, now: float) -> None:
        member = reservation.member
        if reservation.reason is ChoiceReason.OVERFLOW:
            member.overflowed(answered=False)
        if outcome.kind != "requests" and member.tokens_limit and reservation.size > member.tokens_limit:
            # No room would have been enough for it: no reason to keep the others away.
            self._undecided(reservation)
            return
        named = outcome.retry_after
        size = reservation.tokens if outcome.kind == "tokens" else 0
        reason: CooldownReason = outcome.kind or "limit"
        floor = COOLDOWN_SHORTEST
        if member.ptu:
            crowd = self._view.instances > _CROWD
            floor = COOLDOWN_SHORTEST_PTU_CROWD if crowd else COOLDOWN_SHORTEST_PTU
        seconds = cooldown_seconds(named, self._length(member, COOLDOWN_UNKNOWN), floor=floor)
        if named is not None and named > COOLDOWN_LONGEST:
            if member.tokens_limit and reservation.tokens >= _WHOLE * member.tokens_limit:
                # This call alone is above the limit: no reason to keep the others away.
                seconds, size = COOLDOWN_SHORTEST, 0
            else:
                reason = "quota"
        elif named is not None and named > 0 and reason == "tokens":
            member.window.named(now + named)
        self._cool_down(member, seconds, reason, size, now)

    def _unable(self, reservation: Reservation, now: float) -> None:
        member = reservation.member
        if reservation.probe:
            member.breaker.unknown()
        if not self.config.disable_cooldowns:
            breaker = member.operation_breakers.setdefault(reservation.operation, CircuitBreaker())
            breaker.trip(self._length(member, OPERATOR_COOLDOWN), "operator", 0, now)
            self._view.touch()

    def _operator(self, reservation: Reservation, now: float) -> None:
        """Only the operator can mend it."""
        if self._led_to_rest(reservation):
            return
        breaker = reservation.member.breaker
        seconds = self._length(reservation.member, OPERATOR_COOLDOWN)
        if reservation.probe or breaker.cooldown is None:
            seconds = breaker.next_seconds(seconds, now)
        self._cool_down(reservation.member, seconds, "operator", 0, now)

    def _failed(self, reservation: Reservation, now: float) -> None:
        """Calls fail now and then; a deployment rests when too many do, or when a probe fails."""
        member = reservation.member
        if self._led_to_rest(reservation):
            return
        cooldown = member.breaker.cooldown
        probe = reservation.probe and cooldown is not None
        if not member.health.failed(now) and not probe:
            return
        if not probe and self._is_last(reservation, now):
            return
        seconds = self._length(member, FIRST_COOLDOWN)
        if probe or cooldown is None:
            seconds = member.breaker.next_seconds(seconds, now)
        self._cool_down(member, seconds, "health", 0, now)
        member.health.reset()

    @staticmethod
    def _led_to_rest(reservation: Reservation) -> bool:
        """Whether it was on its way when the rest began, which others like it have brought about.

        Or was sent in spite of that rest, because nobody else was left.
        """
        cooldown = reservation.member.breaker.cooldown
        if cooldown is None or not cooldown.probed:
            return False
        return reservation.at <= cooldown.issued or reservation.reason is ChoiceReason.PANIC

    def _length(self, member: Member, seconds: float) -> float:
        """The configured length of a rest, else `seconds`."""
        configured = member.deployment.cooldown_time
        if configured is None:
            configured = self.config.cooldown_time
        return seconds if configured is None else cooldown_seconds(configured or COOLDOWN_SHORTEST)

    def _cool_down(
        self, member: Member, seconds: float, reason: CooldownReason, size: int, now: float
    ) -> None:
        if self.config.disable_cooldowns:
            return
        member.breaker.trip(seconds, reason, size, now)
        self._view.touch()
