"""The event loops on which the gateway runs: asyncio's own and uvloop, which Azure's worker installs."""

from __future__ import annotations

import asyncio

import pytest

LOOPS = ["asyncio", "uvloop"]


def runner(loop):
    """What `asyncio.run` does, on a loop of that name; skips the test where uvloop cannot be installed."""
    factory = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None

    def run(coroutine):
        with asyncio.Runner(loop_factory=factory) as running:
            return running.run(coroutine)

    return run
