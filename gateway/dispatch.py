"""Sending one call: deployments are tried in the router's order until one answers.

Knows which failures move on and how often; knows neither the client nor how replies are relayed.
The rule, in one place:
* another deployment is tried, each at most once and four in all, after a connection error, 408, 429, 5xx,
  a reply that is none, and what only the operator can mend (401, 403, 404, a wrong api-version);
* a time-out moves on once only, for the call may have been answered, and billed;
* where only one can be tried, it is tried again after a connection error, 408 or 5xx, up to `num_retries`
  times, with backoff;
* nothing is tried again once a byte of an answer is there, nor after the caller's own mistake.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from gateway import credentials
from gateway.answers import Answer, Rejected, receive
from gateway.call import Call, outgoing
from gateway.config.deployment import Config, Deployment, Target
from gateway.credentials import IdentityFailed, TokenProvider
from gateway.errors import GatewayError, RateLimited, UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from gateway.failures import DEFAULT_RETRY_AFTER, Verdict
from gateway.routing import MAX_ATTEMPTS, Router
from gateway.upstream import Exchange, TooSlow, Unreachable, Upstream
from gateway.wire import Record

#: Backoff before a lone deployment is tried again: doubles from the first to the longest, in seconds.
BACKOFF_FIRST = 0.5
BACKOFF_LONGEST = 8.0

_log = logging.getLogger("gateway.upstream")


class Failure(Enum):
    """How a try ended that did not end in an answer."""

    UNREACHABLE = auto()
    TIMEOUT = auto()
    LIMITED = auto()
    OPERATOR = auto()
    SERVICE = auto()


@dataclass(frozen=True, slots=True)
class Failed:
    """One failed try. `retry_after` in seconds, None when upstream did not say."""

    failure: Failure
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None


_FAILURES = {
    Verdict.LIMITED: Failure.LIMITED,
    Verdict.OPERATOR: Failure.OPERATOR,
    Verdict.SERVICE: Failure.SERVICE,
}


class Dispatcher:
    """Sends calls to deployments."""

    def __init__(
        self,
        config: Config,
        upstream: Upstream,
        tokens: TokenProvider,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        silence: float,
    ) -> None:
        """`clock` gives seconds since 1970; `silence` is the longest silence within a reply, in seconds."""
        self._config = config
        self._upstream = upstream
        self._tokens = tokens
        self._router = Router()
        self._clock = clock
        self._random = random
        self._silence = silence

    async def send(self, call: Call, group: Sequence[Deployment], record: Record, deadline: float) -> Answer:
        """The first answer that a deployment of `group` gives before `deadline` (in the loop's time).

        Raises RateLimited, UpstreamFailed, UpstreamUnavailable or UpstreamTimeout.
        """
        loop = asyncio.get_running_loop()
        queue = self._router.order(group, self._clock(), self._random)[:MAX_ATTEMPTS]
        retries_left = self._config.num_retries if len(queue) == 1 else 0
        backoff = BACKOFF_FIRST
        failures: list[Failed] = []
        while queue:
            deployment = queue.pop(0)
            started = loop.time()
            outcome = await self._attempt(deployment, call, record, deadline)
            record.upstream += loop.time() - started
            if not isinstance(outcome, Failed):
                return outcome
            failures.append(outcome)
            _log.warning(
                "deployment %s failed: %s, status %s, code %s",
                deployment.id,
                outcome.failure.name.lower(),
                outcome.status,
                outcome.code,
            )
            if sum(failed.failure is Failure.TIMEOUT for failed in failures) > 1 or loop.time() >= deadline:
                break
            if retries_left and outcome.failure in {Failure.UNREACHABLE, Failure.SERVICE}:
                wait = outcome.retry_after or backoff * (1 - 0.25 * self._random())
                if wait > BACKOFF_LONGEST or loop.time() + wait >= deadline:
                    break
                await asyncio.sleep(wait)
                retries_left -= 1
                backoff = min(2 * backoff, BACKOFF_LONGEST)
                queue.append(deployment)
        raise self._error(call, group, failures)

    async def _attempt(
        self, deployment: Deployment, call: Call, record: Record, deadline: float
    ) -> Answer | Failed:
        """One try of one deployment: an answer (the caller's own mistakes included), or how it failed."""
        target = deployment.targets[call.operation.name]
        record.deployment = deployment.id
        record.attempts += 1
        exchange: Exchange | None = None
        answer: Answer | None = None
        try:
            async with asyncio.timeout_at(self._limit(deployment, call, deadline)):
                sent = outgoing(call, deployment, target)
                exchange = await self._post(deployment, target, sent.body, record)
                answer = await receive(
                    exchange, call, deployment, hide_usage=sent.hide_usage, now=self._clock()
                )
        except (TooSlow, TimeoutError):
            return Failed(Failure.TIMEOUT)
        except Unreachable:
            return Failed(Failure.UNREACHABLE)
        except IdentityFailed:
            return Failed(Failure.OPERATOR, code="no token")
        except Rejected as rejected:
            return self._failed(deployment, rejected)
        finally:
            if exchange is not None and (answer is None or answer.exchange is None):
                await exchange.close()
        return answer

    async def _post(self, deployment: Deployment, target: Target, body: bytes, record: Record) -> Exchange:
        """Send, and once more with a new token where the first was refused: it may have been revoked."""
        headers = await credentials.headers(deployment, self._tokens)
        exchange = await self._upstream.post(target.url, headers, body, silence=self._silence)
        identity = credentials.renewable(deployment)
        if exchange.status != 401 or identity is None:
            return exchange
        await exchange.close()
        self._tokens.discard(identity, headers["authorization"].removeprefix("Bearer "))
        headers = await credentials.headers(deployment, self._tokens)
        record.attempts += 1
        return await self._upstream.post(target.url, headers, body, silence=self._silence)

    def _limit(self, deployment: Deployment, call: Call, deadline: float) -> float:
        """When a try of `deployment` ends, in the loop's time."""
        config = self._config
        seconds = deployment.timeout or config.timeout
        if call.stream:
            seconds = deployment.stream_timeout or config.stream_timeout or seconds
        if seconds is None:
            return deadline
        return min(deadline, asyncio.get_running_loop().time() + seconds)

    def _failed(self, deployment: Deployment, rejected: Rejected) -> Failed:
        wait = rejected.retry_after
        if rejected.verdict is Verdict.LIMITED:
            self._router.rest(deployment, wait or DEFAULT_RETRY_AFTER, self._clock())
        return Failed(_FAILURES[rejected.verdict], rejected.status, rejected.code, wait)

    def _error(self, call: Call, group: Sequence[Deployment], failures: Sequence[Failed]) -> GatewayError:
        """What the client is told when no deployment answered. A limit comes first: waiting helps then."""
        if not failures or any(failed.failure is Failure.LIMITED for failed in failures):
            wait = self._router.earliest(group, self._clock())
            seconds = max(1, math.ceil(wait))
            return RateLimited(
                f"Rate limit reached for the model `{call.requested_model}`. "
                f"Please try again in {seconds} second{'' if seconds == 1 else 's'}.",
                retry_after=wait,
            )
        last = failures[-1]
        if last.failure is Failure.TIMEOUT or last.status in {408, 504}:
            return UpstreamTimeout()
        if last.failure is Failure.UNREACHABLE or last.status == 503:
            return UpstreamUnavailable(retry_after=last.retry_after)
        return UpstreamFailed()
