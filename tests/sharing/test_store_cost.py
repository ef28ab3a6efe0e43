"""What sharing costs an instance in CPU, as a ratio to the SDK's own operations; the figures are printed (`pytest -s`)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter

import pytest
from azure.data.tables.aio import TableClient
from support.instances import Instance, config, run_to_its_end

from gateway.adapters.tables import SELECT, _day_table
from gateway.limits.ledger.rows import page_of
from gateway.limits.ledger.view import PAGES
from gateway.limits.tokens.estimate import Estimate
from gateway.storage.guarded import GuardedStore

pytestmark = pytest.mark.system

#: Sharing may cost this many times what its operations cost when the SDK alone does them.
ALLOWED = 2.0
SECONDS = 1.5
ROUNDS = 3


async def _measured(work) -> float:
    """Milliseconds of CPU of this process per second while `work` is awaited."""
    used, started = time.process_time(), time.monotonic()
    await work
    return (time.process_time() - used) * 1000 / (time.monotonic() - started)


async def _traffic(one: Instance, lanes: int, pause: float) -> None:
    """Calls on `lanes` lanes, each of `pause` seconds, for SECONDS."""
    end = time.monotonic() + SECONDS

    async def lane():
        while time.monotonic() < end:
            await one.call(pause)

    await asyncio.gather(*(lane() for _ in range(lanes)))


async def _plain(table: TableClient, partition: str, first: str, operations: Counter[str]) -> None:
    """As many upserts of a row and reads of its table from `first` on, one by one over SECONDS, by the SDK alone."""
    entity = {"PartitionKey": "plain", "RowKey": "plain", "text": "x" * 400}
    query = f"PartitionKey eq '{partition}' and RowKey ge '{first}'"
    steps = ["write"] * operations["write"] + ["read"] * operations["read"]
    for step in steps:
        if step == "write":
            await table.upsert_entity(entity, mode="replace")
        else:
            _ = [each async for each in table.query_entities(query, select=SELECT)]
        await asyncio.sleep(SECONDS / len(steps))


class _Absent(GuardedStore):
    """Storage that is known to be down from the beginning: all of sharing but the sharing."""

    available = False


@pytest.mark.parametrize(
    "traffic",
    [(*each, near) for each in [(0, 50, 0.5), (60, 50, 0.5), (18, 1, 0.02)] for near in (False, True)],
)
def test_flush_and_refresh_cost_less_cpu_than_is_allowed(azurite, tables_at, pool, monkeypatch, traffic):
    others, lanes, pause, near_end = traffic
    # Some cap is near its end all the time.
    monkeypatch.setattr(
        "gateway.limits.balancing.balancer.Balancer.near_full", lambda _balancer, _now: near_end
    )

    async def check():
        store = tables_at(azurite.port)
        for _ in range(others):
            await Instance(store, pool, configuration=config(6)).call()
        one = Instance(tables_at(azurite.port), pool, configuration=config(6))
        alone = Instance(tables_at(azurite.port), pool, configuration=config(6))
        alone.sharing.storage = _Absent(alone.sharing.storage._store, time.time)
        table = TableClient.from_connection_string(
            azurite.connection_string, _day_table(int(time.time()) // 86_400)
        )
        rounds, operations = [], one.sharing.storage.operations
        for each in (one, alone):
            await each.call()
        await one.sharing._flush()  # makes the table
        async with table:
            await _plain(table, pool, "0", Counter(write=1, read=1))
            for _ in range(ROUNDS):
                before = Counter(operations)
                with_ = await _measured(_traffic(one, lanes, pause))
                done = operations - before
                without = await _measured(_traffic(alone, lanes, pause))
                page = f"{page_of(time.time()) - PAGES + 1:010d}"
                plain = await _measured(_plain(table, pool, page, done))
                rounds.append(((with_ - without) / plain, with_, without, plain, done))
        for each in (one, alone):
            await each.sharing.close()
        await store.close()
        return rounds

    # Coverage's tracer would be measured, too.
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        rounds = run_to_its_end(check())
    finally:
        sys.settrace(tracer)
    ratio, with_, without, plain, done = sorted(rounds, key=lambda each: each[0])[ROUNDS // 2]
    print(
        f"\n{lanes / pause:.0f} calls/s, {others} other instances{', the end of a cap' if near_end else ''}: "
        f"{ratio:.2f} of the SDK's own {plain:.1f} ms of CPU per second "
        f"({with_:.1f} with, {without:.1f} without), {dict(done)} in {SECONDS:.1f} s"
    )
    assert ratio < ALLOWED


def test_a_full_row_of_fifty_deployments_fits_into_an_entity(azurite, tables_at, pool):
    fifty = config(50, capped=True)

    async def check():
        one = Instance(tables_at(azurite.port), pool, configuration=fifty)
        start = (time.time() // 10 + 1) * 10
        for second in range(10):
            for deployment in one.group:
                choice = one.balancer.choose((deployment,), Estimate(1_000, 0), (), start + second)
                one.balancer.reserve(choice, start + second)
        rows = one.balancer.rows(start + 9)
        sizes = [len(row.text) for row in rows]
        await one.sharing._flush()
        await one.sharing.close()
        return sizes, one.balancer.dirty

    sizes, dirty = run_to_its_end(check())
    print(f"\na row of 50 deployments, capped, ten seconds each: {sizes} bytes")
    assert 1 == len(sizes)
    assert not dirty


def test_importing_the_gateway_does_not_import_the_sdk():
    code = (
        "import sys, gateway.sharing, gateway.adapters.tables\n"
        "print([name for name in ('azure.data.tables', 'azure.core', 'azure.identity') if name in sys.modules])"
    )
    assert (
        "[]\n"
        == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
