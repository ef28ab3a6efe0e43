"""From one loop to another and back: few wake-ups, no caller forgotten, no loop kept."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref

import pytest

from gateway.sdk.crossing import Crossing


@contextlib.contextmanager
def other_loop():
    """A loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def doubled(number: int) -> int:
    return 2 * number


def test_what_is_sent_in_one_round_goes_with_one_wake_up(monkeypatch):
    with other_loop() as there:
        wakes = []
        wake = there.call_soon_threadsafe
        monkeypatch.setattr(there, "call_soon_threadsafe", lambda *a: (wakes.append(a), wake(*a)))
        crossing = Crossing(there)

        async def callers():
            return await asyncio.gather(*(crossing.reach(doubled(number)) for number in range(16)))

        assert ([2 * number for number in range(16)], 1) == (asyncio.run(callers()), len(wakes))
        monkeypatch.undo()


def test_a_caller_learns_that_the_other_loop_is_closed():
    with other_loop() as there:
        crossing = Crossing(there)

    async def call():
        # The others of the same round learn it, too.
        return await asyncio.gather(*(crossing.reach(doubled(1)) for _ in range(2)), return_exceptions=True)

    assert [RuntimeError] * 2 == [type(each) for each in asyncio.run(call())]


def test_what_is_called_off_in_the_round_in_which_it_was_sent_ends():
    async def never_done():
        await asyncio.Event().wait()

    with other_loop() as there:
        crossing = Crossing(there)

        async def call():
            work = never_done()
            caller = asyncio.ensure_future(crossing.reach(work))
            await asyncio.sleep(0)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            # What is sent later is done later.
            await crossing.reach(doubled(1))
            return work.cr_frame, len(asyncio.all_tasks(there))

        # Not begun, or begun and ended: nothing of it is left.
        assert (None, 0) == asyncio.run(call())


def test_an_error_goes_to_its_own_caller():
    async def fails():
        raise KeyError("no such")

    with other_loop() as there:
        crossing = Crossing(there)

        async def callers():
            return await asyncio.gather(
                crossing.reach(doubled(1)), crossing.reach(fails()), return_exceptions=True
            )

        answer, error = asyncio.run(callers())
    assert (2, KeyError) == (answer, type(error))


def test_a_loop_that_is_done_is_not_kept():
    with other_loop() as there:
        crossing = Crossing(there)
        callers = asyncio.new_event_loop()
        callers.run_until_complete(crossing.reach(doubled(1)))
        callers.close()
        gone = weakref.ref(callers)
        del callers
        # The other loop still holds what it did last.
        asyncio.run(crossing.reach(doubled(1)))
        gc.collect()

        assert gone() is None
