"""The watch over a store: bounds, counts, and what becomes of surprises."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from gateway.storage.guarded import GuardedStore, StorageState
from gateway.storage.memory import MemoryStore
from gateway.storage.store import StoredRow, StoreError, StoreFailure

ROW = StoredRow("p", "0000000001.a", "x")


class _Hanging(MemoryStore):
    async def write(self, row, day):
        await asyncio.sleep(60)


class _Broken(MemoryStore):
    async def write(self, row, day):
        raise ZeroDivisionError


def _write(store) -> tuple[StoreFailure, GuardedStore]:
    storage = GuardedStore(store, time.time)

    async def check():
        with pytest.raises(StoreError) as caught:
            await storage.write(ROW, 1)
        return caught.value.reason

    return asyncio.run(check()), storage


def test_an_operation_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr("gateway.storage.guarded.OPERATION_SECONDS", 0.05)
    reason, storage = _write(_Hanging())
    assert StoreFailure.SLOW is reason
    assert Counter({StoreFailure.SLOW: 1}) == storage.failures


def test_a_defect_of_an_adapter_is_a_failure_of_the_store():
    reason, storage = _write(_Broken())
    assert StoreFailure.FAILED is reason
    assert StoreFailure.FAILED is storage.state().reason


def test_the_state_names_the_first_of_a_series_of_failures():
    now = 1_000.0
    storage = GuardedStore(_Broken(), lambda: now)

    async def check():
        nonlocal now
        for _ in range(2):
            with pytest.raises(StoreError):
                await storage.write(ROW, 1)
            now += 1
        failing = storage.state()
        await storage.read("p", "0", 1)
        return failing, storage.state()

    failing, healed = asyncio.run(check())
    assert StorageState(healthy=False, reason=StoreFailure.FAILED, failing_since=1_000.0) == failing
    assert StorageState(healthy=True, reason=None, failing_since=None) == healed


def test_operations_are_counted_by_name():
    storage = GuardedStore(MemoryStore(), time.time)

    async def check():
        await storage.write(ROW, 1)
        await storage.read("p", "0", 1)
        await storage.read("p", "0", 1)

    asyncio.run(check())
    assert {"write": 1, "read": 2} == dict(storage.operations)
