"""`max_parallel_requests`: places of deployments, and who waits for one, on real sockets."""

import asyncio

import pytest
from support.bench import run
from support.samples import call
from support.scripted import NO_END, chunk, reply

from gateway.errors import RateLimited
from gateway.telemetry.record import Record
from gateway.upstream.time_limit import Deadline

pytestmark = pytest.mark.system

EVENT = chunk(b'data: {"choices":[{"index":0,"delta":{}}]}\n\n')


class Gate:
    """An upstream's step that answers when it is let to; it tells how many wait at it, and did at most."""

    def __init__(self):
        self.waiting = self.most = self.calls = 0
        self.arrived = asyncio.Condition()
        self.opened = asyncio.Semaphore(0)

    async def __call__(self, writer):
        self.waiting += 1
        self.calls += 1
        self.most = max(self.most, self.waiting)
        async with self.arrived:
            self.arrived.notify_all()
        await self.opened.acquire()
        self.waiting -= 1
        writer.write(reply())

    async def until(self, calls):
        async with self.arrived:
            await self.arrived.wait_for(lambda: self.calls >= calls)

    def open(self, times=1):
        for _ in range(times):
            self.opened.release()


def gates(count):
    """Steps that make their gates when the loop runs."""
    found = [None] * count

    def step(place):
        async def pass_gate(writer):
            if found[place] is None:
                found[place] = Gate()
            await found[place](writer)

        return pass_gate

    def gate(place=0):
        if found[place] is None:
            found[place] = Gate()
        return found[place]

    return [step(place) for place in range(count)], gate


def test_no_more_are_in_flight_than_may_be_and_the_first_who_waits_is_the_first_who_is_served():
    (step,), gate = gates(1)

    async def test(bench):
        ended = []

        async def send(number):
            answer = await bench.send(user=str(number))
            ended.append(number)
            return answer.status

        sending = [asyncio.ensure_future(send(number)) for number in range(5)]
        await gate().until(2)
        for served in range(3, 6):
            gate().open()
            await gate().until(served)
        gate().open(2)
        statuses = await asyncio.gather(*sending)
        return statuses, gate().most, [body for _, body in bench.upstreams[0].requests]

    statuses, most, bodies = run([((step,), {"max_parallel_requests": 2}, {})], test)

    assert ([200] * 5, 2) == (statuses, most)
    assert [str(number) in body.decode() for number, body in enumerate(bodies)] == [True] * 5


def served_by_two(number):
    """Statuses of so many calls, and the counts of two deployments of one place each; the second is free first."""
    steps, gate = gates(2)

    async def test(bench):
        sending = [asyncio.ensure_future(bench.send()) for _ in range(number)]
        await gate(0).until(1)
        await gate(1).until(1)
        for turn in range(2, number):
            gate(1).open()
            await gate(1).until(turn)
        gate(1).open()
        gate(0).open()
        return [answer.status for answer in await asyncio.gather(*sending)], bench.counts

    return run([((step,), {"max_parallel_requests": 1}, {}) for step in steps], test)


def test_a_free_sibling_takes_over_at_once():
    assert ([200, 200], [1, 1]) == served_by_two(2)


def test_who_waits_is_served_by_whichever_is_free_first():
    assert ([200] * 3, [1, 2]) == served_by_two(3)


@pytest.mark.parametrize(("wait", "seconds"), [(0, 5.0), (0.05, 5.0), (None, 0.3)])
def test_waiting_ends_before_the_deadline_with_429(wait, seconds):
    (step,), gate = gates(1)

    async def test(bench):
        first = asyncio.ensure_future(bench.send())
        await gate().until(1)
        error = await bench.send(seconds=seconds)
        gate().open()
        return error, (await first).status, bench.counts

    settings = {} if wait is None else {"max_wait": wait}
    error, status, counts = run([((step,), {"max_parallel_requests": 1}, {})], test, router_settings=settings)

    assert (RateLimited, 1, 200, [1]) == (type(error), error.retry_after, status, counts)


def test_a_place_of_one_who_waited_too_long_goes_to_the_next():
    (step,), gate = gates(1)

    async def test(bench):
        sending = [asyncio.ensure_future(bench.send())]
        await gate().until(1)
        short = asyncio.ensure_future(bench.send(seconds=0.2))
        sending.append(asyncio.ensure_future(bench.send()))
        error = await short
        gate().open(2)
        return type(error), [answer.status for answer in await asyncio.gather(*sending)]

    assert (RateLimited, [200, 200]) == run([((step,), {"max_parallel_requests": 1}, {})], test)


def test_a_client_that_leaves_while_it_waits_takes_no_place():
    (step,), gate = gates(1)

    async def test(bench):
        sending = [asyncio.ensure_future(bench.send())]
        await gate().until(1)
        leaving = asyncio.ensure_future(bench.send())
        sending.append(asyncio.ensure_future(bench.send()))
        await asyncio.sleep(0)
        leaving.cancel()
        gate().open(2)
        return [answer.status for answer in await asyncio.gather(*sending)], bench.counts

    assert ([200, 200], [2]) == run([((step,), {"max_parallel_requests": 1}, {})], test)


def test_a_stream_holds_its_place_to_its_end():
    async def test(bench):
        parts = bench.parts
        deadline = Deadline.within(5)
        account = parts.dispatcher.account(call(stream=True), parts.master)
        async with account:
            answer = await parts.dispatcher.send(
                call(stream=True), parts.master, account, Record("r", "chat", 0.0), deadline
            )
            during = await bench.send(seconds=0.2)
            await answer.close()
            await account.close(answer.outcome())
        after = await bench.send()
        return type(during), after.status

    async def endless(writer):
        writer.write(NO_END + EVENT)
        await writer.drain()
        await asyncio.sleep(60)

    assert (RateLimited, 200) == run([((endless, reply()), {"max_parallel_requests": 1}, {})], test)


def test_a_failure_gives_its_place_back_and_a_fallback_is_for_those_who_waited_in_vain():
    (step,), gate = gates(1)
    members = [
        ((reply(500, b"{}"), step), {"max_parallel_requests": 1}, {}),
        ((reply(),), {}, {"name": "backup"}),
    ]

    async def test(bench):
        failed = await bench.send()
        first = asyncio.ensure_future(bench.send())
        await gate().until(1)
        second = await bench.send(seconds=1.0)
        gate().open()
        return failed.status, second.status, (await first).status, bench.counts

    settings = {"num_retries": 0, "max_wait": 0.05, "fallbacks": [{"gpt": ["backup"]}]}

    assert (200, 200, 200, [2, 2]) == run(members, test, router_settings=settings)


def test_the_routers_default_is_for_members_without_their_own():
    steps, gate = gates(1)

    async def test(bench):
        first = asyncio.ensure_future(bench.send())
        await gate().until(1)
        error = await bench.send(seconds=0.2)
        gate().open()
        return type(error), (await first).status

    settings = {"default_max_parallel_requests": 1}

    assert (RateLimited, 200) == run([(steps[0],)], test, router_settings=settings)
