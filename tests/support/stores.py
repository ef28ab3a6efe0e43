"""Fixtures of the folders whose tests need a store; their conftests import them by name."""

from __future__ import annotations

import asyncio
import importlib
import time
import uuid

import pytest

from gateway.adapters.tables import TableStore
from gateway.storage.memory import MemoryStore
from gateway.storage.store import Store
from support import virtual_time
from support.azurite import ACCOUNT, connection_string, empty_account
from support.faults import FaultProxy
from support.instances import end_all


@pytest.fixture(scope="session")
def azurite():
    """An account of Azurite's Table service, for all tests of a folder."""
    return empty_account()


@pytest.fixture
def proxy(azurite):
    """What tests break between a store and Azurite."""
    with FaultProxy(azurite.port) as running:
        yield running


@pytest.fixture(params=["memory", pytest.param("tables", marks=pytest.mark.system)])
def run(request):
    """Run a coroutine function on a store of each kind: `run(check)` calls `check(open_store)`.

    `open_store()` opens one more store onto the same rows. With the store in memory, time is virtual.
    """
    if request.param == "memory":
        shared = MemoryStore()
        return _runner(lambda: shared, virtual_time.run)
    importlib.import_module("azure.data.tables.aio")  # takes longer than any call would wait
    text = request.getfixturevalue("azurite").connection_string
    return _runner(lambda: TableStore(time.time, connection_string=text))


@pytest.fixture
def run_in_time():
    """The same on the store in memory alone: for tests of when something is done, which a busy machine would move."""
    shared = MemoryStore()
    return _runner(lambda: shared, virtual_time.run)


def _runner(make, run_loop=asyncio.run):
    def run(check):
        async def inside():
            opened: list[Store] = []

            def open_store() -> Store:
                opened.append(make())
                return opened[-1]

            try:
                return await check(open_store)
            finally:
                await end_all()
                for store in opened:
                    await store.close()

        return run_loop(inside())

    return run


@pytest.fixture
def tables_at(request):
    """A store at a port of this machine; tests that move an instance's clock mostly leave the store's alone."""
    shared = "azurite" in request.fixturenames
    account = request.getfixturevalue("azurite").name if shared else ACCOUNT

    def make(port: int, clock=time.time) -> TableStore:
        return TableStore(clock, connection_string=connection_string(port, account))

    return make


@pytest.fixture
def pool() -> str:
    """Instances of different tests do not see each other."""
    return uuid.uuid4().hex
