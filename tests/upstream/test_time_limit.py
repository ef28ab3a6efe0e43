"""Time limits end what takes too long, and nothing else."""

import asyncio

import pytest
from support import virtual_time

from gateway.upstream.time_limit import Deadline, TimeLimit


def within(seconds, work):
    """What `work(limit)` returns when it has so many seconds; the seconds that it took."""

    async def limited():
        loop = asyncio.get_running_loop()
        with TimeLimit(loop, loop.time() + seconds) as limit:
            result = await work(limit)
        return result, loop.time()

    return virtual_time.run(limited())


def test_what_takes_too_long_is_ended_by_a_timeout():
    ended = []

    async def work(_):
        try:
            await asyncio.sleep(3)
        finally:
            ended.append(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        within(2, work)
    assert [pytest.approx(2)] == ended


def test_what_is_done_in_time_is_left_alone_afterwards():
    async def limited():
        loop = asyncio.get_running_loop()
        with TimeLimit(loop, loop.time() + 2):
            await asyncio.sleep(1)
        await asyncio.sleep(5)
        return asyncio.current_task().cancelling()

    assert 0 == virtual_time.run(limited())


def test_a_limit_that_was_extended_ends_later():
    async def work(limit):
        limit.extend(6.0)
        limit.extend(4.0)
        await asyncio.sleep(5)
        return "done"

    assert ("done", pytest.approx(5)) == within(2, work)


def test_an_extended_limit_ends_as_well():
    async def work(limit):
        limit.extend(4.0)
        await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        within(2, work)


def test_a_limit_that_has_passed_ends_the_first_wait():
    async def work(_):
        await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        within(-1, work)


def test_a_cancellation_from_elsewhere_stays_one():
    async def limited():
        loop = asyncio.get_running_loop()
        with TimeLimit(loop, loop.time() + 2):
            await asyncio.sleep(3)

    async def cancel_it():
        task = asyncio.create_task(limited())
        await asyncio.sleep(1)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        virtual_time.run(cancel_it())


def test_of_two_limits_the_closer_one_ends_what_it_holds():
    async def limited():
        loop = asyncio.get_running_loop()
        with TimeLimit(loop, loop.time() + 3):
            with pytest.raises(TimeoutError), TimeLimit(loop, loop.time() + 1):
                await asyncio.sleep(9)
            await asyncio.sleep(1)
        return loop.time()

    assert pytest.approx(2) == virtual_time.run(limited())


def test_the_task_can_go_on_after_a_timeout():
    async def limited():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError), TimeLimit(loop, loop.time() + 1):
            await asyncio.sleep(9)
        await asyncio.sleep(1)
        return asyncio.current_task().cancelling()

    assert 0 == virtual_time.run(limited())


def test_a_deadline_knows_the_seconds_that_are_left():
    async def left():
        deadline = Deadline.within(3)
        await asyncio.sleep(2)
        return deadline.left

    assert pytest.approx(1) == virtual_time.run(left())
