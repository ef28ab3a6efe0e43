"""What large bodies leave behind goes back to the system."""

import asyncio

import pytest

from gateway.pipeline import heap

PIECE = b"x" * 65536


@pytest.mark.parametrize("count", [0, 1, 15, 16, 40], ids=lambda count: f"{count} pieces")
def test_pieces_are_joined_on_both_sides_of_what_is_large(count):
    pieces = [PIECE] * count
    assert b"".join(pieces) == asyncio.run(heap.joined(pieces, count * len(PIECE)))


def test_others_go_on_while_a_large_body_is_joined():
    async def turns():
        join = asyncio.ensure_future(heap.joined([PIECE] * 1600, 1600 * len(PIECE)))
        await asyncio.sleep(0)
        return join.done()

    assert asyncio.run(turns()) is False


def test_the_heap_is_trimmed_once_for_large_bodies_that_end_together(monkeypatch):
    trims = []
    monkeypatch.setattr(heap, "trim", lambda: trims.append(True))
    monkeypatch.setattr(heap, "PAUSE_SECONDS", 0.0)

    async def bodies(*sizes):
        trimmed = heap.Heap()
        for size in sizes:
            trimmed.freed(size)
        await asyncio.sleep(0.01)
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(bodies(heap.LARGE - 1, 5))
    assert [] == trims
    asyncio.run(bodies(heap.LARGE, heap.LARGE, 5))
    assert [True] == trims


def test_a_system_without_glibc_does_without(monkeypatch):
    monkeypatch.setattr(heap, "_allocator", lambda: None)
    heap.trim()
