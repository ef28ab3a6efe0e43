"""How far one request has come, and what its client is told when nobody could answer it."""

from __future__ import annotations

import msgspec

from gateway.config.deployment import Config, Deployment
from gateway.errors import GatewayError, UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from gateway.limits.balancing.balancer import Reservation
from gateway.limits.balancing.choice import Choice, ChoiceReason
from gateway.limits.balancing.places import Waiter
from gateway.limits.tokens.estimate import Estimate, estimate
from gateway.limits.tokens.outcome import Result
from gateway.limits.tokens.signals import COOLDOWN_LONGEST, COOLDOWN_UNKNOWN, Wait
from gateway.protocol.calls import Call
from gateway.routing.models import not_found
from gateway.sharing.account import Account, limited
from gateway.telemetry.record import Record
from gateway.upstream.time_limit import Deadline
from gateway.upstream.verdicts import AttemptFailed

_ROOM = frozenset({ChoiceReason.LIMITED, ChoiceReason.CAPPED, ChoiceReason.BUSY})


class Failure(msgspec.Struct, frozen=True):
    """One failed attempt of a request."""

    deployment: str
    error: AttemptFailed
    #: Where its deployment has not learnt of it yet.
    reservation: Reservation | None

    @property
    def result(self) -> Result:
        """How the attempt ended."""
        return self.error.result


class Progress(msgspec.Struct):
    """How far one request has come."""

    call: Call
    estimate: Estimate
    account: Account
    record: Record
    #: When the answer must have begun.
    deadline: Deadline
    #: Seconds that it may still wait for room.
    waiting_left: float
    #: The record's attempts at which no other may follow.
    most_attempts: int
    #: Retries of a lone deployment so far.
    retries: int = 0
    #: Deployments of the requested model and its fallbacks.
    members: int = 0
    #: Seconds that it may still wait for a place.
    place_wait_left: float = 0.0
    #: Time-outs after which no other try follows.
    most_timeouts: int = 2
    #: Calls so far by the `model_name` of their deployments.
    calls: dict[str, int] = msgspec.field(default_factory=dict)
    #: Ids of the deployments tried since the last pause, and all that were tried, by their ids.
    tried: set[str] = msgspec.field(default_factory=set)
    used: dict[str, Deployment] = msgspec.field(default_factory=dict)
    #: What holds a place for it, once it has waited for one.
    waiter: Waiter | None = None
    #: Whether a caller's name led to a deployment of a wildcard that is not there.
    absent: bool = False
    failures: list[Failure] = msgspec.field(default_factory=list)
    #: Whether a deployment refused the request as such.
    refused: bool = False
    #: Attempts at deployments in a cooldown.
    last_resorts: int = 0

    #: The shortest wait until a deployment at its limit has room.
    room: Wait | None = None
    #: Whether some deployment without room has it again within the longest wait that a client is told.
    retryable: bool = False
    #: Seconds until a deployment that failed is back.
    healthy_in: float | None = None

    @classmethod
    def begin(
        cls, config: Config, call: Call, account: Account, record: Record, deadline: Deadline
    ) -> Progress:
        """That of a request of which nothing was tried yet."""
        return cls(
            call,
            estimate(call.operation, call.body.values),
            account,
            record,
            deadline,
            waiting_left=config.max_wait,
            place_wait_left=config.place_wait,
            most_attempts=record.attempts + config.max_upstream_calls,
        )

    @property
    def over(self) -> bool:
        """Whether no other try may follow."""
        if self._timeouts >= self.most_timeouts or self.record.attempts >= self.most_attempts:
            return True
        return self.deadline.left <= 0

    @property
    def failure(self) -> Result:
        """How an unanswered request ended. After a time-out upstream may have worked for it."""
        return Result.TIMEOUT if self._timeouts else Result.FAILED

    @property
    def _timeouts(self) -> int:
        return sum(failed.result is Result.TIMEOUT for failed in self.failures)

    def note(self, choice: Choice) -> None:
        """Remember the wait that a choice without a deployment names."""
        wait = choice.wait
        if choice.reason in _ROOM:
            self.retryable = self.retryable or choice.retryable
            room = wait or Wait(0.0)
            if self.room is None or room.seconds < self.room.seconds:
                self.room = room
        elif wait is not None and (self.healthy_in is None or wait.seconds < self.healthy_in):
            self.healthy_in = wait.seconds

    def called(self, deployment: Deployment) -> None:
        """A deployment is tried."""
        self.tried.add(deployment.id)
        self.used[deployment.id] = deployment
        self.calls[deployment.model_name] = self.calls.get(deployment.model_name, 0) + 1

    def end_wait(self) -> None:
        """Give back a place that is kept for it and was not taken."""
        if self.waiter is not None:
            self.waiter.close()
            self.waiter = None

    def begin_anew(self) -> None:
        """After a pause all may be tried again."""
        self.tried.clear()
        self.room = self.healthy_in = None
        self.retryable = False


def last_failure(progress: Progress) -> AttemptFailed | None:
    """The failure that `error_of` tells: one of a limit where that is the error, else the last."""
    failures = progress.failures
    limits = [failed for failed in failures if failed.result is Result.LIMITED]
    if limits or progress.room is not None:
        failures = limits
    return failures[-1].error if failures else None


def error_of(progress: Progress) -> GatewayError:
    """The client's error when no deployment answered. A limit comes first, for then waiting helps."""
    limits = [failed.error.outcome for failed in progress.failures if failed.result is Result.LIMITED]
    room = progress.room
    if limits or room is not None:
        waits = [outcome.retry_after or 0.0 for outcome in limits]
        # No deployment is left that might take the call.
        all_said_so = len(limits) >= progress.members
        named = min(filter(None, waits), default=None) if all_said_so else None
        kinds = {outcome.kind for outcome in limits}
        return limited(
            progress.call.shown_model,
            (named or COOLDOWN_UNKNOWN) if room is None else room.seconds,
            (room and room.kind) or (kinds.pop() if len(kinds) == 1 else None),
            # Azure names so long a wait for a request that exceeds the limit by itself.
            retryable=not (all_said_so and min(waits) > COOLDOWN_LONGEST)
            and (room is None or progress.retryable),
        )
    if progress.absent and not progress.failures:
        return not_found(progress.call.shown_model, azure_path=progress.call.azure_path)
    if not progress.failures:
        return UpstreamUnavailable(retry_after=progress.healthy_in)
    last = progress.failures[-1].error
    if last.result in {Result.TIMEOUT, Result.ABORTED} or last.status in {408, 504}:
        return UpstreamTimeout()
    if last.result in {Result.UNREACHABLE, Result.TORN, Result.LOCAL} or last.status == 503:
        return UpstreamUnavailable(retry_after=last.outcome.retry_after)
    return UpstreamFailed()
