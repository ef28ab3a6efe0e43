"""The parts between a call and its deployments, put together as `gateway/app.py` does, with what a test passes in."""

from __future__ import annotations

from gateway.auth.authenticator import Authenticator
from gateway.auth.principal import Principal
from gateway.config.reload import ConfigurationState
from gateway.limits.balancing.balancer import Balancer
from gateway.pipeline.ending import answered, begin
from gateway.pipeline.gateway import Gateway
from gateway.pipeline.snapshot import Snapshot
from gateway.pipeline.status import Status
from gateway.routing.dispatcher import Dispatcher
from gateway.routing.models import Models
from gateway.sharing.replication import Replication
from gateway.storage.memory import MemoryStore
from gateway.upstream.answers import StreamedAnswer
from gateway.upstream.attempts import Attempts
from gateway.upstream.time_limit import Deadline


async def reply_to(gateway, request, *, clock=lambda: 100.0):
    """The reply to a request, errors included, as the hosts' handlers get it."""
    record = begin(request.target.name, request.headers, clock())
    return await answered(record, lambda: gateway.handle(request, record), clock)


#: A configuration that is as new as its source.
CONFIGURED = ConfigurationState("version-1", 1_700_000_000.0, ())


class Assembled:
    """One instance's dispatcher, and the parts that tests look into."""

    def __init__(
        self,
        config,
        upstream,
        tokens=None,
        *,
        clock,
        random=lambda: 0.5,
        silence=5.0,
        store=None,
        instance="testing0",
    ):
        self.config = config
        self.clock = clock
        #: Who holds the master key.
        self.master = Principal("master", config.client_limits, admin=True)
        self.balancer = Balancer(config, instance, random)
        self.sharing = Replication(self.balancer, store or MemoryStore(), clock=clock, random=random)
        self.models = Models(config, created=int(clock()))
        attempts = Attempts(config, upstream, tokens, clock=clock, silence=silence)
        self.dispatcher = Dispatcher(
            config, self.models, attempts, self.balancer, self.sharing, random=random
        )

    async def sent(self, call, record, seconds):
        """The answer to a call of the master's; a streamed one is closed as one whose client has left."""
        deadline = Deadline.within(seconds)
        async with self.dispatcher.account(call, self.master) as account:
            answer = await self.dispatcher.send(call, self.master, account, record, deadline)
            if isinstance(answer, StreamedAnswer):
                await answer.close()
                await account.close(answer.outcome())
            return answer

    def gateway(self, settings, dispatcher=None):
        """The pipeline in front of it."""
        snapshot = Snapshot(Authenticator(self.config, None), self.models, dispatcher or self.dispatcher)

        async def current():
            return snapshot

        status = Status(self.balancer, self.sharing, lambda: CONFIGURED, None)
        return Gateway(settings, current, status, clock=self.clock)
