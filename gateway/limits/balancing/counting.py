"""What becomes of a call: charged when it is sent, settled once when it ends."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.deployment import Config
from gateway.limits.balancing.choice import Choice, ChoiceReason
from gateway.limits.balancing.learning import REFUSALS, Learning
from gateway.limits.balancing.member import Member
from gateway.limits.balancing.reservation import Reservation
from gateway.limits.ledger.view import View
from gateway.limits.tokens.answer_lengths import AnswerLengths
from gateway.limits.tokens.outcome import Outcome, Result, final_tokens, is_given_back, is_taken
from gateway.limits.tokens.signals import RateLimits

#: The generation of calls that do not go where the configuration in force says.
_EARLIER = -1


class Counting:
    """Counts calls of deployments."""

    def __init__(
        self, config: Config, members: Mapping[str, Member], lengths: Mapping[str, AnswerLengths], view: View
    ) -> None:
        self._learning = Learning(config, members, view)
        self._members = members
        self._lengths = lengths
        self._view = view

    def configure(self, config: Config) -> None:
        """Use what another configuration says for all deployments."""
        self._learning.config = config

    def learn(
        self, reservation: Reservation, outcome: Outcome, now: float, *, request: int | None = None
    ) -> None:
        """Learn from a call's end that `settle` left for later. `request` tells requests apart."""
        self._learning.learn(reservation, outcome, now, request=request)

    def reserve(self, choice: Choice, operation: str, now: float) -> Reservation:
        """Count a call of `operation` that is about to be sent to the chosen deployment."""
        if choice.deployment is None:
            raise ValueError("nothing was chosen")
        member = self._members[choice.deployment.id]
        member.places.take()
        if choice.waiter is not None:
            choice.waiter.close()
        tokens, limit = choice.tokens, member.tokens_limit
        if limit and tokens > limit:
            # Upstream will not take it, and charges no more than there is.
            tokens = limit
        self._charge(member, int(now), tokens, 1)
        member.spending.add(tokens)
        probe = choice.reason is ChoiceReason.PROBE and member.breaker.probed(now)
        breaker = member.operation_breakers.get(operation)
        operation_probe = breaker is not None and breaker.probed(now)
        # A request of an earlier configuration calls what that one said.
        generation = member.generation if choice.deployment is member.deployment else _EARLIER
        cap = member.cap
        place = None if cap is None else cap.reserve(choice.tokens, now)
        return Reservation(
            member,
            choice.reason,
            choice.tokens,
            tokens,
            now,
            probe,
            operation_probe,
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
        if member.suspicions:
            self._learning.cleared(member, reservation.operation)
        if reservation.probe or reservation.reason is ChoiceReason.PANIC:
            member.breaker.succeeded(now)
            member.health.reset()
            self._view.touch()
        if reservation.operation_probe and (breaker := member.operation_breakers.get(reservation.operation)):
            breaker.succeeded(now)
            self._view.touch()
        if reservation.reason is ChoiceReason.OVERFLOW:
            member.overflowed(answered=True)
        if limits is None:
            return
        member.learn_limits(limits)
        if limits.tokens is not None and limits.tokens_left is not None:
            member.saw(reservation.at, limits.tokens - limits.tokens_left)

    def settle(self, reservation: Reservation, outcome: Outcome, now: float, *, judged: bool = True) -> bool:
        """The call ended. Only the first time counts. Returns whether it is to be learnt from later.

        `judged` False: its request goes on, and only its end tells whose fault this was. What is beyond doubt
        is learnt at once nevertheless, and so is the end of a probe, for which others wait.
        """
        if not reservation.open:
            return False
        reservation.open = False
        member, result = reservation.member, outcome.result
        member.places.leave()
        if result in {Result.SUCCESS, Result.CALLER}:
            self.answered(reservation, outcome.limits, now)
        later = not (judged or reservation.probe or reservation.operation_probe)
        later = later and not (result in REFUSALS and outcome.certain)
        if not later:
            self._learning.learn(reservation, outcome, now)
        if is_given_back(outcome):
            self._charge(member, int(reservation.at), -reservation.tokens, -1)
        if outcome.completion is not None and result is Result.SUCCESS:
            lengths = self._lengths.get(member.deployment.model_name)
            if lengths is not None:
                lengths.observe(outcome.completion)
        if reservation.place is not None and reservation.cap is not None:
            if is_taken(outcome):
                reservation.cap.settle(reservation.place, final_tokens(outcome, reservation.place.tokens))
            else:
                reservation.cap.withdraw(reservation.place)
        elif result in {Result.SUCCESS, Result.ABORTED}:
            self._record(member, final_tokens(outcome, 0), now)
        return later

    def withdraw(self, reservation: Reservation, now: float) -> None:
        """The call was never sent. Only the first time counts."""
        if not reservation.open:
            return
        reservation.open = False
        member = reservation.member
        member.places.leave()
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
