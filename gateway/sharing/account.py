"""What one call owes to the ledgers and the store until it has ended: each debt is paid exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Self

from gateway.auth.principal import Principal
from gateway.config.access import ClientLimits
from gateway.errors import RateLimited, TokenRateLimited, retry_seconds
from gateway.limits.balancing.balancer import Balancer, Reservation
from gateway.limits.balancing.choice import Choice, ChoiceReason
from gateway.limits.caps.clients import Admission, Refusal
from gateway.limits.caps.strict_row import LATE, StrictNeed
from gateway.limits.tokens.estimate import fine_estimate
from gateway.limits.tokens.outcome import Outcome, Result, is_taken
from gateway.limits.tokens.signals import Kind, RateLimits, Wait
from gateway.protocol.calls import Call
from gateway.sharing.replication import Replication
from gateway.sharing.shared_call import SharedCall
from gateway.sharing.strict_caps import NO_PLACES, Grant


class Account:
    """One call's account: an async context in which the call counts as one in flight.

    The context closes the account at its end, unless it was handed over to whoever closes it later.
    """

    def __init__(self, balancer: Balancer, sharing: Replication, *, operation: str, capped: bool) -> None:
        """`capped`: caps decide, which hold across instances as well as the view is fresh.

        `operation` is the name of what is called.
        """
        self._balancer = balancer
        self._sharing = sharing
        self._operation = operation
        self._capped = capped
        self._admission: Admission | None = None
        self._admission_grant = NO_PLACES
        self._reservation: Reservation | None = None
        self._reservation_grant = NO_PLACES
        self._sent = False
        #: What strict caps get that need not be asked any more: the store has not answered this call.
        self._unasked: Grant | Wait | None = None
        self._shared: SharedCall
        #: Whether the context has to close the account at its end.
        self._closing = True

    async def __aenter__(self) -> Self:
        self._shared = self._sharing.call()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._closing:
            await self.close(Outcome(Result.ABORTED))

    def handed_over(self) -> Self:
        """Itself, and its context leaves it open: who takes it closes it."""
        self._closing = False
        return self

    async def admit(self, principal: Principal, call: Call, limits: ClientLimits) -> bool:
        """Reserve the call in its client's caps. True where one is exceeded that is only counted.

        Raises RateLimited.
        """
        client = principal.name
        await self.refreshed()
        if self._balancer.beyond_share(client, call.requested_model, limits, self._sharing.now()):
            await self.exchanged()
        estimate = fine_estimate(call.operation, call.body.values)

        def admitted() -> Admission | Refusal:
            now = self._sharing.now()
            return self._balancer.admit(
                client, call.requested_model, limits, estimate, now, enforced=not principal.shadow
            )

        admission = admitted()
        if isinstance(admission, Refusal) and admission.strict and admission.wait.seconds <= LATE:
            # Who was told to wait for a place that was still being reserved comes that much too early.
            await asyncio.sleep(admission.wait.seconds)
            admission = admitted()
        if isinstance(admission, Refusal):
            raise limited(call.shown_model, admission.wait.seconds, admission.wait.kind)
        try:
            grant = await self._places(admission.strict)
        except BaseException:
            self._balancer.release(admission)
            raise
        if isinstance(grant, Wait):
            self._balancer.release(admission)
            raise limited(call.shown_model, grant.seconds, grant.kind)
        admission.granted(grant.times)
        self._admission, self._admission_grant = admission, grant
        return admission.exceeded

    async def refreshed(self) -> None:
        """Before a choice: see what other instances use, within the call's share of waiting."""
        await self._shared.refreshed(capped=self._capped)

    async def exchanged(self) -> None:
        """Before another choice that would go beyond this instance's share: tell the others, and look."""
        await self._shared.exchanged()

    async def reserve(self, choice: Choice) -> Wait | None:
        """Reserve a try. None when it may be sent, else the wait until its strict cap has room."""
        reservation = self._balancer.reserve(choice, self._sharing.now(), operation=self._operation)
        needs = () if choice.strict is None else (choice.strict,)
        try:
            grant = await self._places(needs)
        except BaseException:
            self._balancer.withdraw(reservation, self._sharing.now())
            raise
        if isinstance(grant, Wait):
            self._balancer.withdraw(reservation, self._sharing.now())
            return grant
        reservation.granted(grant.times)
        self._reservation, self._reservation_grant = reservation, grant
        self._sent = True
        self._shared.dispatched()
        return None

    async def _places(self, needs: Sequence[StrictNeed]) -> Grant | Wait:
        """Places in strict caps. A call waits once at most for a store that does not answer."""
        if not needs:
            return NO_PLACES
        if self._unasked is not None:
            return self._unasked
        answer = await self._sharing.reservations.reserve(needs)
        if not answer.asked:
            self._unasked = answer if isinstance(answer, Wait) else Grant(asked=False)
        return answer

    def answered(self, limits: RateLimits | None) -> None:
        """An answer has begun: what its head says is known before it has ended."""
        reservation = self._reservation
        if reservation is not None:
            self._balancer.answered(reservation, limits, self._sharing.now())
            if reservation.reason is not ChoiceReason.ROOM:
                # It may have ended a rest: the others should know before this answer has ended.
                self._shared.dispatched()

    def settle(self, outcome: Outcome) -> None:
        """End the try that was reserved last."""
        self._settle(outcome, judged=True)

    def failed(self, outcome: Outcome) -> Reservation | None:
        """As `settle`, after a failure; what is not beyond doubt is learnt when `judged` is called.

        Returns the reservation for that. What is known the others should know, too.
        """
        reservation = self._settle(outcome, judged=False)
        self._shared.dispatched()
        return reservation

    def judged(self, held: Iterable[tuple[Reservation, Outcome]], request: int) -> None:
        """What failures say about their deployments, now that their request shows whose fault they were."""
        for reservation, outcome in held:
            self._balancer.learn(reservation, outcome, self._sharing.now(), request=request)
        self._shared.dispatched()

    def _settle(self, outcome: Outcome, *, judged: bool) -> Reservation | None:
        reservation, self._reservation = self._reservation, None
        if reservation is None:
            return None
        later = self._balancer.settle(reservation, outcome, self._sharing.now(), judged=judged)
        strict = self._sharing.reservations
        if is_taken(outcome):
            strict.settle(self._reservation_grant, reservation.corrections(outcome))
        else:
            strict.release(self._reservation_grant)
        return reservation if later else None

    async def close(self, outcome: Outcome) -> None:
        """End the call; waits a moment for what is not written yet, for the worker may be frozen after it.

        A client's caps get back what was reserved for a call that no deployment was sent.
        """
        self._closing = False
        self.settle(outcome)
        admission, self._admission = self._admission, None
        if admission is not None and self._sent:
            self._balancer.finish(admission, outcome)
            self._sharing.reservations.settle(self._admission_grant, admission.corrections(outcome))
        elif admission is not None:
            self._balancer.release(admission)
            self._sharing.reservations.release(self._admission_grant)
        await self._shared.settled()


def limited(
    model: str, wait: float | None, full: Kind | None = None, *, retryable: bool = True
) -> RateLimited:
    """The error of a limit, in words that no client takes for an exhausted budget."""
    seconds = retry_seconds(wait)
    error = TokenRateLimited if full == "tokens" else RateLimited
    return error(
        f"Rate limit reached for the model `{model}`. "
        f"Please try again in {seconds} second{'' if seconds == 1 else 's'}.",
        retry_after=seconds,
        retryable=retryable,
    )
