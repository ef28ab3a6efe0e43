"""The mark that tells all instances to read their configuration again, in virtual time."""

from __future__ import annotations

import asyncio

from support import virtual_time
from support.virtual_time import clock

from gateway.sharing.reload_mark import ReloadMark
from gateway.storage.guarded import GuardedStore
from gateway.storage.memory import MemoryStore


class Instance:
    """An instance that is called and notes when it reads its configuration, which takes a second."""

    def __init__(self, store):
        self.reloads = []
        self.mark = ReloadMark(GuardedStore(store, clock=clock), self._reload, clock)

    async def _reload(self):
        await asyncio.sleep(1.0)
        self.reloads.append(clock())

    async def busy(self, seconds):
        """A call every tenth of a second."""
        for _ in range(int(seconds * 10)):
            await self.mark.follow()
            await asyncio.sleep(0.1)


def test_a_busy_instance_follows_within_five_seconds_beside_its_calls():
    async def check():
        store = MemoryStore()
        one, busy = Instance(store), Instance(store)
        await busy.busy(10)
        asked = clock()
        assert await one.mark.leave()
        await busy.busy(10)
        return one.reloads, [moment - asked for moment in busy.reloads]

    at_one, (at_busy,) = virtual_time.run(check())
    assert [] == at_one
    assert at_busy < 5


def test_the_first_call_after_a_pause_waits_for_the_new_configuration():
    async def check():
        store = MemoryStore()
        one, sleeping = Instance(store), Instance(store)
        await sleeping.mark.follow()
        await asyncio.sleep(600)
        assert await one.mark.leave()
        await sleeping.mark.follow()
        return len(sleeping.reloads)

    assert 1 == virtual_time.run(check())


def test_a_mark_is_followed_once():
    async def check():
        store = MemoryStore()
        one, busy = Instance(store), Instance(store)
        assert await one.mark.leave()
        await busy.busy(60)
        return len(busy.reloads)

    assert 1 == virtual_time.run(check())
