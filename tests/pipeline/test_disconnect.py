"""Work ends when its caller leaves, and only then."""

import asyncio

import pytest
from support.samples import Caller

from gateway.pipeline.disconnect import CancelWhenGone
from gateway.protocol.messages import ClientGone


def test_a_caller_that_leaves_ends_the_work():
    async def work():
        caller = Caller()
        asyncio.get_running_loop().call_later(0.02, caller.go)
        async with CancelWhenGone(caller):
            await asyncio.sleep(30)

    with pytest.raises(ClientGone):
        asyncio.run(work())


def test_a_caller_that_stays_gets_the_result_and_is_watched_no_longer():
    async def work():
        caller = Caller()
        async with CancelWhenGone(caller):
            await asyncio.sleep(0)
        caller.go()
        await asyncio.sleep(0.01)
        return caller.leave

    assert asyncio.run(work()) is None


def test_an_error_of_the_work_passes():
    async def work():
        async with CancelWhenGone(Caller()):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(work())


def test_a_cancellation_from_elsewhere_stays_one():
    async def work():
        async with CancelWhenGone(Caller()):
            await asyncio.sleep(30)

    async def cancel_it():
        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel_it())


def test_leaving_while_the_host_cancels_too_stays_a_cancellation():
    caller = Caller()

    async def work():
        async with CancelWhenGone(caller):
            await asyncio.sleep(30)

    async def cancel_it():
        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        caller.go()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel_it())


def test_the_task_can_go_on_after_its_caller_left():
    async def work():
        caller = Caller()
        asyncio.get_running_loop().call_soon(caller.go)
        with pytest.raises(ClientGone):
            async with CancelWhenGone(caller):
                await asyncio.sleep(30)
        await asyncio.sleep(0.01)
        return asyncio.current_task().cancelling()

    assert 0 == asyncio.run(work())


def test_clean_up_in_the_work_runs():
    caller, done = Caller(), []

    async def work():
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            done.append("cleaned")

    async def near_full():
        asyncio.get_running_loop().call_soon(caller.go)
        async with CancelWhenGone(caller):
            await work()

    with pytest.raises(ClientGone):
        asyncio.run(near_full())
    assert ["cleaned"] == done
