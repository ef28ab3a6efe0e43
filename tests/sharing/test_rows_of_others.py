"""Rows in Azurite that no instance of ours wrote: they cost a log line, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import zlib

import pytest
from azure.data.tables.aio import TableServiceClient
from support.calls import PATIENCE
from support.instances import Instance, run_to_its_end

from gateway.adapters.tables import PREFIX, _day_table
from gateway.limits.caps.strict_row import StrictNeed
from gateway.limits.ledger.rows import page_of
from gateway.sharing.strict_caps import Grant, StrictCaps
from gateway.storage.guarded import GuardedStore
from gateway.storage.memory import MemoryStore

pytestmark = pytest.mark.system

BAD = {
    "no text": {},
    "a number": {"text": 5},
    "no JSON": {"text": "nonsense"},
    "no numbers": {"text": '{"q":1,"l":{"q:d0":["a",2,3]}}'},
    "deep": {"text": '{"q":1,"l":' + "[" * 30_000},
    "large numbers": {"text": '{"q":1,"l":{"q:d0":[0,' + "9" * 400 + ",1]}}"},
    "no zlib": {"z0": b"nonsense"},
    "no UTF-8": {"z0": zlib.compress(b"\xff\xfe")},
    # A row that would be 60 MB; made when a test asks for it, for it takes a while.
    "a bomb": None,
}


def properties(kind):
    return BAD[kind] if kind != "a bomb" else {"z0": zlib.compress(b"a" * (60 << 20))[:60_000]}


async def _put(azurite, table, entity):
    async with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        await (await service.create_table_if_not_exists(table)).upsert_entity(entity, mode="replace")


def test_bad_rows_are_passed_over_and_logged_once_a_minute(azurite, pool, tables_at, caplog):
    async def check():
        one = Instance(tables_at(azurite.port), pool)
        await one.call(tokens=7)
        now = time.time()
        for number, kind in enumerate(BAD):
            key = {"PartitionKey": "u" + pool, "RowKey": f"{page_of(now):010d}bad{number:05d}"}
            await _put(azurite, _day_table(int(now) // 86_400), {**key, **properties(kind)})
        other = Instance(tables_at(azurite.port), pool)
        for _ in range(3):
            await other.sharing.refresh(5.0)
            other.sharing._seen = 0.0
        assert 1 == other.requests()
        assert other.sharing.storage.state().healthy
        for each in (one, other):
            await each.sharing.close()

    with caplog.at_level(logging.WARNING, "gateway.storage"):
        run_to_its_end(check())
    assert 1 == len([record for record in caplog.records if "could not be read" in record.getMessage()])


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_of_a_strict_cap_is_replaced_and_the_cap_holds(azurite, pool, tables_at, kind, monkeypatch):
    monkeypatch.setattr("gateway.sharing.strict_caps.RESERVE_SECONDS", PATIENCE)

    async def check():
        name = "c" + pool + "cap"
        await _put(azurite, PREFIX + "caps", {"PartitionKey": name, "RowKey": "cap", **properties(kind)})
        need = StrictNeed("cap", 2, None, 1)
        stores = [GuardedStore(tables_at(azurite.port), time.time) for _ in range(2)]
        caps = [StrictCaps(store, random.Random(1).random, prefix="c" + pool) for store in stores]
        answers = await asyncio.gather(*(each.reserve([need]) for each in caps for _ in range(4)))
        for each, store in zip(caps, stores, strict=True):
            await each.close()
            await store.close()
        return [type(answer) for answer in answers].count(Grant)

    assert 2 == asyncio.run(check())


def test_what_changes_during_a_flush_is_flushed_after_it_though_no_call_is_in_flight(pool, monkeypatch):
    """A 429 that ends the last call while a slow flush is under way must reach the others."""
    monkeypatch.setattr("gateway.sharing.replication.END_WAIT_SECONDS", 0.01)
    gate = asyncio.Event()

    class Slow(MemoryStore):
        shared = True
        writes = 0

        async def write(self, row, day):
            self.writes += 1
            if self.writes == 1:
                await gate.wait()
            await super().write(row, day)

    async def check():
        store = Slow()
        one = Instance(store, pool)
        shared = one.sharing.call()
        one.balancer._view.touch()
        shared.dispatched()
        while not store.writes:
            await asyncio.sleep(0)
        one.balancer._view.touch()
        await shared.settled()
        gate.set()
        async with asyncio.timeout(PATIENCE):
            while one.balancer.dirty:
                await asyncio.sleep(0.01)
        return store.writes

    assert run_to_its_end(check()) >= 2
