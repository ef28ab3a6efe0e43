"""What both stores promise. Each test has partitions of its own: Azurite is shared by the session."""

from __future__ import annotations

import asyncio
import uuid

from support.faults import utc_day

from gateway.storage.store import StoredRow

DAY = utc_day()


def _name() -> str:
    return uuid.uuid4().hex


def test_a_row_is_read_as_it_was_written(run):
    async def check(open_store):
        store, row = open_store(), StoredRow(_name(), "0000000001.a", '{"x":[1,2]}')
        await store.write(row, DAY)
        assert [row] == await store.read(row.partition, "0000000001", DAY)

    run(check)


def test_a_row_written_again_replaces_the_old_one(run):
    async def check(open_store):
        store, partition = open_store(), _name()
        await store.write(StoredRow(partition, "0000000001.a", "old"), DAY)
        await store.write(StoredRow(partition, "0000000001.a", "new"), DAY)
        assert ["new"] == [row.text for row in await store.read(partition, "0", DAY)]

    run(check)


def test_rows_are_read_from_a_key_on_in_order_and_of_one_partition_and_day(run):
    async def check(open_store):
        store, partition = open_store(), _name()
        for key in ("0000000003.b", "0000000001.a", "0000000002.a", "0000000003.a"):
            await store.write(StoredRow(partition, key, key), DAY)
        await store.write(StoredRow(_name(), "0000000003.c", "of another partition"), DAY)
        await store.write(StoredRow(partition, "0000000003.d", "of another day"), DAY + 1)
        expected = ["0000000002.a", "0000000003.a", "0000000003.b"]
        assert expected == [row.text for row in await store.read(partition, "0000000002", DAY)]

    run(check)


def test_what_one_instance_writes_another_reads(run):
    async def check(open_store):
        one, other, partition = open_store(), open_store(), _name()
        await one.write(StoredRow(partition, "0000000001.one", "1"), DAY)
        await other.write(StoredRow(partition, "0000000001.other", "2"), DAY)
        assert await one.read(partition, "0", DAY) == await other.read(partition, "0", DAY)
        assert 2 == len(await one.read(partition, "0", DAY))

    run(check)


def test_a_day_of_which_nothing_was_written_has_no_rows(run):
    async def check(open_store):
        assert [] == await open_store().read(_name(), "0", DAY + 300)

    run(check)


def test_a_text_of_any_length_up_to_a_megabyte_comes_back(run):
    async def check(open_store):
        store, partition = open_store(), _name()
        for length in (0, 1, 32_768, 32_769, 65_537, 1_000_000):
            text = ("[1,22,333,4444]" * (length // 15 + 1))[:length]
            await store.write(StoredRow(partition, f"{length:010d}.a", text), DAY)
            assert [text] == [row.text for row in await store.read(partition, f"{length:010d}", DAY)]

    run(check)


def test_a_text_beyond_ascii_comes_back(run):
    async def check(open_store):
        store, row = open_store(), StoredRow(_name(), "0000000001.a", "'é\U0001f600\"\\" * 9_000)
        await store.write(row, DAY)
        assert [row] == await store.read(row.partition, "0", DAY)

    run(check)


def test_a_cell_is_made_once(run):
    async def check(open_store):
        store, name = open_store(), _name()
        assert await store.load(name) is None
        version = await store.swap(name, "first", None)
        assert await store.swap(name, "second", None) is None
        cell = await store.load(name)
        assert ("first", version) == (cell.text, cell.version)

    run(check)


def test_a_cell_changes_only_for_who_knows_its_version(run):
    async def check(open_store):
        store, name = open_store(), _name()
        old = await store.swap(name, "1", None)
        new = await store.swap(name, "2", old)
        assert new not in {None, old}
        assert await store.swap(name, "3", old) is None
        assert "2" == (await store.load(name)).text

    run(check)


def test_of_many_at_once_one_wins_a_cell(run):
    async def check(open_store):
        stores, name = [open_store(), open_store()], _name()
        results = await asyncio.gather(*(stores[turn % 2].swap(name, str(turn), None) for turn in range(10)))
        assert 1 == len([version for version in results if version])

    run(check)


def test_increments_by_compare_and_swap_are_all_counted(run):
    async def increment(store, name):
        while True:
            cell = await store.load(name)
            text, version = ("1", None) if cell is None else (str(int(cell.text) + 1), cell.version)
            if await store.swap(name, text, version):
                return

    async def check(open_store):
        stores, name = [open_store(), open_store()], _name()
        await asyncio.gather(*(increment(stores[turn % 2], name) for turn in range(8)))
        assert "8" == (await stores[0].load(name)).text

    run(check)
