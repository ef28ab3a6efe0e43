"""Sends one call: tries deployments one after the other until one answers.

Knows which failures move on and how often. Knows neither the client nor how replies are relayed.
`gateway/limits` says which deployment is next. The rule, in one place:
* Another deployment is tried after a connection error, 408, 429, 5xx, a reply that is no answer, and what
  only the operator can mend (401, 403, 404, a wrong api-version). Each is tried once, four of a model in all,
  and a request makes no more than so many calls (`max_upstream_calls`).
* A refusal (401, 403, 404, 429 without a sign of a limit, a version) that two deployments give alike is the
  request's own: nobody else is tried.
* After a time-out one more is tried at most: upstream may have answered the first, and billed it.
* When no deployment of a model can answer, its fallbacks are tried at once, in their order. A prompt that is
  too long or blocked goes to the fallbacks for that.
* A lone deployment is tried again after a connection error, 408 or 5xx, up to `num_retries` times, with
  backoff. A `retry_policy` says for kinds of failures how often a model is called again, whoever failed.
  Where the configuration lets calls wait for room, all are tried again when there is some.
* Where all have as many calls in flight as they may, the request waits for a place, first come, first served.
* Nothing is tried after the first byte of an answer, nor after the caller's own mistake.
Whose fault a failure was is judged when the request has got an answer, or none (`upstream/verdicts.py`). A
request that failed on two deployments is held against neither.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from gateway.auth.principal import Principal
from gateway.config.deployment import Config, Deployment
from gateway.errors import GatewayError, RateLimited, UpstreamFailed
from gateway.limits.balancing.balancer import MAX_TRIES, Balancer
from gateway.limits.balancing.choice import Choice, ChoiceReason
from gateway.limits.tokens.estimate import Edits, with_edits
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.protocol.calls import Call
from gateway.protocol.messages import Headers
from gateway.quoting import logged
from gateway.routing.groups import Group, Groups
from gateway.routing.models import Models
from gateway.routing.places import wait_for_place
from gateway.routing.progress import Failure, Progress, error_of, last_failure
from gateway.routing.retries import calls_left, pause_before, refused_again, timeouts_allowed
from gateway.sharing.account import Account
from gateway.sharing.replication import Replication
from gateway.telemetry.record import Record
from gateway.upstream.answers import Answer, Refused, WholeAnswer
from gateway.upstream.attempts import Attempts
from gateway.upstream.time_limit import Deadline
from gateway.upstream.verdicts import AttemptFailed, Ended, alike, blamed, says_absent

#: Statuses of refusals that tell a client the truth where they are its request's own. A 401 would blame its
#: key, a 400 for a version what it cannot choose.
_SOUND = frozenset({403, 404, 429})

_log = logging.getLogger("gateway.upstream")


class Dispatcher:
    """Sends calls to deployments."""

    def __init__(
        self,
        config: Config,
        models: Models,
        attempts: Attempts,
        balancer: Balancer,
        sharing: Replication,
        *,
        random: Callable[[], float],
    ) -> None:
        self._config = config
        self._models = models
        self._attempts = attempts
        self._balancer = balancer
        #: Held so that calls of this configuration end by it, whatever comes after it.
        self._members = balancer.members
        self._sharing = sharing
        self._random = random
        self._groups = Groups(config, models)

    def account(self, call: Call, principal: Principal) -> Account:
        """The account of `call`. Enter it, and send within."""
        return Account(
            self._balancer,
            self._sharing,
            operation=call.operation.name,
            capped=self._config.capped or principal.limits is not None,
        )

    async def send(
        self, call: Call, principal: Principal, account: Account, record: Record, deadline: Deadline
    ) -> Answer:
        """The first answer that comes before `deadline`.

        A whole answer closes `account`. A streamed one leaves it open: whoever relays the answer closes both.
        Raises BadRequest for what no deployment of the model takes, RateLimited, UpstreamFailed,
        UpstreamUnavailable or UpstreamTimeout.
        """
        groups = self._groups.of(call)
        progress = Progress.begin(self._config, call, account, record, deadline)
        try:
            if principal.limits is not None:
                record.over_limit = await account.admit(principal, call, principal.limits)
            try:
                answer = await self._answer(groups, progress)
            finally:
                progress.end_wait()
                if progress.failures:
                    _judge(progress)
        except GatewayError as error:
            if isinstance(error, RateLimited):
                error.limits = _used_up(self.limit_headers(call, principal), error.type)
            await account.close(Outcome(progress.failure))
            raise
        if isinstance(answer, WholeAnswer):
            await account.close(answer.outcome())
        else:
            account.answered(answer.limits)
        return answer

    def limit_headers(self, call: Call, principal: Principal) -> Headers:
        """What the client has left of its own limits; of the model's limits where it has none."""
        now = self._sharing.now()
        model, limits = call.requested_model, principal.limits
        remaining = None
        if limits is not None:
            remaining = self._balancer.client_remaining(principal.name, model, limits, now)
        if remaining is None:
            remaining = self._balancer.remaining(self._models.able(model, call.operation), now)
        return remaining.headers()

    async def _answer(self, groups: Sequence[Group], progress: Progress) -> Answer:
        progress.members = sum(len(group.members) for group in groups)
        progress.most_timeouts = max((timeouts_allowed(group.policy) for group in groups), default=0)
        while True:
            for group in groups:
                answer = await self._try_group(group, progress)
                while answer is not None and refused_again(answer, group, progress):
                    progress.account.settle(answer.outcome())
                    progress.begin_anew()
                    answer = await self._try_group(group, progress)
                if answer is not None:
                    return await self._reconsidered(answer, progress)
            retries = self._retries(progress)
            pause = None if progress.over else pause_before(progress, groups, retries, self._random)
            if pause is None:
                raise error_of(progress) from last_failure(progress)
            await asyncio.sleep(pause)
            progress.record.waited += pause
            progress.begin_anew()

    async def _reconsidered(self, answer: Answer, progress: Progress) -> Answer:
        """`answer`, unless it refuses a prompt for which there are fallbacks and one of them answers."""
        if not isinstance(answer, WholeAnswer) or answer.status != 400:
            return answer
        others = self._groups.instead(progress.call, answer.code)
        if others:
            progress.account.settle(answer.outcome())
        for group in others:
            other = await self._try_group(group, progress)
            if other is not None and other.status < 400:
                return other
            if other is not None:
                progress.account.settle(other.outcome())
        return answer

    async def _try_group(self, group: Group, progress: Progress) -> Answer | None:
        """An answer of one of a model's deployments; None when none of them can."""
        tries = 0
        while not progress.over and calls_left(group, progress) != 0:
            choice = await self._choose(group.members, progress)
            if choice.reason is ChoiceReason.BUSY and await wait_for_place(
                self._balancer, group.members, progress
            ):
                continue
            if choice.deployment is None or tries == MAX_TRIES:
                progress.end_wait()
                progress.note(choice)
                break
            tries += 1
            progress.called(choice.deployment)
            answer = await self._try(choice, choice.deployment, progress)
            if answer is not None:
                return answer
        return None

    async def _choose(self, group: Sequence[Deployment], progress: Progress) -> Choice:
        """The next deployment of a group, or none."""
        call = progress.call
        needs = progress.estimate
        if any(each.defaults or each.extra_body or each.dropped for each in group):
            edits = (Edits(each.defaults, each.extra_body, each.dropped) for each in group)
            needs = with_edits(needs, call.operation, call.body.values, edits)

        def choose() -> Choice:
            now = self._sharing.now()
            return self._balancer.choose(
                group,
                needs,
                progress.tried,
                now,
                operation=call.operation.name,
                last_resorts=progress.last_resorts,
                waiter=progress.waiter,
            )

        await progress.account.refreshed()
        choice = choose()
        if choice.sync_first:
            await progress.account.exchanged()
            choice = choose()
        return choice

    def _retries(self, progress: Progress) -> int:
        """How often the only deployment that was used may be tried again."""
        if len(progress.used) != 1:
            return 0
        if progress.call.options.num_retries is not None:
            return progress.call.options.num_retries
        (alone,) = progress.used.values()
        return self._config.num_retries if alone.num_retries is None else alone.num_retries

    async def _try(self, choice: Choice, deployment: Deployment, progress: Progress) -> Answer | None:
        """One try: its answer, or None when it failed, or was not made because a strict cap is full."""
        progress.last_resorts += choice.reason is ChoiceReason.LAST_RESORT
        wait = await progress.account.reserve(choice)
        if wait is not None:
            progress.note(Choice(None, ChoiceReason.CAPPED, choice.tokens, wait))
            return None
        try:
            answer = await self._attempts.make(
                deployment, progress.call, progress.record, progress.deadline, progress.most_attempts
            )
        except AttemptFailed as failure:
            # Its traceback refers to every frame of the try, this one included: a reference cycle.
            failed = failure.with_traceback(None)
        else:
            progress.refused = answer.status >= 400
            return answer
        if deployment.parts is not None and says_absent(failed):
            # A caller has made the name up.
            progress.absent = True
            progress.account.settle(Outcome(Result.CALLER))
            self._balancer.drop(deployment)
            return None
        reservation = progress.account.failed(failed.outcome)
        progress.failures.append(Failure(deployment.id, failed, reservation))
        _log.warning(
            "deployment %s failed: %s, status %s, code %s",
            logged(deployment.id),
            failed.result.name.lower(),
            failed.status,
            failed.code and logged(failed.code),
        )
        return _requests_own(failed, deployment, progress) if isinstance(failed, Refused) else None


def _requests_own(failed: Refused, deployment: Deployment, progress: Progress) -> Answer | None:
    """The refusal that `failed` is, where another deployment has refused the request alike.

    Raises UpstreamFailed for one whose status would tell the client something wrong.
    """
    others = (each.error for each in progress.failures if each.deployment != deployment.id)
    if not any(alike(failed, other) for other in others):
        return None
    progress.refused = True
    if failed.status in _SOUND and failed.sound:
        return failed.answer
    raise UpstreamFailed from failed


def _judge(progress: Progress) -> None:
    """Hold against deployments what is theirs of the request's failures."""
    failures = progress.failures
    attempts = [Ended(each.deployment, each.error.outcome) for each in failures]
    held = [failures[place] for place in blamed(attempts, refused=progress.refused)]
    progress.account.judged(
        [(each.reservation, each.error.outcome) for each in held if each.reservation is not None],
        hash(progress.call.body.raw),
    )


def _used_up(limits: Headers, kind: str) -> Headers:
    """The headers of `limits` with nothing left of `kind`, which is "requests" or "tokens".

    What a ledger has left is no use to the client while all deployments rest, or a cap of its own is full.
    """
    remaining = f"x-ratelimit-remaining-{kind}"
    return [(name, "0" if name == remaining else value) for name, value in limits]
