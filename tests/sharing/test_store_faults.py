"""A store that fails: no call fails with it or waits longer than WAIT_SECONDS, and all heals by itself."""

from __future__ import annotations

import asyncio
import logging
import statistics
import time

import pytest
from azure.data.tables.aio import TableServiceClient
from support.azurite import Azurite, require_azurite
from support.faults import FaultProxy
from support.instances import Clock, Instance, config, run_to_its_end
from support.lateness import Lateness

from gateway.sharing.replication import READ_WHOLE_EVERY, WAIT_SECONDS
from gateway.storage.guarded import OPEN_SECONDS
from gateway.storage.store import StoreFailure
from simulator.ports import closed_port

pytestmark = pytest.mark.system

#: WAIT_SECONDS, and what a machine that is busy with other things adds mostly, and at worst; a store that answers
#: late takes 0.2 s and more.
TYPICAL = WAIT_SECONDS + 0.1
LONGEST = WAIT_SECONDS + 2.0
#: Real seconds after which something that should happen counts as lost.
PATIENCE = 60.0


def _short(added: list[float]) -> bool:
    return statistics.median(added) < TYPICAL and max(added) < LONGEST


async def _closed(*instances: Instance) -> None:
    for each in instances:
        await each.sharing.close()


async def _warm(one: Instance) -> None:
    """The first operation imports the SDK and creates the table; that is not what is measured."""
    await one.call()
    await asyncio.sleep(0.3)


async def _told(*instances: Instance) -> None:
    """Let each know what the others have done, however long that takes."""
    for each in instances:
        await each.sharing._flush()
    for each in instances:
        each.sharing._seen = each.sharing._read_whole = float("-inf")
        await each.sharing.refresh(PATIENCE)


@pytest.fixture
def patience(monkeypatch):
    """For tests of who knows what, not of how short the waits are."""
    monkeypatch.setattr("gateway.sharing.replication.WAIT_SECONDS", 5.0)
    monkeypatch.setattr("gateway.sharing.replication.END_WAIT_SECONDS", 5.0)


async def _call_until(one: Instance, clock: Clock, *, healthy: bool) -> list[float]:
    """Call every three seconds of its clock until the instance knows how its store is; what that has added."""
    added = []
    async with asyncio.timeout(PATIENCE):
        while len(added) < 5 or one.sharing.storage.state().healthy is not healthy:
            clock.ahead += 3.0
            added.append(await one.added(0.02))
    return added


def test_calls_go_on_without_a_store_and_the_log_says_so_once(tables_at, pool, caplog):
    async def check():
        one = Instance(tables_at(closed_port()), pool)
        # The import of the SDK.
        await one.call()
        await asyncio.sleep(1.0)
        added = [await one.added(0.02) for _ in range(20)]
        state, count = one.sharing.storage.state(), one.requests()
        await _closed(one)
        return added, state, count

    with caplog.at_level(logging.INFO, "gateway"):
        added, state, count = run_to_its_end(check())
    assert _short(added), added
    assert 21 == count
    assert (False, StoreFailure.DOWN) == (state.healthy, state.reason)
    assert [True] == [
        "unavailable (down, ServiceRequestError)" in record.getMessage() for record in caplog.records
    ]


def test_calls_beyond_an_instances_share_do_not_wait_longer_for_a_store_that_hangs(azurite, tables_at, pool):
    async def check():
        with FaultProxy(azurite.port) as proxy:
            one = Instance(tables_at(proxy.port), pool, configuration=config(1, rpm=20))
            await _warm(one)
            proxy.delay = 30.0
            async with Lateness() as late:
                added = await asyncio.gather(*(one.call(0.02) for _ in range(40)))
            added = [each - late.seconds for each in added]
            await _closed(one)
            return added

    added = run_to_its_end(check())
    assert _short(added), added


def test_after_three_failures_nothing_is_tried_for_five_seconds(tables_at, pool, caplog):
    async def check():
        clock = Clock()
        one = Instance(tables_at(closed_port()), pool, clock=clock)
        for _ in range(6):
            await one.call(0.1)
        await asyncio.sleep(0.5)
        counts = [one.operations]
        await asyncio.gather(*(one.call(0.01) for _ in range(10)))
        counts.append(one.operations)
        clock.ahead += OPEN_SECONDS
        await one.call(0.1)
        counts.append(one.operations)
        await _closed(one)
        return counts

    before, open_, after = run_to_its_end(check())
    assert before == open_
    assert open_ < after
    assert 1 == len([record for record in caplog.records if record.name == "gateway.storage"])


def test_azurite_that_dies_and_comes_back_is_forgotten_and_found_again(tables_at, pool, caplog):
    require_azurite()

    async def check():
        clock = Clock()
        with Azurite() as azurite:
            one, other = (Instance(tables_at(azurite.port), pool, clock=clock) for _ in range(2))
            await _warm(one)
            await _warm(other)
            azurite.stop()
            added = []
            for _ in range(12):
                clock.ahead += 0.5
                added += [await one.added(0.02), await other.added(0.02)]
            assert not one.sharing.storage.state().healthy
            azurite.start()
            clock.ahead += OPEN_SECONDS
            for _ in range(4):
                await one.call(0.05)
                await other.call(0.05)
                clock.ahead += 2.1
            clock.ahead += READ_WHOLE_EVERY
            await one.call(0.05)
            await other.call(0.05)
            await _told(one, other)
            state = one.sharing.storage.state()
            counts = (one.requests(), other.requests())
            await _closed(one, other)
        return added, state, counts

    with caplog.at_level(logging.INFO, "gateway"):
        added, state, counts = run_to_its_end(check())
    assert _short(added), added
    assert state.healthy
    # The new Azurite knows nothing, but every instance writes what it did while the store was down. The first call
    # of each is lost to the other if its page of ten seconds was over.
    assert {35, 36} >= set(counts)
    assert ["unavailable" in record.getMessage() for record in caplog.records].count(True) == 2
    assert ["available again" in record.getMessage() for record in caplog.records].count(True) == 2


@pytest.mark.parametrize("delay", [0.2, 5.0])
def test_a_slow_store_adds_no_more_than_a_short_wait_to_any_call(proxy, tables_at, pool, delay):
    async def check():
        clock = Clock()
        one = Instance(tables_at(proxy.port), pool, clock=clock)
        await _warm(one)
        proxy.delay = delay
        added = []
        for _ in range(8):
            clock.ahead += 3.0
            added.append(await one.added(0.02))
        await _closed(one)
        return added

    added = run_to_its_end(check())
    assert _short(added), added


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((503, "ServerBusy"), StoreFailure.BUSY),
        ((500, "OperationTimedOut"), StoreFailure.BUSY),
        ((403, "AuthorizationPermissionMismatch"), StoreFailure.FORBIDDEN),
        ((409, "TableBeingDeleted"), StoreFailure.DELETING),
        ((400, "InvalidInput"), StoreFailure.FAILED),
    ],
)
def test_an_error_of_the_store_costs_no_call_and_heals(proxy, tables_at, pool, answer, reason):
    async def check():
        clock = Clock()
        one = Instance(tables_at(proxy.port), pool, clock=clock)
        await _warm(one)
        proxy.answer = answer
        added = await _call_until(one, clock, healthy=False)
        broken = one.sharing.storage.state()
        proxy.heal()
        clock.ahead += OPEN_SECONDS
        await _call_until(one, clock, healthy=True)
        healed = one.sharing.storage.state()
        await _closed(one)
        return added, broken, healed

    added, broken, healed = run_to_its_end(check())
    assert _short(added), added
    assert reason is broken.reason
    assert (True, None) == (healed.healthy, healed.reason)


def test_connections_that_are_cut_cost_no_call(proxy, tables_at, pool):
    async def check():
        clock = Clock()
        one = Instance(tables_at(proxy.port), pool, clock=clock)
        await _warm(one)
        proxy.cut = True
        added = await _call_until(one, clock, healthy=False)
        state = one.sharing.storage.state()
        await _closed(one)
        return added, state

    added, state = run_to_its_end(check())
    assert _short(added), added
    assert StoreFailure.DOWN is state.reason


@pytest.mark.usefixtures("patience")
def test_a_table_that_was_deleted_is_made_again(azurite, tables_at, pool):
    async def check():
        clock = Clock()
        one = Instance(tables_at(azurite.port), pool, clock=clock)
        await _warm(one)
        async with TableServiceClient.from_connection_string(azurite.connection_string) as service:
            async for table in service.list_tables():
                await service.delete_table(table.name)
        clock.ahead += 3.0
        await one.call()
        other = Instance(tables_at(azurite.port), pool, clock=clock)
        await other.call()
        seen, state = other.requests(), one.sharing.storage.state()
        await _closed(one, other)
        return seen, state

    seen, state = run_to_its_end(check())
    # Within one page of ten seconds the row holds the calls before the deletion, too.
    assert seen in {2, 3}
    assert state.healthy


def test_where_tables_may_not_be_created_calls_go_on(proxy, tables_at, pool):
    proxy.concerns = lambda method, path: method == "POST" and path.endswith("Tables")
    proxy.answer = (403, "AuthorizationPermissionMismatch")

    async def check():
        clock = Clock()
        clock.ahead = 86_400.0 * 100  # a day of which there is no table
        one = Instance(tables_at(proxy.port), pool, clock=clock)
        await _warm(one)
        added, reason = await one.added(0.02), one.sharing.storage.state().reason
        await _closed(one)
        return added, reason

    added, reason = run_to_its_end(check())
    assert added < LONGEST
    assert StoreFailure.FORBIDDEN is reason


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("skew", [-2.0, 2.0])
def test_a_clock_that_is_wrong_is_corrected_by_the_replies(azurite, tables_at, pool, skew):
    async def check():
        clock = Clock()
        clock.ahead = skew
        wrong = Instance(tables_at(azurite.port, clock), pool, clock=clock)
        for _ in range(4):
            wrong.sharing._seen = float("-inf")
            await wrong.call(0.02)
            await asyncio.sleep(0.31)
        off = wrong.sharing.now() - time.time()
        right = Instance(tables_at(azurite.port), pool)
        await right.call()
        seen = right.requests()
        await _closed(wrong, right)
        return off, seen

    off, seen = run_to_its_end(check())
    assert abs(off) < 0.8
    assert 5 == seen


@pytest.mark.usefixtures("patience")
def test_instances_that_are_cut_off_count_alone_and_meet_again(azurite, tables_at, pool):
    async def check():
        clock = Clock()
        with FaultProxy(azurite.port) as left, FaultProxy(azurite.port) as right:
            one, other = (Instance(tables_at(side.port), pool, clock=clock) for side in (left, right))
            await _warm(one)
            await _warm(other)
            right.cut = True
            for _ in range(4):
                clock.ahead += 2.1
                await one.call(0.02)
                await other.call(0.02)
            apart = (one.requests(), other.requests())
            right.heal()
            clock.ahead += OPEN_SECONDS
            for each in (other, one, other):
                each.sharing._seen = float("-inf")
                await each.call(0.02)
                clock.ahead += 0.2
            together = (one.requests(), other.requests())
            await _closed(one, other)
        return apart, together

    apart, together = run_to_its_end(check())
    assert (6, 6) == apart
    assert (12, 13) == together
