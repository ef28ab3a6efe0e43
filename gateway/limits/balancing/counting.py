"""What becomes of a call: charged when it is sent, settled once when it ends, and what its end teaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.deployment import Config
from gateway.limits.balancing.choice import Choice, ChoiceReason
from gateway.limits.balancing.cooldown import CircuitBreaker, CooldownReason
from gateway.limits.balancing.health import FIRST_COOLDOWN, OPERATOR_COOLDOWN
from gateway.limits.balancing.member import Member
from gateway.limits.caps.cap import Cap, CapEntry
from gateway.limits.caps.strict_row import StrictNeed
from gateway.limits.ledger.view import View
from gateway.limits.tokens.answer_lengths import AnswerLengths
from gateway.limits.tokens.outcome import Outcome, Result, final_tokens
from gateway.limits.tokens.signals import (
    COOLDOWN_LONGEST,
    COOLDOWN_SHORTEST,
    COOLDOWN_SHORTEST_PTU,
    COOLDOWN_SHORTEST_PTU_CROWD,
    COOLDOWN_UNKNOWN,
    RateLimits,
    cooldown_seconds,
)

#: Share of a limit from which on a call is too large by itself.
_WHOLE = 0.9

#: Instances that are known from which on provisioned throughput rests longer: they come back together.
_CROWD = 10
#: The generation of calls that do not go where the configuration in force says.
_EARLIER = -1
#: Upstream refused, or never saw the call: it has charged nothing.
_GIVEN_BACK = frozenset({Result.LIMITED, Result.UNREACHABLE, Result.LOCAL})


@dataclass(slots=True)
class Reservation:
    """A call that was sent, as it is counted."""

    member: Member
    reason: ChoiceReason
    #: Tokens charged, and when.
    tokens: int
    at: float
    probe: bool
    cap: Cap | None
    place: CapEntry | None
    strict: StrictNeed | None
    operation: str
    #: The member's when it was sent; what is of another generation teaches nothing.
    generation: int
    answered: bool = False
    open: bool = True

    def granted(self, times: Mapping[str, float]) -> None:
        """The strict row counts the call at `times`, by its key."""
        if self.strict is not None and self.strict.key in times and self.place and self.cap:
            self.cap.granted(self.place, times[self.strict.key])

    def corrections(self, outcome: Outcome) -> list[tuple[StrictNeed, int]]:
        """The tokens by which the call's use differs from what it reserved in a strict row."""
        need = self.strict
        return [] if need is None else [(need, final_tokens(outcome, need.tokens) - need.tokens)]


class Counting:
    """Counts calls of deployments."""

    def __init__(
        self, config: Config, members: Mapping[str, Member], lengths: Mapping[str, AnswerLengths], view: View
    ) -> None:
        #: What holds for all deployments.
        self.config = config
        self._members = members
        self._lengths = lengths
        self._view = view

    def reserve(self, choice: Choice, operation: str, now: float) -> Reservation:
        """Count a call of `operation` that is about to be sent to the chosen deployment."""
        if choice.deployment is None:
            raise ValueError("nothing was chosen")
        member = self._members[choice.deployment.id]
        self._charge(member, int(now), choice.tokens, 1)
        member.spending.add(choice.tokens)
        probe = choice.reason is ChoiceReason.PROBE and member.breaker.probed(now)
        if breaker := member.operation_breakers.get(operation):
            breaker.probed(now)
        # A request of an earlier configuration calls what that one said.
        generation = member.generation if choice.deployment is member.deployment else _EARLIER
        cap = member.cap
        place = None if cap is None else cap.reserve(choice.tokens, now)
        return Reservation(
            member,
            choice.reason,
            choice.tokens,
            now,
            probe,
            cap,
            place,
            choice.strict,
            operation,
            generation,
        )

    def answered(self, reservation: Reservation, limits: RateLimits | None, now: float) -> None:
        """The head of a good reply is there. Only the first time counts."""
        if reservation.answered:
            return
        reservation.answered = True
        member = reservation.member
        if reservation.generation != member.generation:
            return
        member.timed(now - reservation.at)
        if reservation.probe:
            member.breaker.succeeded(now)
            member.health.reset()
        if reservation.reason is ChoiceReason.OVERFLOW:
            member.overflowed(answered=True)
        if limits is None:
            return
        member.learn_limits(limits)
        if limits.tokens is not None and limits.tokens_left is not None:
            member.saw(reservation.at, limits.tokens - limits.tokens_left)

    def settle(self, reservation: Reservation, outcome: Outcome, now: float) -> None:
        """The call ended. Only the first time counts."""
        if not reservation.open:
            return
        reservation.open = False
        member, result = reservation.member, outcome.result
        if result in {Result.SUCCESS, Result.CALLER}:
            self.answered(reservation, outcome.limits, now)
        if reservation.generation == member.generation:
            self._learn(reservation, outcome, now)
        elif reservation.probe:
            member.breaker.unknown()
        if result in _GIVEN_BACK and not reservation.answered:
            self._charge(member, int(reservation.at), -reservation.tokens, -1)
        if outcome.completion is not None and result is Result.SUCCESS:
            lengths = self._lengths.get(member.deployment.model_name)
            if lengths is not None:
                lengths.observe(outcome.completion)
        if reservation.place is not None and reservation.cap is not None:
            reservation.cap.settle(reservation.place, final_tokens(outcome, reservation.place.tokens))
        elif result in {Result.SUCCESS, Result.ABORTED}:
            self._record(member, final_tokens(outcome, 0), now)

    def _learn(self, reservation: Reservation, outcome: Outcome, now: float) -> None:
        """What the end of a call says about the deployment."""
        member, result = reservation.member, outcome.result
        if result in {Result.SUCCESS, Result.CALLER}:
            member.health.succeeded()
            if breaker := member.operation_breakers.get(reservation.operation):
                breaker.succeeded(now)
            return
        if outcome.error is not None:
            member.last_error = outcome.error
        if result is Result.LIMITED:
            self._limited(reservation, outcome, now)
        elif result is Result.OPERATION:
            self._unable(reservation, now)
        elif result not in {Result.ABORTED, Result.LOCAL}:
            self._failed(reservation, result, now)
        elif reservation.answered:
            member.health.succeeded()
        elif reservation.probe:
            member.breaker.unknown()

    def withdraw(self, reservation: Reservation, now: float) -> None:
        """The call was never sent. Only the first time counts."""
        if not reservation.open:
            return
        reservation.open = False
        member = reservation.member
        member.charge.advance(int(now))
        self._charge(member, int(reservation.at), -reservation.tokens, -1)
        if reservation.probe:
            member.breaker.unknown()
        if reservation.place is not None and reservation.cap is not None:
            reservation.cap.withdraw(reservation.place)

    def _charge(self, member: Member, second: int, tokens: int, requests: int) -> None:
        """Count what upstream's limiter counts."""
        for ring in (member.charge, member.own):
            if ring.head < second:
                ring.advance(second)
            ring.add(second, tokens, requests)
        self._view.note(member.charge_key, second, tokens, requests)

    def _record(self, member: Member, tokens: int, now: float) -> None:
        """Count reported usage of a deployment without a cap, when it is known."""
        second = int(now)
        ring = self._view.ring(member.usage_key)
        ring.advance(second)
        ring.add(second, tokens, 1)
        self._view.record(member.usage_key, second, tokens, 1)

    def _limited(self, reservation: Reservation, outcome: Outcome, now: float) -> None:
        member = reservation.member
        if reservation.reason is ChoiceReason.OVERFLOW:
            member.overflowed(answered=False)
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

    def _failed(self, reservation: Reservation, result: Result, now: float) -> None:
        member = reservation.member
        cooldown = member.breaker.cooldown
        if cooldown is not None and cooldown.probed and reservation.at <= cooldown.issued:
            # It was on its way when the rest began, which others like it have brought about.
            return
        probe = reservation.probe and cooldown is not None
        reason: CooldownReason = "operator" if result is Result.OPERATOR else "health"
        if reason == "health" and not member.health.failed(now) and not probe:
            return
        seconds = self._length(member, OPERATOR_COOLDOWN if reason == "operator" else FIRST_COOLDOWN)
        if probe or cooldown is None:
            seconds = member.breaker.next_seconds(seconds, now)
        self._cool_down(member, seconds, reason, 0, now)
        if reason == "health":
            member.health.reset()

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
