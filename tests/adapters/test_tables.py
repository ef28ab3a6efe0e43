"""What is Azure Table Storage's own: tables that come and go, connections, credentials."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from azure.data.tables.aio import TableServiceClient
from support.azurite import empty_account

from gateway.adapters.table_rows import pack
from gateway.adapters.tables import PREFIX, TableStore
from gateway.storage.memory import MEMORY_ROWS, MemoryStore
from gateway.storage.store import StoredRow, StoreError, StoreFailure

pytestmark = pytest.mark.system


async def _tables(azurite) -> list[str]:
    async with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        return sorted([table.name async for table in service.list_tables()])


def test_a_new_day_has_a_new_table_and_drops_those_before_yesterday():
    account = empty_account()

    async def check():
        store = TableStore(time.time, connection_string=account.connection_string)
        async with TableServiceClient.from_connection_string(account.connection_string) as service:
            await service.create_table("gatewayother")
            await service.create_table(PREFIX + "caps")
        for day in (20_000, 20_001, 20_002):
            await store.write(StoredRow("p", "0000000001.a", "x"), day)
        await store.close()
        return await _tables(account)

    expected = ["gatewaylimits20241005", "gatewaylimits20241006", "gatewaylimitscaps", "gatewayother"]
    assert expected == asyncio.run(check())


def test_many_rows_come_back_page_after_page_and_no_more_than_may(azurite, tables_at, pool, monkeypatch):
    async def check():
        store, day = tables_at(azurite.port), int(time.time()) // 86_400
        async with TableServiceClient.from_connection_string(azurite.connection_string) as service:
            await store.write(StoredRow(pool, "0000000000", "x"), day)
            table = service.get_table_client(store._connection and next(iter(store._connection._tables)))
            for start in range(0, 1_100, 100):
                await table.submit_transaction(
                    ("upsert", {"PartitionKey": pool, "RowKey": f"{start + number:010d}", "text": "x"})
                    for number in range(100)
                )
        rows = await store.read(pool, "0000000050", day)
        monkeypatch.setattr("gateway.adapters.tables._ROWS_LIMIT", 1_049)
        fewer = await store.read(pool, "0000000050", day)
        await store.close()
        return len(rows), len(fewer)

    assert (1_050, 1_049) == asyncio.run(check())


def test_a_key_that_is_refused_is_told_from_a_store_that_is_down(azurite):
    wrong = azurite.connection_string.replace("AccountKey=Eby8", "AccountKey=AAAA")

    async def check():
        store = TableStore(time.time, connection_string=wrong)
        with pytest.raises(StoreError) as caught:
            await store.read("p", "0", 20_000)
        await store.close()
        return caught.value.reason

    assert StoreFailure.FORBIDDEN is asyncio.run(check())


@pytest.mark.parametrize("text", ["", "nonsense", "AccountName=a"])
def test_a_connection_string_that_is_none_is_told(text):
    async def check():
        with pytest.raises(StoreError) as caught:
            await TableStore(time.time, connection_string=text).read("p", "0", 20_000)
        return caught.value.reason

    assert StoreFailure.MISCONFIGURED is asyncio.run(check())


def test_the_development_storage_is_understood():
    async def check():
        store = TableStore(time.time, connection_string="UseDevelopmentStorage=true")
        connection = await store._connect()
        url = connection.service.url
        await store.close()
        return url

    assert "http://127.0.0.1:10002/devstoreaccount1" == asyncio.run(check())


def test_a_token_is_never_sent_without_encryption():
    async def check():
        store = TableStore(time.time, endpoint="http://127.0.0.1:1/account")
        with pytest.raises(StoreError) as caught:
            await store.read("p", "0", 20_000)
        return caught.value.reason

    assert StoreFailure.MISCONFIGURED is asyncio.run(check())


def test_a_text_that_no_entity_holds_is_refused():
    noise = random.Random(1).randbytes(400_000).hex()
    with pytest.raises(StoreError) as caught:
        pack(noise)
    assert StoreFailure.TOO_LARGE is caught.value.reason


def test_the_store_in_memory_keeps_the_newest_rows_and_two_days():
    async def check():
        store = MemoryStore()
        for number in range(MEMORY_ROWS + 10):
            await store.write(StoredRow("p", f"{number:010d}", ""), 1)
        newest = await store.read("p", "0", 1)
        await store.write(StoredRow("p", "0", ""), 2)
        kept = await store.read("p", "0", 1)
        await store.write(StoredRow("p", "0", ""), 3)
        return newest[0].key, len(newest), len(kept), await store.read("p", "0", 1)

    assert ("0000000010", MEMORY_ROWS, MEMORY_ROWS, []) == asyncio.run(check())
