"""One attempt: a call of one deployment, which brings an answer or fails.

Knows credentials and time-outs. Does not know other deployments.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from msgspec.structs import replace

from gateway.config.deployment import Config, Deployment
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.protocol.calls import Call
from gateway.telemetry.record import Record
from gateway.upstream.adaptation import adapted, restored
from gateway.upstream.answers import Answer, Refused, StreamedAnswer, UsageRefused
from gateway.upstream.client import LONGEST_REPLY, Exchange, Upstream
from gateway.upstream.credentials import Authorizer, IdentityFailed, SecretProvider, TokenProvider
from gateway.upstream.expected import Expected
from gateway.upstream.failures import TooSlow, Torn, Unreachable
from gateway.upstream.local import LocalFault
from gateway.upstream.outgoing import outgoing
from gateway.upstream.redaction import Scrubber
from gateway.upstream.replies import receive
from gateway.upstream.time_limit import Deadline, TimeLimit
from gateway.upstream.verdicts import AttemptFailed


class Attempts:
    """Makes attempts."""

    def __init__(
        self,
        config: Config,
        upstream: Upstream,
        tokens: TokenProvider,
        secrets: SecretProvider | None = None,
        *,
        clock: Callable[[], float],
        silence: float,
        max_reply: int = LONGEST_REPLY,
        scrubber: Scrubber | None = None,
    ) -> None:
        """`clock` gives seconds since 1970. `silence` is the longest pause within a reply, in seconds.

        `max_reply` is the length of a reply that is read as a whole, in bytes. `scrubber` None removes what
        no client may learn.
        """
        self._config = config
        self._upstream = upstream
        self._clock = clock
        self._silence = silence
        self._max_reply = max_reply
        self._scrubber = scrubber or Scrubber(config)
        self._authorizer = Authorizer(tokens, secrets, self._scrubber.learn)
        #: Ids of the deployments that do not know `stream_options`.
        self._without_usage: set[str] = set()

    async def make(
        self, deployment: Deployment, call: Call, record: Record, deadline: Deadline, most_calls: int
    ) -> Answer:
        """Call `deployment` once. A refusal of the caller's own mistake is an answer, too.

        A call is repeated with another credential, or without `stream_options`, only while the record's
        attempts are fewer than `most_calls`. Raises AttemptFailed.
        """
        record.deployment = deployment.id
        record.attempts += 1
        loop = deadline.loop
        started = loop.time()
        lost = self._upstream.lost()
        sent = call if deployment.capabilities is None else adapted(call, deployment)
        try:
            with TimeLimit(loop, self._limit(deployment, sent, deadline)) as limit:
                # A stream that has begun has met its time-out, though it is not an answer yet.
                begun = partial(limit.extend, deadline.at)
                once = partial(self._once, deployment, call, sent, record, begun=begun, most_calls=most_calls)
                return await self._asking_usage(once, deployment, record, most_calls)
        except LocalFault as error:
            raise AttemptFailed(Outcome(Result.LOCAL, error="local fault")) from error
        except (TooSlow, TimeoutError) as error:
            if self._upstream.excuses(lost, loop.time() - started):
                raise AttemptFailed(Outcome(Result.ABORTED, error="loop stood still")) from error
            raise AttemptFailed(Outcome(Result.TIMEOUT, error="timeout")) from error
        except Torn as error:
            raise AttemptFailed(Outcome(Result.TORN, error="torn")) from error
        except Unreachable as error:
            raise AttemptFailed(Outcome(Result.UNREACHABLE, error="unreachable")) from error
        except IdentityFailed as error:
            # The identity is this instance's: others may get their tokens.
            raise AttemptFailed(Outcome(Result.LOCAL, error="no token"), code="no token") from error
        finally:
            record.waited += loop.time() - started

    async def _asking_usage(
        self, once: Callable[..., Awaitable[Answer]], deployment: Deployment, record: Record, most_calls: int
    ) -> Answer:
        """What `once` brings, which asks for usage in streams; without asking where upstream refuses that."""
        try:
            return await once(ask_usage=deployment.id not in self._without_usage)
        except UsageRefused as refusal:
            if record.attempts >= most_calls:
                return refusal.answer
            record.attempts += 1
            answer = await once(ask_usage=False)
            if answer.status < 400 and refusal.certain:
                # It was this that upstream refused, and nothing that the client wrote.
                self._without_usage.add(deployment.id)
            return answer

    async def _once(
        self,
        deployment: Deployment,
        call: Call,
        sent: Call,
        record: Record,
        *,
        begun: Callable[[], object],
        most_calls: int,
        ask_usage: bool,
    ) -> Answer:
        """Send and receive. `sent` is `call` as the deployment's model takes it. Raises as both do."""
        target = deployment.targets[call.operation.name]
        message = outgoing(sent, deployment, target, ask_usage=ask_usage)
        expected = Expected(sent, deployment, message.hide_usage, self._scrubber, self._max_reply, begun)
        exchange, renewed = await self._post(deployment, call, message.body, record, most_calls)
        answer: Answer | None = None
        try:
            answer = await receive(exchange, expected, self._clock())
            if sent is not call:
                answer = restored(answer, exchange, call, expected)
        except Refused as failure:
            if renewed and failure.status == 401:
                # A new credential was refused, too: that is no fault of the request's.
                certain = replace(failure.outcome, certain=True)
                again = AttemptFailed(certain, failure.status, failure.code)
                again.reply = failure.reply
                raise again from failure
            raise
        finally:
            if not isinstance(answer, StreamedAnswer):
                await exchange.close()
        return answer

    async def _post(
        self, deployment: Deployment, call: Call, body: bytes, record: Record, most_calls: int
    ) -> tuple[Exchange, bool]:
        """Send; send once more with another credential where upstream refuses this one and there is one.

        Returns the reply, and whether it is one to another credential.
        """
        url = deployment.targets[call.operation.name].url
        headers = await self._authorizer.headers(deployment)
        # The credential wins over a header that the configuration or the call adds.
        added = {**deployment.headers, **call.options.headers}
        sent = {**added, **headers}
        exchange = await self._upstream.post(url, sent, body, silence=self._silence)
        if exchange.status != 401:
            return exchange, False
        try:
            renewed = await self._authorizer.renewed(deployment, headers)
        except BaseException:
            await exchange.close()
            raise
        # Whoever calls next has the new credential, though this request may make no other call.
        if renewed is None or record.attempts >= most_calls:
            return exchange, False
        await exchange.close()
        record.attempts += 1
        sent = {**added, **renewed}
        return await self._upstream.post(url, sent, body, silence=self._silence), True

    def _limit(self, deployment: Deployment, call: Call, deadline: Deadline) -> float:
        """When an attempt at `deployment` times out, in the loop's time."""
        config = self._config
        seconds = deployment.timeout or config.timeout
        if call.stream:
            seconds = deployment.stream_timeout or config.stream_timeout or seconds
        seconds = call.options.timeout or seconds
        if seconds is None:
            return deadline.at
        return min(deadline.at, deadline.loop.time() + seconds)
