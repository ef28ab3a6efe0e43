"""A dispatcher in front of scripted upstreams, and one by a configuration as operators write it."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from gateway.config.load import load
from gateway.errors import GatewayError
from gateway.telemetry.record import Record
from gateway.upstream.client import Upstream
from support.assembled import Assembled
from support.documents import document, entry
from support.samples import call
from support.scripted import Scripted


class Sender:
    """One dispatcher, and the record of the last call that it was sent."""

    def __init__(self, config, *, clock, **parts):
        self.pool = Upstream()
        self.parts = Assembled(config, self.pool, clock=clock, **parts)
        self.record = Record("r", "chat", 0.0)

    async def answer(self, ask, seconds=5.0):
        """The answer to the call that `ask()` makes, or the error that the client would get."""
        self.record = Record("r", "chat", 0.0)
        try:
            return await self.parts.sent(ask(), self.record, seconds)
        except GatewayError as error:
            return error

    async def tested(self, test):
        """What `test(self)` brings; then nothing is left open."""
        try:
            return await test(self)
        finally:
            await self.parts.sharing.close()
            await self.pool.close()


class Bench(Sender):
    """A dispatcher by a configuration, and the upstreams behind it in the order of the entries."""

    def __init__(self, config, upstreams):
        super().__init__(config, clock=time.time)
        self.upstreams = upstreams

    async def send(self, model="gpt", seconds=5.0, **members):
        """The answer, or the error that the client would get."""
        return await self.answer(
            lambda: self.parts.models.check(call(path_model=model, **members), self.parts.master), seconds
        )

    @property
    def counts(self):
        return [upstream.count for upstream in self.upstreams]

    def called(self, place=0):
        """The paths that the upstream at `place` was called at."""
        return [head.split(b" ")[1].partition(b"?")[0].decode() for head, _ in self.upstreams[place].requests]


def run(scripts, test, **sections):
    """Run `test(bench)` with an entry for each script: a tuple of steps, or (steps, params, fields of the entry)."""

    async def work():
        async with AsyncExitStack() as stack:
            entries, upstreams = [], []
            for place, script in enumerate(scripts, 1):
                steps, params, fields = script if isinstance(script[-1], dict) else (script, {}, {})
                upstream = await stack.enter_async_context(Scripted(*steps))
                upstreams.append(upstream)
                entries.append(entry({"api_base": upstream.url, "order": place} | params, **fields))
            return await Bench(load(document(*entries, **sections), {}), upstreams).tested(test)

    return asyncio.run(work())


def outcome(scripts, **sections):
    """(answer or error, requests by upstream) of one call."""

    async def test(bench):
        return await bench.send(), bench.counts

    return run(scripts, test, **sections)
