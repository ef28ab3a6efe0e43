"""What instances know of each other, on both stores, and when a store is asked, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter

import pytest
from support.calls import PATIENCE
from support.instances import Clock, Instance, StandingClock, config, forget_all

from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.sharing.replication import FLUSH_EVERY, OTHERS_SECONDS


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """What is tested here is who knows what; how short the waits are is tested where the store is slow."""
    monkeypatch.setattr("gateway.sharing.replication.WAIT_SECONDS", 5.0)
    monkeypatch.setattr("gateway.sharing.replication.END_WAIT_SECONDS", 5.0)
    monkeypatch.setattr("gateway.storage.guarded.OPERATION_SECONDS", PATIENCE)


def test_a_call_of_one_instance_is_known_to_another_that_was_idle(run, pool):
    async def check(open_store):
        one, other = Instance(open_store(), pool), Instance(open_store(), pool)
        await one.call()
        await other.call()
        assert (1, 2) == (one.requests(), other.requests())

    run(check)


def test_instances_of_other_pools_are_not_seen(run, pool):
    async def check(open_store):
        one, other = Instance(open_store(), pool), Instance(open_store(), pool + "x")
        await one.call()
        await other.call()
        assert 1 == other.requests()

    run(check)


def test_nothing_is_asked_of_the_store_while_no_call_is_in_flight(run_in_time, pool):
    async def check(open_store):
        one = Instance(open_store(), pool)
        await asyncio.gather(*(one.call(0.05) for _ in range(5)))
        before = one.operations
        await asyncio.sleep(2 * FLUSH_EVERY)
        assert before == one.operations

    run_in_time(check)


def test_before_the_first_call_nothing_is_asked_of_the_store(run, pool):
    async def check(open_store):
        one = Instance(open_store(), pool)
        await asyncio.sleep(0.05)
        assert 0 == one.operations

    run(check)


def test_calls_at_once_share_one_refresh_and_few_flushes(run_in_time, pool):
    async def check(open_store):
        one = Instance(open_store(), pool)
        await asyncio.gather(*(one.call(0.05) for _ in range(50)))
        assert 1 == one.sharing.storage.operations["read"]
        assert one.sharing.storage.operations["write"] <= 2
        other = Instance(open_store(), pool)
        await other.call()
        assert 51 == other.requests()

    run_in_time(check)


def test_a_fresh_view_is_not_read_again(run_in_time, pool):
    async def check(open_store):
        clock = Clock()
        one = Instance(open_store(), pool, clock=clock)
        await one.call()
        clock.ahead += 0.5
        await one.call()
        assert 1 == one.sharing.storage.operations["read"]

    run_in_time(check)


def test_a_view_of_more_than_a_second_is_read_beside_the_call(run_in_time, pool):
    async def check(open_store):
        clock = Clock()
        one = Instance(open_store(), pool, clock=clock)
        await one.call()
        clock.ahead += 1.3
        shared = one.sharing.call()
        await shared.refreshed()
        # It did not wait: the view is still the old one.
        assert one.sharing.view_age > 1
        async with asyncio.timeout(PATIENCE):
            while one.sharing.view_age > 1:
                await asyncio.sleep(0.01)
        await shared.settled()

    run_in_time(check)


def test_an_older_view_is_waited_for(run, pool):
    async def check(open_store):
        clock = Clock()
        one = Instance(open_store(), pool, clock=clock)
        await one.call()
        clock.ahead += 2.5
        shared = one.sharing.call()
        await shared.refreshed()
        assert one.sharing.view_age < 2.5
        await shared.settled()

    run(check)


@pytest.mark.parametrize(
    ("used", "seconds", "expected"),
    [
        (14, 0.5, (1, "did not wait")),  # a quarter of the cap is left
        (16, 0.2, (1, "did not wait")),
        (16, 0.4, (2, "did not wait")),
        (16, 0.5, (2, "waited")),
    ],
)
def test_near_the_end_of_a_cap_others_calls_are_known_sooner(run, pool, used, seconds, expected):
    async def check(open_store):
        clock = StandingClock()
        capped = config(1, rpm=20, capped=True)
        one, other = (
            Instance(open_store(), pool, clock=clock, configuration=capped),
            Instance(open_store(), pool, clock=clock),
        )
        for _ in range(used):
            choice = one.balancer.choose(one.group, Estimate(10, 0), (), clock())
            one.balancer.reserve(choice, clock())
        await one.call()
        await other.call()
        clock.now += seconds + 0.01
        shared = one.sharing.call()
        await shared.refreshed()
        waited = "waited" if one.sharing.view_age < 0.2 else "did not wait"
        while one.sharing._refreshing is not None:
            await asyncio.sleep(0.01)
        assert expected == (one.sharing.storage.operations["read"], waited)
        await shared.settled()

    run(check)


def test_what_a_last_call_used_is_written_a_third_of_a_second_after_the_flush_before_it(run_in_time, pool):
    async def check(open_store):
        one = Instance(open_store(), pool, configuration=config(1, capped=True))
        await one.call(FLUSH_EVERY / 2, used=20)
        assert 1 == one.sharing.storage.operations["write"]
        await asyncio.sleep(FLUSH_EVERY * 0.8)
        assert 2 == one.sharing.storage.operations["write"]

    run_in_time(check)


def test_of_two_instances_that_exchange_at_once_one_sees_the_other(run_in_time, pool):
    async def check(open_store):
        one, other = Instance(open_store(), pool), Instance(open_store(), pool)
        await asyncio.gather(one.call(), other.call())

        async def exchange(instance):
            shared = instance.sharing.call()
            await shared.refreshed()
            for _ in range(5):
                choice = instance.balancer.choose(instance.group, Estimate(10, 0), (), instance.sharing.now())
                instance.balancer.reserve(choice, instance.sharing.now())
            # As long as it takes: what a call waits at most is another test's.
            await instance.sharing.exchange(5)
            found = instance.requests()
            await shared.settled()
            return found

        assert 12 == max(await asyncio.gather(exchange(one), exchange(other)))

    run_in_time(check)


def test_calls_that_exchange_at_once_share_a_flush_and_a_read(run_in_time, pool):
    async def check(open_store):
        one = Instance(open_store(), pool)
        await one.call()
        before = Counter(one.sharing.storage.operations)
        choice = one.balancer.choose(one.group, Estimate(10, 0), (), one.sharing.now())
        one.balancer.reserve(choice, one.sharing.now())
        await asyncio.gather(*(one.sharing.exchange(5) for _ in range(40)))
        assert {"write": 1, "read": 1} == one.sharing.storage.operations - before

    run_in_time(check)


def test_an_instance_that_carries_more_than_its_share_exchanges_four_times_and_then_once_a_second(
    run_in_time, pool
):
    async def check(open_store):
        clock = Clock()
        one = Instance(open_store(), pool, clock=clock)
        await one.call()
        before = Counter(one.sharing.storage.operations)
        for ahead in (0, 0, 0, 0, 0.1, 0.8, 0.2, 0.2, 10, 0, 0, 0, 0):
            clock.ahead += ahead
            await one.sharing.exchange(5)
        assert 4 + 1 + 4 == (one.sharing.storage.operations - before)["read"]

    run_in_time(check)


def test_what_is_much_of_the_rest_of_a_cap_is_written_at_once(run_in_time, pool):
    async def check(open_store):
        capped = config(1, rpm=20, capped=True)
        one = Instance(open_store(), pool, configuration=capped)
        other = Instance(open_store(), pool, configuration=capped)
        await other.call()
        await one.call(0.01)
        assert 2 == one.balancer.instances
        writes = []
        # One is sent, 18 are left: with 7 sent, another 7 of the other would leave but 5.
        for _ in range(7):
            await one.call(0.01)
            writes.append(one.sharing.storage.operations["write"])
        assert [1, 1, 1, 1, 1, 2, 2] == writes

    run_in_time(check)


def test_an_exchange_gives_other_processes_their_time(run, pool):
    async def check(open_store):
        store = open_store()
        one = Instance(store, pool)
        await one.call()
        started = asyncio.get_running_loop().time()
        await one.sharing.exchange(5)
        assert store.shared == (asyncio.get_running_loop().time() - started >= OTHERS_SECONDS)

    run(check)


def test_a_long_call_is_known_to_others_while_it_lasts(run, pool):
    async def check(open_store):
        one, other = Instance(open_store(), pool), Instance(open_store(), pool)
        long = [asyncio.create_task(one.call(3600)) for _ in range(2)]
        await asyncio.sleep(2 * FLUSH_EVERY)
        while one.sharing._flushing is not None:
            await asyncio.sleep(0.01)
        await other.call()
        assert 3 == other.requests()
        for each in long:
            each.cancel()
        await asyncio.wait(long)

    run(check)


def test_steady_calls_are_flushed_at_most_every_third_of_a_second(run_in_time, pool):
    async def check(open_store):
        one = Instance(open_store(), pool)
        background = asyncio.create_task(one.call(1.0))
        for _ in range(18):
            await one.call(0.05)
        await background
        # 1 s: four in the course of it, one for what the last call left.
        assert 3 <= one.sharing.storage.operations["write"] <= 6

    run_in_time(check)


def test_calls_one_after_the_other_are_flushed_five_times_a_second_at_most(run, pool):
    async def check(open_store):
        one = Instance(open_store(), pool)
        started = asyncio.get_running_loop().time()
        for _ in range(50):
            await one.call(0.01)
        most = (asyncio.get_running_loop().time() - started) / FLUSH_EVERY + 1
        assert one.sharing.storage.operations["write"] <= most

    run(check)


def test_what_others_wrote_on_both_sides_of_midnight_is_read(run, pool):
    async def check(open_store):
        clock = Clock()
        clock.ahead = 86_400 - clock() % 86_400 - 2  # two seconds before the next UTC midnight
        one, other = (
            Instance(open_store(), pool, clock=clock),
            Instance(open_store(), pool, clock=clock),
        )
        await one.call()
        clock.ahead += 4
        await one.call()
        await other.call()
        assert 3 == other.requests()

    run(check)


def test_an_instance_that_was_frozen_for_90_seconds_knows_what_happened_since(run, pool):
    async def check(open_store):
        clock = Clock()
        frozen = Instance(open_store(), pool, clock=clock)
        await frozen.call()
        clock.ahead += 90
        other = Instance(open_store(), pool, clock=clock)
        await other.call()
        await frozen.call()
        assert 2 == frozen.requests()

    run(check)


# What the loop that is gone had open is torn down here, and complains.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_sharing_goes_on_when_the_event_loop_is_another_one(azurite, tables_at, pool):
    def seen_by_others():
        one = Instance(tables_at(azurite.port), pool)

        async def first():
            await one.call()
            # What an event loop that dies leaves behind: a call in flight, a read and a flush under way.
            one.sharing.call()
            one.sharing._seen = one.sharing._flushed = float("-inf")
            await one.sharing.refresh(0)
            one.sharing.schedule_flush()

        async def second():
            one.sharing._seen = float("-inf")
            await asyncio.sleep(FLUSH_EVERY)
            await one.call()
            other = Instance(tables_at(azurite.port), pool)
            await other.call()
            await one.sharing.close()
            await other.sharing.close()
            return other.requests()

        loop = asyncio.new_event_loop()
        loop.run_until_complete(first())
        loop.close()
        return asyncio.run(second())

    assert 3 == seen_by_others()
    forget_all()
    gc.collect()


def test_above_twenty_rows_instances_read_one_sum(run, pool):
    async def check(open_store):
        clock, store = StandingClock(), open_store()
        crowd = [Instance(store, pool, clock=clock) for _ in range(24)]
        for each in crowd:
            await each.call()
        late = Instance(store, pool, clock=clock)
        await late.call()
        before = Counter(late.sharing.storage.operations)
        clock.now += 1.2
        last = crowd[0]
        last.sharing._seen = float("-inf")
        await last.call()
        assert 25 + 1 == last.requests()
        assert late.balancer.wants_rollup
        assert 1 == before["read"]
        # The sum that `last` has made a moment ago is all that `late` reads now.
        late.sharing._seen = float("-inf")
        await late.call()
        assert 2 == late.sharing.storage.operations["read"]
        assert 26 == late.requests()

    run(check)


def test_an_exchange_reads_what_was_written_after_the_last_sum(run, pool):
    async def check(open_store):
        store = open_store()
        crowd = [Instance(store, pool) for _ in range(24)]
        for each in crowd:
            await each.call()
        one, other = crowd[:2]
        one.sharing._seen = float("-inf")
        await one.call()  # reads all, and writes their sum
        assert one.balancer.wants_rollup
        choice = other.balancer.choose(other.group, Estimate(10, 0), (), other.sharing.now())
        other.balancer.reserve(choice, other.sharing.now())
        await other.sharing.exchange(5)
        await one.sharing.exchange(5)
        assert 24 + 1 + 1 == one.requests()

    run(check)


def test_what_a_call_used_is_told_while_another_goes_on(run, pool):
    async def check(open_store):
        capped = config(1, capped=True)
        one, other = (Instance(open_store(), pool, configuration=capped) for _ in range(2))
        long = asyncio.create_task(one.call(3600, tokens=1))
        await asyncio.sleep(0.05)
        await one.call(FLUSH_EVERY + 0.1, tokens=50_000, used=200)
        await asyncio.sleep(2 * FLUSH_EVERY)
        while one.sharing._flushing is not None:
            await asyncio.sleep(0.01)
        await other.call(tokens=1)
        (state,) = other.balancer.state(other.sharing.now())
        assert 200 <= state.used_tokens < 300
        long.cancel()
        await asyncio.wait({long})

    run(check)


def test_closing_writes_what_is_left(run_in_time, pool):
    async def check(open_store):
        one, other = Instance(open_store(), pool), Instance(open_store(), pool)
        await one.call()
        await one.call()  # so soon after the flush of the first it is not written yet
        assert 1 == one.sharing.storage.operations["write"]
        await one.sharing.close()
        await other.call()
        assert 3 == other.requests()

    run_in_time(check)


def test_what_its_last_flush_leaves_is_not_written_after_closing(run_in_time, pool, monkeypatch):
    """A store that was closed would connect anew, and nobody would close that connection."""

    async def check(open_store):
        one = Instance(open_store(), pool)
        written = one.balancer.written

        def beside_another_call(row):
            written(row)
            now = one.sharing.now()
            choice = one.balancer.choose(one.group, Estimate(10, 0), (), now)
            one.balancer.settle(one.balancer.reserve(choice, now), Outcome(Result.SUCCESS, 10, 0), now)

        monkeypatch.setattr(one.balancer, "written", beside_another_call)
        await one.call()
        await one.sharing.close()
        assert one.balancer.dirty
        before = one.operations
        await asyncio.sleep(2 * FLUSH_EVERY)
        assert before == one.operations

    run_in_time(check)


def test_nothing_is_logged_while_all_is_well(run, pool, caplog):
    async def check(open_store):
        await Instance(open_store(), pool).call()

    with caplog.at_level(logging.INFO, "gateway"):
        run(check)
    assert [] == caplog.records
