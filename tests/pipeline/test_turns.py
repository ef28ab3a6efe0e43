"""Many long works at once: none of them keeps the event loop for more than a step."""

from __future__ import annotations

import asyncio
import contextlib

from gateway.pipeline.turns import Turns


def test_of_all_works_together_one_step_is_taken_in_a_turn_of_the_loop():
    async def work():
        turns, turn, taken = Turns(), 0, []

        def steps(name):
            for _ in range(5):
                taken.append((turn, name))
                yield
            return name

        async def count():
            nonlocal turn
            while True:
                turn += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        results = await asyncio.gather(*(turns.take(steps(name)) for name in "abc"))
        counting.cancel()
        return results, taken

    results, taken = asyncio.run(work())

    assert ["a", "b", "c"] == results
    # As many turns as steps, and the works one after the other.
    assert 15 == len({turn for turn, _ in taken})
    assert "abc" * 5 == "".join(name for _, name in taken)


def test_a_work_that_fails_or_is_given_up_keeps_no_turn():
    async def work():
        turns = Turns()

        def failing():
            yield
            raise ValueError

        def endless():
            while True:
                yield

        given_up = asyncio.create_task(turns.take(endless()))
        with contextlib.suppress(ValueError):
            await turns.take(failing())
        given_up.cancel()
        await asyncio.wait({given_up})
        return await turns.take(iter_once())

    def iter_once():
        yield
        return "done"

    assert "done" == asyncio.run(work())
